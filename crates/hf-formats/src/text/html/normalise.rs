//! The two forms of HTML that HTML signatures are written for: without comments, and without tags.
//!
//! Promises: one pass; both outputs together are at most about ten times the input (a reference of four bytes may
//! become eight); URLs, scripts and `data:` URLs are noted on the way, each kind with a bound.
//! Leaves out: scripts themselves ([`super::super::script`]).
//! Sources: `sigtool --html-normalise` of ClamAV 1.4.6 as an oracle; the tests list where we differ:
//! multi-byte characters in attributes stay in their place, what is unfinished at the end is kept, and a
//! `data:` URL does not swallow the end of its tag.

use super::data_url::{self, DataUrl};
use super::entity;

/// The copies, and what was noted.
#[derive(Debug, Default)]
pub(super) struct Normalised {
    /// Lower case, comments and superfluous white space gone.
    pub(super) no_comment: Vec<u8>,
    /// Text only, with the targets of links.
    pub(super) no_tags: Vec<u8>,
    /// Where each script lies in the cleaned text.
    pub(super) scripts: Vec<Script>,
    /// Where each style sheet lies in the cleaned text.
    pub(super) styles: Vec<std::ops::Range<usize>>,
    /// Documents in `data:` URLs.
    pub(super) data_urls: Vec<DataUrl>,
    /// Targets of links, as written.
    pub(super) uris: Vec<Vec<u8>>,
    /// Links with what they show.
    pub(super) links: Vec<Shown>,
}

/// A link with what it shows: a text or its title, the address of an image inside it, or, for a form, where a link
/// inside it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Where it leads.
    pub(super) real: Vec<u8>,
    /// What it shows.
    pub(super) displayed: Vec<u8>,
}

/// A script in the cleaned text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// Its text.
    pub(super) range: std::ops::Range<usize>,
    /// Its language says that it is encoded.
    pub(super) encoded: bool,
}

/// Notes of one kind.
const NOTES_MAX: usize = 4096;
const TAG_LEN_MAX: usize = 1024;

/// Returns the text as the normaliser reads it: without zero bytes and carriage returns, line ends as spaces.
pub(super) fn clean(html: &[u8]) -> Vec<u8> {
    let mut cleaned = Vec::with_capacity(html.len());
    let is_left_out = |byte: u8| (byte == 0) | (byte == b'\r');
    let shown = |byte: u8| if byte == b'\n' { b' ' } else { byte };
    let (chunks, tail) = html.as_chunks::<CHUNK_LEN>();
    for chunk in chunks {
        if any(chunk, is_left_out) {
            cleaned.extend(chunk.iter().filter(|byte| !is_left_out(**byte)).map(|b| shown(*b)));
        } else {
            cleaned.extend_from_slice(&chunk.map(shown));
        }
    }
    cleaned.extend(tail.iter().filter(|byte| !is_left_out(**byte)).map(|byte| shown(*byte)));
    cleaned
}

/// True when a byte of a chunk is of a kind; the compiler makes vectors of it.
fn any(chunk: &[u8; CHUNK_LEN], is: impl Fn(u8) -> bool) -> bool {
    chunk.iter().fold(0, |any, byte| any | u8::from(is(*byte))) != 0
}

/// Returns how many bytes are in front of the first of a kind.
fn len_before(text: &[u8], is: impl Fn(u8) -> bool) -> usize {
    let chunks = text.as_chunks::<CHUNK_LEN>().0;
    let skipped = chunks.iter().take_while(|chunk| !any(chunk, &is)).count();
    let skipped = skipped.saturating_mul(CHUNK_LEN);
    let rest = text.get(skipped..).unwrap_or_default();
    skipped.saturating_add(rest.iter().position(|byte| is(*byte)).unwrap_or(rest.len()))
}

/// Ours: what the compiler makes a vector of.
const CHUNK_LEN: usize = 16;

