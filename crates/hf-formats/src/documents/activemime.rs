//! ActiveMime: a compressed compound file behind a header, as Word writes it into mails and pages (`editdata.mso`).
//!
//! Yields: the inflated compound file.
//! Leaves out: the header's other fields.
//! Limits: through `Sink`. Hostile input: the place of the data is looked for where the header says and at its
//! usual place, then behind every byte of the header that could start zlib data.
//! Sources: the layout as documented by the oletools project.

use hf_core::{ChildRole, FileType, Reason, Sink, Stop};

use super::le::u16_at;
use crate::bounded::{hand_over, unpack};
use crate::codec::Inflate;
use crate::{Format, FormatDoc, Stage};

/// Opens ActiveMime.
pub(crate) static FORMAT: Format = Format {
    name: "activemime",
    types: &[FileType::ActiveMime],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_ole2,
    extract: |object, sink| Ok(open(object, sink)?),
    doc: FormatDoc {
        recognised_by: "`ActiveMime` at the start",
        yields: "the inflated compound file",
        leaves_out: "fields of the header",
        limits: "none of its own",
        sources: "the layout as documented by oletools",
    },
};

/// `ActiveMime`.
const MAGIC_LEN: usize = 10;
/// Where the data lies in what Word writes.
const USUAL_OFF: usize = 50;
/// Bytes in which the start of the data is looked for.
const HEADER_LEN_MAX: usize = 256;

fn open(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    // The value at 30 counts from 46 bytes behind the start.
    let told = u16_at(object, 30).map(|off| usize::from(off).saturating_add(46));
    let head = object.get(..object.len().min(HEADER_LEN_MAX)).unwrap_or_default();
    let others = memchr::memchr_iter(0x78, head).filter(|off| *off >= MAGIC_LEN).take(8);
    for off in told.into_iter().chain([USUAL_OFF]).chain(others) {
        let packed = object.get(off..).unwrap_or_default();
        if packed.first().is_none_or(|byte| byte & 0x0f != 8) {
            continue;
        }
        let unpacked = unpack(Inflate::zlib(packed), 0, sink)?;
        if !unpacked.bytes.is_empty() {
            return hand_over(&unpacked, b"inflated", ChildRole::Member, sink);
        }
    }
    sink.unscanned(b"", Reason::Damaged("no zlib data in ActiveMime".into()));
    Ok(())
}
