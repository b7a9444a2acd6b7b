//! `holdfast schedule`: scans that come again.

mod run;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::ArgMatches;
use hf_schedule::store::replace;
use hf_schedule::{OnBattery, State, Task, TaskAction, task, units};
use serde_json::json;

use super::exit;
use crate::display::safe_path;
use crate::settings::{self, Settings};

/// Where configuration, units and state are.
#[derive(Debug)]
struct Place {
    root: PathBuf,
    config: PathBuf,
    /// The configuration was named, so it must be there.
    named: bool,
}

/// A task and where it is from.
#[derive(Debug)]
struct Known {
    task: Task,
    /// It has a file of its own.
    own: bool,
}

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some((name, matches)) = matches.subcommand() else { anyhow::bail!("say what to do") };
    let place = Place::of(matches);
    match name {
        "list" => list(&place, matches.get_flag("json")),
        "status" => status(&place, matches.get_flag("json")),
        "add" => add(&place, matches),
        "remove" => remove(&place, matches),
        "apply" => apply(&place, matches.get_flag("dry-run")),
        "run" => run::run(&place, matches),
        _ => daemon(&place, matches.get_flag("once")),
    }
}

impl Place {
    fn of(matches: &ArgMatches) -> Self {
        let root = matches.get_one::<PathBuf>("root").cloned();
        let root = root.unwrap_or_else(|| PathBuf::from("/"));
        let named = matches.get_one::<PathBuf>("config").cloned();
        let usual = || root.join(settings::PATH.trim_start_matches('/'));
        let (named, config) = (named.is_some(), named.unwrap_or_else(usual));
        Self { root, config, named }
    }

    fn states(&self) -> PathBuf {
        self.root.join("var/lib/holdfast/schedule")
    }

    fn power(&self) -> hf_schedule::Power {
        hf_schedule::Power::new(&self.root.join("sys/class/power_supply"))
    }

    /// Returns whether timers of systemd run tasks here.
    fn has_systemd(&self) -> bool {
        self.root.join("run/systemd/system").is_dir()
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        if !self.named && !self.config.exists() {
            return Ok(Settings::default());
        }
        Settings::read(&self.config)
    }

    fn file(&self, name: &str) -> PathBuf {
        task::folder(&self.root).join(format!("{name}.toml"))
    }

