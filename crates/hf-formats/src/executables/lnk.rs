//! Shortcuts of Windows (`.lnk`).
//!
//! Yields: one text with a line for each string (name, paths, arguments, icon, target, environment, what readable there is in
//! the list of ids and in the blocks behind), and the bytes behind the last block. Facts: arguments, target, machine.
//! Nothing is yielded under ClamAV's quirks: it does not.
//! Leaves out: the meaning of property stores and of ids (their readable parts are in the text).
//! Limits: the text is at most four times as long as the file.
//! Hostile input: a part that is cut ends its reading with a defect; what was read is handed over.
//! Sources: [1] Microsoft, MS-SHLLINK.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Sink};

use super::strings::Lines;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "lnk",
    types: &[FileType::Lnk],
    stage: Stage::AfterMatch,
    enabled: |options| !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "the header's length and class identifier",
        yields: "a text of its strings (arguments, paths, environment), and what is behind its end",
        leaves_out: "the meaning of property stores and of item ids",
        limits: "the text is at most four times as long as the file",
        sources: "Microsoft, MS-SHLLINK",
    },
};

const HEADER_LEN: usize = 0x4c;
const FLAGS_OFF: usize = 0x14;
const HAS_IDS: u32 = 1;
const HAS_LINK_INFO: u32 = 2;
const IS_UNICODE: u32 = 0x80;
/// Flags of the strings, in the order in which they follow [1] §2.4.
const STRINGS: [(u32, &str); 5] =
    [(4, "name"), (8, "relative_path"), (0x10, "working_dir"), (0x20, "arguments"), (0x40, "icon")];
const ENVIRONMENT: u32 = 0xa000_0001;
const TRACKER: u32 = 0xa000_0003;
const ICON_ENVIRONMENT: u32 = 0xa000_0007;
/// Characters of a run that is taken for text; ours.
const RUN_MIN: usize = 4;
/// Characters of a fact; ours.
const FACT_MAX: usize = 512;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut lines = Lines::new(object.len().saturating_mul(4).saturating_add(0x100));
    let mut reader = Reader::at(object, HEADER_LEN);
    let read = read(object, &mut reader, &mut lines, sink);
    lines.hand_over(b"strings", sink)?;
    if read.is_ok() {
        let rest = reader.rest();
        if rest.iter().any(|byte| *byte != 0) {
            sink.child(Child { name: b"overlay", data: rest, role: ChildRole::Member })?;
        }
    }
    Ok(read?)
}

fn read(
    object: &[u8],
    reader: &mut Reader<'_>,
    lines: &mut Lines,
    sink: &mut dyn Sink,
) -> Result<(), Defect> {
    let flags = Reader::at(object, FLAGS_OFF).u32_le()?;
    if flags & HAS_IDS != 0 {
        let len = usize::from(reader.u16_le()?);
        runs(reader.take(len)?, lines);
    }
    if flags & HAS_LINK_INFO != 0 {
        link_info(reader, lines, sink)?;
    }
    let unit = if flags & IS_UNICODE != 0 { 2 } else { 1 };
    for (flag, key) in STRINGS {
        if flags & flag == 0 {
            continue;
        }
        let count = usize::from(reader.u16_le()?);
        let whole = count.saturating_mul(unit);
        let stored = reader.take_up_to(whole);
        line(stored, unit == 2, key, lines, sink);
        if stored.len() < whole {
            return Err(Defect::truncated(u64::try_from(reader.off()).unwrap_or(u64::MAX)));
        }
    }
    blocks(reader, lines, sink)
}

/// Adds a string and tells it as a fact.
fn line(bytes: &[u8], is_wide: bool, key: &str, lines: &mut Lines, sink: &mut dyn Sink) {
    let text = text_of(bytes, is_wide);
    lines.push(text.as_bytes());
    if !text.is_empty() {
        let text: String = text.chars().take(FACT_MAX).collect();
        sink.fact(&format!("lnk.{key}"), &text);
    }
}

/// Returns a string to its zero.
fn text_of(bytes: &[u8], is_wide: bool) -> String {
    if !is_wide {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        return String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    }
    let units = bytes.chunks_exact(2).map(|pair| match pair {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    let units = units.take_while(|unit| *unit != 0);
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn link_info(
    reader: &mut Reader<'_>,
    lines: &mut Lines,
    sink: &mut dyn Sink,
) -> Result<(), Defect> {
    let start = reader.off();
    let len = size(u64::from(reader.u32_le()?));
    reader.seek(start);
    let info = reader.take(len.max(4))?;
    let offset = |at: usize| {
        let off = Reader::at(info, at).u32_le().ok()?;
        info.get(size(u64::from(off))..).filter(|_| off != 0)
    };
    let header_len = Reader::at(info, 4).u32_le().unwrap_or(0);
    for (at, key, is_wide) in [
        (16, "target", false),
        (24, "target_suffix", false),
        (28, "target_unicode", true),
        (32, "target_suffix_unicode", true),
    ] {
        if is_wide && header_len < 0x24 {
            continue;
        }
        if let Some(bytes) = offset(at) {
            line(bytes, is_wide, key, lines, sink);
        }
    }
    // The name of a share: its offset is in the structure.
    if let Some(share) = offset(20) {
        let name_off = Reader::at(share, 8).u32_le().unwrap_or(0);
        if let Some(name) = share.get(size(u64::from(name_off))..) {
            line(name, false, "share", lines, sink);
        }
    }
    Ok(())
}

fn blocks(reader: &mut Reader<'_>, lines: &mut Lines, sink: &mut dyn Sink) -> Result<(), Defect> {
    loop {
        if reader.left() < 4 {
            return Ok(());
        }
        let start = reader.off();
        let len = size(u64::from(reader.u32_le()?));
        if len < 4 {
            return Ok(());
        }
        let signature = reader.u32_le()?;
        let known = signature >> 4 == 0x0a00_0000;
        if len < 8 || !known {
            // No block: what is here was put behind the shortcut without an end before it.
            reader.seek(start);
            return Ok(());
        }
        let data = reader.take_up_to(len.saturating_sub(8));
        match signature {
            ENVIRONMENT | ICON_ENVIRONMENT => {
                let key = if signature == ENVIRONMENT { "environment" } else { "icon_environment" };
                let (narrow, wide) = data.split_at_checked(260).unwrap_or((data, b""));
                line(narrow, false, key, lines, sink);
                line(wide, true, &format!("{key}_unicode"), lines, sink);
            }
            TRACKER => {
                let machine = data.get(8..).unwrap_or_default();
                let machine = machine.get(..machine.len().min(16)).unwrap_or_default();
                line(machine, false, "machine", lines, sink);
            }
            _ => runs(data, lines),
        }
        if data.len() < len.saturating_sub(8) {
            return Err(Defect::truncated(u64::try_from(start).unwrap_or(u64::MAX)));
        }
    }
}

/// Adds runs of readable characters, of one and of two bytes each.
fn runs(bytes: &[u8], lines: &mut Lines) {
    let readable = |byte: u8| (0x20..0x7f).contains(&byte);
    for run in bytes.split(|byte| !readable(*byte)).filter(|run| run.len() >= RUN_MIN) {
        lines.push(run);
    }
    for shift in 0..2 {
        let mut run = Vec::new();
        for pair in bytes.get(shift..).unwrap_or_default().chunks(2) {
            if let [low, 0] = pair
                && readable(*low)
            {
                run.push(*low);
                continue;
            }
            if run.len() >= RUN_MIN {
                lines.push(&run);
            }
            run.clear();
        }
        if run.len() >= RUN_MIN {
            lines.push(&run);
        }
    }
}
