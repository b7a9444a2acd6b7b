//! LZMA streams with the 13-byte header ("LZMA alone", `.lzma`).
//!
//! Yields: one child; and what stands behind the stream.
//! Leaves out: nothing.
//! Limits: all through `Sink`; a dictionary is at most 128 MiB, output that needs more is cut there.
//! Hostile input: what came out before damage is a child.
//! Sources: LZMA SDK, `lzma.txt`.

use hf_core::{FileType, Halt, Sink};

use super::streams::{Stream, join};
use crate::bounded::{Ended, unpack_into};
use crate::codec::{Counted, Lzma, LzmaHeader};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "lzma",
    types: &[FileType::Lzma],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "a plausible LZMA header of 13 bytes",
        yields: "one child; data behind the stream",
        leaves_out: "nothing",
        limits: "output up to the size of one object; dictionary up to 128 MiB",
        sources: "LZMA SDK, lzma.txt",
    },
};

const HEADER_LEN: usize = 13;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    join(object, b"", b"", sink, |rest, off, bytes, sink| {
        if off > 0 {
            return Ok(None);
        }
        let mut reader = Reader::new(rest);
        let (Ok(props), Ok(dict_len), Ok(len)) = (reader.u8(), reader.u32_le(), reader.u64_le())
        else {
            return Ok(Some(Stream { ended: Ended::Truncated, used: rest.len() }));
        };
        let unpacked_len = (len != u64::MAX).then_some(len);
        let mut input = Counted::new(reader.rest());
        let (ended, unused) =
            match Lzma::new(&mut input, LzmaHeader { props, dict_len, unpacked_len }) {
                Ok(mut stream) => {
                    let ended = unpack_into(&mut stream, bytes, sink)?;
                    (ended, stream.unused_len())
                }
                Err(error) => (Ended::of_error(&error), 0),
            };
        let used = size(input.used()).saturating_sub(unused).saturating_add(HEADER_LEN);
        Ok(Some(Stream { ended, used }))
    })?;
    Ok(())
}
