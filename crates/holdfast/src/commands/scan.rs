//! `holdfast scan`.

mod action;
mod progress;
pub(crate) mod telling;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_core::{Hit, Limits, Report, ScanOptions, Verdict};
use hf_events::Events;
use hf_policy::Tell;
use hf_sig::PuaChoice;
use serde_json::json;

use self::action::Actions;
use self::progress::Progress;
use self::telling::Telling;
use super::exit;
use crate::content::{self, Content, Wanted};
use crate::display::{self, safe_path};
use crate::drive::{Event, Files, Named, Scanned, drive_planned};
use crate::settings::Settings;
use crate::walk::{Follow, Note, Plan, WalkOptions};
use crate::{json, session};

/// What a scan is part of.
#[derive(Default)]
pub(crate) struct Part<'p> {
    /// How the walk goes.
    pub(crate) plan: Plan<'p>,
    /// Who wants to know how far it came.
    pub(crate) watch: Option<&'p mut dyn Watch>,
    /// To whom events are told, with the name of the task.
    pub(crate) events: Option<(&'p Events, &'p str)>,
}

/// Is told how far a scan came, in the order of the walk.
pub(crate) trait Watch {
    /// The content is open; nothing is scanned yet.
    fn content(&mut self, content: &Content);
    /// All before and including this path is told; `scanned` if it was.
    fn done(&mut self, path: &Path, scanned: Option<(&Scanned, Verdict)>);
    /// Returns whether descriptors of scanned files are wanted.
    fn wants_files(&self) -> bool;
}

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    if !matches.get_flag("events") {
        return run_part(matches, Part::default()).map(ExitCode::from);
    }
    let settings = Settings::of(matches)?;
    let events =
        Events::start(&settings.events).with_context(|| settings.path.display().to_string())?;
    let part = Part { events: Some((&events, "scan")), ..Part::default() };
    let done = run_part(matches, part);
    telling::finish(events);
    done.map(ExitCode::from)
}

/// Runs the command as a part of something else; returns its exit code.
pub(crate) fn run_part(matches: &ArgMatches, mut part: Part<'_>) -> anyhow::Result<u8> {
    let content = content::open(&wanted(matches))?;
    for warning in &content.warnings {
        errln!("holdfast: warning: {warning}");
    }
    if content.signatures == 0 {
        anyhow::bail!("there is no signature in the databases, so nothing could be found");
    }
    if let Some(watch) = &mut part.watch {
        watch.content(&content);
    }
    let options = scan_options(matches);
    let walk = walk_options(matches)?;
    let named = named(matches)?;
    let actions = Actions::of(matches, &content)?;
    let kept = actions.wanted() || part.watch.as_ref().is_some_and(|watch| watch.wants_files());
    let files = if kept { Files::Kept } else { Files::Closed };
    let mut config = session::worker_config(&content, &limits(matches), &options)?;
    config.memory_bytes = worker_memory(matches);
    let workers = session::workers(config, threads(matches)).context("cannot start a worker")?;
    session::rules_or_refusal(&workers, matches.get_flag("keep-going"))?;
    let progress = Progress::start(matches, &named, &walk);
    let mut run = Run {
        json: matches.get_flag("json"),
        contents: matches.get_flag("contents"),
        verbose: matches.get_flag("verbose"),
        only_findings: matches.get_flag("only-findings"),
        explain: options.explain,
        tell: if options.all_match { Tell::All } else { Tell::One },
        progress,
        actions,
        watch: part.watch,
        telling: Telling::new(part.events),
        counts: Counts::default(),
        output_gone: None,
    };
    let started = Instant::now();
    run.telling.started(&named);
    drive_planned(named, (&walk, &part.plan), workers, files, &mut |event| run.event(event))
        .context("cannot start a thread")?;
    run.progress.end();
    if !matches.get_flag("no-summary") && run.output_gone.is_none() {
        run.summary(started, content.signatures);
    }
    if let Some(error) = &run.output_gone {
        if error.kind() != io::ErrorKind::BrokenPipe {
            errln!("holdfast: cannot write to standard output: {error}");
        }
        // What was not told is not known to anybody.
        run.counts.errors = run.counts.errors.saturating_add(1);
    }
    run.telling.ended(&run.counts, run.output_gone.is_none());
    Ok(run.counts.exit())
}

