//! A program that is run for an event.
//!
//! Promises: no shell; what strangers named is a whole argument, or a variable, or JSON on standard input; the program
//! gets no descriptor of ours and not our environment; when its time is up, it and its process group are killed.
//! Leaves out: its output, which goes nowhere, and another user: it runs as we do.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use hf_sys::{Exit, Process};
use rustix::process::{Pid, Signal};

use crate::config::HookConfig;
use crate::ecs;
use crate::event::{Event, Kind};
use crate::events::Sink;

/// A program and when it is run.
#[derive(Debug)]
pub struct Hook {
    config: HookConfig,
    host: String,
}

impl Hook {
    /// Returns the hook of a configuration.
    #[must_use]
    pub fn new(config: HookConfig) -> Self {
        Self { config, host: ecs::host_name() }
    }
}

impl Sink for Hook {
    fn wants(&self, event: &Event) -> bool {
        self.config.wants(event)
    }

    fn deliver(&mut self, event: &Event) -> io::Result<()> {
        let Some((program, args)) = self.config.command.split_first() else { return Ok(()) };
        let mut command = Command::new(program);
        for arg in args {
            match value(arg, event) {
                Some(value) => command.arg(value),
                None => command.arg(arg),
            };
        }
        for word in HookConfig::PLACEHOLDERS {
            let name = word.trim_matches(['{', '}']).to_ascii_uppercase();
            if let Some(value) = value(word, event) {
                command.env(format!("HOLDFAST_{name}"), value);
            }
        }
        let input = hf_sys::sealed_memory("event", &ecs::json_line(event, &self.host))?;
        run(command, Stdio::from(rewound(input)?), Duration::from_secs(self.config.timeout_seconds))
    }
}

fn rewound(mut file: std::fs::File) -> io::Result<std::fs::File> {
    use std::io::Seek as _;
    file.rewind()?;
    Ok(file)
}

/// Runs a program to its end, or to the end of its time; `command` has its arguments and variables.
pub(crate) fn run(mut command: Command, input: Stdio, at_most: Duration) -> io::Result<()> {
    let own: Vec<(OsString, OsString)> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command.env_clear().envs(own).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
    command.current_dir("/").process_group(0);
    hf_sys::close_others(&mut command);
    let mut process = Process::start(&mut command)?;
    let group = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    let ended = process.wait(at_most);
    // What it left behind in its group goes too, whether its time was up or not.
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    match ended {
        Some((Exit::Code(0), _)) => Ok(()),
        Some((Exit::Code(code), _)) => Err(io::Error::other(format!("it ended with code {code}"))),
        Some((Exit::Signal(signal), _)) => {
            Err(io::Error::other(format!("it was ended by signal {signal}")))
        }
        Some((Exit::Unknown, _)) => Err(io::Error::other("nobody knows how it ended")),
        None => Err(io::Error::other("its time was up, so it was killed")),
    }
}

/// Returns what a placeholder stands for; none for any other argument.
fn value(word: &str, event: &Event) -> Option<OsString> {
    let text = |text: &str| OsString::from(text);
    // A name ends at its first NUL, which no path has.
    let raw = |bytes: &[u8]| {
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        OsStr::from_bytes(bytes).to_owned()
    };
    let found = match (word, &event.kind) {
        ("{event}", _) => text(event.word()),
        ("{message}", _) => text(&event.message()),
        ("{path}", _) => raw(event.path().unwrap_or_default()),
        ("{finding}", Kind::Finding { name, .. }) => raw(name.as_bytes()),
        ("{action}", Kind::Action { action, .. }) => raw(action.as_bytes()),
        ("{entry}", Kind::Action { entry: Some(entry), .. }) => raw(entry.as_bytes()),
        (
            "{outcome}",
            Kind::Action { outcome, .. }
            | Kind::ScanEnded { outcome, .. }
            | Kind::Update { outcome, .. },
        ) => text(ecs::outcome(*outcome)),
        ("{finding}" | "{action}" | "{entry}" | "{outcome}", _) => OsString::from_vec(Vec::new()),
        _ => return None,
    };
    Some(found)
}
