//! What the guard takes away: the scanned file and no other, and never without a finding.

#![expect(clippy::unwrap_used, reason = "a helper that cannot set a test up is to fail it")]

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::{DENIED, HOLDFAST, Stage, assert_allowed, assert_denied, eicar, mount, read};

/// Returns settings under which findings go into a vault and events into a file.
fn settings(stage: &Stage, more: &str) -> String {
    format!(
        "action = \"quarantine\"\n{more}\n[quarantine]\nvault = {:?}\n[events]\njson = {:?}\n",
        vault(stage),
        stage.temp.path().join("events.json"),
    )
}

fn vault(stage: &Stage) -> PathBuf {
    stage.temp.path().join("vault")
}

fn quarantine(stage: &Stage, args: &[&str]) -> Vec<Value> {
    let output = Command::new(HOLDFAST)
        .arg("quarantine")
        .args(args)
        .arg("--json")
        .arg("--config")
        .arg(stage.config())
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the events that were told of this action.
fn told(stage: &Stage, action: &str) -> Vec<Value> {
    let text = fs::read_to_string(stage.temp.path().join("events.json")).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let named =
        |event: &Value| event["event"]["action"] == action || event["holdfast"]["action"] == action;
    events.filter(named).collect()
}

#[track_caller]
fn left_because(stage: &Stage, why: &str) {
    stage.wait(why, |stage| {
        stage.log().lines().any(|line| line.contains(" left ") && line.contains(why))
    });
    assert!(quarantine(stage, &["list"]).is_empty());
}

#[test]
fn an_infected_file_is_taken_and_can_be_given_back() {
    let Some(mut stage) = Stage::set() else { return };
    let more = settings(&stage, "");
    stage.guard(&more);
    let infected = stage.write_eicar("infected");
    let other = stage.path("other");
    fs::hard_link(&infected, &other).unwrap();
    assert_denied(&infected);
    stage.wait("it is taken", |_| !infected.exists());
    stage.wait("it is told", |stage| stage.log().contains("1 other names still lead to it"));
    let list = quarantine(&stage, &["list"]);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0]["path"], infected.to_str().unwrap());
    assert_eq!(list[0]["by"]["program"], "holdfast onaccess");
    assert!(list[0]["findings"][0]["name"].as_str().unwrap().contains("Eicar"), "{list:?}");
    assert!(!list[0]["content"].as_array().unwrap().is_empty(), "{list:?}");
    // The other name leads to the same bytes: it goes the same way.
    assert_denied(&other);
    stage.wait("the other name is taken", |_| !other.exists());
    let id = list[0]["id"].as_str().unwrap();
    quarantine(&stage, &["restore", id]);
    assert_eq!(fs::metadata(&infected).unwrap().len(), 68);
    // Whoever gives back, takes away and denies tells it in the same words.
    let find = |word: &str, want: usize| {
        stage.wait(word, |stage| told(stage, word).len() >= want);
        told(&stage, word)
    };
    assert_eq!(find("finding", 2)[0]["file"]["path"], infected.to_str().unwrap());
    assert_eq!(find("deny", 2).len(), 2);
    let taken = find("quarantine", 2);
    assert_eq!(taken[0]["holdfast"]["entry"], id);
    assert_eq!(taken[0]["event"]["outcome"], "success");
    assert_eq!(find("restore", 1)[0]["holdfast"]["entry"], id);
    // It is scanned like any file that is opened.
    assert_denied(&infected);
}

#[test]
fn nothing_is_taken_without_a_finding() {
    let Some(mut stage) = Stage::set() else { return };
    let more =
        settings(&stage, "on-incomplete = \"deny\"\non-error = \"deny\"\nmax-file-size = 9999");
    stage.guard(&more);
    let locked = stage.write("locked.zip", &unhex(LOCKED));
    assert_denied(&locked);
    stage.wait("it counts", |stage| stage.count("incomplete") == 1);
    let large = stage.write("large", &[eicar(), b" ".repeat(20_000)].concat());
    assert_allowed(&large);
    // What comes after them has been done: so they were left.
    let infected = stage.write_eicar("infected");
    assert_denied(&infected);
    stage.wait("it is taken", |_| !infected.exists());
    assert!(locked.exists() && large.exists());
    let not = told(&stage, "not-scanned");
    assert_eq!(not[0]["file"]["path"], locked.to_str().unwrap(), "{not:?}");
    assert_eq!(not[0]["holdfast"]["verdict"], "incomplete");
    assert_eq!(told(&stage, "protection-changed")[0]["holdfast"]["protection"]["on"], true);
    stage.wait("one entry", |stage| quarantine(stage, &["list"]).len() == 1);
}

