//! The table of `clamscan`'s options: one row each, from which parsing, help and the manual come.
//!
//! Source: the options of clamscan 1.4.6 as its help prints them, and those that newer versions add.

use crate::clamav::option::Takes::{self, Bool, Number, OneOf, Size, Text, Texts};
use crate::clamav::option::{Opt, old, old_with, row, told};
use crate::clamav::parse::Table;

/// What `clamscan` is given.
pub(crate) static TABLE: Table =
    Table { program: "clamscan", options: OPTIONS, unsupported: &[], aliases: ALIASES };

const MIB: u64 = 1 << 20;
const OFF: Takes = Bool(false);
const ON: Takes = Bool(true);
const NO_TEMP: &str = "Holdfast unpacks in the worker's memory and writes no temporary files";
const NO_BYTECODE: &str = "bytecode signatures are counted but not run";
const MODES: &[&str] = &["Auto", "ForceJIT", "ForceInterpreter", "Test"];
const STATISTICS: &[&str] = &["none", "bytecode", "pcre"];
const CARD_MODES: &[&str] = &["0", "1"];
const NO_HWP3: &str = "documents in HWP3 count like others, for --max-recursion";
const PCRE: &str = "expressions run in linear time, or with a limit of Holdfast's own";
const NO_CERTS: &str = "certificates are facts of `holdfast inspect` and of --gen-json";

