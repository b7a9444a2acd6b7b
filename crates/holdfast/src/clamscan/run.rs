//! Running as `clamscan`: the same lines, the same summary, the same exit codes.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use hf_core::{Hit, Limits, Report, ScanOptions};
use hf_policy::Tell;
use hf_sig::PuaChoice;
use regex_automata::meta::Regex;

use super::help;
use super::options::{OPTIONS, TABLE};
use crate::clamav::CLAMAV_VERSION;
use crate::clamav::list::read_lines;
use crate::clamav::output::Output;
use crate::clamav::parse::Parsed;
use crate::clamav::quarantine::{Action, act, asked_for};
use crate::clamav::start;
use crate::clamav::summary::Summary;
use crate::content::{self, Wanted};
use crate::drive::{Event, Files, Named, Scanned, drive};
use crate::session;
use crate::walk::{Follow, Note, WalkOptions};

const INFECTED: u8 = 1;
const FAILED: u8 = 2;

/// Runs; `args` are those behind the program's name.
pub(crate) fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let parsed = match start::options(&TABLE, args) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    if parsed.on("version") {
        let folder = parsed.text("database").map(Path::new);
        let version = format!("ClamAV {CLAMAV_VERSION}{}", content::version_suffix(folder));
        Output::plain().line(version.as_bytes());
        return ExitCode::SUCCESS;
    }
    if parsed.on("help") {
        Output::plain().line(help::text(OPTIONS).as_bytes());
        return ExitCode::SUCCESS;
    }
    let mut out = match start::output(&parsed) {
        Ok(out) => out,
        Err(code) => return code,
    };
    out.log(format!("\n{}\n\n", "-".repeat(79)).as_bytes());
    for warning in &parsed.warnings {
        out.warn(warning);
    }
    let mut signatures = 0;
    match scan(&parsed, &mut out, &mut signatures) {
        Ok(code) => code,
        Err(Fatal { lines, code, summary }) => {
            for line in lines {
                out.error(&line);
            }
            if summary && !parsed.on("no-summary") {
                let mut summary = Summary::start(signatures);
                summary.ended = SystemTime::now();
                out.raw_and_log(summary.render(CLAMAV_VERSION, "removed").as_bytes());
            }
            ExitCode::from(code)
        }
    }
}

/// The run ends here.
struct Fatal {
    lines: Vec<String>,
    code: u8,
    summary: bool,
}

fn fatal(line: impl Into<String>) -> Fatal {
    Fatal { lines: vec![line.into()], code: FAILED, summary: true }
}

/// Scans; `signatures` is told as soon as it is known.
fn scan(parsed: &Parsed, out: &mut Output, signatures: &mut u64) -> Result<ExitCode, Fatal> {
    let action = asked_for(parsed).map_err(|refused| {
        refused.line.iter().for_each(|line| out.line(line.as_bytes()));
        Fatal { lines: refused.error.into_iter().collect(), code: FAILED, summary: false }
    })?;
    check_words(parsed)?;
    let content = content::open(&wanted(parsed)).map_err(|error| Fatal {
        lines: error.lines_like_clamav(),
        code: FAILED,
        summary: true,
    })?;
    for warning in &content.warnings {
        out.warn(&format!("WARNING: {warning}"));
    }
    let days = i64::try_from(parsed.number("fail-if-cvd-older-than")).unwrap_or(i64::MAX);
    if days > 0 && content.newest_signed_days(now()).is_none_or(|age| age > days) {
        return Err(fatal(format!("ERROR: Virus database is older than {days} days!")));
    }
    *signatures = content.signatures;
    if parsed.on("detect-structured") && parsed.number("structured-ssn-format") > 2 {
        return Err(fatal("ERROR: Invalid argument for --structured-ssn-format"));
    }
    let options = scan_options(parsed);
    let named = named(parsed, out)?;
    let walk = walk_options(parsed, out);
    let config = session::worker_config(&content, &limits(parsed, out), &options)
        .map_err(|error| fatal(format!("ERROR: {error}")))?;
    let workers = session::workers(config, session::threads())
        .map_err(|error| fatal(format!("ERROR: {error}")))?;
    for warning in workers.first().map(hf_worker::Worker::warnings).unwrap_or_default() {
        out.warn(&format!("WARNING: {}", crate::display::safe_lines(warning)));
    }
    let mut run = Run {
        parsed,
        out,
        summary: Summary::start(content.signatures),
        action,
        unreachable: false,
        tell: if options.all_match { Tell::All } else { Tell::One },
    };
    let files = if run.action.is_some() { Files::Kept } else { Files::Closed };
    drive(named, &walk, workers, files, &mut |event| {
        run.event(event);
        ControlFlow::Continue(())
    })
    .map_err(|error| fatal(format!("ERROR: {error}")))?;
    run.summary.ended = SystemTime::now();
    Ok(run.finish())
}

