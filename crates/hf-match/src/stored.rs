//! How signatures lie in a pack: heads of a fixed size, and records that are decoded on demand.
//!
//! Sub-signatures are stored once each, however many signatures use them. Alternatives are stored
//! flat, so that reading a damaged pack does not recurse without bound.

use hf_core::signature::{
    Body, ByteCompare, Edge, Gap, Item, Offset, Part, PcreFlags, Reach, Sub, TargetDesc,
};
use hf_pack::SectionId;
use serde::{Deserialize, Serialize};

use crate::logic::{Logic, Op};

/// Heads of all signatures with patterns, in load order.
pub(crate) const HEADS: SectionId = SectionId::LOGICAL_BASE;
/// Records of logical signatures.
pub(crate) const RECORDS: SectionId = SectionId::LOGICAL_BASE.plus(1);
/// Names, one after the other.
pub(crate) const NAMES: SectionId = SectionId::LOGICAL_BASE.plus(2);
/// Names of database files.
pub(crate) const FILES: SectionId = SectionId::LOGICAL_BASE.plus(3);
/// One bit for each target that has a signature, as a number of 16 bits.
pub(crate) const TARGETS: SectionId = SectionId::LOGICAL_BASE.plus(5);
/// Where each sub-signature's record ends.
pub(crate) const SUB_ENDS: SectionId = SectionId::BODY_BASE;
/// Records of sub-signatures.
pub(crate) const SUBS: SectionId = SectionId::BODY_BASE.plus(1);

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Record of a logical signature, or sub-signature of a body signature.
    pub(crate) record: u32,
    pub(crate) record_len: u32,
    pub(crate) name_off: u32,
    pub(crate) name_len: u16,
    pub(crate) file: u16,
    pub(crate) line: u32,
    pub(crate) target: u8,
    pub(crate) flags: u8,
    /// Least and most bytes of an object.
    pub(crate) size_min: u32,
    pub(crate) size_max: u32,
}

impl Head {
    pub(crate) const LEN: usize = 32;
    pub(crate) const EMPTY: Self = Self {
        record: 0,
        record_len: 0,
        name_off: 0,
        name_len: 0,
        file: 0,
        line: 0,
        target: 0,
        flags: 0,
        size_min: 0,
        size_max: u32::MAX,
    };
    /// A logical signature; else a body signature.
    pub(crate) const LOGICAL: u8 = 1;
    /// From a database of potentially unwanted applications.
    pub(crate) const PUA: u8 = 2;
    /// Matched before the object is opened.
    pub(crate) const SELF_PROTECT: u8 = 4;
    /// Feeds a macro group and never alerts.
    pub(crate) const MACRO: u8 = 8;
    /// `HTML.Phishing` and `Email.Phishing`.
    pub(crate) const PHISHING: u8 = 16;

    pub(crate) fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let fields = self
            .record
            .to_le_bytes()
            .into_iter()
            .chain(self.record_len.to_le_bytes())
            .chain(self.name_off.to_le_bytes())
            .chain(self.name_len.to_le_bytes())
            .chain(self.file.to_le_bytes())
            .chain(self.line.to_le_bytes())
            .chain([self.target, self.flags, 0, 0])
            .chain(self.size_min.to_le_bytes())
            .chain(self.size_max.to_le_bytes());
        out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        out
    }

    pub(crate) fn decode(bytes: &[u8; Self::LEN]) -> Self {
        Self {
            record: u32_at(bytes, 0),
            record_len: u32_at(bytes, 4),
            name_off: u32_at(bytes, 8),
            name_len: u16_at(bytes, 12),
            file: u16_at(bytes, 14),
            line: u32_at(bytes, 16),
            target: bytes.get(20).copied().unwrap_or(0),
            flags: bytes.get(21).copied().unwrap_or(0),
            size_min: u32_at(bytes, 24),
            size_max: u32_at(bytes, 28),
        }
    }
}

