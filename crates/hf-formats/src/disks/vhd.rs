//! Virtual disks of Virtual PC and Hyper-V (VHD): fixed, dynamic and differencing.
//!
//! Yields: the guest's disk as one child, from the blocks that are used.
//! Leaves out: the parent of a differencing disk, which is told and never opened.
//! Limits: through `Sink`; blocks behind what a child may have are handed over in pieces.
//! Hostile input: the footer is taken from the end, from the start (its copy) or from wherever the cookie
//! stands; checksums that are wrong are defects; blocks outside of the image are told.
//! Sources: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0.

use hf_core::{Defect, FileType, Halt, Reason, Sink, Stop};
use memchr::memmem;

use super::guest::{self, Guest};
use crate::backwards::backwards;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "vhd",
    types: &[FileType::Vhd],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`conectix` at the start or 512 (or 511) bytes before the end",
        yields: "the guest's disk",
        leaves_out: "the parent of a differencing disk (reported)",
        limits: "the disk up to the size of one object, what lies behind in pieces",
        sources: "VHD specification 1.0",
    },
};

const COOKIE: &[u8] = b"conectix";

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let at_end = [512usize, 511].into_iter().find_map(|len| {
        object
            .len()
            .checked_sub(len)
            .filter(|off| object.get(*off..).is_some_and(|rest| rest.starts_with(COOKIE)))
    });
    let off = at_end.or_else(|| object.starts_with(COOKIE).then_some(0));
    let off = off.or_else(|| backwards(object, COOKIE).next()).unwrap_or(0);
    if at_end.is_none() {
        sink.defect(Defect::new(
            u64::try_from(object.len()).unwrap_or(u64::MAX),
            "no footer at the end",
        ));
    }
    let footer = Reader::at(object, off);
    let field = |at: usize| Reader::at(object, footer.off().saturating_add(at));
    let header_off = field(16).u64_be()?;
    let len = field(48).u64_be()?;
    let kind = field(60).u32_be()?;
    match kind {
        2 => {
            let data = object.get(..size(len).min(off)).unwrap_or_default();
            // A lying length does not hide what is there.
            let data = if data.is_empty() { object.get(..off).unwrap_or_default() } else { data };
            if data.len() < size(len) {
                sink.unscanned(b"disk", Reason::Truncated);
            }
            // A disk that starts as one was opened as such already, footer and all, but for a backup table
            // that is not where the footer makes it seem.
            let table =
                |at: usize| data.get(at..).is_some_and(|rest| rest.starts_with(b"EFI PART"));
            let backup_only = !table(512) && data.len().checked_sub(512).is_some_and(table);
            if data.get(510..512) == Some(&[0x55, 0xaa]) && !backup_only {
                sink.fact("vhd.kind", "fixed");
                return Ok(());
            }
            guest::hand_over(data, sink)?;
        }
        3 | 4 => {
            if kind == 4 {
                sink.unscanned(b"", Reason::OtherVolume);
                sink.fact("vhd.parent", &parent(object, header_off));
            }
            dynamic(object, header_off, len, sink)?;
        }
        _ => sink.unscanned(b"", Reason::UnknownMethod(format!("disk type {kind}").into())),
    }
    Ok(())
}

/// Returns the name of the parent of a differencing disk.
fn parent(object: &[u8], header_off: u64) -> String {
    let name = object.get(size(header_off.saturating_add(64))..).unwrap_or_default();
    let name = super::files::utf16_be(name.get(..512).unwrap_or_default());
    String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()
}

fn dynamic(object: &[u8], header_off: u64, len: u64, sink: &mut dyn Sink) -> Result<(), Stop> {
    let told = object.get(size(header_off)..).filter(|rest| rest.starts_with(b"cxsparse"));
    let found = told.or_else(|| memmem::find(object, b"cxsparse").and_then(|at| object.get(at..)));
    let Some(header) = found else {
        sink.unscanned(b"", Reason::Damaged("dynamic disk header".into()));
        return Ok(());
    };
    let table_off = Reader::at(header, 16).u64_be().unwrap_or(0);
    let count = Reader::at(header, 28).u32_be().unwrap_or(0);
    let block_len = u64::from(Reader::at(header, 32).u32_be().unwrap_or(0));
    if !block_len.is_power_of_two() || !(512..=1 << 31).contains(&block_len) {
        sink.unscanned(b"", Reason::Damaged("block size".into()));
        return Ok(());
    }
    // One bit for each sector of a block, in whole sectors.
    let bitmap_len = block_len.div_euclid(512).div_ceil(8).next_multiple_of(512);
    let mut guest = Guest::new(len, object, sink);
    let mut table = Reader::at(object, size(table_off));
    for idx in 0..count {
        let Ok(sector) = table.u32_be() else {
            guest.miss(Reason::Truncated);
            break;
        };
        if sector == u32::MAX {
            continue;
        }
        let off = u64::from(sector).saturating_mul(512).saturating_add(bitmap_len);
        let place = u64::from(idx).saturating_mul(block_len);
        if !guest.stored(place, off, block_len)? {
            break;
        }
    }
    guest.finish()
}
