//! What of `clamd.conf` concerns a client: where the daemon is, and what is walked how.
//!
//! Promises: a line that ClamAV refuses is refused with its words.
//! Leaves out: reading the file, which is `hf_daemon::clamd_conf`'s.
//! Source: clamd.conf(5); clamdscan 1.4.6 as it behaves.

use std::path::{Path, PathBuf};

use hf_daemon::clamd_conf::{ClamdConf, Refused};
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
        if std::fs::File::open(path).is_err() {
            return Err(vec![refused()]);
        }
        let conf = ClamdConf::read(path).map_err(|Refused(mut lines)| {
            // The daemon's last words; a client has its own.
            lines.pop();
            lines.push(refused());
            lines
        })?;
        Self::of(&conf).map_err(|line| vec![line, refused()])
    }

    /// Returns the defaults, with the daemon at this socket.
    pub(crate) fn of_socket(path: &str) -> Self {
        let conf = ClamdConf::default();
        let config =
            Self::of(&conf).unwrap_or_else(|_| unreachable!("no value is of a wrong kind"));
        Self { local_socket: Some(PathBuf::from(path)), ..config }
    }

    fn of(conf: &ClamdConf) -> Result<Self, String> {
        let bad = |name: &str| format!("ERROR: Incorrect argument format for option {name}");
        let follow = |name| if conf.on(name) { Follow::Always } else { Follow::Never };
        // Of old names that still mean something, only the daemon speaks.
        let deprecated = |text: &&String| text.starts_with("WARNING: Ignoring");
        let mut warnings: Vec<String> = conf.warnings.iter().filter(deprecated).cloned().collect();
        let mut exclude = Vec::new();
        for text in conf.texts("ExcludePath") {
            match session::path_regex(&text.to_string_lossy()) {
                Ok(regex) => exclude.push(regex),
                Err(why) => warnings.push(format!("WARNING: ExcludePath {why}")),
            }
        }
        let port = conf.number("TCPSocket").map(u16::try_from).transpose();
        let levels = conf.number("MaxDirectoryRecursion").unwrap_or(15);
        let levels = u32::try_from(levels).unwrap_or(u32::MAX);
        let hosts = conf.texts("TCPAddr").into_iter();
        Ok(Self {
            local_socket: conf.text("LocalSocket").map(PathBuf::from),
            port: port.map_err(|_| bad("TCPSocket"))?,
            hosts: hosts.map(|host| host.to_string_lossy().into_owned()).collect(),
            exclude,
            // A named folder is no level to ClamAV, but one to the walk. 0 means no limit.
            max_levels: if levels == 0 { u32::MAX } else { levels.saturating_add(1) },
            follow_dirs: follow("FollowDirectorySymlinks"),
            follow_files: follow("FollowFileSymlinks"),
            cross_filesystems: conf.on("CrossFilesystems"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        match ClamdConf::parse(Path::new("c"), text.as_bytes()) {
            Ok(conf) => Config::of(&conf),
            Err(Refused(lines)) => Err(lines.first().cloned().unwrap_or_default()),
        }
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
