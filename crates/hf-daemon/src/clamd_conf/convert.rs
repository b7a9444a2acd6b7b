//! From `clamd.conf` to [`Config`].

use std::path::PathBuf;

use hf_core::{Limits, ScanOptions};

use super::ClamdConf;
use crate::Config;
use crate::config::{ClamdConfig, ContentConfig, LogConfig, ScanConfig, ServiceConfig};

/// Returns the configuration that stands for a `clamd.conf`.
///
/// # Errors
/// A value that clamd refuses when it starts, in its words.
pub fn convert(conf: &ClamdConf) -> Result<Config, String> {
    let text = |name: &str| conf.text(name).map(|text| text.to_string_lossy().into_owned());
    let path = |name: &str| conf.text(name).map(PathBuf::from);
    let small = |name: &str| u32::try_from(conf.number(name).unwrap_or(0)).unwrap_or(u32::MAX);
    if let Some(facility) = text("LogFacility")
        && !facilities().any(|known| known == facility)
    {
        return Err(format!("ERROR: LogFacility: {facility}: No such facility."));
    }
    let port = match conf.number("TCPSocket") {
        None => None,
        Some(port) => Some(u16::try_from(port).map_err(|_| {
            let (file, line) = (conf.path().display(), conf.line_of("TCPSocket"));
            format!("ERROR: TCPSocket at {file}:{line}: {port} is no port")
        })?),
    };
    let cache = if conf.on("DisableCache") { 0 } else { conf.number("CacheSize").unwrap_or(0) };
    let queue = small("MaxQueue").max(1);
    Ok(Config {
        clamd: ClamdConfig {
            local_socket: path("LocalSocket"),
            local_socket_group: text("LocalSocketGroup"),
            local_socket_mode: text("LocalSocketMode"),
            tcp_port: port,
            tcp_addresses: texts(conf, "TCPAddr"),
            max_connection_queue: small("MaxConnectionQueueLength"),
            max_queue: usize::try_from(queue).unwrap_or(1),
            max_threads: usize::try_from(small("MaxThreads")).unwrap_or(1).max(1),
            exclude_paths: texts(conf, "ExcludePath"),
            virus_event: text("VirusEvent"),
            ..clamd(conf)
        },
        content: ContentConfig {
            databases: path("DatabaseDirectory").into_iter().collect(),
            with_builtin: false,
            official_only: conf.on("OfficialDatabaseOnly"),
            keep_going: false,
            certificates: path("CVDCertsDirectory"),
            check_seconds: conf.number("SelfCheck").unwrap_or(0),
            stale_after_days: ContentConfig::default().stale_after_days,
            fail_if_older_than_days: conf.number("FailIfCvdOlderThan"),
        },
        log: LogConfig {
            file: path("LogFile"),
            file_max_bytes: conf.number("LogFileMaxSize").unwrap_or(0),
            rotate: conf.on("LogRotate"),
            time: conf.on("LogTime"),
            clean: conf.on("LogClean"),
            verbose: conf.on("LogVerbose"),
            syslog: conf.on("LogSyslog"),
            facility: text("LogFacility").unwrap_or_else(|| "LOG_LOCAL6".to_owned()),
            journal: false,
            extended: conf.on("ExtendedDetectionInfo"),
            unlock: conf.on("LogFileUnlock"),
        },
        scan: ScanConfig::of(&options(conf), &limits(conf)),
        service: ServiceConfig {
            workers: 0,
            cache_entries: usize::try_from(cache).unwrap_or(usize::MAX),
            temporary_folder: path("TemporaryDirectory"),
            user: text("User"),
            pid_file: path("PidFile"),
            foreground: conf.on("Foreground"),
            ..ServiceConfig::default()
        },
        ..Config::default()
    })
}

fn texts(conf: &ClamdConf, name: &str) -> Vec<String> {
    conf.texts(name).iter().map(|text| text.to_string_lossy().into_owned()).collect()
}

/// Returns the switches and simple numbers.
fn clamd(conf: &ClamdConf) -> ClamdConfig {
    let number = |name: &str| conf.number(name).unwrap_or(0);
    ClamdConfig {
        fix_stale_socket: conf.on("FixStaleSocket"),
        stream_max_bytes: number("StreamMaxLength"),
        command_read_seconds: number("CommandReadTimeout"),
        read_seconds: number("ReadTimeout"),
        send_ms: number("SendBufTimeout"),
        idle_seconds: number("IdleTimeout"),
        max_directory_depth: u32::try_from(number("MaxDirectoryRecursion")).unwrap_or(u32::MAX),
        follow_directory_links: conf.on("FollowDirectorySymlinks"),
        follow_file_links: conf.on("FollowFileSymlinks"),
        cross_file_systems: conf.on("CrossFilesystems"),
        shutdown_command: conf.on("EnableShutdownCommand"),
        reload_command: conf.on("EnableReloadCommand"),
        self_check_command: conf.on("EnableSelfCheckCommand"),
        version_command: conf.on("EnableVersionCommand"),
        stats_command: conf.on("EnableStatsCommand"),
        all_match_command: conf.on("AllowAllMatchScan"),
        ..ClamdConfig::default()
    }
}

