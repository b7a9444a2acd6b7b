//! Downloads into files, continued where the last one broke off.
//!
//! Beside an unfinished `NAME.part` stands `NAME.part.json`, which says of which address and version it is. It is
//! continued with `If-Range`, so that a server that has another file by now sends the whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::time::from_http;

use super::{FetchError, FetchErrorKind, Fetcher, Reply, Request};

/// What is downloaded, and on which conditions.
#[derive(Debug, Clone)]
pub struct Download<'a> {
    /// The address.
    pub url: &'a str,
    /// The file; its folder is there.
    pub to: &'a Path,
    /// Longest file in bytes.
    pub max: u64,
    /// Only if the `ETag` is another.
    pub if_none_match: Option<&'a str>,
    /// Only if it changed since this time, written as in HTTP.
    pub if_modified_since: Option<&'a str>,
}

/// What became of a download.
#[derive(Debug)]
pub enum Downloaded {
    /// The file is there, whole, and synchronised with the disk.
    File {
        /// Its length in bytes.
        len: u64,
        /// The server's `ETag`.
        etag: Option<String>,
        /// The server's `Last-Modified`.
        last_modified: Option<String>,
        /// Bytes that an earlier download had left.
        resumed: u64,
    },
    /// It is still the same.
    NotModified,
    /// Another answer, whose body was not read.
    Other(Box<Reply>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    url: String,
    validator: String,
}

impl Fetcher {
    /// Downloads a file.
    ///
    /// # Errors
    /// It breaks off (a next call continues it), is too long or too slow, or the disk is full.
    pub fn download(&self, download: &Download<'_>) -> Result<Downloaded, FetchError> {
        let part = with_suffix(download.to, ".part");
        let note = with_suffix(download.to, ".part.json");
        let known = resumable(download.url, &part, &note);
        let request = Request {
            url: download.url,
            range: known.as_ref().map(|(len, _)| (*len, None)),
            if_range: known.as_ref().map(|(_, validator)| validator.as_str()),
            if_none_match: download.if_none_match.filter(|_| known.is_none()),
            if_modified_since: download.if_modified_since.filter(|_| known.is_none()),
        };
        let reply = self.get(&request)?;
        let start = match (reply.status, &known) {
            // Simple servers send it all; they say its time all the same.
            (200, _) if is_old(&reply, request.if_modified_since) => {
                return Ok(Downloaded::NotModified);
            }
            (200, _) => 0,
            (206, Some((len, _))) if starts_at(&reply, *len) => *len,
            (206 | 416, Some(_)) => {
                // What is there is nothing that it could be continued from.
                forget(&part, &note);
                return self.download(download);
            }
            (206, None) => {
                return Err(FetchError::new(
                    download.url,
                    FetchErrorKind::Malformed("a part came that was not asked for"),
                ));
            }
            (304, _) => return Ok(Downloaded::NotModified),
            _ => return Ok(Downloaded::Other(Box::new(reply))),
        };
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |err| FetchError::new(download.url, FetchErrorKind::Disk { path, why: err })
        };
        let etag = reply.headers.get("etag").map(str::to_owned);
        let last_modified = reply.headers.get("last-modified").map(str::to_owned);
        let strong = etag.clone().filter(|etag| !etag.starts_with("W/"));
        match strong.or_else(|| last_modified.clone()) {
            Some(validator) => {
                let text = serde_json::to_vec(&Part { url: download.url.to_owned(), validator });
                fs::write(&note, text.unwrap_or_default()).map_err(disk(&note))?;
            }
            None => {
                let _ = fs::remove_file(&note);
            }
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(start == 0).append(start > 0);
        let mut file = options.open(&part).map_err(disk(&part))?;
        let len = copy(reply, &mut file, start, download, &part)?;
        file.sync_all().map_err(disk(&part))?;
        fs::rename(&part, download.to).map_err(disk(download.to))?;
        let _ = fs::remove_file(&note);
        Ok(Downloaded::File { len, etag, last_modified, resumed: start })
    }
}

/// Writes the body behind what is there; returns the length of all.
fn copy(
    mut reply: Reply,
    file: &mut File,
    start: u64,
    download: &Download<'_>,
    part: &Path,
) -> Result<u64, FetchError> {
    let fail = |kind| FetchError::new(download.url, kind);
    let room = download.max.saturating_sub(start);
    let too_large = || fail(FetchErrorKind::TooLarge { max: download.max });
    if reply.body.announced().is_some_and(|len| len > room) {
        return Err(too_large());
    }
    let mut len = start;
    let mut block = vec![0; 64 << 10];
    loop {
        let got = reply.body.read(&mut block).map_err(|err| fail(FetchErrorKind::of(err)))?;
        if got == 0 {
            return Ok(len);
        }
        len = len.saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
        if len > download.max {
            let _ = fs::remove_file(part);
            return Err(too_large());
        }
        file.write_all(block.get(..got).unwrap_or_default())
            .map_err(|err| fail(FetchErrorKind::Disk { path: part.to_owned(), why: err }))?;
    }
}

/// Returns how much of this address is there, and what version of it.
fn resumable(url: &str, part: &Path, note: &Path) -> Option<(u64, String)> {
    let note: Part = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    let len = fs::metadata(part).ok()?.len();
    (note.url == url && len > 0).then_some((len, note.validator))
}

/// True when an answer is not newer than what was asked for.
fn is_old(reply: &Reply, since: Option<&str>) -> bool {
    let time = |text: Option<&str>| text.and_then(from_http);
    match (time(since), time(reply.headers.get("last-modified"))) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}

/// True when an answer is the part from this byte on.
fn starts_at(reply: &Reply, at: u64) -> bool {
    let range =
        reply.headers.get("content-range").and_then(|text| text.trim().strip_prefix("bytes "));
    let from = range.and_then(|range| range.split('-').next()).and_then(|text| text.parse().ok());
    from == Some(at)
}

fn forget(part: &Path, note: &Path) {
    let _: io::Result<()> = fs::remove_file(part);
    let _: io::Result<()> = fs::remove_file(note);
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