/// Normalises cleaned text; the copy without tags is made only on request.
pub(super) fn normalise(text: &[u8], with_no_tags: bool) -> Normalised {
    let mut state = State {
        text,
        at: 0,
        out: Normalised::default(),
        with_no_tags,
        after_space: false,
        script: false,
        style: false,
        open: None,
        after_dot: false,
        encoded_page: false,
        tag_off: 0,
        anchor: None,
        form: None,
    };
    state.skip_space();
    while let Some(byte) = state.peek() {
        state.one(byte);
    }
    state.close_script();
    state.tag_off = state.at;
    state.close_anchor();
    state.out
}

struct State<'a> {
    text: &'a [u8],
    at: usize,
    out: Normalised,
    with_no_tags: bool,
    /// The copy without tags ends with a space.
    after_space: bool,
    /// Inside a script or a style sheet.
    script: bool,
    /// Inside a style sheet.
    style: bool,
    /// Where the script or style sheet began, and whether it is encoded.
    open: Option<(usize, bool)>,
    /// A two-byte full stop was read, after which ClamAV leaves a zero byte in front of text.
    after_dot: bool,
    /// The page's language says that its scripts are encoded.
    encoded_page: bool,
    /// Where the last tag began.
    tag_off: usize,
    /// The open link: where it leads, and where its text began.
    anchor: Option<(Vec<u8>, usize)>,
    /// Where the open form leads.
    form: Option<Vec<u8>>,
}

fn is_space(byte: u8) -> bool {
    (byte == b' ') | (byte.wrapping_sub(0x09) < 5)
}

/// True for a character that stays.
fn is_plain(byte: u8) -> bool {
    (byte.wrapping_sub(0x21) < 0x5f) & (byte != b'<') & (byte != b'&')
}

/// Returns the length of the words that a text begins with; a single space is between two of them.
fn words(text: &[u8]) -> usize {
    let is_end = |byte: u8, next: u8| !is_plain(byte) & !((byte == b' ') & is_plain(next));
    let behind = text.get(1..).unwrap_or_default();
    let each = text.as_chunks::<CHUNK_LEN>().0.iter().zip(behind.as_chunks::<CHUNK_LEN>().0);
    let skipped = each
        .take_while(|(bytes, next)| {
            let ends = bytes.iter().zip(*next).map(|(byte, next)| u8::from(is_end(*byte, *next)));
            ends.fold(0, |any, end| any | end) == 0
        })
        .count();
    let skipped = skipped.saturating_mul(CHUNK_LEN);
    let rest = text.get(skipped..).unwrap_or_default();
    let next = rest.iter().skip(1).chain([&0]);
    let len = rest.iter().zip(next).position(|(byte, next)| is_end(*byte, *next));
    skipped.saturating_add(len.unwrap_or(rest.len()))
}

