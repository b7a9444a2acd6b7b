//! FAT12, FAT16, FAT32 and exFAT file systems.
//!
//! Yields: one child per file with data, named by its path, with long names.
//! Leaves out: volume labels, deleted entries, what is behind the end of a folder.
//! Limits: through `Sink`; 512 levels of folders; chains that overlap cost at most twice the image.
//! Hostile input: folders are entered once; a chain that ends too early goes on with the clusters behind its last one,
//! and is told as a defect; a chain that is a circle ends with the file's size.
//! Sources: [1] Microsoft, "FAT32 File System Specification" 1.03; [2] Microsoft, "exFAT file system specification".

mod folder;

use std::collections::BTreeSet;

use hf_core::{FileType, Halt, Reason, Sink, Stop};

use super::files::{Content, Extent, Files, gather, path};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use folder::Entry;

pub(super) const FORMAT: Format = Format {
    name: "fat",
    types: &[FileType::Fat],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "a jump, and plausible fields behind it, or `EXFAT   ` at offset 3",
        yields: "one child per file, by its long name",
        leaves_out: "volume labels, deleted entries",
        limits: "512 levels; overlapping chains up to twice the image",
        sources: "FAT32 File System Specification 1.03, exFAT file system specification",
    },
};

/// Ours: levels of folders.
const DEPTH_MAX: usize = 512;
/// Ours: bytes of one folder. FAT allows 2 MiB, exFAT 256 MiB.
const FOLDER_LEN_MAX: u64 = 64 << 20;

/// How the table of clusters is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Bits12,
    Bits16,
    Bits32,
    Ex,
}

/// Where things are.
#[derive(Debug, Clone, Copy)]
struct Volume {
    width: Width,
    table_off: u64,
    data_off: u64,
    cluster_len: u64,
    cluster_count: u64,
    /// The root folder's first cluster, or where it is and its length.
    root: Root,
}

#[derive(Debug, Clone, Copy)]
enum Root {
    Cluster(u32),
    Fixed(u64, u64),
}

impl Volume {
    fn read(object: &[u8]) -> Option<Self> {
        if object.get(3..11)? == b"EXFAT   " {
            Self::read_ex(object)
        } else {
            Self::read_fat(object)
        }
    }

    fn read_ex(object: &[u8]) -> Option<Self> {
        let field = |off: usize| Reader::at(object, off).u32_le().ok().map(u64::from);
        let sector_len = 1u64.checked_shl(u32::from(*object.get(108)?).min(12))?;
        let per_cluster = 1u64.checked_shl(u32::from(*object.get(109)?).min(20))?;
        let root = Reader::at(object, 96).u32_le().ok()?;
        Some(Self {
            width: Width::Ex,
            table_off: field(80)?.saturating_mul(sector_len),
            data_off: field(88)?.saturating_mul(sector_len),
            cluster_len: sector_len.saturating_mul(per_cluster).max(512),
            cluster_count: field(92)?,
            root: Root::Cluster(root),
        })
    }

    fn read_fat(object: &[u8]) -> Option<Self> {
        let half = |off: usize| Reader::at(object, off).u16_le().ok().map(u64::from);
        let word = |off: usize| Reader::at(object, off).u32_le().ok();
        let sector_len = half(11)?;
        let per_cluster = u64::from(*object.get(13)?);
        let (reserved, tables) = (half(14)?, u64::from(*object.get(16)?));
        let root_entries = half(17)?;
        let table_len = match half(22)? {
            0 => u64::from(word(36)?),
            len => len,
        };
        let sectors = match half(19)? {
            0 => u64::from(word(32)?),
            count => count,
        };
        if !matches!(sector_len, 128..=8192) || per_cluster == 0 {
            return None;
        }
        let root_sectors = root_entries.saturating_mul(32).div_ceil(sector_len);
        let root_sector = reserved.saturating_add(tables.saturating_mul(table_len));
        let data_sector = root_sector.saturating_add(root_sectors);
        let cluster_count = sectors.saturating_sub(data_sector) / per_cluster;
        let width = match cluster_count {
            _ if root_entries == 0 => Width::Bits32,
            0..4085 => Width::Bits12,
            4085..65_525 => Width::Bits16,
            _ => Width::Bits32,
        };
        let root = if root_entries == 0 {
            Root::Cluster(word(44)?)
        } else {
            let len = root_entries.saturating_mul(32);
            Root::Fixed(root_sector.saturating_mul(sector_len), len)
        };
        Some(Self {
            width,
            table_off: reserved.saturating_mul(sector_len),
            data_off: data_sector.saturating_mul(sector_len),
            cluster_len: per_cluster.saturating_mul(sector_len),
            cluster_count,
            root,
        })
    }

    fn off(&self, cluster: u32) -> u64 {
        let idx = u64::from(cluster).saturating_sub(2);
        self.data_off.saturating_add(idx.saturating_mul(self.cluster_len))
    }

    fn is_cluster(&self, cluster: u32) -> bool {
        cluster >= 2 && u64::from(cluster) < self.cluster_count.saturating_add(2)
    }

