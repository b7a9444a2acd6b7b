//! A VBA project as the one text that `clamscan` scans: what `dir` says, in comments, and each module's source.
//!
//! Promises: byte for byte that text for projects whose `dir` has the records in their order; none for others, which
//! `clamscan` does not show either.
//! Leaves out: characters beyond ASCII in code pages other than UTF-8 and 1252 stay the bytes that they are;
//! continuations with blanks or several carriage returns behind the `_` stay as they are.
//! Sources: [1] MS-OVBA §2.3.4.2; [2] black-box runs of clamscan 1.4.6.

use std::borrow::Cow;
use std::fmt::Write as _;

use hf_core::Stop;

use crate::documents::le::{u16_at, u32_at, units};
use crate::reader::{Reader, size};

/// Where a module's source lies.
#[derive(Debug)]
pub(super) struct Place {
    /// The stream's name in the code page.
    pub(super) stream: Vec<u8>,
    /// The stream's name as UTF-16.
    pub(super) stream_wide: String,
    /// Offset of the source in the stream.
    pub(super) text_off: u32,
}

/// Returns the text; none where `dir` is not as it should be.
///
/// # Errors
/// The scan ends in `source`, which returns a module's source.
pub(super) fn text(
    dir: &[u8],
    mut source: impl FnMut(&Place) -> Result<Option<Vec<u8>>, Stop>,
) -> Result<Option<Vec<u8>>, Stop> {
    let mut writer = Writer { out: HEAD.to_vec(), page: 1252 };
    let mut reader = Reader::new(dir);
    while let Some((id, data)) = record(&mut reader) {
        match id {
            TERMINATOR => break,
            MODULE_NAME => {
                let Some(place) = writer.module(data, &mut reader) else { return Ok(None) };
                if let Some(source) = source(&place)? {
                    writer.source(&source);
                }
            }
            _ => {
                if writer.project(id, data).is_none() {
                    return Ok(None);
                }
            }
        }
        if writer.out.len() > TEXT_LEN_MAX {
            return Ok(None);
        }
    }
    Ok(Some(writer.out))
}

const HEAD: &[u8] = b"REM VBA project extracted from Microsoft Office document\n\n";
/// Ours.
const TEXT_LEN_MAX: usize = 48 << 20;

// [1] §2.3.4.2: record ids.
const VERSION: u16 = 0x0009;
const TERMINATOR: u16 = 0x0010;
const MODULE_NAME: u16 = 0x0019;

fn record<'a>(reader: &mut Reader<'a>) -> Option<(u16, &'a [u8])> {
    let (id, len) = (reader.u16_le().ok()?, reader.u32_le().ok()?);
    // The version record's size counts its major part only.
    let len = if id == VERSION { 6 } else { size(u64::from(len)) };
    Some((id, reader.take(len).ok()?))
}

struct Writer {
    out: Vec<u8>,
    page: u16,
}

impl Writer {
    fn line(&mut self, key: &str, value: &[u8]) {
        self.out.extend_from_slice(b"REM ");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.push(b'\n');
    }

    /// Writes a number of four bytes with at least so many digits.
    fn number(&mut self, key: &str, data: &[u8], digits: usize) -> Option<u32> {
        let value = u32_at(data, 0).filter(|_| data.len() == 4)?;
        self.line(key, format!("0x{value:0digits$x}").as_bytes());
        Some(value)
    }

    fn short(&mut self, key: &str, data: &[u8]) -> Option<u16> {
        let value = u16_at(data, 0).filter(|_| data.len() == 2)?;
        self.line(key, format!("0x{value:04x}").as_bytes());
        Some(value)
    }

    fn narrow(&mut self, key: &str, data: &[u8]) {
        let text = decoded(self.page, data).unwrap_or(Cow::Borrowed(UNDECODED));
        self.line(key, &text);
    }

    fn wide(&mut self, key: &str, data: &[u8]) {
        let text = decoded_wide(data);
        self.line(key, text.as_deref().map_or(UNDECODED, str::as_bytes));
    }

    /// Writes a text that there is twice.
    fn both(&mut self, key: &str, narrow: &[u8], wide: &[u8]) {
        self.narrow(key, narrow);
        self.wide(&format!("{key}UNICODE"), wide);
        if let (Some(one), Some(two)) = (decoded(self.page, narrow), decoded_wide(wide))
            && *one != *two.as_bytes()
        {
            let line = format!("REM WARNING: {key} and {key}UNICODE differ\n");
            self.out.extend_from_slice(line.as_bytes());
        }
    }

