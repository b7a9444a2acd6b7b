//! One GET by plain HTTP/1.0, bounded in bytes and time.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What came of a GET.
pub(crate) enum Fetched {
    /// The body.
    Bytes(Vec<u8>),
    /// The server has no such file, or keeps it to itself.
    Missing,
    /// The body is longer than it may be.
    TooLong,
}

const TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: u64 = 65_536;

/// Gets a file of at most `max_bytes`.
pub(crate) fn get(url: &str, max_bytes: u64) -> Result<Fetched, Box<dyn Error>> {
    let rest = url.strip_prefix("http://").ok_or("only http:// is understood")?;
    let (host, path) = rest.split_once('/').ok_or("the address has no path")?;
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let bound = HEAD_BYTES_MAX.saturating_add(max_bytes).saturating_add(1);
    let mut answer = Vec::new();
    stream.take(bound).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or("the server's answer has no end of its head")?;
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).into_owned();
    let body = answer.split_off(end + 4);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    match status {
        "200" => {}
        "403" | "404" => return Ok(Fetched::Missing),
        other => return Err(format!("{url}: the server answers {other:?}").into()),
    }
    if u64::try_from(body.len())? > max_bytes {
        return Ok(Fetched::TooLong);
    }
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_some_and(|length| length > body.len()) {
        return Err(format!("{url}: the answer was cut short").into());
    }
    Ok(Fetched::Bytes(body))
}
