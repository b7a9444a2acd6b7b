//! The options of `clamd.conf` that mean on-access scanning.
//!
//! Promises: every `OnAccess…` option is honoured, or a note says what it means here; a line that makes no
//! sense is refused with its number. Options of other programs are passed over.
//! Leaves out: reading the file; the program that has a reader for all its options does that.
//! Sources: clamd.conf(5) of ClamAV 1.4.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::settings::user_id;
use crate::{Policy, Settings};

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct ClamdConf {
    /// What is protected, and how.
    pub settings: Settings,
    /// What the operator should know.
    pub notes: Vec<String>,
    /// Folder of databases.
    pub database_folder: Option<PathBuf>,
}

/// A line makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ConfError {
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The reason.
    pub why: String,
}

impl ClamdConf {
    /// Takes what a file says: names, values, and their lines. Of an option that stands several times and has one
    /// value, the first counts, as with ClamAV.
    ///
    /// # Errors
    /// The first line that makes no sense.
    pub fn of<'v>(
        options: impl IntoIterator<Item = (&'static str, &'v [u8], usize)>,
    ) -> Result<Self, ConfError> {
        let mut read = Self {
            settings: Settings { prevention: false, ..like_clamonacc() },
            ..Self::default()
        };
        let mut seen = HashSet::new();
        for (key, value, line) in options {
            if !seen.insert(key) && !SEVERAL.contains(&key) {
                continue;
            }
            let value = String::from_utf8_lossy(value);
            read.option(key, &value).map_err(|why| ConfError { line, why })?;
        }
        read.settings.check().map_err(|why| ConfError { line: 0, why })?;
        Ok(read)
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), String> {
        let settings = &mut self.settings;
        match key {
            "OnAccessMountPath" | "OnAccessIncludePath" => {
                settings.protect.push(absolute(key, value)?)
            }
            "OnAccessExcludePath" => settings.exclude_paths.push(absolute(key, value)?),
            "OnAccessExcludeRootUID" if boolean(key, value)? => {
                settings.exclude_users.push("0".to_owned());
            }
            "OnAccessExcludeRootUID" => {}
            "OnAccessExcludeUID" => {
                let number: u32 =
                    value.parse().map_err(|_| format!("{key}: '{value}' is no user number"))?;
                settings.exclude_users.push(number.to_string());
            }
            "OnAccessExcludeUname" => {
                user_id(value).map_err(|why| format!("{key}: {why}"))?;
                settings.exclude_users.push(value.to_owned());
            }
            "OnAccessMaxFileSize" => {
                // ClamAV: 0 takes the limit away.
                settings.max_file_size = match size(key, value)? {
                    0 => u64::MAX,
                    bytes => bytes,
                };
            }
            "OnAccessPrevention" => settings.prevention = boolean(key, value)?,
            "OnAccessDenyOnError" => {
                let deny = boolean(key, value)?;
                settings.on_error = if deny { Policy::Deny } else { Policy::Allow };
                settings.on_timeout = settings.on_error;
            }
            "OnAccessMaxThreads" => {
                settings.workers =
                    value.parse().map_err(|_| format!("{key}: '{value}' is no number"))?;
            }
            "OnAccessCurlTimeout" => {
                let millis: u64 =
                    value.parse().map_err(|_| format!("{key}: '{value}' is no number"))?;
                settings.deadline_ms = if millis == 0 { 600_000 } else { millis.max(100) };
            }
            "OnAccessDisableDDD" => {
                boolean(key, value)?;
                self.notes
                    .push(format!("{key}: whole mounts are marked, folders need no watching"));
            }
            "OnAccessExtraScanning" => {
                boolean(key, value)?;
                self.notes.push(format!(
                    "{key}: every open is asked for, so created and moved files are scanned when they are opened"
                ));
            }
            "OnAccessRetryAttempts" => {
                self.notes
                    .push(format!("{key}: a scan fails only with its file; it is not repeated"));
            }
            "DatabaseDirectory" => self.database_folder = Some(absolute(key, value)?),
            "LogFile" => settings.log = Some(absolute(key, value)?),
            _ if key.starts_with("OnAccess") => return Err(format!("unknown option '{key}'")),
            _ => {}
        }
        Ok(())
    }
}

