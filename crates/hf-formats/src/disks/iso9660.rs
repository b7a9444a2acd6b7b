//! ISO 9660: CDs, DVDs and their images, with Joliet and Rock Ridge.
//!
//! Yields: one child per file of every tree (primary, Joliet, enhanced, later sessions) and per boot image of
//! El Torito; files of several extents and interleaved files as one; zisofs unpacked. Files that two trees
//! share are handed over once, under the name of the tree with long names. Folders that only the path table
//! names are walked too.
//! Leaves out: symbolic links, devices, associated attributes; High Sierra images, which are told.
//! Limits: through `Sink`; 2^20 files; folders' bytes four times the image's; an image of raw sectors is made plain
//! first and cut at the cap of the sink.
//! Hostile input: of numbers stored in both byte orders that disagree both are tried; folders in a circle are
//! read once; what lies outside of the image is told; a damaged record ends its sector, not the folder.
//! Sources: ECMA-119 (4th edition); Joliet specification (1995); SUSP 1.12, RRIP 1.12; El Torito 1.0;
//! zisofs format (libisofs documentation, "zisofs_format.txt"); ECMA-130 for raw sectors.

mod boot;
mod raw;
mod record;
mod zisofs;

use std::collections::BTreeSet;

use hf_core::{FileType, Halt, Reason, Sink, Stop};

use super::files::{Extent, Files, path, utf16_be};
use crate::reader::{Reader, aligned, size};
use crate::{Format, FormatDoc, Stage};
use record::{Record, Susp};

pub(super) const FORMAT: Format = Format {
    name: "iso9660",
    types: &[FileType::Iso9660],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x2_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "a volume descriptor (`CD001`) in sector 16, of sectors of 2048 to 2448 bytes",
        yields: "one child per file of each tree, and per boot image",
        leaves_out: "links and devices; High Sierra (reported)",
        limits: "2^20 files; folders' bytes four times the image's",
        sources: "ECMA-119, Joliet, SUSP and RRIP 1.12, El Torito 1.0, zisofs",
    },
};

pub(super) const SECTOR_LEN: usize = 2048;
/// Descriptors start here.
const FIRST_SECTOR: usize = 16;
/// Ours: descriptors looked for, whether one ends the set or not.
const DESCRIPTORS_MAX: usize = 100;
/// Ours: sessions.
const SESSIONS_MAX: usize = 100;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    if let Some(plain) = raw::plain(object, sink)? {
        return Ok(volume(&plain, sink)?);
    }
    Ok(volume(object, sink)?)
}

fn volume(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut volume = Volume {
        files: Files::new(object, sink),
        walked: BTreeSet::new(),
        susp_budget: object.len().saturating_mul(2).saturating_add(1 << 20),
    };
    let mut trees = Vec::new();
    for sector in FIRST_SECTOR..FIRST_SECTOR.saturating_add(DESCRIPTORS_MAX) {
        let off = sector.saturating_mul(SECTOR_LEN);
        let Some(descriptor) = object.get(off..) else { break };
        match descriptor.get(..7) {
            Some([0, b'C', b'D', b'0', b'0', b'1', _]) => {
                boot::images(descriptor, &mut volume.files)?
            }
            Some([1 | 2, b'C', b'D', b'0', b'0', b'1', _]) => trees.extend(Tree::read(object, off)),
            _ if descriptor.get(9..14) == Some(b"CDROM") => {
                volume.files.sink.unscanned(b"", Reason::NoReader("High Sierra".into()));
            }
            _ => {}
        }
    }
    if trees.is_empty() {
        volume.files.defect(0x8000, "no volume descriptor");
        volume.files.sink.unscanned(b"", Reason::Damaged("no volume descriptor".into()));
    }
    trees.extend(later_sessions(object));
    // The tree whose names are whole comes first: it names the files.
    trees.sort_by_key(|tree| std::cmp::Reverse(tree.names));
    for (idx, tree) in trees.iter().enumerate() {
        volume.walk(tree, idx > 0)?;
    }
    Ok(())
}

/// Which names a tree has; the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Names {
    Short,
    Enhanced,
    Joliet,
    RockRidge,
}

/// A tree of folders.
struct Tree {
    names: Names,
    block_len: u64,
    root: Record,
    susp: Susp,
    path_table: Extent,
}

