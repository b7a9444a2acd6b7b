//! An ICAP request: its line, the fields that matter, and what it encapsulates.
//!
//! Promises: pure; a request that is not understood says with which status it is to be refused.
//! Sources: RFC 3507 §4.2 to §4.6.

use super::block::{BadBlock, Block};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// What the service can do.
    Options,
    /// May this request go out?
    Reqmod,
    /// May this response come in?
    Respmod,
}

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// The path without its leading slash and arguments.
    pub service: String,
    /// `204` may be answered outside a preview too.
    pub allow_204: bool,
    /// Bytes of the preview, when there is one.
    pub preview_bytes: Option<u64>,
    /// The connection ends after the answer.
    pub close: bool,
    /// Who asked the proxy, as the proxy says.
    pub client_ip: Option<String>,
    /// What is encapsulated.
    pub parts: Parts,
}

/// What is encapsulated, in this order: HTTP request head, HTTP response head, body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// Bytes of the HTTP request's head; 0 for none.
    pub req_head_bytes: usize,
    /// Bytes of the HTTP response's head; 0 for none.
    pub res_head_bytes: usize,
    /// A body follows, in chunks.
    pub body: bool,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// 400.
    #[error("{0}")]
    Malformed(&'static str),
    /// 400.
    #[error(transparent)]
    Block(#[from] BadBlock),
    /// 501.
    #[error("a method that is not known")]
    Method,
    /// 505.
    #[error("a version that is not ICAP/1.0")]
    Version,
}

impl BadRequest {
    /// Returns the status that says so.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Block(_) => 400,
            Self::Method => 501,
            Self::Version => 505,
        }
    }
}

impl Request {
    /// Parses the head of a request, without what it encapsulates.
    ///
    /// # Errors
    /// See [`BadRequest`].
    pub fn parse(head: &[u8]) -> Result<Self, BadRequest> {
        let block = Block::parse(head)?;
        let mut words = block.start.split_ascii_whitespace();
        let (Some(method), Some(uri), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(BadRequest::Malformed("a request line without three words"));
        };
        if version != "ICAP/1.0" {
            let icap = version.starts_with("ICAP/");
            return Err(if icap { BadRequest::Version } else { BadRequest::Malformed("not ICAP") });
        }
        let method = match method {
            "OPTIONS" => Method::Options,
            "REQMOD" => Method::Reqmod,
            "RESPMOD" => Method::Respmod,
            _ => return Err(BadRequest::Method),
        };
        let (service, arguments) = service(uri);
        let preview_bytes = match block.field("Preview") {
            Some(text) => Some(number(text).ok_or(BadRequest::Malformed("a malformed Preview"))?),
            None => None,
        };
        let parts = match block.field("Encapsulated") {
            Some(text) => parts(method, text)?,
            None if method == Method::Options => Parts::default(),
            None => return Err(BadRequest::Malformed("no Encapsulated header field")),
        };
        Ok(Self {
            method,
            service: service.to_owned(),
            allow_204: block.lists("Allow", "204") || arguments.contains("allow204=on"),
            preview_bytes: preview_bytes.filter(|_| parts.body),
            close: block.lists("Connection", "close"),
            client_ip: block.field("X-Client-IP").map(ToOwned::to_owned),
            parts,
        })
    }
}

/// Returns the path and the arguments of `icap://host/path?arguments`.
fn service(uri: &str) -> (&str, &str) {
    let path = match uri.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => uri,
    };
    let (path, arguments) = path.split_once('?').unwrap_or((path, ""));
    (path.trim_matches('/'), arguments)
}

/// Reads the list of parts with their offsets.
fn parts(method: Method, text: &str) -> Result<Parts, BadRequest> {
    let bad = |why| BadRequest::Malformed(why);
    let (mut parts, mut stage, mut before) = (Parts::default(), 0_u8, None::<(u8, usize)>);
    for part in text.split(',') {
        let (name, off) = part.trim().split_once('=').ok_or(bad("a malformed Encapsulated"))?;
        let off = number(off.trim()).and_then(|off| usize::try_from(off).ok());
        let off = off.ok_or(bad("a malformed offset in Encapsulated"))?;
        if off > HEADS_MAX {
            return Err(bad("encapsulated headers that are too long"));
        }
        let next = match (name.trim().to_ascii_lowercase().as_str(), method) {
            ("req-hdr", Method::Reqmod | Method::Respmod) => REQ_HEAD,
            ("res-hdr", Method::Respmod) => RES_HEAD,
            ("req-body", Method::Reqmod)
            | ("res-body", Method::Respmod)
            | ("opt-body", Method::Options) => BODY,
            ("null-body", _) => NO_BODY,
            _ => return Err(bad("a part in Encapsulated that does not belong to the method")),
        };
        if next <= stage {
            return Err(bad("parts in Encapsulated out of order"));
        }
        let len = off.checked_sub(before.map_or(0, |(_, off)| off));
        let len = len.filter(|len| before.is_some() || *len == 0);
        let len = len.ok_or(bad("offsets in Encapsulated out of order"))?;
        match before {
            Some((REQ_HEAD, _)) => parts.req_head_bytes = len,
            Some((RES_HEAD, _)) => parts.res_head_bytes = len,
            _ => {}
        }
        before = Some((next, off));
        // Nothing follows a body.
        stage = if next >= BODY { NO_BODY } else { next };
        parts.body = next == BODY;
    }
    if stage < BODY {
        return Err(bad("an Encapsulated without a body or null-body"));
    }
    Ok(parts)
}

