//! NSIS installers: the data behind the program (Nullsoft Scriptable Install System, versions 2 and 3).
//!
//! Yields: the script's header as a child, with the texts of the script in it; one child per file, named by
//! the script where it can be read, plug-ins and the uninstaller's parts among them.
//! Leaves out: what the script does; what is behind the end that the header claims, which is in the object.
//! Limits: through `Sink`; 50,000 files; the script's first 100,000 entries.
//! Hostile input: the compression is found by trying; items are walked one behind the other, whatever the
//! script says of them; a damaged item of an installer that is not solid does not hide the next.
//! Sources: the NSIS project's documentation of the file format (`Source/exehead/fileform.h`, zlib licence);
//! files that `makensis` makes.

mod script;

use std::io::{self, Read};

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use super::rolling::{Rolling, Source};
use crate::bounded::{Ended, Unpacked, hand_over, unpack};
use crate::codec::{BareBunzip2, Filter, Inflate, Lzma, LzmaHeader};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use script::Names;

pub(super) const FORMAT: Format = Format {
    name: "nsis",
    types: &[FileType::Nulsft],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x800 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`ef be ad de NullsoftInst` at offset 4, or anywhere in a program",
        yields: "the script's header and one child per file; solid or not; deflate, bzip2, LZMA, stored",
        leaves_out: "what the script does",
        limits: "50,000 files; names from 100,000 entries of the script",
        sources: "NSIS fileform.h; files of makensis",
    },
};

const FIRST_HEADER_LEN: usize = 28;
const PACKED: u32 = 0x8000_0000;
/// Ours.
const ITEMS_MAX: u32 = 50_000;
/// Ours: the script's header, which is kept while its files are named.
const HEADER_LEN_MAX: u64 = 32 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Stored,
    Deflate,
    Bzip2,
    Lzma,
}

const METHODS: [Method; 3] = [Method::Lzma, Method::Bzip2, Method::Deflate];

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::at(object, 20);
    let header_len = u64::from(reader.u32_le()?);
    let claimed = size(u64::from(reader.u32_le()?));
    let data = object.get(FIRST_HEADER_LEN..).unwrap_or_default();
    // The claimed length counts the first header; a checksum may be its last four bytes.
    let claimed_len = claimed.saturating_sub(FIRST_HEADER_LEN);
    let cut = data.len() < claimed_len;
    let data = match data.get(..claimed_len) {
        Some(part) if claimed_len >= 4 => part,
        _ => data,
    };
    if cut {
        sink.defect(Defect::new(24, "length_of_all_following_data"));
    }
    let installer = Installer { data, header_len, cut };
    installer.open(sink)?;
    Ok(())
}

struct Installer<'a> {
    data: &'a [u8],
    header_len: u64,
    cut: bool,
}

