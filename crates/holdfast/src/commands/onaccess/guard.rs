//! The guard's process and its supervisor: settings and content.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use hf_core::{Limits, ScanOptions};
use hf_events::EventsConfig;
use hf_onaccess::{ActionWord, ClamdConf, ConfError, Content, Guard, Loaded, Settings};
use hf_sig::PuaChoice;

use super::super::exit;
use super::super::quarantine::content_records;
use super::findings::{Ordered, Response, Sink};
use crate::clamav::quarantine::Action;
use crate::content::{self, Wanted};
use crate::display::{hex, safe_path};
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

    /// Reads who is told events, and where the quarantine is. The usual file need not be there.
    fn of_the_machine(&self) -> anyhow::Result<(EventsConfig, Option<PathBuf>)> {
        let usual = Path::new(crate::settings::PATH);
        let named = !self.config.as_os_str().is_empty();
        let path = if named { self.config.as_path() } else { usual };
        // `Settings::read` of the guard takes a file that is not there as well.
        if !path.exists() {
            return Ok((EventsConfig::default(), None));
        }
        let settings = crate::settings::Settings::read(path)?;
        Ok((settings.events, settings.quarantine.vault))
    }

    /// Reads the settings.
    pub(crate) fn settings(&self) -> Result<(Settings, Vec<String>), String> {
        let (mut settings, notes) = match &self.clamd_conf {
            None => (Settings::read(&self.config).map_err(|error| error.to_string())?, Vec::new()),
            Some(path) => {
                let file = hf_daemon::clamd_conf::ClamdConf::read(path);
                let file = file.map_err(|refused| refused.0.join("; "))?;
                let refused =
                    |error: ConfError| format!("{}:{}: {}", safe_path(path), error.line, error.why);
                let ClamdConf { mut settings, notes, database_folder } =
                    ClamdConf::of(file.options()).map_err(refused)?;
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
    let (settings, _) = orders.settings().map_err(anyhow::Error::msg)?;
    let (events, vault) = orders.of_the_machine()?;
    let response = match orders.action() {
        Some(action) => Response::LikeClamav(action),
        None => Response::of(&settings, vault.as_deref())?,
    };
    let like_clamav = orders.clamd_conf.is_some();
    let ordered = Ordered::default();
    let findings =
        Sink::new(settings.log.as_deref(), (response, ordered.clone()), like_clamav, events)?;
    // Only a pipe is the supervisor's; a terminal or nothing is somebody who tries the command.
    let heartbeat = std::io::stdin().as_fd().try_clone_to_owned().ok().filter(|fd| {
        let kind =
            rustix::fs::fstat(fd).map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
        kind.is_ok_and(|kind| kind == rustix::fs::FileType::Fifo)
    });
    let databases = Databases { databases: settings.databases.clone(), like_clamav };
    let in_use = Mutex::new((settings.action, settings.touch_system_files, vault));
    let read = move || {
        let (settings, mut notes) = orders.settings()?;
        // What the command line says about findings counts more.
        if orders.action().is_none() {
            let (_, vault) = orders.of_the_machine().map_err(|error| format!("{error:#}"))?;
            let wanted = (settings.action, settings.touch_system_files, vault);
            let mut in_use = in_use.lock().unwrap_or_else(PoisonError::into_inner);
            if wanted != *in_use {
                let response = Response::of(&settings, wanted.2.as_deref());
                ordered.set(response.map_err(|error| format!("{error:#}"))?);
                let word = match settings.action {
                    ActionWord::Report => "report",
                    ActionWord::Quarantine => "quarantine",
                    ActionWord::Remove => "remove",
                };
                notes.push(format!("action is {word:?} from now on"));
                *in_use = wanted;
            }
        }
        Ok((settings, notes))
    };
    hf_onaccess::run(Guard {
        settings: Box::new(read),
        content: Arc::new(databases),
        findings: Box::new(findings),
        heartbeat,
        more_capabilities: Response::CAPABILITIES,
    })
    .context("on-access guard")?;
    // At once: a thread may be in the middle of a scan for somebody who waits.
    std::process::exit(i32::from(exit::CLEAN))
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
        let sources = content_records(&content);
        let signatures = content.signatures;
        Ok(Loaded { worker, identity, signatures, sources, warnings: content.warnings })
    }
}

/// Ours: bytes of a digest that tell one pack from another.
const DIGEST_SHOWN: usize = 16;
