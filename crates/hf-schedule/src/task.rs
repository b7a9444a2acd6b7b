//! A task: `[[schedule]]` of the configuration, or a file of its own.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::when::When;

/// A scan that comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Task {
    /// Lower-case letters, digits and dashes, at most 64.
    pub name: String,
    /// When it is due.
    #[serde(default = "on_demand")]
    pub when: When,
    /// What is scanned; absolute.
    pub paths: Vec<PathBuf>,
    /// Regular expressions of paths that are left out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Regular expressions of folders that are left out.
    #[serde(default)]
    pub exclude_dir: Vec<String>,
    /// What is done with detected files.
    #[serde(default)]
    pub action: TaskAction,
    /// Files that were clean and have not changed are passed over.
    #[serde(default)]
    pub changed_only: bool,
    /// What is done while the machine runs on battery.
    #[serde(default)]
    pub on_battery: OnBattery,
    /// It gives way to everything else.
    #[serde(default = "yes")]
    pub idle: bool,
    /// More options of `holdfast scan`, each an argument.
    #[serde(default)]
    pub options: Vec<String>,
}

fn on_demand() -> When {
    When::OnDemand
}

fn yes() -> bool {
    true
}

/// What is done with detected files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskAction {
    /// Nothing.
    #[default]
    Report,
    /// They go into the quarantine.
    Quarantine,
    /// They are removed.
    Remove,
}

impl TaskAction {
    /// Returns the word of `--action`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Quarantine => "quarantine",
            Self::Remove => "remove",
        }
    }
}

/// What is done while the machine runs on battery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBattery {
    /// It waits.
    #[default]
    Pause,
    /// It goes on.
    Run,
}

/// A task cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task '{name}': {why}")]
pub struct TaskError {
    /// Its name, as it is.
    pub name: String,
    /// Why.
    pub why: String,
}

impl Task {
    /// Looks at what the types cannot say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), TaskError> {
        let error =
            |why: String| Err(TaskError { name: self.name.escape_default().to_string(), why });
        if !is_name(&self.name) {
            return error(
                "a name has only a-z, 0-9 and -, begins with a letter, at most 64".to_owned(),
            );
        }
        if self.paths.is_empty() {
            return error("it has no paths".to_owned());
        }
        let odd = |path: &&PathBuf| {
            !path.is_absolute() || path.to_str().is_some_and(|p| p.contains('\n'))
        };
        if let Some(path) = self.paths.iter().find(odd) {
            return error(format!("the path {} is not absolute", path.display()));
        }
        if let Some(option) = self.options.iter().find(|option| !option.starts_with("--")) {
            // So that no option can be taken for a path; values stand behind `=`.
            return error(format!("'{option}' must begin with -- (values behind =)"));
        }
        Ok(())
    }

    /// Returns the arguments of `holdfast scan` that do it.
    #[must_use]
    pub fn arguments(&self) -> Vec<std::ffi::OsString> {
        let mut args: Vec<std::ffi::OsString> = vec!["holdfast".into(), "scan".into()];
        args.extend(self.options.iter().map(Into::into));
        args.extend(self.exclude.iter().map(|text| format!("--exclude={text}").into()));
        args.extend(self.exclude_dir.iter().map(|text| format!("--exclude-dir={text}").into()));
        args.push(format!("--action={}", self.action.word()).into());
        args.push("--".into());
        args.extend(self.paths.iter().map(|path| path.clone().into_os_string()));
        args
    }

    /// Returns what tells this task, as it is, from any other: progress of one is nothing for the other.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        use sha2::Digest as _;
        let mut digest = sha2::Sha256::new();
        for arg in self.arguments() {
            use std::os::unix::ffi::OsStrExt as _;
            digest.update(arg.as_bytes());
            digest.update([0]);
        }
        hf_core::hex::to_hex(&digest.finalize())
    }
}

/// Returns whether this may be a task's name; such a name is harmless in paths and units.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 64
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
}

/// Returns where tasks have files of their own.
#[must_use]
pub fn folder(root: &Path) -> PathBuf {
    root.join("etc/holdfast/schedule.d")
}
