//! Sections of ELF files that are compressed: with a header of their own, or by their name in an older way.
//!
//! Promises: at most [`PACKED_MAX`] sections are unpacked, each up to the sink's cap.
//! Sources: System V ABI, chapter 4 ("Section Compression"); binutils' documentation of `.zdebug`.

use hf_core::{ChildRole, ExeSection, Reason, Sink, Stop};

use crate::bounded::unpack_child;
use crate::codec::{Inflate, ZstdFrame};
use crate::executables::endian::Fields;
use crate::reader::size;

/// Ours.
const PACKED_MAX: usize = 1024;
const COMPRESSED: u64 = 0x800;

/// Hands the unpacked sections over.
///
/// # Errors
/// The scan ends here.
pub(super) fn give(
    bytes: &[u8],
    fields: &Fields<'_>,
    sections: &[ExeSection],
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let packed = |section: &&ExeSection| {
        section.flags & COMPRESSED != 0 || section.name.starts_with(b".zdebug")
    };
    for (nth, section) in sections.iter().filter(packed).enumerate() {
        if nth >= PACKED_MAX {
            sink.unscanned(b"", Reason::FormatLimit("compressed sections".into()));
            break;
        }
        let rest = bytes.get(size(section.raw_off)..).unwrap_or_default();
        let data = rest.get(..size(section.raw_len)).unwrap_or(rest);
        let role = ChildRole::Member;
        let name = section.name.as_slice();
        if let Some(stream) = data.strip_prefix(b"ZLIB") {
            let stream = stream.get(8..).unwrap_or_default();
            unpack_child(Inflate::zlib(stream), 0, name, role, sink)?;
            continue;
        }
        let mut header = fields.clone();
        header.seek(section.raw_off);
        let Ok(method) = header.u32() else { continue };
        let stream = data.get(if fields.is_64() { 24 } else { 12 }..).unwrap_or_default();
        match method {
            1 => {
                unpack_child(Inflate::zlib(stream), 0, name, role, sink)?;
            }
            2 => match ZstdFrame::new(stream) {
                Ok(stream) => {
                    unpack_child(stream, 0, name, role, sink)?;
                }
                Err(_) => sink.unscanned(name, Reason::Damaged("section".into())),
            },
            method => {
                let reason = Reason::UnknownMethod(format!("section compression {method}").into());
                sink.unscanned(name, reason);
            }
        }
    }
    Ok(())
}
