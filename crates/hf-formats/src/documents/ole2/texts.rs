//! Text that documents hide in binary streams: values of forms, field codes, scripts, links, message bodies.
//!
//! Promises: one pass over a stream; what comes out is shorter than the stream.
//! Leaves out: which control a value belongs to; fields other than those that run or fetch something.
//! Sources: [1] MS-OFORMS §2.1 (`f` and `o` streams); [2] MS-DOC §2.8.25 (fields), §2.9.294 (document
//! variables); [3] Hancom HWP 5.0 document file format, §4.6 (scripts); [4] MS-OXMSG §2.1.3.

use hf_core::{Child, ChildRole, FileType, Sink, Stop};

use crate::documents::le::{u32_at, units, utf16};
use crate::reader::size;

/// Characters that make a run a text.
const RUN_MIN: usize = 6;
/// Characters that make a run in a table stream worth handing over: payloads are long.
const LONG_RUN_MIN: usize = 64;
const FIELDS_MAX: usize = 4096;
const FIELD_LEN_MAX: usize = 8192;

/// Hands the strings of a form's stream over as one text.
///
/// # Errors
/// The scan ends here.
pub(super) fn form(path: &str, stream: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    give(path, "strings", &runs(stream, RUN_MIN), sink)
}

/// Hands long strings of a table stream over: values of document variables are there.
///
/// # Errors
/// The scan ends here.
pub(super) fn table(path: &str, stream: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    give(path, "strings", &runs(stream, LONG_RUN_MIN), sink)
}

fn give(path: &str, what: &str, text: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    if text.is_empty() || sink.options().clamav_quirks {
        return Ok(());
    }
    let name = format!("{path}/{what}");
    let role = ChildRole::Typed(FileType::TextAscii);
    sink.child(Child { name: name.as_bytes(), data: text, role })
}

/// Returns runs of printable characters, of one byte and of two, a line each.
fn runs(stream: &[u8], min: usize) -> Vec<u8> {
    let printable = |byte: u8| matches!(byte, b' '..=b'~' | b'\t');
    let mut out = Vec::new();
    let mut run = Vec::new();
    let mut close = |run: &mut Vec<u8>| {
        if run.len() >= min {
            out.extend_from_slice(run);
            out.push(b'\n');
        }
        run.clear();
    };
    for byte in stream {
        if printable(*byte) {
            run.push(*byte);
        } else {
            close(&mut run);
        }
    }
    close(&mut run);
    let mut off = 0usize;
    while let Some([low, high]) = stream.get(off..off.saturating_add(2)) {
        if *high == 0 && printable(*low) {
            run.push(*low);
            off = off.saturating_add(2);
        } else {
            // A run ends; the next may start at any byte.
            close(&mut run);
            off = off.saturating_add(1);
        }
    }
    close(&mut run);
    out
}

/// Words of fields that run or fetch something.
const ACTIVE: [&str; 5] = ["DDE", "INCLUDETEXT", "INCLUDEPICTURE", "IMPORT", "MACROBUTTON"];

/// Tells the active fields of Word's text, and hands their codes over.
///
/// # Errors
/// The scan ends here.
pub(super) fn fields(path: &str, stream: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    // [2]: a field is 13 hex, its code, 14 hex, its result, 15 hex.
    let mut text = String::new();
    for off in memchr::memchr_iter(0x13, stream).take(FIELDS_MAX) {
        let rest = stream.get(off.saturating_add(1)..).unwrap_or_default();
        let code = match rest.split_first() {
            Some((0, wide)) => {
                let wide = wide.get(..wide.len().min(FIELD_LEN_MAX)).unwrap_or_default();
                let code = units(wide).take_while(|unit| !matches!(unit, 0 | 0x14 | 0x15));
                String::from_utf16_lossy(&code.collect::<Vec<_>>())
            }
            _ => {
                let code =
                    rest.iter().take(FIELD_LEN_MAX).take_while(|b| !matches!(b, 0 | 0x14 | 0x15));
                code.copied().map(char::from).collect()
            }
        };
        let upper = code.trim_start().to_ascii_uppercase();
        if ACTIVE.iter().any(|word| upper.starts_with(word)) {
            sink.fact("ole2.field", &code);
            text.push_str(&code);
            text.push('\n');
        }
    }
    give(path, "fields", text.as_bytes(), sink)
}

/// Hands a Hancom script over as text: strings with their lengths in front ([3]).
///
/// # Errors
/// The scan ends here.
pub(super) fn hwp_script(path: &str, stream: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut text = String::new();
    let mut rest = stream;
    while let Some(len) = u32_at(rest, 0) {
        let behind = rest.get(4..).unwrap_or_default();
        let len = size(u64::from(len)).saturating_mul(2).min(behind.len());
        let (string, next) = behind.split_at_checked(len).unwrap_or((behind, &[]));
        text.push_str(&utf16(string));
        text.push('\n');
        rest = next;
    }
    if text.trim().is_empty() {
        return Ok(());
    }
    let name = format!("{path}.js");
    let role = ChildRole::Typed(FileType::TextAscii);
    sink.child(Child { name: name.as_bytes(), data: text.as_bytes(), role })
}

/// Tells what a workbook links to, and hands it over as text.
///
/// # Errors
/// The scan ends here.
pub(super) fn links(path: &str, links: &[String], sink: &mut dyn Sink) -> Result<(), Stop> {
    for link in links {
        sink.fact("ole2.link", link);
    }
    give(path, "links", links.join("\n").as_bytes(), sink)
}

/// Returns the name of a message's property stream ([4]): number and type.
pub(super) fn property(leaf: &str) -> Option<(u16, u16)> {
    let digits = leaf.strip_prefix("__substg1.0_")?;
    let value = |range| u16::from_str_radix(digits.get(range)?, 16).ok();
    Some((value(0..4)?, value(4..8)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Recorder;

    #[test]
    fn strings_of_both_widths() {
        assert_eq!(runs(b"\x01abcdef\0x\0g\0h\0i\0j\0k\0l\0\x05m", 6), b"abcdef\nfxghijkl\n");
        assert_eq!(runs(b"abc", 6), b"");
    }

    #[test]
    fn fields_that_act() {
        let mut sink = Recorder::default();
        let wide: Vec<u8> = "\u{13} DDEAUTO c:\\\\x \u{14}y\u{15}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let text =
            [b"a\x13 PAGE \x14b\x15\x13INCLUDEPICTURE \"http://a/\"\x15\0".as_slice(), &wide]
                .concat();
        fields("WordDocument", &text, &mut sink).expect("no limit");
        let want: &[u8] = b"INCLUDEPICTURE \"http://a/\"\n DDEAUTO c:\\\\x \n";
        assert_eq!(sink.children(), [(&b"WordDocument/fields"[..], want)]);
    }

    #[test]
    fn names_of_properties() {
        assert_eq!(property("__substg1.0_3701000D"), Some((0x3701, 0x0d)));
        assert_eq!(property("__substg1.0_37"), None);
    }
}
