//! Hancom HWP 3: a body that is compressed, and blocks of information.
//!
//! Yields: the block of information; the inflated body; compound files in it; its runs of ASCII as text.
//! Leaves out: Korean text (it has a code of its own), the parsing of paragraphs: what is in them is in the body.
//! Limits: 64 compound files; all through `Sink`.
//! Hostile input: the body is inflated whatever the header says when it does not look open; a damaged stream
//! gives what came before; what is inside is found by its magic, wherever lengths point.
//! Sources: [1] Hancom, "HWP 3.0 document file format" §3 to §5, §10.

use hf_core::{Child, ChildRole, FileType, Halt, Reason, ScanOptions, Sink, Stop};
use memchr::memmem;

use super::le::{part, u16_at, units};
use crate::bounded::{Ended, Unpacked, hand_over, unpack};
use crate::codec::Inflate;
use crate::{Format, FormatDoc, Stage};

/// Opens Hancom HWP 3.
pub(crate) static FORMAT: Format = Format {
    name: "hwp3",
    types: &[FileType::Hwp3],
    stage: Stage::BeforeMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`HWP Document File V3.00` and six bytes",
        yields: "the inflated body, compound files in it, its ASCII text, the block of information",
        leaves_out: "Korean text, paragraphs as such",
        limits: "64 compound files",
        sources: "Hancom, HWP 3.0 document file format",
    },
};

/// [1] §3: signature, document information, summary.
const SIGNATURE_LEN: usize = 30;
const INFORMATION_LEN: usize = 128;
const SUMMARY_LEN: usize = 1008;
const FILES_MAX: usize = 64;
const RUN_MIN: usize = 6;

fn enabled(options: &ScanOptions) -> bool {
    // `DOCUMENT` bit `HWP` of the configuration databases.
    options.scan_hwp3
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let information = part(object, SIGNATURE_LEN, INFORMATION_LEN);
    // [1] §3.2: password, compressed, length of the block of information.
    if u16_at(information, 96).is_some_and(|password| password != 0) {
        sink.unscanned(b"", Reason::Encrypted);
        if sink.options().alert_encrypted_doc && !sink.options().clamav_quirks {
            sink.heuristic("Heuristics.Encrypted.HWP3")?;
        }
    }
    let compressed = information.get(124).is_some_and(|flag| *flag != 0);
    let block_len = usize::from(u16_at(information, 126).unwrap_or(0));
    let block_off = SIGNATURE_LEN + INFORMATION_LEN + SUMMARY_LEN;
    let block = part(object, block_off, block_len);
    if !block.is_empty() {
        sink.child(Child { name: b"information", data: block, role: ChildRole::Member })?;
    }
    let raw = object.get(block_off.saturating_add(block.len())..).unwrap_or_default();
    let mut body = unpack(Inflate::raw(raw), 0, sink)?;
    let open = !compressed && body.ended != Ended::Whole;
    if open || body.bytes.is_empty() {
        body = Unpacked { bytes: raw.to_vec(), ended: Ended::Whole };
    }
    hand_over(&body, b"body", ChildRole::Member, sink)?;
    Ok(inside(&body.bytes, sink)?)
}

/// Hands over compound files and text of the body.
fn inside(body: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    const OLE2: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
    for (number, off) in (1u32..).zip(memmem::find_iter(body, OLE2).take(FILES_MAX)) {
        let data = body.get(off..).unwrap_or_default();
        let name = format!("object{number}");
        sink.child(Child { name: name.as_bytes(), data, role: ChildRole::Member })?;
    }
    let mut text = String::new();
    for skip in [0usize, 1] {
        let mut run = String::new();
        for unit in units(body.get(skip..).unwrap_or_default()).chain([0]) {
            match u8::try_from(unit).ok().filter(|byte| matches!(byte, b' '..=b'~')) {
                Some(byte) => run.push(char::from(byte)),
                None => {
                    if run.len() >= RUN_MIN {
                        text.push_str(&run);
                        text.push('\n');
                    }
                    run.clear();
                }
            }
        }
    }
    if text.is_empty() || sink.options().clamav_quirks {
        return Ok(());
    }
    let role = ChildRole::Typed(FileType::TextAscii);
    sink.child(Child { name: b"text", data: text.as_bytes(), role })
}
