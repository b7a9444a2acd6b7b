//! The lines of `clamd.conf` that concern a client: where the daemon is, and what is walked how.
//!
//! Promises: a line that ClamAV refuses is refused with its words.
//! Leaves out: the daemon's own options, of which only the names are known here.
//! Source: clamd.conf(5); clamdscan 1.4.6 as it behaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex_automata::meta::Regex;

use crate::session;
use crate::walk::{Follow, WalkOptions};

/// Where the daemon is, and how clients walk.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) local_socket: Option<PathBuf>,
    port: Option<u16>,
    hosts: Vec<String>,
    exclude: Vec<Regex>,
    max_levels: u32,
    follow_dirs: Follow,
    follow_files: Follow,
    cross_filesystems: bool,
    /// Lines to tell.
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// The lines to tell.
    pub(crate) fn read(path: &Path) -> Result<Self, Vec<String>> {
        let refused = || format!("ERROR: Can't parse clamd configuration file {}", path.display());
        let text = std::fs::read(path).map_err(|_| vec![refused()])?;
        let text = String::from_utf8_lossy(&text);
        Self::parse(path, &text).map_err(|line| vec![line, refused()])
    }

    /// Returns the defaults, with the daemon at this socket.
    pub(crate) fn of_socket(path: &str) -> Self {
        let values = BTreeMap::from([("LocalSocket", vec![path])]);
        Self::of(&values).unwrap_or_else(|_| unreachable!("no value is of a wrong kind"))
    }

    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (number, line) in (1u32..).zip(text.lines()) {
            let line = line.trim();
            if line.len() <= 2 || line.starts_with('#') {
                continue;
            }
            if line.starts_with("Example") {
                let path = path.display();
                return Err(format!("ERROR: Please edit the example config file {path}"));
            }
            let (name, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let place = || format!("{}:{number}", path.display());
            if !NAMES.contains(&name) {
                return Err(format!("ERROR: Parse error at {}: Unknown option {name}", place()));
            }
            let value = unquoted(value);
            if value.is_empty() {
                return Err(format!("ERROR: Missing argument for option at {}", place()));
            }
            values.entry(name).or_default().push(value);
        }
        Self::of(&values)
    }

    fn of(values: &BTreeMap<&str, Vec<&str>>) -> Result<Self, String> {
        let all = |name: &str| values.get(name).map(Vec::as_slice).unwrap_or_default();
        let first = |name: &str| all(name).first().copied();
        let bad = |name: &str| format!("ERROR: Incorrect argument format for option {name}");
        let switch = |name: &str, default: bool| match first(name).map(str::to_ascii_lowercase) {
            None => Ok(default),
            Some(text) if ["yes", "true", "1"].contains(&text.as_str()) => Ok(true),
            Some(text) if ["no", "false", "0"].contains(&text.as_str()) => Ok(false),
            Some(_) => Err(bad(name)),
        };
        let number = |name: &str| first(name).map(|t| t.parse::<u32>().map_err(|_| bad(name)));
        let follow = |name| {
            let followed = switch(name, false)?;
            Ok::<_, String>(if followed { Follow::Always } else { Follow::Never })
        };
        let mut warnings = Vec::new();
        let mut exclude = Vec::new();
        for text in all("ExcludePath") {
            match session::path_regex(text) {
                Ok(regex) => exclude.push(regex),
                Err(why) => warnings.push(format!("WARNING: ExcludePath {why}")),
            }
        }
        let port = number("TCPSocket").transpose()?;
        let port =
            port.map(|port| u16::try_from(port).map_err(|_| bad("TCPSocket"))).transpose()?;
        // A named folder is no level to ClamAV, but one to the walk. 0 means no limit.
        let levels = number("MaxDirectoryRecursion").transpose()?.unwrap_or(15);
        Ok(Self {
            local_socket: first("LocalSocket").map(PathBuf::from),
            port,
            hosts: all("TCPAddr").iter().map(|host| (*host).to_owned()).collect(),
            exclude,
            max_levels: if levels == 0 { u32::MAX } else { levels.saturating_add(1) },
            follow_dirs: follow("FollowDirectorySymlinks")?,
            follow_files: follow("FollowFileSymlinks")?,
            cross_filesystems: switch("CrossFilesystems", true)?,
            warnings,
        })
    }

    /// Returns hosts and ports, none when there is no `TCPSocket`.
    pub(crate) fn addresses(&self) -> Vec<(String, u16)> {
        let Some(port) = self.port else { return Vec::new() };
        if self.hosts.is_empty() {
            return vec![("localhost".to_owned(), port)];
        }
        self.hosts.iter().map(|host| (host.clone(), port)).collect()
    }

    /// True when there is nowhere to connect to.
    pub(crate) fn names_no_server(&self) -> bool {
        self.local_socket.is_none() && self.port.is_none()
    }

    /// Returns how files are found.
    pub(crate) fn walk_options(&self) -> WalkOptions {
        WalkOptions {
            recursive: true,
            max_levels: self.max_levels,
            follow_dirs: self.follow_dirs,
            follow_files: self.follow_files,
            cross_filesystems: self.cross_filesystems,
            skip_pseudo: false,
            exclude: self.exclude.clone(),
            exclude_dir: self.exclude.clone(),
            include: Vec::new(),
            include_dir: Vec::new(),
        }
    }
}

