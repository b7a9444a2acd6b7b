//! How rare a run of bytes is in ordinary files, by a table of byte pairs.
//!
//! The table (`rarity.bin`, made by `examples/train_rarity.rs` from the programs, libraries and
//! texts of a Debian system) holds the information of a byte, and of a byte behind another, in
//! sixteenths of a bit. It decides only what is looked for first, never what matches.

/// Returns how rare a byte is, in sixteenths of a bit.
pub(crate) fn of_byte(byte: u8) -> u32 {
    TABLE.get(usize::from(byte)).copied().map_or(0, u32::from)
}

/// Returns how rare a run of bytes is, in sixteenths of a bit.
pub(crate) fn of_run(bytes: &[u8]) -> u32 {
    let first = bytes.first().map_or(0, |byte| of_byte(*byte));
    let pairs = bytes.windows(2).map(|pair| match pair {
        [one, two] => of_pair(*one, *two),
        _ => 0,
    });
    pairs.fold(first, u32::saturating_add)
}

fn of_pair(one: u8, two: u8) -> u32 {
    let idx = 256 + usize::from(one) * 256 + usize::from(two);
    TABLE.get(idx).copied().map_or(0, u32::from)
}

static TABLE: &[u8; 256 + 65536] = include_bytes!("rarity.bin");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_runs_are_not_rare() {
        assert!(of_run(&[0; 8]) < of_run(b"the file"));
        assert!(of_run(b"the file") < of_run(b"zQ7}xK~j"));
        assert!(of_byte(0) < of_byte(0xf7));
    }
}
