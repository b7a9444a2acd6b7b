//! HFS, the file system of Macs before HFS+: floppies and hybrid CDs.
//!
//! Yields: one child per data fork and per resource fork (named `…/..namedfork/rsrc`); the HFS+ volume that an
//! HFS volume may wrap.
//! Leaves out: nothing that holds data.
//! Limits: through `Sink`; 2^20 files; trees of at most 64 MiB.
//! Hostile input: as in HFS+.
//! Sources: Apple, "Inside Macintosh: Files", chapter 2.

use std::collections::{BTreeMap, BTreeSet};

use hf_core::{Child, ChildRole, FileType, Halt, Reason, Sink, Stop};

use super::files::{Extent, Files, PATH_LEN_MAX, gather, path};
use super::hfsplus::tree::Tree;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "hfs",
    types: &[FileType::Hfs],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x10_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`BD` at 1024 with possible lengths behind it",
        yields: "one child per data fork and resource fork; a wrapped HFS+ volume",
        leaves_out: "nothing that holds data",
        limits: "2^20 files; trees up to 64 MiB",
        sources: "Inside Macintosh: Files",
    },
};

const HEADER_OFF: usize = 1024;
/// Ours: bytes of one tree.
const TREE_LEN_MAX: u64 = 64 << 20;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let block_len = u64::from(Reader::at(object, HEADER_OFF + 20).u32_be()?);
    let first = u64::from(Reader::at(object, HEADER_OFF + 28).u16_be()?).saturating_mul(512);
    if object.get(HEADER_OFF + 124..HEADER_OFF + 126) == Some(b"H+") {
        let mut fields = Reader::at(object, HEADER_OFF + 126);
        let (start, count) = (u64::from(fields.u16_be()?), u64::from(fields.u16_be()?));
        let off = size(first.saturating_add(start.saturating_mul(block_len)));
        let rest = object.get(off..).unwrap_or_default();
        let data = rest.get(..size(count.saturating_mul(block_len))).unwrap_or(rest);
        let role = ChildRole::Typed(FileType::PartHfsPlus);
        sink.child(Child { name: b"[HFS+ volume]", data, role })?;
    }
    let files = Files::new(object, sink);
    let mut volume =
        Volume { files, block_len, first, more: BTreeMap::new(), folders: BTreeMap::new() };
    volume.overflow()?;
    volume.catalogue()?;
    Ok(())
}

type Run = (u16, u16);

fn runs(raw: &[u8]) -> Vec<Run> {
    let mut fields = Reader::new(raw);
    let mut runs = Vec::new();
    while let (Ok(start), Ok(count)) = (fields.u16_be(), fields.u16_be()) {
        if count > 0 {
            runs.push((start, count));
        }
    }
    runs
}

/// A fork: its file, and 0 for data or 255 for resources.
type ForkId = (u32, u8);

struct Volume<'a, 's> {
    files: Files<'a, 's>,
    block_len: u64,
    /// Where block 0 is.
    first: u64,
    more: BTreeMap<ForkId, BTreeMap<u16, Vec<Run>>>,
    folders: BTreeMap<u32, (u32, Vec<u8>)>,
}

impl Volume<'_, '_> {
    fn extents(&self, own: &[Run], id: ForkId) -> Vec<Extent> {
        let mut list = own.to_vec();
        if let Some(more) = self.more.get(&id) {
            for (start, runs) in more {
                let had =
                    list.iter().fold(0u32, |sum, (_, count)| sum.saturating_add((*count).into()));
                if u32::from(*start) >= had {
                    list.extend_from_slice(runs);
                }
            }
        }
        let in_bytes = |(start, count): Run| {
            let off = u64::from(start).saturating_mul(self.block_len).saturating_add(self.first);
            Extent::at(off, u64::from(count).saturating_mul(self.block_len))
        };
        list.into_iter().map(in_bytes).collect()
    }

