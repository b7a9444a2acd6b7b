//! Queries of Office in files (`.iqy`, `.dqy`, `.oqy`, `.rqy`): text that makes Excel fetch a page or ask a database.
//!
//! Yields: one text with a line for the address with its escapes resolved, and for what is sent, the connection and
//! the command (not under ClamAV's names). Facts: kind, address, connection, command.
//! Leaves out: what is fetched; how the answer is laid out.
//! Limits: the first [`LINES_MAX`] lines, each up to [`LINE_LEN_MAX`]; a longer one is told.
//! Hostile input: white space around words, and empty lines in front, are passed over.
//! Sources: [1] Microsoft, "Excel Web query (.iqy) files" and "Get external data: query files (.dqy, .oqy)".

use hf_core::{Child, ChildRole, FileType, Halt, Reason, Sink};

use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "office_query",
    types: &[FileType::TextAscii, FileType::TextUtf8],
    stage: Stage::AfterMatch,
    enabled: |options| options.normalise && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "the lines `WEB` or `XLODBC` and a version, or `QueryType=`, at the start of a text",
        yields: "address, what is sent, connection and command as text (not under ClamAV's names)",
        leaves_out: "what is fetched",
        limits: "256 lines of 64 KiB",
        sources: "Microsoft, descriptions of .iqy, .dqy and .oqy files",
    },
};

/// Ours: lines that are looked at, and characters of a fact.
const LINES_MAX: usize = 256;
const LINE_LEN_MAX: usize = 64 * 1024;
const FACT_LEN_MAX: usize = 1024;
/// No query starts with a longer word.
const HEAD_LEN: usize = 64;

/// What a file asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Web,
    Odbc,
    Ole,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let text = object.strip_prefix(b"\xef\xbb\xbf").unwrap_or(object).trim_ascii_start();
    let Some(kind) = kind(text) else { return Ok(()) };
    let lines = text.split(|byte| matches!(byte, b'\r' | b'\n')).map(<[u8]>::trim_ascii);
    let mut is_cut = false;
    let lines: Vec<String> = lines
        .filter(|line| !line.is_empty())
        .take(LINES_MAX)
        .map(|line| {
            is_cut |= line.len() > LINE_LEN_MAX;
            let line = line.get(..line.len().min(LINE_LEN_MAX)).unwrap_or_default();
            String::from_utf8_lossy(line).into_owned()
        })
        .collect();
    if is_cut {
        sink.unscanned(b"query", Reason::FormatLimit("length of a line".into()));
    }
    let mut out = String::new();
    match kind {
        Kind::Web => web(&lines, &mut out, sink),
        Kind::Odbc => odbc(&lines, &mut out, sink),
        Kind::Ole => ole(&lines, &mut out, sink),
    }
    if !out.is_empty() {
        let role = ChildRole::Typed(FileType::TextAscii);
        sink.child(Child { name: b"query", data: out.as_bytes(), role })?;
    }
    Ok(())
}

fn kind(text: &[u8]) -> Option<Kind> {
    let head = text.get(..text.len().min(HEAD_LEN)).unwrap_or_default();
    let mut words = head.split(|byte| matches!(byte, b'\r' | b'\n')).map(<[u8]>::trim_ascii);
    let first = words.next()?;
    if first.get(..10).is_some_and(|word| word.eq_ignore_ascii_case(b"QueryType=")) {
        return Some(Kind::Ole);
    }
    let second = words.find(|word| !word.is_empty())?;
    let versioned = second.len() <= 4 && second.iter().all(u8::is_ascii_digit);
    match first {
        word if versioned && word.eq_ignore_ascii_case(b"WEB") => Some(Kind::Web),
        word if versioned && word.eq_ignore_ascii_case(b"XLODBC") => Some(Kind::Odbc),
        _ => None,
    }
}

fn tell(key: &str, value: &str, sink: &mut dyn Sink) {
    let value: String = value.chars().take(FACT_LEN_MAX).collect();
    sink.fact(key, &value);
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

/// The address, what is sent, and settings of the form `Name=value`.
fn web(lines: &[String], out: &mut String, sink: &mut dyn Sink) {
    tell("query.kind", "web", sink);
    let mut lines = lines.iter().skip(2);
    let Some(address) = lines.next() else { return };
    let address = unescape(address);
    tell("query.url", &address, sink);
    push(out, &address);
    // What is sent with POST.
    if let Some(sent) = lines.next().filter(|line| !is_setting(line)) {
        push(out, &unescape(sent));
    }
}

fn is_setting(line: &str) -> bool {
    const SETTINGS: [&str; 7] = [
        "Selection",
        "EditWebPage",
        "Formatting",
        "PreFormattedTextToColumns",
        "ConsecutiveDelimitersAsOne",
        "SingleBlockTextImport",
        "DisableDateRecognition",
    ];
    let name = line.split('=').next().unwrap_or_default().trim();
    SETTINGS.iter().any(|setting| setting.eq_ignore_ascii_case(name))
}

/// The connection and the command, a line each.
fn odbc(lines: &[String], out: &mut String, sink: &mut dyn Sink) {
    tell("query.kind", "odbc", sink);
    for (key, line) in ["query.connection", "query.command"].iter().zip(lines.iter().skip(2)) {
        tell(key, line, sink);
        push(out, line);
    }
    lines.iter().skip(4).for_each(|line| push(out, line));
}

/// Lines of the form `Name=value`; a command may go on behind its line.
fn ole(lines: &[String], out: &mut String, sink: &mut dyn Sink) {
    tell("query.kind", "oledb", sink);
    for line in lines {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "connection" => tell("query.connection", value, sink),
            "commandtext" => tell("query.command", value, sink),
            _ => {}
        }
        push(out, line);
    }
}

/// Resolves `%xx`.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, more)) = rest.split_first() {
        let digit = |at: usize| more.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let value =
            digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        match value.filter(|value| *byte == b'%' && *value >= b' ') {
            Some(value) => {
                out.push(value);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
