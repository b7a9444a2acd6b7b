//! Spreadsheets in SYLK (`.slk`): text that Excel opens as a sheet, with macros of version 4 and links to programs.
//!
//! Yields: one text with a line for each formula, name and outside file (not under ClamAV's names). In formulas,
//! strings put together by `&` and `CHAR`, and references to cells with a text, are replaced by their values.
//! Facts: macros, names that run by themselves, links to programs (DDE).
//! Leaves out: values without a formula (the object is matched as a whole), formats, what macros do.
//! Limits: [`TEXT_LEN_MAX`] of text; the first [`RECORD_LEN_MAX`] of a record; [`CELLS_MAX`] cells with a text are known to formulas.
//! Hostile input: a record that is none, or cut, is passed over; fields are read in any order.
//! Sources: [1] "SYLK file format", as published in "File formats for popular PC software" and in the help of
//! Microsoft Multiplan; [2] Office documentation, "XLM macros", `CHAR`, R1C1 references.

use std::collections::BTreeMap;

use hf_core::{Child, ChildRole, FileType, Halt, Reason, Sink};

use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "sylk",
    types: &[FileType::TextAscii, FileType::TextUtf8],
    stage: Stage::AfterMatch,
    enabled: |options| options.normalise && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "a text that starts with `ID;`",
        yields: "formulas, names and outside files as text, strings in formulas put together (not under \
                 ClamAV's names)",
        leaves_out: "values without a formula; what macros do",
        limits: "4 MiB of text; records of 64 KiB; 65,536 cells that formulas refer to",
        sources: "SYLK file format; Office documentation",
    },
};

/// Ours.
const TEXT_LEN_MAX: usize = 4 << 20;
const RECORD_LEN_MAX: usize = 64 * 1024;
const CELLS_MAX: usize = 65_536;
const CELL_LEN_MAX: usize = 32 * 1024;
const FACTS_MAX: usize = 64;
const FACT_LEN_MAX: usize = 512;

type Cells = BTreeMap<(u32, u32), String>;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let text = object.strip_prefix(b"\xef\xbb\xbf").unwrap_or(object);
    if !text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"ID;")) {
        return Ok(());
    }
    sink.fact("sylk.format", "SYLK");
    let cells = cells(text, sink)?;
    let mut sheet = Sheet { cells, text: String::new(), facts: 0, is_cut: false, is_full: false };
    let mut place = (1, 1);
    for (number, line) in (0u32..).zip(lines(text)) {
        if number.is_multiple_of(4096) {
            sink.poll()?;
        }
        sheet.is_cut |= line.len() > RECORD_LEN_MAX;
        sheet.record(&fields(line), &mut place, sink);
        if sheet.is_full {
            break;
        }
    }
    if sheet.is_cut || sheet.is_full {
        sink.unscanned(b"formulas", Reason::FormatLimit("text of formulas".into()));
    }
    if !sheet.text.is_empty() {
        let role = ChildRole::Typed(FileType::TextAscii);
        sink.child(Child { name: b"formulas", data: sheet.text.as_bytes(), role })?;
    }
    Ok(())
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty())
}

/// Splits a record at single semicolons; two are one in a field. Escapes are resolved.
fn fields(line: &[u8]) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = Vec::new();
    let mut rest = line.get(..line.len().min(RECORD_LEN_MAX)).unwrap_or_default();
    loop {
        match rest {
            [] => break,
            [b';', b';', more @ ..] => {
                field.push(b';');
                rest = more;
            }
            [b';', more @ ..] => {
                fields.push(String::from_utf8_lossy(&std::mem::take(&mut field)).into_owned());
                rest = more;
            }
            // A character by its two halves.
            [0x1b, high @ 0x20..=0x2f, low @ 0x30..=0x3f, more @ ..] => {
                field.push((high & 0x0f) << 4 | (low & 0x0f));
                rest = more;
            }
            // A letter with a mark.
            [0x1b, b'N', more @ ..] => rest = more,
            [byte, more @ ..] => {
                field.push(*byte);
                rest = more;
            }
        }
    }
    fields.push(String::from_utf8_lossy(&field).into_owned());
    fields
}

/// Returns the rest of the field that starts with a letter.
fn field(fields: &[String], letter: char) -> Option<&str> {
    fields.iter().skip(1).find_map(|field| field.strip_prefix(letter))
}

