//! Names of sections: an open newtype, with one range per owner.

/// Says what a section holds. The format does not know the meaning; each owner has a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionId(pub u32);

impl SectionId {
    /// The [`crate::PackMeta`]; written by the writer itself.
    pub const META: Self = Self(1);

    /// First id of hash tables, names and origins (`hf-match::hash`); up to [`SectionId::BODY_BASE`].
    pub const HASH_BASE: Self = Self(0x0001_0000);
    /// First id of body signatures.
    pub const BODY_BASE: Self = Self(0x0002_0000);
    /// First id of logical signatures.
    pub const LOGICAL_BASE: Self = Self(0x0003_0000);
    /// First id of prefilters.
    pub const FILTER_BASE: Self = Self(0x0004_0000);
    /// First id of rare kinds: container metadata, icons, magics, passwords, phishing, configuration.
    pub const OTHER_BASE: Self = Self(0x0005_0000);
    /// First id of YARA texts.
    pub const YARA_BASE: Self = Self(0x0006_0000);
    /// First id of what `hf-content` keeps for itself.
    pub const CONTENT_BASE: Self = Self(0x0007_0000);

    /// Returns the id that stands `add` behind this one.
    #[must_use]
    pub const fn plus(self, add: u32) -> Self {
        Self(self.0.wrapping_add(add))
    }
}

impl std::fmt::Display for SectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}
