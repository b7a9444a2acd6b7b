//! Web addresses that stand in a text.
//!
//! Yields: links that show nothing but themselves, at most 1024, each cut at 1024 bytes.
//! Leaves out: addresses without a scheme.

use hf_core::{Link, Sink, Stop};
use memchr::memmem;

/// Tells the addresses in a text.
pub(crate) fn tell(text: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    for real in addresses(text) {
        sink.link(&Link { real, displayed: b"" })?;
    }
    Ok(())
}

/// Returns the addresses in a text.
pub(crate) fn addresses(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut behind = 0;
    let found = memmem::find_iter(text, b"://").filter_map(move |colon| {
        let before = text.get(behind..colon)?;
        let scheme = [b"https".as_slice(), b"http", b"ftp"].into_iter().find(|scheme| {
            let start = before.len().checked_sub(scheme.len());
            start
                .and_then(|at| before.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(scheme))
        })?;
        let start = colon.saturating_sub(scheme.len());
        let rest = text.get(start..).unwrap_or_default();
        let is_end = |byte: &u8| *byte <= b' ' || b"<>\"'".contains(byte) || *byte == 0x7f;
        let len = rest.iter().take(ADDRESS_LEN_MAX).position(is_end);
        let real = rest.get(..len.unwrap_or(ADDRESS_LEN_MAX)).unwrap_or(rest);
        behind = start.saturating_add(real.len());
        Some(real)
    });
    found.take(ADDRESSES_MAX)
}

/// True when a text has the attribute that makes links.
pub(crate) fn has_links(text: &[u8]) -> bool {
    ["href", "HREF", "Href"].iter().any(|word| memmem::find(text, word.as_bytes()).is_some())
}

const ADDRESSES_MAX: usize = 1024;
const ADDRESS_LEN_MAX: usize = 1024;
