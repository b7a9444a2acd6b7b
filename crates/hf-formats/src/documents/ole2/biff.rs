//! Excel workbooks before 2007: encryption, and macro sheets.
//!
//! Sources: [1] MS-XLS §2.1.4 (records), §2.4.117 (FilePass), §2.2.10 (encryption of the stream),
//! §2.4.28 (BoundSheet8), §2.4.127 (Formula).

use super::legacy::{XorArray, excel_record};
use super::offcrypto::StreamKey;
use crate::documents::cipher::rc4;
use crate::documents::le::{part, u16_at, u32_at, utf16};
use crate::reader::size;

/// [1] §2.3: record types.
const FORMULA: u16 = 0x0006;
const EOF: u16 = 0x000a;
const FILE_PASS: u16 = 0x002f;
const BOUND_SHEET: u16 = 0x0085;
const NAME: u16 = 0x0018;
const LABEL_SST: u16 = 0x00fd;
const SST: u16 = 0x00fc;
const STRING: u16 = 0x0207;
const BOF: u16 = 0x0809;
const SUP_BOOK: u16 = 0x01ae;

const SHEETS_MAX: usize = 1024;
const LINES_LEN_MAX: usize = 4 << 20;

/// One record: type, offset of its data, data.
#[derive(Debug, Clone, Copy)]
struct Record<'a> {
    kind: u16,
    off: usize,
    data: &'a [u8],
}

fn records(stream: &[u8], mut off: usize) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let kind = u16_at(stream, off)?;
        let len = usize::from(u16_at(stream, off.checked_add(2)?)?);
        let start = off.checked_add(4)?;
        off = start.checked_add(len)?;
        Some(Record { kind, off: start, data: part(stream, start, len) })
    })
}

/// Returns the data of the record that says how the workbook is encrypted.
pub(super) fn file_pass(stream: &[u8]) -> Option<&[u8]> {
    // [1] §2.1.7.20.3: it stands near the start of the globals.
    let mut globals = records(stream, 0).take(16).take_while(|record| record.kind != EOF);
    globals.find(|record| record.kind == FILE_PASS).map(|record| record.data)
}

/// Records that are never encrypted ([1] §2.2.10).
const OPEN: [u16; 7] = [BOF, FILE_PASS, 0x00e1, 0x0195, 0x0194, 0x0138, 0x0196];

/// Undoes XOR obfuscation of a workbook.
pub(super) fn decrypt_xor(stream: &[u8], key: &XorArray) -> Vec<u8> {
    let mut plain = stream.to_vec();
    for record in records(stream, 0).filter(|record| !OPEN.contains(&record.kind)) {
        let end = record.off.saturating_add(record.data.len());
        let mut data = record.data.to_vec();
        excel_record(key, record.off, &mut data);
        if record.kind == BOUND_SHEET {
            let open = record.data.len().min(4);
            if let (Some(to), Some(from)) = (data.get_mut(..open), record.data.get(..open)) {
                to.copy_from_slice(from);
            }
        }
        if let Some(to) = plain.get_mut(record.off..end) {
            to.copy_from_slice(&data);
        }
    }
    plain
}

/// Returns what a workbook links to: files, and programs that give it data (DDE).
pub(super) fn links(stream: &[u8]) -> Vec<String> {
    // [1] §2.4.271: lengths that mean the workbook itself and add-ins.
    let other = |record: Record<'_>| {
        let len = u16_at(record.data, 2).filter(|len| (1..=0xff).contains(len))?;
        let wide = record.data.get(4)? & 1 != 0;
        let text = characters(record.data, 5, usize::from(len), wide);
        // [1] §2.5.277: codes of separators; between service and topic of DDE stands 3.
        Some(text.replace('\u{3}', "|").replace(|c: char| c < ' ', "/"))
    };
    let globals = records(stream, 0).take_while(|record| record.kind != EOF);
    globals.filter(|record| record.kind == SUP_BOOK).filter_map(other).take(SHEETS_MAX).collect()
}

