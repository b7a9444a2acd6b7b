//! Flash: compressed, the whole file inflated; uncompressed, what its tags carry.
//!
//! Yields: of compressed Flash one child, `FWS` and what follows; of that binary data, byte code and pictures
//! (not under ClamAV's quirks: it does not).
//! Leaves out: actions and drawings.
//! Limits: through `Sink`. Hostile input: what came out before damage is handed over; the claimed
//! length is not believed.
//! Sources: [1] SWF file format specification, version 19, "The SWF header".

use std::io::Read;

use hf_core::{ChildRole, Defect, FileType, Halt, Reason, ScanOptions, Sink};

use super::le::{u32_at, u64_at};
use crate::bounded::unpack_child;
use crate::codec::{Inflate, Lzma, LzmaHeader};
use crate::{Format, FormatDoc, Stage};

mod tags;

/// Opens compressed Flash.
pub(crate) static FORMAT: Format = Format {
    name: "swf",
    types: &[FileType::Swf],
    stage: Stage::BeforeMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`FWS`, `CWS`, `ZWS`",
        yields: "the uncompressed file; binary data, byte code and pictures of its tags",
        leaves_out: "actions and drawings",
        limits: "1024 children",
        sources: "SWF file format specification, version 19",
    },
};

fn enabled(options: &ScanOptions) -> bool {
    // `DOCUMENT` bit `SWF` of the configuration databases.
    options.scan_swf && options.dconf.document & 0x40 != 0
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    const HEADER_LEN: usize = 8;
    let (magic, rest) = object.split_at_checked(3).ok_or(Defect::truncated(0))?;
    let header = [b"FWS", rest.get(..5).ok_or(Defect::truncated(3))?].concat();
    let claimed = u32_at(object, 4).map_or(0, u64::from);
    let name = b"uncompressed";
    let role = ChildRole::Member;
    match magic {
        b"CWS" => {
            let decoder = Inflate::zlib(object.get(HEADER_LEN..).unwrap_or_default());
            unpack_child(header.chain(decoder), claimed, name, role, sink)?;
        }
        b"ZWS" => {
            // [1]: the packed length, then LZMA's properties without an unpacked length.
            let (Some(props), Some(word)) = (object.get(12), u64_at(object, 12)) else {
                return Err(Defect::truncated(8).into());
            };
            let [_, a, b, c, d, ..] = word.to_le_bytes();
            let dict_len = u32::from_le_bytes([a, b, c, d]);
            let packed = object.get(17..).unwrap_or_default();
            let unpacked_len = Some(claimed.saturating_sub(8));
            match Lzma::new(packed, LzmaHeader { props: *props, dict_len, unpacked_len }) {
                Ok(decoder) => {
                    unpack_child(header.chain(decoder), claimed, name, role, sink)?;
                }
                Err(error) => sink.unscanned(name, Reason::Damaged(error.to_string().into())),
            }
        }
        // The child of a compressed film comes here.
        b"FWS" if !sink.options().clamav_quirks => tags::children(object, sink)?,
        _ => {}
    }
    Ok(())
}
