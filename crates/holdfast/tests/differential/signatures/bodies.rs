//! `ndb` and `db` signatures at every kind of offset.

use hf_core::{ExeView, FileType};

use super::Databases;
use super::hexsig::{Style, cut};
use crate::corpus::{Corpus, Piece};
use crate::rng::Rng;

pub(super) fn generate(corpus: &Corpus, rng: &mut Rng, databases: &mut Databases, count: usize) {
    for _ in 0..count {
        let piece = choose(corpus, rng);
        let target = target(rng, piece);
        let style = if rng.percent(20) { Style::Plain } else { Style::Full };
        let pattern = cut(rng, &piece.bytes, style);
        if rng.percent(5) {
            let name = databases.name("Db");
            databases.add("a.db", format!("{name}={}", pattern.text));
            continue;
        }
        let offset = offset(rng, piece, target, pattern.start);
        let name = databases.name("Ndb");
        let level = rng.pick(&["", "", "", ":51", ":51:255", ":250"]);
        databases.add("a.ndb", format!("{name}:{target}:{offset}:{}{level}", pattern.text));
    }
}

/// Chooses a buffer; each target as often as the others.
pub(super) fn choose<'c>(corpus: &'c Corpus, rng: &mut Rng) -> &'c Piece {
    let wanted = *rng.pick(&[0u8, 0, 1, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14]);
    let fits: Vec<_> = corpus.pieces.iter().filter(|piece| piece.target == wanted).collect();
    if fits.is_empty() { rng.pick(&corpus.pieces) } else { fits[rng.below(fits.len())] }
}

/// Returns the piece's own target, 0 or sometimes another.
pub(super) fn target(rng: &mut Rng, piece: &Piece) -> u8 {
    match rng.below(10) {
        0 => u8::try_from(rng.below(15)).unwrap_or(0),
        1..=4 => 0,
        _ => piece.target,
    }
}

/// Returns an offset that holds for a match at `start` (or nearly).
pub(super) fn offset(rng: &mut Rng, piece: &Piece, target: u8, start: usize) -> String {
    let len = piece.bytes.len();
    let shift = if rng.percent(35) { rng.range(1, 40) } else { 0 };
    let miss = usize::from(rng.percent(12));
    let back = rng.below(shift + 1);
    let tail = if shift > 0 { format!(",{shift}") } else { String::new() };
    let base = (start + miss).saturating_sub(back);
    let executable = matches!(target, 1 | 6 | 9);
    match rng.below(if executable { 9 } else { 5 }) {
        0 | 1 => "*".to_owned(),
        2 => format!("EOF-{}{tail}", (len + back).saturating_sub(start + miss)),
        3 | 4 => format!("{base}{tail}"),
        _ => {
            let kind = match piece.target {
                1 => FileType::Msexe,
                6 => FileType::Elf,
                _ => FileType::Macho,
            };
            match hf_formats::exe_view(&piece.bytes, kind) {
                Ok(view) => relative(rng, &view, base, &tail),
                Err(_) => format!("EP+{}{tail}", rng.below(50)),
            }
        }
    }
}

fn relative(rng: &mut Rng, view: &ExeView, base: usize, tail: &str) -> String {
    let base = base as u64;
    let idx = rng.below(view.sections.len().max(1));
    let from = |raw: u64| base.checked_sub(raw);
    match (rng.below(4), view.entry_off, view.sections.get(idx)) {
        (0, Some(entry), _) if entry <= base => format!("EP+{}{tail}", base - entry),
        (0 | 1, Some(entry), _) if entry > base => format!("EP-{}{tail}", entry - base),
        (2, ..) => {
            let last = view.sections.last().and_then(|last| from(last.raw_off));
            format!("SL+{}{tail}", last.unwrap_or(3))
        }
        (3, ..) => {
            let inside = |section: &hf_core::ExeSection| {
                (section.raw_off..section.raw_off + section.raw_len).contains(&base)
            };
            let idx = view.sections.iter().position(inside).unwrap_or(idx);
            format!("SE{idx}{tail}")
        }
        (_, _, Some(section)) if section.raw_off <= base => {
            format!("S{idx}+{}{tail}", base - section.raw_off)
        }
        _ => format!("EP+{}{tail}", rng.below(50)),
    }
}
