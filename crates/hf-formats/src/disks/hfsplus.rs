//! HFS+ and HFSX: volumes of Macs, mostly in disk images.
//!
//! Yields: one child per data fork and per resource fork (named `…/..namedfork/rsrc`); of files that the file
//! system compresses (decmpfs) the content, types 1, 3, 4, 7 to 12; targets of hard links under the name of
//! their private folder; when the catalogue is damaged, the files of every node that can still be read.
//! Leaves out: extended attributes other than decmpfs; the journal; decmpfs types that are not known, which
//! are reported.
//! Limits: through `Sink`; 2^20 files; trees of at most 256 MiB.
//! Hostile input: the chain of leaves is followed once through each node; when it is broken, all nodes are
//! read in order; forks that lead outside of the image are told.
//! Sources: Apple TN1150, "HFS Plus Volume Format"; Apple, sys/decmpfs.h; LZVN and LZFSE in the codecs.

mod decmpfs;
pub(super) mod tree;

use std::collections::{BTreeMap, BTreeSet};

use hf_core::{FileType, Halt, Reason, Sink, Stop};

use super::files::{Extent, Files, PATH_LEN_MAX, gather, path, utf16_be};
use crate::reader::Reader;
use crate::{Format, FormatDoc, Stage};
use tree::Tree;

pub(super) const FORMAT: Format = Format {
    name: "hfsplus",
    types: &[FileType::PartHfsPlus],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x10_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`H+` or `HX` with its version at 1024",
        yields: "one child per data fork and resource fork, decompressed",
        leaves_out: "extended attributes; the journal",
        limits: "2^20 files; trees up to 256 MiB",
        sources: "Apple TN1150",
    },
};

const HEADER_OFF: usize = 1024;
/// Ours: bytes of one tree.
const TREE_LEN_MAX: u64 = 256 << 20;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let block_len = u64::from(Reader::at(object, HEADER_OFF + 40).u32_be()?);
    let mut files = Files::new(object, sink);
    if !block_len.is_power_of_two() || block_len < 512 {
        files.defect(1064, "blockSize");
        files.sink.unscanned(b"", Reason::Damaged("blockSize".into()));
        return Ok(());
    }
    let mut volume = Volume {
        files,
        block_len,
        more: BTreeMap::new(),
        compressed: BTreeMap::new(),
        folders: BTreeMap::new(),
    };
    volume.overflow()?;
    volume.attributes()?;
    volume.catalogue()?;
    Ok(())
}

/// A fork as the header and the catalogue describe it.
#[derive(Debug, Clone, Default)]
struct Fork {
    len: u64,
    /// First block and count.
    extents: Vec<(u32, u32)>,
}

impl Fork {
    fn read(raw: &[u8]) -> Option<Self> {
        let len = Reader::new(raw).u64_be().ok()?;
        Some(Self { len, extents: extents(raw.get(16..80)?) })
    }
}

/// Reads an extent record.
fn extents(raw: &[u8]) -> Vec<(u32, u32)> {
    let mut fields = Reader::new(raw);
    let mut extents = Vec::new();
    while let (Ok(start), Ok(count)) = (fields.u32_be(), fields.u32_be()) {
        if count == 0 {
            break;
        }
        extents.push((start, count));
    }
    extents
}

/// A fork's id: of the file, and 0 for data or 255 for resources.
type ForkId = (u32, u8);

struct Volume<'a, 's> {
    files: Files<'a, 's>,
    block_len: u64,
    /// Further extents of forks, by the block of the fork at which they start.
    more: BTreeMap<ForkId, BTreeMap<u32, Vec<(u32, u32)>>>,
    /// The decmpfs attribute of files.
    compressed: BTreeMap<u32, Vec<u8>>,
    /// Names of folders and the folders around them.
    folders: BTreeMap<u32, (u32, Vec<u8>)>,
}

/// A file of the catalogue.
struct File {
    parent: u32,
    name: Vec<u8>,
    id: u32,
    data: Fork,
    resource: Fork,
}