impl<'a> State<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn step(&mut self, len: usize) {
        self.at = self.at.saturating_add(len);
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.step(1);
        }
    }

    fn keep(&mut self, byte: u8) {
        self.out.no_comment.push(byte);
    }

    fn show(&mut self, byte: u8) {
        self.show_high(byte);
        self.after_space = byte == b' ';
    }

    /// Shows a byte above 7f, which in ClamAV does not count as being behind the last space.
    fn show_high(&mut self, byte: u8) {
        if self.with_no_tags {
            self.out.no_tags.push(byte);
        }
    }

    fn show_space(&mut self) {
        if !self.after_space {
            self.show(b' ');
        }
    }

    /// Reads text up to the next thing that is not plain.
    fn one(&mut self, byte: u8) {
        if byte >= 0x80 {
            return self.multibyte();
        }
        if std::mem::take(&mut self.after_dot) {
            self.keep(0);
            self.show(0);
        }
        match byte {
            b'<' => {
                self.tag_off = self.at;
                self.step(1);
                self.keep(b'<');
                if !self.script {
                    self.show_space();
                }
                self.tag();
            }
            b'&' => {
                self.show_space();
                self.reference();
            }
            _ if is_space(byte) => {
                self.skip_space();
                if !self.script {
                    self.keep(b' ');
                    self.show_space();
                }
            }
            0..=0x1f => {
                self.step(1);
                self.keep(byte);
                if !self.script {
                    self.show_space();
                }
            }
            _ => self.plain(),
        }
    }

    /// Reads characters that stay, but for their case, and outside of scripts the single spaces between.
    fn plain(&mut self) {
        let rest = self.rest();
        let len = if self.script { len_before(rest, |byte| !is_plain(byte)) } else { words(rest) };
        let run = rest.get(..len).unwrap_or_default();
        self.step(len);
        if self.script {
            let low = |byte: &u8| if *byte == b'\'' { b'"' } else { byte.to_ascii_lowercase() };
            self.out.no_comment.extend(run.iter().map(low));
            return;
        }
        self.out.no_comment.extend(run.iter().map(u8::to_ascii_lowercase));
        if self.with_no_tags {
            self.out.no_tags.extend(run.iter().map(u8::to_ascii_lowercase));
        }
        self.after_space = false;
    }

    /// Reads up to three bytes above 7f. Full stops of other scripts become `.`; in the copy without tags ClamAV
    /// replaces the last byte by the one before.
    fn multibyte(&mut self) {
        if let [0xa1, 0x43 | 0x44 | 0x4f, ..] = self.rest() {
            self.step(2);
            self.keep(b'.');
            self.show(b'.');
            self.after_dot = true;
            return;
        }
        self.after_dot = false;
        let high = self.rest().iter().take(3).take_while(|byte| **byte >= 0x80).count();
        let group = self.rest().get(..high).unwrap_or_default();
        self.step(high.max(1));
        if is_full_stop(group) {
            self.keep(b'.');
            self.show(b'.');
            return;
        }
        self.out.no_comment.extend_from_slice(group);
        if let Some((_, front)) = group.split_last() {
            for byte in front {
                self.show_high(*byte);
            }
            self.show_high(front.last().copied().unwrap_or(0));
        }
    }

    /// Reads a reference in text; what is none is copied as it is.
    fn reference(&mut self) {
        let Some(decoded) = entity::decode(self.rest()) else {
            self.step(1);
            self.keep(b'&');
            // The name is not text either: it is copied up to where it ends.
            while let Some(byte) = self.peek().filter(u8::is_ascii_alphanumeric) {
                self.step(1);
                self.keep(byte.to_ascii_lowercase());
            }
            if self.peek() == Some(b';') {
                self.step(1);
                self.keep(b';');
            }
            return;
        };
        self.step(decoded.len);
        self.out.no_comment.extend_from_slice(&decoded.bytes);
    }

    /// Reads what follows a `<`.
    fn tag(&mut self) {
        self.skip_space();
        match self.peek() {
            None => return,
            Some(b'!') if self.script => return self.kept_comment(),
            Some(b'!') => return self.comment(),
            Some(b'/') => {}
            Some(byte) if self.script => {
                if matches!(byte, b'\'' | b'&' | b'<') {
                    self.step(1);
                    self.keep(byte);
                }
                return;
            }
            Some(_) => {}
        }
        let start = self.at;
        let len = self
            .rest()
            .iter()
            .take(TAG_LEN_MAX)
            .position(|byte| is_space(*byte) || *byte == b'>')
            .unwrap_or_else(|| self.rest().len().min(TAG_LEN_MAX));
        self.step(len);
        let name = self.text.get(start..self.at).unwrap_or_default();
        self.out.no_comment.extend(name.iter().map(u8::to_ascii_lowercase));
        if self.script {
            self.end_script(name);
            if self.peek() == Some(b'>') {
                self.step(1);
                self.keep(b'>');
            }
            self.skip_space();
            return;
        }
        let mut tag = Tag::default();
        self.arguments(name, &mut tag);
        self.end_tag(name, tag);
    }

    fn comment(&mut self) {
        self.out.no_comment.pop();
        let len = memchr::memchr(b'>', self.rest());
        self.step(len.map_or(self.rest().len(), |len| len.saturating_add(1)));
        self.skip_space();
    }

    /// In a script a comment stays, but for its white space; references in it are not read.
    fn kept_comment(&mut self) {
        while let Some(byte) = self.peek().filter(|byte| *byte != b'>') {
            self.step(1);
            if !is_space(byte) {
                self.keep(if byte == b'\'' { b'"' } else { byte.to_ascii_lowercase() });
            }
        }
    }

    /// Ends a script or style sheet behind the name of such a tag.
    fn end_script(&mut self, name: &[u8]) {
        let is = |tag: &[u8]| name.eq_ignore_ascii_case(tag);
        if is(b"/script") || is(b"/style") && self.style {
            self.close_script();
        }
    }

    /// Notes the open script or style sheet, with the tag that ends it: in an open literal it is part of the script.
    fn close_script(&mut self) {
        let Some((start, encoded)) = self.open.take() else { return };
        let range = start..self.at.saturating_add(1).min(self.text.len());
        if self.style {
            if self.out.styles.len() < NOTES_MAX {
                self.out.styles.push(range);
            }
        } else if self.out.scripts.len() < NOTES_MAX {
            self.out.scripts.push(Script { range, encoded });
        }
        (self.script, self.style) = (false, false);
    }

    /// Reads the arguments of a tag and its `>`.
    fn arguments(&mut self, tag_name: &[u8], tag: &mut Tag) {
        loop {
            self.skip_space();
            match self.peek() {
                None => return,
                Some(b'>') => {
                    self.step(1);
                    self.keep(b'>');
                    return;
                }
                Some(byte) => {
                    if byte != b'=' && !std::mem::take(&mut tag.after_data) {
                        self.keep(b' ');
                    }
                }
            }
            let name = self.argument_name();
            self.skip_space();
            if self.peek() == Some(b'=') {
                self.step(1);
                self.keep(b'=');
                self.skip_space();
                self.value(tag_name, name, tag);
            }
        }
    }

    fn argument_name(&mut self) -> &'a [u8] {
        let start = self.at;
        let len = self
            .rest()
            .iter()
            .position(|byte| is_space(*byte) || matches!(byte, b'>' | b'='))
            .unwrap_or(self.rest().len());
        self.step(len);
        let name = self.text.get(start..self.at).unwrap_or_default();
        self.out.no_comment.extend(name.iter().map(u8::to_ascii_lowercase));
        name
    }

    fn value(&mut self, tag_name: &[u8], name: &[u8], tag: &mut Tag) {
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''));
        if quote.is_some() {
            self.step(1);
            self.keep(b'"');
        }
        let rest = self.rest();
        if rest.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"data:")) {
            return self.data_url(quote, tag);
        }
        let mut raw = Tag::is_noted(tag_name, name).then(Vec::new);
        let is_closed = self.value_up_to(quote, raw.as_mut());
        if quote.is_some() && is_closed {
            self.step(1);
            self.keep(b'"');
        } else if quote.is_some() {
            // What should be the quote is part of the value, whatever it is.
            raw.as_mut().and_then(Vec::pop);
        }
        let Some(mut raw) = raw else { return };
        if let (None, [b'"' | b'\'', inner @ .., b'"' | b'\'']) = (quote, raw.as_slice()) {
            raw = inner.to_vec();
        }
        tag.note(tag_name, name, raw);
    }

    /// Reads a value up to its quote, or without one up to white space or the end of the tag; returns whether that is
    /// reached. As clamscan does, it forgets the quote at the first white space or `>` behind it.
    fn value_up_to(&mut self, mut quote: Option<u8>, mut raw: Option<&mut Vec<u8>>) -> bool {
        let is_quoted = quote.is_some();
        loop {
            self.value_run(quote, raw.as_deref_mut());
            let Some(byte) = self.peek() else { return false };
            let is_end = is_space(byte) || byte == b'>';
            if quote.map_or(is_end, |quote| byte == quote) {
                return quote.is_some() || !is_quoted;
            }
            self.value_byte(byte, raw.as_deref_mut());
            quote = quote.filter(|_| !is_end);
        }
    }

    /// Reads what [`Self::value_byte`] would copy as it is, but for its case.
    fn value_run(&mut self, quote: Option<u8>, raw: Option<&mut Vec<u8>>) {
        let quote = quote.unwrap_or(b'>');
        let len = len_before(self.rest(), |byte| {
            let special = (byte == b'&') | (byte == b'\'') | (byte == b'>') | (byte == quote);
            special | is_space(byte) | (byte >= 0x80)
        });
        let run = self.rest().get(..len).unwrap_or_default();
        self.step(len);
        self.out.no_comment.extend(run.iter().map(u8::to_ascii_lowercase));
        if let Some(raw) = raw {
            raw.extend_from_slice(run);
        }
    }

    fn value_byte(&mut self, byte: u8, raw: Option<&mut Vec<u8>>) {
        let mut unused = Vec::new();
        let raw = raw.unwrap_or(&mut unused);
        if byte == b'&'
            && let Some(decoded) = entity::decode(self.rest())
        {
            match self.rest().get(..decoded.len).and_then(original) {
                Some(byte) => raw.push(byte),
                None if decoded.bytes.len() == 1 => raw.extend_from_slice(&decoded.bytes),
                None => {}
            }
            self.step(decoded.len);
            self.out.no_comment.extend_from_slice(&decoded.bytes);
            return;
        }
        if is_full_stop(self.rest().get(..3).unwrap_or_default()) {
            self.step(3);
            self.keep(b'.');
            raw.push(b'.');
            return;
        }
        self.step(1);
        let shown = match byte {
            b'\'' => b'"',
            _ if is_space(byte) => b' ',
            _ => byte,
        };
        self.keep(shown.to_ascii_lowercase());
        raw.push(shown);
        if is_space(byte) || byte == b'>' {
            self.skip_space();
        }
    }

    fn data_url(&mut self, quote: Option<u8>, tag: &mut Tag) {
        self.out.no_comment.extend_from_slice(b"data");
        let end = match quote {
            Some(quote) => memchr::memchr(quote, self.rest()),
            None => self.rest().iter().position(|byte| is_space(*byte) || *byte == b'>'),
        };
        let whole = self.rest().get(..end.unwrap_or(self.rest().len())).unwrap_or_default();
        if self.out.data_urls.len() < NOTES_MAX {
            self.out.data_urls.extend(data_url::decode(whole));
        }
        self.step(whole.len());
        if quote.is_some() && self.peek().is_some() {
            self.step(1);
            self.keep(b'"');
            tag.after_data = true;
        }
    }

    fn end_tag(&mut self, name: &[u8], tag: Tag) {
        let language = |language: &[u8]| {
            let of = |name: &[u8]| language.eq_ignore_ascii_case(name);
            of(b"jscript.encode") || of(b"vbscript.encode")
        };
        let encoded = tag.language.as_deref().is_some_and(language);
        if name.starts_with(b"%@") && encoded {
            self.encoded_page = true;
        }
        let is = |tag: &[u8]| name.eq_ignore_ascii_case(tag);
        if is(b"script") || is(b"style") {
            self.script = true;
            self.style = is(b"style");
            self.open = Some((self.at, encoded || self.encoded_page));
        }
        if is(b"a") || is(b"img") {
            for byte in tag.shown.iter().flatten() {
                self.show(*byte);
            }
            if tag.shown.as_ref().is_some_and(|url| !url.is_empty()) {
                self.show(b' ');
            }
        }
        self.links(name, &tag);
        let room = NOTES_MAX.saturating_sub(self.out.uris.len());
        self.out.uris.extend(tag.uris.into_iter().take(room));
        self.skip_space();
    }
}

