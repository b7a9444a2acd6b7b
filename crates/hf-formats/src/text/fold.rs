//! The form of text that text signatures are written for: ASCII in lower case, white space in single spaces.
//!
//! Promises: a few vector steps for each group of bytes; the output is never longer than the input.
//! Leaves out: any decoding. UTF-16 text of ASCII characters folds to itself because zero bytes are dropped.
//! Sources: `sigtool --ascii-normalise` of ClamAV 1.4.6 as an oracle.

/// Returns the folded copy.
pub(crate) fn fold(text: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(text.len().saturating_add(GROUP_LEN));
    let mut block = Block::default();
    let (blocks, tail) = text.as_chunks::<BLOCK_LEN>();
    for bytes in blocks {
        block.classify(bytes);
        block.compact(BLOCK_LEN, &mut folded);
    }
    // Zero bytes are dropped, so padding adds nothing.
    let mut last = [0; BLOCK_LEN];
    if let Some(last) = last.get_mut(..tail.len()) {
        last.copy_from_slice(tail);
    }
    block.classify(&last);
    block.compact(tail.len(), &mut folded);
    folded
}

/// Bytes that are looked at together; what is kept of a group without losses is copied at once.
const GROUP_LEN: usize = 16;
/// Ours: long enough that a group is written long before it is read again.
const BLOCK_LEN: usize = 256;

/// Some bytes and what becomes of them.
struct Block {
    /// What each byte becomes if it is kept, with room for a group behind the last.
    values: [u8; BLOCK_LEN + GROUP_LEN],
    /// 1 for white space.
    space: [u8; BLOCK_LEN],
    /// 1 for what is no text, and for white space right behind white space.
    lost: [u8; BLOCK_LEN],
    /// 1 when at most dropped bytes are between the last white space and what comes next.
    behind_space: u32,
}

impl Default for Block {
    fn default() -> Self {
        let values = [0; BLOCK_LEN + GROUP_LEN];
        Self { values, space: [0; BLOCK_LEN], lost: [0; BLOCK_LEN], behind_space: 0 }
    }
}

impl Block {
    /// Looks at each byte; the compiler makes vectors of it.
    fn classify(&mut self, bytes: &[u8; BLOCK_LEN]) {
        let Self { values, space, lost, .. } = self;
        for ((byte, value), space) in bytes.iter().zip(values).zip(space.iter_mut()) {
            let is_space = (*byte == b' ') | (byte.wrapping_sub(9) < 5);
            *space = u8::from(is_space);
            let lower = byte | u8::from(byte.is_ascii_uppercase()) << 5;
            *value = if is_space { b' ' } else { lower };
        }
        let is_lost = |byte: &u8, space: &u8, before: &u8| {
            let text = u8::from(byte.wrapping_sub(b' ') < 0x60);
            (text | space) ^ 1 | space & before
        };
        let Some((first, rest)) = lost.split_first_mut() else { return };
        let Some((first_space, later)) = space.split_first() else { return };
        // What is in front of the block is looked at with the first group.
        *first = is_lost(&bytes[0], first_space, &0);
        let each = bytes.iter().skip(1).zip(later).zip(&*space).zip(rest);
        for (((byte, space), before), lost) in each {
            *lost = is_lost(byte, space, before);
        }
    }

    /// Appends what is kept of the first bytes.
    fn compact(&mut self, len: usize, folded: &mut Vec<u8>) {
        let Self { values, space, lost, behind_space } = self;
        let marks = space.as_chunks::<GROUP_LEN>().0.iter().zip(lost.as_chunks::<GROUP_LEN>().0);
        for ((space, lost), start) in marks.zip((0..len).step_by(GROUP_LEN)) {
            let group = |skip: u32| {
                let start = start.wrapping_add(usize::try_from(skip).unwrap_or(0));
                values.get(start..).and_then(|rest| rest.first_chunk::<GROUP_LEN>())
            };
            let [first, .., last] = *space;
            if u128::from_le_bytes(*lost) == 0 && *behind_space & u32::from(first) == 0 {
                folded.extend_from_slice(group(0).unwrap_or(&[0; GROUP_LEN]));
                *behind_space = u32::from(last);
                continue;
            }
            let mut kept = kept(bits(space), bits(lost), behind_space);
            // Each run is written as a whole group, of which what is too much is taken back.
            while kept != 0 {
                let from = kept.trailing_zeros();
                let run = (!(kept >> from)).trailing_zeros();
                let len = folded.len().wrapping_add(usize::try_from(run).unwrap_or(0));
                folded.extend_from_slice(group(from).unwrap_or(&[0; GROUP_LEN]));
                folded.truncate(len);
                kept &= kept.wrapping_add(1 << from);
            }
        }
    }
}

/// Returns a bit for each byte of a group that is kept.
fn kept(space: u32, lost: u32, behind_space: &mut u32) -> u32 {
    let dropped = lost & !space;
    // A place is behind white space if there is some in front of it with only dropped bytes between,
    // as a carry runs through a sum.
    let (one, two) = (space | dropped, space);
    let sum = one.wrapping_add(two).wrapping_add(*behind_space);
    let behind = sum ^ one ^ two;
    *behind_space = sum >> GROUP_LEN;
    !(dropped | space & behind) & 0xffff
}

/// Gathers marks of 0 or 1 as bits, the first lowest.
fn bits(marks: &[u8; GROUP_LEN]) -> u32 {
    let half = |marks: &[u8; 8]| {
        let product = u64::from_le_bytes(*marks).wrapping_mul(0x0102_0408_1020_4080);
        u32::try_from(product >> 56).unwrap_or(0)
    };
    match marks.as_chunks::<8>().0 {
        [low, high] => half(low) | half(high) << 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], want: &[u8]) {
        assert_eq!(fold(text).escape_ascii().to_string(), want.escape_ascii().to_string());
    }

    #[test]
    fn groups_fold_as_single_bytes_do() {
        let mut state = 7_u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for round in 0..800_u32 {
            let rare = 2 + round % 400;
            let text: Vec<u8> = (0..next(900))
                .map(|_| match next(rare) {
                    0 => next(256) as u8,
                    1 => b" \t\n\x0b\x0c\r"[next(6) as usize],
                    _ => 0x21 + next(0x5e) as u8,
                })
                .collect();
            let mut want = Vec::new();
            let mut after_space = false;
            for byte in &text {
                match byte {
                    0x09..=0x0d | b' ' => {
                        want.extend((!after_space).then_some(b' '));
                        after_space = true;
                    }
                    0x21..0x80 => {
                        want.push(byte.to_ascii_lowercase());
                        after_space = false;
                    }
                    _ => {}
                }
            }
            check(&text, &want);
        }
    }

    #[test]
    fn folds_as_sigtool_does() {
        check(
            b"  Hello \0 World\t\r\n\x0b\x0c  \x08x\x7fy\x80\xff \x0e z END \n",
            b" hello world x\x7fy z end ",
        );
        check(b"a \0 b \x80 c\0d", b"a b cd");
        check(b" ", b" ");
        check(b"", b"");
        check(b"A\0l\0e\0r\0t\0", b"alert");
        let every: Vec<u8> = (0..=255).collect();
        let mut want = b" ".to_vec();
        want.extend((0x21_u8..0x80).map(|byte| byte.to_ascii_lowercase()));
        check(&every, &want);
    }
}
