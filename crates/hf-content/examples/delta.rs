//! Measures a patch between two packs: `delta OLD.pack NEW.pack`.

use std::fs::File;
use std::time::Instant;

use hf_channel::{Digest, patch};
use hf_pack::Pack;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [old, new] = [1, 2].map(|at| std::env::args().nth(at).unwrap_or_default());
    let (old, new) = (Pack::open(File::open(old)?)?, Pack::open(File::open(new)?)?);
    let (tables, seen) = hf_content::patch_tables(&old, &new);
    let (old_bytes, new_bytes) = (old.as_bytes(), new.as_bytes());
    let (old_digest, new_digest) = (Digest::of(old_bytes), Digest::of(new_bytes));
    let started = Instant::now();
    let made = patch::make((old_bytes, &old_digest), (new_bytes, &new_digest), &tables, &seen);
    println!(
        "patch: {} bytes of {} ({:.3} %), made in {:.2} s",
        made.len(),
        new_bytes.len(),
        100.0 * made.len() as f64 / new_bytes.len() as f64,
        started.elapsed().as_secs_f64()
    );
    let started = Instant::now();
    let wanted = (&new_digest, new_bytes.len() as u64);
    patch::apply(&made, old_bytes, &old_digest, wanted, std::io::sink())?;
    println!("applied in {:.2} s", started.elapsed().as_secs_f64());
    Ok(())
}
