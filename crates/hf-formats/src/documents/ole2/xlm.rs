//! Formulas of Excel 4.0 macros as text.
//!
//! Promises: a damaged formula gives what was understood before the damage.
//! Leaves out: the evaluation of formulas; names of functions that macros of malware have no use for
//! (they are shown by their number).
//! Sources: [1] MS-XLS §2.5.198 (formula tokens), §2.5.198.17 (Ftab); [2] MS-XLSB §2.5.97 (formula tokens).

use super::biff::token_string;
use crate::documents::le::utf16;
use crate::reader::{Reader, size};

/// Which records a formula comes from; tokens are the same, but for widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Biff {
    /// Workbooks before 2007 ([1]).
    Eight,
    /// Binary workbooks since ([2]).
    Twelve,
}

impl Biff {
    /// Reads the number of a row.
    fn row(self, reader: &mut Reader<'_>) -> Option<u32> {
        match self {
            Self::Eight => reader.u16_le().ok().map(u32::from),
            Self::Twelve => reader.u32_le().ok(),
        }
    }

    /// Moves over so many bytes of the one or the other.
    fn skip(self, reader: &mut Reader<'_>, eight: usize, twelve: usize) -> Option<()> {
        reader.skip(if self == Self::Eight { eight } else { twelve }).ok()
    }
}

/// Ours; Excel allows formulas of 8192 characters and 30 arguments.
const STACK_MAX: usize = 64;
const FORMULA_LEN_MAX: usize = 16 * 1024;

/// Returns a cell's name (`A1`).
pub(crate) fn cell_name(row: u32, column: u16) -> String {
    let mut letters = Vec::new();
    let mut rest = column & 0x3fff;
    loop {
        letters.push(char::from(b'A'.saturating_add(u8::try_from(rest % 26).unwrap_or(0))));
        match (rest / 26).checked_sub(1) {
            Some(next) => rest = next,
            None => break,
        }
    }
    let letters: String = letters.iter().rev().collect();
    format!("{letters}{}", row.saturating_add(1))
}

/// Renders a formula's tokens.
pub(crate) fn render(tokens: &[u8], names: &[String], biff: Biff) -> String {
    let mut stack: Vec<String> = Vec::new();
    let mut reader = Reader::new(tokens);
    while reader.left() > 0 {
        let total: usize = stack.iter().map(String::len).sum();
        if stack.len() > STACK_MAX || total > FORMULA_LEN_MAX {
            break;
        }
        if token(&mut reader, tokens, names, &mut stack, biff).is_none() {
            break;
        }
    }
    stack.join(" ")
}

/// Renders one token onto the stack; none at damage and at unknown tokens.
fn token(
    reader: &mut Reader<'_>,
    tokens: &[u8],
    names: &[String],
    stack: &mut Vec<String>,
    biff: Biff,
) -> Option<()> {
    let id = reader.u8().ok()?;
    // [1] §2.5.198.2: bits 5 and 6 say how the operand is used; the kind is the same.
    let base = match id {
        0x60.. => id.checked_sub(0x40)?,
        0x40.. => id.checked_sub(0x20)?,
        _ => id,
    };
    match base {
        0x03..=0x11 => operator(base, stack),
        0x12 => prefix("+", stack),
        0x13 => prefix("-", stack),
        0x14 => suffix("%", stack),
        0x15 => {
            let inner = stack.pop().unwrap_or_default();
            stack.push(format!("({inner})"));
        }
        0x16 => stack.push(String::new()),
        0x17 => {
            let text = match biff {
                Biff::Eight => {
                    let (text, end) = token_string(tokens, reader.off())?;
                    reader.seek(end);
                    text
                }
                Biff::Twelve => {
                    let len = usize::from(reader.u16_le().ok()?).saturating_mul(2);
                    utf16(reader.take(len).ok()?)
                }
            };
            stack.push(format!("\"{}\"", text.replace('"', "\"\"")));
        }
        0x19 => attribute(reader, stack)?,
        0x1c => {
            let code = reader.u8().ok()?;
            stack.push(error_name(code).to_owned());
        }
        0x1d => {
            let value = reader.u8().ok()?;
            stack.push(if value == 0 { "FALSE" } else { "TRUE" }.to_owned());
        }
        0x1e => stack.push(reader.u16_le().ok()?.to_string()),
        0x1f => stack.push(f64::from_bits(reader.u64_le().ok()?).to_string()),
        0x20 => {
            biff.skip(reader, 7, 14)?;
            stack.push("{array}".to_owned());
        }
        0x21 => {
            let function = reader.u16_le().ok()?;
            call(function, fixed_arguments(function), stack);
        }
        0x22 => {
            let count = usize::from(reader.u8().ok()? & 0x7f);
            call(reader.u16_le().ok()? & 0x7fff, count, stack);
        }
        0x23..=0x3b => stack.extend(place(base, reader, names, biff)?),
        _ => return None,
    }
    Some(())
}

