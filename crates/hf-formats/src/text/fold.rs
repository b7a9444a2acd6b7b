//! The form of text that text signatures are written for: ASCII in lower case, white space in single spaces.
//!
//! Promises: at most one table look-up a byte; the output is never longer than the input.
//! Leaves out: any decoding. UTF-16 text of ASCII characters folds to itself because zero bytes are dropped.
//! Sources: `sigtool --ascii-normalise` of ClamAV 1.4.6 as an oracle.

/// Returns the folded copy.
pub(crate) fn fold(text: &[u8]) -> Vec<u8> {
    let (chunks, tail) = text.as_chunks::<CHUNK_LEN>();
    let mut folded = Vec::with_capacity(text.len());
    let mut after_space = 0;
    for chunk in chunks {
        if let Some(plain) = fold_plain(chunk, &mut after_space) {
            folded.extend_from_slice(&plain);
            continue;
        }
        let (out, len) = fold_chunk(chunk, &mut after_space);
        folded.extend_from_slice(out.get(..len).unwrap_or(&out));
    }
    // Zero bytes are dropped, so padding adds nothing.
    let mut last = [0; CHUNK_LEN];
    for (slot, byte) in last.iter_mut().zip(tail) {
        *slot = *byte;
    }
    let (out, len) = fold_chunk(&last, &mut after_space);
    folded.extend_from_slice(out.get(..len).unwrap_or(&out));
    folded
}

const CHUNK_LEN: usize = 16;

/// Folds a chunk of which every byte is kept; the compiler makes vectors of it.
fn fold_plain(chunk: &[u8; CHUNK_LEN], after_space: &mut u8) -> Option<[u8; CHUNK_LEN]> {
    let space = chunk.map(|byte| u8::from((byte == b' ') | (byte.wrapping_sub(9) < 5)));
    let mut before = [*after_space; CHUNK_LEN];
    if let (Some(behind), Some(front)) = (before.get_mut(1..), space.get(..CHUNK_LEN - 1)) {
        behind.copy_from_slice(front);
    }
    let mut plain = [0; CHUNK_LEN];
    let mut lost = 0;
    for (((slot, byte), space), before) in plain.iter_mut().zip(chunk).zip(space).zip(before) {
        let text = u8::from(byte.wrapping_sub(b' ') < 0x60);
        lost |= (text | space) ^ 1 | space & before;
        let lower = byte | u8::from(byte.is_ascii_uppercase()) << 5;
        *slot = if space == 1 { b' ' } else { lower };
    }
    if lost != 0 {
        return None;
    }
    *after_space = space.last().copied().unwrap_or(0);
    Some(plain)
}

/// Folds any chunk without branches: every byte is written, and the place moves on only if it is kept.
fn fold_chunk(chunk: &[u8; CHUNK_LEN], after_space: &mut u8) -> ([u8; CHUNK_LEN], usize) {
    let mut out = [0; CHUNK_LEN];
    let mut len = 0_usize;
    let mut after = *after_space;
    for byte in chunk {
        let Step { value, kept, space, dropped } = step(*byte);
        if let Some(slot) = out.get_mut(len & (CHUNK_LEN - 1)) {
            *slot = value;
        }
        len = len.wrapping_add(usize::from(kept | space & !after));
        after = space | dropped & after;
    }
    *after_space = after;
    (out, len)
}

/// What a byte becomes; exactly one of the three marks is 1, the others are 0.
#[derive(Debug, Clone, Copy)]
struct Step {
    value: u8,
    kept: u8,
    space: u8,
    dropped: u8,
}

const DROPPED: Step = Step { value: 0, kept: 0, space: 0, dropped: 1 };

fn step(byte: u8) -> Step {
    TABLE.get(usize::from(byte)).copied().unwrap_or(DROPPED)
}

static TABLE: [Step; 256] = table();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler; the index is below 256")]
const fn table() -> [Step; 256] {
    let mut table = [DROPPED; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        table[byte as usize] = match byte {
            0x09..=0x0d | 0x20 => Step { value: b' ', kept: 0, space: 1, dropped: 0 },
            0..=0x1f => DROPPED,
            _ => Step { value: byte.to_ascii_lowercase(), kept: 1, space: 0, dropped: 0 },
        };
        byte += 1;
    }
    table
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
            let mut after_space = 0;
            for byte in &text {
                let Step { value, kept, space, dropped } = step(*byte);
                want.extend((kept | space & !after_space == 1).then_some(value));
                after_space = space | dropped & after_space;
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
