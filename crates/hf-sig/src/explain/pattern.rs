//! Patterns and their places in words.

use std::fmt::Write as _;

use hf_core::signature::{Body, Edge, EdgeKind, Gap, Item, Offset, OffsetBase, Part, Reach};

/// Says where a match may start.
pub(super) fn offset_words(offset: Offset) -> String {
    let signed = |n: i64| match n {
        0 => String::new(),
        1.. => format!(" + {n}"),
        _ => format!(" - {}", n.unsigned_abs()),
    };
    let mut words = match offset.base {
        OffsetBase::Any => "anywhere".to_owned(),
        OffsetBase::Absolute(off) => format!("at byte {off}"),
        OffsetBase::End(back) => format!("{back} bytes before the end"),
        OffsetBase::Entry(add) => format!("at the entry point{}", signed(add)),
        OffsetBase::Section { idx, add } => {
            format!("at the start of section {idx}{}", signed(add.into()))
        }
        OffsetBase::LastSection { add } => {
            format!("at the start of the last section{}", signed(add.into()))
        }
        OffsetBase::InSection { idx } => format!("within section {idx}"),
        OffsetBase::VersionInfo => "at the key of a version-information string".to_owned(),
        OffsetBase::Macro(group) => format!("anywhere, as a macro of group {group}; no alert"),
    };
    if offset.max_shift > 0 {
        let _ = write!(words, ", or up to {} bytes behind it", offset.max_shift);
    }
    words
}

/// Writes a body, one line for each part and gap.
pub(super) fn say_body(text: &mut String, indent: &str, body: &Body) {
    let mut how = Vec::new();
    if body.nocase {
        how.push("letters in either case");
    }
    if body.wide {
        how.push("16-bit characters");
    }
    if !how.is_empty() {
        let _ = writeln!(text, "{indent}{}:", how.join(", "));
    }
    for (idx, part) in body.parts.iter().enumerate() {
        if let Some(gap) = idx.checked_sub(1).and_then(|idx| body.gaps.get(idx)) {
            let _ = writeln!(text, "{indent}then, {} later", gap_words(*gap));
        }
        let _ = writeln!(text, "{indent}{}", part_words(part));
    }
}

fn gap_words(gap: Gap) -> String {
    match gap {
        Gap { min: 0, max: None } => "any number of bytes".to_owned(),
        Gap { min, max: None } => format!("at least {min} bytes"),
        Gap { min, max: Some(max) } if min == max => format!("{min} bytes"),
        Gap { min, max: Some(max) } => format!("{min} to {max} bytes"),
    }
}

fn part_words(part: &Part) -> String {
    let mut words = Vec::new();
    if let Some(reach) = part.left {
        words.push(format!("{}, {} bytes,", byte_hex(reach.value, reach.mask), distance(reach)));
    }
    words.extend(part.lead.iter().map(|edge| edge_words(*edge)));
    words.push(items_words(&part.items));
    words.extend(part.trail.iter().map(|edge| edge_words(*edge)));
    let words = words.join(" ");
    match part.right {
        Some(reach) => {
            let byte = byte_hex(reach.value, reach.mask);
            format!("{words}, {} bytes, {byte}", distance(reach))
        }
        None => words,
    }
}

fn distance(reach: Reach) -> String {
    if reach.min == reach.max {
        reach.min.to_string()
    } else {
        format!("{} to {}", reach.min, reach.max)
    }
}

fn edge_words(edge: Edge) -> String {
    let kind = match edge.kind {
        EdgeKind::Word => "word boundary",
        EdgeKind::Line => "line boundary",
        EdgeKind::NonAlphanumeric => "non-alphanumeric character",
    };
    if edge.negated { format!("(no {kind})") } else { format!("({kind})") }
}

/// Says items: bytes as digits, then what of them can be printed.
fn items_words(items: &[Item]) -> String {
    let mut words = String::new();
    let mut printed = String::new();
    for item in items {
        match item {
            Item::Byte { value, mask } => {
                words += &byte_hex(*value, *mask);
                printed.push(if *mask == 0xff { printable(*value) } else { '.' });
            }
            Item::Set { alternatives, negated } => {
                let list: Vec<String> =
                    alternatives.iter().map(|bytes| bytes_words(bytes)).collect();
                let none = if *negated { "none of " } else { "" };
                let _ = write!(words, " [{none}{}] ", list.join(" | "));
                printed.push('~');
            }
            Item::Any { alternatives } => {
                let list: Vec<String> = alternatives.iter().map(|run| items_words(run)).collect();
                let _ = write!(words, " [{}] ", list.join(" | "));
                printed.push('~');
            }
            Item::Edge(edge) => {
                let _ = write!(words, " {} ", edge_words(*edge));
                printed.push('~');
            }
        }
    }
    format!("{}{}", words.replace("  ", " ").trim(), quoted(&printed))
}

/// Says bytes as digits and as text.
pub(super) fn bytes_words(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let printed: String = bytes.iter().map(|byte| printable(*byte)).collect();
    format!("{digits}{}", quoted(&printed))
}

/// Returns the printed text in quotes when at least half of it could be printed.
fn quoted(printed: &str) -> String {
    let shown = printed.chars().filter(|c| !matches!(c, '.' | '~')).count();
    let total = printed.chars().count();
    if total >= 2 && shown * 2 >= total { format!(" \"{printed}\"") } else { String::new() }
}

fn byte_hex(value: u8, mask: u8) -> String {
    match mask {
        0xff => format!("{value:02x}"),
        0xf0 => format!("{:x}?", value >> 4),
        0x0f => format!("?{value:x}"),
        _ => "??".to_owned(),
    }
}

fn printable(byte: u8) -> char {
    if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '.' }
}