#[derive(Debug, Default)]
struct Counts {
    files: u64,
    folders: u64,
    bytes: u64,
    objects: u64,
    clean: u64,
    detected: u64,
    incomplete: u64,
    errors: u64,
    skipped: u64,
    quarantined: u64,
    removed: u64,
    /// Detected files with which was not done what was asked for.
    left: u64,
}

impl Counts {
    fn exit(&self) -> u8 {
        if self.detected > 0 {
            exit::DETECTED
        } else if self.errors > 0 {
            exit::ERROR
        } else if self.incomplete > 0 {
            exit::INCOMPLETE
        } else {
            exit::CLEAN
        }
    }
}

struct Run<'p> {
    json: bool,
    /// Every object of a file is told.
    contents: bool,
    verbose: bool,
    only_findings: bool,
    explain: bool,
    tell: Tell,
    progress: Progress,
    actions: Actions,
    watch: Option<&'p mut dyn Watch>,
    telling: Telling<'p>,
    counts: Counts,
    /// Why nothing more can be told; the run ends.
    output_gone: Option<io::Error>,
}

impl Run<'_> {
    fn event(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Directory => self.counts.folders = self.counts.folders.saturating_add(1),
            Event::Note(path, note) => {
                self.note(&path, &note);
                // A folder that cannot be entered is told once more by a run that goes on.
                if let Some(watch) = &mut self.watch {
                    watch.done(&path, None);
                }
            }
            Event::Scanned(scanned) => {
                let verdict = self.scanned(&scanned);
                if let Some(watch) = &mut self.watch {
                    watch.done(&scanned.path, Some((&scanned, verdict)));
                }
            }
        }
        if self.output_gone.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn line(&mut self, line: &str) {
        self.progress.hidden(|| {
            let mut out = io::stdout().lock();
            if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
                self.output_gone = Some(error);
            }
        });
    }

    fn note(&mut self, path: &Path, note: &Note) {
        let (text, error, shown) = told(note);
        if error {
            self.counts.errors = self.counts.errors.saturating_add(1);
        } else {
            self.counts.skipped = self.counts.skipped.saturating_add(1);
        }
        if self.json {
            self.line(&json::skipped(path, &text, error).to_string());
        } else if self.verbose || error || (!self.only_findings && shown) {
            let word = if error { "error" } else { "skipped" };
            self.line(&format!("{word:<11} {}: {text}", safe_path(path)));
        }
    }

    fn scanned(&mut self, scanned: &Scanned) -> Verdict {
        let Scanned { path, size, report, .. } = scanned;
        let decision = hf_policy::decide(report, self.tell);
        let verdict = decision.verdict;
        let done = self.actions.act(scanned, verdict);
        self.telling.scanned(scanned, &decision, done.as_ref());
        let counts = &mut self.counts;
        counts.files = counts.files.saturating_add(1);
        counts.bytes = counts.bytes.saturating_add(*size);
        counts.objects = counts.objects.saturating_add(report.object_count);
        let counter = match decision.verdict {
            Verdict::Clean => &mut counts.clean,
            Verdict::Detected => &mut counts.detected,
            Verdict::Incomplete => &mut counts.incomplete,
            Verdict::Error => &mut counts.errors,
        };
        *counter = counter.saturating_add(1);
        if let Some(done) = &done {
            let counter = done.counter(&mut self.counts);
            *counter = counter.saturating_add(1);
        }
        let detected = self.counts.detected;
        self.progress.file(*size, detected);
        if self.json {
            let mut line = json::file(path, *size, decision.verdict, &decision.findings, report);
            if self.contents {
                line["contents"] = json::objects(report);
            }
            if let Some(done) = &done {
                line["action"] = done.json();
            }
            self.line(&line.to_string());
            return verdict;
        }
        match verdict {
            Verdict::Clean if self.verbose => {
                self.line(&format!("clean       {}", safe_path(path)));
            }
            Verdict::Clean => {}
            Verdict::Detected => {
                let mut told = BTreeSet::new();
                for hit in &decision.findings {
                    self.finding(path, report, hit, &mut told);
                }
                if let Some(done) = &done {
                    self.line(&done.line(path));
                }
            }
            Verdict::Incomplete if self.only_findings => {}
            Verdict::Incomplete => self.incomplete(path, report),
            Verdict::Error => {
                let error = report.error.as_deref().unwrap_or("unknown error");
                self.line(&format!("error       {}: {error}", safe_path(path)));
            }
        }
        verdict
    }

    /// Tells a finding, once for a place: text that also matched in a normalised form is no news.
    fn finding(
        &mut self,
        path: &Path,
        report: &Report,
        hit: &Hit,
        told: &mut BTreeSet<(String, String)>,
    ) {
        let place = display::place(report, hit.object, b"");
        let name = display::safe(hit.name.as_bytes());
        if !told.insert((place.clone(), name.clone())) && !self.explain {
            return;
        }
        self.line(&format!("detected    {}{place}: {name}", safe_path(path)));
        if !self.explain {
            return;
        }
        let origin = if hit.origin.is_empty() { "built in" } else { &hit.origin };
        let object = usize::try_from(hit.object).ok().and_then(|idx| report.objects.get(idx));
        let kind = object.map_or("?", |node| node.file_type.name());
        self.line(&format!("              signature: {origin} ({:?}), object: {kind}", hit.kind));
        for span in &hit.spans {
            self.line(&format!(
                "              part {} at offset {} (0x{:x}), {} bytes: {}  {}",
                display::safe(span.part.as_bytes()),
                span.off,
                span.off,
                span.len,
                display::hex(&span.bytes),
                span.bytes.escape_ascii()
            ));
        }
    }

    fn incomplete(&mut self, path: &Path, report: &Report) {
        let shown = if self.verbose { usize::MAX } else { PARTS_SHOWN };
        for part in report.unscanned.iter().take(shown) {
            let place = display::place(report, part.object, &part.name);
            self.line(&format!("incomplete  {}{place}: {}", safe_path(path), part.reason));
        }
        let told = u64::try_from(report.unscanned.len()).unwrap_or(u64::MAX);
        let all = told.saturating_add(report.unscanned_more);
        let left = all.saturating_sub(told.min(u64::try_from(shown).unwrap_or(u64::MAX)));
        if left > 0 {
            self.line(&format!("incomplete  {}: and {left} more parts", safe_path(path)));
        }
    }

    fn summary(&mut self, started: Instant, signatures: u64) {
        let took = started.elapsed();
        let c = &self.counts;
        if self.json {
            let line = json!({
                "type": "summary", "signatures": signatures, "files": c.files,
                "folders": c.folders, "bytes": c.bytes, "objects": c.objects, "clean": c.clean,
                "detected": c.detected, "incomplete": c.incomplete, "errors": c.errors,
                "skipped": c.skipped, "quarantined": c.quarantined, "removed": c.removed,
                "left": c.left, "seconds": took.as_secs_f64(),
            });
            self.line(&line.to_string());
            return;
        }
        let rate = f64::from(u32::try_from(c.bytes >> 10).unwrap_or(u32::MAX))
            / 1024.0
            / took.as_secs_f64().max(0.001);
        let text = format!(
            "\n{} files ({}) in {} folders, {} objects, {signatures} signatures, {:.1} s, {rate:.0} MiB/s\n\
             {} clean, {} detected, {} incomplete, {} errors; {} not scanned (links, devices, excluded, empty)",
            c.files,
            display::bytes(c.bytes),
            c.folders,
            c.objects,
            took.as_secs_f64(),
            c.clean,
            c.detected,
            c.incomplete,
            c.errors,
            c.skipped,
        );
        let acted = format!(
            "{} quarantined, {} removed, {} detected and left where they are",
            c.quarantined, c.removed, c.left
        );
        self.line(&text);
        if self.actions.wanted() {
            self.line(&acted);
        }
    }
}

