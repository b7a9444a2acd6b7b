//! Types recognised by a pattern rather than by a magic at a fixed offset: mail, HTML, XML documents, and a few
//! binary formats whose magic has holes.
//!
//! Promises: bounded work (every pattern is a literal search with a window behind it).
//! Leaves out: embedded objects ([`super::embedded`]).
//! Sources: ClamAV's published signature documentation; clamscan 1.4.6 as an oracle for cases and distances.

use std::sync::OnceLock;

use aho_corasick::packed::{Config, Searcher};
use hf_core::FileType;
use memchr::memmem;

use super::magic::has_at;

/// Returns the type that the patterns give to the first bytes; when several fit, the one that ClamAV's
/// numbering puts last (mail over HTML, MHTML over mail).
pub(super) fn best(head: &[u8]) -> Option<FileType> {
    let has_mark = has_any(marks(), head);
    [
        is_html(head).then_some(FileType::Html),
        (has_mark && is_mail(head)).then_some(FileType::Mail),
        (has_mark && is_mhtml(head)).then_some(FileType::Mhtml),
        xml_document(head),
        (has_mark && is_xdp(head)).then_some(FileType::Xdp),
        binary(head),
    ]
    .into_iter()
    .flatten()
    .max()
}

/// True for HTML.
pub(super) fn is_html(text: &[u8]) -> bool {
    let mut link = None;
    for at in memchr::memchr_iter(b'<', text) {
        let tag = text.get(at.saturating_add(1)..).unwrap_or_default();
        // The first letters of all that is looked for.
        if !matches!(tag.first(), Some(byte) if b"ahiost".contains(&byte.to_ascii_lowercase())) {
            continue;
        }
        if TAGS_CLOSED.iter().any(|name| tag.starts_with(name))
            || TAGS_OPEN.iter().any(|name| tag.len() > name.len() && tag.starts_with(name))
        {
            return true;
        }
        if link.is_none() && matches!(tag, [b'a' | b'A', b' ', ..]) {
            link = Some(tag);
        }
    }
    text.starts_with(b"<%@ LANGUAGE =") || link.is_some_and(has_href)
}

/// `href` after `<a `, with the first two letters in either case and the last two both in one.
fn has_href(text: &[u8]) -> bool {
    [b"ef", b"EF"].iter().any(|end| {
        memmem::find_iter(text, end).any(|at| {
            matches!(
                at.checked_sub(2).and_then(|start| text.get(start..at)),
                Some([b'h' | b'H', b'r' | b'R'])
            )
        })
    })
}

const TAGS_CLOSED: &[&[u8]] = &[b"html>", b"Html>", b"HTML>", b"head>", b"Head>", b"HEAD>"];

/// Followed by any byte.
const TAGS_OPEN: &[&[u8]] = &[
    b"iframe", b"IFRAME", b"img", b"Img", b"IMG", b"object", b"Object", b"OBJECT", b"script",
    b"Script", b"SCRIPT", b"table", b"TABLE",
];

/// True for mail: two headers that stand near each other.
pub(super) fn is_mail(text: &[u8]) -> bool {
    // One of the first of two, as far in as it may be.
    has_any(marks(), text.get(..1024 + 16).unwrap_or(text)) && is_mail_behind_mark(text)
}

/// True when one of the literals is there; asked before each is looked for.
fn has_any(searcher: Option<&Searcher>, text: &[u8]) -> bool {
    searcher.is_none_or(|searcher| searcher.find(text).is_some())
}

/// One of these is in every mail, MHTML and XDP.
fn marks() -> Option<&'static Searcher> {
    static SEARCHER: OnceLock<Option<Searcher>> = OnceLock::new();
    let literals = PAIRS.iter().map(|pair| pair.first).chain([DELIVERED, MHTML, XDP]);
    SEARCHER.get_or_init(|| Config::new().builder().extend(literals).build()).as_ref()
}

fn is_mail_behind_mark(text: &[u8]) -> bool {
    let front = |max: usize| text.get(..text.len().min(max)).unwrap_or(text);
    let has = |header: &[u8]| memmem::find(front(1024 + 16 + 2 * 2048), header).is_some();
    // Each pair has one of these second.
    let may_be = has(b"\nContent-Type: ") || has(b"\nMIME-Version: ");
    may_be
        && PAIRS.iter().any(|pair| {
            memmem::find_iter(front(1024 + 16 + pair.reach), pair.first).any(|at| {
                let start = at.saturating_add(pair.first.len());
                let end = start.saturating_add(pair.reach).saturating_add(pair.second.len());
                at <= 1024 && memmem::find(window(text, start, end), pair.second).is_some()
            })
        })
        || delivered(front(2048))
}

fn window(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.get(start..text.len().min(end)).unwrap_or_default()
}

/// Two headers, with at most `reach` bytes between.
struct Pair {
    first: &'static [u8],
    second: &'static [u8],
    reach: usize,
}

