//! `cdb` and `zmd` signatures about members of archives, and passwords.

use super::{Databases, hex};
use crate::corpus::Corpus;
use crate::rng::Rng;

pub(super) fn generate(corpus: &Corpus, rng: &mut Rng, databases: &mut Databases, count: usize) {
    for _ in 0..count {
        let entry = rng.pick(&corpus.entries);
        let name = regex(rng, &entry.name);
        let size = |rng: &mut Rng, size: usize| match rng.below(4) {
            0 => size.to_string(),
            1 => format!("{}-{}", size.saturating_sub(rng.below(9)), size + rng.below(9)),
            2 if rng.percent(20) => format!("{}", size + 1),
            _ => "*".to_owned(),
        };
        if rng.percent(25) {
            let sig = databases.name("Zmd");
            let crc = match rng.below(3) {
                0 => format!("{:08x}", entry.crc32),
                1 => format!("{:x}", entry.crc32 ^ 1),
                _ => "*".to_owned(),
            };
            let encrypted = *rng.pick(&["*", "0", "0", "1"]);
            let position = *rng.pick(&["*", "*", "1", "2"]);
            let (real, packed) = (size_only(rng, entry.size), "*");
            databases.add(
                "a.zmd",
                format!("{sig}:{encrypted}:{name}:{real}:{packed}:{crc}:*:{position}:*"),
            );
            continue;
        }
        let sig = databases.name("Cdb");
        let container = if rng.percent(80) { entry.container } else { "*" };
        let (packed, real) = (size(rng, entry.size), size(rng, entry.size));
        let encrypted = *rng.pick(&["*", "*", "0", "1"]);
        let position = *rng.pick(&["*", "*", "*", "1", "2", "1-2"]);
        databases.add(
            "a.cdb",
            format!("{sig}:{container}:*:{name}:{packed}:{real}:{encrypted}:{position}:*:*"),
        );
    }
    for (idx, password) in corpus.passwords.iter().enumerate() {
        let (kind, text) =
            if rng.percent(50) { ("0", password.clone()) } else { ("1", hex(password.as_bytes())) };
        let container = *rng.pick(&["", ",Container:CL_TYPE_ZIP", ",Container:CL_TYPE_ANY"]);
        databases
            .add("a.pwdb", format!("Diff.Password-p{idx};Engine:81-255{container};{kind};{text}"));
    }
}

fn size_only(rng: &mut Rng, size: usize) -> String {
    if rng.percent(40) { size.to_string() } else { "*".to_owned() }
}

fn regex(rng: &mut Rng, name: &str) -> String {
    let last = name.rsplit(['/', '-']).next().unwrap_or(name);
    match rng.below(6) {
        0 => "*".to_owned(),
        1 => format!("{}$", last.replace('.', "\\.")),
        2 => "\\.(jpg|pdf|txt)(\\.(exe|scr))?$".to_owned(),
        3 => "file.[0-9]+.[0-9]{1,2}\\.[a-z]{2,3}".to_owned(),
        4 => format!("^{}", &name[..name.len().min(5)]),
        _ => last.to_uppercase(),
    }
}
