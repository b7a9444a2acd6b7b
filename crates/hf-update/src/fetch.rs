//! Fetches by HTTP and HTTPS, and believes no peer: every size, time and number of steps is bounded.
//!
//! HTTP/1.1 with one connection for each request, which is what mirrors of databases ask of clients.
//! Promises: a body never exceeds the bound that the caller gave; a connection on which less than a minimum arrives is
//! given up; a part of a download is only continued when the server says that it is still the same file.
//! Leaves out: cookies, compression of transfers, HTTP/2, connections that are kept.
//! Sources: RFC 9110, RFC 9112.
//!
//! Ours instead of a library: a proxy must be asked for plain HTTP in absolute form (RFC 9112 §3.2.2), since it commonly
//! refuses tunnels to other ports than 443; and connections must start from an address that the owner chose.

mod body;
mod connect;
mod download;
mod head;
mod tls;
mod url;

use std::io::Read;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use body::Body;
pub use download::{Download, Downloaded};
pub use head::Headers;
pub use url::Url;

use connect::Connection;

/// How things are fetched.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Value of `User-Agent`.
    pub user_agent: String,
    /// A proxy for everything.
    pub proxy: Option<Proxy>,
    /// The address from which connections start.
    pub local_address: Option<IpAddr>,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Until something arrives on a connection that stands, and over which the slowest rate is measured.
    pub receive_timeout: Duration,
    /// Bytes in a second below which a download is given up, measured over the time-out for receiving.
    pub slowest: u64,
    /// Bytes in a second that are taken at most; none for no bound.
    pub bytes_per_second: Option<u64>,
    /// Redirections that are followed.
    pub redirects_max: u32,
    /// A file of certificates (PEM) that may issue those of servers; none for the system's.
    pub roots: Option<PathBuf>,
    /// A certificate and its key (PEM) by which we show who we are.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("Holdfast/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxy: None,
            local_address: None,
            connect_timeout: Duration::from_secs(30),
            receive_timeout: Duration::from_secs(60),
            slowest: 64,
            bytes_per_second: None,
            redirects_max: 3,
            roots: None,
            client: None,
        }
    }
}

/// A proxy that is asked in place of the servers.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who we are, and the password.
    pub login: Option<(String, String)>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Proxy({}:{})", self.host, self.port)
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The address.
    pub url: &'a str,
    /// Only from this byte on, to this byte if one is given (both counted from 0, both included).
    pub range: Option<(u64, Option<u64>)>,
    /// The range is for the file with this `ETag` or `Last-Modified`; of another the whole is wanted.
    pub if_range: Option<&'a str>,
    /// Only if the `ETag` is another.
    pub if_none_match: Option<&'a str>,
    /// Only if it changed since this time, written as in HTTP.
    pub if_modified_since: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Asks for all of it.
    #[must_use]
    pub fn new(url: &'a str) -> Self {
        Self { url, ..Self::default() }
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Reply {
    /// Its status, of three digits.
    pub status: u16,
    /// Its header.
    pub headers: Headers,
    /// Where it came from in the end.
    pub url: String,
    /// Its body.
    pub body: Body,
}

impl Reply {
    /// Reads the body.
    ///
    /// # Errors
    /// It is longer than `max`, ends early, or comes too slowly.
    pub fn bytes(mut self, max: u64) -> Result<Vec<u8>, FetchError> {
        let fail = |kind| FetchError::new(&self.url, kind);
        if self.body.announced().is_some_and(|len| len > max) {
            return Err(fail(FetchErrorKind::TooLarge { max }));
        }
        let mut bytes = Vec::new();
        self.body
            .by_ref()
            .take(max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|err| fail(FetchErrorKind::of(err)))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
            return Err(fail(FetchErrorKind::TooLarge { max }));
        }
        Ok(bytes)
    }

    /// Returns for how many seconds the server asks us not to come back, when it is willing to say (`Retry-After`).
    #[must_use]
    pub fn retry_after(&self, now: u64) -> Option<u64> {
        let text = self.headers.get("retry-after")?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(seconds);
        }
        crate::store::time::from_http(text).map(|at| at.saturating_sub(now))
    }
}

/// Fetches; it has no state but its options.
#[derive(Debug)]
pub struct Fetcher {
    options: FetchOptions,
    tls: tls::Tls,
}

