//! Tasks from the command line: when they run, where they go on, what they pass over, what they tell.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up is to fail")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

struct Setup {
    temp: tempfile::TempDir,
}

/// A root of its own, with a tree of so many files, one of them marked.
fn setup(files: usize) -> Setup {
    let temp = tempfile::tempdir().unwrap();
    let setup = Setup { temp };
    fs::write(setup.path("rules.ndb"), "Test.Marked:0:*:6d61726b65642062797465\n").unwrap();
    fs::create_dir_all(setup.path("tree/sub")).unwrap();
    for number in 0..files {
        let folder = if number % 3 == 0 { "tree/sub" } else { "tree" };
        fs::write(setup.path(folder).join(format!("{number:04}")), format!("file {number}"))
            .unwrap();
    }
    fs::write(setup.path("tree/marked"), "a marked byte").unwrap();
    setup
}

impl Setup {
    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.arg("schedule").args(args).arg("--root").arg(self.temp.path());
        command.env("HOLDFAST_CACHE", self.path("cache"));
        command
    }

    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> String {
        let output = self.command(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}{errors}");
        text + &errors
    }

    /// Adds a task over the tree.
    fn add(&self, more: &[&str]) {
        let (tree, rules) = (self.path("tree"), self.path("rules.ndb"));
        let (rules, json) = (format!("--option=--database={}", rules.display()), "--option=--json");
        let args = ["add", "all", tree.to_str().unwrap(), &rules, json, "--option=--threads=1"];
        self.run(&[&args, more].concat(), 0);
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "--json"], 0)).unwrap()
    }

    fn state(&self, name: &str) -> PathBuf {
        self.path("var/lib/holdfast/schedule/all").join(name)
    }
}

