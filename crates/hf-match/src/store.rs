//! One pack's signatures as the matcher reads them: checked at every access, decoded on demand.

use std::sync::Arc;

use hf_core::signature::{ByteCompare, Offset, PcreFlags, TargetDesc};
use hf_pack::{LeArray, Pack};

use crate::logic::Logic;
use crate::pattern::Pattern;
use crate::stored::{self, Head, StoredLogical, StoredSub};

/// A pack with patterns.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) pack: Arc<Pack>,
    files: Vec<String>,
    /// Number of signatures with patterns.
    pub(crate) count: usize,
    pub(crate) official: bool,
}

/// A logical signature, ready to be evaluated. A body signature is one with a single member.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) tdb: Option<TargetDesc>,
    pub(crate) logic: Logic,
    pub(crate) subs: Vec<u32>,
    /// Members that must match, the rarest first.
    pub(crate) required: Vec<u8>,
}

/// A sub-signature, ready to be evaluated.
#[derive(Debug)]
pub(crate) enum CompiledSub {
    Macro { min: u32, max: u32, group: u8 },
    Pcre { offset: Offset, trigger: Logic, pattern: Vec<u8>, flags: PcreFlags },
    ByteCompare(ByteCompare),
    ImageHash([u8; 8]),
    Body { offset: Offset, forms: Vec<Pattern> },
}

impl Store {
    pub(crate) fn open(pack: Arc<Pack>) -> Self {
        let files = postcard::from_bytes(pack.section(stored::FILES)).unwrap_or_default();
        let count = pack.section(stored::HEADS).len() / Head::LEN;
        let official = pack.meta().official;
        Self { pack, files, count, official }
    }

    pub(crate) fn head(&self, sig: u32) -> Option<Head> {
        let off = usize::try_from(sig).ok()?.checked_mul(Head::LEN)?;
        let bytes = self.pack.section(stored::HEADS).get(off..)?.first_chunk()?;
        Some(Head::decode(bytes))
    }

    pub(crate) fn name(&self, head: &Head) -> &str {
        let off = usize::try_from(head.name_off).unwrap_or(usize::MAX);
        let bytes = self.pack.section(stored::NAMES).get(off..);
        let bytes = bytes.and_then(|rest| rest.get(..usize::from(head.name_len)));
        bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    pub(crate) fn origin(&self, head: &Head) -> String {
        let file = self.files.get(usize::from(head.file)).map_or("", String::as_str);
        format!("{file}:{}", head.line)
    }

    /// Decodes a signature; none when its record is damaged.
    pub(crate) fn unit(&self, head: &Head) -> Option<Unit> {
        if !head.is(Head::LOGICAL) {
            let logic = Logic::Sub { idx: 0, cmp: None };
            return Some(Unit { tdb: None, logic, subs: vec![head.record], required: vec![0] });
        }
        let off = usize::try_from(head.record).ok()?;
        let len = usize::try_from(head.record_len).ok()?;
        let bytes = self.pack.section(stored::RECORDS).get(off..)?.get(..len)?;
        let stored: StoredLogical = postcard::from_bytes(bytes).ok()?;
        let logic = Logic::read(&stored.ops)?;
        let mut required = logic.required();
        required.sort_unstable();
        required.dedup();
        Some(Unit { tdb: Some(stored.tdb), logic, subs: stored.subs, required })
    }

    /// Decodes a sub-signature; none when its record is damaged.
    pub(crate) fn stored_sub(&self, id: u32) -> Option<StoredSub> {
        let ends = LeArray::<u64>::new(self.pack.section(stored::SUB_ENDS));
        let id = usize::try_from(id).ok()?;
        let start = if id == 0 { 0 } else { ends.get(id - 1)? };
        let range = usize::try_from(start).ok()?..usize::try_from(ends.get(id)?).ok()?;
        postcard::from_bytes(self.pack.section(stored::SUBS).get(range)?).ok()
    }

    /// Decodes and compiles a sub-signature; none when its record is damaged.
    pub(crate) fn compiled_sub(&self, id: u32) -> Option<CompiledSub> {
        Some(match self.stored_sub(id)? {
            StoredSub::Macro { min, max, group } => CompiledSub::Macro { min, max, group },
            StoredSub::Pcre { offset, trigger, pattern, flags } => {
                CompiledSub::Pcre { offset, trigger: Logic::read(&trigger)?, pattern, flags }
            }
            StoredSub::ByteCompare(compare) => CompiledSub::ByteCompare(compare),
            StoredSub::ImageHash(hash) => CompiledSub::ImageHash(hash),
            StoredSub::Body { offset, forms } => {
                let forms = forms.iter().map(|form| form.body().map(|body| Pattern::new(&body)));
                CompiledSub::Body { offset, forms: forms.collect::<Option<_>>()? }
            }
        })
    }
}

impl CompiledSub {
    /// Returns about how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        64 + match self {
            Self::Pcre { pattern, .. } => pattern.len() + 128,
            Self::Body { forms, .. } => forms.iter().map(Pattern::weight).sum(),
            _ => 0,
        }
    }

    /// Returns how dear it is to look for and, of what is equally dear, how common it is: the order
    /// in which members are looked for.
    pub(crate) fn rank(&self) -> (u32, u32) {
        match self {
            Self::ImageHash(_) => (0, 0),
            Self::Body { offset, forms } => {
                let rarity = forms.iter().map(Pattern::rarity).min().unwrap_or(0);
                let anywhere = offset.base == Offset::ANY.base;
                (1 + u32::from(anywhere), u32::MAX - rarity)
            }
            Self::Macro { .. } => (3, 0),
            Self::ByteCompare(_) => (4, 0),
            Self::Pcre { .. } => (5, 0),
        }
    }
}
