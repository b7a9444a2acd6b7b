//! What the signatures of a pack need of an object, found once when it is compiled.

use std::io::{Seek, Write};

use hf_core::Target;
use hf_core::signature::OffsetBase;
use hf_pack::{Pack, PackWriter, SectionId, WritePackError};
use serde::{Deserialize, Serialize};

use crate::stored::{Head, StoredLogical, StoredSub};

/// Needs of all signatures with patterns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Traits {
    /// Targets with a signature of several parts.
    pub(crate) multi_part: [bool; Target::COUNT as usize],
    /// Targets with a pattern whose offset counts from the end.
    pub(crate) from_end: [bool; Target::COUNT as usize],
    /// There are signatures that are matched before the object is opened.
    pub(crate) self_protect: bool,
    /// Icons are asked for.
    pub(crate) icons: bool,
    /// Perceptual hashes of images are asked for.
    pub(crate) image_hash: bool,
    /// Bodies of macro groups.
    pub(crate) macros: Vec<MacroBody>,
}

/// A body that feeds a macro group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MacroBody {
    pub(crate) target: u8,
    pub(crate) group: u8,
    pub(crate) sub: u32,
}

impl Traits {
    pub(crate) fn note_sub(&mut self, target: u8, sub: &StoredSub) {
        match sub {
            StoredSub::ImageHash(_) => self.image_hash = true,
            StoredSub::Body { offset, forms } => {
                let at = usize::from(target);
                if let Some(multi_part) = self.multi_part.get_mut(at) {
                    *multi_part |= forms.iter().any(|form| form.part_count() > 1);
                }
                if let Some(from_end) = self.from_end.get_mut(at) {
                    *from_end |= matches!(offset.base, OffsetBase::End(_));
                }
            }
            _ => {}
        }
    }

    pub(crate) fn note_logical(&mut self, sig: &StoredLogical) {
        self.icons |= sig.tdb.icon_group1.is_some() || sig.tdb.icon_group2.is_some();
    }

    pub(crate) fn note_body(&mut self, head: &Head, base: OffsetBase) {
        self.self_protect |= head.is(Head::SELF_PROTECT);
        if let OffsetBase::Macro(group) = base {
            self.macros.push(MacroBody { target: head.target, group, sub: head.record });
        }
    }

    pub(crate) fn read(pack: &Pack) -> Self {
        postcard::from_bytes(pack.section(TRAITS)).unwrap_or_default()
    }

    pub(crate) fn write<W: Write + Seek>(
        &self,
        pack: &mut PackWriter<W>,
    ) -> Result<(), WritePackError> {
        let bytes = postcard::to_stdvec(self).map_err(|_| WritePackError::Meta)?;
        pack.write_section(TRAITS, &bytes)
    }
}

const TRAITS: SectionId = SectionId::LOGICAL_BASE.plus(4);
