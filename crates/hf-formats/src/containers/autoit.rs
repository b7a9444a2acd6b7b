//! Compiled AutoIt scripts (`EA05` of AutoIt 3.0 to 3.2.5, `EA06` of later ones), as they stand in programs.
//!
//! Yields: one child per file: the script as text (tokens of `EA06` become words again), and the files that
//! it installs.
//! Leaves out: passwords and times; compression `JB00` and `JB01`, which is reported.
//! Limits: through `Sink`; a name has at most 4096 characters.
//! Hostile input: lengths are bounded by the bytes that are there; a wrong checksum is a defect; what came
//! out before damage is handed over.
//! Sources: observation of test files; public descriptions of compiled AutoIt scripts.

mod cipher;
mod tokens;

use hf_core::{ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use super::szdd::grow;
use crate::bounded::{Ended, Unpacked, hand_over};
use crate::codec::AutoitLz;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use cipher::Edition;

pub(super) const FORMAT: Format = Format {
    name: "autoit",
    types: &[FileType::Autoit],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x2000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "AutoIt's GUID and `AU3!EA05` or `AU3!EA06`, anywhere in a program",
        yields: "the script as text; the files that it installs",
        leaves_out: "compression JB00 and JB01 (reported)",
        limits: "names of at most 4096 characters",
        sources: "observation of test files; public descriptions",
    },
};

const MAGIC_OFF: usize = 16;
const CHECK_OFF: usize = 24;
const RECORDS_OFF: usize = 40;
const NAME_LEN_MAX: u32 = 4096;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let magic = Reader::at(object, MAGIC_OFF).take(8)?;
    let edition = if magic.ends_with(b"5") { Edition::Ea05 } else { Edition::Ea06 };
    let check = Reader::at(object, CHECK_OFF).take_up_to(16);
    let key = edition.content_key(check);
    let mut reader = Reader::at(object, RECORDS_OFF);
    let mut position = 0u32;
    while !reader.rest().starts_with(b"AU3!EA0") {
        sink.poll()?;
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        let record = match Record::read(&mut reader, edition) {
            Ok(record) => record,
            Err(defect) => {
                sink.unscanned(b"", Reason::Damaged(defect.what.clone()));
                sink.defect(defect);
                break;
            }
        };
        position = position.saturating_add(1);
        sink.member(&Member {
            name: &record.name,
            packed_len: u64::from(record.packed_len),
            unpacked_len: u64::from(record.len),
            position,
            ..Member::default()
        })?;
        record.open(off, key, edition, sink)?;
    }
    Ok(())
}

/// A file with its header.
struct Record<'a> {
    kind: Vec<u8>,
    name: Vec<u8>,
    packed: bool,
    packed_len: u32,
    len: u32,
    check: u32,
    data: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(reader: &mut Reader<'a>, edition: Edition) -> Result<Self, Defect> {
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        let magic = edition.decrypt(reader.take(4)?, edition.keys().record);
        if magic != b"FILE" {
            return Err(Defect::new(off, "record"));
        }
        let keys = edition.keys();
        let kind = text(reader, edition, keys.kind)?;
        let name = text(reader, edition, keys.name)?;
        let packed = reader.u8()? != 0;
        let packed_len = reader.u32_le()? ^ keys.len;
        let len = reader.u32_le()? ^ keys.len;
        let check = reader.u32_le()? ^ keys.check;
        reader.skip(16)?;
        let data = reader.take_up_to(size(u64::from(packed_len)));
        Ok(Self { kind, name, packed, packed_len, len, check, data })
    }

    fn open(&self, off: u64, key: u32, edition: Edition, sink: &mut dyn Sink) -> Result<(), Stop> {
        let cut = self.data.len() < size(u64::from(self.packed_len));
        let data = edition.decrypt(self.data, key);
        if !cut && adler32(&data) != self.check {
            sink.defect(Defect::new(off, "checksum"));
        }
        let mut unpacked = if self.packed {
            let Some(unpacked) = self.unpack(&data, edition, sink)? else { return Ok(()) };
            unpacked
        } else {
            Unpacked { bytes: data, ended: Ended::Whole }
        };
        if cut && unpacked.ended == Ended::Whole {
            unpacked.ended = Ended::Truncated;
        }
        let script = edition == Edition::Ea06 && self.kind == b">>>AUTOIT SCRIPT<<<";
        if script {
            let text = tokens::to_text(&unpacked.bytes, size(sink.child_cap()));
            if let Some(text) = text {
                unpacked.bytes = text.into_bytes();
            } else {
                sink.defect(Defect::new(off, "tokens"));
            }
        }
        hand_over(&unpacked, &self.name, ChildRole::Member, sink)
    }

    /// Unpacks the file; none when the method is not known, which is told.
    fn unpack(
        &self,
        data: &[u8],
        edition: Edition,
        sink: &mut dyn Sink,
    ) -> Result<Option<Unpacked>, Stop> {
        let (magic, rest) = data.split_at_checked(4).unwrap_or((data, &[]));
        let literal = match magic {
            b"EA05" => 0,
            b"EA06" => 1,
            b"JB00" | b"JB01" => {
                let name = String::from_utf8_lossy(magic).into_owned();
                sink.unscanned(&self.name, Reason::UnknownMethod(name.into()));
                return Ok(None);
            }
            _ => u32::from(edition == Edition::Ea06),
        };
        let mut reader = Reader::new(rest);
        let len = reader.u32_be().unwrap_or(self.len);
        let stream = AutoitLz::new(reader.rest(), literal);
        grow(stream, Some(u64::from(len)), sink).map(Some)
    }
}

/// Reads a text with its length, each under a key of its own; wide text becomes UTF-8.
fn text(reader: &mut Reader<'_>, edition: Edition, keys: (u32, u32)) -> Result<Vec<u8>, Defect> {
    let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
    let len = reader.u32_le()? ^ keys.0;
    if len > NAME_LEN_MAX {
        return Err(Defect::new(off, "length of a text"));
    }
    let key = len.wrapping_add(keys.1);
    let len = size(u64::from(len));
    if edition == Edition::Ea05 {
        return Ok(edition.decrypt(reader.take(len)?, key));
    }
    let bytes = edition.decrypt(reader.take(len.saturating_mul(2))?, key);
    let units: Vec<u16> =
        bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    Ok(String::from_utf16_lossy(&units).into_bytes())
}

fn adler32(data: &[u8]) -> u32 {
    const PRIME: u32 = 65_521;
    let (mut low, mut high) = (1u32, 0u32);
    // 5552 bytes are the most for which the sums stay below 2^32 (RFC 1950).
    for part in data.chunks(5552) {
        for byte in part {
            low = low.wrapping_add(u32::from(*byte));
            high = high.wrapping_add(low);
        }
        (low, high) = (low % PRIME, high % PRIME);
    }
    (high << 16) | low
}
