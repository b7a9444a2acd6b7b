//! Mach-O files of several architectures ("fat" or universal binaries).
//!
//! Yields: one child per architecture, named after its CPU.
//! Leaves out: nothing; the 64-bit form of the table (`ca fe ba bf`) is read as well.
//! Limits: [`SLICES_MAX`] architectures.
//! Hostile input: a slice that is cut or lies outside is a defect; the others stay.
//! Source: Apple, `mach-o/fat.h`.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Reason, Sink};

use super::macho;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "macho_universal",
    types: &[FileType::MachoUnibin],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_elf,
    extract,
    doc: FormatDoc {
        recognised_by: "`ca fe ba be` and a small number of architectures",
        yields: "one child per architecture",
        leaves_out: "nothing",
        limits: "32 architectures",
        sources: "Apple, mach-o/fat.h",
    },
};

/// Architectures read; as ClamAV.
const SLICES_MAX: u32 = 32;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::new(object);
    let is_64 = match reader.u32_be()? {
        0xcafe_babe => false,
        0xcafe_babf => true,
        _ => return Err(Defect::new(0, "magic").into()),
    };
    let count = reader.u32_be()?;
    if count > SLICES_MAX {
        sink.unscanned(b"", Reason::FormatLimit("nfat_arch".into()));
    }
    for _ in 0..count.min(SLICES_MAX) {
        sink.poll()?;
        let entry_off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        let cpu = u64::from(reader.u32_be()?);
        reader.u32_be()?;
        let (off, len) = if is_64 {
            (reader.u64_be()?, reader.u64_be()?)
        } else {
            (u64::from(reader.u32_be()?), u64::from(reader.u32_be()?))
        };
        reader.u32_be()?;
        if is_64 {
            reader.u32_be()?;
        }
        let (start, end) = (size(off), size(off.saturating_add(len)).min(object.len()));
        // A slice at 0 would be the object itself again.
        let slice = object.get(start..end).filter(|slice| start >= 8 && !slice.is_empty());
        let Some(data) = slice else {
            sink.defect(Defect::new(entry_off, "offset"));
            continue;
        };
        let name = macho::cpu_name(cpu);
        if size(len) != data.len() {
            sink.unscanned(name.as_bytes(), Reason::Truncated);
        }
        sink.child(Child { name: name.as_bytes(), data, role: ChildRole::Member })?;
    }
    Ok(())
}
