//! What servers answered: HTTP responses as they were recorded, alone and in web archives (WARC).
//!
//! Yields: the body of a response, its chunks joined; blocks of a web archive's records.
//! Leaves out: bodies in Brotli, which are told; headers, which the object's own bytes have.
//! Limits: [`RECORDS_MAX`] records; a line is at most 8 KiB.
//! Hostile input: a length that lies gives what is there; chunks end at the first that is none.
//! Sources: RFC 9112; ISO 28500 (WARC 1.1). Compressed bodies are streams that are opened as such.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Reason, Sink, Stop};

use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "http",
    types: &[
        FileType::TextAscii,
        FileType::TextUtf8,
        FileType::BinaryData,
        FileType::TextUtf16Be,
        FileType::TextUtf16Le,
    ],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "`HTTP/1.` or `WARC/` at the start",
        yields: "bodies of responses; blocks of records (not under ClamAV's names)",
        leaves_out: "Brotli (reported)",
        limits: "65,536 records",
        sources: "RFC 9112, ISO 28500",
    },
};

/// Ours.
const RECORDS_MAX: u32 = 1 << 16;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    if object.starts_with(b"HTTP/1.") {
        response(object, sink)?;
    }
    let mut reader = Reader::new(object);
    for position in 0u32.. {
        if !reader.rest().starts_with(b"WARC/") {
            break;
        }
        sink.poll()?;
        if position >= RECORDS_MAX {
            sink.unscanned(b"", Reason::FormatLimit("records of a web archive".into()));
            break;
        }
        let headers = Headers::read(&mut reader);
        let len = headers.number(b"content-length").unwrap_or(u64::MAX);
        let block = reader.take_up_to(size(len));
        if headers.number(b"content-length").is_some_and(|len| size(len) > block.len()) {
            sink.unscanned(b"", Reason::Truncated);
        }
        let name = headers.value(b"warc-target-uri").unwrap_or_default();
        if block.starts_with(b"HTTP/1.") {
            response(block, sink)?;
        } else if !block.is_empty() {
            sink.child(Child { name, data: block, role: ChildRole::Member })?;
        }
        let gap = reader.rest().iter().take(8).take_while(|byte| b"\r\n".contains(byte)).count();
        reader.take_up_to(gap);
    }
    Ok(())
}

fn response(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut reader = Reader::new(object);
    let headers = Headers::read(&mut reader);
    let has = |name: &[u8], word: &[u8]| {
        let value = headers.value(name).unwrap_or_default().to_ascii_lowercase();
        value.split(|byte| matches!(byte, b',' | b' ')).any(|part| part == word)
    };
    if has(b"content-encoding", b"br") {
        sink.unscanned(b"body", Reason::NoReader("Brotli".into()));
    }
    if has(b"transfer-encoding", b"chunked") {
        let body = chunks(&mut reader, sink);
        return hand_over(&body, sink);
    }
    let len = headers.number(b"content-length").unwrap_or(u64::MAX);
    let body = reader.take_up_to(size(len));
    if headers.number(b"content-length").is_some_and(|len| size(len) > body.len()) {
        sink.unscanned(b"body", Reason::Truncated);
    }
    hand_over(body, sink)
}

fn hand_over(body: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    if body.is_empty() {
        return Ok(());
    }
    sink.child(Child { name: b"body", data: body, role: ChildRole::Member })
}

/// Joins chunks, up to what a child may have.
fn chunks(reader: &mut Reader<'_>, sink: &mut dyn Sink) -> Vec<u8> {
    let mut body = Vec::new();
    let cap = size(sink.child_cap());
    loop {
        if body.len() > cap {
            body.truncate(cap);
            let reason = sink.cap_reason();
            sink.unscanned(b"body", reason);
            return body;
        }
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        let line = line(reader);
        let digits = line.split(|byte| matches!(byte, b';' | b' ')).next().unwrap_or_default();
        let digits = std::str::from_utf8(digits).ok();
        let Some(len) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
            sink.defect(Defect::new(off, "chunk-size"));
            for rest in [line, reader.rest()] {
                let room = cap.saturating_sub(body.len()).min(rest.len());
                body.extend_from_slice(rest.get(..room).unwrap_or_default());
                if room < rest.len() {
                    let reason = sink.cap_reason();
                    sink.unscanned(b"body", reason);
                    break;
                }
            }
            return body;
        };
        if len == 0 {
            return body;
        }
        let part = reader.take_up_to(size(len));
        let room = cap.saturating_add(1).saturating_sub(body.len()).min(part.len());
        body.extend_from_slice(part.get(..room).unwrap_or_default());
        if part.len() < size(len) {
            sink.unscanned(b"body", Reason::Truncated);
            return body;
        }
        if reader.rest().starts_with(b"\r\n") {
            reader.take_up_to(2);
        } else if reader.rest().starts_with(b"\n") {
            reader.take_up_to(1);
        }
    }
}

/// A line without its end, of at most 8 KiB.
fn line<'a>(reader: &mut Reader<'a>) -> &'a [u8] {
    const LEN_MAX: usize = 8 << 10;
    let rest = reader.rest();
    let near = rest.get(..rest.len().min(LEN_MAX)).unwrap_or_default();
    let len = memchr::memchr(b'\n', near).unwrap_or(near.len());
    let line = reader.take_up_to(len);
    reader.take_up_to(1);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The lines up to an empty one.
struct Headers<'a> {
    text: &'a [u8],
}

impl<'a> Headers<'a> {
    fn read(reader: &mut Reader<'a>) -> Self {
        let rest = reader.rest();
        // One pass that ends at the first empty line, whatever ends lines.
        let end = memchr::memchr_iter(b'\n', rest).find_map(|at| {
            let behind = rest.get(at.saturating_add(1)..)?;
            match behind {
                [b'\n', ..] => Some((at, 2)),
                [b'\r', b'\n', ..] => Some((at, 3)),
                _ => None,
            }
        });
        let (len, gap) = end.unwrap_or((rest.len(), 0));
        let text = reader.take_up_to(len);
        reader.take_up_to(gap);
        Self { text }
    }

    fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.text.split(|byte| *byte == b'\n').find_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let (had, value) = line.split_at_checked(colon)?;
            had.eq_ignore_ascii_case(name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
        })
    }

    fn number(&self, name: &[u8]) -> Option<u64> {
        std::str::from_utf8(self.value(name)?).ok()?.parse().ok()
    }
}
