//! What a message says of itself, as facts: subject, sender, receivers, date, identity, its parts and its links.
//!
//! Promises: nothing is read when nobody wants facts; at most [`FACTS_MAX`] facts for all messages of one mailbox, each cut at [`VALUE_LEN_MAX`] bytes; names
//! are those of RFC 5322 without a judgement whether they are true.
//! Leaves out: headers that programs on the way put in front.
//! Sources: RFC 5322 §3.6, RFC 2047.

use hf_core::Sink;

use super::header::Headers;
use super::lines::{Lines, is_blank};
use super::words;
use crate::text::address;

/// Ours: an object has at most 512 facts.
const FACTS_MAX: u32 = 400;
const VALUE_LEN_MAX: usize = 1024;
/// Lines of headers that are looked at; ClamAV's limit is lower.
const LINES_MAX: usize = 4096;

const HEADERS: [(&[u8], &str); 9] = [
    (b"subject", "mail.subject"),
    (b"from", "mail.from"),
    (b"sender", "mail.sender"),
    (b"reply-to", "mail.reply_to"),
    (b"to", "mail.to"),
    (b"cc", "mail.cc"),
    (b"date", "mail.date"),
    (b"message-id", "mail.message_id"),
    (b"x-mailer", "mail.mailer"),
];

/// How many facts may still be told.
#[derive(Debug)]
pub(super) struct Told(u32);

impl Default for Told {
    fn default() -> Self {
        Self(FACTS_MAX)
    }
}

impl Told {
    fn is_over(&self, sink: &dyn Sink) -> bool {
        self.0 == 0 || !sink.wants_facts()
    }

    fn fact(&mut self, key: &str, value: &[u8], sink: &mut dyn Sink) {
        let Some(left) = self.0.checked_sub(1) else { return };
        self.0 = left;
        let value = value.get(..value.len().min(VALUE_LEN_MAX)).unwrap_or_default();
        sink.fact(key, String::from_utf8_lossy(value).trim());
    }

    /// Tells the headers of a message.
    pub(super) fn headers(&mut self, message: &[u8], start: usize, sink: &mut dyn Sink) {
        if self.is_over(sink) {
            return;
        }
        let mut value: Vec<u8> = Vec::new();
        for line in Lines::from(message, start).take(LINES_MAX) {
            if is_blank(line.text) {
                break;
            }
            if matches!(line.text.first(), Some(b' ' | b'\t')) {
                let room = VALUE_LEN_MAX.saturating_mul(2).saturating_sub(value.len());
                let text = line.text.get(..line.text.len().min(room)).unwrap_or_default();
                value.push(b' ');
                value.extend_from_slice(text.trim_ascii());
                continue;
            }
            self.header(&value, sink);
            let len = line.text.len().min(VALUE_LEN_MAX.saturating_mul(2));
            value = line.text.get(..len).unwrap_or_default().to_vec();
        }
        self.header(&value, sink);
    }

    fn header(&mut self, line: &[u8], sink: &mut dyn Sink) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let name = line.get(..colon).unwrap_or_default().trim_ascii();
        let known = HEADERS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        let Some((_, key)) = known else { return };
        let value = line.get(colon.saturating_add(1)..).unwrap_or_default();
        self.fact(key, &words::decode(value.trim_ascii()), sink);
    }

    /// Tells a part: depth, type, encoding, disposition and name, with `-` for what is not there.
    pub(super) fn part(&mut self, headers: &Headers, depth: u32, sink: &mut dyn Sink) {
        if self.is_over(sink) {
            return;
        }
        let word = |bytes: &[u8]| {
            let text: String =
                String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_whitespace()).collect();
            if text.is_empty() { "-".to_owned() } else { text }
        };
        let encoding = headers.encodings.first().map(Vec::as_slice).unwrap_or_default();
        let name = headers.name.as_deref().unwrap_or(b"-");
        let line = format!(
            "{depth} {} {} {} {}",
            word(&headers.kind),
            word(encoding),
            word(&headers.disposed),
            String::from_utf8_lossy(name)
        );
        self.fact("mail.part", line.as_bytes(), sink);
        if let Some(boundary) = headers.boundaries.first().filter(|_| headers.is(b"multipart")) {
            self.fact("mail.boundary", boundary, sink);
        }
    }

    /// Tells the addresses in a text.
    pub(super) fn links(&mut self, text: &[u8], sink: &mut dyn Sink) {
        const LINKS_MAX: usize = 64;
        if self.is_over(sink) {
            return;
        }
        for real in address::addresses(text).take(LINKS_MAX) {
            self.fact("mail.uri", real, sink);
        }
    }
}