/// Returns what is said of something not scanned: the text, whether it is an error, whether it is said
/// without being asked.
fn told(note: &Note) -> (String, bool, bool) {
    let (text, error, shown) = match note {
        Note::SymbolicLink => ("symbolic link", false, false),
        Note::LinkLoop => ("a folder that leads back to itself", false, false),
        Note::Excluded => ("excluded", false, false),
        Note::ExcludedProc => ("not a file system of files", false, false),
        Note::OtherFilesystem => ("on another file system", false, false),
        Note::Empty => ("empty", false, false),
        Note::NotRegular { named } => ("not a regular file", false, *named),
        Note::TooDeep => ("deeper than --max-dir-depth", true, true),
        Note::Missing(why) => return (why.to_lowercase(), true, true),
        Note::AccessDenied => ("access denied", true, true),
        Note::CannotOpenDirectory(why) => {
            return (format!("cannot open folder: {why}"), true, true);
        }
        Note::CannotOpen(why) => return (format!("cannot open: {why}"), true, true),
    };
    (text.to_owned(), error, shown)
}

/// Returns the content that the options ask for.
pub(crate) fn wanted(matches: &ArgMatches) -> Wanted {
    Wanted {
        databases: matches.get_many::<PathBuf>("database").into_iter().flatten().cloned().collect(),
        with_builtin: matches.get_flag("with-builtin"),
        official_only: matches.get_flag("official-only"),
        yara: matches.get_one::<String>("yara").cloned().unwrap_or_else(|| "yes".to_owned()),
        keep_going: matches.get_flag("keep-going"),
        // Packs hold all classes; which are told is an option of the scan.
        pua: PuaChoice::All,
        certificates: matches.get_one::<PathBuf>("certificates").cloned(),
        like_clamav: false,
    }
}

