//! The model of a signature: what every language says, and all that a matcher needs to know.
//!
//! Languages (`hf-sig`) produce it through [`Collector`]; the matcher (`hf-match`) compiles it, and the
//! tests' oracle interprets it directly. Hash signatures come as borrowed rows, because there are millions.
//! Source: ClamAV's published signature documentation.

use serde::{Deserialize, Serialize};

use crate::{FileType, IconMetrics, Target};

/// Where a signature was written and how it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SigMeta<'a> {
    /// Name as written, without `.UNOFFICIAL`.
    pub name: &'a str,
    /// Base name of the database file (`main.ldb`, `daily.cvd/daily.ndb`).
    pub file: &'a str,
    /// Line in it, from 1.
    pub line: u32,
    /// From a database of potentially unwanted applications (`.hdu .mdu .ndu .ldu`).
    pub pua: bool,
}

/// Receives every signature of a database, in file order.
///
/// A language calls it only for lines that are valid and whose functionality level is in range.
pub trait Collector {
    /// Takes a hash signature.
    fn hash(&mut self, meta: SigMeta<'_>, sig: HashSig<'_>);
    /// Takes a body signature (`db`, `ndb`, `ndu`, `sdb`).
    fn body(&mut self, meta: SigMeta<'_>, sig: BodySig);
    /// Takes a logical signature.
    fn logical(&mut self, meta: SigMeta<'_>, sig: LogicalSig);
    /// Takes a container-metadata signature.
    fn container(&mut self, meta: SigMeta<'_>, sig: ContainerSig);
    /// Takes an icon signature.
    fn icon(&mut self, meta: SigMeta<'_>, sig: IconSig);
    /// Takes a type magic (`ftm`); its name is the description.
    fn magic(&mut self, meta: SigMeta<'_>, sig: MagicSig);
    /// Takes a password.
    fn password(&mut self, meta: SigMeta<'_>, sig: PasswordSig);
    /// Takes a line of a phishing list; its name is empty.
    fn phishing(&mut self, meta: SigMeta<'_>, sig: PhishingSig);
    /// Takes a line of an ignore list; its name is the ignored name.
    fn ignore(&mut self, meta: SigMeta<'_>, sig: IgnoreSig);
    /// Takes a line of a parser configuration (`cfg`).
    fn config(&mut self, meta: SigMeta<'_>, sig: ConfigSig);
    /// Takes the text of a YARA file; its name is empty.
    fn yara(&mut self, meta: SigMeta<'_>, text: &str);
    /// Takes a rule on a certificate (`crb`).
    fn certificate(&mut self, meta: SigMeta<'_>, sig: CertificateSig);
    /// Takes note of something that is read and counted but not run (`cbc`, `cat`, `ioc`).
    fn not_run(&mut self, meta: SigMeta<'_>, what: NotRun);
}

/// What a hash is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HashOf {
    /// A whole object (`hdb hsb hdu hsu`).
    Object,
    /// A PE section (`mdb msb mdu msu`).
    Section,
    /// The import string of a PE (`imp`).
    Imports,
    /// A whole object that is known to be good (`fp sfp`).
    Allowed,
}

/// A digest: 16 bytes MD5, 20 SHA-1, 32 SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashSig<'a> {
    /// What is hashed.
    pub of: HashOf,
    /// 16, 20 or 32 bytes.
    pub digest: &'a [u8],
    /// Size of what is hashed, in bytes; none for any size.
    pub size: Option<u32>,
}

/// A pattern with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodySig {
    /// What kind of object it is for; [`Target::ANY`] for all.
    pub target: Target,
    /// Where it may start.
    pub offset: Offset,
    /// What is looked for.
    pub body: Body,
    /// From a `.sdb`: matched before the object is opened.
    pub self_protect: bool,
}

/// Where a match of the first part may start (its leading wildcards included).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offset {
    /// The smallest start.
    pub base: OffsetBase,
    /// How many bytes behind it the match may start.
    pub max_shift: u32,
}

impl Offset {
    /// Anywhere.
    pub const ANY: Self = Self { base: OffsetBase::Any, max_shift: 0 };
}

/// The fixed point of an [`Offset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OffsetBase {
    /// `*`.
    Any,
    /// `n`.
    Absolute(u32),
    /// `EOF-n`.
    End(u32),
    /// `EP+n`, `EP-n`.
    Entry(i64),
    /// `Sx+n`.
    Section {
        /// x, from 0.
        idx: u32,
        /// n.
        add: u32,
    },
    /// `SL+n`.
    LastSection {
        /// n.
        add: u32,
    },
    /// `SEx`: anywhere in section x.
    InSection {
        /// x, from 0.
        idx: u32,
    },
    /// `VI`: at the key of a version-information string.
    VersionInfo,
    /// `$g`: the signature only feeds macro group g (below 32) and never alerts.
    Macro(u8),
}

/// Parts in order, with a gap between each two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Body {
    /// At least one.
    pub parts: Vec<Part>,
    /// One less than parts: bytes between the end of a part and the start of the next.
    pub gaps: Vec<Gap>,
    /// ASCII letters match in both cases.
    pub nocase: bool,
    /// Made wide: `(W)` at the edges looks at 16-bit characters.
    pub wide: bool,
}

/// A number of arbitrary bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// At least.
    pub min: u32,
    /// At most; none for no bound.
    pub max: Option<u32>,
}

/// A contiguous run of items.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct Part {
    /// Zero-width assertions in front.
    pub lead: Vec<Edge>,
    /// A single byte some way in front of the items (`HH[n-m]…`).
    pub left: Option<Reach>,
    /// What is looked for.
    pub items: Vec<Item>,
    /// A single byte some way behind the items (`…[n-m]HH`).
    pub right: Option<Reach>,
    /// Zero-width assertions behind.
    pub trail: Vec<Edge>,
}

/// A single byte at a distance from the items of a part; `min` to `max` bytes lie between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reach {
    /// Its value under the mask.
    pub value: u8,
    /// Which bits count.
    pub mask: u8,
    /// Least bytes between; at most 32.
    pub min: u8,
    /// Most bytes between; at most 32.
    pub max: u8,
}

/// A boundary (`(B)`, `(L)`, `(W)` and their negations).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// Which.
    pub kind: EdgeKind,
    /// `!`.
    pub negated: bool,
}

/// Kinds of boundary; the character tables are the matcher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EdgeKind {
    /// `(B)`.
    Word,
    /// `(L)`.
    Line,
    /// `(W)`.
    NonAlphanumeric,
}

/// One step of a part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Item {
    /// A byte; mask `0xff` exact, `0xf0` and `0x0f` nibbles, `0` any.
    Byte {
        /// Its value under the mask.
        value: u8,
        /// Which bits count.
        mask: u8,
    },
    /// One of several strings of the same length, or none of them (then that many bytes are consumed).
    Set {
        /// Strings of equal length, at least one.
        alternatives: Vec<Vec<u8>>,
        /// `!`.
        negated: bool,
    },
    /// One of several runs of items, of any lengths, tried with backtracking.
    Any {
        /// At least one.
        alternatives: Vec<Vec<Item>>,
    },
    /// A boundary inside a part, which consumes what it stands for.
    Edge(Edge),
}

