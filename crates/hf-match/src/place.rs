//! Where a match may start in one object: an [`Offset`] with the object's facts filled in.

use hf_core::signature::{Offset, OffsetBase};
use hf_core::{ExeView, Facts};

/// Starts that an offset allows, both bounds included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// None.
    Nowhere,
    /// Between two offsets.
    Between(usize, usize),
    /// At one of some offsets, ascending.
    At(Vec<usize>),
}

impl Place {
    /// Fills in an object's length and facts.
    pub(crate) fn of(offset: Offset, len: usize, facts: &dyn Facts) -> Self {
        if let OffsetBase::Any | OffsetBase::Macro(_) = offset.base {
            return Self::Between(0, len);
        }
        if offset.base == OffsetBase::VersionInfo {
            let mut offs: Vec<usize> = facts.exe().map_or_else(Vec::new, |exe| {
                exe.version_key_offs.iter().filter_map(|off| usize::try_from(*off).ok()).collect()
            });
            offs.sort_unstable();
            offs.dedup();
            return Self::At(offs);
        }
        let Some((base, width)) = base(offset.base, len, facts) else { return Self::Nowhere };
        let upto = base.checked_add(u64::from(offset.max_shift)).and_then(|n| n.checked_add(width));
        let upto = upto.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        match usize::try_from(base) {
            Ok(from) if from <= len => Self::Between(from, upto.min(len)),
            _ => Self::Nowhere,
        }
    }
}

/// Returns the smallest start, and how many bytes the base itself is wide.
fn base(base: OffsetBase, len: usize, facts: &dyn Facts) -> Option<(u64, u64)> {
    let len = u64::try_from(len).ok()?;
    let section = |exe: &ExeView, idx: usize| {
        exe.sections.get(idx).map(|section| (section.raw_off, section.raw_len))
    };
    match base {
        OffsetBase::Any | OffsetBase::Macro(_) | OffsetBase::VersionInfo => None,
        OffsetBase::Absolute(off) => Some((u64::from(off), 0)),
        OffsetBase::End(back) => {
            facts.end_known().then_some((len.checked_sub(u64::from(back))?, 0))
        }
        OffsetBase::Entry(add) => Some((facts.exe()?.entry_off?.checked_add_signed(add)?, 0)),
        OffsetBase::Section { idx, add } => {
            let (off, _) = section(facts.exe()?, usize::try_from(idx).ok()?)?;
            Some((off.checked_add(u64::from(add))?, 0))
        }
        OffsetBase::LastSection { add } => {
            let exe = facts.exe()?;
            let (off, _) = section(exe, exe.sections.len().checked_sub(1)?)?;
            Some((off.checked_add(u64::from(add))?, 0))
        }
        OffsetBase::InSection { idx } => section(facts.exe()?, usize::try_from(idx).ok()?),
    }
}
