//! Every option of `clamd.conf`, one row each.

/// What an option takes, and its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// `yes`, `no`, `true`, `false`, `1` or `0`.
    Bool(bool),
    /// A decimal number; none when it has to be given to mean something.
    Number(Option<u64>),
    /// A number with an optional `K`, `M` or `G`.
    Size(u64),
    /// Text.
    Text,
    /// Text, any number of times.
    Texts,
    /// A number, any number of times.
    Numbers,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does what it says.
    Honoured,
    /// It is accepted, and this is said.
    NotHonoured(&'static str),
    /// It is another name of an option.
    Alias(&'static str),
    /// It is accepted with the same warning as in ClamAV.
    Deprecated,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Its name in the file.
    pub name: &'static str,
    /// Its name on clamd's command line, where it can be given there.
    pub long: Option<&'static str>,
    /// What it takes.
    pub takes: Takes,
    /// What becomes of it.
    pub fate: Fate,
}

const fn row(name: &'static str, takes: Takes) -> Opt {
    Opt { name, long: None, takes, fate: Fate::Honoured }
}

const fn long(name: &'static str, long: &'static str, takes: Takes) -> Opt {
    Opt { name, long: Some(long), takes, fate: Fate::Honoured }
}

const fn told(name: &'static str, takes: Takes, why: &'static str) -> Opt {
    Opt { name, long: None, takes, fate: Fate::NotHonoured(why) }
}

const fn told_long(name: &'static str, long: &'static str, takes: Takes, why: &'static str) -> Opt {
    Opt { name, long: Some(long), takes, fate: Fate::NotHonoured(why) }
}

const fn alias(name: &'static str, of: &'static str, default: bool) -> Opt {
    Opt { name, long: None, takes: Bool(default), fate: Fate::Alias(of) }
}

const fn old(name: &'static str) -> Opt {
    Opt { name, long: None, takes: Text, fate: Fate::Deprecated }
}

use Takes::{Bool, Number, Numbers, OneOf, Size, Text, Texts};

const MIB: u64 = 1 << 20;
const ON: Takes = Bool(true);
const OFF: Takes = Bool(false);
const NO_TEMP: &str =
    "objects are unpacked in the worker's memory and no temporary files are written";
const NO_BYTECODE: &str = "bytecode signatures are counted but not run";
const NO_JSON: &str = "metadata is told by `holdfast scan --json --contents`";
const NO_STREAM: &str = "the STREAM command is gone from clamd too; INSTREAM needs no ports";
const PCRE: &str = "expressions run in linear time, or with a limit of Holdfast's own";
const DEV: &str = "it tunes ClamAV's matcher";
const SECURITY: &[&str] = &["TrustSigned", "Paranoid"];
const MODES: &[&str] = &["Auto", "ForceJIT", "ForceInterpreter", "Test"];

/// Every option.
pub static OPTIONS: &[Opt] = &[
    long("AlertBrokenExecutables", "alert-broken", OFF),
    long("AlertBrokenMedia", "alert-broken-media", OFF),
    long("AlertEncrypted", "alert-encrypted", OFF),
    long("AlertEncryptedArchive", "alert-encrypted-archive", OFF),
    long("AlertEncryptedDoc", "alert-encrypted-doc", OFF),
    long("AlertExceedsMax", "alert-exceeds-max", OFF),
    long("AlertOLE2Macros", "alert-macros", OFF),
    long("AlertPartitionIntersection", "alert-partition-intersection", OFF),
    long("AlertPhishingCloak", "alert-phishing-cloak", OFF),
    long("AlertPhishingSSLMismatch", "alert-phishing-ssl", OFF),
    alias("AlgorithmicDetection", "HeuristicAlerts", true),
    row("AllowAllMatchScan", ON),
    old("AllowSupplementaryGroups"),
    alias("ArchiveBlockEncrypted", "AlertEncrypted", false),
    old("ArchiveBlockMax"),
    old("ArchiveLimitMemoryUsage"),
    old("ArchiveMaxCompressionRatio"),
    old("ArchiveMaxFiles"),
    old("ArchiveMaxRecursion"),
    old("ArchiveMaxScanSize"),
    alias("BlockMax", "AlertExceedsMax", false),
    told_long("Bytecode", "bytecode", ON, NO_BYTECODE),
    told_long("BytecodeMode", "bytecode-mode", OneOf(MODES), NO_BYTECODE),
    told("BytecodeSecurity", OneOf(SECURITY), NO_BYTECODE),
    told_long("BytecodeTimeout", "bytecode-timeout", Number(Some(10_000)), NO_BYTECODE),
    told_long("BytecodeUnsigned", "bytecode-unsigned", OFF, NO_BYTECODE),
    long("CVDCertsDirectory", "cvdcertsdir", Text),
    long("CacheSize", "cache-size", Number(Some(65_536))),
    row("CommandReadTimeout", Number(Some(30))),
    told("ConcurrentDatabaseReload", ON, "a reload never blocks a scan and never doubles memory"),
    row("CrossFilesystems", ON),
    long("DatabaseDirectory", "datadir", Text),
    told_long("Debug", "debug", OFF, "there is no debug log; LogVerbose says more"),
    old("DetectBrokenExecutables"),
    long("DetectPUA", "detect-pua", OFF),
    told("DevACDepth", Number(None), DEV),
    told("DevACOnly", OFF, DEV),
    told("DevLiblog", OFF, DEV),
    told("DevPerformance", OFF, DEV),
    long("DisableCache", "disable-cache", OFF),
    long("DisableCertCheck", "nocerts", OFF),
    row("EnableReloadCommand", ON),
    row("EnableSelfCheckCommand", ON),
    row("EnableShutdownCommand", ON),
    row("EnableStatsCommand", ON),
    row("EnableVersionCommand", ON),
    row("ExcludePUA", Texts),
    row("ExcludePath", Texts),
    told("ExitOnOOM", OFF, "memory is bounded in each worker, whose end is one object's error"),
    row("ExtendedDetectionInfo", OFF),
    told("FIPSCryptoHashLimits", OFF, "MD5 and SHA-1 lists stay in use"),
    long("FailIfCvdOlderThan", "fail-if-cvd-older-than", Number(None)),
    row("FixStaleSocket", ON),
    row("FollowDirectorySymlinks", OFF),
    row("FollowFileSymlinks", OFF),
    told_long("ForceToDisk", "force-to-disk", OFF, NO_TEMP),
    long("Foreground", "foreground", OFF),
    told_long("GenerateMetadataJson", "gen-json", OFF, NO_JSON),
    long("HeuristicAlerts", "heuristic-alerts", ON),
    long("HeuristicScanPrecedence", "heuristic-scan-precedence", OFF),
    row("IdleTimeout", Number(Some(30))),
    row("IncludePUA", Texts),
    told("JsonStoreExtraHashes", OFF, NO_JSON),
    told("JsonStoreHTMLURIs", ON, NO_JSON),
    told("JsonStorePDFURIs", ON, NO_JSON),
    told_long("LeaveTemporaryFiles", "leave-temps", OFF, NO_TEMP),
    row("LocalSocket", Text),
    row("LocalSocketGroup", Text),
    row("LocalSocketMode", Text),
    row("LogClean", OFF),
    row("LogFacility", Text),
    long("LogFile", "log", Text),
    row("LogFileMaxSize", Size(MIB)),
    row("LogFileUnlock", OFF),
    row("LogRotate", OFF),
    row("LogSyslog", OFF),
    row("LogTime", OFF),
    row("LogVerbose", OFF),
    old("MailFollowURLs"),
    old("MailMaxRecursion"),
    row("MaxConnectionQueueLength", Number(Some(200))),
    row("MaxDirectoryRecursion", Number(Some(15))),
    long("MaxEmbeddedPE", "max-embeddedpe", Size(40 * MIB)),
    long("MaxFileSize", "max-filesize", Size(100 * MIB)),
    long("MaxFiles", "max-files", Number(Some(10_000))),
    long("MaxHTMLNoTags", "max-htmlnotags", Size(8 * MIB)),
    long("MaxHTMLNormalize", "max-htmlnormalize", Size(40 * MIB)),
    long("MaxIconsPE", "max-iconspe", Number(Some(100))),
    long("MaxPartitions", "max-partitions", Number(Some(50))),
    row("MaxQueue", Number(Some(100))),
    long("MaxRecHWP3", "max-rechwp3", Number(Some(16))),
    long("MaxRecursion", "max-recursion", Number(Some(17))),
    long("MaxScanSize", "max-scansize", Size(400 * MIB)),
    long("MaxScanTime", "max-scantime", Number(Some(0))),
    long("MaxScriptNormalize", "max-scriptnormalize", Size(20 * MIB)),
    row("MaxThreads", Number(Some(10))),
    long("MaxZipTypeRcg", "max-ziptypercg", Size(MIB)),
    alias("OLE2BlockMacros", "AlertOLE2Macros", false),
    long("OfficialDatabaseOnly", "official-db-only", OFF),
    row("OnAccessCurlTimeout", Number(Some(5_000))),
    row("OnAccessDenyOnError", OFF),
    row("OnAccessDisableDDD", OFF),
    row("OnAccessExcludePath", Texts),
    row("OnAccessExcludeRootUID", OFF),
    row("OnAccessExcludeUID", Numbers),
    row("OnAccessExcludeUname", Texts),
    row("OnAccessExtraScanning", OFF),
    row("OnAccessIncludePath", Texts),
    row("OnAccessMaxFileSize", Size(5 * MIB)),
    row("OnAccessMaxThreads", Number(Some(5))),
    row("OnAccessMountPath", Texts),
    row("OnAccessPrevention", OFF),
    row("OnAccessRetryAttempts", Number(Some(0))),
    told_long("PCREMatchLimit", "pcre-match-limit", Number(Some(100_000)), PCRE),
    long("PCREMaxFileSize", "pcre-max-filesize", Size(100 * MIB)),
    told_long("PCRERecMatchLimit", "pcre-recmatch-limit", Number(Some(2_000)), PCRE),
    alias("PartitionIntersection", "AlertPartitionIntersection", false),
    alias("PhishingAlwaysBlockCloak", "AlertPhishingCloak", false),
    alias("PhishingAlwaysBlockSSLMismatch", "AlertPhishingSSLMismatch", false),
    long("PhishingScanURLs", "phishing-scan-urls", ON),
    long("PhishingSignatures", "phishing-sigs", ON),
    long("PidFile", "pid", Text),
    told("PreludeAnalyzerName", Text, "there is no Prelude output; use syslog or the journal"),
    told("PreludeEnable", OFF, "there is no Prelude output; use syslog or the journal"),
    row("ReadTimeout", Number(Some(120))),
    long("ScanArchive", "scan-archive", ON),
    long("ScanELF", "scan-elf", ON),
    long("ScanHTML", "scan-html", ON),
    long("ScanHWP3", "scan-hwp3", ON),
    long("ScanImage", "scan-image", ON),
    long("ScanImageFuzzyHash", "scan-image-fuzzy-hash", ON),
    long("ScanMail", "scan-mail", ON),
    long("ScanOLE2", "scan-ole2", ON),
    old("ScanOnAccess"),
    long("ScanOneNote", "scan-onenote", ON),
    long("ScanPDF", "scan-pdf", ON),
    long("ScanPE", "scan-pe", ON),
    told(
        "ScanPartialMessages",
        OFF,
        "parts of a message that come as several mails are not joined",
    ),
    long("ScanSWF", "scan-swf", ON),
    long("ScanXMLDOCS", "scan-xmldocs", ON),
    row("SelfCheck", Number(Some(600))),
    row("SendBufTimeout", Number(Some(500))),
    row("StreamMaxLength", Size(100 * MIB)),
    told("StreamMaxPort", Number(Some(2048)), NO_STREAM),
    told("StreamMinPort", Number(Some(1024)), NO_STREAM),
    row("StructuredCCOnly", OFF),
    long("StructuredDataDetection", "detect-structured", OFF),
    long("StructuredMinCreditCardCount", "structured-cc-count", Number(Some(3))),
    long("StructuredMinSSNCount", "structured-ssn-count", Number(Some(3))),
    row("StructuredSSNFormatNormal", ON),
    row("StructuredSSNFormatStripped", OFF),
    row("TCPAddr", Texts),
    row("TCPSocket", Number(None)),
    long("TemporaryDirectory", "tempdir", Text),
    row("User", Text),
    row("VirusEvent", Text),
];

/// Returns an option by its name in the file.
pub(super) fn named(name: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|opt| opt.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_unique_and_aliases_lead_somewhere() {
        assert!(OPTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for opt in OPTIONS {
            if let Fate::Alias(of) = opt.fate {
                assert!(named(of).is_some(), "{of}");
            }
        }
    }
}