    /// Writes a record of the project; none for one that ends the reading.
    fn project(&mut self, id: u16, data: &[u8]) -> Option<()> {
        match id {
            0x01 => {
                let kind = u32_at(data, 0).filter(|_| data.len() == 4)?;
                let mut name = String::new();
                let _ = match kind {
                    0 => write!(name, "Windows 16 bit"),
                    1 => write!(name, "Windows 32 bit"),
                    2 => write!(name, "Macintosh"),
                    3 => write!(name, "Windows 64 bit"),
                    kind => write!(name, "Unknown (0x{kind:x})"),
                };
                self.line("PROJECTSYSKIND", name.as_bytes());
            }
            0x02 => drop(self.number("PROJECTLCID", data, 8)?),
            0x14 => drop(self.number("PROJECTLCIDINVOKE", data, 8)?),
            0x03 => self.page = self.short("PROJECTCODEPAGE", data)?,
            0x04 => self.narrow("PROJECTNAME", data),
            0x05 => self.narrow("PROJECTDOCSTRING", data),
            0x40 => self.wide("PROJECTDOCSTRINGUNICODE", data),
            0x06 => self.narrow("PROJECTHELPFILEPATH", data),
            0x3d => self.wide("PROJECTHELPFILEPATH2", data),
            0x07 => drop(self.number("PROJECTHELPCONTEXT", data, 4)?),
            0x08 => drop(self.number("PROJECTLIBFLAGS", data, 4)?),
            VERSION => {
                let (major, minor) = (u32_at(data, 0)?, u16_at(data, 4)?);
                self.line("PROJECTVERSION", format!("{major}.{minor}").as_bytes());
            }
            0x0f => {
                let count = u16_at(data, 0).filter(|_| data.len() == 2)?;
                self.line("PROJECTMODULES", count.to_string().as_bytes());
            }
            0x13 => drop(self.short("PROJECTCOOKIE", data)?),
            _ => {}
        }
        Some(())
    }

    /// Writes the records of a module, which must come in their order.
    fn module(&mut self, name: &[u8], reader: &mut Reader<'_>) -> Option<Place> {
        let mut next = |wanted: u16| record(reader).filter(|(id, _)| *id == wanted);
        self.out.extend_from_slice(b"\n\n");
        self.both("MODULENAME", name, next(0x47)?.1);
        let (stream, stream_wide) = (next(0x1a)?.1, next(0x32)?.1);
        self.both("MODULESTREAMNAME", stream, stream_wide);
        let (narrow, wide) = (next(0x1c)?.1, next(0x48)?.1);
        self.both("MODULEDOCSTRING", narrow, wide);
        let text_off = self.number("MODULEOFFSET", next(0x31)?.1, 8)?;
        self.number("MODULEHELPCONTEXT", next(0x1e)?.1, 8)?;
        self.short("MODULECOOKIE", next(0x2c)?.1)?;
        let kind = match record(reader)?.0 {
            0x21 => b"Procedural".as_slice(),
            0x22 => b"Class",
            _ => return None,
        };
        self.line("MODULETYPE", kind);
        loop {
            match record(reader)?.0 {
                0x25 => self.out.extend_from_slice(b"REM MODULEREADONLY\n"),
                0x28 => self.out.extend_from_slice(b"REM MODULEPRIVATE\n"),
                0x2b => break,
                _ => return None,
            }
        }
        self.out.extend_from_slice(b"REM ");
        self.out.resize(self.out.len().saturating_add(50), b'#');
        self.out.push(b'\n');
        let (stream, stream_wide) = (stream.to_vec(), decoded_wide(stream_wide)?);
        Some(Place { stream, stream_wide, text_off })
    }

    fn source(&mut self, source: &[u8]) {
        match decoded(self.page, source) {
            Some(source) => normalise(&source, &mut self.out),
            None => self.out.extend_from_slice(b"\n<Error decoding module data>\n"),
        }
    }
}

const UNDECODED: &[u8] = b"<error decoding string>";

/// Returns text of a code page as UTF-8; none when it is no text of that page [2].
fn decoded(page: u16, text: &[u8]) -> Option<Cow<'_, [u8]>> {
    match page {
        1252 if !text.is_ascii() => {
            let letters: Option<String> = text.iter().map(|byte| latin(*byte)).collect();
            letters.map(|text| Cow::Owned(text.into_bytes()))
        }
        37 | 437..=500 | 708..=1026 | 1140..=1361 | 10_000..=10_082 | 20_127..=21_866 => {
            Some(Cow::Borrowed(text))
        }
        28_591..=29_001 | 38_598 | 50_220..=54_936 | 65_000 | 65_001 => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

/// Returns a letter of Windows-1252, which leaves five bytes free.
fn latin(byte: u8) -> Option<char> {
    const SPECIAL: &[char; 32] = &[
        '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0',
        '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
    ];
    let special = byte.checked_sub(0x80).and_then(|at| SPECIAL.get(usize::from(at)));
    special.map_or(Some(char::from(byte)), |letter| Some(*letter).filter(|letter| *letter != '\0'))
}

fn decoded_wide(text: &[u8]) -> Option<String> {
    let whole = text.len().is_multiple_of(2);
    char::decode_utf16(units(text)).collect::<Result<_, _>>().ok().filter(|_| whole)
}

/// Lower-cases outside of string literals, which do not end with their line, makes one space of a run of blanks
/// and joins continued lines [2].
fn normalise(source: &[u8], out: &mut Vec<u8>) {
    let (mut in_string, mut blank) = (false, false);
    let mut rest = source;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b' ' | b'\t' => {
                if in_string || !blank {
                    out.push(b' ');
                }
                blank = !in_string;
                continue;
            }
            b'_' if blank => {
                let joined = [b"\r\n".as_slice(), b"\n"];
                if let Some(next) = joined.iter().find_map(|end| behind.strip_prefix(*end)) {
                    rest = next;
                    continue;
                }
            }
            b'"' => in_string = !in_string,
            _ => {}
        }
        // An end of line leaves it as it is.
        blank &= matches!(byte, b'\r' | b'\n');
        out.push(if in_string { *byte } else { byte.to_ascii_lowercase() });
    }
}

#[cfg(test)]
mod tests;