#[test]
fn what_cannot_be_taken_is_left_and_told() {
    let Some(mut stage) = Stage::set() else { return };
    fs::create_dir(stage.path("sealed")).unwrap();
    stage.write_eicar("sealed/infected");
    let sealed = stage.path("sealed");
    let bound = mount(&["--bind", sealed.to_str().unwrap()], &sealed);
    if !bound || !mount(&["-o", "remount,bind,ro"], &sealed) {
        eprintln!("skipped: no read-only mount can be made here");
        return;
    }
    let more = settings(&stage, "");
    stage.guard(&more);
    assert_denied(sealed.join("infected"));
    left_because(&stage, "read-only file system");
    assert!(sealed.join("infected").exists());
    stage.wait("the event", |stage| told(stage, "quarantine").len() == 1);
    assert_eq!(told(&stage, "quarantine")[0]["event"]["outcome"], "failure");
    assert_denied(sealed.join("infected"));
}

#[test]
fn a_full_vault_leaves_the_file_and_no_half_entry() {
    let Some(mut stage) = Stage::set() else { return };
    fs::create_dir(vault(&stage)).unwrap();
    assert!(mount(&["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"], &vault(&stage)));
    let rules = stage.temp.path().join("rules.ndb");
    fs::write(&rules, "Test.Marked:0:*:6d61726b65642062797465\n").unwrap();
    let more = settings(&stage, &format!("databases = [{rules:?}]"));
    stage.guard(&more);
    // What does not get smaller by itself.
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    let bytes: Vec<u8> = b"a marked byte".iter().copied().chain(noise.take(300_000)).collect();
    let large = stage.write("large", &bytes);
    assert_denied(&large);
    left_because(&stage, "large");
    assert_eq!(fs::metadata(&large).unwrap().len(), 300_013);
    assert_eq!(fs::read_dir(vault(&stage).join("entries")).unwrap().count(), 0);
    // There is room for a small one.
    let small = stage.write_eicar("small");
    assert_denied(&small);
    stage.wait("it is taken", |_| !small.exists());
    let unmounted = Command::new("umount").arg("-l").arg(vault(&stage)).status().unwrap();
    assert!(unmounted.success());
}

/// A log that is read slowly: the guard tells a finding before it acts, and waits for the log as long.
struct Pipe {
    file: File,
    text: String,
}

impl Pipe {
    fn make(path: &Path) -> Self {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK;
        let fd = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap();
        Self { file: File::from(fd), text: String::new() }
    }

    /// Leaves no room for another line.
    fn fill(&mut self) {
        for len in [4096, 1] {
            while self.file.write(&b"~".repeat(len)).is_ok() {}
        }
    }