/// Returns a value without quotes or a comment behind it.
fn unquoted(value: &str) -> &str {
    let value = value.trim();
    if let Some(quoted) = value.strip_prefix('"') {
        return quoted.split('"').next().unwrap_or_default();
    }
    value.split(" #").next().unwrap_or_default().trim_end()
}

/// Every name that may stand in the file.
#[rustfmt::skip]
static NAMES: &[&str] = &[
    "AlertBrokenExecutables", "AlertBrokenMedia", "AlertEncrypted", "AlertEncryptedArchive",
    "AlertEncryptedDoc", "AlertExceedsMax", "AlertOLE2Macros", "AlertPartitionIntersection",
    "AlertPhishingCloak", "AlertPhishingSSLMismatch", "AlgorithmicDetection", "AllowAllMatchScan",
    "AllowSupplementaryGroups", "ArchiveBlockEncrypted", "ArchiveBlockMax",
    "ArchiveLimitMemoryUsage", "ArchiveMaxCompressionRatio", "ArchiveMaxFiles",
    "ArchiveMaxRecursion", "ArchiveMaxScanSize", "BlockMax", "Bytecode", "BytecodeMode",
    "BytecodeSecurity", "BytecodeTimeout", "BytecodeUnsigned", "CVDCertsDirectory", "CacheSize",
    "CommandReadTimeout", "ConcurrentDatabaseReload", "CrossFilesystems", "DatabaseDirectory",
    "Debug", "DetectBrokenExecutables", "DetectPUA", "DevACDepth", "DevACOnly", "DevLiblog",
    "DevPerformance", "DisableCache", "DisableCertCheck", "EnableReloadCommand",
    "EnableSelfCheckCommand", "EnableShutdownCommand", "EnableStatsCommand",
    "EnableVersionCommand", "ExcludePUA", "ExcludePath", "ExitOnOOM", "ExtendedDetectionInfo",
    "FIPSCryptoHashLimits", "FailIfCvdOlderThan", "FixStaleSocket", "FollowDirectorySymlinks",
    "FollowFileSymlinks", "ForceToDisk", "Foreground", "GenerateMetadataJson", "HeuristicAlerts",
    "HeuristicScanPrecedence", "IdleTimeout", "IncludePUA", "JsonStoreExtraHashes",
    "JsonStoreHTMLURIs", "JsonStorePDFURIs", "LeaveTemporaryFiles", "LocalSocket",
    "LocalSocketGroup", "LocalSocketMode", "LogClean", "LogFacility", "LogFile", "LogFileMaxSize",
    "LogFileUnlock", "LogRotate", "LogSyslog", "LogTime", "LogVerbose", "MailFollowURLs",
    "MailMaxRecursion", "MaxConnectionQueueLength", "MaxDirectoryRecursion", "MaxEmbeddedPE",
    "MaxFileSize", "MaxFiles", "MaxHTMLNoTags", "MaxHTMLNormalize", "MaxIconsPE", "MaxPartitions",
    "MaxQueue", "MaxRecHWP3", "MaxRecursion", "MaxScanSize", "MaxScanTime", "MaxScriptNormalize",
    "MaxThreads", "MaxZipTypeRcg", "OLE2BlockMacros", "OfficialDatabaseOnly",
    "OnAccessCurlTimeout", "OnAccessDenyOnError", "OnAccessDisableDDD", "OnAccessExcludePath",
    "OnAccessExcludeRootUID", "OnAccessExcludeUID", "OnAccessExcludeUname",
    "OnAccessExtraScanning", "OnAccessIncludePath", "OnAccessMaxFileSize", "OnAccessMaxThreads",
    "OnAccessMountPath", "OnAccessPrevention", "OnAccessRetryAttempts", "PCREMatchLimit",
    "PCREMaxFileSize", "PCRERecMatchLimit", "PartitionIntersection", "PhishingAlwaysBlockCloak",
    "PhishingAlwaysBlockSSLMismatch", "PhishingScanURLs", "PhishingSignatures", "PidFile",
    "PreludeAnalyzerName", "PreludeEnable", "ReadTimeout", "ScanArchive", "ScanELF", "ScanHTML",
    "ScanHWP3", "ScanImage", "ScanImageFuzzyHash", "ScanMail", "ScanOLE2", "ScanOnAccess",
    "ScanOneNote", "ScanPDF", "ScanPE", "ScanPartialMessages", "ScanSWF", "ScanXMLDOCS",
    "SelfCheck", "SendBufTimeout", "StreamMaxLength", "StreamMaxPort", "StreamMinPort",
    "StructuredCCOnly", "StructuredDataDetection", "StructuredMinCreditCardCount",
    "StructuredMinSSNCount", "StructuredSSNFormatNormal", "StructuredSSNFormatStripped",
    "TCPAddr", "TCPSocket", "TemporaryDirectory", "User", "VirusEvent",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("c"), text)
    }

    #[test]
    fn values() {
        let text = "# x\nLocalSocket \"/run/a b\" # c\n TCPSocket 3310 # d\nTCPAddr ::1\nTCPAddr h\n\
                    FollowFileSymlinks yes\nMaxDirectoryRecursion 3\n";
        let config = parse(text).unwrap();
        assert_eq!(config.local_socket.as_deref(), Some(Path::new("/run/a b")));
        assert_eq!(config.addresses(), [("::1".to_owned(), 3310), ("h".to_owned(), 3310)]);
        assert_eq!((config.max_levels, config.follow_files), (4, Follow::Always));
        assert!(!config.names_no_server() && parse("").unwrap().names_no_server());
    }

    #[test]
    fn refusals() {
        for (text, want) in [
            ("LocalSocket /a\nBogus x\n", "ERROR: Parse error at c:2: Unknown option Bogus"),
            ("LocalSocket\n", "ERROR: Missing argument for option at c:1"),
            ("Example\n", "ERROR: Please edit the example config file c"),
            ("TCPSocket x\n", "ERROR: Incorrect argument format for option TCPSocket"),
            ("TCPSocket 70000\n", "ERROR: Incorrect argument format for option TCPSocket"),
            (
                "CrossFilesystems x\n",
                "ERROR: Incorrect argument format for option CrossFilesystems",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), want);
        }
    }
}