/// Refuses what ClamAV refuses after it has read the command line.
fn check_words(parsed: &Parsed) -> Result<(), Fatal> {
    for name in ["follow-dir-symlinks", "follow-file-symlinks"] {
        if parsed.number(name) > 2 {
            return Err(fatal(format!("ERROR: --{name}: Invalid argument")));
        }
    }
    if !parsed.texts("exclude-pua").is_empty() && !parsed.texts("include-pua").is_empty() {
        let line = "ERROR: --exclude-pua and --include-pua cannot be used at the same time";
        return Err(fatal(line));
    }
    Ok(())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

struct Run<'a> {
    parsed: &'a Parsed,
    out: &'a mut Output,
    summary: Summary,
    action: Option<Action>,
    /// A named path could not be reached; this is not counted as an error, but not success.
    unreachable: bool,
    tell: Tell,
}

impl Run<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Directory => {
                self.summary.directories = self.summary.directories.saturating_add(1);
            }
            Event::Note(path, note) => self.note(&path, &note),
            Event::Scanned(scanned) => self.scanned(&scanned),
        }
    }

    fn quiet_about_clean(&self) -> bool {
        self.parsed.on("infected")
    }

    fn note(&mut self, path: &Path, note: &Note) {
        let text = match note {
            Note::SymbolicLink | Note::LinkLoop => "Symbolic link",
            Note::Excluded => "Excluded",
            Note::ExcludedProc => "Excluded (/proc)",
            Note::Empty => "Empty file",
            Note::OtherFilesystem => return,
            Note::TooDeep => return,
            Note::AccessDenied | Note::CannotOpen(_) => {
                self.failed();
                "Access denied"
            }
            Note::CannotOpenDirectory(_) => {
                self.failed();
                "Can't open directory."
            }
            Note::Missing(why) => {
                self.unreachable = true;
                errln!("{}: {why}", path.display());
                self.out.warn(&format!("WARNING: {}: Can't access file", path.display()));
                return;
            }
            Note::NotRegular { named: true } => {
                self.unreachable = true;
                self.out.warn(&format!("WARNING: {}: Not supported file type", path.display()));
                return;
            }
            Note::NotRegular { named: false } => return,
        };
        if !self.quiet_about_clean() {
            self.out.about(path, text);
        }
    }

    fn failed(&mut self) {
        self.summary.errors = self.summary.errors.saturating_add(1);
    }

    fn scanned(&mut self, scanned: &Scanned) {
        let path = &scanned.path;
        let report = &scanned.report;
        self.summary.files = self.summary.files.saturating_add(1);
        self.summary.read_bytes = self.summary.read_bytes.saturating_add(scanned.size);
        self.summary.scanned_bytes =
            self.summary.scanned_bytes.saturating_add(report.scanned_bytes);
        if self.parsed.on("verbose") {
            self.out.line(&[b"Scanning ", path.as_os_str().as_bytes()].concat());
        }
        self.facts(path, report);
        if self.parsed.on("gen-json") {
            self.metadata(path, report);
        }
        let decision = hf_policy::decide(report, self.tell);
        if !decision.findings.is_empty() {
            self.summary.infected = self.summary.infected.saturating_add(1);
            for hit in &decision.findings {
                self.found(path, hit);
            }
            if let Some(hit) =
                decision.findings.first().filter(|_| self.parsed.on("archive-verbose"))
            {
                self.found_inside(path, report, hit);
            }
            if self.parsed.on("bell") {
                let _ = io::stderr().write_all(b"\x07");
            }
            self.act(scanned);
        } else if let Some(error) = &report.error {
            self.failed();
            self.out.about(path, &format!("{error} ERROR"));
        } else {
            if !self.quiet_about_clean() && !self.parsed.on("suppress-ok-results") {
                self.out.clean(path);
            }
            self.not_all(path, report);
        }
    }

    /// `clamscan` says nothing of what it did not look at; Holdfast does, on standard error.
    fn not_all(&mut self, path: &Path, report: &Report) {
        let Some(part) = report.unscanned.first() else { return };
        if self.quiet_about_clean() || self.parsed.on("suppress-ok-results") {
            return;
        }
        let place = crate::display::place(report, part.object, &part.name);
        let more = u64::try_from(report.unscanned.len())
            .unwrap_or(u64::MAX)
            .saturating_add(report.unscanned_more)
            .saturating_sub(1);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let path = path.display();
        self.out.warn(&format!("WARNING: {path}{place}: not scanned: {}{more}", part.reason));
    }

    fn facts(&mut self, path: &Path, report: &Report) {
        let Some(node) = report.objects.first() else { return };
        if self.parsed.on("log-hash")
            && let Some(digests) = &node.digests
        {
            let hex = crate::display::hex(&digests.sha256);
            self.out.line(
                &[path.as_os_str().as_bytes(), b" FileHash: ", hex.as_bytes(), b" (sha2-256)"]
                    .concat(),
            );
        }
        if self.parsed.on("log-file-type") {
            let kind = node.file_type.name().as_bytes();
            self.out.line(&[path.as_os_str().as_bytes(), b" FileType: CL_TYPE_", kind].concat());
        }
    }

    /// Writes what is known of a file where clamscan would keep its temporary files, and prints it.
    fn metadata(&mut self, path: &Path, report: &Report) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = hf_policy::metadata(report, Some(&name));
        if self.parsed.on("debug") {
            self.out.error(&text);
        }
        if self.parsed.on("leave-temps") {
            let given = self.parsed.text("tempdir").map(PathBuf::from);
            let folder = given.unwrap_or_else(std::env::temp_dir);
            if let Err(error) = super::metadata::write(&folder, &name, &text) {
                let folder = folder.display();
                self.out.warn(&format!("WARNING: Can't write metadata below {folder}: {error}"));
            }
        }
    }

    fn found(&mut self, path: &Path, hit: &Hit) {
        let path = path.as_os_str().as_bytes();
        self.out.line(&[path, b": ", hit.name.as_bytes(), b" FOUND"].concat());
    }

    fn found_inside(&mut self, path: &Path, report: &Report, hit: &Hit) {
        let path = path.as_os_str().as_bytes();
        let (around, level, member) = crate::display::level_and_member(report, hit.object);
        let level = format!("!({level})");
        let place = [path, &around, level.as_bytes(), &member].concat();
        self.out.line(&[&place, b": ".as_slice(), hit.name.as_bytes(), b" FOUND"].concat());
    }

    fn act(&mut self, scanned: &Scanned) {
        let Some(action) = &self.action else { return };
        if scanned.path.as_os_str() == STDIN {
            return;
        }
        match act(action, &scanned.path, scanned.file.as_ref()) {
            Ok(line) => self.out.line(line.as_bytes()),
            Err(line) => {
                self.summary.not_acted = self.summary.not_acted.saturating_add(1);
                self.out.error(&format!("ERROR: {line}"));
            }
        }
    }

    fn finish(self) -> ExitCode {
        if !self.parsed.on("no-summary") {
            let action = match &self.action {
                Some(Action::Move(_)) => "moved",
                Some(Action::Copy(_)) => "copied",
                _ => "removed",
            };
            self.out.raw_and_log(self.summary.render(CLAMAV_VERSION, action).as_bytes());
        }
        if self.summary.infected > 0 {
            ExitCode::from(INFECTED)
        } else if self.summary.errors > 0 || self.unreachable {
            ExitCode::from(FAILED)
        } else {
            ExitCode::SUCCESS
        }
    }
}