/// Returns the paths of scanned files in the output of a run, in their order.
fn scanned(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let files = lines.filter(|line| line["type"] == "file");
    files.map(|line| line["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tasks_come_and_go() {
    let setup = setup(2);
    fs::create_dir_all(setup.path("run/systemd/system")).unwrap();
    setup.run(&["add", "x", "/tmp", "--option=--no-such-option"], 2);
    setup.run(&["add", "X y", "/tmp"], 2);
    setup.run(&["add", "x", "/tmp", "--when", "tomorrow"], 2);
    let dry = setup.run(&["add", "x", "/tmp", "--when", "daily 04:00", "--dry-run"], 0);
    assert!(dry.contains("when = \"daily 04:00\""), "{dry}");
    assert_eq!(setup.run(&["list"], 0), "");
    setup.add(&["--when", "daily 04:00", "--action", "quarantine"]);
    setup.run(&["add", "all", "/tmp"], 2);
    assert!(setup.run(&["list"], 0).contains("daily 04:00        quarantine"));
    let timer = setup.path("etc/systemd/system/holdfast-scan-all.timer");
    assert!(fs::read_to_string(&timer).unwrap().contains("OnCalendar=*-*-* 04:00:00"));
    let status = setup.status();
    assert_eq!((&status["running"], &status["due"]), (&Value::from(false), &Value::from(false)));
    assert!(status["next"].is_i64());
    setup.run(&["remove", "all", "--dry-run"], 0);
    setup.run(&["remove", "all"], 0);
    setup.run(&["remove", "all"], 2);
    assert!(!timer.exists() && !setup.state("status").exists());

    // A task of the configuration, and mistakes in it.
    let config = setup.path("etc/holdfast/holdfast.toml");
    let good = "[service]\nfoo = 1\n[[schedule]]\nname = 'home'\nwhen = 'weekly sun 01:00'\npaths = ['/home']\n";
    fs::write(&config, good).unwrap();
    setup.run(&["apply"], 0);
    assert!(setup.path("etc/systemd/system/holdfast-scan-home.timer").exists());
    let text = setup.run(&["remove", "home"], 2);
    assert!(text.contains("holdfast.toml"), "{text}");
    fs::write(&config, good.replace("weekly", "wekly")).unwrap();
    let text = setup.run(&["list"], 2);
    assert!(text.contains("holdfast.toml") && text.contains("line 5"), "{text}");
}

#[test]
fn a_killed_run_goes_on_where_it_stopped() {
    // More than one checkpoint.
    let setup = setup(2600);
    setup.add(&[]);
    let all = {
        let text = setup.run(&["run", "all"], 1);
        scanned(&text)
    };
    assert_eq!(all.len(), 2601);
    assert!(!setup.state("progress").exists());
    let mut sorted = all.clone();
    sorted.sort();
    // `tree/sub/…` comes after `tree/marked` as its name does.
    assert_eq!(all, sorted);

    let mut child = setup.command(&["run", "all"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut before = String::new();
    while !setup.state("progress").exists() {
        assert!(reader.read_line(&mut before).unwrap() > 0, "it ended before its first checkpoint");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let status = setup.status();
    assert_eq!((&status["interrupted"], &status["running"]), (&true.into(), &false.into()));
    let rest = scanned(&setup.run(&["run", "--due", "all"], 1));
    assert!(rest.len() < all.len() && rest.len() >= all.len() - 2100, "{} files again", rest.len());
    assert_eq!(rest, all[all.len() - rest.len()..]);
    // Whole again, and no longer due.
    let status = setup.status();
    assert_eq!((&status["interrupted"], &status["code"]), (&false.into(), &1.into()));
    assert_eq!(scanned(&setup.run(&["run", "--due", "all"], 0)).len(), 0);

    // Progress that is not what was written, or of another task: from the beginning.
    fs::write(setup.state("progress"), "{\"version\":1}\n00000000\n").unwrap();
    assert_eq!(scanned(&setup.run(&["run", "all"], 1)).len(), all.len());
}

#[test]
fn what_was_clean_and_has_not_changed_is_passed_over() {
    let setup = setup(40);
    setup.add(&["--changed-only"]);
    let run = |code| scanned(&setup.run(&["run", "all"], code)).len();
    // All were made just now, and are too fresh to be remembered: a change in the same moment would not show.
    assert_eq!((run(1), run(1)), (41, 41));
    let made = fs::metadata(setup.path("tree/0001")).unwrap().modified().unwrap();
    while made.elapsed().unwrap().as_secs() < 4 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(run(1), 41);
    if run(1) == 41 {
        eprintln!("skipped: files here are not on a file system whose times can be believed");
        return;
    }
    // Only what is not clean is scanned again, and it is told again.
    assert_eq!(run(1), 1);

    // Whatever its owner does, a changed file is scanned.
    let path = setup.path("tree/0001");
    let (before, len) = (fs::metadata(&path).unwrap().modified().unwrap(), "file 1".len());
    fs::write(&path, "marked byte marked byte".get(..len).unwrap()).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    assert_eq!(run(1), 2);
    // Renamed, replaced, new.
    fs::rename(setup.path("tree/0002"), setup.path("tree/moved")).unwrap();
    fs::write(setup.path("tree/new"), "new").unwrap();
    assert!(run(1) >= 3);
    // Other content: everything.
    fs::write(setup.path("rules.ndb"), "Test.Other:0:*:6d61726b65642062797466\n").unwrap();
    assert_eq!(run(0), 42);
    // State that was damaged: everything.
    let mut seen = fs::read(setup.state("seen")).unwrap();
    let middle = seen.len() / 2;
    seen[middle] ^= 1;
    fs::write(setup.state("seen"), seen).unwrap();
    assert_eq!(run(0), 42);
}

#[test]
fn it_waits_while_there_is_no_mains_and_runs_idle() {
    let setup = setup(3);
    let battery = setup.path("sys/class/power_supply/BAT0");
    fs::create_dir_all(&battery).unwrap();
    fs::write(battery.join("type"), "Battery\n").unwrap();
    fs::write(battery.join("status"), "Discharging\n").unwrap();
    setup.add(&[]);
    let mut child = setup
        .command(&["run", "all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let paused = errors.find(|line| line.as_ref().is_ok_and(|line| line.contains("paused")));
    assert!(paused.is_some());
    // As the kernel counts: 5 is SCHED_IDLE, and 19 the nicest.
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!((fields[16], fields[38]), ("19", "5"), "{stat}");
    // Nobody else runs the same task meanwhile.
    let text = setup.run(&["run", "all"], 2);
    assert!(text.contains("runs already"), "{text}");
    assert_eq!(setup.status()["running"], true);
    fs::write(battery.join("status"), "Charging\n").unwrap();
    assert!(errors.any(|line| line.is_ok_and(|line| line.contains("goes on"))));
    let output = child.wait_with_output().unwrap();
    assert_eq!(scanned(&String::from_utf8_lossy(&output.stdout)).len(), 4);
    // One that does not care.
    fs::write(battery.join("status"), "Discharging\n").unwrap();
    setup.run(&["remove", "all"], 0);
    setup.add(&["--on-battery", "run", "--no-idle"]);
    assert_eq!(scanned(&setup.run(&["run", "all"], 1)).len(), 4);
}

#[test]
fn what_was_missed_is_caught_up_once() {
    let setup = setup(1);
    setup.add(&["--when", "daily 03:00"]);
    let daemon = || setup.run(&["daemon", "--once"], 0);
    assert_eq!(scanned(&daemon()).len(), 0, "what was due before it was added was not missed");
    // As if it had been added three days ago.
    let path = setup.state("status");
    let mut status: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    status["since"] = (status["since"].as_i64().unwrap() - 3 * 86_400).into();
    fs::write(&path, status.to_string()).unwrap();
    assert_eq!(setup.status()["due"], true);
    assert_eq!(scanned(&daemon()).len(), 2);
    assert_eq!(scanned(&daemon()).len(), 0);
}

fn events(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn events_are_told() {
    let setup = setup(1);
    let hook = setup.path("hook");
    let seen = setup.path("hooked");
    fs::write(&hook, format!("#!/bin/sh\nprintf '%s %s\\n' \"$1\" \"$2\" >> {}\n", seen.display()))
        .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let json = setup.path("events.json");
    let config = format!(
        "[events]\njson = '{}'\n[[events.hook]]\ncommand = ['{}', '{{event}}', '{{path}}']\n",
        json.display(),
        hook.display()
    );
    fs::create_dir_all(setup.path("etc/holdfast")).unwrap();
    fs::write(setup.path("etc/holdfast/holdfast.toml"), config).unwrap();
    let tricky = setup.path("tree/-rf $(touch pwned) \u{1b}[2J");
    fs::rename(setup.path("tree/marked"), &tricky).unwrap();
    let mut scan = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    scan.args(["scan", "--events", "--config", "etc/holdfast/holdfast.toml", "-d", "rules.ndb"]);
    scan.args(["tree", "--action", "quarantine", "--vault", "vault"]);
    scan.current_dir(setup.temp.path()).env("HOLDFAST_CACHE", setup.path("cache"));
    let output = scan.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!tricky.exists());
    let told = events(&json);
    let actions: Vec<_> = told.iter().map(|event| event["event"]["action"].clone()).collect();
    assert_eq!(actions, ["scan-started", "finding", "action", "scan-ended"]);
    assert_eq!(told[1]["file"]["path"], tricky.to_str().unwrap());
    assert_eq!(told[1]["rule"]["name"], "Test.Marked.UNOFFICIAL");
    assert_eq!(told[1]["hash"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(told[2]["event"]["outcome"], "success");
    assert_eq!(told[3]["holdfast"]["counts"]["detected"], 1);
    let hooked = fs::read_to_string(&seen).unwrap();
    let want = format!("finding {0}\naction {0}\n", tricky.to_str().unwrap());
    assert_eq!(hooked, want);

    // A sink that cannot be reached is told, and nothing else changes.
    fs::create_dir(setup.path("folder")).unwrap();
    let config = format!("[events]\njson = '{}'\n", setup.path("folder").display());
    fs::write(setup.path("etc/holdfast/holdfast.toml"), config).unwrap();
    setup.add(&[]);
    let text = setup.run(&["run", "all"], 0);
    assert!(text.contains("events to json: 0 lost, 2 not told"), "{text}");
    fs::write(setup.path("etc/holdfast/holdfast.toml"), "[events]\njurnal = true\n").unwrap();
    let text = setup.run(&["run", "all"], 2);
    assert!(text.contains("holdfast.toml") && text.contains("jurnal"), "{text}");
}