impl Volume<'_, '_> {
    /// Reads a tree whose fork the header has at this offset.
    fn tree(&mut self, off: usize, id: u32, what: &'static str) -> Result<Option<Tree>, Stop> {
        let raw = self.files.object.get(HEADER_OFF.saturating_add(off)..).unwrap_or_default();
        let Some(fork) = Fork::read(raw).filter(|fork| fork.len > 0) else { return Ok(None) };
        let extents = self.extents(&fork, (id, 0));
        let len = fork.len.min(TREE_LEN_MAX);
        let content = gather(self.files.object, &extents, len, self.files.sink)?;
        if content.missing.is_some() {
            self.files.sink.unscanned(b"", Reason::Damaged(what.into()));
        }
        Ok(Tree::read(content.bytes.into_owned()))
    }

    /// Returns all extents of a fork, in bytes.
    fn extents(&self, fork: &Fork, id: ForkId) -> Vec<Extent> {
        let mut list = fork.extents.clone();
        let count = |list: &[(u32, u32)]| {
            list.iter().fold(0u32, |sum, (_, count)| sum.saturating_add(*count))
        };
        if let Some(more) = self.more.get(&id) {
            for (start, extents) in more {
                // Records that repeat what is known are passed over.
                if *start >= count(&list) {
                    list.extend_from_slice(extents);
                }
            }
        }
        let in_bytes = |(start, count): (u32, u32)| {
            let off = u64::from(start).saturating_mul(self.block_len);
            Extent::at(off, u64::from(count).saturating_mul(self.block_len))
        };
        list.into_iter().map(in_bytes).collect()
    }

    fn overflow(&mut self) -> Result<(), Stop> {
        let Some(tree) = self.tree(192, 3, "extents overflow file")? else { return Ok(()) };
        for record in tree.records(self.files.sink)? {
            let mut key = Reader::at(record, 2);
            let (Ok(kind), Ok(_)) = (key.u8(), key.u8()) else { continue };
            let (Ok(id), Ok(start)) = (key.u32_be(), key.u32_be()) else { continue };
            let list = extents(key.take_up_to(64));
            self.more.entry((id, kind)).or_default().entry(start).or_insert(list);
        }
        Ok(())
    }

    fn attributes(&mut self) -> Result<(), Stop> {
        let Some(tree) = self.tree(352, 8, "attributes file")? else { return Ok(()) };
        for record in tree.records(self.files.sink)? {
            let Some((id, value)) = attribute(record, b"com.apple.decmpfs") else { continue };
            let len = u64::try_from(value.len()).unwrap_or(u64::MAX);
            if self.files.may_read(len) {
                self.compressed.entry(id).or_insert_with(|| value.to_vec());
            }
        }
        Ok(())
    }

