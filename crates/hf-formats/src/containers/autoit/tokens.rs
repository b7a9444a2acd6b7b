//! Scripts of `EA06` as tokens, and the text that they stand for.
//!
//! Sources: observation of test files; public descriptions of compiled AutoIt scripts.

use std::fmt::Write as _;

use crate::reader::Reader;

/// Signs by token, from 0x40 on.
const SIGNS: [&str; 25] = [
    ",", "=", ">", "<", "<>", ">=", "<=", "(", ")", "+", "-", "/", "*", "&", "[", "]", "==", "^",
    "+=", "-=", "/=", "*=", "&=", "?", ":",
];
const END_OF_LINE: u8 = 0x7f;
/// Longest word of a script that is taken for one.
const WORD_LEN_MAX: usize = 1 << 20;

/// Returns the text of a script of at most so many bytes; none when its first token is none. What
/// follows a token that is not known is left out, with a line that says so.
pub(super) fn to_text(script: &[u8], len_max: usize) -> Option<String> {
    let mut reader = Reader::new(script);
    let lines = reader.u32_le().ok()?;
    let mut text = String::new();
    let mut line = 0u32;
    while reader.left() > 0 && line < lines && text.len() < len_max {
        let before = reader;
        let Some(()) = token(&mut reader, &mut text, &mut line) else {
            if before.off() <= 4 {
                return None;
            }
            let _ = writeln!(text, "; token unknown at {:#x}", before.off());
            text.push_str(&String::from_utf8_lossy(before.rest()));
            break;
        };
    }
    let mut end = text.len().min(len_max);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    Some(text)
}

fn token(reader: &mut Reader<'_>, text: &mut String, line: &mut u32) -> Option<()> {
    let token = reader.u8().ok()?;
    match token {
        // Numbers of keywords and functions, of whose names later compilers have a table.
        0x00 | 0x01 => write!(text, "#{token}:{} ", reader.u32_le().ok()?).ok()?,
        0x02..=0x0f => {
            let number = i32::from_le_bytes(reader.u32_le().ok()?.to_le_bytes());
            write!(text, "{number} ").ok()?;
        }
        0x10..=0x1f => {
            let number = i64::from_le_bytes(reader.u64_le().ok()?.to_le_bytes());
            write!(text, "{number} ").ok()?;
        }
        0x20..=0x2f => write!(text, "{} ", f64::from_bits(reader.u64_le().ok()?)).ok()?,
        0x30..=0x3f => word(token, reader, text)?,
        0x40..=0x58 => {
            let sign = SIGNS.get(usize::from(token.saturating_sub(0x40)))?;
            write!(text, "{sign} ").ok()?;
        }
        END_OF_LINE => {
            *line = line.saturating_add(1);
            text.truncate(text.trim_end_matches(' ').len());
            text.push_str("\r\n");
        }
        _ => return None,
    }
    Some(())
}

fn word(token: u8, reader: &mut Reader<'_>, text: &mut String) -> Option<()> {
    let len = reader.u32_le().ok()?;
    let [low, high, ..] = len.to_le_bytes();
    let mask = u16::from_le_bytes([low, high]);
    let len = usize::try_from(len).ok().filter(|len| *len <= WORD_LEN_MAX)?;
    let bytes = reader.take(len.checked_mul(2)?).ok()?;
    let units: Vec<u16> =
        bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair) ^ mask).collect();
    let word = String::from_utf16_lossy(&units);
    match token {
        0x32 => write!(text, "@{word} "),
        0x33 => write!(text, "${word} "),
        0x35 => write!(text, ".{word} "),
        // The text of a script doubles what ends a string.
        0x36 if !word.contains('"') => write!(text, "\"{word}\" "),
        0x36 => write!(text, "'{}' ", word.replace('\'', "''")),
        _ => write!(text, "{word} "),
    }
    .ok()
}