/// Options that may stand several times.
const SEVERAL: [&str; 5] = [
    "OnAccessMountPath",
    "OnAccessIncludePath",
    "OnAccessExcludePath",
    "OnAccessExcludeUID",
    "OnAccessExcludeUname",
];

/// ClamAV's defaults.
fn like_clamonacc() -> Settings {
    Settings { max_file_size: 5 << 20, deadline_ms: 5_000, ..Settings::default() }
}

fn absolute(key: &str, value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("{key}: '{value}' is not an absolute path"))
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err(format!("{key}: '{value}' is neither yes nor no")),
    }
}

fn size(key: &str, value: &str) -> Result<u64, String> {
    let bad = || format!("{key}: '{value}' is no size");
    let (digits, factor) = match value.as_bytes().last() {
        Some(b'k' | b'K') => (value.get(..value.len().saturating_sub(1)), 1u64 << 10),
        Some(b'm' | b'M') => (value.get(..value.len().saturating_sub(1)), 1 << 20),
        Some(b'g' | b'G') => (value.get(..value.len().saturating_sub(1)), 1 << 30),
        _ => (Some(value), 1),
    };
    let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(bad)?;
    number.checked_mul(factor).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Result<ClamdConf, ConfError> {
        let lines = text.lines().zip(1usize..).map(|(line, number)| {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            (key, value.as_bytes(), number)
        });
        ClamdConf::of(lines)
    }

    #[test]
    fn a_configuration_as_it_is_found() {
        let conf = of("LocalSocket /run/clamav/clamd.ctl\nOnAccessIncludePath /home\n\
             OnAccessExcludePath /home/build\nOnAccessPrevention yes\nOnAccessExcludeUname root\n\
             OnAccessExcludeUID 107\nOnAccessMaxFileSize 10M\nOnAccessDenyOnError true\n\
             OnAccessMaxThreads 3\nOnAccessCurlTimeout 7000\nOnAccessExtraScanning yes\n\
             DatabaseDirectory /var/lib/clamav\nOnAccessMaxThreads 4\nOnAccessIncludePath /srv\n")
        .unwrap();
        let settings = &conf.settings;
        assert_eq!(settings.protect, [PathBuf::from("/home"), PathBuf::from("/srv")]);
        assert_eq!(settings.exclude_paths, [PathBuf::from("/home/build")]);
        assert_eq!(settings.excluded_ids(), [0, 107]);
        assert!(settings.prevention);
        assert_eq!(settings.max_file_size, 10 << 20);
        assert_eq!(settings.on_error, Policy::Deny);
        assert_eq!((settings.workers, settings.deadline_ms), (3, 7000));
        assert_eq!(conf.database_folder, Some(PathBuf::from("/var/lib/clamav")));
        assert_eq!(conf.notes.len(), 1);
    }

    #[test]
    fn bad_lines() {
        let cases = [
            ("OnAccessPrevention perhaps", 1, "neither"),
            ("\nOnAccessIncludePath home", 2, "absolute"),
            ("OnAccessExcludeUID -1", 1, "user number"),
            ("OnAccessMaxFileSize 99999999999G", 1, "no size"),
            ("OnAccessNonsense 1", 1, "unknown option"),
        ];
        for (text, line, why) in cases {
            let error = of(text).unwrap_err();
            assert!(error.line == line && error.why.contains(why), "{text}: {error:?}");
        }
        let plain = of("").unwrap().settings;
        assert!(!plain.prevention && plain.max_file_size == 5 << 20);
    }
}
