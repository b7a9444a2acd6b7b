//! Virtual disks of QEMU (QCOW and QCOW2, versions 1 to 3).
//!
//! Yields: the guest's disk as one child, from its clusters: stored, deflate and Zstandard.
//! Leaves out: backing files and external data files, which are told and never opened; the tables of
//! snapshots; encrypted clusters, which are told.
//! Limits: through `Sink`; clusters behind what a child may have are handed over in pieces; tables of 2^22
//! entries.
//! Hostile input: tables that overlap cost at most four times the image; clusters outside of it are told.
//! Sources: QEMU, `docs/interop/qcow2.rst`; "The QCOW Image Format" (M. McLoughlin).

use std::io::Read;

use hf_core::{Defect, FileType, Halt, Reason, Sink, Stop};

use super::guest::{Block, Guest};
use crate::bounded::{Ended, unpack_into};
use crate::codec::{Inflate, ZstdFrame};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "qcow",
    types: &[FileType::Qcow],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`QFI fb` at the start",
        yields: "the guest's disk: clusters stored, deflate and Zstandard",
        leaves_out: "backing files, external data files and encryption (reported); snapshots",
        limits: "the disk up to the size of one object, what lies behind in pieces",
        sources: "QEMU docs/interop/qcow2.rst",
    },
};

/// Ours: entries of the first table.
const TABLE_MAX: u64 = 1 << 22;

/// What the header says.
struct Image<'a> {
    object: &'a [u8],
    version: u32,
    cluster_bits: u32,
    /// Entries of a second table are 2 to the power of this.
    second_bits: u32,
    len: u64,
    first_off: u64,
    zstd: bool,
    /// Entries have a word more, which says which parts of a cluster are used.
    parts: bool,
    budget: u64,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let Some(mut image) = header(object, sink)? else { return Ok(()) };
    let (len, count) = (image.len, image.first_count());
    let mut guest = Guest::new(len, object, sink);
    for idx in 0..count.min(TABLE_MAX) {
        let at = image.first_off.saturating_add(idx.saturating_mul(8));
        let Ok(entry) = Reader::at(object, size(at)).u64_be() else {
            guest.miss(Reason::Truncated);
            break;
        };
        let off = if image.version == 1 { entry } else { entry & 0x00ff_ffff_ffff_fe00 };
        if off == 0 {
            continue;
        }
        if !image.second(idx, off, &mut guest)? {
            guest.miss(Reason::FormatLimit("tables that overlap".into()));
            break;
        }
    }
    if count > TABLE_MAX {
        guest.miss(Reason::FormatLimit("tables".into()));
    }
    guest.finish()?;
    Ok(())
}

fn header<'a>(object: &'a [u8], sink: &mut dyn Sink) -> Result<Option<Image<'a>>, Halt> {
    let mut fields = Reader::at(object, 4);
    let version = fields.u32_be()?;
    let (backing_off, backing_len) = (fields.u64_be()?, fields.u32_be()?);
    let budget = u64::try_from(object.len()).unwrap_or(u64::MAX).saturating_mul(4);
    let mut image = Image {
        object,
        version,
        cluster_bits: 0,
        second_bits: 0,
        len: 0,
        first_off: 0,
        zstd: false,
        parts: false,
        budget,
    };
    let locked;
    if version == 1 {
        fields.skip(4)?;
        image.len = fields.u64_be()?;
        image.cluster_bits = fields.u8()?.into();
        image.second_bits = fields.u8()?.into();
        fields.skip(2)?;
        locked = fields.u32_be()? != 0;
        image.first_off = fields.u64_be()?;
    } else {
        image.cluster_bits = fields.u32_be()?;
        image.len = fields.u64_be()?;
        locked = fields.u32_be()? != 0;
        fields.skip(4)?;
        image.first_off = fields.u64_be()?;
        features(object, &mut image, sink);
        let wide = u32::from(image.parts);
        image.second_bits = image.cluster_bits.saturating_sub(3).saturating_sub(wide);
    }
    if backing_off != 0 {
        let name = object.get(size(backing_off)..).unwrap_or_default();
        let name = name.get(..size(backing_len.into()).min(1024)).unwrap_or_default();
        sink.fact("qcow.backing_file", &String::from_utf8_lossy(name));
        sink.unscanned(b"", Reason::OtherVolume);
    }
    if locked {
        sink.unscanned(b"", Reason::Encrypted);
        return Ok(None);
    }
    if !(9..=30).contains(&image.cluster_bits) || !(1..=30).contains(&image.second_bits) {
        sink.defect(Defect::new(20, "cluster_bits"));
        sink.unscanned(b"", Reason::Damaged("cluster_bits".into()));
        return Ok(None);
    }
    Ok(Some(image))
}

/// Reads what version 3 adds.
fn features(object: &[u8], image: &mut Image<'_>, sink: &mut dyn Sink) {
    if image.version < 3 {
        return;
    }
    let bits = Reader::at(object, 72).u64_be().unwrap_or(0);
    if bits & 2 != 0 {
        sink.defect(Defect::new(72, "marked as corrupt"));
    }
    if bits & 4 != 0 {
        sink.unscanned(b"", Reason::OtherVolume);
        sink.fact("qcow.data_file", "external");
    }
    let header_len = Reader::at(object, 100).u32_be().unwrap_or(0);
    image.zstd = header_len > 104 && object.get(104) == Some(&1);
    image.parts = bits & 0x10 != 0;
}