fn moved(fields: &[String], place: (u32, u32)) -> (u32, u32) {
    let number = |letter| field(fields, letter).and_then(|text| text.trim().parse().ok());
    (number('Y').unwrap_or(place.0), number('X').unwrap_or(place.1))
}

/// Returns the texts of cells.
fn cells(text: &[u8], sink: &mut dyn Sink) -> Result<Cells, Halt> {
    let mut cells = Cells::new();
    let mut place = (1, 1);
    let mut room = TEXT_LEN_MAX;
    for (number, line) in (0u32..).zip(lines(text)) {
        if number.is_multiple_of(4096) {
            sink.poll()?;
        }
        if !matches!(line, [b'C' | b'F', b';', ..]) {
            continue;
        }
        let fields = fields(line);
        place = moved(&fields, place);
        let value = field(&fields, 'K').and_then(|value| value.trim().strip_prefix('"'));
        let Some(value) = value.filter(|value| value.len() <= CELL_LEN_MAX) else { continue };
        let value = value.strip_suffix('"').unwrap_or(value).replace("\"\"", "\"");
        let Some(left) = room.checked_sub(value.len()).filter(|_| cells.len() < CELLS_MAX) else {
            break;
        };
        room = left;
        cells.insert(place, value);
    }
    Ok(cells)
}

struct Sheet {
    cells: Cells,
    text: String,
    facts: usize,
    /// A record is longer than what was read of it.
    is_cut: bool,
    /// There is no room for further text.
    is_full: bool,
}

impl Sheet {
    fn record(&mut self, fields: &[String], place: &mut (u32, u32), sink: &mut dyn Sink) {
        match fields.first().map(String::as_str) {
            Some("C") => {
                *place = moved(fields, *place);
                let Some(formula) = field(fields, 'E') else { return };
                let formula = self.folded(formula, *place);
                if formula.contains('|') {
                    self.fact("sylk.dde", &formula, sink);
                }
                let value = field(fields, 'K').unwrap_or_default();
                self.line(&format!("R{}C{}\t={formula}\t{value}", place.0, place.1));
            }
            Some("F") => *place = moved(fields, *place),
            // Options: with E the sheet is one of macros.
            Some("O") if field(fields, 'E').is_some() => {
                self.fact("sylk.macros", "XLM", sink);
                self.line("macro sheet");
            }
            Some("NN") => {
                let name = field(fields, 'N').unwrap_or_default();
                let formula = field(fields, 'E').unwrap_or_default();
                if name.to_ascii_lowercase().starts_with("auto") {
                    self.fact("sylk.auto", &format!("{name} {formula}"), sink);
                }
                let formula = self.folded(formula, *place);
                self.line(&format!("{name}\t={formula}"));
            }
            Some("NE" | "NU") => {
                for letter in ['F', 'S', 'E'] {
                    let Some(file) = field(fields, letter) else { continue };
                    self.fact("sylk.external", file, sink);
                    self.line(file);
                }
            }
            _ => {}
        }
    }

