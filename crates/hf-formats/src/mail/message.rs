//! Mail messages, mailboxes and MHTML.
//!
//! Yields: every part decoded, under its file name; enclosed messages as messages; files in uuencoding, yEnc and
//! BinHex anywhere in a text. Facts: headers that people read, parts, links in texts.
//! Leaves out: what `message/external-body` points to, and messages of PGP: both are told. Messages that were cut
//! up (`message/partial`) are joined when their parts are in one mailbox, not under ClamAV's name.
//! Limits: nesting of multiparts as `max_depth`; 10,000 parts; ClamAV's limits on headers and parts are only
//! reported (`Heuristics.Limits.Exceeded.Email…`), reading goes on.
//! Hostile input: what can be read in several ways is read in all of them: every boundary, every encoding, both
//! guesses when the encoding is unknown, and the encoded text itself when it does not look like its encoding.
//! Sources: RFC 5322, RFC 2045 to 2047, RFC 2183, RFC 2231, RFC 4155; clamscan 1.4.6 as an oracle.

use std::collections::BTreeMap;

use hf_core::{Child, ChildRole, FileType, Halt, Member, Reason, Sink, Stop};
use memchr::memmem;

use super::decode::{self, Encoding};
use super::envelope::Told;
use super::header::{self, Headers, Partial};
use super::lines::{Lines, is_blank, starts_with_word};
use super::multipart::{self, Piece};
use super::{binhex, uuencode, yenc};
use crate::text::{address, base64};
use crate::{Format, FormatDoc, Stage};

pub(crate) const FORMAT: Format = Format {
    name: "mail",
    types: &[FileType::Mail, FileType::Mhtml],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_mail,
    extract,
    doc: FormatDoc {
        recognised_by: "a well-known header at the start, or two headers near each other in the first 1024 bytes",
        yields: "every part decoded, enclosed messages, files in uuencoding, yEnc and BinHex",
        leaves_out: "external bodies and PGP messages (told)",
        limits: "max_depth for multiparts in one another, 10,000 parts",
        sources: "RFC 5322, RFC 2045 to 2047, RFC 2183, RFC 2231, RFC 4155",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut walk = Walk {
        sink,
        parts: 0,
        message_len: 0,
        again: 0,
        told: [false; LIMITS.len()],
        facts: Told::default(),
        partials: BTreeMap::new(),
        partials_len: 0,
    };
    walk.mailbox(object)?;
    walk.join()?;
    Ok(())
}

impl Walk<'_> {
    /// Reads the messages of a mailbox, or one message.
    fn mailbox(&mut self, object: &[u8]) -> Result<(), Stop> {
        if !object.starts_with(b"From ") {
            return self.message(object);
        }
        let mut start = 0;
        for at in memmem::find_iter(object, b"\nFrom ") {
            let before = object.get(..at).unwrap_or_default();
            let is_message = before.ends_with(b"\n") || before.ends_with(b"\n\r");
            if is_message {
                let end = at.saturating_add(1);
                self.message(object.get(start..end).unwrap_or_default())?;
                start = end;
            }
        }
        self.message(object.get(start..).unwrap_or_default())
    }

    /// Keeps a part of a message that was cut up.
    fn keep_partial(&mut self, headers: &Headers, body: &[u8]) {
        let Partial { id, number, total } = &headers.partial;
        let Some(number) = *number else { return };
        let len = self.partials_len.saturating_add(body.len());
        if len > PARTIALS_LEN_MAX {
            self.sink.unscanned(b"", Reason::FormatLimit("parts of a cut message".into()));
            return;
        }
        self.partials_len = len;
        let cut = self.partials.entry(id.clone()).or_default();
        cut.total = cut.total.or(*total);
        cut.bodies.insert(number, body.to_vec());
    }

    /// Joins messages that were cut up, and tells those of which parts are elsewhere.
    fn join(&mut self) -> Result<(), Stop> {
        for cut in std::mem::take(&mut self.partials).into_values() {
            let total = cut.total.and_then(|total| usize::try_from(total).ok());
            let numbers = cut.bodies.keys().copied();
            if total != Some(cut.bodies.len()) || !numbers.eq((1..).take(cut.bodies.len())) {
                self.sink.unscanned(b"message/partial", Reason::OtherVolume);
            }
            if cut.bodies.len() < 2 || self.sink.options().clamav_quirks {
                continue;
            }
            let whole = cut.bodies.into_values().collect::<Vec<_>>().concat();
            self.parts = self.parts.saturating_add(1);
            self.child(b"message", &whole, whole.len(), ChildRole::Typed(FileType::Mail))?;
        }
        Ok(())
    }
}

