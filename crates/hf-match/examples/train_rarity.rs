//! Makes `src/rarity.bin`: how surprising a byte is, alone and behind another, in ordinary files.
//!
//! `cargo run --release -p hf-match --example train_rarity -- OUT FILE…`: every file has the same
//! weight up to its first 256 KiB, so that one large file does not decide.
use std::io::Read;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let out = args.next().ok_or_else(|| std::io::Error::other("no output named"))?;
    let mut single = vec![1u64; 256];
    let mut pairs = vec![1u64; 65536];
    for path in args {
        let mut bytes = Vec::new();
        let Ok(file) = std::fs::File::open(&path) else { continue };
        file.take(1 << 18).read_to_end(&mut bytes)?;
        for pair in bytes.windows(2) {
            let [first, second] = [usize::from(pair[0]), usize::from(pair[1])];
            single[second] += 1;
            pairs[first * 256 + second] += 1;
        }
    }
    let total: u64 = single.iter().sum();
    let mut table = Vec::with_capacity(256 + 65536);
    table.extend(single.iter().map(|count| sixteenths(*count, total)));
    for row in pairs.chunks_exact(256) {
        let total: u64 = row.iter().sum();
        table.extend(row.iter().map(|count| sixteenths(*count, total)));
    }
    std::fs::write(out, table)
}

/// Returns the information of an event in sixteenths of a bit.
fn sixteenths(count: u64, total: u64) -> u8 {
    let bits = (total as f64 / count as f64).log2();
    (bits * 16.0).round().clamp(0.0, 255.0) as u8
}
