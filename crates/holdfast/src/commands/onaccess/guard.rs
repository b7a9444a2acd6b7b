//! The guard's process and its supervisor: settings, content, and what becomes of findings.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use hf_core::{Limits, ScanOptions};
use hf_events::{Event, Events, EventsConfig, Kind, Opener, Outcome};
use hf_onaccess::{ClamdConf, Content, Finding, Findings, Guard, Loaded, Settings};
use hf_sig::PuaChoice;
use hf_sys::privileges::Capabilities;

use super::super::exit;
use crate::clamav::quarantine::{Action, act};
use crate::content::{self, Wanted};
use crate::display::{hex, safe_lines, safe_path};
use crate::session;

/// What the command line asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    pub(crate) config: PathBuf,
    pub(crate) clamd_conf: Option<PathBuf>,
    pub(crate) watch_list: Option<PathBuf>,
    pub(crate) exclude_list: Option<PathBuf>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) move_to: Option<PathBuf>,
    pub(crate) copy_to: Option<PathBuf>,
    pub(crate) remove: bool,
}

impl Orders {
    /// Returns the arguments of a guard with these orders.
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["onaccess".into(), "guard".into()];
        let config = Some(&self.config).filter(|config| !config.as_os_str().is_empty());
        let paths = [
            ("--config", config),
            ("--clamd-conf", self.clamd_conf.as_ref()),
            ("--watch-list", self.watch_list.as_ref()),
            ("--exclude-list", self.exclude_list.as_ref()),
            ("--log", self.log.as_ref()),
            ("--move", self.move_to.as_ref()),
            ("--copy", self.copy_to.as_ref()),
        ];
        for (name, path) in paths {
            arguments.extend(path.into_iter().flat_map(|path| [name.into(), path.into()]));
        }
        arguments.extend(self.remove.then(|| "--remove".into()));
        arguments
    }

    fn action(&self) -> Option<Action> {
        if self.remove {
            return Some(Action::Remove);
        }
        let to = self.move_to.clone().map(Action::Move);
        to.or_else(|| self.copy_to.clone().map(Action::Copy))
    }

    /// Reads who is told events; nobody without a configuration.
    fn events(&self) -> anyhow::Result<EventsConfig> {
        let usual = Path::new(crate::settings::PATH);
        let named = !self.config.as_os_str().is_empty();
        let path = if named { self.config.as_path() } else { usual };
        // Under ClamAV's name the file is ours and need not be there.
        if named && self.clamd_conf.is_none() || path.exists() {
            Ok(crate::settings::Settings::read(path)?.events)
        } else {
            Ok(EventsConfig::default())
        }
    }

    /// Reads the settings.
    pub(crate) fn settings(&self) -> Result<(Settings, Vec<String>), String> {
        let (mut settings, notes) = match &self.clamd_conf {
            None => (Settings::read(&self.config).map_err(|error| error.to_string())?, Vec::new()),
            Some(path) => {
                let ClamdConf { mut settings, notes, database_folder } =
                    ClamdConf::read(path).map_err(|error| error.to_string())?;
                settings.databases.extend(database_folder.filter(|folder| folder.is_dir()));
                // Whoever asks for the usual guard finds this one too.
                settings.socket =
                    Settings::read(&self.config).map(|own| own.socket).unwrap_or(settings.socket);
                (settings, notes)
            }
        };
        if let Some(list) = &self.watch_list {
            settings.protect.extend(lines(list)?);
        }
        if let Some(list) = &self.exclude_list {
            settings.exclude_paths.extend(lines(list)?);
        }
        if self.log.is_some() {
            settings.log.clone_from(&self.log);
        }
        // What is put there is infected.
        settings.exclude_paths.extend(self.move_to.clone().or_else(|| self.copy_to.clone()));
        settings.check()?;
        Ok((settings, notes))
    }
}

/// Reads a list of paths, one on each line.
fn lines(path: &Path) -> Result<Vec<PathBuf>, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", safe_path(path)))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(PathBuf::from).collect())
}

/// Runs a guard and starts it again when it dies.
pub(crate) fn supervise(orders: &Orders) -> anyhow::Result<ExitCode> {
    // What is wrong with the settings is told once, by whoever was started.
    orders.settings().map_err(anyhow::Error::msg)?;
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("guarding files takes root");
    }
    let arguments = orders.arguments();
    let guard = || {
        let mut command = Command::new("/proc/self/exe");
        command.arg0("holdfast").args(&arguments).stdout(Stdio::null());
        command
    };
    let code = hf_onaccess::supervise(guard, |line| errln!("holdfast: {line}"))?;
    Ok(ExitCode::from(code))
}

