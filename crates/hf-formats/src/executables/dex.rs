//! Programs of Android (DEX): their strings.
//!
//! Yields: one text with a line for each string of the table. Nothing is yielded under ClamAV's quirks: it does not.
//! Leaves out: code; the compact and the optimised form beyond their own header.
//! Limits: the text is at most as long as the file.
//! Hostile input: entries that point nowhere are left out; entries that share bytes end at the text's limit.
//! Sources: [1] Android Open Source Project, "Dalvik executable format".

use hf_core::{Defect, FileType, Halt, Sink};

use super::strings::Lines;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "dex",
    types: &[FileType::Dex],
    stage: Stage::AfterMatch,
    enabled: |options| !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "`dex\\n0` and a version",
        yields: "a text of its strings",
        leaves_out: "code",
        limits: "the text is at most as long as the file",
        sources: "Android Open Source Project, Dalvik executable format",
    },
};

const STRINGS_OFF: usize = 0x38;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let version = object.get(4..7).ok_or(Defect::truncated(4))?;
    sink.fact("dex.version", &String::from_utf8_lossy(version));
    let mut header = Reader::at(object, STRINGS_OFF);
    let count = header.u32_le()?;
    let table_off = size(u64::from(header.u32_le()?));
    let mut lines = Lines::new(object.len().saturating_add(0x100));
    let mut table = Reader::at(object, table_off);
    let mut nowhere = 0u32;
    for number in 0..count {
        if number.is_multiple_of(1 << 14) {
            sink.poll()?;
        }
        let Ok(off) = table.u32_le() else {
            lines.hand_over(b"strings", sink)?;
            return Err(Defect::truncated(u64::try_from(table_off).unwrap_or(u64::MAX)).into());
        };
        match string_at(object, size(u64::from(off))) {
            Some(string) => lines.push(string),
            None => nowhere = nowhere.saturating_add(1),
        }
        if lines.is_cut {
            break;
        }
    }
    lines.hand_over(b"strings", sink)?;
    if nowhere > 0 {
        sink.defect(Defect::new(u64::try_from(table_off).unwrap_or(u64::MAX), "string_id_item"));
    }
    Ok(())
}

/// Returns a string without its zero; its length in characters is in front and not needed.
fn string_at(object: &[u8], off: usize) -> Option<&[u8]> {
    let rest = object.get(off..)?;
    let len_len = rest.iter().take(5).position(|byte| byte & 0x80 == 0)?.checked_add(1)?;
    let rest = rest.get(len_len..)?;
    let end = memchr::memchr(0, rest)?;
    rest.get(..end)
}