    /// Returns what the table says of a cluster: the next, or none at the end.
    fn next(&self, object: &[u8], cluster: u32) -> Next {
        let at = u64::from(cluster);
        let read = |off: u64| Reader::at(object, size(self.table_off.saturating_add(off)));
        let value = match self.width {
            Width::Bits12 => {
                let pair = read(at + at / 2).u16_le().map(u32::from);
                pair.map(|pair| if cluster & 1 == 0 { pair & 0xfff } else { pair >> 4 })
            }
            Width::Bits16 => read(at * 2).u16_le().map(u32::from),
            Width::Bits32 => read(at * 4).u32_le().map(|word| word & 0x0fff_ffff),
            Width::Ex => read(at * 4).u32_le(),
        };
        let last = match self.width {
            Width::Bits12 => 0xff8,
            Width::Bits16 => 0xfff8,
            Width::Bits32 => 0x0fff_fff8,
            Width::Ex => 0xffff_fff8,
        };
        match value {
            Ok(next) if self.is_cluster(next) => Next::Cluster(next),
            Ok(next) if next >= last => Next::End,
            _ => Next::Broken,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Cluster(u32),
    End,
    Broken,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let Some(volume) = Volume::read(object) else {
        sink.unscanned(b"", Reason::Damaged("boot sector".into()));
        return Ok(());
    };
    // The last clusters may be left out of an image that needs none of them: only a chain tells.
    if size(volume.data_off) > object.len() {
        sink.unscanned(b"", Reason::Truncated);
    }
    let files = Files::new(object, sink);
    let mut image = Image { volume, files, visited: BTreeSet::new(), broken: false };
    Ok(image.walk()?)
}

struct Image<'a, 's> {
    volume: Volume,
    files: Files<'a, 's>,
    /// First clusters of folders that were entered.
    visited: BTreeSet<u32>,
    broken: bool,
}

impl Image<'_, '_> {
    fn walk(&mut self) -> Result<(), Stop> {
        let root = match self.volume.root {
            Root::Fixed(off, len) => vec![Extent::at(off, len)],
            Root::Cluster(first) => {
                self.visited.insert(first);
                self.chain(first, FOLDER_LEN_MAX, true)?
            }
        };
        let mut waiting = vec![(root, Vec::new(), 0usize)];
        while let Some((extents, name, depth)) = waiting.pop() {
            self.files.sink.poll()?;
            let mut folders = Vec::new();
            for entry in self.entries(&extents, &name)? {
                let name = path(&name, &entry.name);
                if !entry.is_folder {
                    self.file(&name, &entry)?;
                } else if depth >= DEPTH_MAX {
                    self.files.tell_limit("levels of folders");
                } else if self.volume.is_cluster(entry.cluster)
                    && self.visited.insert(entry.cluster)
                {
                    let extents = if entry.is_contiguous {
                        let len = entry.len.min(FOLDER_LEN_MAX);
                        vec![Extent::at(self.volume.off(entry.cluster), len)]
                    } else {
                        self.chain(entry.cluster, FOLDER_LEN_MAX, true)?
                    };
                    folders.push((extents, name, depth.saturating_add(1)));
                }
            }
            waiting.extend(folders.into_iter().rev());
        }
        Ok(())
    }

    fn entries(&mut self, extents: &[Extent], name: &[u8]) -> Result<Vec<Entry>, Stop> {
        let len = extents.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.len));
        let Content { bytes, missing } = gather(self.files.object, extents, len, self.files.sink)?;
        if let Some(reason) = missing {
            self.files.sink.unscanned(name, reason);
        }
        Ok(match self.volume.width {
            Width::Ex => folder::ex(&bytes),
            width => folder::fat(&bytes, width),
        })
    }

    fn file(&mut self, name: &[u8], entry: &Entry) -> Result<(), Stop> {
        if !self.files.announce(name, entry.len, entry.len)? || entry.len == 0 {
            return Ok(());
        }
        if !self.volume.is_cluster(entry.cluster) {
            self.files.sink.unscanned(name, Reason::Damaged("first cluster".into()));
            return Ok(());
        }
        let extents = if entry.is_contiguous {
            vec![Extent::at(self.volume.off(entry.cluster), entry.len)]
        } else {
            self.chain(entry.cluster, entry.len, false)?
        };
        self.files.data(name, &extents, entry.len)
    }

    /// Follows a chain for as many bytes; a folder's ends where the table says.
    fn chain(&mut self, first: u32, len: u64, is_folder: bool) -> Result<Vec<Extent>, Stop> {
        let Volume { cluster_len, cluster_count, .. } = self.volume;
        let mut extents = Vec::new();
        let (mut cluster, mut done, mut steps) = (first, 0u64, 0u64);
        while done < len && steps <= cluster_count && self.volume.is_cluster(cluster) {
            if steps.is_multiple_of(1 << 16) {
                self.files.sink.poll()?;
            }
            if !self.files.may_read(cluster_len) {
                break;
            }
            add(&mut extents, self.volume.off(cluster), cluster_len);
            done = done.saturating_add(cluster_len);
            steps = steps.saturating_add(1);
            match self.volume.next(self.files.object, cluster) {
                Next::Cluster(next) => cluster = next,
                Next::End if is_folder || done >= len => break,
                Next::End | Next::Broken if done >= len => break,
                Next::End | Next::Broken => {
                    if !std::mem::replace(&mut self.broken, true) {
                        let off = self.volume.off(cluster);
                        self.files.defect(off, "chain of clusters ends early");
                    }
                    if is_folder {
                        break;
                    }
                    add(&mut extents, self.volume.off(cluster.saturating_add(1)), len - done);
                    break;
                }
            }
        }
        Ok(extents)
    }
}

fn add(extents: &mut Vec<Extent>, off: u64, len: u64) {
    if let Some(last) = extents.last_mut()
        && last.off.and_then(|start| start.checked_add(last.len)) == Some(off)
    {
        last.len = last.len.saturating_add(len);
    } else {
        extents.push(Extent::at(off, len));
    }
}