/// Reads what names a place: a name, cells, another sheet; nothing for tokens without a text.
fn place(id: u8, reader: &mut Reader<'_>, names: &[String], biff: Biff) -> Option<Option<String>> {
    let area = |reader: &mut Reader<'_>| {
        let (first, last) = (biff.row(reader)?, biff.row(reader)?);
        let (left, right) = (reader.u16_le().ok()?, reader.u16_le().ok()?);
        Some(format!("{}:{}", cell_name(first, left), cell_name(last, right)))
    };
    Some(Some(match id {
        0x23 => {
            let idx = match biff {
                Biff::Eight => {
                    let idx = u32::from(reader.u16_le().ok()?);
                    reader.skip(2).ok()?;
                    idx
                }
                Biff::Twelve => reader.u32_le().ok()?,
            };
            let name = idx.checked_sub(1).and_then(|idx| names.get(size(u64::from(idx))));
            name.cloned().unwrap_or_else(|| format!("NAME_{idx}"))
        }
        0x24 | 0x2c => reference(reader, biff)?,
        0x25 | 0x2d => area(reader)?,
        0x26..=0x29 => return reader.skip(6).ok().map(|()| None),
        0x2a => return biff.skip(reader, 4, 6).map(|()| None),
        0x2b => return biff.skip(reader, 8, 12).map(|()| None),
        0x39 => {
            let sheet = reader.u16_le().ok()?;
            let name = biff.row(reader)?;
            biff.skip(reader, 2, 0)?;
            format!("EXTERN_{sheet}!NAME_{name}")
        }
        0x3a => format!("SHEET_{}!{}", reader.u16_le().ok()?, reference(reader, biff)?),
        0x3b => format!("SHEET_{}!{}", reader.u16_le().ok()?, area(reader)?),
        _ => return None,
    }))
}

fn reference(reader: &mut Reader<'_>, biff: Biff) -> Option<String> {
    let row = biff.row(reader)?;
    Some(cell_name(row, reader.u16_le().ok()?))
}

fn operator(id: u8, stack: &mut Vec<String>) {
    // [1] §2.5.198.26 and following, from 03.
    const OPERATORS: [&str; 15] =
        ["+", "-", "*", "/", "^", "&", "<", "<=", "=", ">=", ">", "<>", " ", ",", ":"];
    let sign = OPERATORS.get(usize::from(id.saturating_sub(3))).copied().unwrap_or("?");
    let right = stack.pop().unwrap_or_default();
    let left = stack.pop().unwrap_or_default();
    stack.push(format!("{left}{sign}{right}"));
}

fn prefix(sign: &str, stack: &mut Vec<String>) {
    let inner = stack.pop().unwrap_or_default();
    stack.push(format!("{sign}{inner}"));
}

fn suffix(sign: &str, stack: &mut Vec<String>) {
    let inner = stack.pop().unwrap_or_default();
    stack.push(format!("{inner}{sign}"));
}

/// Skips the control tokens ([1] §2.5.198.3 and following); a sum has a short form of its own.
fn attribute(reader: &mut Reader<'_>, stack: &mut Vec<String>) -> Option<()> {
    const CHOOSE: u8 = 0x04;
    const SUM: u8 = 0x10;
    let flags = reader.u8().ok()?;
    let value = reader.u16_le().ok()?;
    if flags & CHOOSE != 0 {
        reader.skip(usize::from(value).checked_add(1)?.checked_mul(2)?).ok()?;
    }
    if flags & SUM != 0 {
        let inner = stack.pop().unwrap_or_default();
        stack.push(format!("SUM({inner})"));
    }
    Some(())
}

fn call(function: u16, count: usize, stack: &mut Vec<String>) {
    const USER_DEFINED: u16 = 0xff;
    let from = stack.len().saturating_sub(count);
    let mut arguments = stack.split_off(from);
    let known = FUNCTIONS.binary_search_by_key(&function, |(id, _)| *id).ok();
    let name = match known.and_then(|idx| FUNCTIONS.get(idx)) {
        _ if function == USER_DEFINED && !arguments.is_empty() => arguments.remove(0),
        Some((_, name)) => (*name).to_owned(),
        None => format!("FUNCTION_{function}"),
    };
    stack.push(format!("{name}({})", arguments.join(",")));
}

fn error_name(code: u8) -> &'static str {
    match code {
        0x00 => "#NULL!",
        0x07 => "#DIV/0!",
        0x0f => "#VALUE!",
        0x17 => "#REF!",
        0x1d => "#NAME?",
        0x24 => "#NUM!",
        _ => "#N/A",
    }
}

/// Returns how many arguments a function of a fixed number takes ([1] §2.5.198.17).
fn fixed_arguments(function: u16) -> usize {
    match function {
        10 | 19 | 34 | 35 | 63 | 74 | 89 | 94 | 95 | 221 | 225 | 226 => 0,
        27 | 30 | 39 | 48 | 79 | 80 | 97 | 108 | 117 | 136..=138 => 2,
        31 | 65 | 66 => 3,
        119 => 4,
        _ => 1,
    }
}

