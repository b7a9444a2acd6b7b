//! The border between a format and the engine: a format hands out children, members, defects and facts.

use crate::{Defect, FileType, Limits, Reason, ScanOptions, Stop};

/// How a child stands to its parent, and therefore how it is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildRole {
    /// An object of its own: it is identified, matched and opened.
    Member,
    /// Found inside the parent at this offset; identified, matched and opened.
    Embedded {
        /// Offset in the parent, in bytes.
        off: u64,
        /// The type by which it was found.
        kind: FileType,
    },
    /// An object of its own whose type is known from where it was: not identified again.
    Typed(FileType),
    /// Another form of the parent's own content: matched as this type's target and as
    /// [`crate::Target::ANY`], neither identified nor opened, and not counted in the depth.
    Normalised(FileType),
    /// As [`ChildRole::Normalised`] for normalised text, which has a target but no type of its own.
    NormalisedText,
}

/// Something inside an object, with its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Child<'a> {
    /// Raw bytes of the name as stored; may be empty.
    pub name: &'a [u8],
    /// Its content.
    pub data: &'a [u8],
    /// How to scan it.
    pub role: ChildRole,
}

/// What a directory or header says of a member, for container-metadata signatures.
///
/// It is announced for every member, even for one that cannot be unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Member<'a> {
    /// Raw bytes of the name as stored.
    pub name: &'a [u8],
    /// Bytes in the container.
    pub packed_len: u64,
    /// Bytes unpacked, as claimed.
    pub unpacked_len: u64,
    /// Encrypted.
    pub encrypted: bool,
    /// CRC-32 as stored, when the format has one.
    pub crc32: Option<u32>,
    /// Position in the container, from 1.
    pub position: u32,
}

/// A link: what it shows and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// Where it leads, as written.
    pub real: &'a [u8],
    /// What it shows, without markup; empty when it shows nothing but itself.
    pub displayed: &'a [u8],
}

/// The engine as a format sees it.
///
/// Every call that returns `Err(Stop)` means: return at once, with this value.
pub trait Sink {
    /// Returns the limits in force.
    fn limits(&self) -> &Limits;

    /// Returns the options in force.
    fn options(&self) -> &ScanOptions;

    /// Returns how many bytes the next child may have. A format stops unpacking there, hands the
    /// child over as far as it is, and says [`Sink::unscanned`] with [`Sink::cap_reason`].
    fn child_cap(&self) -> u64;

    /// Returns the reason to give when a child was cut at [`Sink::child_cap`].
    fn cap_reason(&self) -> Reason;

    /// Announces a member's metadata.
    ///
    /// # Errors
    /// The scan ends here.
    fn member(&mut self, member: &Member<'_>) -> Result<(), Stop>;

    /// Scans a child before it returns.
    ///
    /// # Errors
    /// The scan ends here.
    fn child(&mut self, child: Child<'_>) -> Result<(), Stop>;

    /// Reports a broken structure. Alone it does not make the verdict `incomplete`.
    fn defect(&mut self, defect: Defect);

    /// Reports a part that was not looked at; `name` may be empty for the object itself.
    fn unscanned(&mut self, name: &[u8], reason: Reason);

    /// Reports a heuristic finding under its full name (`Heuristics.Encrypted.Zip`). The format has
    /// already asked [`Sink::options`] whether it is wanted.
    ///
    /// # Errors
    /// The scan ends here.
    fn heuristic(&mut self, name: &str) -> Result<(), Stop>;

    /// Tells a link, for the lists of phishing addresses. The engine knows whether the object is one whose links count.
    ///
    /// # Errors
    /// The scan ends here.
    fn link(&mut self, link: &Link<'_>) -> Result<(), Stop>;

    /// True when facts are read by somebody; what costs time is to be told only then.
    fn wants_facts(&self) -> bool {
        true
    }

    /// Reports a fact for people and metadata (`key` is a dotted lower-case path).
    fn fact(&mut self, key: &str, value: &str);

    /// Ends the scan when its deadline has passed; call it at least every MiB of work.
    ///
    /// # Errors
    /// The scan ends here.
    fn poll(&mut self) -> Result<(), Stop>;

    /// Returns the passwords to try on members of a container of this type, best first.
    fn passwords(&self, container: FileType) -> Vec<Vec<u8>>;
}