impl Tree {
    /// Reads a volume descriptor.
    fn read(object: &[u8], off: usize) -> Option<Self> {
        let descriptor = object.get(off..)?.get(..SECTOR_LEN)?;
        let block_len = match Reader::at(descriptor, 128).u16_le().ok()? {
            len @ (512 | 1024) => u64::from(len),
            _ => 2048,
        };
        let root = Record::read(descriptor.get(156..190)?)?;
        let escapes = descriptor.get(88..120)?;
        let joliet = [b"%/@", b"%/C", b"%/E"].iter().any(|escape| escapes.starts_with(*escape));
        let mut names = match descriptor.first() {
            Some(2) if joliet => Names::Joliet,
            Some(2) => Names::Enhanced,
            _ => Names::Short,
        };
        let mut susp = Susp::default();
        let [start, _] = root.starts;
        let first = object.get(size(start.saturating_mul(block_len))..).and_then(Record::read);
        if let Some(first) = first {
            susp = first.root_susp(object, block_len);
            if names == Names::Short && susp.present {
                names = Names::RockRidge;
            }
        }
        let table_len = Reader::at(descriptor, 132).u32_le().ok()?;
        let table = Reader::at(descriptor, 140).u32_le().ok()?;
        let path_table =
            Extent::at(u64::from(table).saturating_mul(block_len), u64::from(table_len));
        Some(Self { names, block_len, root, susp, path_table })
    }

    /// True when the root folder is a folder that knows where it is.
    fn holds(&self, object: &[u8]) -> bool {
        let [start, _] = self.root.starts;
        let first = object.get(size(start.saturating_mul(self.block_len))..).and_then(Record::read);
        first.is_some_and(|first| first.starts.contains(&start) && first.is_folder())
    }
}

/// Finds the trees of further sessions, whose block numbers count from the start of the disk.
fn later_sessions(object: &[u8]) -> Vec<Tree> {
    let first = FIRST_SECTOR.saturating_add(DESCRIPTORS_MAX).saturating_mul(SECTOR_LEN);
    let begins =
        |at: &usize| object.get(*at..).is_some_and(|rest| rest.starts_with(b"\x01CD001\x01\0"));
    // A look at each sector, which is far less to read than a search through the disk.
    (first..object.len())
        .step_by(SECTOR_LEN)
        .filter(begins)
        .filter_map(|at| Tree::read(object, at))
        .filter(|tree| tree.holds(object))
        .take(SESSIONS_MAX)
        .collect()
}

struct Volume<'a, 's> {
    files: Files<'a, 's>,
    /// Folders that were read: where they start, how long they are, and whether by wide names.
    walked: BTreeSet<(u64, u64, bool)>,
    /// Bytes of system use fields outside of folders that may still be read.
    susp_budget: usize,
}

/// A folder to read.
struct Folder {
    name: Vec<u8>,
    off: u64,
    len: u64,
}

impl Volume<'_, '_> {
    /// Reads a tree; `again` when another was read, which makes known files nothing to tell.
    fn walk(&mut self, tree: &Tree, again: bool) -> Result<(), Stop> {
        let mut todo = Vec::new();
        push(&mut todo, &tree.root, tree, Vec::new());
        self.folders(tree, &mut todo, again)?;
        self.path_table(tree, &mut todo);
        self.folders(tree, &mut todo, again)
    }

    fn folders(&mut self, tree: &Tree, todo: &mut Vec<Folder>, again: bool) -> Result<(), Stop> {
        while let Some(folder) = todo.pop() {
            self.files.sink.poll()?;
            let wide = tree.names == Names::Joliet;
            if !self.walked.insert((folder.off, folder.len, wide)) {
                continue;
            }
            let rest = self.files.object.get(size(folder.off)..).unwrap_or_default();
            let data = rest.get(..size(folder.len)).unwrap_or(rest);
            if data.len() < size(folder.len) {
                self.files.sink.unscanned(&folder.name, Reason::Truncated);
            }
            if self.files.may_read(u64::try_from(data.len()).unwrap_or(u64::MAX)) {
                self.folder(tree, &folder, data, todo, again)?;
            }
        }
        Ok(())
    }