/// Returns the number of workers that the options ask for.
pub(crate) fn threads(matches: &ArgMatches) -> usize {
    match matches.get_one::<u64>("threads") {
        None | Some(0) => session::threads(),
        Some(count) => usize::try_from(*count).unwrap_or(1).min(256),
    }
}

/// Returns the memory of one worker in bytes.
pub(super) fn worker_memory(matches: &ArgMatches) -> u64 {
    *matches.get_one::<u64>("worker-memory").unwrap_or(&(2 << 30))
}

/// Returns the limits that the options ask for.
pub(crate) fn limits(matches: &ArgMatches) -> Limits {
    let defaults = Limits::holdfast();
    let number = |name: &str| matches.get_one::<u64>(name).copied();
    let small = |name: &str, default: u32| {
        number(name).map_or(default, |value| u32::try_from(value).unwrap_or(u32::MAX))
    };
    Limits {
        max_scan_bytes: number("max-scan-size").unwrap_or(defaults.max_scan_bytes),
        max_object_bytes: number("max-object-size").unwrap_or(defaults.max_object_bytes),
        max_depth: small("max-depth", defaults.max_depth),
        max_objects: small("max-objects", defaults.max_objects),
        deadline_ms: number("deadline")
            .map_or(defaults.deadline_ms, |seconds| seconds.saturating_mul(1000)),
        ..defaults
    }
}

