//! Measures a patch between two packs: `delta OLD.pack NEW.pack`. Each section is also patched by itself,
//! to see where the bytes go.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use hf_channel::{Digest, patch};
use hf_pack::Pack;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [old, new] = [1, 2].map(|at| std::env::args().nth(at).unwrap_or_default());
    let (old, new) = (Pack::open(File::open(old)?)?, Pack::open(File::open(new)?)?);
    let tables = hf_content::patch_tables(&old, &new);
    let (old_bytes, new_bytes) = (old.as_bytes(), new.as_bytes());
    let (old_digest, new_digest) = (Digest::of(old_bytes), Digest::of(new_bytes));
    let started = Instant::now();
    let made = patch::make((old_bytes, &old_digest), (new_bytes, &new_digest), &tables);
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
    let mut costs = Vec::new();
    for (id, len) in new.sections() {
        let (old, new) = (old.section_range(id), new.section_range(id));
        let own = tables.iter().find(|table| table.new == new);
        let own = own.filter(|table| !matches!(table.kind, patch::TableKind::Beside { .. }));
        let own = own.map(|table| patch::Table {
            old: 0..old.len(),
            new: 0..new.len(),
            kind: table.kind,
        });
        let (old, new) = (&old_bytes[old], &new_bytes[new]);
        let digest = Digest::of(b"");
        let cost = patch::make((old, &digest), (new, &digest), own.as_slice()).len();
        costs.push((cost, id, len));
    }
    costs.sort_unstable_by_key(|(cost, ..)| std::cmp::Reverse(*cost));
    let mut out = std::io::stdout().lock();
    for (cost, id, len) in costs.iter().take(25) {
        writeln!(out, "{id}: {cost} of {len}")?;
    }
    Ok(())
}