/// Functions by their number; a formula shows others by it.
const FUNCTIONS: &[(u16, &str)] = &[
    (0, "COUNT"),
    (1, "IF"),
    (2, "ISNA"),
    (3, "ISERROR"),
    (4, "SUM"),
    (5, "AVERAGE"),
    (6, "MIN"),
    (7, "MAX"),
    (8, "ROW"),
    (9, "COLUMN"),
    (10, "NA"),
    (15, "SIN"),
    (16, "COS"),
    (19, "PI"),
    (20, "SQRT"),
    (24, "ABS"),
    (25, "INT"),
    (26, "SIGN"),
    (27, "ROUND"),
    (28, "LOOKUP"),
    (29, "INDEX"),
    (30, "REPT"),
    (31, "MID"),
    (32, "LEN"),
    (33, "VALUE"),
    (34, "TRUE"),
    (35, "FALSE"),
    (36, "AND"),
    (37, "OR"),
    (38, "NOT"),
    (39, "MOD"),
    (48, "TEXT"),
    (53, "GOTO"),
    (54, "HALT"),
    (55, "RETURN"),
    (63, "RAND"),
    (65, "DATE"),
    (67, "DAY"),
    (74, "NOW"),
    (76, "ROWS"),
    (77, "COLUMNS"),
    (78, "OFFSET"),
    (79, "ABSREF"),
    (80, "RELREF"),
    (81, "ARGUMENT"),
    (82, "SEARCH"),
    (84, "ERROR"),
    (85, "STEP"),
    (86, "TYPE"),
    (87, "ECHO"),
    (88, "SET.NAME"),
    (89, "CALLER"),
    (90, "DEREF"),
    (91, "WINDOWS"),
    (93, "DOCUMENTS"),
    (94, "ACTIVE.CELL"),
    (95, "SELECTION"),
    (96, "RESULT"),
    (100, "CHOOSE"),
    (101, "HLOOKUP"),
    (102, "VLOOKUP"),
    (105, "ISREF"),
    (106, "GET.FORMULA"),
    (107, "GET.NAME"),
    (108, "SET.VALUE"),
    (110, "EXEC"),
    (111, "CHAR"),
    (112, "LOWER"),
    (113, "UPPER"),
    (114, "PROPER"),
    (115, "LEFT"),
    (116, "RIGHT"),
    (117, "EXACT"),
    (118, "TRIM"),
    (119, "REPLACE"),
    (120, "SUBSTITUTE"),
    (121, "CODE"),
    (122, "NAMES"),
    (123, "DIRECTORY"),
    (124, "FIND"),
    (125, "CELL"),
    (126, "ISERR"),
    (127, "ISTEXT"),
    (128, "ISNUMBER"),
    (129, "ISBLANK"),
    (130, "T"),
    (131, "N"),
    (132, "FOPEN"),
    (133, "FCLOSE"),
    (134, "FSIZE"),
    (135, "FREADLN"),
    (136, "FREAD"),
    (137, "FWRITELN"),
    (138, "FWRITE"),
    (139, "FPOS"),
    (148, "INDIRECT"),
    (149, "REGISTER"),
    (150, "CALL"),
    (160, "CANCEL.KEY"),
    (162, "CLEAN"),
    (167, "IPMT"),
    (169, "COUNTA"),
    (185, "GET.CELL"),
    (186, "GET.WORKSPACE"),
    (187, "GET.WINDOW"),
    (188, "GET.DOCUMENT"),
    (197, "TRUNC"),
    (201, "UNREGISTER"),
    (219, "ADDRESS"),
    (220, "DAYS360"),
    (221, "TODAY"),
    (225, "END.IF"),
    (226, "ELSE"),
    (227, "ELSE.IF"),
    (228, "FOR.CELL"),
    (268, "GET.WORKBOOK"),
    (336, "CONCATENATE"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_sorted() {
        assert!(FUNCTIONS.is_sorted_by_key(|(id, _)| *id));
    }

    #[test]
    fn formulas() {
        let name = ["Auto_Open".to_owned()];
        let cases: [(&[u8], &str); 5] = [
            (b"\x17\x04\0calc\x42\x01\x6e\0", "EXEC(\"calc\")"),
            (b"\x1e\x41\0\x41\x6f\0\x1e\x42\0\x41\x6f\0\x08", "CHAR(65)&CHAR(66)"),
            (b"\x24\x01\0\x02\xc0\x43\x01\0\0\0\x08", "C2&Auto_Open"),
            (b"\x17\x01\x01\x22\0\xff", "\"\"\"\""),
            (b"\x1d\x01\x15\x13\x42\0\x36\0\x99", "-(TRUE) HALT()"),
        ];
        for (tokens, want) in cases {
            assert_eq!(render(tokens, &name, Biff::Eight), want);
        }
        assert_eq!(cell_name(0, 25), "Z1");
        assert_eq!(cell_name(9, 26), "AA10");
    }
}
