//! What becomes of findings and lines of a guard: the log, events, and what the owner ordered.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use hf_core::Verdict;
use hf_events::{Event, Events, EventsConfig, Kind, Limiter, Opener, Outcome};
use hf_onaccess::{ActionWord, Finding, Findings, Happening, Settings};
use hf_quarantine::vault::Provenance;
use hf_quarantine::{By, Guard, OsPackages, QuarantineSink as _, Seen, Vault};
use hf_sys::privileges::Capabilities;

use super::super::outcome::{self, SPARED};
use crate::clamav::quarantine::{Action, act};
use crate::display::{safe, safe_lines, safe_path};

/// What is done about an infected file, besides denying it.
pub(super) enum Response {
    /// Nothing.
    Report,
    /// As clamonacc's options say.
    LikeClamav(Action),
    /// As the settings say.
    Guard(Box<Guard>, &'static str),
}

impl Response {
    /// Returns what the settings ask for; makes the vault if it is needed.
    pub(super) fn of(settings: &Settings, vault: Option<&Path>) -> anyhow::Result<Self> {
        let packages = (!settings.touch_system_files).then(OsPackages::default);
        let (action, word) = match settings.action {
            ActionWord::Report => return Ok(Self::Report),
            ActionWord::Remove => (hf_quarantine::Action::Remove, "remove"),
            ActionWord::Quarantine => {
                let usual = Vault::default_path();
                let path = vault.or(usual.as_deref()).context("no place for the quarantine")?;
                let vault = Vault::create(path).context("no quarantine")?;
                (hf_quarantine::Action::Quarantine(vault), "quarantine")
            }
        };
        Ok(Self::Guard(Box::new(Guard { action, packages, dry_run: false }), word))
    }

    /// What any of them takes besides the capabilities of guarding, whoever owns the folder and whatever its
    /// rights are. They are kept under `report`, too, since settings may be read again: beside `SYS_ADMIN`,
    /// `SYS_PTRACE` and `SETUID`, which guarding takes, they open nothing that was closed.
    pub(super) const CAPABILITIES: Capabilities =
        Capabilities::DAC_OVERRIDE.union(Capabilities::FOWNER).union(Capabilities::CHOWN);
}

/// What is to be done from the next finding on, when settings were read again.
#[derive(Clone, Default)]
pub(super) struct Ordered(Arc<Mutex<Option<Response>>>);

impl Ordered {
    pub(super) fn set(&self, response: Response) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
    }

    fn take(&self) -> Option<Response> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Who is told events. They are reached with the first event: a thread that was started before the guard gave up its
/// rights would keep them.
enum Told {
    Later(EventsConfig),
    Now(Events),
    Nobody,
}

/// Writes what is told, and does what was ordered about findings.
pub(super) struct Sink {
    out: Option<File>,
    response: Response,
    ordered: Ordered,
    like_clamav: bool,
    told: Told,
    limiter: Limiter,
}

impl Sink {
    /// Writes to a file, or to standard error without one.
    pub(super) fn new(
        log: Option<&Path>,
        (response, ordered): (Response, Ordered),
        like_clamav: bool,
        events: EventsConfig,
    ) -> anyhow::Result<Self> {
        let out = log.map(open_log).transpose()?;
        let (told, limiter) = (Told::Later(events), Limiter::default());
        Ok(Self { out, response, ordered, like_clamav, told, limiter })
    }

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

    fn tell_finding(&mut self, finding: &Finding, sha256: Option<String>) {
        let program = finding.program.as_deref().unwrap_or(Path::new(""));
        let first = finding.findings.iter().find(|one| one.name == finding.name);
        let opener = Opener {
            pid: u32::try_from(finding.pid).ok().filter(|pid| *pid > 0),
            uid: finding.user,
            executable: program.as_os_str().as_bytes().to_vec(),
        };
        self.tell(Kind::Finding {
            path: path_of(finding),
            size: Some(finding.identity.size),
            sha256,
            name: finding.name.clone(),
            origin: first.map(|one| one.origin.clone()).unwrap_or_default(),
            place: first
                .map_or_else(Vec::new, |one| one.place.iter().map(|part| part.0.clone()).collect()),
            opener: Some(opener),
        });
        if finding.denied {
            self.tell(Kind::Action {
                path: path_of(finding),
                action: "deny".to_owned(),
                outcome: Outcome::Success,
                entry: None,
                reason: String::new(),
            });
        }
    }

