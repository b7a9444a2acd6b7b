//! Scripts that carry an archive behind their last line: makeself, installers of drivers, self-extracting shells.
//!
//! Yields: what begins behind a line's end with the magic of a compressed stream or an archive, up to the end.
//! Leaves out: archives that are encrypted or start within a line; zip, 7z and RAR, which are found in any object.
//! Limits: [`STARTS_MAX`] beginnings.
//! Hostile input: only texts that begin as a script are looked at, in one pass.
//! Sources: makeself(1); the magics of the formats.

use std::sync::OnceLock;

use aho_corasick::packed::Searcher;
use hf_core::{Child, ChildRole, FileType, Halt, Reason, Sink};

use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "script_archive",
    types: &[
        FileType::TextAscii,
        FileType::TextUtf8,
        FileType::Script,
        FileType::BinaryData,
        FileType::TextUtf16Be,
    ],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "`#!` or `@echo off` at the start, and the magic of a stream or archive behind a line's end",
        yields: "what begins there, up to the end (not under ClamAV's names)",
        leaves_out: "archives that start within a line",
        limits: "8 beginnings",
        sources: "makeself(1)",
    },
};

/// Ours: beginnings that are handed over; what is behind the first is usually all.
const STARTS_MAX: usize = 8;

/// What an archive begins with, behind the end of a line; of tar the name of an entry is unknown, so its magic is
/// looked for where it stands.
const MAGICS: &[&[u8]] = &[
    b"\n\x1f\x8b\x08",
    b"\nBZh",
    b"\n\xfd7zXZ\0",
    b"\n\x28\xb5\x2f\xfd",
    b"\nLZIP",
    b"\n\x04\x22\x4d\x18",
    b"\n\x02\x21\x4c\x18",
    b"\n\x89LZO\0",
    b"\n\x5d\0\0",
    b"\n\x1f\x9d",
    b"\n070701",
    b"\n070707",
    b"\0ustar",
];
const TAR: usize = MAGICS.len() - 1;
/// Offset of a tar header's magic.
const USTAR_OFF: usize = 257;

fn searcher() -> Option<&'static Searcher> {
    static SEARCHER: OnceLock<Option<Searcher>> = OnceLock::new();
    SEARCHER.get_or_init(|| Searcher::new(MAGICS)).as_ref()
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let is_script = object.starts_with(b"#!")
        || object.get(..9).is_some_and(|head| head.eq_ignore_ascii_case(b"@echo off"));
    let Some(searcher) = searcher().filter(|_| is_script) else { return Ok(()) };
    let mut starts = Vec::new();
    let mut has_tar = false;
    for found in searcher.find_iter(object) {
        let magic = found.pattern().as_usize();
        let start = if magic == TAR {
            if has_tar {
                continue;
            }
            found.start().saturating_add(1).checked_sub(USTAR_OFF)
        } else {
            found.start().checked_add(1)
        };
        let Some(start) = start else { continue };
        let follows_line = start.checked_sub(1).and_then(|at| object.get(at)) == Some(&b'\n');
        if !follows_line {
            continue;
        }
        if starts.len() >= STARTS_MAX {
            sink.unscanned(b"", Reason::FormatLimit("archives behind a script".into()));
            break;
        }
        has_tar |= magic == TAR;
        starts.push(start);
    }
    for start in starts {
        sink.poll()?;
        let data = object.get(start..).unwrap_or_default();
        sink.child(Child { name: b"behind the script", data, role: ChildRole::Member })?;
    }
    Ok(())
}
