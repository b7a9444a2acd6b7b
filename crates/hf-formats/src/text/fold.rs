//! The form of text that text signatures are written for: ASCII in lower case, white space in single spaces.
//!
//! Promises: one pass; the output is never longer than the input.
//! Leaves out: any decoding. UTF-16 text of ASCII characters folds to itself because zero bytes are dropped.
//! Sources: `sigtool --ascii-normalise` of ClamAV 1.4.6 as an oracle.

/// Returns the folded copy.
pub(crate) fn fold(text: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(text.len().saturating_add(CHUNK_LEN));
    let mut rest = text;
    let mut after_space = false;
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let Folded { bytes, kept } = fold_chunk(chunk, after_space);
        let len = folded.len().saturating_add(kept);
        folded.extend_from_slice(&bytes);
        folded.truncate(len);
        if let Some(last) = kept.checked_sub(1) {
            after_space = bytes.get(last) == Some(&b' ');
        }
        rest = match chunk.get(kept..) {
            Some([_, ..]) => skip(rest.get(kept..).unwrap_or_default(), after_space),
            _ => behind,
        };
    }
    while let Some((byte, behind)) = rest.split_first() {
        if is_lost(*byte, after_space) {
            rest = behind;
            continue;
        }
        let byte = if is_space(*byte) { b' ' } else { byte.to_ascii_lowercase() };
        after_space = byte == b' ';
        folded.push(byte);
        rest = behind;
    }
    folded
}

const CHUNK_LEN: usize = 16;

/// A chunk folded: how many of its bytes are kept in front of the first that is not.
struct Folded {
    bytes: [u8; CHUNK_LEN],
    kept: usize,
}

/// Folds a chunk; the compiler makes vectors of it.
fn fold_chunk(chunk: &[u8; CHUNK_LEN], after_space: bool) -> Folded {
    let space = chunk.map(|byte| u8::from(is_space(byte)));
    let mut before = [u8::from(after_space); CHUNK_LEN];
    if let (Some(behind), Some(front)) = (before.get_mut(1..), space.get(..CHUNK_LEN - 1)) {
        behind.copy_from_slice(front);
    }
    let mut bytes = [0; CHUNK_LEN];
    let mut lost = [0; CHUNK_LEN];
    let each = bytes.iter_mut().zip(&mut lost).zip(chunk).zip(space).zip(before);
    for ((((slot, lost), byte), space), before) in each {
        let text = u8::from(byte.wrapping_sub(b' ') < 0x60);
        *lost = (text | space) ^ 1 | space & before;
        let lower = byte | u8::from(byte.is_ascii_uppercase()) << 5;
        *slot = if space == 1 { b' ' } else { lower };
    }
    let kept = u128::from_le_bytes(lost).trailing_zeros() / 8;
    Folded { bytes, kept: usize::try_from(kept).unwrap_or(CHUNK_LEN) }
}

/// Returns what is behind the bytes that are not kept.
fn skip(text: &[u8], after_space: bool) -> &[u8] {
    let len = text.iter().position(|byte| !is_lost(*byte, after_space)).unwrap_or(text.len());
    text.get(len..).unwrap_or_default()
}

fn is_space(byte: u8) -> bool {
    (byte == b' ') | (byte.wrapping_sub(9) < 5)
}

/// True for a byte that is not kept: no text, or white space behind white space.
fn is_lost(byte: u8, after_space: bool) -> bool {
    if is_space(byte) { after_space } else { byte.wrapping_sub(b' ') >= 0x60 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], want: &[u8]) {
        assert_eq!(fold(text).escape_ascii().to_string(), want.escape_ascii().to_string());
    }

    #[test]
    fn chunks_fold_as_single_bytes_do() {
        let mut state = 7_u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for round in 0..400_u32 {
            let rare = 2 + round % 40;
            let text: Vec<u8> = (0..next(200))
                .map(|_| match next(rare) {
                    0 => next(256) as u8,
                    1 => b" \t\n\x0b\x0c\r"[next(6) as usize],
                    _ => 0x21 + next(0x5e) as u8,
                })
                .collect();
            let mut want = Vec::new();
            for byte in text.iter().filter(|byte| byte.is_ascii()) {
                let space = matches!(byte, b' ' | 0x09..=0x0d);
                match byte {
                    _ if space && want.last() == Some(&b' ') => {}
                    _ if space => want.push(b' '),
                    0..=0x1f => {}
                    _ => want.push(byte.to_ascii_lowercase()),
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
