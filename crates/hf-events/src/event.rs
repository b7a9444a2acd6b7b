//! One event, whoever tells it and wherever it is told.

use std::time::SystemTime;

use crate::escape;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: SystemTime,
    /// Who tells: `scan`, `daemon`, `on-access`, `schedule`, `update`.
    pub source: &'static str,
    /// What.
    pub kind: Kind,
}

/// What happened. Paths and names are raw bytes; texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Something was found in a file.
    Finding {
        /// Absolute path.
        path: Vec<u8>,
        /// Bytes.
        size: Option<u64>,
        /// SHA-256 as digits, where it is known.
        sha256: Option<String>,
        /// Name of the decisive signature.
        name: String,
        /// Its database and line; may be empty.
        origin: String,
        /// Names on the way to the object inside the file.
        place: Vec<Vec<u8>>,
        /// Who opened it, where that is known.
        opener: Option<Opener>,
    },
    /// Something was done with a file, or not.
    Action {
        /// Absolute path.
        path: Vec<u8>,
        /// `quarantine`, `remove`, `restore`, `delete`, `deny`.
        action: String,
        /// Whether it was done.
        outcome: Outcome,
        /// The entry in the quarantine.
        entry: Option<String>,
        /// Why not; may be empty.
        reason: String,
    },
    /// A file could not be scanned, or not wholly, and nothing was found in it.
    NotScanned {
        /// Absolute path.
        path: Vec<u8>,
        /// Bytes.
        size: Option<u64>,
        /// `error` or `incomplete`.
        verdict: &'static str,
        /// Why; may be empty.
        reason: String,
        /// More of these that were not told.
        others: u64,
    },
    /// A process that scans died.
    WorkerDied {
        /// Over what.
        path: Vec<u8>,
        /// How.
        reason: String,
        /// More of these that were not told.
        others: u64,
    },
    /// A scan began.
    ScanStarted {
        /// The task, or the command.
        task: String,
        /// What is scanned.
        paths: Vec<Vec<u8>>,
    },
    /// A scan waits, or goes on.
    ScanPaused {
        /// The task.
        task: String,
        /// It waits; else it goes on.
        paused: bool,
        /// Why.
        reason: String,
    },
    /// A scan ended.
    ScanEnded {
        /// The task, or the command.
        task: String,
        /// Files scanned.
        files: u64,
        /// Files in which something was found.
        detected: u64,
        /// Files not wholly looked at.
        incomplete: u64,
        /// Files that could not be scanned.
        errors: u64,
        /// Whether it came to its end.
        outcome: Outcome,
    },
    /// Content is in use.
    ContentLoaded {
        /// Signatures.
        signatures: u64,
        /// Databases with their versions, for people.
        databases: Vec<String>,
    },
    /// Content was refused; what was in use stays.
    ContentRefused {
        /// Why.
        reason: String,
    },
    /// Signed content is old.
    ContentStale {
        /// Age of the newest.
        days: u64,
        /// From which age on it is told.
        days_max: u64,
    },
    /// A protection went on or off.
    ProtectionChanged {
        /// Which: `on-access`, `sandbox`, `daemon`.
        what: String,
        /// It protects now.
        on: bool,
        /// Why.
        reason: String,
    },
    /// An update was tried.
    Update {
        /// From where.
        from: String,
        /// Whether new content came.
        outcome: Outcome,
        /// What came, or why nothing did.
        detail: String,
    },
    /// Events were lost because somebody was too slow to take them.
    Dropped {
        /// How many.
        count: u64,
    },
}

/// Who opened a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opener {
    /// Process.
    pub pid: Option<u32>,
    /// User.
    pub uid: Option<u32>,
    /// Its program.
    pub executable: Vec<u8>,
}

/// How something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Success,
    /// Not done, though it should have been.
    Failure,
    /// Not done, and rightly: a dry run, a spared file, nothing new.
    Unknown,
}

/// How much it matters, as syslog counts. Source: RFC 5424 §6.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Malware, or a protection that is off.
    Critical = 2,
    /// Something that should have worked.
    Error = 3,
    /// Something to look at.
    Warning = 4,
    /// Worth noting.
    Notice = 5,
    /// The ordinary course.
    Info = 6,
}

impl Event {
    /// Returns an event that happens now.
    #[must_use]
    pub fn now(source: &'static str, kind: Kind) -> Self {
        Self { time: SystemTime::now(), source, kind }
    }

    /// Returns how much it matters.
    #[must_use]
    pub fn priority(&self) -> Priority {
        match &self.kind {
            Kind::Finding { .. } | Kind::ProtectionChanged { on: false, .. } => Priority::Critical,
            Kind::Action { outcome: Outcome::Failure, .. }
            | Kind::ScanEnded { outcome: Outcome::Failure, .. }
            | Kind::ContentRefused { .. }
            | Kind::Update { outcome: Outcome::Failure, .. } => Priority::Error,
            Kind::Dropped { .. }
            | Kind::ContentStale { .. }
            | Kind::WorkerDied { .. }
            | Kind::NotScanned { verdict: "error", .. } => Priority::Warning,
            Kind::Action { .. } | Kind::NotScanned { .. } | Kind::ProtectionChanged { .. } => {
                Priority::Notice
            }
            _ => Priority::Info,
        }
    }