/// A message that was cut up: its parts by number.
#[derive(Debug, Default)]
struct Cut {
    total: Option<u32>,
    bodies: BTreeMap<u32, Vec<u8>>,
}

/// Bytes of such parts that are kept.
const PARTIALS_LEN_MAX: usize = 64 << 20;

struct Walk<'s> {
    sink: &'s mut dyn Sink,
    parts: u32,
    /// Bytes of the message being read: what is quoted in it is shorter.
    message_len: usize,
    /// Parts of the message that were read once more: of parts in one another they would multiply.
    again: u32,
    told: [bool; LIMITS.len()],
    facts: Told,
    partials: BTreeMap<Vec<u8>, Cut>,
    partials_len: usize,
}

/// ClamAV's limits: name, and the largest number that is still allowed.
const LIMITS: [(&str, usize); 5] = [
    ("EmailHeaderBytes", 262_144),
    ("EmailHeaders", 1024),
    ("EmailLineFoldCnt", 262_144),
    ("EmailMIMEArguments", 255),
    ("EmailMIMEPartsPerMessage", 1023),
];
const PARTS_MAX: u32 = 10_000;
/// Readings of parts beyond the first of each, for one message.
const AGAIN_MAX: u32 = 64;

impl Walk<'_> {
    /// Reads one message.
    fn message(&mut self, message: &[u8]) -> Result<(), Stop> {
        self.message_len = message.len();
        self.again = 0;
        let start = first_header(message);
        self.facts.headers(message, start, self.sink);
        self.readings(message, start, 0)
    }

    /// Reads headers and body, in each way in which the headers can be read.
    fn readings(&mut self, part: &[u8], start: usize, depth: u32) -> Result<(), Stop> {
        let mut is_read = false;
        // The last is ClamAV's.
        for (nth, (headers, body_off)) in header::read(part, start).into_iter().rev().enumerate() {
            if headers.any && (nth == 0 || self.again()) {
                let body = part.get(body_off..).unwrap_or_default();
                is_read |= !body.is_empty();
                if nth == 0 {
                    self.facts.part(&headers, depth, self.sink);
                }
                self.entity(&headers, body, depth)?;
            }
        }
        // What has no body may be one.
        if is_read { Ok(()) } else { self.leaf(&Headers::default(), part) }
    }

    /// Reads a message or part behind its headers.
    fn entity(&mut self, headers: &Headers, body: &[u8], depth: u32) -> Result<(), Stop> {
        self.sink.poll()?;
        self.check_limits(headers)?;
        if depth >= self.sink.limits().max_depth {
            let limit = self.sink.limits().max_depth;
            self.sink.unscanned(b"", Reason::Depth(limit));
            return self.leaf(headers, body);
        }
        let is_multipart = headers.is(b"multipart") || !headers.boundaries.is_empty();
        if !is_multipart {
            return self.leaf(headers, body);
        }
        let mut found = self.pieces(headers, body, depth)?;
        // A multipart must not be encoded, but some programs decode it.
        for encoding in encodings(headers) {
            let decoded = match encoding {
                Encoding::Base64 => base64::decode(body),
                Encoding::QuotedPrintable => decode::quoted_printable(body),
                _ => continue,
            };
            if decoded == body || !self.again() {
                continue;
            }
            found |= self.pieces(headers, &decoded, depth)?;
        }
        if found { Ok(()) } else { self.leaf(headers, body) }
    }

    /// Says whether a part may be read once more.
    fn again(&mut self) -> bool {
        if self.again == AGAIN_MAX {
            self.sink.unscanned(b"", Reason::FormatLimit("other readings of a message".into()));
        }
        self.again = self.again.saturating_add(1);
        self.again <= AGAIN_MAX
    }

    /// Reads the parts of a multipart; false when it has none.
    fn pieces(&mut self, headers: &Headers, body: &[u8], depth: u32) -> Result<bool, Stop> {
        let split = multipart::split(body, &headers.boundaries).or_else(|| {
            let guess = multipart::guess(body)?;
            multipart::split(body, &[guess])
        });
        let Some((pieces, truncated)) = split else { return Ok(false) };
        // What stands outside of the parts is encoded as the headers say, if it is.
        let outside = Headers { encodings: headers.encodings.clone(), ..Headers::default() };
        for piece in pieces {
            match piece {
                Piece::Outside(text) => self.leaf(&outside, text)?,
                Piece::Part(part) => self.readings(part, 0, depth.saturating_add(1))?,
            }
        }
        if truncated {
            self.sink.unscanned(b"", Reason::FormatLimit("parts of a message".into()));
        }
        Ok(true)
    }

    fn check_limits(&mut self, headers: &Headers) -> Result<(), Stop> {
        let options = self.sink.options();
        if !options.alert_exceeds_max {
            return Ok(());
        }
        let counts = headers.counts;
        let parts = usize::try_from(self.parts).unwrap_or(usize::MAX);
        let values = [counts.bytes, counts.headers, counts.folds, counts.arguments, parts];
        for (((name, max), value), told) in LIMITS.iter().zip(values).zip(&mut self.told) {
            if value > *max && !std::mem::replace(told, true) {
                self.sink.heuristic(&format!("Heuristics.Limits.Exceeded.{name}"))?;
            }
        }
        Ok(())
    }

    /// Reads a part that has no parts: decodes it in every way that its headers allow.
    fn leaf(&mut self, headers: &Headers, body: &[u8]) -> Result<(), Stop> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        self.parts = self.parts.saturating_add(1);
        if self.parts > PARTS_MAX {
            if self.parts == PARTS_MAX.saturating_add(1) {
                self.sink.unscanned(b"", Reason::FormatLimit("parts of a message".into()));
            }
            return Ok(());
        }
        self.elsewhere(headers, body);
        let mut ways = encodings(headers);
        if ways.is_empty() {
            ways.push(Encoding::Identity);
        }
        // What is no text is sent encoded, whether the headers say so or not.
        let is_file = headers.name.is_some() || headers.attachment || !headers.is_text();
        if ways == [Encoding::Identity] {
            if is_file || decode::base64_lines(body, 40).is_some() {
                ways.push(Encoding::Base64);
            }
            if headers.kind.is_empty() && decode::has_quoted(body) {
                ways.push(Encoding::QuotedPrintable);
            }
        }
        if ways.contains(&Encoding::Base64) && decode::base64_share(body) < 90 {
            ways.extend([Encoding::QuotedPrintable, Encoding::Identity]);
        }
        if ways.contains(&Encoding::Unknown) {
            ways.extend([Encoding::Base64, Encoding::QuotedPrintable, Encoding::Identity]);
        }
        let mut done: Vec<Encoding> = Vec::new();
        for way in ways {
            if !done.contains(&way) {
                done.push(way);
                self.decoded(headers, body, way)?;
            }
        }
        Ok(())
    }

    /// Keeps parts of cut messages; tells what lies elsewhere, and what only its receiver can read.
    fn elsewhere(&mut self, headers: &Headers, body: &[u8]) {
        if headers.is(b"message") {
            match headers.subtype() {
                b"partial" => self.keep_partial(headers, body),
                b"external-body" => {
                    let reason =
                        Reason::NoReader("message/external-body, which lies elsewhere".into());
                    self.sink.unscanned(b"", reason);
                }
                _ => {}
            }
        }
        const PGP: &[u8] = b"-----BEGIN PGP MESSAGE-----";
        if memmem::find(body, PGP).is_some_and(|at| {
            at == 0 || matches!(body.get(at.saturating_sub(1)), Some(b'\n' | b'\r'))
        }) {
            let name = headers.name.as_deref().unwrap_or(b"PGP message");
            self.sink.unscanned(name, Reason::Encrypted);
        }
    }

    fn decoded(&mut self, headers: &Headers, body: &[u8], way: Encoding) -> Result<(), Stop> {
        self.sink.poll()?;
        match way {
            Encoding::Base64 => {
                let data = base64::decode(body);
                self.give(headers, &data, body.len())?;
                let others = [
                    base64::decode_url(body),
                    base64::decode_over(body),
                    base64::decode_first(body),
                ];
                for data in others.iter().flatten() {
                    self.give(headers, data, body.len())?;
                }
                // What stands in front of the encoded lines shifts the groups of four.
                match decode::base64_lines(body, 10).filter(|lines| lines.len() < body.len()) {
                    Some(lines) => self.give(headers, &base64::decode(lines), lines.len()),
                    None => Ok(()),
                }
            }
            Encoding::QuotedPrintable => {
                let data = decode::quoted_printable(&decode::plain_lines(body));
                self.give(headers, &data, body.len())?;
                self.without_line_end(headers, &data)?;
                self.hidden_files(&data)?;
                // The header may lie: digits of other encodings look quoted.
                if data == body { Ok(()) } else { self.hidden_files(body) }
            }
            Encoding::Identity => {
                self.as_it_is(headers, body)?;
                self.hidden_files(body)?;
                self.hidden_message(headers, body)
            }
            Encoding::Uuencode | Encoding::Yenc | Encoding::Binhex => {
                let had = self.parts;
                self.hidden_files(body)?;
                if self.parts == had { self.give(headers, body, body.len()) } else { Ok(()) }
            }
            Encoding::Unknown => Ok(()),
        }
    }

    /// Hands over a part that is not encoded: with the line ends that signatures are written for, and as it is
    /// where those would damage it.
    fn as_it_is(&mut self, headers: &Headers, body: &[u8]) -> Result<(), Stop> {
        let lines = decode::plain_lines(body);
        let has_zeros = memchr::memchr(0, body).is_some();
        if has_zeros || !headers.is_text() {
            // What is the whole message was matched as such.
            if body.len() < self.message_len {
                self.give(headers, body, body.len())?;
                self.without_line_end(headers, body)?;
            }
            let is_other = lines.trim_ascii_end() != body.trim_ascii_end();
            if !is_other || !headers.is_text() && !self.sink.options().clamav_quirks {
                return Ok(());
            }
        }
        self.give(headers, &lines, body.len())
    }

    /// Hands a file over without the line end before a boundary, which is the boundary's (RFC 2046 §5.1.1); clamscan
    /// keeps it.
    fn without_line_end(&mut self, headers: &Headers, data: &[u8]) -> Result<(), Stop> {
        match data.strip_suffix(b"\n") {
            Some(file) if !headers.is_text() => {
                let file = file.strip_suffix(b"\r").unwrap_or(file);
                self.give(headers, file, data.len())
            }
            _ => Ok(()),
        }
    }

    /// Hands a decoded part over.
    fn give(&mut self, headers: &Headers, data: &[u8], packed_len: usize) -> Result<(), Stop> {
        if data.is_empty() {
            return Ok(());
        }
        let default: &[u8] =
            if headers.is(b"text") || headers.kind.is_empty() { b"textpart" } else { b"part" };
        let name = sanitised(headers.name.as_deref().unwrap_or(default));
        // The links of a page are told by the page.
        if default == b"textpart" && !address::has_links(data) {
            address::tell(data, self.sink)?;
            self.facts.links(data, self.sink);
        }
        let is_message =
            headers.is(b"message") && matches!(headers.subtype(), b"rfc822" | b"global" | b"news");
        let role = if is_message {
            ChildRole::Typed(FileType::Mail)
        } else if name == default && !headers.is(b"message") && is_like_message(data) {
            // A text that looks like a message is one only if `hidden_message` says so: read as a
            // message in both ways, each level would double the next.
            ChildRole::Typed(FileType::TextAscii)
        } else {
            ChildRole::Member
        };
        self.child(&name, data, packed_len, role)
    }

    fn child(
        &mut self,
        name: &[u8],
        data: &[u8],
        packed_len: usize,
        role: ChildRole,
    ) -> Result<(), Stop> {
        let len = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        self.sink.member(&Member {
            name,
            packed_len: len(packed_len),
            unpacked_len: len(data.len()),
            position: self.parts,
            ..Member::default()
        })?;
        let cap = usize::try_from(self.sink.child_cap()).unwrap_or(usize::MAX);
        let data = match data.get(..cap) {
            Some(front) if front.len() < data.len() => {
                let reason = self.sink.cap_reason();
                self.sink.unscanned(name, reason);
                front
            }
            _ => data,
        };
        self.sink.child(Child { name, data, role })
    }

    /// Hands over files in uuencoding, yEnc and BinHex inside a text.
    fn hidden_files(&mut self, text: &[u8]) -> Result<(), Stop> {
        for file in uuencode::find(text).into_iter().chain(yenc::find(text)) {
            self.parts = self.parts.saturating_add(1);
            let name = sanitised(&file.name);
            self.child(&name, &file.data, file.data.len(), ChildRole::Member)?;
        }
        if memmem::find(text, binhex::MARK).is_some() && binhex::give(text, self.sink)? {
            self.parts = self.parts.saturating_add(1);
        }
        Ok(())
    }

    /// Hands over a message that is quoted whole in a text, as bounces have it.
    fn hidden_message(&mut self, headers: &Headers, text: &[u8]) -> Result<(), Stop> {
        if headers.is(b"message") {
            return Ok(());
        }
        match quoted_message(text) {
            Some(message) if message.len() < self.message_len => {
                self.parts = self.parts.saturating_add(1);
                self.child(b"message", message, message.len(), ChildRole::Typed(FileType::Mail))
            }
            _ => Ok(()),
        }
    }
}

