//! What scripts and texts hide: encoded files, and code that is put together from pieces.
//!
//! Yields: files in base64, hexadecimal and lists of bytes, known by their magic, by the function that decodes
//! them, or by the option of PowerShell that takes them; documents in `data:` URLs; encoded scripts; and one copy
//! of the text in which constant expressions are replaced by their values (concatenation, character codes,
//! reversal, replacement, formats, escapes, base64, deflate, ROT13, variables that are constant; for batch files
//! variables, substrings and carets). What comes out is scanned again, so layers are peeled one by one.
//! Leaves out: loops, functions of the script itself, keys that are computed; everything under ClamAV's name.
//! Limits: `max_script_normalise_bytes`; 64 files; 128 MiB of values and four steps a byte for one text.
//! Hostile input: only texts with a telling word are looked at, after one pass over all words together; an
//! expression that does not fold is copied.
//! Sources: the languages' references (MS-VBAL, ECMA-262, about_Operators of PowerShell, the PHP and Python
//! manuals, `cmd /?`); published descriptions of obfuscated droppers.

mod batch;
mod blob;
mod call;
mod fold;
mod value;
mod words;

use std::sync::OnceLock;

use hf_core::{Child, ChildRole, FileType, Halt, Reason, ScanOptions, Sink, Stop};

use crate::{Format, FormatDoc, Stage};
use blob::Blob;
use words::Words;

pub(crate) const FORMAT: Format = Format {
    name: "hidden",
    types: &[
        FileType::TextAscii,
        FileType::TextUtf8,
        FileType::Script,
        FileType::Html,
        FileType::Lnk,
        FileType::XmlWord,
        FileType::XmlXl,
        FileType::Xdp,
    ],
    stage: Stage::AfterMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "a text with a word that decoding or assembling needs, or with an encoded magic",
        yields: "encoded files and scripts; a copy with constant expressions replaced by their values \
                 (not under ClamAV's names)",
        leaves_out: "loops, functions of the script itself, computed keys",
        limits: "max_script_normalise_bytes; 64 files; 128 MiB of values, four steps a byte",
        sources: "references of the languages",
    },
};

const BLOBS_MAX: usize = 64;

fn enabled(options: &ScanOptions) -> bool {
    options.normalise && !options.clamav_quirks
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    const LNK: &[u8] = &[0x4c, 0, 0, 0, 0x01, 0x14, 0x02, 0];
    if object.starts_with(LNK) {
        return Ok(shortcut(object, sink)?);
    }
    let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
    if len > sink.limits().max_script_normalise_bytes {
        // `text` and `html` have said so.
        return Ok(());
    }
    let Some(signs) = Signs::of(object, sink)? else { return Ok(()) };
    for blob in blob::find(object, &signs) {
        give(&blob, sink)?;
    }
    sink.poll()?;
    if signs.batch
        && let Some(text) = batch::plain(object)
    {
        sink.child(Child { name: b"batch", data: &text, role: TEXT })?;
    }
    if !signs.folds {
        return Ok(());
    }
    let folded = fold::fold(object, sink)?;
    for blob in &folded.blobs {
        give(blob, sink)?;
    }
    if folded.more {
        sink.unscanned(b"folded", Reason::FormatLimit("values of a script".into()));
    }
    if let Some(text) = folded.text {
        sink.child(Child { name: b"folded", data: &text, role: TEXT })?;
    }
    Ok(())
}

const TEXT: ChildRole = ChildRole::Typed(FileType::TextAscii);

fn give(blob: &Blob, sink: &mut dyn Sink) -> Result<(), Stop> {
    let cap = usize::try_from(sink.child_cap()).unwrap_or(usize::MAX);
    let data = blob.data.get(..blob.data.len().min(cap)).unwrap_or_default();
    if data.len() < blob.data.len() {
        let reason = sink.cap_reason();
        sink.unscanned(blob.name.as_bytes(), reason);
    }
    sink.child(Child { name: blob.name.as_bytes(), data, role: ChildRole::Member })
}