/// Every option.
pub(crate) static OPTIONS: &[Opt] = &[
    row("help", 'h', OFF, "Show this help"),
    row("version", 'V', OFF, "Print version number"),
    row("verbose", 'v', OFF, "Be verbose"),
    row("archive-verbose", 'a', OFF, "Show filenames inside scanned archives"),
    told("debug", OFF, "there is no debug log; use `holdfast inspect`", "Accepted for scripts"),
    row("quiet", ' ', OFF, "Only output error messages"),
    row("stdout", ' ', OFF, "Write to stdout instead of stderr"),
    row("no-summary", ' ', OFF, "Disable summary at end of scanning"),
    row("infected", 'i', OFF, "Only print infected files"),
    row("suppress-ok-results", 'o', OFF, "Skip printing OK files"),
    row("bell", ' ', OFF, "Sound bell on virus detection"),
    told("tempdir", Text, NO_TEMP, "Accepted for scripts; nothing is written"),
    told("leave-temps", OFF, NO_TEMP, "Accepted for scripts; nothing is written"),
    told("force-to-disk", OFF, NO_TEMP, "Accepted for scripts; nothing is written"),
    row("gen-json", ' ', OFF, "Write metadata.json, with --leave-temps or --debug"),
    row("database", 'd', Texts, "Load signatures from FILE or all supported files from DIR"),
    row("official-db-only", ' ', OFF, "Only load official signatures"),
    row("fail-if-cvd-older-than", ' ', Number(0), "Fail when there is no younger signed database"),
    row("cvdcertsdir", ' ', Text, "Directory of signers' certificates"),
    row("log", 'l', Text, "Save scan report to FILE"),
    row("recursive", 'r', OFF, "Scan subdirectories recursively"),
    row("allmatch", 'z', OFF, "Continue scanning within file after finding a match"),
    row("cross-fs", ' ', ON, "Scan files and directories on other filesystems"),
    row("follow-dir-symlinks", ' ', Number(1), "0 = never, 1 = direct, 2 = always"),
    row("follow-file-symlinks", ' ', Number(1), "0 = never, 1 = direct, 2 = always"),
    row("file-list", 'f', Text, "Scan files from FILE"),
    row("remove", ' ', OFF, "Remove infected files"),
    row("move", ' ', Text, "Move infected files into DIRECTORY"),
    row("copy", ' ', Text, "Copy infected files into DIRECTORY"),
    row("exclude", ' ', Texts, "Don't scan file names matching REGEX"),
    row("exclude-dir", ' ', Texts, "Don't scan directories matching REGEX"),
    row("include", ' ', Texts, "Only scan file names matching REGEX"),
    row("include-dir", ' ', Texts, "Only scan directories matching REGEX"),
    row("max-dir-recursion", ' ', Number(15), "Maximum directory recursion level"),
    told("bytecode", ON, NO_BYTECODE, "Accepted for scripts"),
    told("bytecode-unsigned", OFF, NO_BYTECODE, "Accepted for scripts"),
    told("bytecode-timeout", Number(10_000), NO_BYTECODE, "Accepted for scripts"),
    told("bytecode-mode", OneOf(MODES), NO_BYTECODE, "Accepted for scripts"),
    told("statistics", OneOf(STATISTICS), "no such statistics are kept", "Accepted for scripts"),
    row("yara-rules", ' ', Text, "yes, no or only"),
    row("detect-pua", ' ', OFF, "Detect Possibly Unwanted Applications"),
    row("exclude-pua", ' ', Texts, "Skip PUA signatures of category CAT"),
    row("include-pua", ' ', Texts, "Load PUA signatures of category CAT"),
    row("detect-structured", ' ', OFF, "Detect structured data (SSN, credit card)"),
    row("structured-ssn-format", ' ', Number(0), "0 = normal, 1 = stripped, 2 = both"),
    row("structured-ssn-count", ' ', Number(3), "Least number of SSNs for a finding"),
    row("structured-cc-count", ' ', Number(3), "Least number of card numbers for a finding"),
    row("structured-cc-mode", ' ', OneOf(CARD_MODES), "0 = all cards, 1 = credit cards only"),
    row("scan-mail", ' ', ON, "Scan mail files"),
    row("phishing-sigs", ' ', ON, "Enable signature-based phishing detection"),
    row("phishing-scan-urls", ' ', ON, "Enable URL-based phishing detection"),
    row("heuristic-alerts", ' ', ON, "Heuristic alerts"),
    row("heuristic-scan-precedence", ' ', OFF, "Stop as soon as a heuristic match is found"),
    row("normalize", ' ', ON, "Normalize HTML, script and text files"),
    row("scan-pe", ' ', ON, "Scan PE files"),
    row("scan-elf", ' ', ON, "Scan ELF files"),
    row("scan-ole2", ' ', ON, "Scan OLE2 containers"),
    row("scan-pdf", ' ', ON, "Scan PDF files"),
    row("scan-swf", ' ', ON, "Scan SWF files"),
    row("scan-html", ' ', ON, "Scan HTML files"),
    row("scan-xmldocs", ' ', ON, "Scan XML-based document files"),
    row("scan-hwp3", ' ', ON, "Scan HWP3 files"),
    row("scan-onenote", ' ', ON, "Scan OneNote files"),
    row("scan-archive", ' ', ON, "Scan archive files"),
    row("scan-image", ' ', ON, "Scan image files"),
    row("scan-image-fuzzy-hash", ' ', ON, "Calculate image fuzzy hashes"),
    row("alert-broken", ' ', OFF, "Alert on broken executable files"),
    row("alert-broken-media", ' ', OFF, "Alert on broken graphics files"),
    row("alert-encrypted", ' ', OFF, "Alert on encrypted archives and documents"),
    row("alert-encrypted-archive", ' ', OFF, "Alert on encrypted archives"),
    row("alert-encrypted-doc", ' ', OFF, "Alert on encrypted documents"),
    row("alert-macros", ' ', OFF, "Alert on OLE2 files containing VBA macros"),
    row("alert-exceeds-max", ' ', OFF, "Alert on files that exceed a limit"),
    row("alert-phishing-ssl", ' ', OFF, "Alert on SSL mismatches in URLs"),
    row("alert-phishing-cloak", ' ', OFF, "Alert on cloaked URLs"),
    row("alert-partition-intersection", ' ', OFF, "Alert on partition intersections"),
    row("nocerts", ' ', OFF, "Do not verify Authenticode"),
    told("dumpcerts", OFF, NO_CERTS, "Dump Authenticode certificates"),
    row("max-scantime", ' ', Number(0), "Longest scan of one file in milliseconds"),
    row("max-filesize", ' ', Size(100 * MIB), "Largest file that is scanned"),
    row("max-scansize", ' ', Size(400 * MIB), "Most data scanned for one file"),
    row("max-files", ' ', Number(10_000), "Most files scanned in one container"),
    row("max-recursion", ' ', Number(17), "Deepest nesting of containers"),
    row("max-embeddedpe", ' ', Size(40 * MIB), "Largest file searched for embedded PE"),
    row("max-htmlnormalize", ' ', Size(40 * MIB), "Largest HTML file that is normalized"),
    row("max-htmlnotags", ' ', Size(8 * MIB), "Largest HTML file copied without tags"),
    row("max-scriptnormalize", ' ', Size(20 * MIB), "Largest script that is normalized"),
    told(
        "max-ziptypercg",
        Size(MIB),
        "types of zips come from their members",
        "Accepted for scripts",
    ),
    row("max-partitions", ' ', Number(50), "Most partitions of a disk image"),
    row("max-iconspe", ' ', Number(100), "Most icons of a PE file"),
    told("max-rechwp3", Number(16), NO_HWP3, "Deepest recursion in HWP3"),
    told("pcre-match-limit", Number(100_000), PCRE, "Most steps of a regular expression"),
    told("pcre-recmatch-limit", Number(2_000), PCRE, "Deepest recursion of one"),
    row("pcre-max-filesize", ' ', Size(100 * MIB), "Largest file for regular expressions"),
    row("disable-cache", ' ', OFF, "There is no cache of clean files"),
    told(
        "cache-size",
        Number(65_536),
        "clamscan's cache of clean files is not needed here",
        "Accepted for scripts",
    ),
    told("gen-mdb", OFF, "use `holdfast inspect`", "Accepted for scripts"),
    row("log-hash", ' ', OFF, "Print each file's SHA-256"),
    row("log-file-type", ' ', OFF, "Print each file's type"),
    told("hash-hint", Text, "every digest is computed from the file", "Accepted for scripts"),
    told("hash-alg", Text, "every digest is computed from the file", "Accepted for scripts"),
    told("file-type-hint", Text, "types come from content alone", "Accepted for scripts"),
    told("fips-limits", OFF, "MD5 and SHA-1 lists stay in use", "Accepted for scripts"),
    told("json-store-html-uris", ON, "use `holdfast scan --json`", "Accepted for scripts"),
    told("json-store-pdf-uris", ON, "use `holdfast scan --json`", "Accepted for scripts"),
    told("json-store-extra-hashes", OFF, "use `holdfast scan --json`", "Accepted for scripts"),
    told("dev-ac-only", OFF, "it tunes ClamAV's matcher", ""),
    told("dev-ac-depth", Number(0), "it tunes ClamAV's matcher", ""),
    told("dev-performance", OFF, "use `cargo xtask bench`", ""),
    row("algorithmic-detection", ' ', ON, ""),
    row("block-max", ' ', OFF, ""),
    row("phishing-ssl", ' ', OFF, ""),
    row("phishing-cloak", ' ', OFF, ""),
    row("partition-intersection", ' ', OFF, ""),
    row("block-macros", ' ', OFF, ""),
    row("block-encrypted", ' ', OFF, ""),
    Opt { short: Some('t'), ..old("bytecode-trust-all") },
    old("force"),
    old("disable-summary"),
    old("disable-archive"),
    old("no-archive"),
    old("no-pe"),
    old("no-elf"),
    old("no-ole2"),
    old("no-pdf"),
    old("no-html"),
    old("no-mail"),
    old("no-phishing-sigs"),
    old("no-phishing-scan-urls"),
    old("no-algorithmic"),
    old("no-phishing-restrictedscan"),
    old_with("max-ratio"),
    old_with("max-space"),
    old("unzip"),
    old("unrar"),
    old("arj"),
    old("unzoo"),
    old("lha"),
    old("jar"),
    old("tar"),
    old("tgz"),
    old("deb"),
    old_with("timelimit"),
    old("detect-broken"),
    old("mail-follow-urls"),
];

/// The older name of an option, and today's.
pub(crate) static ALIASES: &[(&str, &str)] = &[
    ("algorithmic-detection", "heuristic-alerts"),
    ("block-max", "alert-exceeds-max"),
    ("phishing-ssl", "alert-phishing-ssl"),
    ("phishing-cloak", "alert-phishing-cloak"),
    ("partition-intersection", "alert-partition-intersection"),
    ("block-macros", "alert-macros"),
    ("block-encrypted", "alert-encrypted"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_aliases_lead_somewhere() {
        let names: BTreeSet<_> = OPTIONS.iter().map(|opt| opt.name).collect();
        assert_eq!(names.len(), OPTIONS.len());
        let shorts: Vec<_> = OPTIONS.iter().filter_map(|opt| opt.short).collect();
        assert_eq!(shorts.iter().collect::<BTreeSet<_>>().len(), shorts.len());
        for (from, to) in ALIASES {
            assert!(names.contains(from) && names.contains(to), "{from}");
        }
    }
}
