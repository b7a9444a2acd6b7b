//! Parts of binary workbooks (`.xlsb`): sheets, the book, and the strings, each a stream of records.
//!
//! Yields: formulas and strings as text, a cell a line; names and links of the book as text.
//! Leaves out: values that are numbers; which sheet is hidden (a fact of the book tells it); names of the book
//! in the formulas of sheets, which are other objects (they are shown by their number).
//! Limits: 4 MiB of text. Hostile input: a record behind the end gives what is there and ends the part.
//! Sources: [1] MS-XLSB §2.1.4 (records), §2.4 (records by name), §2.5.97 (formulas).

use hf_core::{Child, ChildRole, FileType, Halt, Sink};

use super::le::{u16_at, u32_at, utf16};
use super::ole2::xlm::{Biff, cell_name, render};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

/// Opens parts of binary workbooks.
pub(crate) static FORMAT: Format = Format {
    name: "xlsb",
    types: &[FileType::Biff12],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_xmldocs,
    extract,
    doc: FormatDoc {
        recognised_by: "the record that begins a sheet, a book or the strings",
        yields: "formulas, strings, names and links as text",
        leaves_out: "values that are numbers",
        limits: "4 MiB of text",
        sources: "MS-XLSB",
    },
};

const TEXT_LEN_MAX: usize = 4 << 20;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut part = Part::default();
    let mut reader = Reader::new(object);
    let mut count = 0u32;
    while let Some((kind, data)) = record(&mut reader) {
        if count.is_multiple_of(1 << 14) {
            sink.poll()?;
        }
        count = count.wrapping_add(1);
        part.record(kind, data, sink);
        if part.text.len() > TEXT_LEN_MAX {
            sink.unscanned(b"", hf_core::Reason::FormatLimit("text of a workbook".into()));
            break;
        }
    }
    if !part.text.is_empty() {
        let role = ChildRole::Typed(FileType::TextAscii);
        sink.child(Child { name: b"formulas", data: part.text.as_bytes(), role })?;
    }
    Ok(())
}

/// [1] §2.1.4: type and length in groups of seven bits.
fn record<'a>(reader: &mut Reader<'a>) -> Option<(u32, &'a [u8])> {
    let kind = groups(reader, 2)?;
    let len = groups(reader, 4)?;
    Some((kind, reader.take_up_to(size(u64::from(len)))))
}

fn groups(reader: &mut Reader<'_>, max: u32) -> Option<u32> {
    let mut value = 0u32;
    for group in 0..max {
        let byte = reader.u8().ok()?;
        let shift = group.saturating_mul(7);
        value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value)
}

#[derive(Debug, Default)]
struct Part {
    row: u32,
    text: String,
}

impl Part {
    fn record(&mut self, kind: u32, data: &[u8], sink: &mut dyn Sink) {
        match kind {
            // BrtRowHdr
            0 => self.row = u32_at(data, 0).unwrap_or(0),
            // BrtCellSt: a string in its cell.
            6 => {
                if let Some((text, _)) = string(data, 8) {
                    self.cell(data, &format!("\"{text}\""));
                }
            }
            // BrtFmlaString, BrtFmlaNum, BrtFmlaBool, BrtFmlaError
            8..=11 => {
                let (shown, end) = match kind {
                    8 => string(data, 8).unwrap_or_default(),
                    9 => (String::new(), 16),
                    _ => (String::new(), 9),
                };
                let formula = formula(data, end.saturating_add(2));
                let shown = if shown.is_empty() { shown } else { format!("\t\"{shown}\"") };
                self.cell(data, &format!("={formula}{shown}"));
            }
            // BrtSSTItem: flags, then the string.
            19 => {
                if let Some((text, _)) = string(data, 1) {
                    self.line(&text);
                }
            }
            // BrtName: flags, key, sheet, name, formula.
            39 => {
                if let Some((name, end)) = string(data, 9) {
                    let line = format!("{name}\t={}", formula(data, end));
                    sink.fact("office.defined_name", &line);
                    self.line(&line);
                }
            }
            // BrtBundleSh: state, id, relation, name.
            156 => {
                let state = u32_at(data, 0).unwrap_or(0);
                let name = string(data, 8).and_then(|(_, end)| string(data, end));
                if let Some((name, _)) = name.filter(|_| state != 0) {
                    sink.fact("office.hidden_sheet", &name);
                }
            }
            // BrtBeginSupBook: kind, two strings; of DDE and OLE service and topic.
            360 => {
                let first = string(data, 2).unwrap_or_default();
                let second = string(data, first.1).unwrap_or_default();
                if u16_at(data, 0).is_some_and(|kind| kind != 0) {
                    let line = format!("{}|{}", first.0, second.0);
                    sink.fact("office.dde", &line);
                    self.line(&line);
                }
            }
            _ => {}
        }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn cell(&mut self, data: &[u8], text: &str) {
        let column = u16_at(data, 0).unwrap_or(0);
        let line = format!("{}\t{text}", cell_name(self.row, column));
        self.line(&line);
    }
}

/// Reads a string with its length in front, and returns where it ends.
fn string(data: &[u8], off: usize) -> Option<(String, usize)> {
    let len = size(u64::from(u32_at(data, off)?)).saturating_mul(2);
    let start = off.checked_add(4)?;
    let end = start.checked_add(len)?;
    Some((utf16(data.get(start..end)?), end))
}

fn formula(data: &[u8], off: usize) -> String {
    let len = u32_at(data, off).map_or(0, |len| size(u64::from(len)));
    let tokens = super::le::part(data, off.saturating_add(4), len);
    render(tokens, &[], Biff::Twelve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Recorder;

    fn wide(text: &str) -> Vec<u8> {
        let len = u32::try_from(text.encode_utf16().count()).expect("short");
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        len.to_le_bytes().into_iter().chain(units).collect()
    }

    #[test]
    fn a_macro_sheet() {
        let tokens = [b"\x17\x04\0c\0a\0l\0c\0".as_slice(), b"\x42\x01\x6e\0"].concat();
        let mut cell = vec![2, 0, 0, 0, 0, 0, 0, 0];
        cell.extend(wide("x"));
        cell.extend([0, 0]);
        cell.extend(u32::try_from(tokens.len()).expect("short").to_le_bytes());
        cell.extend(&tokens);
        let mut sheet = vec![0x81, 1, 0, 0, 4, 5, 0, 0, 0, 8];
        sheet.push(u8::try_from(cell.len()).expect("short"));
        sheet.extend(cell);
        sheet.extend([0x98, 0x02, 0xff, 0xff, 0xff, 0xff]);
        let mut recorder = Recorder::default();
        recorder.run(&FORMAT, &sheet).expect("no limit");
        let want: &[u8] = b"C6\t=EXEC(\"calc\")\t\"x\"\n";
        assert_eq!(recorder.children(), [(&b"formulas"[..], want)]);
    }
}