/// True when bytes would be identified as a message.
fn is_like_message(data: &[u8]) -> bool {
    matches!(crate::identify::identify(data, None), FileType::Mail | FileType::Mhtml)
}

/// Returns the encodings that the headers name, each once.
fn encodings(headers: &Headers) -> Vec<Encoding> {
    let mut all: Vec<Encoding> = Vec::new();
    for word in &headers.encodings {
        let encoding = Encoding::of(word);
        if !all.contains(&encoding) {
            all.push(encoding);
        }
    }
    all
}

/// Returns where the headers start: behind blank lines, and behind the lines that CommuniGate puts in front.
fn first_header(message: &[u8]) -> usize {
    let mut lines = Lines::new(message).peekable();
    if message.starts_with(b"P I ") {
        let _ = lines.by_ref().find(|line| is_blank(line.text));
    }
    while lines.next_if(|line| is_blank(line.text)).is_some() {}
    lines.next().map_or(0, |line| line.off)
}

/// Returns the rest of a text from a block of headers on that says how a body is encoded.
fn quoted_message(text: &[u8]) -> Option<&[u8]> {
    let says_encoding = |line: &[u8]| {
        starts_with_word(line, b"content-type:")
            || starts_with_word(line, b"content-transfer-encoding:")
    };
    let at = Lines::new(text).find(|line| line.off > 0 && says_encoding(line.text))?.off;
    // Back over the lines of the block, which are not blank.
    let before = text.get(..at)?;
    let start = memmem::rfind(before, b"\n\n")
        .map(|at| at.saturating_add(2))
        .max(memmem::rfind(before, b"\n\r\n").map(|at| at.saturating_add(3)))
        .unwrap_or(0);
    text.get(start..).filter(|message| message.len() < text.len() || start == 0)
}

/// Names keep their bytes, but for control characters and what separates folders.
fn sanitised(name: &[u8]) -> Vec<u8> {
    name.iter()
        .take(NAME_LEN_MAX)
        .map(|byte| if *byte < b' ' || matches!(byte, 0x7f | b'/' | b'\\') { b'_' } else { *byte })
        .collect()
}

const NAME_LEN_MAX: usize = 1024;

#[cfg(test)]
mod tests;
