//! The table of options: command line and configuration file, from which both are read.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Bool,
    Number,
    Size,
    Text,
    Texts,
    /// Nothing any more: it is told to be ignored.
    Deprecated,
}

/// One option: under its long name on the command line, under its key in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opt {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    pub(super) key: &'static str,
    pub(super) takes: Takes,
    pub(super) default: &'static str,
}

const fn both(
    long: &'static str,
    short: char,
    key: &'static str,
    takes: Takes,
    default: &'static str,
) -> Opt {
    let short = if short == ' ' { None } else { Some(short) };
    Opt { long, short, key, takes, default }
}

const fn line(long: &'static str, short: char, takes: Takes) -> Opt {
    both(long, short, "", takes, "")
}

const fn file(key: &'static str, takes: Takes, default: &'static str) -> Opt {
    both("", ' ', key, takes, default)
}

/// Where ClamAV keeps its databases.
pub(super) const DATABASES: &str = "/var/lib/clamav";

use Takes::{Bool, Deprecated, Number, Size, Text, Texts};

pub(super) static OPTIONS: &[Opt] = &[
    line("help", 'h', Bool),
    line("version", 'V', Bool),
    both("config-file", ' ', "", Text, "/etc/clamav/freshclam.conf"),
    both("debug", ' ', "Debug", Bool, "no"),
    both("verbose", 'v', "LogVerbose", Bool, "no"),
    line("quiet", ' ', Bool),
    line("no-warnings", ' ', Bool),
    line("show-progress", ' ', Bool),
    line("stdout", ' ', Bool),
    line("daemon", 'd', Bool),
    line("no-dns", ' ', Bool),
    line("list-mirrors", ' ', Bool),
    line("update-db", ' ', Texts),
    both("log-rotate", ' ', "LogRotate", Bool, "no"),
    both("pid", 'p', "PidFile", Text, ""),
    both("datadir", ' ', "DatabaseDirectory", Text, DATABASES),
    both("cvdcertsdir", ' ', "CVDCertsDirectory", Text, ""),
    both("foreground", 'F', "Foreground", Bool, "no"),
    both("fips-limits", ' ', "FIPSCryptoHashLimits", Bool, "no"),
    both("log", 'l', "UpdateLogFile", Text, ""),
    both("user", 'u', "DatabaseOwner", Text, "clamav"),
    both("checks", 'c', "Checks", Number, "12"),
    both("daemon-notify", ' ', "NotifyClamd", Text, ""),
    both("on-update-execute", ' ', "OnUpdateExecute", Text, ""),
    both("on-error-execute", ' ', "OnErrorExecute", Text, ""),
    both("on-outdated-execute", ' ', "OnOutdatedExecute", Text, ""),
    both("local-address", 'a', "LocalIPAddress", Text, ""),
    file("LogFileMaxSize", Size, "1M"),
    file("LogTime", Bool, "no"),
    file("LogSyslog", Bool, "no"),
    file("LogFacility", Text, "LOG_LOCAL6"),
    file("DNSDatabaseInfo", Text, "current.cvd.clamav.net"),
    file("DatabaseMirror", Texts, ""),
    file("PrivateMirror", Texts, ""),
    file("MaxAttempts", Number, "3"),
    file("ScriptedUpdates", Bool, "yes"),
    file("TestDatabases", Bool, "yes"),
    file("CompressLocalDatabase", Bool, "no"),
    file("ExtraDatabase", Texts, ""),
    file("ExcludeDatabase", Texts, ""),
    file("DatabaseCustomURL", Texts, ""),
    file("HTTPProxyServer", Text, ""),
    file("HTTPProxyPort", Number, "0"),
    file("HTTPProxyUsername", Text, ""),
    file("HTTPProxyPassword", Text, ""),
    file("HTTPUserAgent", Text, ""),
    file("ConnectTimeout", Number, "30"),
    file("ReceiveTimeout", Number, "60"),
    file("Bytecode", Bool, "yes"),
    file("SafeBrowsing", Deprecated, ""),
    file("AllowSupplementaryGroups", Deprecated, ""),
    file("SubmitDetectionStats", Deprecated, ""),
    file("DetectionStatsCountry", Deprecated, ""),
    file("DetectionStatsHostID", Deprecated, ""),
];

