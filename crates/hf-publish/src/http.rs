//! A small HTTP/1.1 server: files of a folder, and small requests to a function.
//!
//! For laptops, tests and a single witness; a channel is static files, and any web server does better.
//! Promises: a path never leaves its folder and never follows a link; every size and time is bounded:
//! 64 connections, 16 KiB of header, 1 MiB of body, ten seconds of silence.
//! Leaves out: TLS (put a proxy in front), compression, listings of folders.
//! Sources: RFC 9110 (ranges §14, conditional requests §13), RFC 9112.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

const CONNECTIONS_MAX: usize = 64;
const HEADER_LEN_MAX: usize = 16 << 10;
const BODY_LEN_MAX: u64 = 1 << 20;
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Ours: requests on one connection.
const REQUESTS_MAX: usize = 10_000;

/// A request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path, without what is behind `?`.
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) body: Vec<u8>,
    /// Bytes of body that were announced.
    length: u64,
    close: bool,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

/// What an answer carries.
#[derive(Debug)]
pub(crate) enum Body {
    /// Bytes.
    Bytes(Vec<u8>),
    /// So many bytes of a file, from where it stands.
    File(File, u64),
}

impl Answer {
    /// Makes an answer of a text.
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        let body = Body::Bytes(text.into().into_bytes());
        Self { status, content_type: "text/plain; charset=utf-8", headers: Vec::new(), body }
    }
}

/// Serves until the process ends. One line is printed when it listens.
///
/// # Errors
/// The address cannot be listened at.
pub(crate) fn serve(
    listener: &TcpListener,
    handle: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> Result<()> {
    let (handle, open) = (Arc::new(handle), Arc::new(AtomicUsize::new(0)));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // Out of descriptors, or the peer is gone already: neither ends the service.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
        };
        if open.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (handle, open) = (Arc::clone(&handle), Arc::clone(&open));
        let spawned = std::thread::Builder::new().spawn(move || {
            let _ = connection(stream, &*handle);
            open.fetch_sub(1, Ordering::AcqRel);
        });
        spawned.context("cannot start a thread")?;
    }
}

fn connection(stream: TcpStream, handle: &dyn Fn(&Request) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    for _ in 0..REQUESTS_MAX {
        let (request, answer) = match read_request(&mut reader)? {
            None => return Ok(()),
            Some(Ok(request)) => {
                let answer = handle(&request);
                (request, answer)
            }
            Some(Err(status)) => {
                let request = Request { close: true, ..Request::default() };
                (request, Answer::text(status, "the request is refused\n"))
            }
        };
        write_answer(&mut out, &request, answer)?;
        if request.close {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads a request; none at the end, a status when it is refused.
fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Result<Request, u16>>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if reader.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
        if head.len() > HEADER_LEN_MAX {
            return Ok(Some(Err(431)));
        }
    }
    let mut request = match parse_head(&head) {
        Ok(request) => request,
        Err(status) => return Ok(Some(Err(status))),
    };
    if request.length > BODY_LEN_MAX {
        return Ok(Some(Err(413)));
    }
    let mut body = Vec::new();
    reader.by_ref().take(request.length).read_to_end(&mut body)?;
    if body.len() as u64 != request.length {
        return Ok(None);
    }
    request.body = body;
    Ok(Some(Ok(request)))
}

fn parse_head(head: &[u8]) -> Result<Request, u16> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err(400),
    }
    let target = parsed.path.unwrap_or_default();
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: target.split('?').next().unwrap_or_default().to_owned(),
        close: parsed.version == Some(0),
        ..Request::default()
    };
    for header in parsed.headers.iter() {
        let value = std::str::from_utf8(header.value).map_err(|_| 400u16)?.trim().to_owned();
        match header.name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value),
            "if-range" => request.if_range = Some(value),
            "if-none-match" => request.if_none_match = Some(value),
            "connection" => request.close |= value.eq_ignore_ascii_case("close"),
            "content-length" => request.length = value.parse().map_err(|_| 400u16)?,
            "transfer-encoding" => return Err(501),
            _ => {}
        }
    }
    Ok(request)
}

