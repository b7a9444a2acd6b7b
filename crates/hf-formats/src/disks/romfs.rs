//! romfs file systems.
//!
//! Yields: one child per regular file with data, named by its path, as a part of the image.
//! Leaves out: links, devices.
//! Limits: through `Sink`; 512 levels of folders; files that overlap cost at most a few times the image.
//! Hostile input: a header is read once, wherever it is pointed to.
//! Sources: `Documentation/filesystems/romfs.rst` of the Linux kernel.

use std::collections::BTreeSet;

use hf_core::{FileType, Halt, Reason, Sink};

use super::files::{Extent, Files, path};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "romfs",
    types: &[FileType::Romfs],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`-rom1fs-` at the start",
        yields: "one child per regular file",
        leaves_out: "links, devices",
        limits: "512 levels; overlapping files up to a few times the image",
        sources: "Linux romfs documentation",
    },
};

/// Ours: levels of folders.
const DEPTH_MAX: usize = 512;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let claimed = Reader::at(object, 8).u32_be()?;
    if size(u64::from(claimed)) > object.len() {
        sink.unscanned(b"", Reason::Truncated);
    }
    let mut files = Files::new(object, sink);
    let mut visited = BTreeSet::new();
    let Some((_, first)) = string(object, 16) else { return Ok(()) };
    let mut waiting = vec![(first, Vec::new(), 0usize)];
    while let Some((at, folder, depth)) = waiting.pop() {
        files.sink.poll()?;
        if at == 0 || at >= object.len() || !visited.insert(at) {
            continue;
        }
        let mut reader = Reader::at(object, at);
        let fields = (reader.u32_be(), reader.u32_be(), reader.u32_be(), reader.u32_be());
        let (Ok(next), Ok(info), Ok(len), Ok(_)) = fields else {
            files.defect(u64::try_from(at).unwrap_or(u64::MAX), "file header");
            continue;
        };
        waiting.push((size(u64::from(next & !15)), folder.clone(), depth));
        let Some((name, data_off)) = string(object, at.saturating_add(16)) else { continue };
        let name = if name == b"." { folder } else { path(&folder, name) };
        match next & 7 {
            1 if depth >= DEPTH_MAX => files.tell_limit("levels of folders"),
            1 => waiting.push((size(u64::from(info)), name, depth.saturating_add(1))),
            2 => {
                let off = u64::try_from(data_off).unwrap_or(u64::MAX);
                files.file(&name, &[Extent::at(off, u64::from(len))], u64::from(len))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns a string and where what stands behind it begins: at the next multiple of 16.
fn string(object: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = object.get(at..)?;
    let len = rest.iter().take(4096).position(|byte| *byte == 0)?;
    let end = at.checked_add(len)?.checked_add(1)?.checked_next_multiple_of(16)?;
    Some((rest.get(..len)?, end))
}