/// What was set; the command line's before the file's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<&'static str, Vec<String>>,
}

impl Settings {
    fn opt(name: &str) -> Option<&'static Opt> {
        OPTIONS.iter().find(|opt| !name.is_empty() && (opt.long == name || opt.key == name))
    }

    fn id(opt: &'static Opt) -> &'static str {
        if opt.key.is_empty() { opt.long } else { opt.key }
    }

    /// Returns a switch.
    #[must_use]
    pub fn on(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| truth(text) == Some(true))
    }

    /// Returns a number or a size in bytes.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).and_then(size).unwrap_or(0)
    }

    /// Returns a text; none when it is not set and has no default.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let opt = Self::opt(name)?;
        let given = self.values.get(Self::id(opt)).and_then(|values| values.first());
        given.map(String::as_str).or(Some(opt.default)).filter(|text| !text.is_empty())
    }

    /// Returns all texts of an option that may be given often.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let Some(opt) = Self::opt(name) else { return Vec::new() };
        self.values.get(Self::id(opt)).into_iter().flatten().map(String::as_str).collect()
    }

    /// True when it was set, be it to its default.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        Self::opt(name).is_some_and(|opt| self.values.contains_key(Self::id(opt)))
    }

    /// Adds a value. Of an option that is given once, what the command line said stays.
    pub(super) fn put(&mut self, opt: &'static Opt, value: &str) {
        let values = self.values.entry(Self::id(opt)).or_default();
        if values.is_empty() || opt.takes == Texts {
            values.push(value.to_owned());
        }
    }
}

/// True when a value has the form that an option takes.
pub(super) fn fits(opt: &Opt, value: &str) -> bool {
    match opt.takes {
        Bool => truth(value).is_some(),
        Number => !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()),
        Size => size(value).is_some(),
        Text | Texts | Deprecated => true,
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Some(true),
        "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (text.get(..text.len() - 1)?, 1 << 10),
        b'm' | b'M' => (text.get(..text.len() - 1)?, 1 << 20),
        b'g' | b'G' => (text.get(..text.len() - 1)?, 1 << 30),
        _ => (text, 1u64),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Reads a command line; the lines of a refusal are for standard error.
pub(super) fn read(arguments: &[OsString], settings: &mut Settings) -> Result<(), Vec<String>> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy().into_owned();
        if text == "--" {
            break;
        }
        if let Some(long) = text.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let opt = by_prefix(name)
                .ok_or_else(|| unknown(&format!("freshclam: unrecognized option `--{name}'")))?;
            let value = match value {
                Some(value) => value,
                None if opt.takes == Bool => "yes".to_owned(),
                // Its value may be left out, and then is the usual file.
                None if opt.long == "daemon-notify" => "/etc/clamav/clamd.conf".to_owned(),
                None => match rest.next() {
                    Some(next) => next.to_string_lossy().into_owned(),
                    None => {
                        return Err(unknown(&format!(
                            "freshclam: option `--{name}' requires an argument"
                        )));
                    }
                },
            };
            set(settings, opt, &value)?;
        } else if let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                let opt = OPTIONS.iter().find(|opt| opt.short == Some(letter));
                let opt = opt
                    .ok_or_else(|| unknown(&format!("freshclam: invalid option -- '{letter}'")))?;
                if opt.takes == Bool {
                    set(settings, opt, "yes")?;
                    continue;
                }
                let glued: String = letters.by_ref().collect();
                let value = match (glued.is_empty(), rest.clone().next()) {
                    (false, _) => glued,
                    (true, Some(next)) => {
                        rest.next();
                        next.to_string_lossy().into_owned()
                    }
                    (true, None) => {
                        return Err(unknown(&format!(
                            "freshclam: option requires an argument -- '{letter}'"
                        )));
                    }
                };
                set(settings, opt, &value)?;
            }
        }
    }
    Ok(())
}

fn unknown(line: &str) -> Vec<String> {
    vec![
        line.to_owned(),
        "ERROR: Unknown option passed".to_owned(),
        "ERROR: Can't parse command line options".to_owned(),
    ]
}