/// Is the guard.
pub(crate) fn run(orders: Orders) -> anyhow::Result<ExitCode> {
    let (settings, notes) = orders.settings().map_err(anyhow::Error::msg)?;
    let mut sink = Sink {
        out: settings.log.as_deref().map(open_log).transpose()?,
        action: orders.action(),
        like_clamav: orders.clamd_conf.is_some(),
        told: Told::Later(orders.events()?),
    };
    notes.iter().for_each(|note| sink.line(&format!("note: {note}")));
    // Only a pipe is the supervisor's; a terminal or nothing is somebody who tries the command.
    let heartbeat = std::io::stdin().as_fd().try_clone_to_owned().ok().filter(|fd| {
        let kind =
            rustix::fs::fstat(fd).map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
        kind.is_ok_and(|kind| kind == rustix::fs::FileType::Fifo)
    });
    let more_capabilities = if sink.action.is_some() {
        Capabilities::DAC_OVERRIDE | Capabilities::FOWNER | Capabilities::CHOWN
    } else {
        Capabilities::empty()
    };
    let databases = Databases {
        databases: settings.databases.clone(),
        like_clamav: orders.clamd_conf.is_some(),
    };
    hf_onaccess::run(Guard {
        settings: Box::new(move || orders.settings().map(|(settings, _)| settings)),
        content: Arc::new(databases),
        findings: Box::new(sink),
        heartbeat,
        more_capabilities,
    })
    .context("on-access guard")?;
    // At once: a thread may be in the middle of a scan for somebody who waits.
    std::process::exit(i32::from(exit::CLEAN))
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    options.open(path).with_context(|| format!("cannot write to {}", safe_path(path)))
}

/// Opens the content that guards use.
struct Databases {
    databases: Vec<PathBuf>,
    like_clamav: bool,
}

impl Content for Databases {
    fn open(&self) -> Result<Loaded, String> {
        let wanted = Wanted {
            databases: self.databases.clone(),
            with_builtin: true,
            official_only: false,
            yara: "yes".to_owned(),
            keep_going: true,
            pua: PuaChoice::None,
            certificates: None,
            like_clamav: self.like_clamav,
        };
        let content = content::open(&wanted).map_err(|error| error.to_string())?;
        let limits = Limits::holdfast();
        let worker = session::worker_config(&content, &limits, &ScanOptions::default())
            .map_err(|error| error.to_string())?;
        let digests = content.packs.iter().map(|opened| {
            let digest = opened.pack.digest();
            hex(digest.get(..DIGEST_SHOWN).unwrap_or(digest))
        });
        let identity = digests.collect::<Vec<_>>().join("+");
        Ok(Loaded { worker, identity, signatures: content.signatures, warnings: content.warnings })
    }
}

/// Ours: bytes of a digest that tell one pack from another.
const DIGEST_SHOWN: usize = 16;

/// Writes what is told, and does what was ordered about findings.
struct Sink {
    out: Option<File>,
    action: Option<Action>,
    like_clamav: bool,
    told: Told,
}

/// Who is told events. They are reached with the first event: a thread that was started before the guard gave up its
/// rights would keep them.
enum Told {
    Later(EventsConfig),
    Now(Events),
    Nobody,
}

impl Sink {
    fn tell(&mut self, kind: Kind) {
        if let Told::Later(config) = &self.told {
            let started = (!config.is_silent()).then(|| Events::start(config));
            self.told = match started {
                None => Told::Nobody,
                Some(Ok(events)) => Told::Now(events),
                Some(Err(error)) => {
                    self.line(&format!("events are told to nobody: {error}"));
                    Told::Nobody
                }
            };
        }
        if let Told::Now(events) = &self.told {
            events.tell(Event::now("on-access", kind));
        }
    }

    fn tell_finding(&mut self, finding: &Finding) {
        let path = finding.path.as_os_str().as_bytes().to_vec();
        let program = finding.program.as_deref().unwrap_or(Path::new(""));
        let opener = Opener {
            pid: u32::try_from(finding.pid).ok().filter(|pid| *pid > 0),
            uid: finding.user,
            executable: program.as_os_str().as_bytes().to_vec(),
        };
        self.tell(Kind::Finding {
            path: path.clone(),
            size: finding.file.metadata().ok().map(|meta| meta.len()),
            sha256: None,
            name: finding.name.clone(),
            origin: String::new(),
            place: Vec::new(),
            opener: Some(opener),
        });
        if finding.denied {
            self.tell(Kind::Action {
                path,
                action: "deny".to_owned(),
                outcome: Outcome::Success,
                entry: None,
                reason: String::new(),
            });
        }
    }
}

impl Findings for Sink {
    fn found(&mut self, finding: Finding) {
        self.tell_finding(&finding);
        let path = safe_path(&finding.path);
        let name = safe_lines(&finding.name);
        let text = if self.like_clamav {
            format!("{path}: {name} FOUND")
        } else {
            let word = if finding.denied { "denied" } else { "detected" };
            let program =
                finding.program.as_deref().map_or_else(|| "unknown".to_owned(), safe_path);
            let user = finding.user.map_or_else(|| "unknown".to_owned(), |user| user.to_string());
            format!(
                "{word} {path}: {name} (program {program}, process {}, user {user})",
                finding.pid
            )
        };
        self.line(&text);
        if finding.removed {
            return;
        }
        let Some(action) = &self.action else { return };
        let (Ok(told) | Err(told)) = act(action, &finding.path, Some(&finding.file));
        self.line(&told);
    }

    fn line(&mut self, text: &str) {
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let at = hf_sys::local_time(i64::try_from(now).unwrap_or(0));
        let line = format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02} {}\n",
            at.year,
            at.month,
            at.day,
            at.hour,
            at.minute,
            at.second,
            safe_lines(text)
        );
        // A log that cannot be written to is no reason not to guard.
        let _ = match &mut self.out {
            Some(out) => out.write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}