fn scan_options(matches: &ArgMatches) -> ScanOptions {
    let on = |name: &str| matches.get_flag(name);
    let words = |name: &str| {
        matches.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>()
    };
    let (include_pua, exclude_pua) = (words("include-pua"), words("exclude-pua"));
    ScanOptions {
        all_match: on("all-match"),
        full_tree: on("contents"),
        clamav_quirks: on("like-clamav"),
        detect_pua: on("detect-pua") || !include_pua.is_empty() || !exclude_pua.is_empty(),
        include_pua,
        exclude_pua,
        heuristic_alerts: !on("no-heuristics"),
        alert_encrypted_archive: on("alert-encrypted"),
        alert_encrypted_doc: on("alert-encrypted"),
        alert_macros: on("alert-macros"),
        alert_broken: on("alert-broken"),
        alert_broken_media: on("alert-broken"),
        alert_exceeds_max: on("alert-exceeds-max"),
        alert_phishing_ssl: on("alert-phishing"),
        alert_phishing_cloak: on("alert-phishing"),
        detect_structured: on("detect-structured"),
        yara: matches.get_one::<String>("yara").is_none_or(|mode| mode != "no"),
        explain: on("explain"),
        ..ScanOptions::default()
    }
}

fn walk_options(matches: &ArgMatches) -> anyhow::Result<WalkOptions> {
    let follow = match matches.get_one::<String>("follow-links").map(String::as_str) {
        Some("never") => Follow::Never,
        Some("always") => Follow::Always,
        _ => Follow::Named,
    };
    let regexes = |name: &str| {
        matches
            .get_many::<String>(name)
            .into_iter()
            .flatten()
            .map(|text| session::path_regex(text).map_err(anyhow::Error::msg))
            .collect::<anyhow::Result<Vec<_>>>()
    };
    Ok(WalkOptions {
        recursive: true,
        max_levels: matches
            .get_one::<u64>("max-dir-depth")
            .map_or(255, |depth| u32::try_from(*depth).unwrap_or(u32::MAX))
            .saturating_add(1),
        follow_dirs: follow,
        follow_files: follow,
        cross_filesystems: !matches.get_flag("one-file-system"),
        skip_pseudo: true,
        exclude: regexes("exclude")?,
        exclude_dir: regexes("exclude-dir")?,
        include: regexes("include")?,
        include_dir: Vec::new(),
    })
}

fn named(matches: &ArgMatches) -> anyhow::Result<Vec<Named>> {
    let mut paths: Vec<PathBuf> =
        matches.get_many::<PathBuf>("paths").into_iter().flatten().cloned().collect();
    let list = matches.get_one::<PathBuf>("file-list");
    if let Some(list) = list {
        let end = if matches.get_flag("null") { 0 } else { b'\n' };
        paths.extend(file_list(list, end)?);
    } else if paths.is_empty() {
        paths.push(PathBuf::from("."));
    }
    let mut named = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let file = session::standard_input(limits(matches).max_object_bytes)
                .context("cannot read standard input")?;
            named.push(Named::Open(PathBuf::from("stdin"), file));
        } else {
            named.push(Named::Path(path));
        }
    }
    Ok(named)
}

fn file_list(list: &Path, end: u8) -> anyhow::Result<Vec<PathBuf>> {
    let lines = |from: &mut dyn io::BufRead| -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for line in from.split(end) {
            let mut line = line?;
            if end == b'\n' && line.last() == Some(&b'\r') {
                line.pop();
            }
            if !line.is_empty() {
                paths.push(PathBuf::from(std::ffi::OsString::from_vec(line)));
            }
        }
        Ok(paths)
    };
    let read = if list.as_os_str() == "-" {
        lines(&mut io::stdin().lock())
    } else {
        File::open(list).and_then(|file| lines(&mut io::BufReader::new(file)))
    };
    read.with_context(|| format!("cannot read the list {}", list.display()))
}

/// Parts told of one incomplete file unless more is asked for.
const PARTS_SHOWN: usize = 3;
