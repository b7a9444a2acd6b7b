//! Section `[onaccess]` of `holdfast.toml`.
//!
//! Promises: an unknown key or a value that makes no sense is refused with file, line and reason.

use std::path::{Path, PathBuf};

use hf_sys::fanotify::{Answer, Scope};
use serde::Deserialize;

/// What is protected, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Folders whose files are protected, with all that is mounted below; empty for every local file
    /// system.
    pub protect: Vec<PathBuf>,
    /// Whether a file system is protected through every mount, or only through those that are seen here.
    pub scope: ScopeWord,
    /// Network file systems too.
    pub network: bool,
    /// File systems that a program answers for too.
    pub fuse: bool,
    /// Deny what is infected; without, it is only told.
    pub prevention: bool,
    /// What is done about an infected file, besides.
    pub action: ActionWord,
    /// Do it to files of the distribution's packages that are as the package made them, too.
    pub touch_system_files: bool,
    /// What is answered when the deadline passes, or too many are waiting.
    pub on_timeout: Policy,
    /// What is answered when a scan failed.
    pub on_error: Policy,
    /// What is answered when nothing was found, but not everything could be looked at.
    pub on_incomplete: Policy,
    /// Milliseconds after which whoever opens gets an answer.
    pub deadline_ms: u64,
    /// Larger files are allowed without a scan; bytes.
    pub max_file_size: u64,
    /// Folders and files that are not scanned.
    pub exclude_paths: Vec<PathBuf>,
    /// Programs, by their absolute path, that open what they want.
    pub exclude_processes: Vec<PathBuf>,
    /// What excluded programs start is excluded too.
    pub exclude_children: bool,
    /// Users, by name or number, whose processes open what they want.
    pub exclude_users: Vec<String>,
    /// Scans at once; 0 for one for each processor. One more is there for small files, and one for file
    /// systems that others answer for.
    pub workers: usize,
    /// Seconds between two looks at whether the content changed; 0 for never.
    pub content_check_s: u64,
    /// Socket on which the guard tells what it does.
    pub socket: PathBuf,
    /// File to which findings are written; none for standard error.
    pub log: Option<PathBuf>,
    /// Databases; empty for those of the program.
    pub databases: Vec<PathBuf>,
}

/// What is answered when there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The open goes on: work before protection.
    Allow,
    /// The open fails: protection before work.
    Deny,
}

/// What is done about an infected file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionWord {
    /// It is told.
    Report,
    /// It goes into the vault.
    Quarantine,
    /// It is removed for good.
    Remove,
}

/// How far a mark reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeWord {
    /// The file system, also as containers see it.
    FileSystem,
    /// Only the mounts that this process sees.
    Mount,
}

/// Settings are refused.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct SettingsError {
    /// The file.
    pub path: PathBuf,
    /// Where and why.
    pub what: String,
}

/// The part of the file that is ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct SettingsFile {
    /// The section.
    #[serde(default)]
    pub onaccess: Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            protect: Vec::new(),
            scope: ScopeWord::FileSystem,
            network: false,
            fuse: false,
            prevention: true,
            action: ActionWord::Report,
            touch_system_files: false,
            on_timeout: Policy::Allow,
            on_error: Policy::Allow,
            on_incomplete: Policy::Allow,
            deadline_ms: 10_000,
            max_file_size: 1 << 30,
            exclude_paths: Vec::new(),
            exclude_processes: Vec::new(),
            exclude_children: false,
            exclude_users: Vec::new(),
            workers: 0,
            content_check_s: 60,
            socket: PathBuf::from(SOCKET),
            log: None,
            databases: Vec::new(),
        }
    }
}

/// Where the guard listens unless it is told otherwise.
///
/// In a folder that is root's alone: in one of the service's user, that user could answer in the guard's place.
const SOCKET: &str = "/run/holdfast-onaccess.sock";

