//! POSIX extended regular expressions, by the rules of the library in ClamAV.

use super::{CLASSES, Cursor};
use crate::{diagnostic::Fault, text::Text};

/// Largest repetition; POSIX's.
const REPEAT_MAX: u64 = 255;

pub(super) fn check(text: Text<'_>) -> Result<(), Fault> {
    let mut cursor = Cursor::new(text);
    // ClamAV's own: matches in both cases.
    cursor.eat(b"(?i)");
    let mut open: Vec<usize> = Vec::new();
    // True where a branch is still empty, and where nothing stands that could be repeated.
    let mut empty = true;
    let mut fixed = true;
    while let Some(byte) = cursor.next() {
        let here = cursor.pos - 1;
        match byte {
            b'(' if cursor.eat(b")") => (empty, fixed) = (false, false),
            b'(' => {
                open.push(here);
                (empty, fixed) = (true, true);
            }
            b')' if !open.is_empty() => {
                if empty {
                    return Err(cursor.fault(here, "the branch is empty"));
                }
                open.pop();
                fixed = false;
            }
            b'|' => {
                if empty {
                    return Err(cursor.fault(here, "the branch is empty"));
                }
                (empty, fixed) = (true, true);
            }
            b'^' => (empty, fixed) = (false, true),
            b'*' | b'+' | b'?' => repeat(&cursor, here, &mut fixed)?,
            b'{' if cursor.peek().is_some_and(|b| b.is_ascii_digit()) => {
                if cursor.bounds(REPEAT_MAX)?.is_none() {
                    return Err(cursor.fault(here, "the repetition is not closed"));
                }
                repeat(&cursor, here, &mut fixed)?;
            }
            b'[' => {
                brackets(&mut cursor, here)?;
                (empty, fixed) = (false, false);
            }
            b'\\' if cursor.next().is_none() => {
                return Err(cursor.fault(here, "nothing stands behind the backslash"));
            }
            _ => (empty, fixed) = (false, false),
        }
    }
    if let Some(idx) = open.pop() {
        cursor.pos = idx + 1;
        return Err(cursor.fault(idx, "the parenthesis is not closed"));
    }
    if empty {
        return Err(cursor.fault(text.len(), "the branch is empty"));
    }
    Ok(())
}

fn repeat(cursor: &Cursor<'_>, here: usize, fixed: &mut bool) -> Result<(), Fault> {
    if *fixed {
        return Err(cursor.fault(here, "nothing stands here that could be repeated"));
    }
    *fixed = true;
    Ok(())
}

fn brackets(cursor: &mut Cursor<'_>, start: usize) -> Result<(), Fault> {
    cursor.eat(b"^");
    let mut first = true;
    let mut previous: Option<u8> = None;
    while let Some(byte) = cursor.next() {
        match byte {
            b']' if !first => return Ok(()),
            b'[' if matches!(cursor.peek(), Some(b':' | b'=' | b'.')) => {
                let kind = cursor.next().unwrap_or(b':');
                let from = cursor.pos;
                if !cursor.skip_past(&[kind, b']']) {
                    break;
                }
                let name = cursor.text.cut(from..cursor.pos - 2);
                if kind == b':' && !CLASSES.contains(&name.bytes()) {
                    return Err(cursor.fault(from, "unknown character class"));
                }
                previous = None;
            }
            b'-' if previous.is_some() && !matches!(cursor.peek(), Some(b']') | None) => {
                let low = previous.take();
                let high = cursor.next();
                if low > high && high != Some(b'[') {
                    return Err(cursor.fault(start, "a range in brackets is out of order"));
                }
            }
            _ => previous = Some(byte),
        }
        first = false;
    }
    cursor.pos = start + 1;
    Err(cursor.fault(start, "the bracket is not closed"))
}