/// GNU's rule: a long option may be shortened as far as it stays the only one.
fn by_prefix(name: &str) -> Option<&'static Opt> {
    let named = || OPTIONS.iter().filter(|opt| !opt.long.is_empty());
    named().find(|opt| opt.long == name).or_else(|| {
        let mut found = named().filter(|opt| opt.long.starts_with(name));
        found.next().filter(|_| found.next().is_none() && !name.is_empty())
    })
}

fn set(settings: &mut Settings, opt: &'static Opt, value: &str) -> Result<(), Vec<String>> {
    if !fits(opt, value) {
        let short = opt.short.map(|letter| format!(" (-{letter})")).unwrap_or_default();
        return Err(vec![
            format!("ERROR: Incorrect argument format for option --{}{short}", opt.long),
            "ERROR: Can't parse command line options".to_owned(),
        ]);
    }
    settings.put(opt, value);
    Ok(())
}

/// Returns the help.
pub(super) fn help() -> String {
    HELP.to_owned()
}

const HELP: &str = "\n                      Holdfast as freshclam (ClamAV 1.4.6): Database Updater

    freshclam [options]

    --help               -h              Show this help
    --version            -V              Print version number and exit
    --verbose            -v              Be verbose
    --debug                              Enable debug messages
    --quiet                              Only output error messages
    --no-warnings                        Don't print and log warnings
    --stdout                             Write to stdout instead of stderr.
    --show-progress                      Accepted; there is no progress line

    --config-file=FILE                   Read configuration from FILE.
    --log=FILE           -l FILE         Log into FILE
    --daemon             -d              Run in daemon mode
    --pid=FILE           -p FILE         Write the daemon's pid to FILE
    --foreground         -F              Don't fork into background (for use in daemon mode).
    --user=USER          -u USER         Run as USER
    --no-dns                             Do not ask for versions by DNS
    --checks=#n          -c #n           Number of checks per day, 1 <= n <= 50
    --datadir=DIRECTORY                  Download new databases into DIRECTORY
    --cvdcertsdir=DIRECTORY              Certificates for detached signatures
    --daemon-notify[=/path/clamd.conf]   Send RELOAD command to clamd
    --local-address=IP   -a IP           Bind to IP for HTTP downloads
    --on-update-execute=COMMAND          Execute COMMAND after successful update.
                                         Use EXIT_1 to return 1 after successful database update.
    --on-error-execute=COMMAND           Execute COMMAND if errors occurred
    --on-outdated-execute=COMMAND        Execute COMMAND when software is outdated
    --update-db=DBNAME                   Only update database DBNAME

Environment Variables:

  CURL_CA_BUNDLE                         A file (PEM) of authorities instead of the system's
  FRESHCLAM_CLIENT_CERT                  A file (PEM) with a client's certificate
  FRESHCLAM_CLIENT_KEY                   A file (PEM) with its key, not encrypted

";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Result<&[(&str, &str)], &str>) {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let mut settings = Settings::default();
        match (read(&arguments, &mut settings), want) {
            (Ok(()), Ok(list)) => {
                for (name, value) in list {
                    assert_eq!(settings.text(name), Some(*value), "{line}");
                }
            }
            (Err(lines), Err(first)) => assert_eq!(lines[0], first, "{line}"),
            (got, _) => panic!("{line}: {got:?}"),
        }
    }

    #[test]
    fn command_lines() {
        check(
            "-dF -c7 --log x",
            Ok(&[("daemon", "yes"), ("Foreground", "yes"), ("Checks", "7"), ("log", "x")]),
        );
        check("--foreg --datadir=/d", Ok(&[("foreground", "yes"), ("DatabaseDirectory", "/d")]));
        check("--daemon-notify", Ok(&[("NotifyClamd", "/etc/clamav/clamd.conf")]));
        check("--bogus", Err("freshclam: unrecognized option `--bogus'"));
        check("--checks=x", Err("ERROR: Incorrect argument format for option --checks (-c)"));
        check("-c", Err("freshclam: option requires an argument -- 'c'"));
        check("stray", Ok(&[("Checks", "12")]));
    }
}