    fn line(&mut self, line: &str) {
        let len = self.text.len().saturating_add(line.len());
        if len >= TEXT_LEN_MAX {
            self.is_full = true;
            return;
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn fact(&mut self, key: &str, value: &str, sink: &mut dyn Sink) {
        if self.facts < FACTS_MAX {
            self.facts = self.facts.saturating_add(1);
            let value: String = value.chars().take(FACT_LEN_MAX).collect();
            sink.fact(key, &value);
        }
    }

    /// Returns a formula with its constant strings put together; what does not fold is copied.
    fn folded(&self, formula: &str, place: (u32, u32)) -> String {
        let mut out = Folded::default();
        let mut rest = formula;
        while let Some(next) = rest.chars().next() {
            if out.text.len() > CELL_LEN_MAX.saturating_mul(4) {
                out.text.push_str(rest);
                break;
            }
            let is_word = out.text.ends_with(|c: char| c.is_alphanumeric() || "_.!".contains(c));
            let literal = match next {
                '"' => string(rest),
                'C' | 'c' if !is_word => character(rest),
                'R' | 'r' if !is_word => reference(rest, place)
                    .and_then(|(at, more)| Some((self.cells.get(&at)?.clone(), more))),
                _ => None,
            };
            match literal {
                Some((value, more)) => {
                    out.literal(&value);
                    rest = more;
                }
                None => {
                    out.text.push(next);
                    rest = rest.get(next.len_utf8()..).unwrap_or_default();
                }
            }
        }
        out.text
    }
}

/// A formula, and where its last constant string ended.
#[derive(Default)]
struct Folded {
    text: String,
    end: Option<usize>,
}

impl Folded {
    fn literal(&mut self, value: &str) {
        let joined = self
            .end
            .filter(|end| self.text.get(*end..).is_some_and(|between| between.trim() == "&"));
        match joined.and_then(|end| end.checked_sub(1)) {
            Some(quote) => self.text.truncate(quote),
            None => self.text.push('"'),
        }
        self.text.push_str(&value.replace('"', "\"\""));
        self.text.push('"');
        self.end = Some(self.text.len());
    }
}

/// Reads a string in quotes; two are one in it.
fn string(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut value = String::new();
    loop {
        let (part, more) = rest.split_once('"')?;
        value.push_str(part);
        match more.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Some((value, more)),
        }
    }
}

/// Reads `CHAR(number)`.
fn character(text: &str) -> Option<(String, &str)> {
    let (word, rest) = text.split_at_checked(4)?;
    if !word.eq_ignore_ascii_case("CHAR") {
        return None;
    }
    let (number, rest) = number_to(rest.strip_prefix('(')?, ')')?;
    let value: u8 = number.trim().parse().ok()?;
    Some((char::from(value).to_string(), rest))
}

/// Reads a reference to one cell: `R1C1`, or counted from here as `R[-1]C`.
fn reference(text: &str, place: (u32, u32)) -> Option<((u32, u32), &str)> {
    let (row, rest) = coordinate(text.strip_prefix(['R', 'r'])?, place.0)?;
    let (column, rest) = coordinate(rest.strip_prefix(['C', 'c'])?, place.1)?;
    let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || "_.(!:".contains(c));
    ends.then_some(((row, column), rest))
}

/// Returns what is in front of a sign, if that is as short as numbers are, and what is behind.
fn number_to(text: &str, sign: char) -> Option<(&str, &str)> {
    const NUMBER_LEN_MAX: usize = 12;
    let at = text.char_indices().take(NUMBER_LEN_MAX).find(|(_, c)| *c == sign)?.0;
    let (number, rest) = text.split_at_checked(at)?;
    Some((number, rest.strip_prefix(sign)?))
}

fn coordinate(text: &str, here: u32) -> Option<(u32, &str)> {
    if let Some(relative) = text.strip_prefix('[') {
        let (number, rest) = number_to(relative, ']')?;
        return Some((here.checked_add_signed(number.parse().ok()?)?, rest));
    }
    let digits =
        text.len().saturating_sub(text.trim_start_matches(|c: char| c.is_ascii_digit()).len());
    let (number, rest) = text.split_at_checked(digits)?;
    if number.is_empty() { Some((here, rest)) } else { Some((number.parse().ok()?, rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(formula: &str, want: &str) {
        let cells = Cells::from([((1, 1), "calc".to_owned())]);
        let sheet = Sheet { cells, text: String::new(), facts: 0, is_cut: false, is_full: false };
        assert_eq!(sheet.folded(formula, (2, 1)), want);
    }

    #[test]
    fn strings_are_put_together() {
        check("EXEC(\"po\"&\"wer\" & CHAR(115)&\"hell\")", "EXEC(\"powershell\")");
        check("EXEC(R1C1&\".exe\")", "EXEC(\"calc.exe\")");
        check("EXEC(R[-1]C&\".exe\")", "EXEC(\"calc.exe\")");
        check("\"a\"\"b\"&A1", "\"a\"\"b\"&A1");
        check("SUM(R1C1:R2C2)", "SUM(R1C1:R2C2)");
        check("\"open", "\"open");
        check("CHAR(999)&XCHAR(65)", "CHAR(999)&XCHAR(65)");
    }

    #[test]
    fn a_long_record_is_cut() {
        let line = [b"C".as_slice(), &b";a".repeat(RECORD_LEN_MAX)].concat();
        assert_eq!(fields(&line).len(), RECORD_LEN_MAX / 2 + 1);
    }

    #[test]
    fn fields_and_escapes() {
        assert_eq!(fields(b"C;X1;K\"a;;b\x1b :\""), ["C", "X1", "K\"a;b\n\""]);
        assert_eq!(fields(b""), [""]);
    }
}