/// Reads a number out of a record; zero behind its end.
pub(crate) fn u32_at(bytes: &[u8], off: usize) -> u32 {
    let found = bytes.get(off..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Reads a number out of a record; zero behind its end.
pub(crate) fn u16_at(bytes: &[u8], off: usize) -> u16 {
    let found = bytes.get(off..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

/// A logical signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredLogical {
    pub(crate) tdb: TargetDesc,
    pub(crate) ops: Vec<Op>,
    pub(crate) subs: Vec<u32>,
}

/// A sub-signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredSub {
    Macro { min: u32, max: u32, group: u8 },
    Pcre { offset: Offset, trigger: Vec<Op>, pattern: Vec<u8>, flags: PcreFlags },
    ByteCompare(ByteCompare),
    ImageHash([u8; 8]),
    Body { offset: Offset, forms: Vec<FlatBody> },
}

impl StoredSub {
    /// Returns the stored form; none when something is nested too deeply.
    pub(crate) fn of(sub: &Sub) -> Option<Self> {
        Some(match sub {
            Sub::Macro { min, max, group } => Self::Macro { min: *min, max: *max, group: *group },
            Sub::Pcre { offset, trigger, pattern, flags } => Self::Pcre {
                offset: *offset,
                trigger: Logic::of(trigger)?.ops(),
                pattern: pattern.clone(),
                flags: *flags,
            },
            Sub::ByteCompare(compare) => Self::ByteCompare(compare.clone()),
            Sub::ImageHash(hash) => Self::ImageHash(*hash),
            Sub::Body { offset, forms } => {
                let forms = forms.iter().map(FlatBody::of).collect::<Option<_>>()?;
                Self::Body { offset: *offset, forms }
            }
        })
    }
}

/// A body whose alternatives are flat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlatBody {
    parts: Vec<FlatPart>,
    gaps: Vec<Gap>,
    nocase: bool,
    wide: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FlatPart {
    lead: Vec<Edge>,
    left: Option<Reach>,
    items: Vec<FlatItem>,
    right: Option<Reach>,
    trail: Vec<Edge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum FlatItem {
    Bytes(Vec<u8>),
    Masked { value: u8, mask: u8 },
    Skip(u32),
    Set { alternatives: Vec<Vec<u8>>, negated: bool },
    Edge(Edge),
    Open,
    Next,
    Close,
}

impl FlatBody {
    pub(crate) fn of(body: &Body) -> Option<Self> {
        let parts = body.parts.iter().map(FlatPart::of).collect::<Option<_>>()?;
        Some(Self { parts, gaps: body.gaps.clone(), nocase: body.nocase, wide: body.wide })
    }

    pub(crate) fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// Returns the body; none when the stored form is damaged.
    pub(crate) fn body(&self) -> Option<Body> {
        let parts: Vec<Part> = self.parts.iter().map(FlatPart::part).collect::<Option<_>>()?;
        let whole = !parts.is_empty() && self.gaps.len() + 1 == parts.len();
        let (nocase, wide) = (self.nocase, self.wide);
        whole.then(|| Body { parts, gaps: self.gaps.clone(), nocase, wide })
    }
}

impl FlatPart {
    fn of(part: &Part) -> Option<Self> {
        let mut items = Vec::new();
        flatten(&part.items, 0, &mut items)?;
        let (lead, trail) = (part.lead.clone(), part.trail.clone());
        Some(Self { lead, left: part.left, items, right: part.right, trail })
    }

    fn part(&self) -> Option<Part> {
        let (lead, trail) = (self.lead.clone(), self.trail.clone());
        Some(Part {
            lead,
            left: self.left,
            items: unflatten(&self.items)?,
            right: self.right,
            trail,
        })
    }
}

fn flatten(items: &[Item], depth: usize, flat: &mut Vec<FlatItem>) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut open = false;
    for item in items {
        match (item, flat.last_mut().filter(|_| open)) {
            (Item::Byte { value, mask: 0xff }, Some(FlatItem::Bytes(bytes))) => bytes.push(*value),
            (Item::Byte { mask: 0, .. }, Some(FlatItem::Skip(len))) => *len = len.checked_add(1)?,
            (Item::Byte { value, mask: 0xff }, _) => flat.push(FlatItem::Bytes(vec![*value])),
            (Item::Byte { mask: 0, .. }, _) => flat.push(FlatItem::Skip(1)),
            (Item::Byte { value, mask }, _) => {
                flat.push(FlatItem::Masked { value: value & mask, mask: *mask });
            }
            (Item::Set { alternatives, negated }, _) => {
                flat.push(FlatItem::Set { alternatives: alternatives.clone(), negated: *negated })
            }
            (Item::Edge(edge), _) => flat.push(FlatItem::Edge(*edge)),
            (Item::Any { alternatives }, _) => {
                for (idx, alternative) in alternatives.iter().enumerate() {
                    flat.push(if idx == 0 { FlatItem::Open } else { FlatItem::Next });
                    flatten(alternative, depth + 1, flat)?;
                }
                flat.push(FlatItem::Close);
            }
        }
        open = true;
    }
    Some(())
}

fn unflatten(flat: &[FlatItem]) -> Option<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    let mut outer: Vec<(Vec<Item>, Vec<Vec<Item>>)> = Vec::new();
    let mut total = 0usize;
    for item in flat {
        total = total.saturating_add(match item {
            FlatItem::Bytes(bytes) => bytes.len(),
            FlatItem::Skip(len) => usize::try_from(*len).ok()?,
            _ => 1,
        });
        if total > ITEMS_MAX {
            return None;
        }
        match item {
            FlatItem::Bytes(bytes) => {
                items.extend(bytes.iter().map(|value| Item::Byte { value: *value, mask: 0xff }));
            }
            FlatItem::Masked { value, mask } => {
                items.push(Item::Byte { value: *value, mask: *mask });
            }
            FlatItem::Skip(len) => {
                let len = usize::try_from(*len).ok()?;
                items.extend(std::iter::repeat_n(Item::Byte { value: 0, mask: 0 }, len));
            }
            FlatItem::Set { alternatives, negated } => {
                let len = alternatives.first()?.len();
                if alternatives.iter().any(|bytes| bytes.len() != len) {
                    return None;
                }
                items.push(Item::Set { alternatives: alternatives.clone(), negated: *negated });
            }
            FlatItem::Edge(edge) => items.push(Item::Edge(*edge)),
            FlatItem::Open if outer.len() > DEPTH_MAX => return None,
            FlatItem::Open => outer.push((std::mem::take(&mut items), Vec::new())),
            FlatItem::Next => outer.last_mut()?.1.push(std::mem::take(&mut items)),
            FlatItem::Close => {
                let (before, mut alternatives) = outer.pop()?;
                alternatives.push(std::mem::replace(&mut items, before));
                items.push(Item::Any { alternatives });
            }
        }
    }
    outer.is_empty().then_some(items)
}

/// Ours: the language allows 15.
const DEPTH_MAX: usize = 32;
/// Ours: a line of signature has no room for more.
const ITEMS_MAX: usize = 1 << 17;