/// Hands the strings of a shortcut over: its command line is UTF-16.
fn shortcut(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    const RUN_MIN: usize = 4;
    let mut text = Vec::new();
    for skip in [0usize, 1] {
        let mut run = Vec::new();
        let pairs = object.get(skip..).unwrap_or_default().as_chunks::<2>().0;
        for [low, high] in pairs.iter().chain(&[[0, 0]]) {
            if *high == 0 && matches!(low, b' '..=b'~' | b'\t') {
                run.push(*low);
                continue;
            }
            if run.len() >= RUN_MIN {
                text.append(&mut run);
                text.push(b'\n');
            }
            run.clear();
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    sink.child(Child { name: b"strings", data: &text, role: TEXT })
}

/// What the words of a text say about it.
#[derive(Debug, Default)]
struct Signs {
    /// Where encoded magics stand, and words with encoded data behind them.
    marks: Vec<(usize, Mark)>,
    folds: bool,
    /// How many words of each kind there are.
    strong: usize,
    runs: usize,
    decodes: usize,
    escapes: usize,
    carets: usize,
    batch: bool,
    powershell: bool,
    shell: bool,
}

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Base64 of a magic.
    Base64,
    /// Base64 of a magic, last character first.
    Reversed,
    /// Hexadecimal digits of a magic.
    Hex,
    /// Decimal numbers of a magic.
    Decimal,
    /// `;base64,`.
    DataUrl,
    /// An encoded script.
    Encoded,
    /// A word that expressions are folded for.
    Fold,
    /// A word that runs text, which ordinary programs use too.
    Runs,
    /// A word that makes text, which ordinary programs use too.
    Decodes,
    /// An escaped character.
    Escape,
    /// A substring of a variable, or a caret that changes nothing.
    Caret,
    Batch,
    PowerShell,
    /// A command of a shell that decodes.
    Shell,
}

const MARKS_MAX: usize = 4096;

/// Words, and whether their case counts.
const WORDS: &[(&str, Mark, bool)] = &[
    ("TVqQ", Mark::Base64, true),
    ("TVpQ", Mark::Base64, true),
    ("TVoA", Mark::Base64, true),
    ("TVpB", Mark::Base64, true),
    ("TVro", Mark::Base64, true),
    ("TVpy", Mark::Base64, true),
    ("UEsDB", Mark::Base64, true),
    ("f0VMR", Mark::Base64, true),
    ("0M8R4KGx", Mark::Base64, true),
    ("JVBERi0", Mark::Base64, true),
    ("UmFyIR", Mark::Base64, true),
    ("N3q8ryc", Mark::Base64, true),
    ("H4sIA", Mark::Base64, true),
    ("TVNDRg", Mark::Base64, true),
    ("e1xydG", Mark::Base64, true),
    ("yv66vg", Mark::Base64, true),
    ("z/rt/g", Mark::Base64, true),
    ("SQBFAFgA", Mark::Base64, true),
    ("aQBlAHgA", Mark::Base64, true),
    ("TgBlAHcALQBPAGIA", Mark::Base64, true),
    ("bgBlAHcALQBvAGIA", Mark::Base64, true),
    ("cABvAHcAZQByAHMA", Mark::Base64, true),
    ("UABvAHcAZQByAFMA", Mark::Base64, true),
    ("QqVT", Mark::Reversed, true),
    ("QpVT", Mark::Reversed, true),
    ("RMV0f", Mark::Reversed, true),
    ("BDsEU", Mark::Reversed, true),
    ("4d5a90", Mark::Hex, false),
    ("4d5a50", Mark::Hex, false),
    ("4d 5a ", Mark::Hex, false),
    ("4d,5a,", Mark::Hex, false),
    ("4d:5a:", Mark::Hex, false),
    ("4d-5a-", Mark::Hex, false),
    ("0x4d,0x5a", Mark::Hex, false),
    ("0x4d, 0x5a", Mark::Hex, false),
    ("&h4d,&h5a", Mark::Hex, false),
    ("&h4d, &h5a", Mark::Hex, false),
    ("\\x4d\\x5a", Mark::Hex, false),
    ("\\u004d\\u005a", Mark::Hex, false),
    ("\\x7f\\x45\\x4c\\x46", Mark::Hex, false),
    ("%4d%5a", Mark::Hex, false),
    ("504b0304", Mark::Hex, false),
    ("7f454c46", Mark::Hex, false),
    ("d0cf11e0a1b1", Mark::Hex, false),
    ("77,90,144", Mark::Decimal, false),
    ("77, 90, 144", Mark::Decimal, false),
    ("77,90,80", Mark::Decimal, false),
    ("77, 90, 80", Mark::Decimal, false),
    ("80,75,3,4", Mark::Decimal, false),
    ("80, 75, 3, 4", Mark::Decimal, false),
    ("127,69,76,70", Mark::Decimal, false),
    (";base64,", Mark::DataUrl, false),
    ("#@~^", Mark::Encoded, false),
    ("base64", Mark::Decodes, false),
    ("base64_decode", Mark::Fold, false),
    ("frombase64", Mark::Fold, false),
    ("b64decode", Mark::Fold, false),
    ("atob(", Mark::Fold, false),
    ("fromcharcode", Mark::Fold, false),
    ("chr(", Mark::Decodes, false),
    ("chrw(", Mark::Fold, false),
    ("chr$(", Mark::Fold, false),
    ("[char]", Mark::Fold, false),
    ("[char[]]", Mark::Fold, false),
    ("strreverse", Mark::Fold, false),
    ("strrev(", Mark::Decodes, false),
    (".reverse()", Mark::Decodes, false),
    ("[::-1]", Mark::Decodes, false),
    ("[-1..", Mark::Decodes, false),
    ("unescape(", Mark::Decodes, false),
    ("decodeuri", Mark::Decodes, false),
    ("gzinflate", Mark::Fold, false),
    ("gzuncompress", Mark::Fold, false),
    ("gzdecode", Mark::Fold, false),
    ("hex2bin", Mark::Fold, false),
    ("rot13", Mark::Decodes, false),
    ("unhexlify", Mark::Fold, false),
    ("fromhex", Mark::Decodes, false),
    ("codecs.decode", Mark::Fold, false),
    ("uint8array", Mark::Decodes, false),
    ("mssaveor", Mark::Fold, false),
    ("deflatestream", Mark::Fold, false),
    ("gzipstream", Mark::Fold, false),
    ("zlib.decompress", Mark::Decodes, false),
    ("invoke-expression", Mark::Fold, false),
    ("iex", Mark::Runs, false),
    ("createobject", Mark::Fold, false),
    ("activexobject", Mark::Fold, false),
    ("wscript", Mark::Fold, false),
    ("eval(", Mark::Runs, false),
    ("assert(", Mark::Runs, false),
    ("executeglobal", Mark::Fold, false),
    ("shell(", Mark::Runs, false),
    ("\\x", Mark::Escape, false),
    ("' -f", Mark::Decodes, false),
    ("\" -f", Mark::Decodes, false),
    ("'-f", Mark::Decodes, false),
    ("\"-f", Mark::Decodes, false),
    ("-join", Mark::Runs, false),
    ("i`e", Mark::Decodes, false),
    ("n`e", Mark::Decodes, false),
    ("ne`w", Mark::Decodes, false),
    ("o`b", Mark::Decodes, false),
    ("d`o", Mark::Decodes, false),
    (":~", Mark::Caret, false),
    ("^e", Mark::Caret, false),
    ("^s", Mark::Caret, false),
    ("@echo off", Mark::Batch, false),
    ("powershell", Mark::PowerShell, false),
    ("pwsh", Mark::PowerShell, false),
    ("base64 -d", Mark::Shell, false),
    ("base64 --decode", Mark::Shell, false),
    ("openssl base64", Mark::Shell, false),
    ("openssl enc", Mark::Shell, false),
    ("certutil", Mark::Shell, false),
    ("-----begin certificate", Mark::Shell, false),
    ("xxd -r", Mark::Shell, false),
    ("xxd -p", Mark::Shell, false),
];

fn searcher() -> &'static Words {
    static SEARCHER: OnceLock<Words> = OnceLock::new();
    SEARCHER.get_or_init(|| Words::new(WORDS.iter().map(|(word, _, exact)| (*word, *exact))))
}