impl Image<'_> {
    fn cluster_len(&self) -> u64 {
        1u64 << self.cluster_bits
    }

    /// Bytes of the guest's disk that one second table is for.
    fn reach(&self) -> u64 {
        self.cluster_len().checked_shl(self.second_bits).unwrap_or(u64::MAX).max(1)
    }

    fn first_count(&self) -> u64 {
        self.len.div_ceil(self.reach())
    }

    /// Reads a second table; false when too much was read.
    fn second(&mut self, idx: u64, off: u64, guest: &mut Guest<'_, '_>) -> Result<bool, Stop> {
        let entry_len: usize = if self.parts { 16 } else { 8 };
        let wanted = (1usize << self.second_bits).saturating_mul(entry_len);
        let rest = self.object.get(size(off)..).unwrap_or_default();
        let table = rest.get(..wanted).unwrap_or(rest);
        if table.len() < wanted {
            guest.miss(Reason::Truncated);
        }
        if !self.may(table.len()) {
            return Ok(false);
        }
        for (number, entry) in table.chunks_exact(entry_len).enumerate() {
            let word = Reader::new(entry).u64_be().unwrap_or(0);
            let number = u64::try_from(number).unwrap_or(0);
            let place = idx.saturating_mul(self.reach());
            let place = place.saturating_add(number.saturating_mul(self.cluster_len()));
            if word == 0 || place >= self.len {
                continue;
            }
            let parts = self.parts.then(|| Reader::at(entry, 8).u64_be().unwrap_or(0));
            if !self.cluster(word, parts, place, guest)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn may(&mut self, len: usize) -> bool {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let may = self.budget >= len;
        self.budget = self.budget.saturating_sub(len);
        may
    }

    fn cluster(
        &mut self,
        word: u64,
        parts: Option<u64>,
        place: u64,
        guest: &mut Guest<'_, '_>,
    ) -> Result<bool, Stop> {
        let packed = if self.version == 1 { word >> 63 == 1 } else { word & 1 << 62 != 0 };
        if packed {
            return self.packed(word, place, guest);
        }
        // Bit 0: reads as zeros.
        if self.version > 1 && word & 1 != 0 && parts.is_none() {
            return Ok(true);
        }
        let off = if self.version == 1 { word } else { word & 0x00ff_ffff_ffff_fe00 };
        if off == 0 {
            return Ok(true);
        }
        let rest = self.object.get(size(off)..).unwrap_or_default();
        let data = rest.get(..size(self.cluster_len())).unwrap_or(rest);
        if !self.may(data.len()) {
            return Ok(false);
        }
        let wanted = size(self.cluster_len().min(self.len.saturating_sub(place)));
        let Some(parts) = parts else {
            if data.len() < wanted {
                guest.miss(Reason::Truncated);
            }
            guest.add(place, &Block::Stored(data))?;
            return Ok(true);
        };
        // One bit for each of 32 parts of the cluster that is used.
        let part_len = size(self.cluster_len()).div_euclid(32).max(1);
        let mut used = data.to_vec();
        for idx in 0..32usize {
            let start = idx.saturating_mul(part_len);
            let end = start.saturating_add(part_len);
            if parts >> idx & 1 == 0 {
                let end = end.min(used.len());
                used.get_mut(start..end).unwrap_or_default().fill(0);
            } else if used.len() < end.min(wanted) {
                guest.miss(Reason::Truncated);
            }
        }
        guest.add(place, &Block::Unpacked(used))?;
        Ok(true)
    }

    fn packed(&mut self, word: u64, place: u64, guest: &mut Guest<'_, '_>) -> Result<bool, Stop> {
        let (off, len) = if self.version == 1 {
            let shift = 63u32.saturating_sub(self.cluster_bits);
            let mask = (1u64 << shift).wrapping_sub(1);
            let len = (word >> shift) & self.cluster_len().wrapping_sub(1);
            (word & mask, len)
        } else {
            let shift = 62u32.saturating_sub(self.cluster_bits.saturating_sub(8));
            let off = word & (1u64 << shift).wrapping_sub(1);
            let sectors = (word & 0x3fff_ffff_ffff_ffff) >> shift;
            let within = off & 511;
            (off, sectors.saturating_add(1).saturating_mul(512).saturating_sub(within))
        };
        let rest = self.object.get(size(off)..).unwrap_or_default();
        let data = rest.get(..size(len)).unwrap_or(rest);
        if !self.may(data.len()) {
            return Ok(false);
        }
        let limit = guest.unpack_room(self.cluster_len());
        let mut out = Vec::new();
        let ended = if self.zstd {
            match ZstdFrame::new(data) {
                Ok(stream) => unpack_into(stream.take(limit), &mut out, guest.sink())?,
                Err(error) => Ended::of_error(&error),
            }
        } else {
            unpack_into(Inflate::raw(data).take(limit), &mut out, guest.sink())?
        };
        let whole = u64::try_from(out.len()) == Ok(limit);
        if !whole && let Some(reason) = ended.reason(guest.sink()) {
            guest.miss(reason);
        }
        guest.add(place, &Block::Unpacked(out))?;
        Ok(true)
    }
}
