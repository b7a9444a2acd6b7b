//! Files of a file system: made of extents of the image, handed over without a copy where they are in one piece.
//!
//! Promises: a file whose extents were handed over before is not handed over again; the bytes of all
//! files together are bounded by the size of the image, however often its parts are named.

use std::borrow::Cow;
use std::collections::BTreeSet;

use hf_core::{Child, ChildRole, Defect, Member, Reason, Sink, Stop};

use crate::reader::size;

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    /// Where it starts in the image, in bytes; none for a hole, which reads as zeros.
    pub(super) off: Option<u64>,
    /// Its length in bytes.
    pub(super) len: u64,
}

impl Extent {
    /// Returns a piece that is in the image.
    pub(super) fn at(off: u64, len: u64) -> Self {
        Self { off: Some(off), len }
    }

    /// Returns a piece that is nowhere.
    pub(super) fn hole(len: u64) -> Self {
        Self { off: None, len }
    }
}

/// Ours: bytes of files that one image may give for each of its own, and on top of that. Files that share
/// data would else cost the square of the image's size.
const SHARED_FACTOR: u64 = 3;
const SHARED_MORE: u64 = 16 << 20;
/// Ours: files and folders of one image.
const FILES_MAX: u32 = 1 << 20;
/// Bytes of a path.
pub(super) const PATH_LEN_MAX: usize = 4096;

/// Hands files over.
pub(super) struct Files<'a, 's> {
    /// The image.
    pub(super) object: &'a [u8],
    /// Where they go.
    pub(super) sink: &'s mut dyn Sink,
    position: u32,
    budget: u64,
    folder_budget: u64,
    told_limit: bool,
    seen: BTreeSet<(u64, Vec<Extent>)>,
}

impl<'a, 's> Files<'a, 's> {
    /// Returns a start.
    pub(super) fn new(object: &'a [u8], sink: &'s mut dyn Sink) -> Self {
        let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
        let budget = len.saturating_mul(SHARED_FACTOR).saturating_add(SHARED_MORE);
        Self {
            object,
            sink,
            position: 0,
            budget,
            folder_budget: len.saturating_mul(4).saturating_add(4 << 20),
            told_limit: false,
            seen: BTreeSet::new(),
        }
    }

    /// True when these extents were handed over.
    pub(super) fn has(&self, extents: &[Extent], len: u64) -> bool {
        self.seen.contains(&(len, join(extents)))
    }

    /// Takes the cost of reading a folder or table; false when too much was read already.
    pub(super) fn may_read(&mut self, len: u64) -> bool {
        let may = self.folder_budget >= len;
        self.folder_budget = self.folder_budget.saturating_sub(len);
        if !may {
            self.tell_limit("folders that overlap");
        }
        may
    }

    /// Takes the cost of a list of extents; false when too many were read already.
    pub(super) fn may_list(&mut self, extents: &[Extent]) -> bool {
        let count = u64::try_from(extents.len()).unwrap_or(u64::MAX);
        self.may_read(count.saturating_mul(16))
    }

    /// Takes the cost of handing bytes over; false when too much was handed over already.
    pub(super) fn may_give(&mut self, len: u64) -> bool {
        let may = self.budget >= len;
        self.budget = self.budget.saturating_sub(len);
        if !may {
            self.tell_limit("files that overlap");
        }
        may
    }

    /// Tells once that a limit was reached.
    pub(super) fn tell_limit(&mut self, which: &'static str) {
        if !std::mem::replace(&mut self.told_limit, true) {
            self.sink.unscanned(b"", Reason::FormatLimit(which.into()));
        }
    }

    /// Reports a broken structure at an offset of the image.
    pub(super) fn defect(&mut self, off: u64, what: &'static str) {
        self.sink.defect(Defect::new(off, what));
    }

    /// Announces a file; false when there are too many.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn announce(&mut self, name: &[u8], packed: u64, len: u64) -> Result<bool, Stop> {
        if self.position >= FILES_MAX {
            self.tell_limit("files");
            return Ok(false);
        }
        self.position = self.position.saturating_add(1);
        let position = self.position;
        self.sink.member(&Member {
            name,
            packed_len: packed,
            unpacked_len: len,
            position,
            ..Member::default()
        })?;
        Ok(true)
    }

    /// Announces a file and hands it over.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn file(&mut self, name: &[u8], extents: &[Extent], len: u64) -> Result<(), Stop> {
        if self.announce(name, len, len)? { self.data(name, extents, len) } else { Ok(()) }
    }

    /// Hands a file over that was announced.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn data(&mut self, name: &[u8], extents: &[Extent], len: u64) -> Result<(), Stop> {
        let extents = join(extents);
        if len == 0 || self.seen.contains(&(len, extents.clone())) {
            return Ok(());
        }
        let content = gather(self.object, &extents, len, self.sink)?;
        self.seen.insert((len, extents));
        if let Some(reason) = content.missing {
            self.sink.unscanned(name, reason);
        }
        let had = u64::try_from(content.bytes.len()).unwrap_or(u64::MAX);
        if content.bytes.is_empty() || !self.may_give(had) {
            return Ok(());
        }
        self.child(name, &content.bytes)
    }

    /// Hands bytes over.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn child(&mut self, name: &[u8], data: &[u8]) -> Result<(), Stop> {
        self.sink.child(Child { name, data, role: ChildRole::Member })
    }
}

/// What extents hold.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// As far as it is there.
    pub(super) bytes: Cow<'a, [u8]>,
    /// Why it is not all.
    pub(super) missing: Option<Reason>,
}