impl Installer<'_> {
    fn open(&self, sink: &mut dyn Sink) -> Result<(), Stop> {
        if let Some((method, header, end)) = self.header(sink)? {
            return self.items(method, &header, end, sink);
        }
        for method in METHODS {
            let Ok(stream) = decoder(method, self.data) else { continue };
            let mut rolling = Rolling::new(Stream::new(stream));
            rolling.fill_to(4, sink)?;
            let start = Reader::new(rolling.range(0, 4)).u32_le().ok();
            if start.is_some_and(|len| u64::from(len) == self.header_len) {
                return solid(rolling, self.header_len, self.cut, sink);
            }
        }
        // What the header says is wrong: whatever a method makes is still looked at.
        sink.defect(Defect::new(20, "length_of_header"));
        self.open_damaged(sink)
    }

    /// Opens an installer whose own header is damaged, or lies about its length.
    fn open_damaged(&self, sink: &mut dyn Sink) -> Result<(), Stop> {
        let mut reader = Reader::new(self.data);
        let word = reader.u32_le().unwrap_or(0);
        let len = size(u64::from(word & !PACKED));
        if word & PACKED != 0 && len <= reader.left() {
            let packed = reader.take_up_to(len);
            let mut best = (Method::Deflate, Vec::new());
            for method in METHODS {
                let Ok(stream) = decoder(method, packed) else { continue };
                let bytes = unpack(stream.take(HEADER_LEN_MAX), 0, sink)?.bytes;
                if bytes.len() > best.1.len() {
                    best = (method, bytes);
                }
            }
            sink.unscanned(b"script", Reason::Damaged("length_of_header".into()));
            return self.items(best.0, &best.1, reader.off(), sink);
        }
        let mut best: Option<(Method, u64)> = None;
        for method in METHODS {
            let Ok(stream) = decoder(method, self.data) else { continue };
            let mut rolling = Rolling::new(Stream::new(stream));
            rolling.fill_to(4, sink)?;
            let start = Reader::new(rolling.range(0, 4)).u32_le().map_or(0, u64::from);
            if (1..=HEADER_LEN_MAX).contains(&start) {
                rolling.fill_to(start.saturating_add(4), sink)?;
                if rolling.made() >= start.saturating_add(4) {
                    return solid(rolling, start, self.cut, sink);
                }
            }
            if best.is_none_or(|(_, made)| made < rolling.made()) && rolling.made() > 4 {
                best = Some((method, rolling.made()));
            }
        }
        let stream = best.and_then(|(method, _)| decoder(method, self.data).ok());
        let Some(stream) = stream else {
            sink.unscanned(b"", Reason::UnknownMethod("of the installer".into()));
            return Ok(());
        };
        let unpacked = unpack(stream, 0, sink)?;
        hand_over(&unpacked, b"", ChildRole::Member, sink)
    }

    /// Unpacks the header of an installer that is not solid; returns the method and where the header ends.
    fn header(&self, sink: &mut dyn Sink) -> Result<Option<(Method, Vec<u8>, usize)>, Stop> {
        let mut reader = Reader::new(self.data);
        let Ok(word) = reader.u32_le() else { return Ok(None) };
        let len = size(u64::from(word & !PACKED));
        if word & PACKED == 0 {
            let fits = u64::from(word) == self.header_len && len <= reader.left();
            let header = reader.take_up_to(len).to_vec();
            return Ok(fits.then_some((Method::Stored, header, reader.off())));
        }
        let packed = reader.take_up_to(len);
        for method in METHODS {
            let Ok(stream) = decoder(method, packed) else { continue };
            let unpacked = unpack(stream.take(HEADER_LEN_MAX), self.header_len, sink)?;
            let made = u64::try_from(unpacked.bytes.len()).unwrap_or(u64::MAX);
            if made >= self.header_len.max(1) {
                return Ok(Some((method, unpacked.bytes, reader.off())));
            }
        }
        Ok(None)
    }

    /// Walks items that are packed one by one.
    fn items(
        &self,
        method: Method,
        header: &[u8],
        start: usize,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        script_child(header, sink)?;
        let names = Names::read(header);
        let mut reader = Reader::at(self.data, start);
        let mut position = 0u32;
        while reader.left() > 4 {
            sink.poll()?;
            let at = reader.off();
            let Ok(word) = reader.u32_le() else { break };
            let len = size(u64::from(word & !PACKED));
            position = position.saturating_add(1);
            if position > ITEMS_MAX {
                sink.unscanned(b"", Reason::FormatLimit("files of an installer".into()));
                break;
            }
            let name = names.of(at.saturating_sub(start));
            let packed = reader.take_up_to(len);
            announce(&name, len, 0, position, sink)?;
            let stream = if word & PACKED == 0 { Method::Stored } else { method };
            let mut unpacked = match decoder(stream, packed) {
                Ok(stream) => unpack(stream, 0, sink)?,
                Err(error) => Unpacked { bytes: Vec::new(), ended: Ended::of_error(&error) },
            };
            if packed.len() < len && unpacked.ended == Ended::Whole {
                unpacked.ended = Ended::Truncated;
            }
            hand_over(&unpacked, &name, ChildRole::Member, sink)?;
        }
        if self.cut {
            sink.unscanned(b"", Reason::Truncated);
        }
        Ok(())
    }
}