fn limits(conf: &ClamdConf) -> Limits {
    let bytes = |name: &str| match conf.number(name) {
        None | Some(0) => u64::MAX,
        Some(bytes) => bytes,
    };
    let count = |name: &str| match conf.number(name) {
        None | Some(0) => u32::MAX,
        Some(count) => u32::try_from(count).unwrap_or(u32::MAX),
    };
    let depth = count("MaxRecursion");
    let usual = Limits::clamav();
    Limits {
        max_scan_bytes: bytes("MaxScanSize"),
        max_object_bytes: bytes("MaxFileSize"),
        // ClamAV counts the file itself, and takes no more than 100.
        max_depth: if depth > 100 { usual.max_depth } else { depth }.saturating_sub(1),
        max_objects: count("MaxFiles"),
        deadline_ms: match conf.number("MaxScanTime") {
            None | Some(0) => usual.deadline_ms,
            Some(ms) => ms,
        },
        max_embedded_pe_bytes: bytes("MaxEmbeddedPE"),
        max_html_normalise_bytes: bytes("MaxHTMLNormalize"),
        max_html_notags_bytes: bytes("MaxHTMLNoTags"),
        max_script_normalise_bytes: bytes("MaxScriptNormalize"),
        max_zip_type_bytes: bytes("MaxZipTypeRcg"),
        max_partitions: count("MaxPartitions"),
        max_icons: count("MaxIconsPE"),
        max_hwp3_depth: count("MaxRecHWP3"),
        pcre_match_limit: bytes("PCREMatchLimit"),
        pcre_depth_limit: bytes("PCRERecMatchLimit"),
        pcre_max_bytes: bytes("PCREMaxFileSize"),
    }
}

fn options(conf: &ClamdConf) -> ScanOptions {
    let on = |name: &str| conf.on(name);
    let number = |name: &str| u32::try_from(conf.number(name).unwrap_or(3)).unwrap_or(u32::MAX);
    ScanOptions {
        clamav_quirks: true,
        scan_pe: on("ScanPE"),
        scan_elf: on("ScanELF"),
        scan_mail: on("ScanMail"),
        scan_html: on("ScanHTML"),
        scan_ole2: on("ScanOLE2"),
        scan_pdf: on("ScanPDF"),
        scan_swf: on("ScanSWF"),
        scan_xmldocs: on("ScanXMLDOCS"),
        scan_hwp3: on("ScanHWP3"),
        scan_onenote: on("ScanOneNote"),
        scan_archive: on("ScanArchive"),
        scan_image: on("ScanImage"),
        scan_image_hash: on("ScanImageFuzzyHash"),
        phishing_signatures: on("PhishingSignatures"),
        phishing_urls: on("PhishingScanURLs"),
        heuristic_alerts: on("HeuristicAlerts"),
        heuristic_precedence: on("HeuristicScanPrecedence"),
        alert_broken: on("AlertBrokenExecutables"),
        alert_broken_media: on("AlertBrokenMedia"),
        alert_encrypted_archive: on("AlertEncryptedArchive") || on("AlertEncrypted"),
        alert_encrypted_doc: on("AlertEncryptedDoc") || on("AlertEncrypted"),
        alert_macros: on("AlertOLE2Macros"),
        alert_exceeds_max: on("AlertExceedsMax"),
        alert_phishing_ssl: on("AlertPhishingSSLMismatch"),
        alert_phishing_cloak: on("AlertPhishingCloak"),
        alert_partition_intersection: on("AlertPartitionIntersection"),
        detect_pua: on("DetectPUA"),
        include_pua: texts(conf, "IncludePUA"),
        exclude_pua: texts(conf, "ExcludePUA"),
        detect_structured: on("StructuredDataDetection"),
        structured_cc_count: number("StructuredMinCreditCardCount"),
        structured_cc_only: on("StructuredCCOnly"),
        structured_ssn_count: number("StructuredMinSSNCount"),
        structured_ssn_format: match (
            on("StructuredSSNFormatNormal"),
            on("StructuredSSNFormatStripped"),
        ) {
            (true, true) => 2,
            (false, true) => 1,
            _ => 0,
        },
        check_certificates: !on("DisableCertCheck"),
        ..ScanOptions::default()
    }
}

/// Returns the names of syslog's facilities, in the order of their numbers.
pub fn facilities() -> impl Iterator<Item = &'static str> {
    FACILITIES.iter().copied().filter(|name| !name.is_empty())
}

/// By number. Source: syslog(3).
pub(crate) static FACILITIES: [&str; 24] = [
    "LOG_KERN",
    "LOG_USER",
    "LOG_MAIL",
    "LOG_DAEMON",
    "LOG_AUTH",
    "LOG_SYSLOG",
    "LOG_LPR",
    "LOG_NEWS",
    "LOG_UUCP",
    "LOG_CRON",
    "LOG_AUTHPRIV",
    "LOG_FTP",
    "",
    "",
    "",
    "",
    "LOG_LOCAL0",
    "LOG_LOCAL1",
    "LOG_LOCAL2",
    "LOG_LOCAL3",
    "LOG_LOCAL4",
    "LOG_LOCAL5",
    "LOG_LOCAL6",
    "LOG_LOCAL7",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn converted(text: &str) -> Result<Config, String> {
        convert(&ClamdConf::parse(Path::new("f.conf"), text.as_bytes()).unwrap())
    }

    #[test]
    fn defaults_are_clamds() {
        let config = converted("LocalSocket /s\n").unwrap();
        assert_eq!(config.scan.limits(), Limits { max_depth: 16, ..Limits::clamav() });
        assert_eq!(config.clamd.stream_max_bytes, 100 << 20);
        assert_eq!((config.clamd.max_threads, config.clamd.max_queue), (10, 100));
        assert_eq!(config.service.cache_entries, 65_536);
        assert_eq!(Config::parse(Path::new("t"), &config.text()).unwrap(), config);
    }

    #[test]
    fn what_clamd_refuses_at_its_start() {
        let error = converted("LogFacility LOG_FOO\n").unwrap_err();
        assert_eq!(error, "ERROR: LogFacility: LOG_FOO: No such facility.");
        assert!(converted("TCPSocket 99999\n").is_err());
    }
}
