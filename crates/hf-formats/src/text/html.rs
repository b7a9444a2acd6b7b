//! HTML, also in UTF-16.
//!
//! Yields: the copy without comments, the copy without tags, the normalised scripts, documents in `data:` URLs and
//! in style sheets; the targets of links as facts, and links with what they show.
//! Leaves out: pages that the links point to; scripts in attributes, which stay in the copies.
//! Limits: `max_html_normalise_bytes`, `max_html_notags_bytes`; 4096 scripts, links and URLs each.
//! Hostile input: any bytes are HTML; nothing can be broken.
//! Sources: `sigtool --html-normalise` of ClamAV 1.4.6 as an oracle (`tests/fixtures/html`); HTML 4.01; RFC 2397.

mod data_url;
mod entity;
mod normalise;

use hf_core::{Child, ChildRole, FileType, Halt, Link, Reason, Sink, Stop};

use super::{address, script};
use crate::{Format, FormatDoc, Stage};

pub(crate) const FORMAT: Format = Format {
    name: "html",
    types: &[FileType::Html, FileType::HtmlUtf16],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_html && options.normalise,
    extract,
    doc: FormatDoc {
        recognised_by: "one of some twenty tags in the first 1024 bytes, or anywhere in text",
        yields: "copies without comments and without tags, normalised scripts, documents in data: URLs",
        leaves_out: "linked pages",
        limits: "max_html_normalise_bytes, max_html_notags_bytes, 4096 scripts, links and URLs each",
        sources: "ClamAV's signature documentation, HTML 4.01, RFC 2397",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
    if len > sink.limits().max_html_normalise_bytes {
        sink.unscanned(b"", Reason::FormatLimit("HTML larger than is normalised".into()));
        return Ok(());
    }
    let text = match utf16(object) {
        Some(decoded) if sink.options().clamav_quirks => {
            normalise::clean(&narrow(&decoded, object))
        }
        Some(decoded) => normalise::clean(decoded.as_bytes()),
        None => normalise::clean(object),
    };
    sink.poll()?;
    copies(&text, len, sink)?;
    // What its scripts hide is looked for in bytes.
    if !sink.options().clamav_quirks
        && let Some(decoded) = utf16(object)
    {
        let role = ChildRole::Typed(FileType::TextUtf8);
        sink.child(Child { name: b"utf-8", data: decoded.as_bytes(), role })?;
    }
    Ok(())
}

fn copies(text: &[u8], source_len: u64, sink: &mut dyn Sink) -> Result<(), Stop> {
    let with_no_tags = source_len <= sink.limits().max_html_notags_bytes;
    let normalised = normalise::normalise(text, with_no_tags);
    let mut copy = |name: &[u8], data: &[u8], role| sink.child(Child { name, data, role });
    let html = ChildRole::Normalised(FileType::Html);
    copy(b"nocomment.html", &normalised.no_comment, html)?;
    if with_no_tags {
        copy(b"notags.html", &normalised.no_tags, html)?;
    }
    let scripts: Vec<script::Source<'_>> = normalised
        .scripts
        .iter()
        .map(|script| script::Source {
            text: text.get(script.range.clone()).unwrap_or_default(),
            encoded: script.encoded,
        })
        .collect();
    if !scripts.is_empty() {
        sink.poll()?;
        let javascript = script::normalise(&scripts);
        sink.child(Child { name: b"javascript", data: &javascript, role: html })?;
        sink.child(Child {
            name: b"javascript",
            data: &javascript,
            role: ChildRole::NormalisedText,
        })?;
    }
    for url in &normalised.data_urls {
        let (data, role) = if sink.options().clamav_quirks && sink.options().scan_mail {
            (&url.message, ChildRole::Typed(FileType::Mail))
        } else {
            (&url.data, ChildRole::Member)
        };
        sink.child(Child { name: &url.name, data, role })?;
    }
    for range in &normalised.styles {
        let css = text.get(range.clone()).unwrap_or_default();
        for url in data_url::in_style(css, URLS_IN_STYLE_MAX) {
            sink.child(Child { name: &url.name, data: &url.data, role: ChildRole::Member })?;
        }
    }
    links(text, &normalised.links, sink)?;
    for uri in normalised.uris.iter().take(FACTS_MAX) {
        let text = String::from_utf8_lossy(uri.get(..FACT_LEN_MAX).unwrap_or(uri));
        sink.fact("uri", &text);
    }
    Ok(())
}

/// Tells the links; those that stand in the text when there are no others.
fn links(text: &[u8], links: &[normalise::Shown], sink: &mut dyn Sink) -> Result<(), Stop> {
    for link in links {
        sink.link(&Link { real: &link.real, displayed: &link.displayed })?;
    }
    if links.is_empty() { address::tell(text, sink) } else { Ok(()) }
}

const URLS_IN_STYLE_MAX: usize = 256;
const FACTS_MAX: usize = 512;
const FACT_LEN_MAX: usize = 2048;

/// Returns the text when it is UTF-16: by its mark, or by its first bytes.
fn utf16(object: &[u8]) -> Option<String> {
    let (text, be) = match object {
        [0xff, 0xfe, rest @ ..] => (rest, false),
        [0xfe, 0xff, rest @ ..] => (rest, true),
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => (object, false),
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => (object, true),
        _ => return None,
    };
    let units = text
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| if be { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
    Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

/// ClamAV's own reduction of little-endian pairs to one byte each: `(high << 4) + low`.
fn narrow(decoded: &str, object: &[u8]) -> Vec<u8> {
    if matches!(object, [0xfe, 0xff, ..] | [0, ..]) {
        return decoded.as_bytes().to_vec();
    }
    object.as_chunks::<2>().0.iter().map(|[low, high]| (high << 4).wrapping_add(*low)).collect()
}

#[cfg(test)]
mod tests;