/// Decrypts a workbook: everything but record headers and a few records ([1] §2.2.10).
pub(super) fn decrypt(stream: &[u8], key: &StreamKey) -> Vec<u8> {
    const BLOCK_LEN: usize = 1024;
    let mut plain = Vec::with_capacity(stream.len());
    for (number, block) in (0u32..).zip(stream.chunks(BLOCK_LEN)) {
        plain.extend(rc4(&key.block(number), block));
    }
    let mut restore = |off: usize, len: usize| {
        let from = part(stream, off, len);
        if let Some(to) = plain.get_mut(off..off.saturating_add(from.len())) {
            to.copy_from_slice(from);
        }
    };
    for record in records(stream, 0) {
        restore(record.off.saturating_sub(4), 4);
        if OPEN.contains(&record.kind) {
            restore(record.off, record.data.len());
        } else if record.kind == BOUND_SHEET {
            restore(record.off, 4);
        }
    }
    plain
}

/// The macro sheets of a workbook as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MacroSheets {
    /// Names of the macro sheets, hidden ones with their state.
    pub(super) names: Vec<String>,
    /// Formulas and strings, one a line.
    pub(super) text: String,
}

/// Finds macro sheets and renders their formulas.
pub(super) fn macro_sheets(stream: &[u8]) -> MacroSheets {
    const MACRO_SHEET: u8 = 1;
    let mut found = MacroSheets::default();
    let mut names = Vec::new();
    let mut strings = Vec::new();
    let mut offs = Vec::new();
    for record in records(stream, 0).take_while(|record| record.kind != EOF) {
        match record.kind {
            BOUND_SHEET if record.data.get(5) == Some(&MACRO_SHEET) && offs.len() < SHEETS_MAX => {
                let name = short_string(record.data, 6).map(|(name, _)| name).unwrap_or_default();
                let state = match record.data.get(4).map(|state| state & 3) {
                    Some(1) => " (hidden)",
                    Some(2) => " (very hidden)",
                    _ => "",
                };
                found.names.push(format!("{name}{state}"));
                offs.extend(u32_at(record.data, 0).map(|off| size(u64::from(off))));
            }
            NAME => names.push(defined_name(record.data)),
            SST if strings.is_empty() => strings = shared_strings(record.data),
            _ => {}
        }
    }
    // Sheets are disjoint; four times the stream is more than any honest workbook asks for.
    let mut records_left = stream.len();
    for off in offs {
        sheet(stream, off, (&names, &strings), &mut records_left, &mut found.text);
    }
    found
}

/// Renders the formulas of one sheet.
fn sheet(
    stream: &[u8],
    off: usize,
    (names, strings): (&[String], &[String]),
    records_left: &mut usize,
    text: &mut String,
) {
    let cells = records(stream, off).take_while(|record| record.kind != EOF);
    for record in cells {
        if text.len() > LINES_LEN_MAX || *records_left == 0 {
            return;
        }
        *records_left = records_left.saturating_sub(1);
        let cell = || {
            let row = u16_at(record.data, 0).unwrap_or(0);
            super::xlm::cell_name(u32::from(row), u16_at(record.data, 2).unwrap_or(0))
        };
        match record.kind {
            FORMULA => {
                let len = usize::from(u16_at(record.data, 20).unwrap_or(0));
                let tokens = part(record.data, 22, len);
                let formula = super::xlm::render(tokens, names, super::xlm::Biff::Eight);
                text.push_str(&format!("{}\t={formula}\n", cell()));
            }
            STRING => {
                if let Some((value, _)) = long_string(record.data, 0) {
                    text.push_str(&format!("\t\"{value}\"\n"));
                }
            }
            LABEL_SST => {
                let idx = u32_at(record.data, 6).map(|idx| size(u64::from(idx)));
                if let Some(value) = idx.and_then(|idx| strings.get(idx)) {
                    text.push_str(&format!("{}\t\"{value}\"\n", cell()));
                }
            }
            _ => {}
        }
    }
}

/// Returns a defined name ([1] §2.4.150), built-in ones by their number.
fn defined_name(data: &[u8]) -> String {
    let flags = u16_at(data, 0).unwrap_or(0);
    let len = usize::from(data.get(3).copied().unwrap_or(0));
    let wide = data.get(14).is_some_and(|flags| flags & 1 != 0);
    let name = characters(data, 15, len, wide);
    match (flags & 0x20 != 0, name.as_bytes().first()) {
        (true, Some(1)) => "Auto_Open".to_owned(),
        (true, Some(2)) => "Auto_Close".to_owned(),
        (true, Some(0x0a)) => "Auto_Activate".to_owned(),
        (true, Some(0x0b)) => "Auto_Deactivate".to_owned(),
        _ => name,
    }
}