impl Settings {
    /// Reads a file. One that does not exist gives the defaults.
    ///
    /// # Errors
    /// It cannot be read, or says what makes no sense.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let error = |what: String| SettingsError { path: path.to_owned(), what };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(why) => return Err(error(why.to_string())),
        };
        Self::parse(&text).map_err(error)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Where it makes no sense, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: SettingsFile = toml::from_str(text).map_err(|error| error.to_string())?;
        file.onaccess.check()?;
        Ok(file.onaccess)
    }

    /// Looks for what cannot be meant.
    ///
    /// # Errors
    /// The key and the reason.
    pub fn check(&self) -> Result<(), String> {
        let absolute = [
            ("protect", &self.protect),
            ("exclude-paths", &self.exclude_paths),
            ("exclude-processes", &self.exclude_processes),
        ];
        for (key, paths) in absolute {
            if let Some(path) = paths.iter().find(|path| !path.is_absolute()) {
                return Err(format!("{key}: '{}' is not an absolute path", path.display()));
            }
        }
        if !(DEADLINE_MS_MIN..=DEADLINE_MS_MAX).contains(&self.deadline_ms) {
            return Err(format!(
                "deadline-ms: {} is not between {DEADLINE_MS_MIN} and {DEADLINE_MS_MAX}",
                self.deadline_ms
            ));
        }
        if self.workers > WORKERS_MAX {
            return Err(format!("workers: {} is more than {WORKERS_MAX}", self.workers));
        }
        for user in &self.exclude_users {
            user_id(user).map_err(|why| format!("exclude-users: {why}"))?;
        }
        Ok(())
    }

    /// Returns the numbers of the excluded users.
    #[must_use]
    pub fn excluded_ids(&self) -> Vec<u32> {
        self.exclude_users.iter().filter_map(|user| user_id(user).ok()).collect()
    }
}

impl Policy {
    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Allow => Answer::Allow,
            Self::Deny => Answer::Deny,
        }
    }
}

impl ScopeWord {
    pub(crate) fn scope(self) -> Scope {
        match self {
            Self::FileSystem => Scope::FileSystem,
            Self::Mount => Scope::Mount,
        }
    }
}

/// Returns the number of a user that is named by number or by name.
pub(crate) fn user_id(user: &str) -> Result<u32, String> {
    if let Ok(number) = user.parse() {
        return Ok(number);
    }
    match hf_sys::users::user(user.as_ref()) {
        Ok(Some(found)) => Ok(found.uid),
        Ok(None) => Err(format!("no user '{user}'")),
        Err(error) => Err(format!("'{user}' cannot be looked up: {error}")),
    }
}

/// Ours: less is not enough to start a worker.
const DEADLINE_MS_MIN: u64 = 100;

/// Ours: who waits longer has given up.
const DEADLINE_MS_MAX: u64 = 600_000;

/// Ours.
const WORKERS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_section_and_no_other() {
        let settings = Settings::parse(
            "[daemon]\nanything = 1\n[onaccess]\nprotect = [\"/srv\"]\non-timeout = \"deny\"\n\
             action = \"quarantine\"\n\
             scope = \"mount\"\nexclude-users = [\"root\", \"7\"]\n",
        )
        .unwrap();
        assert_eq!(settings.protect, [PathBuf::from("/srv")]);
        assert_eq!(settings.on_timeout, Policy::Deny);
        assert_eq!(settings.scope, ScopeWord::Mount);
        assert_eq!((settings.action, settings.touch_system_files), (ActionWord::Quarantine, false));
        assert_eq!(settings.excluded_ids(), [0, 7]);
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
    }

    #[test]
    fn refuses_with_line_and_reason() {
        let refused = |text: &str, want: &[&str]| {
            let error = Settings::parse(text).unwrap_err();
            for word in want {
                assert!(error.contains(word), "{error}");
            }
        };
        refused("[onaccess]\nprotekt = []", &["line 2", "protekt"]);
        refused("[onaccess]\non-error = \"maybe\"", &["line 2", "maybe"]);
        refused("[onaccess]\naction = \"deny\"", &["line 2", "deny", "quarantine"]);
        refused("[onaccess]\nprotect = [\"home\"]", &["protect", "absolute"]);
        refused("[onaccess]\ndeadline-ms = 1", &["deadline-ms"]);
        refused("[onaccess]\nexclude-users = [\"no such user\"]", &["no such user"]);
    }
}