const REQ_HEAD: u8 = 1;
const RES_HEAD: u8 = 2;
const BODY: u8 = 3;
const NO_BODY: u8 = 4;

/// Reads decimal digits only: no sign, at most 18 of them.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Ours: bytes of all encapsulated HTTP heads together.
pub const HEADS_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn respmod(fields: &str) -> Result<Request, BadRequest> {
        Request::parse(
            format!("RESPMOD icap://h:1344/avscan?a=b ICAP/1.0\r\n{fields}\r\n").as_bytes(),
        )
    }

    #[test]
    fn a_request_is_understood() {
        let text = "Host: h\r\nAllow: 204, 206\r\nPreview: 30\r\nConnection: close\r\n\
            X-Client-IP: 10.0.0.1\r\nEncapsulated: req-hdr=0, res-hdr=10, res-body=30\r\n";
        let request = respmod(text).expect("a request");
        let parts = Parts { req_head_bytes: 10, res_head_bytes: 20, body: true };
        let want = Request {
            method: Method::Respmod,
            service: "avscan".to_owned(),
            allow_204: true,
            preview_bytes: Some(30),
            close: true,
            client_ip: Some("10.0.0.1".to_owned()),
            parts,
        };
        assert_eq!(request, want);
    }

    #[track_caller]
    fn encapsulates(text: &str, want: Option<(usize, usize, bool)>) {
        let got = respmod(&format!("Encapsulated: {text}\r\n")).ok().map(|request| request.parts);
        let got = got.map(|parts| (parts.req_head_bytes, parts.res_head_bytes, parts.body));
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn what_is_encapsulated() {
        encapsulates("null-body=0", Some((0, 0, false)));
        encapsulates("res-body=0", Some((0, 0, true)));
        encapsulates("req-hdr=0, null-body=7", Some((7, 0, false)));
        encapsulates("REQ-HDR=0,res-hdr=7,  null-body=7", Some((7, 0, false)));
        encapsulates("res-hdr=0, res-body=262144", Some((0, 262_144, true)));
    }

    #[test]
    fn nonsense_is_refused() {
        let bad = [
            "",
            "x",
            "res-hdr=0",
            "res-hdr=1, res-body=9",
            "res-hdr=0, req-hdr=5, res-body=9",
            "res-hdr=0, res-body=-1",
            "res-hdr=0, res-body=+1",
            "req-hdr=0, req-body=5",
            "req-hdr=0, res-hdr=9, res-body=5",
            "res-body=0, null-body=0",
            "res-hdr=0, res-body=262145",
            "res-hdr=0, res-hdr=3, res-body=5",
            "res-hdr=0, res-body=99999999999999999999",
        ];
        for text in bad {
            encapsulates(text, None);
        }
        let status = |text: &str| Request::parse(text.as_bytes()).map_err(|error| error.status());
        assert_eq!(status("GET icap://h/ ICAP/1.0\r\n"), Err(501));
        assert_eq!(status("OPTIONS icap://h/ ICAP/2.0\r\n"), Err(505));
        assert_eq!(status("OPTIONS icap://h/ HTTP/1.1\r\n"), Err(400));
        assert_eq!(status("OPTIONS ICAP/1.0\r\n"), Err(400));
        assert!(respmod("Encapsulated: res-body=0\r\nPreview: 1e3\r\n").is_err());
        assert!(respmod("").is_err());
    }

    #[test]
    fn services() {
        for uri in
            ["icap://h/avscan", "/avscan", "avscan", "icap://h:1/avscan/?x", "icaps://h//avscan"]
        {
            assert_eq!(service(uri).0, "avscan", "{uri}");
        }
        assert_eq!(service("icap://h").0, "");
        assert_eq!(service("icap://h/?allow204=on"), ("", "allow204=on"));
    }
}