impl Fetcher {
    /// Makes one. Certificates are read when the first server by HTTPS is asked.
    #[must_use]
    pub fn new(options: FetchOptions) -> Self {
        let tls = tls::Tls::new(options.roots.clone(), options.client.clone());
        Self { options, tls }
    }

    /// Returns its options.
    #[must_use]
    pub fn options(&self) -> &FetchOptions {
        &self.options
    }

    /// Asks, and follows redirections. Any status is an answer.
    ///
    /// # Errors
    /// There is no answer, or it is not one by the rules of HTTP.
    pub fn get(&self, request: &Request<'_>) -> Result<Reply, FetchError> {
        let mut url = Url::parse(request.url)
            .map_err(|why| FetchError::new(request.url, FetchErrorKind::Url(why)))?;
        let mut left = self.options.redirects_max;
        loop {
            let reply = self.once(&url, request)?;
            let moved = matches!(reply.status, 301 | 302 | 303 | 307 | 308);
            let Some(to) = reply.headers.get("location").filter(|_| moved) else {
                return Ok(reply);
            };
            let fail = |kind| FetchError::new(&url.to_string(), kind);
            left = left.checked_sub(1).ok_or_else(|| fail(FetchErrorKind::Redirects))?;
            let next = url.join(to).map_err(|why| fail(FetchErrorKind::Url(why)))?;
            if url.https && !next.https {
                return Err(fail(FetchErrorKind::Downgrade));
            }
            url = next;
        }
    }

    fn once(&self, url: &Url, request: &Request<'_>) -> Result<Reply, FetchError> {
        let fail = |kind| FetchError::new(&url.to_string(), kind);
        let mut connection = Connection::open(url, &self.options, &self.tls).map_err(fail)?;
        let text = head::request(url, request, &self.options, connection.absolute());
        connection.send(text.as_bytes()).map_err(|err| fail(FetchErrorKind::of(err)))?;
        let (status, headers, rest) = head::read(&mut connection).map_err(fail)?;
        let body = Body::new(connection, rest, status, &headers, &self.options).map_err(fail)?;
        Ok(Reply { status, headers, url: url.to_string(), body })
    }
}

/// Something could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch {url}")]
pub struct FetchError {
    /// The address.
    pub url: String,
    /// Why.
    #[source]
    pub kind: FetchErrorKind,
}

impl FetchError {
    pub(crate) fn new(url: &str, kind: FetchErrorKind) -> Self {
        Self { url: url.to_owned(), kind }
    }
}

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchErrorKind {
    /// The address is not one.
    #[error("{0}")]
    Url(&'static str),
    /// The name has no address.
    #[error("the name {0} is not known")]
    Name(String),
    /// No connection.
    #[error("no connection to {0}: {1}")]
    Connect(String, std::io::Error),
    /// The proxy does not let us through.
    #[error("the proxy answers {0}")]
    Proxy(u16),
    /// TLS failed, commonly since the certificate is not trusted.
    #[error("TLS: {0}")]
    Tls(String),
    /// Too slow, or nothing came at all.
    #[error("it came too slowly, or nothing came")]
    Slow,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(std::io::Error),
    /// Not by the rules of HTTP.
    #[error("not an answer in HTTP: {0}")]
    Malformed(&'static str),
    /// Longer than is allowed.
    #[error("it is longer than {max} bytes")]
    TooLarge {
        /// The bound.
        max: u64,
    },
    /// It ended before its announced length.
    #[error("it ended early")]
    Short,
    /// Too many redirections.
    #[error("too many redirections")]
    Redirects,
    /// A redirection from HTTPS to HTTP.
    #[error("a redirection leads from HTTPS to HTTP")]
    Downgrade,
    /// An answer that is no file.
    #[error("the server answers {0}")]
    Status(u16),
    /// A file of ours.
    #[error("cannot write {}: {why}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
}

impl FetchErrorKind {
    pub(crate) fn of(err: std::io::Error) -> Self {
        use std::io::ErrorKind::{TimedOut, UnexpectedEof, WouldBlock};
        match err.kind() {
            TimedOut | WouldBlock => Self::Slow,
            UnexpectedEof => Self::Short,
            _ => Self::Broken(err),
        }
    }
}

#[cfg(test)]
mod tests;
