//! YARA rules.

use super::Databases;
use super::bodies::choose;
use super::hexsig::{Style, cut};
use crate::corpus::{Corpus, Piece};
use crate::rng::Rng;

pub(super) fn generate(corpus: &Corpus, rng: &mut Rng, databases: &mut Databases, count: usize) {
    for _ in 0..count {
        let piece = choose(corpus, rng);
        let name = databases.name("Yara").replace(['.', '-'], "_");
        let strings: Vec<String> = (0..rng.range(1, 3)).map(|_| string(rng, piece)).collect();
        let lines: Vec<String> =
            strings.iter().enumerate().map(|(nr, text)| format!("$s{nr} = {text}")).collect();
        // Every string must be referred to.
        let all: Vec<String> = (0..strings.len()).map(|nr| format!("#s{nr} >= 0")).collect();
        let condition = condition(rng, piece, strings.len());
        let rule = format!(
            "rule {name} {{ strings: {} condition: ({condition}) and {} }}",
            lines.join(" "),
            all.join(" and ")
        );
        databases.add("a.yar", rule);
    }
}

fn string(rng: &mut Rng, piece: &Piece) -> String {
    if rng.percent(50) {
        let pattern = cut(rng, &piece.bytes, Style::Simple);
        let mut text = String::new();
        let mut rest = pattern.text.as_str();
        while let Some((byte, tail)) =
            rest.split_at_checked(if rest.starts_with('{') { 3 } else { 2 })
        {
            text.push_str(if byte.starts_with('{') { "?? ??" } else { byte });
            text.push(' ');
            rest = tail;
        }
        // A wildcard at the end is not a YARA string.
        let bytes: Vec<&str> = text.split_whitespace().collect();
        let len = bytes.iter().rposition(|byte| !byte.contains('?')).map_or(0, |at| at + 1);
        let text = bytes[..len].join(" ");
        return format!("{{ {text} 00 }}")
            .replace(" 00 }", if rng.percent(80) { " }" } else { " ?? 00 }" });
    }
    let len = rng.range(4, 10).min(piece.bytes.len());
    let start = rng.below(piece.bytes.len() - len + 1);
    let text: String = piece.bytes[start..start + len]
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' => char::from(*byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        })
        .collect();
    let mods = rng.pick(&["", "", "nocase", "fullword", "ascii", "wide", "wide ascii"]);
    format!("\"{text}\" {mods}")
}

fn condition(rng: &mut Rng, piece: &Piece, count: usize) -> String {
    let last = count - 1;
    let size = piece.bytes.len();
    match rng.below(9) {
        0 => "any of them".to_owned(),
        1 => "all of them".to_owned(),
        2 => format!("#s0 > {}", rng.below(3)),
        3 => format!("$s{last} and filesize < {}", size + 10),
        4 => format!("$s0 in (0..{})", rng.below(size)),
        5 => format!("not $s0 and $s{last}"),
        6 => format!("$s0 or uint16(0) == 0x{:02x}{:02x}", piece.bytes[1], piece.bytes[0]),
        7 => format!("for any i in (1..#s0) : ( @s0[i] < {} )", rng.below(size)),
        _ => format!("{} of them", rng.range(1, count)),
    }
}