    fn folder(
        &mut self,
        tree: &Tree,
        folder: &Folder,
        data: &[u8],
        todo: &mut Vec<Folder>,
        again: bool,
    ) -> Result<(), Stop> {
        let mut off = 0usize;
        let mut pieces: Vec<Record> = Vec::new();
        while let Some(rest) = data.get(off..).filter(|rest| !rest.is_empty()) {
            let len = usize::from(rest.first().copied().unwrap_or(0));
            let next_sector = aligned(off.saturating_add(1), SECTOR_LEN);
            let Some(raw) = rest.get(..len).filter(|_| len > 0) else {
                off = next_sector;
                continue;
            };
            let Some(record) = Record::read(raw) else {
                let at = folder.off.saturating_add(u64::try_from(off).unwrap_or(0));
                self.files.defect(at, "directory record");
                off = next_sector;
                continue;
            };
            off = off.saturating_add(len);
            if record.is_self_or_parent() {
                continue;
            }
            let extras =
                record.extras(self.files.object, &tree.susp, tree.block_len, &mut self.susp_budget);
            let name = match &extras.name {
                Some(name) if tree.names == Names::RockRidge => name.clone(),
                _ if tree.names == Names::Joliet => utf16_be(&record.name),
                _ => record.name.clone(),
            };
            let name = path(&folder.name, record::plain_name(&name));
            if let Some(child) = extras.child_folder {
                let off = u64::from(child).saturating_mul(tree.block_len);
                let len = self.folder_len(off);
                todo.push(Folder { name, off, len });
            } else if record.is_folder() {
                push(todo, &record, tree, name);
            } else if record.continues() && pieces.len() < PIECES_MAX {
                pieces.push(record);
            } else {
                pieces.push(record);
                self.file(tree, &name, &std::mem::take(&mut pieces), extras.zisofs, again)?;
            }
        }
        Ok(())
    }

    /// Returns the length that a folder gives for itself.
    fn folder_len(&self, off: u64) -> u64 {
        let first = self.files.object.get(size(off)..).and_then(Record::read);
        first.map_or(0, |first| first.lens.iter().copied().max().unwrap_or(0))
    }

    /// Hands a file over: as its numbers in one byte order say, and in the other when that differs.
    fn file(
        &mut self,
        tree: &Tree,
        name: &[u8],
        pieces: &[Record],
        zisofs: bool,
        again: bool,
    ) -> Result<(), Stop> {
        let image_len = u64::try_from(self.files.object.len()).unwrap_or(u64::MAX);
        let differ = pieces.iter().any(Record::differs);
        for order in [0, 1] {
            let extents: Vec<_> = pieces
                .iter()
                .flat_map(|piece| piece.extents(order, tree.block_len, image_len))
                .collect();
            let len = extents.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.len));
            if !self.files.may_list(&extents) {
                break;
            }
            if order == 1 {
                let inside = |extent: &Extent| extent.off.is_some_and(|off| off < image_len);
                if !differ || !extents.iter().all(inside) {
                    break;
                }
            }
            if again && (len == 0 || self.files.has(&extents, len)) {
                continue;
            }
            if order == 0 && differ {
                let at = extents.first().and_then(|extent| extent.off).unwrap_or(0);
                self.files.defect(at, "numbers in both byte orders differ");
            }
            self.files.file(name, &extents, len)?;
            if zisofs || zisofs::is(self.files.object, &extents) {
                zisofs::unpack(name, &extents, &mut self.files)?;
            }
        }
        Ok(())
    }

    /// Adds the folders of the path table, which no other folder may name.
    fn path_table(&mut self, tree: &Tree, todo: &mut Vec<Folder>) {
        let Some(off) = tree.path_table.off else { return };
        let rest = self.files.object.get(size(off)..).unwrap_or_default();
        let table = rest.get(..size(tree.path_table.len)).unwrap_or(rest);
        let mut reader = Reader::new(table);
        while let (Ok(name_len), Ok(extra_len)) = (reader.u8(), reader.u8()) {
            let (Ok(block), Ok(_)) = (reader.u32_le(), reader.u16_le()) else { break };
            let name = reader.take_up_to(name_len.into()).to_vec();
            reader.take_up_to(usize::from(name_len & 1));
            if name_len == 0 || todo.len() >= PIECES_MAX {
                break;
            }
            let blocks = u64::from(block).saturating_add(extra_len.into());
            let off = blocks.saturating_mul(tree.block_len);
            let len = self.folder_len(off);
            let name = if tree.names == Names::Joliet { utf16_be(&name) } else { name };
            if len > 0 && !self.walked.contains(&(off, len, tree.names == Names::Joliet)) {
                todo.push(Folder { name, off, len });
            }
        }
    }
}

/// Ours: extents of one file, and folders of a path table.
const PIECES_MAX: usize = 1 << 16;

/// Adds a folder to those to read, in both byte orders when they differ.
fn push(todo: &mut Vec<Folder>, record: &Record, tree: &Tree, name: Vec<u8>) {
    for order in [1, 0] {
        if order == 1 && !record.differs() {
            continue;
        }
        let (start, len) = record.place(order);
        let off = start.saturating_mul(tree.block_len);
        todo.push(Folder { name: name.clone(), off, len });
    }
}
