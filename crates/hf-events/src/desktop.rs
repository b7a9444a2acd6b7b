//! Notifications on the desktops of those who are logged in, by `notify-send` of libnotify.
//!
//! Who is logged in has a message bus in `/run/user/UID/bus`. As root, the program is run as that user, without further
//! groups; any other user reaches only the own desktop. Where the program or a bus is missing, nobody is told, and that is
//! no failure.
//! Limits: five notifications a minute, the rest is counted in the next; 32 users; five seconds for each.
//! Source: Desktop Notifications Specification 1.3.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::escape;
use crate::event::{Event, Kind, Outcome};
use crate::events::Sink;
use crate::hook;

/// The desktops of this machine.
#[derive(Debug)]
pub struct Desktop {
    /// The program.
    pub program: PathBuf,
    /// The folder with one folder a user.
    pub sessions: PathBuf,
    shown: VecDeque<Instant>,
    silent: u64,
}

impl Default for Desktop {
    fn default() -> Self {
        Self::new(PathBuf::from("/usr/bin/notify-send"), PathBuf::from("/run/user"))
    }
}

impl Desktop {
    /// Returns desktops reached by this program, for sessions in this folder.
    #[must_use]
    pub fn new(program: PathBuf, sessions: PathBuf) -> Self {
        Self { program, sessions, shown: VecDeque::new(), silent: 0 }
    }

    /// Returns the users who have a session: user, group, folder.
    fn users(&self) -> Vec<(u32, u32, PathBuf)> {
        let me = rustix::process::geteuid();
        let folders = std::fs::read_dir(&self.sessions).into_iter().flatten().flatten();
        let users = folders.filter_map(|folder| {
            let uid: u32 = folder.file_name().to_str()?.parse().ok()?;
            let meta = folder.metadata().ok().filter(|meta| meta.is_dir() && meta.uid() == uid)?;
            let bus = std::fs::symlink_metadata(folder.path().join("bus")).ok()?;
            let theirs = bus.file_type().is_socket() && bus.uid() == uid;
            let reachable = me.is_root() || me.as_raw() == uid;
            (theirs && reachable).then(|| (uid, meta.gid(), folder.path()))
        });
        users.take(USERS_MAX).collect()
    }

    /// Returns whether one more may be shown now.
    fn may_show(&mut self) -> bool {
        let now = Instant::now();
        while self.shown.front().is_some_and(|at| now.duration_since(*at) > MINUTE) {
            self.shown.pop_front();
        }
        if self.shown.len() >= SHOWN_MAX {
            self.silent = self.silent.saturating_add(1);
            return false;
        }
        self.shown.push_back(now);
        true
    }
}

impl Sink for Desktop {
    fn wants(&self, event: &Event) -> bool {
        match &event.kind {
            Kind::Finding { .. } | Kind::ProtectionChanged { .. } => true,
            Kind::Action { outcome, .. } => *outcome != Outcome::Unknown,
            _ => false,
        }
    }

    fn deliver(&mut self, event: &Event) -> io::Result<()> {
        if !self.program.is_file() || !self.may_show() {
            return Ok(());
        }
        let users = self.users();
        let mut body = escape::markup(&event.message());
        if self.silent > 0 {
            body.push_str(&format!(" (and {} more)", std::mem::take(&mut self.silent)));
        }
        let mut done = Ok(());
        for (uid, gid, folder) in users {
            let mut command = Command::new(&self.program);
            command.args([
                "--app-name=Holdfast",
                "--icon=security-high",
                "--urgency=critical",
                "--",
            ]);
            command.args([title(event), &body]);
            command.env("XDG_RUNTIME_DIR", &folder);
            let bus = format!("unix:path={}", folder.join("bus").display());
            command.env("DBUS_SESSION_BUS_ADDRESS", bus);
            if rustix::process::geteuid().is_root() {
                command.uid(uid).gid(gid);
            }
            done = done.and(hook::run(command, Stdio::null(), PATIENCE));
        }
        done
    }
}

fn title(event: &Event) -> &'static str {
    match &event.kind {
        Kind::Finding { .. } => "Malware found",
        Kind::Action { outcome: Outcome::Success, .. } => "Malware dealt with",
        Kind::Action { .. } => "Malware is still there",
        Kind::ProtectionChanged { on: false, .. } => "Protection is off",
        _ => "Protection is on",
    }
}

const USERS_MAX: usize = 32;
const SHOWN_MAX: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(5);
