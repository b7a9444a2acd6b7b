//! Headers of requests and answers.
//!
//! Limits: an answer's header has at most [`HEAD_MAX`] bytes and [`FIELDS_MAX`] fields; ten answers of kind 1xx are read over.

use std::fmt::Write as _;
use std::io::{self, Read};

use super::{FetchErrorKind, FetchOptions, Request, Url};

/// Longest header in bytes; ours.
const HEAD_MAX: usize = 64 << 10;
/// Most fields; ours.
const FIELDS_MAX: usize = 256;

/// Fields of an answer's header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(String, String)>,
}

impl Headers {
    /// Returns the first field of this name, in whatever case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    /// Returns all fields of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str())
    }
}

/// Writes a request; `proxied` when it goes to a proxy, with what shows who we are.
pub(super) fn request(
    url: &Url,
    request: &Request<'_>,
    options: &FetchOptions,
    proxied: Option<Option<&str>>,
) -> String {
    let target = match proxied {
        Some(_) => url.to_string(),
        None => url.target.clone(),
    };
    let mut text = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n", url.authority());
    let mut field = |name: &str, value: &str| {
        // What would end a field is left out; values of ours hold no such thing.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        let _ = write!(text, "{name}: {value}\r\n");
    };
    field("User-Agent", &options.user_agent);
    field("Accept", "*/*");
    field("Connection", "close");
    if let Some((from, to)) = request.range {
        let to = to.map(|to| to.to_string()).unwrap_or_default();
        field("Range", &format!("bytes={from}-{to}"));
    }
    let conditions = [
        ("If-Range", request.if_range),
        ("If-None-Match", request.if_none_match),
        ("If-Modified-Since", request.if_modified_since),
        ("Proxy-Authorization", proxied.flatten()),
    ];
    for (name, value) in conditions {
        if let Some(value) = value {
            field(name, value);
        }
    }
    text.push_str("\r\n");
    text
}

/// Reads the header of an answer, and returns what was read beyond it.
pub(super) fn read(from: &mut impl Read) -> Result<(u16, Headers, Vec<u8>), FetchErrorKind> {
    let mut bytes = Vec::new();
    for _ in 0..10 {
        let end = loop {
            if let Some(end) = end_of_head(&bytes) {
                break end;
            }
            if bytes.len() > HEAD_MAX {
                return Err(FetchErrorKind::Malformed("the header is too long"));
            }
            let mut block = [0; 4096];
            let len = from.read(&mut block).map_err(FetchErrorKind::of)?;
            if len == 0 {
                return Err(FetchErrorKind::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            bytes.extend_from_slice(block.get(..len).unwrap_or_default());
        };
        let rest = bytes.split_off(end);
        let (status, headers) = parse(&bytes).map_err(FetchErrorKind::Malformed)?;
        if status >= 200 {
            return Ok((status, headers, rest));
        }
        bytes = rest;
    }
    Err(FetchErrorKind::Malformed("it does not come to the point"))
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let ends = [&b"\r\n\r\n"[..], &b"\n\n"[..]];
    ends.iter().filter_map(|end| find(bytes, end).map(|at| at.saturating_add(end.len()))).min()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Reads a header.
fn parse(bytes: &[u8]) -> Result<(u16, Headers), &'static str> {
    let mut lines =
        bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let rest = first.strip_prefix("HTTP/1.").ok_or("it does not start with HTTP/1")?;
    let digits = rest.get(2..5).ok_or("it has no status")?;
    let status: u16 = digits.parse().map_err(|_| "its status is not a number")?;
    if !(100..600).contains(&status) {
        return Err("its status is out of range");
    }
    let mut headers = Headers::default();
    for line in lines.filter(|line| !line.is_empty()) {
        let text = String::from_utf8_lossy(line);
        let (name, value) = text.split_once(':').ok_or("a field has no colon")?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err("a field has a malformed name");
        }
        if headers.fields.len() >= FIELDS_MAX {
            return Err("the header has too many fields");
        }
        headers.fields.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok((status, headers))
}
