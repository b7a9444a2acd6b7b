//! Little-endian integers and UTF-16 text at offsets that may lie anywhere.

use crate::reader::Reader;

/// Reads a `u16` at an offset; none behind the end.
pub(crate) fn u16_at(bytes: &[u8], off: usize) -> Option<u16> {
    Reader::at(bytes, off).u16_le().ok()
}

/// Reads a `u32` at an offset; none behind the end.
pub(crate) fn u32_at(bytes: &[u8], off: usize) -> Option<u32> {
    Reader::at(bytes, off).u32_le().ok()
}

/// Reads a `u64` at an offset; none behind the end.
pub(crate) fn u64_at(bytes: &[u8], off: usize) -> Option<u64> {
    Reader::at(bytes, off).u64_le().ok()
}

/// Returns a part of the bytes, cut at their end.
pub(crate) fn part(bytes: &[u8], off: usize, len: usize) -> &[u8] {
    Reader::at(bytes, off).take_up_to(len)
}

/// Decodes UTF-16, little endian, up to a NUL; what is no text becomes U+FFFD.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let units = units(bytes).take_while(|unit| *unit != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Returns the code units of UTF-16 text, little endian; an odd last byte is left out.
pub(crate) fn units(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks_exact(2).filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?)))
}

/// Returns the position of the first occurrence at or behind an offset.
pub(crate) fn find_from(bytes: &[u8], needle: &[u8], off: usize) -> Option<usize> {
    let found = memchr::memmem::find(bytes.get(off..)?, needle)?;
    found.checked_add(off)
}

/// Returns the bytes up to the first NUL, and the offset behind it; none when there is no NUL.
pub(crate) fn c_string(bytes: &[u8], off: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(off..)?;
    let len = memchr::memchr(0, rest)?;
    Some((rest.get(..len)?, off.checked_add(len)?.checked_add(1)?))
}
