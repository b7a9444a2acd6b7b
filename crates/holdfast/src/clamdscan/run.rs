//! Running as `clamdscan`: the same lines, the same summary, the same exit codes.
//!
//! Files reach the daemon by their path, by an open descriptor or as a stream. With an action the client opens
//! each file itself, so that what is moved or removed is what was scanned.
//! Off-ClamAV: what was not scanned is not called OK, and what failed is in the exit code.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use super::ask::{self, Tries};
use super::config::Config;
use super::connection::{Connection, is_remote, why};
use super::named::{self, Named};
use super::options::{TABLE, help};
use super::pipeline::{Hand, Pipeline, Sent};
use super::reply::{self, Reply};
use crate::clamav::list::read_lines;
use crate::clamav::output::Output;
use crate::clamav::parse::Parsed;
use crate::clamav::quarantine::{Action, act, asked_for};
use crate::clamav::start;
use crate::clamav::summary::render_short;
use crate::walk::{Follow, Note, Step, WalkOptions, walk};

const INFECTED: u8 = 1;
const FAILED: u8 = 2;

/// Runs; `args` are those behind the program's name.
pub(crate) fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let parsed = match start::options(&TABLE, args) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    if parsed.on("help") {
        Output::plain().line(help().as_bytes());
        return ExitCode::SUCCESS;
    }
    let mut out = match start::output(&parsed) {
        Ok(out) => out,
        Err(code) => return code,
    };
    if parsed.text("log").is_some() {
        out.line("-".repeat(38).as_bytes());
    }
    for warning in &parsed.warnings {
        out.warn(warning);
    }
    let named = parsed.text("config-file");
    let given = named.map_or(Path::new(CONFIG), Path::new);
    let read = match named {
        None if !given.exists() => Ok(Config::of_socket(SOCKET)),
        _ => Config::read(given),
    };
    let config = match read {
        Ok(config) => config,
        Err(lines) => {
            lines.iter().for_each(|line| out.error(line));
            return ExitCode::from(FAILED);
        }
    };
    config.warnings.iter().for_each(|line| out.warn(line));
    if config.names_no_server() {
        let given = given.display();
        out.error(&format!("ERROR: {given} has neither LocalSocket nor TCPSocket"));
    }
    ExitCode::from(asked(&parsed, &config, &mut out))
}

/// Does what is asked of the daemon itself, or scans; returns the exit code.
fn asked(parsed: &Parsed, config: &Config, out: &mut Output) -> u8 {
    if parsed.on("version") {
        ask::version(config, out);
        return 0;
    }
    let tries = parsed.text("ping").map(|text| Tries::parse(&text.to_string_lossy())).transpose();
    let tries = match tries {
        Ok(tries) => tries,
        Err(line) => {
            out.error(&line);
            return ask::BAD_WORDS;
        }
    };
    if parsed.on("wait") {
        let started = SystemTime::now();
        if !ask::wait(config, tries.unwrap_or(ask::WAIT), out) {
            if !parsed.on("no-summary") && !parsed.on("reload") {
                out.raw_and_log(render_short(0, 0, None, started).as_bytes());
            }
            return ask::TIMED_OUT;
        }
    } else if let Some(tries) = tries {
        return if ask::ping(config, tries, out) { 0 } else { ask::TIMED_OUT };
    }
    if parsed.on("reload") {
        return if ask::reload(config, out) { 0 } else { FAILED };
    }
    let action = match asked_for(parsed) {
        Ok(action) => action,
        Err(refused) => {
            refused.line.iter().for_each(|line| out.line(line.as_bytes()));
            refused.error.iter().for_each(|line| out.error(line));
            return FAILED;
        }
    };
    let way = Way::of(parsed, config, action.is_some(), out);
    let mut run = Run {
        parsed,
        config,
        out,
        action,
        way,
        parallel: parsed.on("multiscan"),
        infected: 0,
        errors: 0,
        not_acted: 0,
        failed: false,
        told: false,
        unreachable: false,
        started: SystemTime::now(),
    };
    run.everything();
    run.finish()
}

/// How files reach the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The daemon gets the named path, walks itself and tells what it found.
    Path,
    /// The daemon gets the path of each file.
    AllMatch,
    /// The daemon gets each file.
    Handed(Hand),
}

impl Way {
    fn of(parsed: &Parsed, config: &Config, acts: bool, out: &mut Output) -> Self {
        let local = config.local_socket.is_some();
        if acts && parsed.on("allmatch") {
            out.warn("WARNING: --allmatch is ignored when quarantine actions are enabled.");
        }
        if parsed.on("stream") || is_remote(config) {
            return Self::Handed(Hand::Stream);
        }
        if parsed.on("fdpass") || acts {
            return Self::Handed(if local { Hand::Descriptor } else { Hand::Stream });
        }
        // As in ClamAV, with both the daemon scans many files at a time and tells one name of each.
        if parsed.on("allmatch") && !parsed.on("multiscan") { Self::AllMatch } else { Self::Path }
    }
}