    /// Returns the word for what happened, by which configurations name it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.kind {
            Kind::Finding { .. } => "finding",
            Kind::Action { .. } => "action",
            Kind::NotScanned { .. } => "not-scanned",
            Kind::WorkerDied { .. } => "worker-died",
            Kind::ScanStarted { .. } => "scan-started",
            Kind::ScanPaused { .. } => "scan-paused",
            Kind::ScanEnded { .. } => "scan-ended",
            Kind::ContentLoaded { .. } => "content-loaded",
            Kind::ContentRefused { .. } => "content-refused",
            Kind::ContentStale { .. } => "content-stale",
            Kind::ProtectionChanged { .. } => "protection-changed",
            Kind::Update { .. } => "update",
            Kind::Dropped { .. } => "events-dropped",
        }
    }

    /// Every word.
    pub const WORDS: [&'static str; 13] = [
        "finding",
        "action",
        "not-scanned",
        "worker-died",
        "scan-started",
        "scan-paused",
        "scan-ended",
        "content-loaded",
        "content-refused",
        "content-stale",
        "protection-changed",
        "update",
        "events-dropped",
    ];

    /// Returns the path that it is about.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Finding { path, .. }
            | Kind::Action { path, .. }
            | Kind::NotScanned { path, .. }
            | Kind::WorkerDied { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Returns one harmless line for people, at most some kilobytes.
    #[must_use]
    pub fn message(&self) -> String {
        let safe = |bytes: &[u8]| escape::line(bytes, PART_LEN);
        let because = |reason: &str| match reason {
            "" => String::new(),
            reason => format!(": {}", safe(reason.as_bytes())),
        };
        match &self.kind {
            Kind::Finding { path, name, place, .. } => {
                let place = place.iter().take(PLACES_MAX).map(|part| safe(part));
                let place = place.fold(String::new(), |text, part| format!("{text} > {part}"));
                format!("detected {} in {}{place}", safe(name.as_bytes()), safe(path))
            }
            Kind::Action { path, action, outcome, entry, reason } => {
                let entry = entry.as_ref().map(|id| format!(" as {}", safe(id.as_bytes())));
                let action = safe(action.as_bytes());
                let how = match outcome {
                    Outcome::Success => "done",
                    Outcome::Failure => "failed",
                    Outcome::Unknown => "not done",
                };
                let entry = entry.unwrap_or_default();
                format!("{action} {how}{entry}: {}{}", safe(path), because(reason))
            }
            Kind::NotScanned { path, verdict, reason, others, .. } => {
                let how =
                    if *verdict == "error" { "could not scan" } else { "did not wholly scan" };
                format!("{how} {}{}{}", safe(path), because(reason), besides(*others))
            }
            Kind::WorkerDied { path, reason, others } => {
                let reason = safe(reason.as_bytes());
                format!("{reason}, over {}{}", safe(path), besides(*others))
            }
            Kind::ScanStarted { task, paths } => {
                let paths: Vec<String> = paths.iter().take(8).map(|path| safe(path)).collect();
                format!("scan {} started: {}", safe(task.as_bytes()), paths.join(" "))
            }
            Kind::ScanPaused { task, paused, reason } => {
                let how = if *paused { "paused" } else { "goes on" };
                format!("scan {} {how}{}", safe(task.as_bytes()), because(reason))
            }
            Kind::ScanEnded { task, files, detected, incomplete, errors, outcome } => {
                let how = if *outcome == Outcome::Success { "ended" } else { "was stopped" };
                format!(
                    "scan {} {how}: {files} files, {detected} detected, {incomplete} incomplete, \
                     {errors} errors",
                    safe(task.as_bytes())
                )
            }
            Kind::ContentLoaded { signatures, databases } => {
                let databases = safe(databases.join(", ").as_bytes());
                format!("content loaded: {signatures} signatures ({databases})")
            }
            Kind::ContentRefused { reason } => format!("content refused{}", because(reason)),
            Kind::ContentStale { days, days_max } => {
                format!("content is {days} days old, more than {days_max}")
            }
            Kind::ProtectionChanged { what, on, reason } => {
                let how = if *on { "on" } else { "OFF" };
                format!("protection {} is {how}{}", safe(what.as_bytes()), because(reason))
            }
            Kind::Update { from, outcome, detail } => {
                let how = match outcome {
                    Outcome::Success => "took new content",
                    Outcome::Failure => "failed",
                    Outcome::Unknown => "found nothing new",
                };
                format!("update from {} {how}{}", safe(from.as_bytes()), because(detail))
            }
            Kind::Dropped { count } => format!("{count} events were lost: too many at once"),
        }
    }
}

fn besides(others: u64) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} more that were not told)") }
}

/// Ours: bytes of one part of a message.
const PART_LEN: usize = 4096;
const PLACES_MAX: usize = 16;