/// A logical signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalSig {
    /// Target description.
    pub tdb: TargetDesc,
    /// What must hold.
    pub expr: Expr,
    /// Sub-signatures, at most 64; indices in `expr` are all below their number.
    pub subs: Vec<Sub>,
}

/// Target-description block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetDesc {
    /// Target.
    pub target: Target,
    /// Size of the object, inclusive.
    pub file_size: Option<(u32, u32)>,
    /// File offset of the entry point, inclusive.
    pub entry_point: Option<(u32, u32)>,
    /// Number of sections, inclusive.
    pub sections: Option<(u32, u32)>,
    /// Type of the object around; [`FileType::Any`] means none around.
    pub container: Option<FileType>,
    /// Types of the objects around, innermost last.
    pub intermediates: Vec<FileType>,
    /// Icon group of the first column; `*` for any.
    pub icon_group1: Option<String>,
    /// Icon group of the second column; `*` for any.
    pub icon_group2: Option<String>,
    /// No alert: the object is scanned again as this type.
    pub handler: Option<FileType>,
}

/// A logical expression. `&` and `|` have equal precedence and group to the right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expr {
    /// A sub-signature matched (or its count compares as asked).
    Sub {
        /// Its index.
        idx: u8,
        /// Comparison of its count.
        cmp: Option<Compare>,
    },
    /// Both.
    And(Box<Expr>, Box<Expr>),
    /// At least one.
    Or(Box<Expr>, Box<Expr>),
    /// Parentheses, with a comparison of the count within.
    Block {
        /// Inside.
        inner: Box<Expr>,
        /// Comparison.
        cmp: Option<Compare>,
    },
}