struct Run<'a> {
    parsed: &'a Parsed,
    config: &'a Config,
    out: &'a mut Output,
    action: Option<Action>,
    way: Way,
    /// Many files at the same time.
    parallel: bool,
    infected: u64,
    errors: u64,
    not_acted: u64,
    /// Something failed that is not counted.
    failed: bool,
    /// Something was told of the named path at hand.
    told: bool,
    /// The last try to connect failed.
    unreachable: bool,
    started: SystemTime,
}

impl Run<'_> {
    fn everything(&mut self) {
        let paths = match self.parsed.text("file-list") {
            Some(list) => {
                if !self.parsed.paths.is_empty() {
                    let line = "WARNING: Only scanning files from --file-list (files passed at cmdline are ignored)";
                    self.out.warn(line);
                }
                let lines = if list == "-" {
                    read_lines(io::stdin().lock())
                } else {
                    File::open(list).and_then(|file| read_lines(io::BufReader::new(file)))
                };
                let Ok(lines) = lines else {
                    let list = list.display();
                    self.out.error(&format!("ERROR: --file-list: Can't open file {list}"));
                    self.failed = true;
                    return;
                };
                lines
            }
            None if self.parsed.paths.is_empty() => vec![PathBuf::from(".")],
            None => self.parsed.paths.iter().map(PathBuf::from).collect(),
        };
        let walk = self.config.walk_options();
        let alone = matches!(self.parsed.paths.as_slice(), [path] if path == "-");
        if alone && self.parsed.text("file-list").is_none() {
            self.standard_input();
            return;
        }
        let whole = self.parsed.paths.is_empty() && self.parsed.text("file-list").is_none();
        for path in &paths {
            if path.as_os_str() == "-" {
                let line = "ERROR: Scanning from standard input requires \"-\" to be the only file argument";
                self.out.error(line);
                self.failed = true;
                continue;
            }
            let here = || std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
            let path = if whole { here() } else { named::absolute(path) };
            self.named(&path, &walk);
        }
    }

    fn standard_input(&mut self) {
        let mut connection = match Connection::open(self.config) {
            Ok(connection) => connection,
            Err(lines) => {
                lines.iter().for_each(|line| self.out.error(line));
                self.failed = true;
                return;
            }
        };
        let answer = connection
            .command(b"INSTREAM")
            .and_then(|()| connection.stream(io::stdin().lock()))
            .and_then(|()| connection.reply());
        match answer {
            Ok(Some(line)) => {
                match reply::read(&line).0 {
                    Reply::Clean => {}
                    Reply::Found => self.infected = self.infected.saturating_add(1),
                    Reply::Error | Reply::Other(_) => self.count_error(),
                }
                self.out.line(&line);
            }
            broken => self.broken(Path::new("stream"), broken.err()),
        }
    }

    /// Scans a named path and tells of it if nothing else was told.
    fn named(&mut self, path: &Path, walk_options: &WalkOptions) {
        self.told = false;
        match named::look(path, walk_options) {
            Named::Scan(real) => {
                // What is done with a file is told by the path that was named.
                let real = if self.action.is_some() { path.to_path_buf() } else { real };
                let errors = self.errors;
                match self.way {
                    Way::Path => self.by_path(&real),
                    Way::AllMatch | Way::Handed(_) => self.walked(&real, walk_options),
                }
                if !self.told && errors == self.errors && !self.parsed.on("infected") {
                    self.out.clean(path);
                }
            }
            Named::Link => self.about(path, "Symbolic link"),
            Named::Excluded => self.about(path, "Excluded"),
            Named::Inaccessible => {
                self.count_error();
                self.out.error(&format!("ERROR: Can't access file {}", path.display()));
            }
            Named::NotSupported => {
                self.count_error();
                self.out.warn(&format!("WARNING: {}: Not supported file type", path.display()));
            }
        }
    }

    /// Tells of something that was not scanned.
    fn about(&mut self, path: &Path, text: &str) {
        if !self.parsed.on("infected") {
            self.out.about(path, text);
        }
    }

    fn by_path(&mut self, path: &Path) {
        let command: &[u8] = if self.parallel { b"MULTISCAN " } else { b"CONTSCAN " };
        self.each_answer(path, &[command, path.as_os_str().as_bytes()].concat());
    }

    /// Sends a command about a path and tells all answers, whose places are paths.
    fn each_answer(&mut self, path: &Path, command: &[u8]) {
        let Some(mut connection) = self.connect() else { return };
        if let Err(error) = connection.command(command) {
            return self.broken(path, Some(error));
        }
        let (mut answers, mut found) = (0u64, 0u64);
        let broken = loop {
            let line = match connection.reply() {
                Ok(Some(line)) => line,
                Ok(None) => break None,
                Err(error) => break Some(error),
            };
            answers = answers.saturating_add(1);
            found = found.saturating_add(u64::from(self.answer_about_path(path, &line)));
        };
        let found = if self.way == Way::AllMatch { found.min(1) } else { found };
        self.infected = self.infected.saturating_add(found);
        if broken.is_some() || answers == 0 {
            self.broken(path, broken);
        }
    }

    /// Tells an answer; true when something was found.
    fn answer_about_path(&mut self, path: &Path, line: &[u8]) -> bool {
        match reply::read(line).0 {
            Reply::Clean => false,
            Reply::Found => {
                self.told = true;
                self.out.line(line);
                true
            }
            Reply::Error => {
                self.count_error();
                self.out.line(line);
                false
            }
            // `PATH: Excluded` and the like.
            Reply::Other(_) if line.starts_with(b"/") => {
                self.told = true;
                if !self.parsed.on("infected") {
                    self.out.line(line);
                }
                false
            }
            Reply::Other(_) => {
                self.count_error();
                self.out.line(&[path.as_os_str().as_bytes(), b": ", line, b" ERROR"].concat());
                false
            }
        }
    }

    fn walked(&mut self, path: &Path, options: &WalkOptions) {
        let mut pipeline = None;
        let _ = walk(path, options, &mut |step| match step {
            Step::Directory => ControlFlow::Continue(()),
            Step::Note { path, note } => {
                self.note(&path, &note);
                ControlFlow::Continue(())
            }
            Step::File { path, file, .. } => {
                let path = self.shown(path, options);
                self.file(Sent { path, file }, &mut pipeline)
            }
        });
        if let Some(mut pipeline) = pipeline {
            while !pipeline.is_idle() {
                match pipeline.receive() {
                    Ok((sent, line)) => self.answer(&sent, &line),
                    Err(error) => return self.lost(pipeline, &error),
                }
            }
            pipeline.end();
        }
    }

    /// Files behind links are told by their real paths, unless something is done with them.
    fn shown(&self, path: PathBuf, options: &WalkOptions) -> PathBuf {
        let links = [options.follow_dirs, options.follow_files].contains(&Follow::Always);
        if !links || self.action.is_some() {
            return path;
        }
        std::fs::canonicalize(&path).unwrap_or(path)
    }

    /// Hands one file of a walk to the daemon; ends the walk when there is no daemon.
    fn file(&mut self, sent: Sent, pipeline: &mut Option<Pipeline>) -> ControlFlow<()> {
        let errors = self.errors;
        match self.way {
            Way::Handed(hand) if self.parallel => return self.into(sent, hand, pipeline),
            Way::Handed(hand) => self.one(&sent, hand),
            Way::Path | Way::AllMatch => self.all_of(&sent.path),
        }
        if self.unreachable && self.errors > errors {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn all_of(&mut self, path: &Path) {
        self.each_answer(path, &[b"ALLMATCHSCAN ", path.as_os_str().as_bytes()].concat());
    }

    /// Puts a file into a session, which is begun if there is none.
    fn into(&mut self, sent: Sent, hand: Hand, place: &mut Option<Pipeline>) -> ControlFlow<()> {
        let mut pipeline = match place.take() {
            Some(pipeline) => pipeline,
            None => {
                let Some(connection) = self.connect() else { return ControlFlow::Break(()) };
                match Pipeline::begin(connection) {
                    Ok(pipeline) => pipeline,
                    Err(error) => {
                        self.broken(&sent.path, Some(error));
                        return ControlFlow::Continue(());
                    }
                }
            }
        };
        while pipeline.is_full() {
            match pipeline.receive() {
                Ok((answered, line)) => self.answer(&answered, &line),
                Err(error) => {
                    self.lost(pipeline, &error);
                    self.broken(&sent.path, Some(error));
                    return ControlFlow::Continue(());
                }
            }
        }
        match pipeline.submit(sent, hand) {
            Ok(()) => *place = Some(pipeline),
            Err(error) => self.lost(pipeline, &error),
        }
        ControlFlow::Continue(())
    }

    /// Everything without an answer failed.
    fn lost(&mut self, pipeline: Pipeline, error: &io::Error) {
        for sent in pipeline.end() {
            self.broken(&sent.path, Some(io::Error::from(error.kind())));
        }
    }

    /// Scans a file over a connection of its own.
    fn one(&mut self, sent: &Sent, hand: Hand) {
        let Some(mut connection) = self.connect() else { return };
        let asked = match hand {
            Hand::Descriptor => {
                connection.command(b"FILDES").and_then(|()| connection.pass(&sent.file))
            }
            Hand::Stream => {
                connection.command(b"INSTREAM").and_then(|()| connection.stream(&sent.file))
            }
        };
        match asked.and_then(|()| connection.reply()) {
            Ok(Some(line)) => self.answer(sent, &line),
            broken => self.broken(&sent.path, broken.err()),
        }
    }

    /// Tells an answer about a descriptor or a stream.
    fn answer(&mut self, sent: &Sent, line: &[u8]) {
        let (kind, text) = reply::read(line);
        let place = sent.path.as_os_str().as_bytes();
        match kind {
            Reply::Clean => {}
            Reply::Found => {
                self.told = true;
                self.infected = self.infected.saturating_add(1);
                self.out.line(&[place, b": ", text].concat());
                self.act(sent);
            }
            Reply::Error => {
                self.count_error();
                self.out.line(&[place, b": ", text].concat());
            }
            Reply::Other(_) => {
                self.count_error();
                self.out.line(&[place, b": ", line, b" ERROR"].concat());
            }
        }
    }

    fn act(&mut self, sent: &Sent) {
        let Some(action) = &self.action else { return };
        match act(action, &sent.path, Some(&sent.file)) {
            Ok(line) => self.out.line(line.as_bytes()),
            Err(line) => {
                self.not_acted = self.not_acted.saturating_add(1);
                self.out.error(&format!("ERROR: {line}"));
            }
        }
    }

    fn note(&mut self, path: &Path, note: &Note) {
        let shown = path.display();
        match note {
            Note::Empty | Note::SymbolicLink | Note::LinkLoop | Note::OtherFilesystem => {}
            Note::Excluded | Note::ExcludedProc => {
                if self.parsed.on("verbose") {
                    self.out.about(path, "Excluded");
                }
            }
            // The daemon may be allowed to open it.
            Note::AccessDenied | Note::CannotOpen(_) if self.way == Way::AllMatch => {
                self.all_of(path);
            }
            Note::AccessDenied | Note::CannotOpen(_) => {
                self.count_error();
                let text = match self.way {
                    Way::Handed(Hand::Stream) => "Failed to open file. ERROR",
                    _ => "Failed to open file",
                };
                self.out.about(path, text);
            }
            Note::CannotOpenDirectory(_) | Note::Missing(_) => {
                self.count_error();
                self.out.error(&format!("ERROR: Can't access file {shown}"));
            }
            Note::NotRegular { .. } => {
                self.out.warn(&format!("WARNING: {shown}: Not supported file type"));
            }
            Note::TooDeep => self.out.warn("WARNING: Directory recursion limit reached"),
        }
    }

    fn connect(&mut self) -> Option<Connection> {
        match Connection::open(self.config) {
            Ok(connection) => {
                self.unreachable = false;
                Some(connection)
            }
            Err(lines) => {
                lines.iter().for_each(|line| self.out.error(line));
                self.count_error();
                self.unreachable = true;
                None
            }
        }
    }

    /// The daemon was there and gave no whole answer.
    fn broken(&mut self, path: &Path, error: Option<io::Error>) {
        self.count_error();
        let why = error.map_or_else(|| "the connection was closed".to_owned(), |e| why(&e));
        self.out.about(path, &format!("No answer from clamd: {why} ERROR"));
    }

    fn count_error(&mut self) {
        self.errors = self.errors.saturating_add(1);
    }

    fn finish(self) -> u8 {
        if !self.parsed.on("no-summary") {
            let not_acted = (self.not_acted > 0).then_some((self.not_acted, &self.action));
            let not_acted = not_acted.map(|(count, action)| match action {
                Some(Action::Move(_)) => ("moved", count),
                Some(Action::Copy(_)) => ("copied", count),
                _ => ("removed", count),
            });
            let text = render_short(self.infected, self.errors, not_acted, self.started);
            self.out.raw_and_log(text.as_bytes());
        }
        if self.infected > 0 {
            INFECTED
        } else if self.errors > 0 || self.failed {
            FAILED
        } else {
            0
        }
    }
}

/// The configuration that is read when none is named. Source: Debian's ClamAV.
const CONFIG: &str = "/etc/clamav/clamd.conf";

/// Where the daemon is when there is no configuration.
const SOCKET: &str = "/run/holdfast/clamd.sock";