/// Reads the strings of one record; those behind a continuation are left out.
fn shared_strings(data: &[u8]) -> Vec<String> {
    let mut strings = Vec::new();
    let mut off = 8usize;
    while let Some((text, next)) = long_string(data, off) {
        strings.push(text);
        off = next;
    }
    strings
}

fn short_string(data: &[u8], off: usize) -> Option<(String, usize)> {
    let len = usize::from(*data.get(off)?);
    let wide = data.get(off.checked_add(1)?)? & 1 != 0;
    let start = off.checked_add(2)?;
    Some((characters(data, start, len, wide), start.checked_add(byte_len(len, wide))?))
}

/// Reads a string with a 16-bit length, and rich text and phonetic data skipped ([1] §2.5.293).
fn long_string(data: &[u8], off: usize) -> Option<(String, usize)> {
    let len = usize::from(u16_at(data, off)?);
    let flags = *data.get(off.checked_add(2)?)?;
    let mut start = off.checked_add(3)?;
    let mut behind = 0usize;
    if flags & 8 != 0 {
        behind = usize::from(u16_at(data, start)?).saturating_mul(4);
        start = start.checked_add(2)?;
    }
    if flags & 4 != 0 {
        behind = behind.saturating_add(size(u64::from(u32_at(data, start)?)));
        start = start.checked_add(4)?;
    }
    let wide = flags & 1 != 0;
    let end = start.checked_add(byte_len(len, wide))?.checked_add(behind)?;
    Some((characters(data, start, len, wide), end))
}

/// Reads the string of a formula token: a length of 8 bits, then as the others.
pub(super) fn token_string(data: &[u8], off: usize) -> Option<(String, usize)> {
    short_string(data, off)
}

fn byte_len(len: usize, wide: bool) -> usize {
    if wide { len.saturating_mul(2) } else { len }
}

fn characters(data: &[u8], off: usize, len: usize, wide: bool) -> String {
    let raw = part(data, off, byte_len(len, wide));
    if wide { utf16(raw) } else { raw.iter().copied().map(char::from).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::ole2::offcrypto::StreamKey;

    fn record(kind: u16, data: &[u8]) -> Vec<u8> {
        let len = u16::try_from(data.len()).expect("small");
        [&kind.to_le_bytes(), &len.to_le_bytes(), data].concat()
    }

    #[test]
    fn records_are_decrypted_in_their_place() {
        let verifier = b"\xc9\xe9\x97\xd4T\x97=1\x0b\xb1\xbap\x14&\x83~\
            \xb1\xde\x17\x8f\x07\xe9\x89\xc4M\xae^L\xf9j\xc4\x07";
        let salt = b"\xe8w,\x1d\x91\xc5j7\x96Ga\xb2\x80\x182\x17";
        let pass = [&[1, 0, 1, 0, 1, 0][..], salt, verifier].concat();
        let key = StreamKey::find(&pass, &[b"password1".to_vec()]).expect("a key");
        let bound = [&[9, 0, 0, 0, 0, 1, 1, 0][..], b"M"].concat();
        let plain = [
            record(BOF, &[0; 16]),
            record(FILE_PASS, &pass),
            record(BOUND_SHEET, &bound),
            record(0x5c, &[b'x'; 2000]),
            record(EOF, b""),
        ]
        .concat();
        // Decrypting twice gives the start again: the cipher is its own inverse.
        let packed = decrypt(&plain, &key);
        assert_ne!(packed, plain);
        assert_eq!(file_pass(&packed), Some(pass.as_slice()));
        assert_eq!(decrypt(&packed, &key), plain);
        assert_eq!(macro_sheets(&plain).names, ["M"]);
    }

    #[test]
    fn strings_of_both_widths() {
        let data =
            [&[0; 8][..], b"\x02\0\0ab", b"\x01\0\x09\x01\0x\0\0\0\0\0", b"\x01\0\0z"].concat();
        assert_eq!(shared_strings(&data), ["ab", "x", "z"]);
        assert_eq!(shared_strings(&[0; 8]), Vec::<String>::new());
    }
}