/// `=X`, `<X`, `>X`, each with `,Y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// How.
    pub op: CompareOp,
    /// X.
    pub count: u32,
    /// Y: at least so many distinct sub-signatures of the block.
    pub distinct: Option<u32>,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompareOp {
    /// `=`.
    Equal,
    /// `<`.
    Less,
    /// `>`.
    Greater,
}

/// A sub-signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sub {
    /// `${min-max}g$`: refers to the sub-signature before it.
    Macro {
        /// Least distance.
        min: u32,
        /// Most distance.
        max: u32,
        /// Group, below 32.
        group: u8,
    },
    /// A regular expression.
    Pcre {
        /// Where it may start.
        offset: Offset,
        /// Must hold before the expression is tried; refers only to earlier sub-signatures.
        trigger: Expr,
        /// The expression's bytes, `\/` already unescaped.
        pattern: Vec<u8>,
        /// Flags.
        flags: PcreFlags,
    },
    /// A comparison of bytes at a distance from a match.
    ByteCompare(ByteCompare),
    /// Perceptual hash of an image.
    ImageHash([u8; 8]),
    /// A pattern; more than one body for `wa` (wide and ASCII form).
    Body {
        /// Where it may start.
        offset: Offset,
        /// Forms, at least one; a match of any counts.
        forms: Vec<Body>,
    },
}

/// Flags behind a regular expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one letter of the language")]
pub struct PcreFlags {
    /// `g`.
    pub global: bool,
    /// `r`.
    pub rolling: bool,
    /// `e`.
    pub encompass: bool,
    /// `i`.
    pub caseless: bool,
    /// `s`.
    pub dot_all: bool,
    /// `m`.
    pub multi_line: bool,
    /// `x`.
    pub extended: bool,
    /// `A`.
    pub anchored: bool,
    /// `E`.
    pub dollar_end_only: bool,
    /// `U`.
    pub ungreedy: bool,
}

/// A byte comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteCompare {
    /// Sub-signature whose last match is the fixed point.
    pub reference: u8,
    /// Distance from it.
    pub offset: i64,
    /// How the bytes are read.
    pub encoding: ByteEncoding,
    /// Little endian.
    pub little_endian: bool,
    /// Text: the whole field must be digits.
    pub exact: bool,
    /// Number of bytes.
    pub len: u32,
    /// One or two comparisons; all must hold.
    pub compares: Vec<(CompareOp, i64)>,
}

/// How a byte comparison reads its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByteEncoding {
    /// `h`.
    HexText,
    /// `d`.
    DecimalText,
    /// `a`.
    AutoText,
    /// `i`.
    Binary,
}

