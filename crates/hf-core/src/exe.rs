//! What the matcher needs to know of an executable, and the facts about an object it may ask for.

use serde::{Deserialize, Serialize};

use crate::FileType;

/// Family of an executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExeKind {
    /// PE32 and PE32+.
    Pe,
    /// ELF.
    Elf,
    /// Mach-O.
    MachO,
}

/// One section (PE, ELF) or segment section (Mach-O), with values as signatures see them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExeSection {
    /// Name as stored, without padding.
    pub name: Vec<u8>,
    /// Relative virtual address, rounded as the loader does.
    pub rva: u64,
    /// Virtual size in bytes, rounded as the loader does.
    pub virtual_len: u64,
    /// File offset in bytes.
    pub raw_off: u64,
    /// Bytes in the file, after rounding and cutting at the end of the file.
    pub raw_len: u64,
    /// `SizeOfRawData` (or its equal) as stored in the header.
    pub stored_raw_len: u64,
    /// Characteristics or flags as stored.
    pub flags: u64,
}

/// The loader's view of an executable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExeView {
    /// Family.
    pub kind: ExeKind,
    /// 64-bit image.
    pub is_64: bool,
    /// File offset of the entry point; none when it lies in no section.
    pub entry_off: Option<u64>,
    /// Sections in header order.
    pub sections: Vec<ExeSection>,
    /// File offsets of the keys of `VS_VERSION_INFO` strings (PE).
    pub version_key_offs: Vec<u64>,
    /// File offset of the first byte behind all sections, when there is one (PE).
    pub overlay_off: Option<u64>,
    /// The string whose MD5 is the import hash (PE); none without imports.
    pub import_string: Option<Vec<u8>>,
}

/// Measures of one icon, as icon signatures compare them. Channel groups hold three entries each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IconMetrics {
    /// Edge length in pixels: 16, 24 or 32.
    pub size: u32,
    /// Average colour, x, y of the three most coloured squares.
    pub color: [(u32, u32, u32); 3],
    /// Average, x, y of the three greyest squares.
    pub gray: [(u32, u32, u32); 3],
    /// Average, x, y of the three brightest squares.
    pub bright: [(u32, u32, u32); 3],
    /// Average, x, y of the three darkest squares.
    pub dark: [(u32, u32, u32); 3],
    /// Average, x, y of the three squares with most edges.
    pub edge: [(u32, u32, u32); 3],
    /// Average, x, y of the three squares with fewest edges.
    pub noedge: [(u32, u32, u32); 3],
    /// Share of red, green, blue and of coloured pixels, in percent.
    pub rgb_sums: [u32; 4],
}

/// Facts about an object that cost something to find out; an implementor computes each once.
pub trait Facts {
    /// Returns the loader's view when the object is an executable whose headers could be read.
    fn exe(&self) -> Option<&ExeView>;
    /// Returns the measures of the object's icons (PE).
    fn icons(&self) -> &[IconMetrics];
    /// True when one of the object's icons is as alike to a signature's as ClamAV asks for.
    fn has_icon_like(&self, signature: &IconMetrics) -> bool {
        self.icons().contains(signature)
    }
    /// Returns the perceptual hash of an image.
    fn image_hash(&self) -> Option<[u8; 8]>;
    /// Returns the types of the objects around this one, outermost first, normalised copies left out.
    fn ancestors(&self) -> &[FileType];
    /// Returns how many levels are around this object; `clamscan` counts some normalised copies here.
    fn levels(&self) -> usize {
        self.ancestors().len()
    }
    /// Returns the size that the object is said to have, where that is not the number of its bytes.
    fn told_size(&self) -> Option<u64> {
        None
    }
    /// False when offsets from the end hold nowhere: to `clamscan`, in an executable whose headers it cannot
    /// read and in texts that it normalises piece by piece.
    fn end_known(&self) -> bool {
        true
    }
}
