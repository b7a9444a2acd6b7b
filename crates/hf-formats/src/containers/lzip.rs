//! lzip.
//!
//! Yields: one child, all members one behind the other; and what stands behind the last member.
//! Leaves out: nothing.
//! Limits: all through `Sink`; a dictionary is at most 128 MiB, output that needs more is cut there.
//! Hostile input: what came out before damage is a child; a wrong CRC or size is a defect; the next member
//! is looked for by its magic.
//! Sources: "Lzip Compressed Format" (draft-diaz-lzip).

use hf_core::{Defect, FileType, Halt, Sink};

use super::streams::{Stream, join};
use crate::bounded::{Ended, unpack_into};
use crate::codec::{Counted, Lzma, LzmaHeader};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "lzip",
    types: &[FileType::Lzip],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`LZIP` and version 0 or 1 at the start",
        yields: "one child, all members joined; data behind the last member",
        leaves_out: "nothing",
        limits: "output up to the size of one object; dictionary up to 128 MiB",
        sources: "Lzip Compressed Format",
    },
};

const MAGIC: &[u8] = b"LZIP";
const HEADER_LEN: usize = 6;
/// lc 3, lp 0, pb 2.
const PROPS: u8 = 93;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    join(object, b"", MAGIC, sink, |rest, off, bytes, sink| {
        if !rest.starts_with(MAGIC) {
            return Ok(None);
        }
        let mut reader = Reader::at(rest, 4);
        let (Ok(version), Ok(coded)) = (reader.u8(), reader.u8()) else {
            return Ok(Some(Stream { ended: Ended::Truncated, used: rest.len() }));
        };
        let base = 1u32 << u32::from(coded & 31).clamp(12, 29);
        let dict_len = base.saturating_sub((base / 16).saturating_mul(u32::from(coded >> 5)));
        let start = bytes.len();
        let mut input = Counted::new(reader.rest());
        let header = LzmaHeader { props: PROPS, dict_len, unpacked_len: None };
        let (ended, unused) = match Lzma::new(&mut input, header) {
            Ok(mut stream) => {
                let ended = unpack_into(&mut stream, bytes, sink)?;
                (ended, stream.unused_len())
            }
            Err(error) => (Ended::of_error(&error), 0),
        };
        let used = size(input.used()).saturating_sub(unused).saturating_add(HEADER_LEN);
        let mut trailer = Reader::at(rest, used);
        if ended == Ended::Whole {
            let at = off.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
            let made = bytes.get(start..).unwrap_or_default();
            match (trailer.u32_le(), trailer.u64_le()) {
                (Ok(crc), _) if crc != crc32fast::hash(made) => {
                    sink.defect(Defect::new(at, "CRC32"));
                }
                (Ok(_), Ok(len)) if size(len) == made.len() => {}
                (Ok(_), Ok(_)) => sink.defect(Defect::new(at.saturating_add(4), "Data size")),
                _ => sink.defect(Defect::truncated(at)),
            }
            trailer.take_up_to(if version == 0 { 0 } else { 8 });
        }
        Ok(Some(Stream { ended, used: trailer.off().min(rest.len()) }))
    })?;
    Ok(())
}