/// Reads extents, up to a length and to the cap of the sink. Pieces outside of the image are zeros when
/// others follow, and the end when not.
///
/// # Errors
/// The scan ends here.
pub(super) fn gather<'a>(
    object: &'a [u8],
    extents: &[Extent],
    len: u64,
    sink: &mut dyn Sink,
) -> Result<Content<'a>, Stop> {
    let extents = join(extents);
    if let [Extent { off: Some(off), len: had }, ..] = extents.as_slice()
        && (*had >= len || extents.len() == 1)
    {
        let wanted = len.min(*had);
        let rest = object.get(size(*off)..).unwrap_or_default();
        let bytes = rest.get(..size(wanted)).unwrap_or(rest);
        let whole = u64::try_from(bytes.len()) == Ok(len);
        let missing = (!whole).then_some(Reason::Truncated);
        return Ok(Content { bytes: Cow::Borrowed(bytes), missing });
    }
    copy(object, &extents, len, sink)
}

/// Reads extents of a small table, up to a length; what is not in the image is left out.
pub(super) fn gather_plain(object: &[u8], extents: &[Extent], len: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for extent in extents {
        let left = len.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let rest = extent.off.and_then(|off| object.get(size(off)..)).unwrap_or_default();
        bytes.extend_from_slice(rest.get(..size(extent.len.min(left))).unwrap_or(rest));
    }
    bytes
}

fn copy<'a>(
    object: &'a [u8],
    extents: &[Extent],
    len: u64,
    sink: &mut dyn Sink,
) -> Result<Content<'a>, Stop> {
    let cap = sink.child_cap();
    let mut missing = None;
    // What lies behind the last piece that is in the image is only zeros.
    let there = |extent: &Extent| extent.off.is_some_and(|off| size(off) < object.len());
    let used = extents.iter().rposition(there).map_or(0, |last| last.saturating_add(1));
    let end = extents.iter().take(used).fold(0u64, |sum, extent| sum.saturating_add(extent.len));
    if end < len && extents.iter().skip(used).any(|extent| extent.off.is_some()) {
        missing = Some(Reason::Truncated);
    }
    let mut bytes = Vec::new();
    for extent in extents.iter().take(used) {
        sink.poll()?;
        let had = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let left = len.saturating_sub(had);
        let take = extent.len.min(left).min(cap.saturating_sub(had));
        let part = match extent.off {
            Some(off) => {
                let rest = object.get(size(off)..).unwrap_or_default();
                rest.get(..size(take)).unwrap_or(rest)
            }
            None => &[],
        };
        bytes.extend_from_slice(part);
        let padded = size(had.saturating_add(take));
        if part.len() < size(take) {
            if extent.off.is_some() {
                missing = Some(Reason::Truncated);
            }
            bytes.resize(padded.max(bytes.len()), 0);
        }
        if take < extent.len.min(left) {
            missing = Some(sink.cap_reason());
            break;
        }
    }
    let sum = extents.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.len));
    if sum < len && missing.is_none() {
        missing = Some(Reason::Truncated);
    }
    Ok(Content { bytes: Cow::Owned(bytes), missing })
}

/// Returns the extents with neighbours made one, and without empty ones.
pub(super) fn join(extents: &[Extent]) -> Vec<Extent> {
    let mut joined: Vec<Extent> = Vec::new();
    for extent in extents.iter().filter(|extent| extent.len > 0) {
        if let Some(last) = joined.last_mut() {
            let follows = match (last.off, extent.off) {
                (Some(a), Some(b)) => a.checked_add(last.len) == Some(b),
                (None, None) => true,
                _ => false,
            };
            if follows {
                last.len = last.len.saturating_add(extent.len);
                continue;
            }
        }
        joined.push(*extent);
    }
    joined
}

/// Returns a path; one that is too long loses its start.
pub(super) fn path(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = folder.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    let cut = path.len().saturating_sub(PATH_LEN_MAX);
    path.drain(..cut);
    path
}

/// Returns UTF-16 with the high byte first as UTF-8.
pub(super) fn utf16_be(bytes: &[u8]) -> Vec<u8> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    String::from_utf16_lossy(&units).into_bytes()
}

/// Returns UTF-16 with the low byte first as UTF-8, up to the first zero.
pub(super) fn utf16_le(bytes: &[u8]) -> Vec<u8> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|unit| *unit != 0);
    String::from_utf16_lossy(&units.collect::<Vec<u16>>()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Recorder;

    #[test]
    fn extents_are_joined_and_read() {
        let object: Vec<u8> = (0..100).collect();
        let mut sink = Recorder::default();
        let extents = [Extent::at(10, 5), Extent::at(15, 5), Extent::at(3, 0)];
        let content = gather(&object, &extents, 8, &mut sink).unwrap();
        assert!(matches!(content.bytes, Cow::Borrowed(_)));
        assert_eq!((content.bytes.as_ref(), content.missing), (&object[10..18], None));
        let extents = [Extent::at(10, 2), Extent::hole(2), Extent::at(1, 2)];
        let content = gather(&object, &extents, 6, &mut sink).unwrap();
        assert_eq!(
            (content.bytes.as_ref(), content.missing),
            ([10, 11, 0, 0, 1, 2].as_slice(), None)
        );
        let extents = [Extent::at(98, 4), Extent::hole(2), Extent::at(400, 2)];
        let content = gather(&object, &extents, 8, &mut sink).unwrap();
        assert_eq!(content.bytes.as_ref(), [98, 99, 0, 0]);
        assert_eq!(content.missing, Some(Reason::Truncated));
    }
}