fn write_answer(out: &mut TcpStream, request: &Request, answer: Answer) -> io::Result<()> {
    let len = match &answer.body {
        Body::Bytes(bytes) => bytes.len() as u64,
        Body::File(_, len) => *len,
    };
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nX-Content-Type-Options: nosniff\r\n",
        answer.status,
        reason(answer.status),
        answer.content_type
    );
    if answer.status != 304 {
        head.push_str(&format!("Content-Length: {len}\r\n"));
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(if request.close { "Connection: close\r\n\r\n" } else { "\r\n" });
    out.write_all(head.as_bytes())?;
    if request.method == "HEAD" || answer.status == 304 {
        return Ok(());
    }
    match answer.body {
        Body::Bytes(bytes) => out.write_all(&bytes),
        Body::File(file, len) => {
            let sent = io::copy(&mut file.take(len), out)?;
            // A file that became shorter: only an end of the connection says so.
            if sent == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        _ => "Internal Server Error",
    }
}

/// Answers with a file below a folder.
pub(crate) fn file_of(folder: &Path, request: &Request) -> Answer {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Answer::text(405, "only GET and HEAD\n");
    }
    let missing = || Answer::text(404, "not found\n");
    let path = request.path.trim_start_matches('/');
    if !hf_channel::layout::is_plain_path(path) {
        return missing();
    }
    let Ok(top) = File::open(folder) else { return missing() };
    let Ok(mut file) = hf_sys::open_beneath(&top, &PathBuf::from(path)) else { return missing() };
    let Ok(meta) = file.metadata() else { return missing() };
    if !meta.is_file() {
        return missing();
    }
    let len = meta.len();
    let changed = meta.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let etag = format!("\"{:x}-{:x}\"", len, changed.unwrap_or_default().as_nanos());
    let mut headers = vec![("ETag", etag.clone()), ("Accept-Ranges", "bytes".to_owned())];
    let content_type = match path.rsplit('.').next() {
        Some("json") => "application/json",
        Some("note" | "tlog-proof") => "text/plain; charset=utf-8",
        _ if path.ends_with("checkpoint") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    if request.if_none_match.as_deref().is_some_and(|given| given.contains(&etag)) {
        let body = Body::Bytes(Vec::new());
        return Answer { status: 304, content_type, headers, body };
    }
    let whole = request.if_range.as_ref().is_some_and(|given| *given != etag);
    let range = request.range.as_deref().filter(|_| !whole).and_then(|text| range_of(text, len));
    match range {
        None => Answer { status: 200, content_type, headers, body: Body::File(file, len) },
        Some(None) => {
            headers.push(("Content-Range", format!("bytes */{len}")));
            Answer { headers, ..Answer::text(416, "no such range\n") }
        }
        Some(Some((first, last))) => {
            if file.seek(SeekFrom::Start(first)).is_err() {
                return missing();
            }
            headers.push(("Content-Range", format!("bytes {first}-{last}/{len}")));
            let body = Body::File(file, last - first + 1);
            Answer { status: 206, content_type, headers, body }
        }
    }
}

/// Reads one range: none when it is not understood (the whole is sent then), `Some(None)` when it
/// cannot be satisfied, else first and last byte.
fn range_of(text: &str, len: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let last_byte = len.checked_sub(1);
    if first.is_empty() {
        let count: u64 = last.parse().ok()?;
        let found = last_byte.filter(|_| count > 0).map(|end| (len.saturating_sub(count), end));
        return Some(found);
    }
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    if last < first {
        return None;
    }
    Some(last_byte.filter(|end| first <= *end).map(|end| (first, last.min(end))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range_of("bytes=0-9", 100), Some(Some((0, 9))));
        assert_eq!(range_of("bytes=90-", 100), Some(Some((90, 99))));
        assert_eq!(range_of("bytes=90-1000", 100), Some(Some((90, 99))));
        assert_eq!(range_of("bytes=-10", 100), Some(Some((90, 99))));
        assert_eq!(range_of("bytes=100-", 100), Some(None));
        assert_eq!(range_of("bytes=0-", 0), Some(None));
        assert_eq!(range_of("bytes=9-0", 100), None);
        assert_eq!(range_of("bytes=0-1,3-4", 100), None);
    }

    #[test]
    fn files_of_a_folder_and_no_others() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("top/a")).unwrap();
        std::fs::write(temp.path().join("top/a/file"), b"0123456789").unwrap();
        std::fs::write(temp.path().join("secret"), b"secret").unwrap();
        std::os::unix::fs::symlink("../../secret", temp.path().join("top/a/link")).unwrap();
        let ask = |path: &str, range: Option<&str>| {
            let request = Request {
                method: "GET".to_owned(),
                path: path.to_owned(),
                range: range.map(str::to_owned),
                ..Request::default()
            };
            let answer = file_of(&temp.path().join("top"), &request);
            let mut body = Vec::new();
            if let Body::File(file, len) = answer.body {
                file.take(len).read_to_end(&mut body).unwrap();
            }
            (answer.status, body)
        };
        assert_eq!(ask("/a/file", None), (200, b"0123456789".to_vec()));
        assert_eq!(ask("/a/file", Some("bytes=3-4")), (206, b"34".to_vec()));
        for path in ["/a/link", "/../secret", "/a", "/", "//etc/passwd", "/a/../a/file", "/.lock"] {
            assert_eq!(ask(path, None).0, 404, "{path}");
        }
    }

    #[test]
    fn heads() {
        let good = parse_head(b"GET /a?b HTTP/1.1\r\nRange: bytes=1-\r\n\r\n").unwrap();
        assert_eq!((good.path.as_str(), good.range.as_deref()), ("/a", Some("bytes=1-")));
        assert_eq!(parse_head(b"nonsense\r\n\r\n").unwrap_err(), 400);
        let chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse_head(chunked).unwrap_err(), 501);
    }
}
