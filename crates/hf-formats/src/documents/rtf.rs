//! RTF: embedded objects and pictures, however their hexadecimal data is disguised.
//!
//! Yields: the file in every object's data (packages unwrapped, by their names); pictures and data stores.
//! Leaves out: the text itself (the object is matched as a whole).
//! Limits: one pass over the object; what comes out is at most as long as it. 4096 objects.
//! Hostile input: control words, groups, white space and binary runs inside of the data are skipped, odd
//! nibbles are dropped at an escaped character. What lies in nested groups counts and does not count:
//! both readings are handed over. A group that is never closed ends with the object.
//! Sources: [1] RTF 1.9.1, "Objects", "Destinations", `\bin`; [2] MS-OLEDS §2.2.

use hf_core::{Child, ChildRole, FileType, Halt, Reason, ScanOptions, Sink, Stop};

use super::le::find_from;
use super::ole1;
use crate::{Format, FormatDoc, Stage};

/// Opens RTF.
pub(crate) static FORMAT: Format = Format {
    name: "rtf",
    types: &[FileType::Rtf],
    stage: Stage::BeforeMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`{\\rt` at the start",
        yields: "files in objects' data; pictures; data stores",
        leaves_out: "the text",
        limits: "4096 objects",
        sources: "RTF 1.9.1, MS-OLEDS",
    },
};

const OBJECTS_MAX: usize = 4096;
const OLE2_MAGIC: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

fn enabled(options: &ScanOptions) -> bool {
    // `DOCUMENT` bit `RTF` of the configuration databases.
    options.scan_archive && options.dconf.document & 0x2 != 0
}

/// A destination whose text is hexadecimal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Picture,
    Store,
}

fn kind(word: &[u8]) -> Option<Kind> {
    match word {
        b"objdata" => Some(Kind::Object),
        b"pict" => Some(Kind::Picture),
        b"datastore" => Some(Kind::Store),
        _ => None,
    }
}

/// Bytes out of nibbles.
#[derive(Debug, Default)]
struct Hex {
    bytes: Vec<u8>,
    high: Option<u8>,
}

impl Hex {
    fn push(&mut self, digit: u8) {
        match self.high.take() {
            Some(high) => self.bytes.push(high.wrapping_shl(4) | digit),
            None => self.high = Some(digit),
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.high = None;
        self.bytes.extend_from_slice(bytes);
    }
}

/// A data destination that is being read.
#[derive(Debug)]
struct Data {
    kind: Kind,
    depth: usize,
    /// Digits of this group only.
    outer: Hex,
    /// Digits of nested groups too.
    all: Hex,
    nested: bool,
}

/// One step through the text.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    Word(&'a [u8]),
    Escaped,
    Binary(&'a [u8]),
    Text(u8),
}

/// Splits RTF into tokens.
#[derive(Debug)]
struct Tokens<'a> {
    bytes: &'a [u8],
    off: usize,
}