/// A container-metadata signature (`cdb`, `zmd`, `rmd`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSig {
    /// Type of the container; none for any.
    pub container: Option<FileType>,
    /// Size of the container.
    pub container_size: SizeRange,
    /// Extended regular expression over the member's name; none for any.
    pub name_regex: Option<String>,
    /// Packed size.
    pub packed_size: SizeRange,
    /// Unpacked size.
    pub unpacked_size: SizeRange,
    /// Encrypted or not; none for both.
    pub encrypted: Option<bool>,
    /// Position in the container.
    pub position: SizeRange,
    /// CRC-32 (`zmd`, `rmd`).
    pub crc32: Option<u32>,
}

/// Inclusive bounds; none for no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SizeRange {
    /// Lower.
    pub min: Option<u64>,
    /// Upper.
    pub max: Option<u64>,
}

/// An icon signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IconSig {
    /// First column.
    pub group1: String,
    /// Second column.
    pub group2: String,
    /// What the icon looks like.
    pub metrics: IconMetrics,
}

/// A type magic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MagicSig {
    /// How it is matched.
    pub rule: MagicRule,
    /// Type that the object must have so far.
    pub required: FileType,
    /// Type that it then has.
    pub file_type: FileType,
}

/// How a magic is matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MagicRule {
    /// Bytes (under masks) at an offset.
    At {
        /// Offset in bytes.
        off: u32,
        /// Bytes.
        bytes: Vec<u8>,
        /// For partitions only.
        partition: bool,
    },
    /// A pattern anywhere or at an offset.
    Pattern {
        /// Where.
        offset: Offset,
        /// What.
        body: Body,
    },
}

/// A password for encrypted archives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordSig {
    /// Container it is for; none for any.
    pub container: Option<FileType>,
    /// Its bytes.
    pub password: Vec<u8>,
}

/// Which phishing list a line is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhishingList {
    /// `pdb`.
    Protected,
    /// `gdb`.
    Google,
    /// `wdb`.
    Allowed,
}

/// A line of a phishing list, as written behind its functionality levels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhishingSig {
    /// List.
    pub list: PhishingList,
    /// First field (`R`, `H`, `X`, `Y`, `M`, `S`, `S1`, `S2`).
    pub kind: String,
    /// Other fields.
    pub fields: Vec<String>,
}

/// A rule on certificates of signers of programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of the language")]
pub struct CertificateSig {
    /// Trusted, else blocked.
    pub trusted: bool,
    /// SHA-1 of the subject's content, in DER without tag and length.
    pub subject: [u8; 20],
    /// SHA-1 of the serial number's content; none for any.
    pub serial: Option<[u8; 20]>,
    /// Modulus of the RSA key, the most significant byte first.
    pub modulus: Vec<u8>,
    /// May sign programs.
    pub code_sign: bool,
    /// May sign time stamps.
    pub time_sign: bool,
    /// May sign certificates.
    pub cert_sign: bool,
}

/// A line of an ignore list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreSig {
    /// MD5 that the ignored signature's line must have.
    pub line_md5: Option<[u8; 16]>,
    /// Line number of the old form, which does not bind here.
    pub line: Option<u32>,
}

/// A line of a parser configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSig {
    /// Category.
    pub category: ConfigCategory,
    /// New mask.
    pub flags: u32,
}

/// Categories of parser configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigCategory {
    /// `PE`.
    Pe,
    /// `ELF`.
    Elf,
    /// `MACHO`.
    Macho,
    /// `ARCHIVE`.
    Archive,
    /// `DOCUMENT`.
    Document,
    /// `MAIL`.
    Mail,
    /// `OTHER`.
    Other,
    /// `PHISHING`.
    Phishing,
    /// `BYTECODE`.
    Bytecode,
    /// `PCRE`.
    Pcre,
}

/// Kinds of content that are read but not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NotRun {
    /// `cbc`.
    Bytecode,
    /// `cat`.
    Catalog,
    /// `ioc`.
    OpenIoc,
}
