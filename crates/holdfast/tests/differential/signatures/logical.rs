//! `ldb` signatures: expressions, target descriptions, and every kind of sub-signature.

mod special;

use super::Databases;
use super::bodies::{choose, offset, target};
use super::hexsig::{Style, cut};
use crate::corpus::{Corpus, Piece};
use crate::rng::Rng;

pub(super) fn generate(corpus: &Corpus, rng: &mut Rng, databases: &mut Databases, count: usize) {
    for nr in 0..count {
        let piece = choose(corpus, rng);
        let target = target(rng, piece);
        let name = databases.name("Ldb");
        let mut subs = Vec::new();
        for idx in 0..rng.range(1, 4) {
            let other;
            let from = if rng.percent(12) {
                other = choose(corpus, rng);
                other
            } else {
                piece
            };
            let sub = sub(rng, from, target, idx);
            subs.push(sub);
        }
        if nr % 15 == 0 {
            subs = special::image(rng, corpus);
        }
        let tdb = description(rng, piece, target);
        let expr = expression(rng, &(0..subs.len()).collect::<Vec<_>>());
        databases.add("a.ldb", format!("{name};{tdb};{expr};{}", subs.join(";")));
    }
}

fn sub(rng: &mut Rng, piece: &Piece, target: u8, idx: usize) -> String {
    let kind = rng.below(10);
    if idx > 0 && kind < 3 {
        return special::pcre(rng, piece, idx);
    }
    if idx > 0 && kind == 3 {
        return special::byte_compare(rng, piece);
    }
    if kind < 6 {
        let pattern = cut(rng, &piece.bytes, Style::Simple);
        let offset = if rng.percent(30) {
            format!("{}:", offset(rng, piece, target, pattern.start))
        } else {
            String::new()
        };
        let mods = *rng.pick(&["i", "w", "f", "a", "iw", "wa", "if", "ia", "wfi", "aif"]);
        let text = if mods.contains('w') { narrow(&pattern.text) } else { pattern.text };
        return format!("{offset}{text}::{mods}");
    }
    let style = if rng.percent(30) { Style::Plain } else { Style::Full };
    let mut pattern = cut(rng, &piece.bytes, style);
    if rng.percent(25) {
        // Short ones occur often: counts matter.
        let at = pattern.start.min(piece.bytes.len() - 2);
        pattern.text = super::hex(&piece.bytes[at..at + 2]);
        pattern.start = at;
    }
    if rng.percent(30) {
        return format!("{}:{}", offset(rng, piece, target, pattern.start), pattern.text);
    }
    pattern.text
}

/// Drops every second byte, so that wide text is found by its letters.
fn narrow(text: &str) -> String {
    let plain = text.as_bytes().iter().all(u8::is_ascii_hexdigit);
    if !plain || text.len() < 12 {
        return text.to_owned();
    }
    text.as_bytes().chunks(4).filter_map(|pair| std::str::from_utf8(pair.get(..2)?).ok()).collect()
}

fn description(rng: &mut Rng, piece: &Piece, target: u8) -> String {
    let mut keys = vec!["Engine:51-255".to_owned(), format!("Target:{target}")];
    let len = piece.bytes.len();
    let range = |rng: &mut Rng, value: usize| {
        let low = value.saturating_sub(rng.below(50));
        let high = value + rng.below(50);
        if rng.percent(15) {
            format!("{}-{}", value + 1, value + 5)
        } else {
            format!("{low}-{high}")
        }
    };
    if rng.percent(15) {
        keys.push(format!("FileSize:{}", range(rng, len)));
    }
    if rng.percent(12) {
        let around = piece.around.last().copied().unwrap_or("CL_TYPE_ANY");
        let other = *rng.pick(&["CL_TYPE_ZIP", "CL_TYPE_GZ", "CL_TYPE_MAIL", "CL_TYPE_ANY"]);
        keys.push(format!("Container:{}", if rng.percent(75) { around } else { other }));
    } else if rng.percent(10) && !piece.around.is_empty() {
        let from = rng.below(piece.around.len());
        let mut chain = piece.around[from..].to_vec();
        if rng.percent(20) {
            chain[0] = "CL_TYPE_ANY";
        }
        keys.push(format!("Intermediates:{}", chain.join(">")));
    }
    if matches!(target, 1 | 6 | 9) {
        let kind = match target {
            1 => hf_core::FileType::Msexe,
            6 => hf_core::FileType::Elf,
            _ => hf_core::FileType::Macho,
        };
        if let Ok(view) = hf_formats::exe_view(&piece.bytes, kind) {
            if rng.percent(20) {
                keys.push(format!("NumberOfSections:{}", range(rng, view.sections.len())));
            }
            if let Some(entry) = view.entry_off.and_then(|entry| usize::try_from(entry).ok())
                && rng.percent(20)
            {
                keys.push(format!("EntryPoint:{}", range(rng, entry)));
            }
        }
    }
    keys.join(",")
}

/// Returns an expression that uses each of the sub-signatures at least once.
fn expression(rng: &mut Rng, subs: &[usize]) -> String {
    if let [only] = subs {
        return format!("{only}{}", comparison(rng, 15, false));
    }
    let at = rng.range(1, subs.len() - 1);
    let left = expression(rng, &subs[..at]);
    let right = expression(rng, &subs[at..]);
    let op = if rng.percent(60) { '&' } else { '|' };
    let both = format!("{left}{op}{right}");
    if rng.percent(40) { format!("({both}){}", comparison(rng, 40, true)) } else { both }
}

fn comparison(rng: &mut Rng, chance: usize, block: bool) -> String {
    if !rng.percent(chance) {
        return String::new();
    }
    let op = *rng.pick(&['=', '<', '>']);
    let count = rng.below(4);
    if block && rng.percent(40) {
        format!("{op}{count},{}", rng.range(1, 3))
    } else {
        format!("{op}{count}")
    }
}