impl<'a> Tokens<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let taken = super::le::part(self.bytes, self.off, len);
        self.off = self.off.saturating_add(taken.len());
        taken
    }

    fn take_while(&mut self, test: fn(&u8) -> bool) -> &'a [u8] {
        let rest = self.bytes.get(self.off..).unwrap_or_default();
        let len = rest.iter().take_while(|byte| test(byte)).count();
        self.take(len)
    }

    /// Reads what follows a backslash ([1] "RTF syntax").
    fn control(&mut self) -> Token<'a> {
        let word = self.take_while(u8::is_ascii_alphabetic);
        if word.is_empty() {
            let symbol = self.take(1);
            if symbol == b"'" {
                let digits = self.take_while(u8::is_ascii_hexdigit).len();
                // Two digits belong to the character; more are data.
                self.off = self.off.saturating_sub(digits.saturating_sub(2));
                return Token::Escaped;
            }
            return Token::Word(b"");
        }
        let minus = self.bytes.get(self.off) == Some(&b'-');
        self.take(usize::from(minus));
        let digits = self.take_while(u8::is_ascii_digit);
        if self.bytes.get(self.off) == Some(&b' ') {
            self.take(1);
        }
        if word != b"bin" {
            return Token::Word(word);
        }
        let len = digits.iter().fold(0usize, |len, digit| {
            len.saturating_mul(10).saturating_add(usize::from(digit & 0x0f))
        });
        Token::Binary(self.take(if minus { 0 } else { len }))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let byte = *self.take(1).first()?;
        Some(match byte {
            b'{' => Token::Open,
            b'}' => Token::Close,
            b'\\' => self.control(),
            byte => Token::Text(byte),
        })
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut depth = 0usize;
    let mut data: Option<Data> = None;
    let mut count = 0usize;
    let mut polled = 0usize;
    let mut tokens = Tokens { bytes: object, off: 0 };
    while let Some(token) = tokens.next() {
        if tokens.off.saturating_sub(polled) > 1 << 20 {
            polled = tokens.off;
            sink.poll()?;
        }
        match token {
            Token::Open => depth = depth.saturating_add(1),
            Token::Close => {
                if data.as_ref().is_some_and(|data| data.depth == depth) {
                    finish(data.take(), &mut count, sink)?;
                }
                depth = depth.saturating_sub(1);
            }
            Token::Word(word) => {
                let Some(kind) = kind(word) else { continue };
                // A picture inside of an object's data is part of the disguise.
                if data.as_ref().is_none_or(|_| kind == Kind::Object) {
                    finish(data.take(), &mut count, sink)?;
                    let (outer, all) = (Hex::default(), Hex::default());
                    data = Some(Data { kind, depth, outer, all, nested: false });
                }
            }
            Token::Escaped | Token::Binary(_) | Token::Text(_) => {
                if let Some(data) = data.as_mut() {
                    data.token(&token, depth);
                }
            }
        }
        if count >= OBJECTS_MAX {
            sink.unscanned(b"", Reason::FormatLimit("RTF objects".into()));
            return Ok(());
        }
    }
    Ok(finish(data, &mut count, sink)?)
}

impl Data {
    fn token(&mut self, token: &Token<'_>, depth: usize) {
        let is_outer = depth <= self.depth;
        self.nested |= !is_outer;
        let mut each = |change: &dyn Fn(&mut Hex)| {
            change(&mut self.all);
            if is_outer {
                change(&mut self.outer);
            }
        };
        match token {
            Token::Binary(bytes) => each(&|hex| hex.raw(bytes)),
            Token::Escaped => each(&|hex| hex.high = None),
            Token::Text(byte) => {
                let digit = char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
                if let Some(digit) = digit {
                    each(&|hex| hex.push(digit));
                }
            }
            _ => {}
        }
    }
}

fn finish(data: Option<Data>, count: &mut usize, sink: &mut dyn Sink) -> Result<(), Stop> {
    let Some(Data { kind, outer, all, nested, .. }) = data else { return Ok(()) };
    let (outer, all) = (outer.bytes, all.bytes);
    if !outer.is_empty() {
        *count = count.saturating_add(1);
        hand_over(kind, &outer, *count, sink)?;
    }
    if nested && kind == Kind::Object && all != outer && !all.is_empty() {
        *count = count.saturating_add(1);
        hand_over(kind, &all, *count, sink)?;
    }
    Ok(())
}

fn hand_over(kind: Kind, data: &[u8], number: usize, sink: &mut dyn Sink) -> Result<(), Stop> {
    let name = match kind {
        Kind::Object => format!("object{number}"),
        Kind::Picture => format!("picture{number}"),
        Kind::Store => format!("datastore{number}"),
    };
    let name = name.as_bytes();
    let role = ChildRole::Member;
    let Some(object) = ole1::object(data).filter(|_| kind == Kind::Object) else {
        let off = find_from(data, OLE2_MAGIC, 0).filter(|_| kind == Kind::Object).unwrap_or(0);
        let data = data.get(off..).unwrap_or_default();
        return sink.child(Child { name, data, role });
    };
    sink.fact("rtf.class", &object.class.escape_ascii().to_string());
    if object.link {
        sink.fact("rtf.link", &object.topic.escape_ascii().to_string());
        return Ok(());
    }
    let payload = object.payload;
    let name = if payload.name.is_empty() { name } else { payload.name };
    if payload.cut {
        sink.unscanned(name, Reason::Truncated);
    }
    sink.child(Child { name, data: payload.data, role })
}
