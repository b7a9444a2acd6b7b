//! Changes content as a day does: one signature of a thousand, most of them new hashes.
//!
//! New hashes are random, under names and near sizes of others; new and changed bodies are those of
//! others with three digits changed. What is new stands at the end, as in ClamAV's databases; what goes
//! and what changes is anywhere. The same input gives the same output: a seeded generator, no clock.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::random::Random;

/// Of 100,000 lines of a database: how many come, go, and change.
struct Share {
    added: u64,
    removed: u64,
    changed: u64,
}

const HASHES: Share = Share { added: 82, removed: 12, changed: 0 };
const BODIES: Share = Share { added: 120, removed: 28, changed: 50 };

/// Runs `gen-day --from DIR --out DIR`.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let from = PathBuf::from(arguments.required("--from")?);
    let out = PathBuf::from(arguments.required("--out")?);
    arguments.finish()?;
    fs::create_dir_all(&out)?;
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&from)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    let mut random = Random(0x6f6e_6520_6461_7921);
    let mut sum = 0;
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let shown = || path.display().to_string();
        sum += day(&path, &out.join(&name), &name, &mut random).with_context(shown)?;
    }
    println!("{sum} signatures came, went or changed");
    Ok(())
}

/// Writes a database as it is a day later; returns how many lines are other ones.
fn day(from: &Path, to: &Path, name: &str, random: &mut Random) -> Result<u64> {
    let suffix = name.rsplit('.').next().unwrap_or_default();
    let share = match suffix {
        "mdb" | "hdb" | "hsb" => HASHES,
        "ndb" | "ldb" => BODIES,
        _ => {
            fs::copy(from, to)?;
            return Ok(0);
        }
    };
    let lines = BufReader::new(File::open(from)?).lines().collect::<std::io::Result<Vec<_>>>()?;
    let of = |share: u64| share * lines.len() as u64 / 100_000;
    let some = |count: u64, random: &mut Random| {
        let picked: std::collections::HashSet<usize> =
            (0..count).map(|_| index(random, lines.len())).collect();
        picked
    };
    let (gone, changed) = (some(of(share.removed), random), some(of(share.changed), random));
    let mut out = BufWriter::new(File::create(to)?);
    for (at, line) in lines.iter().enumerate().filter(|(at, _)| !gone.contains(at)) {
        match changed.contains(&at) {
            true => writeln!(out, "{}", varied(line, random))?,
            false => writeln!(out, "{line}")?,
        }
    }
    for nth in 0..of(share.added) {
        let line = &lines[index(random, lines.len())];
        let line = match suffix {
            "ndb" | "ldb" => renamed(&varied(line, random), nth, suffix),
            _ => hash(line, nth, suffix, random),
        };
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(of(share.added) + (gone.len() + changed.len()) as u64)
}

fn index(random: &mut Random, len: usize) -> usize {
    usize::try_from(random.below(len as u64)).unwrap_or(0)
}

/// Returns the line of a new hash, near another one.
fn hash(line: &str, nth: u64, suffix: &str, random: &mut Random) -> String {
    let fields: Vec<&str> = line.split(':').collect();
    let (size_at, digest_at) = if suffix == "mdb" { (0, 1) } else { (1, 0) };
    let size = fields.get(size_at).and_then(|size| size.parse::<u64>().ok()).unwrap_or(1);
    let size = (size + random.below(4096)).to_string();
    let digest = random.hex(fields.get(digest_at).map_or(16, |digest| digest.len() / 2));
    let name = fields.get(2).copied().unwrap_or("Made");
    let name = new_name(name, nth);
    match suffix {
        "mdb" => [size, digest, name].join(":"),
        _ => [digest, size, name].join(":"),
    }
}

/// Gives a line of bodies another name.
fn renamed(line: &str, nth: u64, suffix: &str) -> String {
    let between = if suffix == "ldb" { ';' } else { ':' };
    match line.split_once(between) {
        Some((name, rest)) => format!("{}{between}{rest}", new_name(name, nth)),
        None => line.to_owned(),
    }
}

/// ClamAV's names end in two numbers.
fn new_name(name: &str, nth: u64) -> String {
    let stem = name.rsplitn(3, '-').last().unwrap_or(name);
    format!("{stem}-{}-0", 20_000_000 + nth)
}

/// Changes three digits in the middle of long runs of digits: wildcards and modifiers stay.
fn varied(line: &str, random: &mut Random) -> String {
    let mut bytes = line.as_bytes().to_vec();
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let mut places = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let len = bytes[start..].iter().take_while(|byte| is_digit(**byte)).count();
        if len >= 16 {
            places.extend(start + 2..start + len - 2);
        }
        start += len + 1;
    }
    if !places.is_empty() {
        for _ in 0..3 {
            let place = *random.pick(&places);
            bytes[place] = *random.pick(b"0123456789abcdef");
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_changes_one_of_a_thousand() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a.hdb"), dir.path().join("b.hdb"));
        let lines: String =
            (0..20_000).map(|n| format!("{n:032x}:{n}:Win.Trojan.X-{n}-0\n")).collect();
        fs::write(&from, lines).unwrap();
        let changed = day(&from, &to, "a.hdb", &mut Random(1)).unwrap();
        assert_eq!(changed, 16 + 2);
        let text = fs::read_to_string(&to).unwrap();
        let last = text.lines().last().unwrap();
        assert_eq!(text.lines().count(), 20_000 + 16 - 2);
        assert_eq!(last.split(':').next().unwrap().len(), 32, "{last}");
        assert!(last.ends_with("Win.Trojan.X-20000015-0"), "{last}");
        let body = "A-1-0:0:*:00112233445566778899{-3}aabb";
        let other = varied(body, &mut Random(1));
        assert!(other != body && other.len() == body.len() && other.ends_with("{-3}aabb"));
        assert_eq!(renamed(body, 7, "ndb").split(':').next(), Some("A-20000007-0"));
    }
}
