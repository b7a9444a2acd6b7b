//! SZDD: single files that DOS `COMPRESS` packed, also in the form of QBasic's installer.
//!
//! Yields: one child.
//! Leaves out: the last letter of the file's name, which is a fact.
//! Limits: all through `Sink`.
//! Hostile input: the length in the header is not believed: all that the data gives is handed over, and more
//! or less than the length says is a defect; a stream that is cut gives what there is.
//! Sources: the libmspack project's "SZDD and KWAJ file formats".

use hf_core::{ChildRole, Defect, FileType, Halt, Reason, Sink, Stop};

use crate::bounded::{Ended, Unpacked, hand_over};
use crate::codec::{Growing, Lzss};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "szdd",
    types: &[FileType::Msszdd],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x10 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`SZDD`, or `SZ 20 88 f0 27 33 d1`, at the start",
        yields: "one child",
        leaves_out: "nothing",
        limits: "output up to the size of one object",
        sources: "libmspack's description of SZDD and KWAJ",
    },
};

/// Where the first byte goes in the window: of COMPRESS, and of QBasic's installer.
const START: usize = 4096 - 16;
pub(super) const QBASIC_START: usize = 4096 - 18;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let qbasic = object.starts_with(b"SZ ");
    let mut reader = Reader::at(object, 8);
    if !qbasic {
        let mode = reader.u8()?;
        let letter = reader.u8()?;
        if mode != b'A' {
            sink.defect(Defect::new(8, "compression mode"));
        }
        if letter.is_ascii_graphic() {
            sink.fact("szdd.last_letter", &char::from(letter).to_string());
        }
    }
    let claimed = reader.u32_le()?;
    let start = if qbasic { QBASIC_START } else { START };
    let unpacked = grow(Lzss::new(reader.rest(), start), None, sink)?;
    tell_length(&unpacked, claimed, sink);
    hand_over(&unpacked, b"", ChildRole::Member, sink)?;
    Ok(())
}

/// Tells when the output is not as long as claimed; shorter output was cut.
pub(super) fn tell_length(unpacked: &Unpacked, claimed: u32, sink: &mut dyn Sink) {
    let made = u64::try_from(unpacked.bytes.len()).unwrap_or(u64::MAX);
    if unpacked.ended != Ended::Whole || made == u64::from(claimed) {
        return;
    }
    sink.defect(Defect::new(8, "unpacked length"));
    if made < u64::from(claimed) {
        sink.unscanned(b"", Reason::Truncated);
    }
}

/// Runs a decoder to its end, to a length, or to the sink's cap.
///
/// # Errors
/// The scan ends here.
pub(super) fn grow(
    mut decoder: impl Growing,
    want: Option<u64>,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let cap = size(sink.child_cap());
    let want = want.map(size).filter(|want| *want <= cap);
    let bound = want.unwrap_or(cap);
    let goal = want.unwrap_or(cap.saturating_add(1));
    let ended = loop {
        sink.poll()?;
        let next = decoder.made().saturating_add(1 << 20).min(goal);
        match decoder.grow(next) {
            Ok(true) if decoder.made() >= goal => {
                break if want.is_some() { Ended::Whole } else { Ended::Capped };
            }
            Ok(true) => {}
            Ok(false) => break Ended::Whole,
            Err(error) => break Ended::of_error(&error),
        }
    };
    let mut bytes = decoder.into_out();
    bytes.truncate(bound);
    Ok(Unpacked { bytes, ended })
}