    fn catalogue(&mut self) -> Result<(), Stop> {
        let Some(tree) = self.tree(272, 4, "catalogue file")? else {
            self.files.defect(1296, "catalogue file");
            self.files.sink.unscanned(b"", Reason::Damaged("catalogue file".into()));
            return Ok(());
        };
        let records = tree.records(self.files.sink)?;
        if tree.is_damaged() {
            self.files.defect(1296, "nodes of the catalogue");
        }
        for record in &records {
            if let Some((id, folder)) = folder(record) {
                self.folders.entry(id).or_insert(folder);
            }
        }
        for record in &records {
            if let Some(file) = file(record) {
                self.files.sink.poll()?;
                self.file(&file)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, file: &File) -> Result<(), Stop> {
        let name = self.path(file);
        let data = self.extents(&file.data, (file.id, 0));
        let resource = self.extents(&file.resource, (file.id, 255));
        if !self.files.may_list(&data) || !self.files.may_list(&resource) {
            return Ok(());
        }
        let packed = file.data.len.saturating_add(file.resource.len);
        let attribute = self.compressed.get(&file.id).cloned();
        let len = attribute.as_deref().and_then(decmpfs::unpacked_len).unwrap_or(file.data.len);
        if !self.files.announce(&name, packed, len)? {
            return Ok(());
        }
        self.files.data(&name, &data, file.data.len)?;
        let mut unpacked = false;
        if let Some(attribute) = attribute {
            let object = self.files.object;
            let fork = gather(object, &resource, file.resource.len, self.files.sink)?;
            unpacked = decmpfs::unpack(&name, &attribute, &fork.bytes, &mut self.files)?;
        }
        if file.resource.len > 0 && !unpacked {
            let name = [name.as_slice(), b"/..namedfork/rsrc"].concat();
            self.files.data(&name, &resource, file.resource.len)?;
        }
        Ok(())
    }

    /// Returns the path of a file, without the name of the volume.
    fn path(&self, file: &File) -> Vec<u8> {
        let mut parts = vec![file.name.as_slice()];
        let mut seen = BTreeSet::new();
        let mut id = file.parent;
        let mut len = file.name.len();
        while let Some((parent, name)) = self.folders.get(&id) {
            if id == ROOT || len > PATH_LEN_MAX || !seen.insert(id) {
                break;
            }
            parts.push(name);
            len = len.saturating_add(name.len()).saturating_add(1);
            id = *parent;
        }
        parts.iter().rev().fold(Vec::new(), |whole, part| path(&whole, part))
    }
}

/// Characters of a name (TN1150).
const NAME_LEN_MAX: u16 = 255;
/// The id of the root folder.
const ROOT: u32 = 2;

/// Splits a record of the catalogue: the folder around it, the name, and the rest.
fn split(record: &[u8]) -> Option<(u32, Vec<u8>, &[u8])> {
    let key_len = usize::from(Reader::new(record).u16_be().ok()?);
    let mut key = Reader::at(record, 2);
    let parent = key.u32_be().ok()?;
    let name_len = usize::from(key.u16_be().ok()?.min(NAME_LEN_MAX));
    let name = key.take(name_len.checked_mul(2)?).ok()?;
    let data = record.get(key_len.saturating_add(2).next_multiple_of(2)..)?;
    // Colons are the slashes of this file system, and the other way round.
    let mut name = utf16_be(name);
    name.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b':');
    name.retain(|byte| *byte != 0);
    Some((parent, name, data))
}

fn folder(record: &[u8]) -> Option<(u32, (u32, Vec<u8>))> {
    let (parent, name, data) = split(record)?;
    let mut fields = Reader::new(data);
    if fields.u16_be().ok()? != 1 {
        return None;
    }
    fields.skip(6).ok()?;
    Some((fields.u32_be().ok()?, (parent, name)))
}

fn file(record: &[u8]) -> Option<File> {
    let (parent, name, data) = split(record)?;
    if Reader::new(data).u16_be().ok()? != 2 {
        return None;
    }
    let id = Reader::at(data, 8).u32_be().ok()?;
    let fork = |off: usize| data.get(off..).and_then(Fork::read).unwrap_or_default();
    Some(File { parent, name, id, data: fork(88), resource: fork(168) })
}

/// Returns the file and the value of an attribute of this name that is stored in its record.
fn attribute<'a>(record: &'a [u8], wanted: &[u8]) -> Option<(u32, &'a [u8])> {
    let key_len = usize::from(Reader::new(record).u16_be().ok()?);
    let mut key = Reader::at(record, 4);
    let id = key.u32_be().ok()?;
    key.skip(4).ok()?;
    let name_len = usize::from(key.u16_be().ok()?.min(NAME_LEN_MAX));
    let name = utf16_be(key.take(name_len.checked_mul(2)?).ok()?);
    let data = record.get(key_len.saturating_add(2).next_multiple_of(2)..)?;
    if name != wanted || Reader::new(data).u32_be().ok()? != 0x10 {
        return None;
    }
    let len = usize::try_from(Reader::at(data, 12).u32_be().ok()?).ok()?;
    let value = data.get(16..)?;
    Some((id, value.get(..len).unwrap_or(value)))
}