impl State<'_> {
    /// Notes what a tag means for links.
    fn links(&mut self, name: &[u8], tag: &Tag) {
        if name.len() > b"iframe".len() {
            return;
        }
        let address = tag.uris.first().cloned().unwrap_or_default();
        match name.to_ascii_lowercase().as_slice() {
            b"a" => {
                self.close_anchor();
                if tag.uris.is_empty() {
                    return;
                }
                if let Some(form) = self.form.clone() {
                    self.link(form, address.clone());
                }
                if let Some(title) = &tag.title {
                    self.link(address.clone(), title.clone());
                }
                self.anchor = Some((address, self.at));
            }
            b"/a" => self.close_anchor(),
            b"form" => self.form = Some(address),
            b"/form" => self.form = None,
            b"img" | b"iframe" | b"area" => {
                if let Some((real, _)) = self.anchor.clone() {
                    self.link(real, address);
                }
            }
            _ => {}
        }
    }

    /// Notes the open link with its text.
    fn close_anchor(&mut self) {
        let Some((real, start)) = self.anchor.take() else { return };
        let end = self.tag_off.min(start.saturating_add(ANCHOR_LEN_MAX));
        let displayed = without_tags(self.text.get(start..end).unwrap_or_default());
        self.link(real, displayed);
    }

    fn link(&mut self, mut real: Vec<u8>, mut displayed: Vec<u8>) {
        if self.out.links.len() < NOTES_MAX {
            real.truncate(LINK_LEN_MAX);
            displayed.truncate(LINK_LEN_MAX);
            self.out.links.push(Shown { real, displayed });
        }
    }
}

