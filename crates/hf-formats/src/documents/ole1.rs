//! OLE 1 objects as RTF and `\x01Ole10Native` streams carry them, and the `Package` inside.
//!
//! Promises: sizes that claim too much take what is there; without a readable package the native data
//! itself is the payload.
//! Sources: [1] MS-OLEDS §2.2.4-2.2.6 (ObjectHeader, EmbeddedObject), §2.3.6 (OLENativeStream);
//! [2] the layout of "Object Packager" data as documented by the oletools project.

use super::le::{c_string, part, u16_at, u32_at};
use crate::reader::{Reader, size};

/// A payload and the name it was packed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    /// File name without its folder; may be empty.
    pub(crate) name: &'a [u8],
    /// The file.
    pub(crate) data: &'a [u8],
    /// True when the data claims to be longer than it is.
    pub(crate) cut: bool,
}

/// An OLE 1 object with its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object<'a> {
    /// Class name without its NUL.
    pub(crate) class: &'a [u8],
    /// True for links, which carry no data.
    pub(crate) link: bool,
    /// Topic: the file that a link names.
    pub(crate) topic: &'a [u8],
    /// What it carries.
    pub(crate) payload: Payload<'a>,
}

const NAME_LEN_MAX: usize = 4096;

/// Reads an `\x01Ole10Native` stream: a size, then native data.
pub(crate) fn native_stream(stream: &[u8]) -> Option<Payload<'_>> {
    let claimed = size(u64::from(u32_at(stream, 0)?));
    let native = stream.get(4..)?;
    if let Some(payload) = package(native).or_else(|| package(stream)) {
        return Some(payload);
    }
    let data = part(native, 0, claimed);
    (!data.is_empty()).then_some(Payload { name: b"", data, cut: claimed > native.len() })
}

/// Reads packager data: kind 2, label, path, temporary path, size, file.
pub(crate) fn package(native: &[u8]) -> Option<Payload<'_>> {
    if u16_at(native, 0)? != 2 {
        return None;
    }
    let (label, off) = c_string(native, 2)?;
    let (path, off) = c_string(native, off)?;
    if label.len() > NAME_LEN_MAX || path.len() > NAME_LEN_MAX {
        return None;
    }
    let mut reader = Reader::at(native, off);
    reader.skip(4).ok()?;
    let temporary_len = size(u64::from(reader.u32_le().ok()?));
    reader.skip(temporary_len).ok()?;
    let claimed = size(u64::from(reader.u32_le().ok()?));
    let cut = claimed > reader.left();
    let data = reader.take_up_to(claimed);
    let name = if label.is_empty() { path } else { label };
    Some(Payload { name: base_name(name), data, cut })
}

/// Reads an OLE 1 object header and what follows it.
pub(crate) fn object(data: &[u8]) -> Option<Object<'_>> {
    // [1] §2.2.4: 1 is a link, 2 an embedded object. The version is not checked by readers.
    const LINKED: u32 = 1;
    const EMBEDDED: u32 = 2;
    let mut reader = Reader::at(data, 4);
    let kind = reader.u32_le().ok().filter(|kind| [LINKED, EMBEDDED].contains(kind))?;
    let class = string(&mut reader)?;
    let topic = string(&mut reader)?;
    let _item = string(&mut reader)?;
    if kind == LINKED {
        let none = Payload { name: b"", data: b"", cut: false };
        return Some(Object { class, link: true, topic, payload: none });
    }
    let claimed = size(u64::from(reader.u32_le().ok()?));
    let cut = claimed > reader.left();
    let native = reader.take_up_to(claimed);
    let whole = Payload { name: b"", data: native, cut };
    let payload = package(native).unwrap_or(whole);
    Some(Object { class, link: false, topic, payload })
}

fn string<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = size(u64::from(reader.u32_le().ok()?));
    if len > NAME_LEN_MAX {
        return None;
    }
    let raw = reader.take(len).ok()?;
    Some(raw.strip_suffix(b"\0").unwrap_or(raw))
}

/// Returns what is behind the last path separator.
pub(crate) fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| matches!(byte, b'\\' | b'/')).next().unwrap_or(path)
}