    /// Returns all tasks: of the configuration, then those with files of their own, by name.
    fn tasks(&self) -> anyhow::Result<Vec<Known>> {
        let configured = self.settings()?.schedule.into_iter();
        let mut all: Vec<Known> = configured.map(|task| Known { task, own: false }).collect();
        let folder = task::folder(&self.root);
        let mut files: Vec<PathBuf> = match fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| safe_path(&folder)),
        };
        files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
        files.sort();
        for path in files {
            let shown = safe_path(&path);
            let text = fs::read_to_string(&path).with_context(|| shown.clone())?;
            let task: Task = toml::from_str(&text).with_context(|| shown.clone())?;
            task.check().with_context(|| shown.clone())?;
            anyhow::ensure!(
                path.file_stem().is_some_and(|stem| stem == task.name.as_str()),
                "{shown}: the task in it is named '{}'",
                task.name
            );
            all.push(Known { task, own: true });
        }
        all.sort_by(|one, other| one.task.name.cmp(&other.task.name));
        if let Some(pair) = all.windows(2).find(|pair| match pair {
            [one, other] => one.task.name == other.task.name,
            _ => false,
        }) {
            let name = pair.first().map_or("", |known| known.task.name.as_str());
            anyhow::bail!("there are two tasks named '{name}'");
        }
        Ok(all)
    }

    fn find(&self, name: &str) -> anyhow::Result<Known> {
        let found = self.tasks()?.into_iter().find(|known| known.task.name == name);
        found.with_context(|| format!("there is no task named '{}'", name.escape_default()))
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn list(place: &Place, as_json: bool) -> anyhow::Result<ExitCode> {
    for Known { task, own } in place.tasks()? {
        if as_json {
            let mut line = json!({"type": "task", "own_file": own});
            if let (Some(line), Ok(serde_json::Value::Object(task))) =
                (line.as_object_mut(), serde_json::to_value(&task))
            {
                line.extend(task);
            }
            outln!("{line}");
        } else {
            let paths: Vec<String> = task.paths.iter().map(|path| safe_path(path)).collect();
            let (name, when) = (&task.name, task.when.to_string());
            outln!("{name:<20} {when:<18} {:<10} {}", task.action.word(), paths.join(" "));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How a task stands now.
struct Standing {
    status: hf_schedule::Status,
    running: bool,
    interrupted: bool,
    due: bool,
}

fn standing(place: &Place, task: &Task) -> Standing {
    let state = State::look(&place.states(), &task.name);
    let status = state.status();
    let interrupted = state.progress(&task.fingerprint()).is_some();
    let known_since = status.since.max(status.started.unwrap_or(0));
    let missed = task.when.last(now()).is_some_and(|due| due > known_since);
    // What was never seen here was not missed either.
    let due = interrupted || (missed && known_since > 0);
    Standing { running: state.is_locked(), status, interrupted, due }
}

fn status(place: &Place, as_json: bool) -> anyhow::Result<ExitCode> {
    for Known { task, .. } in place.tasks()? {
        let Standing { status, running, interrupted, due } = standing(place, &task);
        let next = task.when.next(now());
        if as_json {
            let line = json!({
                "type": "status", "name": task.name, "running": running,
                "interrupted": interrupted, "due": due, "next": next, "started": status.started,
                "ended": status.ended, "code": status.code,
            });
            outln!("{line}");
            continue;
        }
        let how = match (running, interrupted, due) {
            (true, ..) => "running",
            (_, true, _) => "was stopped in the middle, goes on when it runs again",
            (.., true) => "due",
            _ => "waits",
        };
        let at = |at: Option<i64>| at.map_or("-".to_owned(), moment);
        let code = status.code.map_or("-".to_owned(), |code| code.to_string());
        let (ended, next) = (at(status.ended), at(next));
        outln!("{:<20} {how}; last end {ended} (code {code}); next {next}", task.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn moment(seconds: i64) -> String {
    let time = hf_sys::local_time(seconds);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}",
        time.year, time.month, time.day, time.hour, time.minute
    )
}

fn add(place: &Place, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let texts = |name: &str| -> Vec<String> {
        matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
    };
    let paths = matches.get_many::<PathBuf>("paths").into_iter().flatten();
    let paths = paths.map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
    let task = Task {
        name: text("name"),
        when: text("when").parse().map_err(anyhow::Error::msg)?,
        paths,
        exclude: texts("exclude"),
        exclude_dir: texts("exclude-dir"),
        action: match text("action").as_str() {
            "quarantine" => TaskAction::Quarantine,
            "remove" => TaskAction::Remove,
            _ => TaskAction::Report,
        },
        changed_only: matches.get_flag("changed-only"),
        on_battery: if text("on-battery") == "run" { OnBattery::Run } else { OnBattery::Pause },
        idle: !matches.get_flag("no-idle"),
        options: texts("option"),
    };
    task.check()?;
    run::scan_options(&task)?;
    let taken = place.tasks()?.into_iter().any(|known| known.task.name == task.name);
    anyhow::ensure!(!taken, "there is a task named '{}' already", task.name);
    let path = place.file(&task.name);
    let written = toml::to_string(&task).context("a path that is no UTF-8 cannot be kept")?;
    if matches.get_flag("dry-run") {
        outln!("# would be {}\n{written}", safe_path(&path));
        return Ok(ExitCode::SUCCESS);
    }
    fs::create_dir_all(task::folder(&place.root))?;
    replace(&path, 0o644, written.as_bytes()).with_context(|| safe_path(&path))?;
    known_from_now(place, &task)?;
    install(place, &[task])?;
    outln!("added {}", safe_path(&path));
    Ok(ExitCode::SUCCESS)
}

/// Notes when a task was first seen: what was due before was not missed.
fn known_from_now(place: &Place, task: &Task) -> anyhow::Result<()> {
    let state = State::open(&place.states(), &task.name)?;
    let mut status = state.status();
    if status.since == 0 {
        status.since = now();
        state.save_status(&status)?;
    }
    Ok(())
}

/// Writes the units of tasks where systemd runs; elsewhere `schedule daemon` looks after them.
fn install(place: &Place, tasks: &[Task]) -> anyhow::Result<()> {
    if !place.has_systemd() {
        return Ok(());
    }
    let program = std::env::current_exe().context("where is this program?")?;
    for task in tasks {
        units::install(task, &program, &place.root).context("cannot write the timer")?;
    }
    reload(place, &[&["daemon-reload"]])?;
    for task in tasks.iter().filter(|task| task.when.on_calendar().is_some()) {
        let [_, timer] = units::names(&task.name);
        reload(place, &[&["start", &timer]])?;
    }
    Ok(())
}

/// Tells systemd, unless the root is not this machine's.
fn reload(place: &Place, commands: &[&[&str]]) -> anyhow::Result<()> {
    if place.root != Path::new("/") {
        return Ok(());
    }
    for args in commands {
        let done = Command::new("systemctl").args(*args).status().context("systemctl")?;
        anyhow::ensure!(done.success(), "systemctl {} failed", args.join(" "));
    }
    Ok(())
}

fn remove(place: &Place, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let name = matches.get_one::<String>("name").context("a name is required")?;
    let known = place.find(name)?;
    anyhow::ensure!(known.own, "'{name}' is in {}: remove it there", safe_path(&place.config));
    let path = place.file(name);
    if matches.get_flag("dry-run") {
        outln!("would remove {}", safe_path(&path));
        return Ok(ExitCode::SUCCESS);
    }
    if place.has_systemd() && known.task.when.on_calendar().is_some() {
        let [_, timer] = units::names(name);
        reload(place, &[&["stop", &timer]])?;
    }
    units::remove(name, &place.root).context("cannot remove the timer")?;
    if place.has_systemd() {
        reload(place, &[&["daemon-reload"]])?;
    }
    fs::remove_file(&path).with_context(|| safe_path(&path))?;
    State::look(&place.states(), name).forget().context("cannot remove the state")?;
    outln!("removed {name}");
    Ok(ExitCode::SUCCESS)
}

fn apply(place: &Place, dry_run: bool) -> anyhow::Result<ExitCode> {
    let tasks: Vec<Task> = place.tasks()?.into_iter().map(|known| known.task).collect();
    for task in &tasks {
        run::scan_options(task)?;
    }
    if dry_run {
        tasks.iter().for_each(|task| outln!("would write the timer of {}", task.name));
        return Ok(ExitCode::SUCCESS);
    }
    for task in &tasks {
        known_from_now(place, task)?;
    }
    if place.has_systemd() {
        install(place, &tasks)?;
    } else {
        errln!("holdfast: systemd does not run here: `holdfast schedule daemon` runs the tasks");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs what is due, one after the other, in processes of their own.
fn daemon(place: &Place, once: bool) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("where is this program?")?;
    let mut told = String::new();
    let mut expired = None;
    loop {
        // A mistake in the configuration must not end what was running well.
        let tasks = match place.tasks() {
            Ok(tasks) => tasks,
            Err(error) if once => return Err(error),
            Err(error) => {
                let error = format!("{error:#}");
                if error != told {
                    errln!("holdfast: {error}");
                    told = error;
                }
                Vec::new()
            }
        };
        for Known { task, .. } in tasks {
            known_from_now(place, &task)?;
            let standing = standing(place, &task);
            if !standing.due || standing.running {
                continue;
            }
            let mut command = Command::new(&program);
            command.args(["schedule", "run", "--due", &task.name]).arg("--root").arg(&place.root);
            if place.named {
                command.arg("--config").arg(&place.config);
            }
            let done = command.status().with_context(|| safe_path(&program))?;
            outln!("{}: {done}", task.name);
        }
        if expired.is_none_or(|at| now().saturating_sub(at) >= DAY) {
            expired = Some(now());
            expire(place, &program)?;
        }
        if once {
            return Ok(ExitCode::from(exit::CLEAN));
        }
        std::thread::sleep(LOOK);
    }
}

/// Keeps the quarantine within its limits, as a timer does where systemd runs.
fn expire(place: &Place, program: &Path) -> anyhow::Result<()> {
    if place.root != Path::new("/") && !place.named {
        return Ok(());
    }
    let mut command = Command::new(program);
    command.args(["quarantine", "expire", "--if-limited"]);
    if place.named {
        command.arg("--config").arg(&place.config);
    }
    // What is wrong it says itself; tasks go on.
    command.status().with_context(|| safe_path(program)).map(drop)
}

/// Seconds.
const DAY: i64 = 86_400;

/// Ours: tasks are due at minutes.
const LOOK: Duration = Duration::from_secs(20);