/// Returns what a text shows, references replaced.
fn without_tags(mut text: &[u8]) -> Vec<u8> {
    let mut shown = Vec::new();
    while let Some((byte, behind)) = text.split_first() {
        text = behind;
        match byte {
            b'<' => {
                let end =
                    memchr::memchr(b'>', behind).map_or(behind.len(), |at| at.saturating_add(1));
                text = behind.get(end..).unwrap_or_default();
            }
            b'&' => {
                let whole = [b"&", behind.get(..16).unwrap_or(behind)].concat();
                match entity::decode(&whole) {
                    Some(decoded) => {
                        match decoded.ascii {
                            Some(ascii) => shown.push(ascii),
                            None => shown.extend_from_slice(&decoded.bytes),
                        }
                        text = behind.get(decoded.len.saturating_sub(1)..).unwrap_or_default();
                    }
                    None => shown.push(b'&'),
                }
            }
            _ => shown.push(*byte),
        }
    }
    shown
}

/// Ours: bytes of markup that are read as the text of one link.
const ANCHOR_LEN_MAX: usize = 4096;
/// Ours: bytes kept of an address or a text.
const LINK_LEN_MAX: usize = 1024;

/// What was noted in a tag.
#[derive(Default)]
struct Tag {
    /// Its first `href` or `src`, for the copy without tags.
    shown: Option<Vec<u8>>,
    uris: Vec<Vec<u8>>,
    language: Option<Vec<u8>>,
    title: Option<Vec<u8>>,
    after_data: bool,
}