impl Signs {
    /// Looks for all words; none when nothing was found.
    ///
    /// # Errors
    /// The scan ends here.
    fn of(text: &[u8], sink: &mut dyn Sink) -> Result<Option<Self>, Stop> {
        let mut signs = Self::default();
        let mut any = false;
        searcher().find(
            text,
            || sink.poll(),
            |at, word| {
                let Some((_, mark, _)) = WORDS.get(word) else { return };
                any = true;
                signs.note(at, *mark);
            },
        )?;
        signs.weigh(text);
        Ok(any.then_some(signs))
    }

    /// Decides whether a text is worth folding. Folding every script and manual of a machine for one word took
    /// two fifths of the time of a scan; so words have to be close to each other, or there is a line so long that
    /// data stands in it.
    fn weigh(&mut self, text: &[u8]) {
        const SHORT: usize = 4096;
        const SCRIPT: usize = 128 << 10;
        let len = text.len();
        let near = |words: usize, each: usize| words.saturating_mul(each) >= len;
        let words = self.runs.saturating_add(self.decodes);
        let strong = self.strong > 0 && (len <= SCRIPT || near(self.strong, SCRIPT / 4));
        let both = self.runs > 0 && self.decodes > 0 && near(words, 8192);
        let data = self.strong.saturating_add(self.decodes) > 0 && len > SCRIPT / 4;
        let short = len <= SHORT && words.saturating_add(self.escapes) > 0;
        self.folds = strong
            || both
            || short
            || near(words, 512)
            || near(self.escapes, 64)
            || data && has_long_line(text);
        self.batch |= self.carets > 0 && near(self.carets, 1024);
    }

    fn note(&mut self, at: usize, mark: Mark) {
        match mark {
            Mark::Fold => self.strong = self.strong.saturating_add(1),
            Mark::Caret => self.carets = self.carets.saturating_add(1),
            Mark::Runs => self.runs = self.runs.saturating_add(1),
            Mark::Decodes => self.decodes = self.decodes.saturating_add(1),
            Mark::Escape => self.escapes = self.escapes.saturating_add(1),
            Mark::Batch => self.batch = true,
            Mark::PowerShell => {
                self.powershell = true;
                self.strong = self.strong.saturating_add(1);
            }
            Mark::Shell => self.shell = true,
            _ if self.marks.len() < MARKS_MAX => self.marks.push((at, mark)),
            _ => {}
        }
    }
}

/// True when a line has more bytes than a person writes.
fn has_long_line(text: &[u8]) -> bool {
    const LINE: usize = 16 << 10;
    let mut start = 0usize;
    memchr::memchr_iter(b'\n', text).chain([text.len()]).any(|end| {
        let len = end.saturating_sub(start);
        start = end;
        len > LINE
    })
}

#[cfg(test)]
mod tests;
