//! Batch files: variables, substrings of them, and carets.
//!
//! Promises: one pass over the lines; the output is at most four times the text and a little.
//! Leaves out: delayed evaluation in loops, labels, the environment but for a few well-known variables.
//! Sources: `set /?` and `cmd /?` of Windows.

use std::collections::BTreeMap;

const VARIABLES_MAX: usize = 4096;
const VALUE_LEN_MAX: usize = 8192;

/// What every Windows has.
const KNOWN: [(&str, &str); 5] = [
    ("comspec", "C:\\Windows\\system32\\cmd.exe"),
    ("systemroot", "C:\\Windows"),
    ("public", "C:\\Users\\Public"),
    ("programfiles", "C:\\Program Files"),
    ("pathext", ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC"),
];

/// Returns the text with variables replaced and carets gone; none when that changes little.
pub(super) fn plain(text: &[u8]) -> Option<Vec<u8>> {
    let known =
        KNOWN.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let mut variables: BTreeMap<Vec<u8>, Vec<u8>> = known.collect();
    let mut out = Vec::with_capacity(text.len());
    let mut changes = 0usize;
    let cap = text.len().saturating_mul(4).saturating_add(1 << 16);
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = expanded(line, &variables, &mut changes);
        let line = without_carets(&line, &mut changes);
        for command in line.split(|byte| *byte == b'&') {
            assign(command, &mut variables);
        }
        out.extend_from_slice(&line);
        out.push(b'\n');
        if out.len() > cap {
            break;
        }
    }
    (changes >= 8).then_some(out)
}

fn without_carets(line: &[u8], changes: &mut usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut quoted = false;
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'^' if !quoted => {
                *changes = changes.saturating_add(1);
                out.extend(bytes.next());
                continue;
            }
            _ => {}
        }
        out.push(*byte);
    }
    out
}

/// `set name=value`, with quotes around both or not.
fn assign(command: &[u8], variables: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    let command = command.trim_ascii_start();
    let command = command.strip_prefix(b"@").unwrap_or(command);
    let Some((word, rest)) = command.split_at_checked(4) else { return };
    if !word.eq_ignore_ascii_case(b"set ") && !word.eq_ignore_ascii_case(b"set\"") {
        return;
    }
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
    let Some(at) = memchr::memchr(b'=', rest) else { return };
    let (name, value) = rest.split_at_checked(at).unwrap_or_default();
    let value = value.get(1..).unwrap_or_default();
    let value = value.strip_suffix(b"\"").unwrap_or(value);
    if variables.len() < VARIABLES_MAX {
        let value = value.get(..value.len().min(VALUE_LEN_MAX)).unwrap_or_default();
        variables.insert(name.to_ascii_lowercase(), value.to_vec());
    }
}

fn expanded(line: &[u8], variables: &BTreeMap<Vec<u8>, Vec<u8>>, changes: &mut usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = memchr::memchr2(b'%', b'!', rest) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        let Some((sign, inside)) = behind.split_first() else { break };
        let end = memchr::memchr(*sign, inside.get(..inside.len().min(256)).unwrap_or_default());
        let value = end.and_then(|end| inside.get(..end)).and_then(|name| lookup(name, variables));
        match (value, end) {
            (Some(value), Some(end))
                if out.len() < line.len().saturating_mul(4).saturating_add(VALUE_LEN_MAX) =>
            {
                *changes = changes.saturating_add(1);
                out.extend_from_slice(&value);
                rest = inside.get(end.saturating_add(1)..).unwrap_or_default();
            }
            _ => {
                out.push(*sign);
                rest = inside;
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Returns what `name`, `name:~from,len` or `name:old=new` stands for.
fn lookup(reference: &[u8], variables: &BTreeMap<Vec<u8>, Vec<u8>>) -> Option<Vec<u8>> {
    let at = memchr::memchr(b':', reference).unwrap_or(reference.len());
    let value = variables.get(&reference.get(..at)?.to_ascii_lowercase())?;
    let Some(change) = reference.get(at.saturating_add(1)..).filter(|change| !change.is_empty())
    else {
        return Some(value.clone());
    };
    if let Some(range) = change.strip_prefix(b"~") {
        let mut numbers = range.split(|byte| *byte == b',').map(|word| {
            std::str::from_utf8(word.trim_ascii()).ok().and_then(|word| word.parse::<i64>().ok())
        });
        let len = i64::try_from(value.len()).ok()?;
        let place = |number: i64| if number < 0 { len.saturating_add(number) } else { number };
        let from = place(numbers.next()??).clamp(0, len);
        let to = match numbers.next() {
            Some(Some(count)) if count < 0 => len.saturating_add(count),
            Some(Some(count)) => from.saturating_add(count),
            _ => len,
        };
        let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to.clamp(from, len)).ok()?);
        return value.get(from..to).map(<[u8]>::to_vec);
    }
    let equals = memchr::memchr(b'=', change)?;
    let (old, new) = (change.get(..equals)?, change.get(equals.checked_add(1)?..)?);
    Some(super::call::replaced(value, old, new, VALUE_LEN_MAX))
}
