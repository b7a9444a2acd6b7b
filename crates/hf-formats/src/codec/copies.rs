//! Copies of what came out before and of literals, which are most of what byte-oriented decoders do.
//!
//! Promises: short ones cost one or two moves of a fixed length, of which the surplus is cut off again: most are
//! shorter than sixteen bytes, and a call that moves a length known only then costs more than the bytes.

/// Bytes that are moved at once.
const STEP: usize = 16;

/// Appends `len` bytes from a distance behind the end, which may be shorter than `len`. What is not there is not
/// copied: the caller has looked.
#[inline]
pub(super) fn copy_back(out: &mut Vec<u8>, distance: usize, len: usize) {
    let Some(from) = out.len().checked_sub(distance) else { return };
    let end = out.len().saturating_add(len);
    if distance >= STEP && len <= 2 * STEP {
        let mut at = from;
        while out.len() < end {
            let Some(step) = out.get(at..).and_then(|rest| rest.first_chunk::<STEP>()).copied()
            else {
                return;
            };
            out.extend_from_slice(&step);
            at = at.saturating_add(STEP);
        }
        out.truncate(end);
        return;
    }
    let mut left = len;
    while left > 0 && distance > 0 {
        let step = left.min(out.len().saturating_sub(from));
        out.extend_from_within(from..from.saturating_add(step));
        left = left.saturating_sub(step);
    }
}

/// Appends the first `len` bytes of what follows in the input, or all of it.
#[inline]
pub(super) fn literals(out: &mut Vec<u8>, rest: &[u8], len: usize) {
    if let (Some(step), true) = (rest.first_chunk::<STEP>(), len <= STEP) {
        let end = out.len().saturating_add(len);
        out.extend_from_slice(step);
        out.truncate(end);
        return;
    }
    out.extend_from_slice(rest.get(..len.min(rest.len())).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_those_of_a_loop() {
        let start: Vec<u8> = (0..100).collect();
        for distance in 0..=101 {
            for len in 0..=120 {
                let (mut out, mut want) = (start.clone(), start.clone());
                copy_back(&mut out, distance, len);
                for _ in 0..if (1..=100).contains(&distance) { len } else { 0 } {
                    want.push(want[want.len() - distance]);
                }
                assert_eq!(out, want, "distance {distance}, length {len}");
            }
        }
        for have in 0..40 {
            for len in 0..40 {
                let mut out = vec![7];
                literals(&mut out, &start[..have], len);
                assert_eq!(out[1..], start[..len.min(have)]);
            }
        }
    }
}