    fn found_line(&self, finding: &Finding) -> String {
        let path = safe_path(&finding.path);
        let name = safe_lines(&finding.name);
        if self.like_clamav {
            return format!("{path}: {name} FOUND");
        }
        let word = if finding.denied { "denied" } else { "detected" };
        let program = finding.program.as_deref().map_or_else(|| "unknown".to_owned(), safe_path);
        let user = finding.user.map_or_else(|| "unknown".to_owned(), |user| user.to_string());
        format!("{word} {path}: {name} (program {program}, process {}, user {user})", finding.pid)
    }
}

/// Does what the settings ask for about a file.
fn done(guard: &Guard, finding: &Finding) -> hf_quarantine::Outcome {
    if finding.removed {
        return hf_quarantine::Outcome::Nothing;
    }
    let provenance = Provenance {
        findings: finding.findings.clone(),
        content: finding.content.to_vec(),
        by: By::this_process("holdfast onaccess"),
    };
    guard.act(Seen {
        path: &finding.path,
        file: &finding.file,
        identity: finding.identity,
        // Only that is told to a guard's sink as a finding.
        verdict: Verdict::Detected,
        provenance,
    })
}

/// Returns the line for people.
fn done_line(path: &Path, outcome: &hf_quarantine::Outcome) -> String {
    let path = safe_path(path);
    let links =
        |left: u64| outcome::links(left).map(|text| format!(" ({text})")).unwrap_or_default();
    match outcome {
        hf_quarantine::Outcome::Quarantined { record, links_left } => {
            format!("quarantined {path}: as {}{}", record.id, links(*links_left))
        }
        hf_quarantine::Outcome::Removed { links_left } => {
            format!("removed {path}{}", links(*links_left))
        }
        hf_quarantine::Outcome::Spared => format!("left {path}: {SPARED}"),
        hf_quarantine::Outcome::Failed(error) => {
            format!("left {path}: {}", safe(error.to_string().as_bytes()))
        }
        hf_quarantine::Outcome::Would | hf_quarantine::Outcome::Nothing => {
            format!("left {path}: it has no name that could be removed")
        }
    }
}

fn path_of(finding: &Finding) -> Vec<u8> {
    finding.path.as_os_str().as_bytes().to_vec()
}

impl Findings for Sink {
    fn found(&mut self, finding: Finding) {
        let line = self.found_line(&finding);
        self.line(&line);
        if let Some(response) = self.ordered.take() {
            self.response = response;
        }
        match &self.response {
            Response::Report => self.tell_finding(&finding, None),
            Response::LikeClamav(action) => {
                let done =
                    (!finding.removed).then(|| act(action, &finding.path, Some(&finding.file)));
                self.tell_finding(&finding, None);
                if let Some(Ok(line) | Err(line)) = done {
                    self.line(&line);
                }
            }
            Response::Guard(guard, word) => {
                let (done, word) = (done(guard, &finding), *word);
                let sha256 = match &done {
                    hf_quarantine::Outcome::Quarantined { record, .. } => {
                        Some(record.sha256.clone())
                    }
                    _ => None,
                };
                self.tell_finding(&finding, sha256);
                self.tell(outcome::action(path_of(&finding), word, &done));
                self.line(&done_line(&finding.path, &done));
            }
        }
    }

    fn happened(&mut self, happening: Happening) {
        let mut admit = |word| self.limiter.admit(word, Instant::now());
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let kind = match happening {
            Happening::Guarding { on, reason } => {
                Some(Kind::ProtectionChanged { what: "on-access".to_owned(), on, reason })
            }
            Happening::ContentLoaded { signatures } => {
                Some(Kind::ContentLoaded { signatures, databases: Vec::new() })
            }
            Happening::ContentRefused { reason } => Some(Kind::ContentRefused { reason }),
            Happening::NotScanned { path, size, failed, reason } => {
                let verdict = if failed { "error" } else { "incomplete" };
                let (path, size) = (bytes(&path), Some(size));
                admit(verdict).map(|others| Kind::NotScanned {
                    path,
                    size,
                    verdict,
                    reason,
                    others,
                })
            }
            Happening::WorkerDied { path, reason } => admit("worker-died")
                .map(|others| Kind::WorkerDied { path: bytes(&path), reason, others }),
        };
        kind.into_iter().for_each(|kind| self.tell(kind));
    }

    fn finish(&mut self) {
        if let Told::Now(events) = std::mem::replace(&mut self.told, Told::Nobody) {
            for trouble in events.finish(PATIENCE) {
                let (sink, lost, failed) = (trouble.sink, trouble.lost, trouble.failed);
                self.line(&format!("events to {sink}: {lost} lost, {failed} not told"));
            }
        }
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

fn open_log(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    options.open(path).with_context(|| format!("cannot write to {}", safe_path(path)))
}

/// Ours: what a service manager waits for anyway.
const PATIENCE: Duration = Duration::from_secs(2);