impl Tag {
    /// True for an argument whose value is noted.
    fn is_noted(tag: &[u8], name: &[u8]) -> bool {
        is_uri(tag, name)
            || name.eq_ignore_ascii_case(b"language")
            || tag.eq_ignore_ascii_case(b"a") && name.eq_ignore_ascii_case(b"title")
    }

    fn note(&mut self, tag: &[u8], name: &[u8], value: Vec<u8>) {
        let is =
            |of: &[u8], it: &[u8]| tag.eq_ignore_ascii_case(of) && name.eq_ignore_ascii_case(it);
        if (is(b"a", b"href") || is(b"img", b"src")) && self.shown.is_none() {
            self.shown = Some(value.clone());
        }
        if is_uri(tag, name) && self.uris.len() < 16 {
            self.uris.push(value);
        } else if name.eq_ignore_ascii_case(b"language") {
            self.language = Some(value);
        } else if is(b"a", b"title") {
            self.title = Some(value);
        }
    }
}

fn is_uri(tag: &[u8], name: &[u8]) -> bool {
    const URIS: [(&[u8], &[u8]); 6] = [
        (b"a", b"href"),
        (b"area", b"href"),
        (b"form", b"action"),
        (b"img", b"src"),
        (b"img", b"dynsrc"),
        (b"iframe", b"src"),
    ];
    let is =
        |(of, it): &(&[u8], &[u8])| tag.eq_ignore_ascii_case(of) && name.eq_ignore_ascii_case(it);
    URIS.iter().any(is)
}

fn is_full_stop(bytes: &[u8]) -> bool {
    matches!(bytes, [0xe3, 0x80, 0x82] | [0xef, 0xbc, 0x8e] | [0xef, 0xb9, 0x92])
}

/// A number that stands for one character keeps its case in URLs.
fn original(reference: &[u8]) -> Option<u8> {
    let digits = reference.strip_prefix(b"&#")?;
    let digits = digits.strip_suffix(b";").unwrap_or(digits);
    let (digits, radix) = match digits {
        [b'x' | b'X', rest @ ..] => (rest, 16),
        _ => (digits, 10),
    };
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, radix).ok().filter(u8::is_ascii)
}