    /// Reads a tree whose length and first extents the header has at this offset.
    fn tree(&mut self, off: usize, id: u32) -> Result<Option<Tree>, Stop> {
        let raw = self.files.object.get(HEADER_OFF.saturating_add(off)..).unwrap_or_default();
        let len = Reader::new(raw).u32_be().unwrap_or(0);
        let extents = self.extents(&runs(raw.get(4..16).unwrap_or_default()), (id, 0));
        let len = u64::from(len).min(TREE_LEN_MAX);
        let content = gather(self.files.object, &extents, len, self.files.sink)?;
        if content.missing.is_some() {
            self.files.sink.unscanned(b"", Reason::Damaged("a tree of the volume".into()));
        }
        Ok(Tree::read(content.bytes.into_owned()))
    }

    fn overflow(&mut self) -> Result<(), Stop> {
        let Some(tree) = self.tree(130, 3)? else { return Ok(()) };
        for record in tree.records(self.files.sink)? {
            let mut key = Reader::at(record, 1);
            let (Ok(kind), Ok(id), Ok(start)) = (key.u8(), key.u32_be(), key.u16_be()) else {
                continue;
            };
            let runs = runs(key.take_up_to(12));
            self.more.entry((id, kind)).or_default().entry(start).or_insert(runs);
        }
        Ok(())
    }

    fn catalogue(&mut self) -> Result<(), Stop> {
        let Some(tree) = self.tree(146, 4)? else {
            self.files.sink.unscanned(b"", Reason::Damaged("catalogue file".into()));
            return Ok(());
        };
        let records = tree.records(self.files.sink)?;
        if tree.is_damaged() {
            self.files.defect(1170, "nodes of the catalogue");
        }
        for record in &records {
            let Some((parent, name, data)) = split(record) else { continue };
            if data.first() == Some(&1)
                && let Ok(id) = Reader::at(data, 6).u32_be()
            {
                self.folders.entry(id).or_insert((parent, name));
            }
        }
        for record in &records {
            let Some((parent, name, data)) = split(record) else { continue };
            if data.first() == Some(&2) {
                self.files.sink.poll()?;
                self.file(parent, &name, data)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, parent: u32, name: &[u8], record: &[u8]) -> Result<(), Stop> {
        let number = |off: usize| Reader::at(record, off).u32_be().unwrap_or(0);
        let id = number(20);
        let name = self.path(parent, name);
        let (data_len, resource_len) = (u64::from(number(26)), u64::from(number(36)));
        let data = self.extents(&runs(record.get(74..86).unwrap_or_default()), (id, 0));
        let resource = self.extents(&runs(record.get(86..98).unwrap_or_default()), (id, 255));
        if !self.files.may_list(&data) || !self.files.may_list(&resource) {
            return Ok(());
        }
        if self.files.announce(&name, data_len.saturating_add(resource_len), data_len)? {
            self.files.data(&name, &data, data_len)?;
            let name = [name.as_slice(), b"/..namedfork/rsrc"].concat();
            self.files.data(&name, &resource, resource_len)?;
        }
        Ok(())
    }

    fn path(&self, parent: u32, name: &[u8]) -> Vec<u8> {
        let mut parts = vec![name];
        let mut seen = BTreeSet::new();
        let (mut id, mut len) = (parent, name.len());
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

/// The id of the root folder.
const ROOT: u32 = 2;

/// Splits a record of the catalogue: the folder around it, the name, and the rest.
fn split(record: &[u8]) -> Option<(u32, Vec<u8>, &[u8])> {
    let key_len = usize::from(*record.first()?);
    let parent = Reader::at(record, 2).u32_be().ok()?;
    let name_len = usize::from(*record.get(6)?).min(31);
    let mut name = record.get(7..)?.get(..name_len)?.to_vec();
    name.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b':');
    let data = record.get(key_len.saturating_add(1).next_multiple_of(2)..)?;
    Some((parent, name, data))
}
