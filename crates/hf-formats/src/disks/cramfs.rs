//! cramfs file systems.
//!
//! Yields: one child per regular file with data, named by its path.
//! Leaves out: links, devices; images of machines with the high byte first (reported).
//! Limits: through `Sink`; 512 levels of folders; folders and files that overlap cost at most a few times the image.
//! Hostile input: folders are entered once; a block that is damaged is zeros and the file is told as damaged.
//! Sources: `fs/cramfs/README` of the Linux kernel.

use std::collections::BTreeSet;
use std::io::Read;
use std::rc::Rc;

use hf_core::{FileType, Halt, Reason, Sink, Stop};

use super::files::{Files, path};
use crate::codec::Inflate;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "cramfs",
    types: &[FileType::Cramfs],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`45 3d cd 28` and `Compressed ROMFS` at offset 16",
        yields: "one child per regular file",
        leaves_out: "links, devices; images with the high byte first (reported)",
        limits: "512 levels; overlapping parts up to a few times the image",
        sources: "Linux fs/cramfs/README",
    },
};

const ROOT_OFF: usize = 64;
const BLOCK_LEN: usize = 4096;
/// Ours: levels of folders.
const DEPTH_MAX: usize = 512;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    if object.starts_with(&[0x28, 0xcd, 0x3d, 0x45]) {
        sink.unscanned(b"", Reason::UnknownMethod("cramfs with the high byte first".into()));
        return Ok(());
    }
    let Some(root) = Inode::read(object, ROOT_OFF) else {
        sink.unscanned(b"", Reason::Truncated);
        return Ok(());
    };
    let claimed = Reader::at(object, 4).u32_le()?;
    if size(u64::from(claimed)) > object.len() {
        sink.unscanned(b"", Reason::Truncated);
    }
    let mut image =
        Image { files: Files::new(object, sink), visited: BTreeSet::new(), given: BTreeSet::new() };
    Ok(image.walk(root)?)
}

#[derive(Debug, Clone, Copy)]
struct Inode {
    kind: u16,
    len: usize,
    name_len: usize,
    off: usize,
}

impl Inode {
    fn read(object: &[u8], at: usize) -> Option<Self> {
        let mut reader = Reader::at(object, at);
        let kind = reader.u16_le().ok()? >> 12;
        reader.skip(2).ok()?;
        let len = size(u64::from(reader.u32_le().ok()? & 0xff_ffff));
        let word = reader.u32_le().ok()?;
        let name_len = size(u64::from(word & 0x3f)).saturating_mul(4);
        Some(Self { kind, len, name_len, off: size(u64::from(word >> 6)).saturating_mul(4) })
    }
}

struct Image<'a, 's> {
    files: Files<'a, 's>,
    /// Offsets of folders that were entered.
    visited: BTreeSet<usize>,
    /// Data that was handed over.
    given: BTreeSet<(usize, usize)>,
}

impl Image<'_, '_> {
    fn walk(&mut self, root: Inode) -> Result<(), Stop> {
        let mut waiting = vec![(root, Rc::new(Vec::new()), Vec::new(), 0usize)];
        while let Some((inode, folder, name, depth)) = waiting.pop() {
            self.files.sink.poll()?;
            let name = path(&folder, &name);
            match inode.kind {
                4 if depth >= DEPTH_MAX => self.files.tell_limit("levels of folders"),
                4 if inode.len > 0 && self.visited.insert(inode.off) => {
                    let mut entries = self.entries(inode);
                    entries.reverse();
                    let folder = Rc::new(name);
                    let below = depth.saturating_add(1);
                    let entries = entries.into_iter();
                    waiting.extend(entries.map(|(to, name)| (to, Rc::clone(&folder), name, below)));
                }
                8 => self.file(&name, inode)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn entries(&mut self, folder: Inode) -> Vec<(Inode, Vec<u8>)> {
        let mut entries = Vec::new();
        if !self.files.may_read(u64::try_from(folder.len).unwrap_or(u64::MAX)) {
            return entries;
        }
        let object = self.files.object;
        let (mut at, end) = (folder.off, folder.off.saturating_add(folder.len));
        while at < end {
            let Some(inode) = Inode::read(object, at) else {
                self.files.defect(u64::try_from(at).unwrap_or(u64::MAX), "folder");
                break;
            };
            let text = Reader::at(object, at.saturating_add(12)).take_up_to(inode.name_len);
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            entries.push((inode, text.to_vec()));
            at = at.saturating_add(12).saturating_add(inode.name_len);
        }
        entries
    }

    fn file(&mut self, name: &[u8], inode: Inode) -> Result<(), Stop> {
        let len = u64::try_from(inode.len).unwrap_or(u64::MAX);
        let known = !self.given.insert((inode.off, inode.len));
        if !self.files.announce(name, len, len)? || inode.len == 0 || known {
            return Ok(());
        }
        let count = inode.len.div_ceil(BLOCK_LEN);
        let mut pointers = Reader::at(self.files.object, inode.off);
        let mut start = inode.off.saturating_add(count.saturating_mul(4));
        let cap = size(self.files.sink.child_cap());
        let mut bytes = Vec::new();
        let mut missing = None;
        for idx in 0..count {
            self.files.sink.poll()?;
            if bytes.len() >= cap {
                missing = Some(self.files.sink.cap_reason());
                break;
            }
            let Ok(pointer) = pointers.u32_le() else {
                missing = Some(Reason::Truncated);
                break;
            };
            let want = BLOCK_LEN.min(inode.len.saturating_sub(idx.saturating_mul(BLOCK_LEN)));
            let end_len = bytes.len().saturating_add(want);
            let (data, end) = self.block(pointer, start);
            let stored = pointer >> 31 == 1 && pointer & 0x4000_0000 != 0;
            if stored {
                bytes.extend_from_slice(data.get(..want).unwrap_or(data));
            } else if !data.is_empty() {
                let limit = u64::try_from(want).unwrap_or(u64::MAX);
                if Inflate::zlib(data).take(limit).read_to_end(&mut bytes).is_err() {
                    missing = Some(Reason::Damaged("cramfs block".into()));
                }
            }
            bytes.resize(end_len, 0);
            start = end;
        }
        if let Some(reason) = missing {
            self.files.sink.unscanned(name, reason);
        }
        let given = u64::try_from(bytes.len()).unwrap_or(u64::MAX) / 16;
        if bytes.is_empty() || !self.files.may_give(given) {
            return Ok(());
        }
        self.files.child(name, &bytes)
    }

    /// Returns a block's bytes in the image, and where they end.
    fn block(&self, pointer: u32, start: usize) -> (&[u8], usize) {
        let object = self.files.object;
        let place = size(u64::from(pointer & 0x3fff_ffff));
        if pointer & 0x4000_0000 != 0 {
            let at = place.saturating_mul(4);
            let mut reader = Reader::at(object, at);
            let len = if pointer >> 31 == 1 {
                BLOCK_LEN
            } else {
                let len = reader.u16_le().map_or(0, usize::from);
                return (reader.take_up_to(len), at.saturating_add(2).saturating_add(len));
            };
            return (reader.take_up_to(len), at.saturating_add(len));
        }
        let data = object.get(start..place.min(object.len())).unwrap_or_default();
        (data.get(..data.len().min(2 * BLOCK_LEN)).unwrap_or_default(), place)
    }
}