fn wanted(parsed: &Parsed) -> Wanted {
    let yara = parsed.text("yara-rules").map(|mode| mode.to_string_lossy().into_owned());
    let words = |name: &str| -> Vec<String> {
        parsed.texts(name).iter().map(|text| text.to_string_lossy().into_owned()).collect()
    };
    let (only, without) = (words("include-pua"), words("exclude-pua"));
    let pua = match (parsed.on("detect-pua"), only.is_empty(), without.is_empty()) {
        (false, ..) => PuaChoice::None,
        (true, false, _) => PuaChoice::Only(only),
        (true, true, false) => PuaChoice::Without(without),
        (true, true, true) => PuaChoice::All,
    };
    Wanted {
        databases: parsed.texts("database").into_iter().map(PathBuf::from).collect(),
        with_builtin: false,
        pua,
        official_only: parsed.on("official-db-only"),
        yara: yara.unwrap_or_else(|| "yes".to_owned()),
        keep_going: false,
        certificates: parsed.text("cvdcertsdir").map(PathBuf::from),
        like_clamav: true,
    }
}

fn named(parsed: &Parsed, out: &mut Output) -> Result<Vec<Named>, Fatal> {
    let mut paths: Vec<PathBuf> = Vec::new();
    if let Some(list) = parsed.text("file-list") {
        if !parsed.paths.is_empty() {
            let line = "WARNING: Only scanning files from --file-list (files passed at cmdline are ignored)";
            out.warn(line);
        }
        let lines = if list == "-" {
            read_lines(io::stdin().lock())
        } else {
            File::open(list).and_then(|file| read_lines(io::BufReader::new(file)))
        };
        match lines {
            Ok(lines) => paths.extend(lines),
            Err(_) => {
                let list = list.display();
                out.error(&format!("ERROR: --file-list: Can't open file {list}"));
                return Err(Fatal { lines: Vec::new(), code: 54, summary: true });
            }
        }
    } else {
        paths.extend(parsed.paths.iter().map(PathBuf::from));
        if paths.is_empty() {
            paths.push(std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")));
        }
    }
    paths
        .into_iter()
        .map(|path| {
            if path.as_os_str() == "-" && parsed.text("file-list").is_none() {
                let file = session::standard_input(u64::MAX)
                    .map_err(|error| fatal(format!("ERROR: Can't read standard input: {error}")))?;
                Ok(Named::Open(PathBuf::from(STDIN), file))
            } else {
                Ok(Named::Path(path))
            }
        })
        .collect()
}

fn walk_options(parsed: &Parsed, out: &mut Output) -> WalkOptions {
    let follow = |name: &str| match parsed.number(name) {
        0 => Follow::Never,
        1 => Follow::Named,
        _ => Follow::Always,
    };
    // ClamAV takes what is no regular expression for one that matches nothing.
    let mut regexes = |name: &str| -> Vec<Regex> {
        let mut good = Vec::new();
        for text in parsed.texts(name) {
            let text = text.to_string_lossy();
            let compiled = session::path_regex(&text).or_else(|why| {
                let why = why.lines().last().unwrap_or_default().trim().to_owned();
                out.warn(&format!("WARNING: --{name}={text} matches nothing: {why}"));
                session::path_regex(NEVER)
            });
            good.extend(compiled);
        }
        good
    };
    WalkOptions {
        recursive: parsed.on("recursive"),
        max_levels: u32::try_from(parsed.number("max-dir-recursion")).unwrap_or(u32::MAX),
        follow_dirs: follow("follow-dir-symlinks"),
        follow_files: follow("follow-file-symlinks"),
        cross_filesystems: parsed.on("cross-fs"),
        skip_pseudo: false,
        exclude: regexes("exclude"),
        exclude_dir: regexes("exclude-dir"),
        include: regexes("include"),
        include_dir: regexes("include-dir"),
    }
}

/// An expression that matches nothing.
const NEVER: &str = "[^\\x00-\\xff]";
/// The name of what comes from standard input.
const STDIN: &str = "stdin";

/// A limit of 0 means unlimited, except where ClamAV says otherwise.
fn limits(parsed: &Parsed, out: &mut Output) -> Limits {
    let bytes = |name: &str| match parsed.number(name) {
        0 => u64::MAX,
        value => value,
    };
    let count = |name: &str| match parsed.number(name) {
        0 => u32::MAX,
        value => u32::try_from(value).unwrap_or(u32::MAX),
    };
    let mut max_depth = count("max-recursion");
    if max_depth == u32::MAX || max_depth > 100 {
        let given = parsed.number("max-recursion");
        out.warn(&format!(
            "LibClamAV Warning: MaxRecursion: the value of {given} is not allowed, using default: 17"
        ));
        max_depth = 17;
    }
    let defaults = Limits::clamav();
    Limits {
        max_scan_bytes: bytes("max-scansize"),
        max_object_bytes: bytes("max-filesize"),
        // ClamAV counts the file itself.
        max_depth: max_depth.saturating_sub(1),
        max_objects: count("max-files"),
        deadline_ms: match parsed.number("max-scantime") {
            0 => defaults.deadline_ms,
            value => value,
        },
        max_embedded_pe_bytes: bytes("max-embeddedpe"),
        max_html_normalise_bytes: bytes("max-htmlnormalize"),
        max_html_notags_bytes: bytes("max-htmlnotags"),
        max_script_normalise_bytes: bytes("max-scriptnormalize"),
        max_zip_type_bytes: bytes("max-ziptypercg"),
        max_partitions: count("max-partitions"),
        max_icons: count("max-iconspe"),
        max_hwp3_depth: count("max-rechwp3"),
        pcre_match_limit: bytes("pcre-match-limit"),
        pcre_depth_limit: bytes("pcre-recmatch-limit"),
        pcre_max_bytes: bytes("pcre-max-filesize"),
    }
}

fn scan_options(parsed: &Parsed) -> ScanOptions {
    let words = |name: &str| {
        parsed.texts(name).iter().map(|text| text.to_string_lossy().into_owned()).collect()
    };
    let number = |name: &str| u32::try_from(parsed.number(name)).unwrap_or(u32::MAX);
    ScanOptions {
        all_match: parsed.on("allmatch"),
        clamav_quirks: true,
        normalise: parsed.on("normalize"),
        scan_pe: parsed.on("scan-pe"),
        scan_elf: parsed.on("scan-elf"),
        scan_mail: parsed.on("scan-mail"),
        scan_html: parsed.on("scan-html"),
        scan_ole2: parsed.on("scan-ole2"),
        scan_pdf: parsed.on("scan-pdf"),
        scan_swf: parsed.on("scan-swf"),
        scan_xmldocs: parsed.on("scan-xmldocs"),
        scan_hwp3: parsed.on("scan-hwp3"),
        scan_onenote: parsed.on("scan-onenote"),
        scan_archive: parsed.on("scan-archive"),
        scan_image: parsed.on("scan-image"),
        scan_image_hash: parsed.on("scan-image-fuzzy-hash"),
        phishing_signatures: parsed.on("phishing-sigs"),
        phishing_urls: parsed.on("phishing-scan-urls"),
        heuristic_alerts: parsed.on("heuristic-alerts"),
        heuristic_precedence: parsed.on("heuristic-scan-precedence"),
        alert_broken: parsed.on("alert-broken"),
        alert_broken_media: parsed.on("alert-broken-media"),
        alert_encrypted_archive: parsed.on("alert-encrypted-archive")
            || parsed.on("alert-encrypted"),
        alert_encrypted_doc: parsed.on("alert-encrypted-doc") || parsed.on("alert-encrypted"),
        alert_macros: parsed.on("alert-macros"),
        alert_exceeds_max: parsed.on("alert-exceeds-max"),
        alert_phishing_ssl: parsed.on("alert-phishing-ssl"),
        alert_phishing_cloak: parsed.on("alert-phishing-cloak"),
        alert_partition_intersection: parsed.on("alert-partition-intersection"),
        detect_pua: parsed.on("detect-pua"),
        include_pua: words("include-pua"),
        exclude_pua: words("exclude-pua"),
        detect_structured: parsed.on("detect-structured"),
        structured_cc_count: number("structured-cc-count"),
        structured_cc_only: parsed.number("structured-cc-mode") == 1,
        structured_ssn_count: number("structured-ssn-count"),
        structured_ssn_format: number("structured-ssn-format"),
        check_certificates: !parsed.on("nocerts"),
        yara: parsed.text("yara-rules").is_none_or(|mode| mode != "no"),
        full_tree: ["log-hash", "log-file-type", "gen-json"].iter().any(|name| parsed.on(name)),
        explain: false,
        ..ScanOptions::default()
    }
}