    /// Reads until this is said.
    #[track_caller]
    fn drain_until(&mut self, word: &str) {
        let begun = Instant::now();
        let mut buffer = [0u8; 65_536];
        while !self.text.contains(word) {
            match self.file.read(&mut buffer) {
                Ok(len) => self.text.push_str(&String::from_utf8_lossy(&buffer[..len])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let said = self.text.trim_start_matches('~');
                    assert!(begun.elapsed() < Duration::from_secs(40), "no {word}: {said}");
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn what_was_changed_or_exchanged_meanwhile_is_left() {
    type Change = fn(&Stage);
    let innocent = b"somebody needs this";
    // A name fewer is a change of the file as well.
    let changes: [(&str, Change); 4] = [
        ("file was changed", |stage| {
            fs::rename(stage.path("innocent"), stage.path("folder/file")).unwrap();
        }),
        ("file was changed", |stage| {
            fs::remove_file(stage.path("folder/file")).unwrap();
            symlink(stage.path("innocent"), stage.path("folder/file")).unwrap();
        }),
        ("file was replaced", |stage| {
            // The folder on the way is another one now.
            fs::create_dir(stage.path("elsewhere")).unwrap();
            fs::rename(stage.path("innocent"), stage.path("elsewhere/file")).unwrap();
            fs::rename(stage.path("folder"), stage.path("folder.old")).unwrap();
            symlink(stage.path("elsewhere"), stage.path("folder")).unwrap();
        }),
        ("file was changed", |stage| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o604);
            fs::set_permissions(stage.path("folder/file"), mode).unwrap();
        }),
    ];
    for (why, change) in changes {
        let Some(mut stage) = Stage::set() else { return };
        fs::create_dir(stage.path("folder")).unwrap();
        let log = stage.temp.path().join("pipe");
        let mut pipe = Pipe::make(&log);
        let more = settings(&stage, &format!("log = {log:?}"));
        stage.guard_without_wait(&more);
        pipe.drain_until("guards, with");
        pipe.text.clear();
        stage.write_eicar("folder/file");
        stage.write("innocent", innocent);
        pipe.fill();
        // It is answered, and the guard waits for its log before it acts.
        assert_denied(stage.path("folder/file"));
        change(&stage);
        pipe.drain_until(" left ");
        pipe.drain_until(why);
        assert!(quarantine(&stage, &["list"]).is_empty());
        // Whoever opens it has it scanned, and taken, again.
        assert!(stage.path("folder/file").exists());
        let kept = ["folder/file", "innocent"].map(|name| read(stage.path(name)));
        assert!(kept.contains(&Ok(innocent.to_vec())), "{kept:?}");
        // Nothing of what was tried stays behind.
        let leftover = fs::read_dir(&stage.top).unwrap().flatten();
        assert!(!leftover.into_iter().any(|e| e.file_name().to_string_lossy().starts_with(".h")));
    }
}

/// Reads a file that must be there, but for the moments in which the guard looks at what has the name of a file that it
/// takes.
fn read_there(path: &Path) -> Result<Vec<u8>, Option<i32>> {
    let begun = Instant::now();
    loop {
        match read(path) {
            Err(Some(2)) if begun.elapsed() < Duration::from_secs(10) => {}
            done => return done,
        }
    }
}

#[test]
fn whoever_exchanges_names_all_the_time_loses_no_innocent_file() {
    let Some(mut stage) = Stage::set() else { return };
    let more = settings(&stage, "");
    stage.guard(&more);
    let path = stage.path("file");
    for round in 0..60u32 {
        fs::write(&path, eicar()).unwrap();
        let innocent = stage.write("innocent", format!("innocent {round}").as_bytes());
        assert_eq!(read_there(&path), Err(DENIED));
        // At once, a little later, later.
        std::thread::sleep(Duration::from_micros(u64::from(round) * 150));
        fs::rename(&innocent, &path).unwrap();
        assert_eq!(read_there(&path), Ok(format!("innocent {round}").into_bytes()));
        while fs::remove_file(&path).is_err() {}
    }
    for entry in quarantine(&stage, &["list"]) {
        assert_eq!(entry["size"], 68, "{entry}");
    }
}

/// Over files of a package of this system, in a mount namespace of its own.
#[test]
fn files_of_the_distribution_are_spared() {
    let owned = Path::new("/usr/share/doc/dpkg/copyright");
    let sums = fs::read_to_string("/var/lib/dpkg/info/dpkg.md5sums").unwrap_or_default();
    let Some(stage) = Stage::set() else { return };
    if !owned.exists() || !sums.contains("usr/share/doc/dpkg/copyright") {
        eprintln!("skipped: dpkg's own package is not here");
        return;
    }
    let sum = sums.lines().find(|line| line.ends_with("usr/share/doc/dpkg/copyright")).unwrap();
    let size = fs::metadata(owned).unwrap().len();
    let rules = stage.temp.path().join("rules.hdb");
    fs::write(&rules, format!("{}:{size}:Test.Wrong\n", &sum[..32])).unwrap();
    let folder = owned.parent().unwrap();
    let more = settings(
        &stage,
        &format!("protect = [{folder:?}]\nscope = \"mount\"\ndatabases = [{rules:?}]"),
    );
    stage.configure(&more);
    let script = format!(
        "mount --bind {0} {0} && {HOLDFAST} onaccess run --config {1} & \
         until grep -q 'guards, with' {2}; do sleep 0.05; done; cat {3}; echo code $?; \
         until grep -q ' left ' {2}; do sleep 0.05; done; kill $!; wait",
        folder.display(),
        stage.config().display(),
        stage.log_path().display(),
        owned.display(),
    );
    let log = File::create(stage.log_path()).unwrap();
    let child = Command::new("unshare")
        .args(["-m", "timeout", "60", "sh", "-c", &script])
        .env("HOLDFAST_CACHE", stage.temp.path().join("cache"))
        .stdout(std::process::Stdio::piped())
        .stderr(log)
        .spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("code 1"), "{said} {}", stage.log());
    assert!(stage.log().contains("a package of the distribution owns it"), "{}", stage.log());
    assert!(owned.exists() && quarantine(&stage, &["list"]).is_empty());
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// `7z -mem=AES256 -punguessed`, as `hf-formats/tests/fixtures/zip/aes256-unknown-password`.
const LOCKED: &str = "\
    504b0304330001006300d40d292b00000000510000008700000005000b00612e74787401990700020041\
    45030800a4444151f9e1ec677740c53e017890858ca3ed36f050dc8d524fab2691f3b79b2a0cbba49fa8\
    7e3061cda798abb1cb75758dbf952e91c5ba6929489cd986668efd6c97130642db27a080f90b6743d5dd\
    96504b01023f03330001006300d40d292b00000000510000008700000005002f000000000000002080a4\
    8100000000612e7478740a00200000000000010018000080ff44d138c101000000000000000000000000\
    000000000199070002004145030800504b05060000000001000100620000007f0000000000";

#[test]
fn a_reload_takes_another_action() {
    let Some(mut stage) = Stage::set() else { return };
    let with = |stage: &Stage, action: &str| {
        settings(stage, "").replace("action = \"quarantine\"", &format!("action = {action:?}"))
    };
    let more = with(&stage, "report");
    stage.guard(&more);
    // Where only the rights for it get a file away.
    fs::create_dir(stage.path("theirs")).unwrap();
    std::os::unix::fs::chown(stage.path("theirs"), Some(4321), Some(4321)).unwrap();
    let infected = stage.write_eicar("theirs/infected");
    assert_denied(&infected);
    stage.wait("it is told", |stage| told(stage, "finding").len() == 1);
    let mut reloads = 0;
    let mut reload = |stage: &Stage, action: &str| {
        stage.configure(&with(stage, action));
        assert!(stage.ask("reload").status.success());
        reloads += 1;
        stage.wait("settings", |stage| {
            stage.log().matches("settings were read again").count() == reloads
        });
    };
    reload(&stage, "quarantine");
    assert!(stage.log().contains("action is \"quarantine\" from now on"), "{}", stage.log());
    assert_denied(&infected);
    stage.wait("it is taken", |_| !infected.exists());
    stage.wait("one entry", |stage| quarantine(stage, &["list"]).len() == 1);
    reload(&stage, "remove");
    let second = stage.write_eicar("theirs/second");
    assert_denied(&second);
    stage.wait("it is removed", |_| !second.exists());
    reload(&stage, "report");
    let third = stage.write_eicar("theirs/third");
    assert_denied(&third);
    stage.wait("it is told", |stage| told(stage, "finding").len() == 4);
    assert!(third.exists());
    assert_eq!(quarantine(&stage, &["list"]).len(), 1);
    // A value that is none changes nothing.
    stage.configure(&with(&stage, "explode"));
    let socket = stage.temp.path().join("socket");
    let asked =
        Command::new(HOLDFAST).args(["onaccess", "reload", "--socket"]).arg(socket).status();
    assert!(asked.unwrap().success());
    stage.wait("the refusal", |stage| stage.log().contains("settings stay as they are"));
    assert_denied(&third);
}
