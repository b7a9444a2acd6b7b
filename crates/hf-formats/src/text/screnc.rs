//! Scripts encoded with Microsoft's Script Encoder (`.jse`, `.vbe`).
//!
//! Yields: the decoded script inside `<script>`, so that it is normalised as a page.
//! Leaves out: the checksum.
//! Limits: `max_html_normalise_bytes`.
//! Hostile input: what is not encoded is copied.
//! Sources: Microsoft, "Script Encoder"; clamscan 1.4.6 as an oracle.

use hf_core::{Child, ChildRole, FileType, Halt, Reason, Sink};

use super::script;
use crate::{Format, FormatDoc, Stage};

pub(crate) const FORMAT: Format = Format {
    name: "screnc",
    types: &[FileType::Screnc],
    stage: Stage::BeforeMatch,
    enabled: |_| true,
    extract,
    doc: FormatDoc {
        recognised_by: "#@~^ at the start",
        yields: "the decoded script",
        leaves_out: "the checksum",
        limits: "max_html_normalise_bytes",
        sources: "Microsoft, Script Encoder",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
    if len > sink.limits().max_html_normalise_bytes {
        sink.unscanned(b"", Reason::FormatLimit("script larger than is normalised".into()));
        return Ok(());
    }
    let mut page = b"<script>".to_vec();
    page.extend(script::decode_encoded(object));
    page.extend_from_slice(b"</script>");
    Ok(sink.child(Child { name: b"screnc.html", data: &page, role: ChildRole::Member })?)
}