const PAIRS: &[Pair] = &[
    Pair { first: b"\nFrom: ", second: b"\nMIME-Version: ", reach: 1024 },
    Pair { first: b"\nfrom: ", second: b"\nMIME-Version: ", reach: 1024 },
    Pair { first: b"\nFrom: ", second: b"\nContent-Type: ", reach: 2048 },
    Pair { first: b"\nfrom: ", second: b"\nContent-Type: ", reach: 2048 },
    Pair { first: b"\nMIME-Version: ", second: b"\nContent-Type: ", reach: 2048 },
    Pair { first: b"\nMessage-Id: ", second: b"\nContent-Type: ", reach: 1024 },
    Pair { first: b"\nReceived: ", second: b"\nContent-Type: ", reach: 2048 },
];

/// `Delivered-To:` and within 256 bytes `Received:`.
fn delivered(text: &[u8]) -> bool {
    memmem::find_iter(text, DELIVERED).any(|at| {
        let first = at.checked_sub(1).and_then(|start| text.get(start..)).unwrap_or_default();
        let fits = matches!(first, [b'd' | b'D', rest @ ..]
            if rest.starts_with(b"elivered-To:") || rest.starts_with(b"elivered-to:"));
        let start = at.saturating_add(12);
        let near = window(text, start, start.saturating_add(256 + 9));
        at <= 1025
            && fits
            && memmem::find(near, b"eceived:").is_some_and(|at| {
                at.checked_sub(1)
                    .and_then(|at| near.get(at))
                    .is_some_and(|r| matches!(r, b'r' | b'R'))
            })
    })
}

const DELIVERED: &[u8] = b"elivered-";

/// True for MHTML: `MIME-Version: ` at the start of a line and within 1024 bytes `\nContent-Type: `.
pub(super) fn is_mhtml(text: &[u8]) -> bool {
    memmem::find_iter(text, MHTML).any(|at| is_mhtml_at(text, at))
}

/// True when the [`MHTML`] at an offset is where it makes MHTML.
pub(super) fn is_mhtml_at(text: &[u8], at: usize) -> bool {
    let Some(start) = at.checked_sub(6) else { return false };
    let at_line = start == 0 || text.get(start.saturating_sub(1)) == Some(&b'\n');
    let word = text.get(start..at).unwrap_or_default();
    let end = at.saturating_add(MHTML.len());
    at_line
        && word.eq_ignore_ascii_case(b"MIME-V")
        && memmem::find(window(text, end, end.saturating_add(1024 + 15)), b"\nContent-Type: ")
            .is_some()
}

/// The end of the header that makes MHTML.
pub(super) const MHTML: &[u8] = b"ersion: ";

/// True for XDP.
pub(super) fn is_xdp(text: &[u8]) -> bool {
    memmem::find(text, XDP).is_some()
}

/// The tag that makes XDP.
pub(super) const XDP: &[u8] = b"<xdp:xdp";

/// Returns the type of an Office 2003 or Hancom XML document.
pub(super) fn xml_document(text: &[u8]) -> Option<FileType> {
    let hwp = text
        .strip_prefix(&[0xef, 0xbb, 0xbf])
        .filter(|xml| xml.starts_with(b"<?xml version=\"1.0\""))
        .is_some_and(|xml| memmem::find(window(xml, 19, 2048), b"<HWPML").is_some());
    if hwp {
        return Some(FileType::XmlHwp);
    }
    let rest = text.strip_prefix(b"<?xml version=\"1.0\"")?;
    let near = window(rest, 0, 1024 + 24);
    if has_element(near, b"wordDocument")
        || memmem::find(near, b"progid=\"Word.Document\"?>").is_some()
    {
        return Some(FileType::XmlWord);
    }
    has_element(near, b"Workbook").then_some(FileType::XmlXl)
}

/// `<name` or `<??:name`.
fn has_element(text: &[u8], name: &[u8]) -> bool {
    memmem::find_iter(text, name).any(|at| {
        let before = |back: usize| at.checked_sub(back).and_then(|at| text.get(at)).copied();
        before(1) == Some(b'<')
            || before(1) == Some(b':') && (before(4) == Some(b'<') || before(3) == Some(b'<'))
    })
}

/// Binary formats whose magic has holes or stands a little way in.
fn binary(head: &[u8]) -> Option<FileType> {
    match head {
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0x00..=0x1f, ..] => return Some(FileType::MachoUnibin),
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0x20..=0x3f, ..] => return Some(FileType::Java),
        [_, 0x0d, 0x0d, 0x0a, ..] => return Some(FileType::PythonCompiled),
        _ => {}
    }
    if has_at(head, 510, &[0x55, 0xaa]) {
        return Some(if has_at(head, 512, b"EFI PART") { FileType::Gpt } else { FileType::Mbr });
    }
    if has_at(head, 0, &[0x45, 0x52]) && has_at(head, 512, b"PM\0\0") {
        return Some(FileType::Apm);
    }
    if (8..=12).any(|off| has_at(head, off, &[0x19, 0x04, 0x00, 0x10])) {
        return Some(FileType::Sis);
    }
    is_lha(head).then_some(FileType::LhaLzh)
}

/// `-lh0-` and its relatives at offset 2.
fn is_lha(head: &[u8]) -> bool {
    matches!(
        head.get(2..7),
        Some(
            [b'-', b'l', b'h', b'0'..=b'7' | b'd' | b'x', b'-']
                | [b'-', b'l', b'z', b's' | b'4' | b'5', b'-']
                | [b'-', b'p', b'm', b'0', b'-']
        )
    )
}
