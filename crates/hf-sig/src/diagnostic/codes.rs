//! The list of all diagnostic codes; a code keeps its meaning for ever and is never reused.

/// A kind of complaint.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Stable identifier.
    pub id: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// How to put it right, in one sentence.
    pub help: &'static str,
}

macro_rules! codes {
    ($($name:ident = $id:literal, $title:literal, $help:literal;)*) => {
        $(
            #[doc = $title]
            pub static $name: Code = Code { id: $id, title: $title, help: $help };
        )*

        /// Every code, in order.
        pub static ALL: &[&Code] = &[$(&$name,)*];
    };
}

codes! {
    // Files and lines.
    EMPTY_FILE = "HF0001", "empty database file", "a database needs at least one line; leave the file out instead";
    LONG_LINE = "HF0002", "line too long", "ClamAV reads 8191 bytes of a line, in .ldb and .ldu 32767";
    OUTSIDE = "HF0003", "file belongs inside a container", "`.info` files have a meaning only inside a CVD or CLD";
    NO_ENTRY = "HF0004", "no usable entry", "at least one line must be in range of the engine's functionality level";
    // Fields.
    FIELDS = "HF0101", "wrong number of fields", "compare the line with the form given in the manual; blank lines are not allowed";
    NAME = "HF0102", "no signature name", "give the signature a name; it ends before ` (Clam)`";
    NUMBER = "HF0103", "not a number", "write decimal digits only";
    RANGE = "HF0104", "number out of range", "choose a number within the bounds";
    FILE_TYPE = "HF0105", "unknown file type", "use a CL_TYPE_ name from the list of file types";
    DIGEST = "HF0106", "malformed digest", "write 32 (MD5), 40 (SHA-1) or 64 (SHA-256) hexadecimal digits";
    ANY_SIZE_LEVEL = "HF0107", "wildcard size without a functionality level", "append `:73`, the first level that knows `*` as a size";
    HEX = "HF0108", "malformed hexadecimal digits", "write two hexadecimal digits for each byte";
    // Patterns.
    PATTERN_BYTE = "HF0201", "malformed byte in a pattern", "a byte is two hexadecimal digits, `?` stands for a digit";
    PART_SHORT = "HF0202", "part of a pattern too short", "each part between `*` and `{}` needs two neighbouring bytes without a wildcard";
    PART_EMPTY = "HF0203", "empty part of a pattern", "put bytes on both sides of `*` and `{}`";
    GAP = "HF0204", "malformed range", "write `{n}`, `{-n}`, `{n-}` or `{n-m}` with numbers below 2147483648";
    ANCHOR = "HF0205", "malformed anchored byte", "write one byte, `[n-m]` with n <= m <= 32, and the rest; at most one such byte on each side of a part";
    PAREN = "HF0206", "unbalanced parenthesis", "close every `(` and open every `)`";
    ALT_WILDCARD = "HF0207", "wildcard in alternatives", "inside `( )` only `??`, nibbles and `{n}` with 0 < n < 128 are allowed";
    ALT_NEGATED = "HF0208", "negation of general alternatives", "`!( )` needs plain bytes of equal length, without modifiers";
    ALT_EMPTY = "HF0209", "empty alternatives", "write at least one string between the parentheses";
    ALT_DEEP = "HF0210", "alternatives nested too deeply", "ClamAV allows 16 levels of parentheses";
    OFFSET = "HF0211", "malformed offset", "write `*`, n, EOF-n, EP+n, EP-n, Sx+n, SL+n, SEx, VI or $g, and `,maxshift` if need be";
    OFFSET_TARGET = "HF0212", "offset not for this target", "EP, Sx, SL, SEx and VI are for executables: targets 1, 6 and 9";
    MACRO_GROUP = "HF0213", "macro group out of range", "groups are 0 to 31";
    PATTERN_LARGE = "HF0214", "pattern too large", "wildcards included, a pattern has at most 65536 bytes";
    // Logical signatures.
    TDB = "HF0301", "malformed target description", "write `Key:Value` pairs with commas between them";
    ENGINE_FIRST = "HF0302", "Engine is not first", "move `Engine:min-max` to the front of the target description";
    ENGINE_LEVEL = "HF0303", "Engine missing or below 51", "attributes other than Target need `Engine:51-255` or higher in front";
    TARGET_MISSING = "HF0304", "no target", "add `Target:n` to the target description";
    TDB_TARGET = "HF0305", "attribute not for this target", "EntryPoint and NumberOfSections are for targets 1, 6 and 9, IconGroup for 1";
    EXPRESSION = "HF0306", "malformed logical expression", "join indices with & or |, compare with =n, <n or >n, and balance the parentheses";
    SUB_COUNT = "HF0307", "number of sub-signatures", "the expression's largest index must be the last sub-signature's, counted from 0";
    SUB_MANY = "HF0308", "too many sub-signatures", "a signature has at most 64 sub-signatures, a logical expression 1024 terms and 64 levels";
    MODIFIER = "HF0309", "unknown modifier", "behind `::` write i, w, f and a";
    MACRO = "HF0310", "malformed macro", "write `${min-max}group$`";
    PCRE_DELIMITER = "HF0311", "regular expression without its delimiters", "write `trigger/expression/flags`";
    PCRE_TRIGGER = "HF0312", "bad trigger of a regular expression", "a trigger is a logical expression over earlier sub-signatures";
    PCRE_FLAG = "HF0313", "unknown flag of a regular expression", "flags are g, r, e, i, s, m, x, A, E and U";
    PCRE_PATTERN = "HF0314", "malformed regular expression", "the expression follows the rules of PCRE2";
    BYTE_COMPARE = "HF0315", "malformed byte comparison", "write `sub(>>offset#options#comparison)`, with options h, d, a or i, then l or b, e, and the number of bytes";
    IMAGE_HASH = "HF0316", "malformed image hash", "write `fuzzy_img#` and 16 hexadecimal digits; no distance but 0 is supported";
    // Other languages.
    REGEX = "HF0401", "malformed name expression", "the expression is a POSIX extended regular expression without a colon";
    ICON = "HF0402", "malformed icon hash", "an icon hash has 124 hexadecimal digits within the bounds given in the manual";
    ENCRYPTED = "HF0403", "malformed encryption flag", "write `*`, 0 or 1";
    CONFIG = "HF0404", "malformed configuration line", "write `CATEGORY:0xFLAGS:minlevel:maxlevel`";
    PHISHING = "HF0405", "malformed line of a phishing list", "start with R:, H: or S: in .pdb and .gdb, with X:, Y:, M: or S:W: in .wdb";
    IGNORE = "HF0406", "malformed line of an ignore list", "write `Name`, `Name:MD5 of the line` or `file:line:Name`";
    PASSWORD = "HF0407", "malformed password", "kind is 0 (text) or 1 (hexadecimal), the container CL_TYPE_ZIP, CL_TYPE_RAR or CL_TYPE_ANY";
    BYTECODE = "HF0408", "malformed bytecode", "the first line starts with `ClamBC` and ends in `:` and a number";
    CERTIFICATE = "HF0409", "malformed certificate rule", "write the 11 to 13 fields `Name;Trusted;Subject;Serial;Pubkey;Exponent;CodeSign;TimeSign;CertSign;NotBefore;Comment`";
    // Containers.
    CVD_HEADER = "HF0501", "malformed container header", "a container starts with 512 bytes `ClamAV-VDB:...`";
    CVD_TAR = "HF0502", "malformed container", "behind its header a container is a tar archive of plain files, usually compressed with gzip";
    CVD_INFO = "HF0503", "malformed or missing list of members", "a container holds an `.info` file that repeats its header and lists all members";
    CVD_MEMBER = "HF0504", "member differs from the list", "the container was damaged or changed; fetch it again";
    CVD_SIGNATURE = "HF0505", "invalid signature of a container", "the container was damaged or not made by the holder of a trusted key; fetch it again";
    CVD_LARGE = "HF0506", "container too large", "members have at most 1 GiB, all members 4 GiB";
    // Warnings.
    UNKNOWN_FILE = "HF0901", "unknown database type", "see the list of languages for the suffixes that are known";
    IGNORED_TEXT = "HF0902", "text without a meaning", "remove it; ClamAV reads over it";
    NEVER = "HF0903", "signature can never match", "correct the bounds or options; what can never match is left out";
    NO_RULES = "HF0904", "no rules", "the file holds nothing that can be used";
    OLD_ENGINE = "HF0905", "newer functionality level", "some signatures may need a newer engine; update Holdfast";
}
