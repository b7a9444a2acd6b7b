//! Digests of addresses, as lists of known bad ones hold them.
//!
//! Of an address in canonical form, up to five ends of its host are each joined with up to six starts of its path.
//! Sources: Google Safe Browsing API v2, "Canonicalization" and "Suffix/Prefix Expressions"; clamscan 1.4.6.

use sha2::{Digest as _, Sha256};

use super::address::{ADDRESS_LEN_MAX, hex_byte};

/// Reads a digest of 64 digits.
pub(super) fn parse(digits: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let mut digest = [0; 32];
    if !rest.is_empty() || pairs.len() != digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        *byte = hex_byte(pair)?;
    }
    Some(digest)
}

/// Returns the digests under which an address may be listed.
pub(super) fn of_address(address: &[u8]) -> Vec<[u8; 32]> {
    let Some((host, path)) = canonical(address) else { return Vec::new() };
    let paths = starts_of(&path);
    let mut digests = Vec::new();
    for host in ends_of(&host) {
        for path in &paths {
            let digest = Sha256::new().chain_update(host).chain_update(path).finalize();
            digests.push(digest.into());
        }
    }
    digests
}

/// Returns host and path of a web address; none when it is no such address.
fn canonical(address: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let address: Vec<u8> = address
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n'))
        .take(ADDRESS_LEN_MAX)
        .collect();
    let colon = memchr::memchr(b':', &address)?;
    let scheme = address.get(..colon)?.to_ascii_lowercase();
    if !matches!(scheme.as_slice(), b"http" | b"https" | b"ftp") {
        return None;
    }
    let rest = address.get(colon + 1..)?;
    let rest = rest.strip_prefix(b"//").unwrap_or(rest);
    // Escaped many times over still means the same.
    let mut rest = rest.to_vec();
    for _ in 0..UNESCAPE_MAX {
        let next = unescape(&rest);
        if next.len() == rest.len() {
            break;
        }
        rest = next;
    }
    let host_len = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(host_len)?;
    let host = host.get(memchr::memrchr(b'@', host).map_or(0, |at| at + 1)..)?;
    let host = host.get(..memchr::memchr(b':', host).unwrap_or(host.len()))?;
    let labels: Vec<&[u8]> = host.split(|b| *b == b'.').filter(|label| !label.is_empty()).collect();
    let host = escape(&labels.join(&b'.').to_ascii_lowercase());
    if host.is_empty() {
        return None;
    }
    Some((host, path_of(path)))
}

/// Puts a path and its question into canonical form.
fn path_of(rest: &[u8]) -> Vec<u8> {
    let rest = rest.get(..memchr::memchr(b'#', rest).unwrap_or(rest.len())).unwrap_or_default();
    let path_len = memchr::memchr(b'?', rest).unwrap_or(rest.len());
    let (path, question) = rest.split_at_checked(path_len).unwrap_or((rest, b""));
    let mut parts: Vec<&[u8]> = Vec::new();
    let is_folder = path.ends_with(b"/") || path.ends_with(b"/.") || path.ends_with(b"/..");
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let mut out = b"/".to_vec();
    out.extend_from_slice(&parts.join(&b'/'));
    if is_folder && !parts.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(question);
    escape(&out)
}

/// Returns the host, and its ends of at most five labels down to two.
fn ends_of(host: &[u8]) -> Vec<&[u8]> {
    let mut ends = vec![host];
    if host.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return ends;
    }
    let starts: Vec<usize> = memchr::memrchr_iter(b'.', host).skip(1).take(4).collect();
    ends.extend(starts.iter().rev().filter_map(|dot| host.get(dot + 1..)));
    ends
}

/// Returns the path with its question, without it, and its first four folders.
fn starts_of(path: &[u8]) -> Vec<&[u8]> {
    let question = memchr::memchr(b'?', path);
    let mut starts = vec![path];
    let path = path.get(..question.unwrap_or(path.len())).unwrap_or_default();
    starts.extend(question.map(|_| path));
    let folders = memchr::memchr_iter(b'/', path).take(4);
    starts.extend(folders.filter_map(|slash| path.get(..=slash)));
    starts
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match (*byte == b'%').then(|| hex_byte(behind)).flatten() {
            Some(value) => {
                rest = behind.get(2..).unwrap_or_default();
                out.push(value);
            }
            None => out.push(*byte),
        }
    }
    out
}

fn escape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if *byte <= 0x20 || *byte >= 0x7f || matches!(byte, b'#' | b'%') {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

/// Ours: layers of escapes that are taken off.
const UNESCAPE_MAX: usize = 16;