/// Walks the items of one stream.
fn solid<R: Read>(
    mut rolling: Rolling<Stream<R>>,
    header_len: u64,
    cut: bool,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let header_end = header_len.saturating_add(4);
    let kept = header_len.min(HEADER_LEN_MAX);
    rolling.fill_to(kept.saturating_add(4), sink)?;
    let header = rolling.range(4, kept).to_vec();
    script_child(&header, sink)?;
    let names = Names::read(&header);
    let mut at = header_end;
    let mut position = 0u32;
    loop {
        rolling.used_to = at.min(rolling.made());
        while rolling.made() < at.saturating_add(4) && !rolling.has_ended() {
            let next = at.saturating_add(4).min(rolling.made().saturating_add(1 << 20));
            rolling.fill_to(next, sink)?;
            rolling.used_to = at.min(rolling.made());
        }
        let Ok(word) = Reader::new(rolling.range(at, 4)).u32_le() else { break };
        let len = u64::from(word & !PACKED);
        position = position.saturating_add(1);
        if position > ITEMS_MAX {
            sink.unscanned(b"", Reason::FormatLimit("files of an installer".into()));
            return Ok(());
        }
        let name = names.of(size(at.saturating_sub(header_end)));
        announce(&name, 0, len, position, sink)?;
        let start = at.saturating_add(4);
        let made = rolling.member(&name, start, len, sink)?.unwrap_or(0);
        if made < len && !rolling.has_ended() {
            let reason = sink.cap_reason();
            sink.unscanned(&name, reason);
        }
        at = start.saturating_add(len);
        if made < len && rolling.has_ended() {
            let reason = rolling.source.ended.reason(sink).unwrap_or(Reason::Truncated);
            sink.unscanned(&name, reason);
            return Ok(());
        }
    }
    if let Some(reason) = rolling.source.ended.reason(sink)
        && (cut || !matches!(reason, Reason::Truncated))
    {
        sink.unscanned(b"", reason);
    }
    Ok(())
}

fn script_child(header: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let role = ChildRole::Typed(FileType::BinaryData);
    sink.child(Child { name: b"script", data: header, role })
}

fn announce(
    name: &[u8],
    packed_len: usize,
    len: u64,
    position: u32,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    sink.member(&Member {
        name,
        packed_len: u64::try_from(packed_len).unwrap_or(u64::MAX),
        unpacked_len: len,
        position,
        ..Member::default()
    })
}

/// Opens a stream of one method.
fn decoder<'a>(method: Method, data: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match method {
        Method::Stored => Box::new(data),
        Method::Deflate => Box::new(Inflate::raw(data)),
        Method::Bzip2 => Box::new(BareBunzip2::new(data)),
        Method::Lzma => {
            // A byte in front says whether calls of x86 code are translated.
            let (filter, rest) = match data {
                [flag @ 0..=1, rest @ ..] if rest.first() == Some(&0x5d) => (*flag == 1, rest),
                _ => (false, data),
            };
            let mut reader = Reader::new(rest);
            let (Ok(props), Ok(dict_len)) = (reader.u8(), reader.u32_le()) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if props >= 225 || reader.rest().first() != Some(&0) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let header = LzmaHeader { props, dict_len, unpacked_len: None };
            let stream = Lzma::new(reader.rest(), header)?;
            if filter { Filter::X86.undo(Box::new(stream), 0) } else { Box::new(stream) }
        }
    })
}

/// A stream as a source of a rolling window.
struct Stream<R> {
    inner: R,
    ended: Ended,
}

impl<R: Read> Stream<R> {
    fn new(inner: R) -> Self {
        Self { inner, ended: Ended::Whole }
    }
}

impl<R: Read> Source for Stream<R> {
    fn more(&mut self, _made: u64, out: &mut Vec<u8>, _sink: &mut dyn Sink) -> Result<bool, Stop> {
        let had = out.len();
        out.resize(had.saturating_add(64 * 1024), 0);
        let read = self.inner.read(out.get_mut(had..).unwrap_or_default());
        let (len, more) = match read {
            Ok(len) => (len, len > 0),
            Err(error) => {
                self.ended = Ended::of_error(&error);
                (0, false)
            }
        };
        out.truncate(had.saturating_add(len));
        Ok(more)
    }
}
