//! `scan --action` and `holdfast quarantine` as people and scripts use them, as root and without rights.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up is to fail")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

struct Setup {
    temp: tempfile::TempDir,
}

fn setup() -> Setup {
    let temp = tempfile::tempdir().unwrap();
    // Others may look in: some tests run as somebody else.
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(temp.path().join("rules.ndb"), "Test.Marked:0:*:6d61726b65642062797465\n").unwrap();
    fs::create_dir(temp.path().join("tree")).unwrap();
    fs::write(temp.path().join("tree/clean.txt"), "nothing to see").unwrap();
    fs::write(temp.path().join("tree/marked.txt"), "a marked byte").unwrap();
    Setup { temp }
}

impl Setup {
    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(args).current_dir(self.temp.path());
        command.env("HOLDFAST_CACHE", self.path("cache"));
        command
    }

    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> String {
        finish(self.command(args).output().unwrap(), args, code)
    }

    #[track_caller]
    fn json(&self, args: &[&str], code: i32) -> Vec<Value> {
        let args = [args, &["--json"]].concat();
        self.run(&args, code).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[track_caller]
fn finish(output: Output, args: &[&str], code: i32) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}{errors}");
    text + &errors
}

const SCAN: [&str; 5] = ["scan", "--no-summary", "-d", "rules.ndb", "tree"];
const TAKE: [&str; 4] = ["--action", "quarantine", "--vault", "vault"];

fn quarantine<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["quarantine"], args, &["--vault", "vault"]].concat()
}

#[test]
fn a_file_goes_and_comes_back() {
    let setup = setup();
    let marked = setup.path("tree/marked.txt");
    let before = fs::metadata(&marked).unwrap();
    let text = setup.run(&[&SCAN[..], &TAKE, &["--dry-run"]].concat(), 1);
    assert!(text.contains("dry run     tree/marked.txt: quarantine would be possible"), "{text}");
    assert!(marked.exists());
    let text = setup.run(&[&SCAN[..], &TAKE].concat(), 1);
    assert!(text.contains("quarantined tree/marked.txt: as "), "{text}");
    assert!(!marked.exists() && setup.path("tree/clean.txt").exists());
    // Nothing is found any more, and our own scanner does not trip on the vault either.
    setup.run(&SCAN, 0);
    setup.run(&["scan", "--no-summary", "-d", "rules.ndb", "vault"], 0);

    let listed = setup.json(&quarantine(&["list"]), 0);
    assert_eq!(listed.len(), 1);
    let entry = &listed[0];
    let id = entry["id"].as_str().unwrap();
    assert_eq!(entry["findings"][0]["name"], "Test.Marked.UNOFFICIAL");
    assert_eq!(entry["content"][0]["name"], "rules.ndb");
    assert_eq!(entry["by"]["program"], "holdfast scan");
    let real = fs::canonicalize(setup.path("tree")).unwrap().join("marked.txt");
    assert_eq!(entry["path"], real.to_str().unwrap());
    let text = setup.run(&quarantine(&["show", &id[..6]]), 0);
    assert!(text.contains(entry["sha256"].as_str().unwrap()), "{text}");

    setup.run(&quarantine(&["restore", "--dry-run", id]), 0);
    assert!(!marked.exists());
    let text = setup.run(&quarantine(&["restore", id]), 0);
    assert!(text.starts_with("restored "), "{text}");
    let after = fs::metadata(&marked).unwrap();
    assert_eq!(fs::read(&marked).unwrap(), b"a marked byte");
    let all = |meta: &fs::Metadata| {
        (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec())
    };
    assert_eq!(all(&before), all(&after));
    assert_eq!(setup.json(&quarantine(&["list"]), 0).len(), 0);
}

#[test]
fn the_other_commands() {
    let setup = setup();
    assert_eq!(setup.run(&quarantine(&["list"]), 0), "");
    setup.run(&quarantine(&["show", "all"]), 2);
    setup.run(&quarantine(&["add", "--dry-run", "tree/clean.txt"]), 0);
    let added = setup.json(&quarantine(&["add", "--reason", "odd", "tree/clean.txt"]), 0);
    let id = added[0]["entry"].as_str().unwrap();
    assert!(!setup.path("tree/clean.txt").exists());
    setup.run(&quarantine(&["add", "tree/none"]), 2);
    setup.run(&quarantine(&["add", "tree"]), 2);
    setup.run(&quarantine(&["add", "/bin/true"]), 2);
    assert!(Path::new("/bin/true").exists());

    setup.run(&quarantine(&["export", id, "--form", "plain", "-o", "plain"]), 0);
    assert_eq!(fs::read(setup.path("plain")).unwrap(), b"nothing to see");
    assert_eq!(fs::metadata(setup.path("plain")).unwrap().mode() & 0o777, 0o600);
    setup.run(&quarantine(&["export", id, "-o", "plain"]), 2);
    setup.run(&quarantine(&["export", id, "-o", "x.zip"]), 0);
    fs::write(setup.path("tree/clean.txt"), "new").unwrap();
    let text = setup.run(&quarantine(&["restore", id]), 2);
    assert!(text.contains("exists"), "{text}");
    setup.run(&quarantine(&["restore", id, "--to", "elsewhere", "--keep"]), 0);
    assert_eq!(fs::read(setup.path("elsewhere")).unwrap(), b"nothing to see");

    setup.run(&quarantine(&["expire"]), 2);
    let text = setup.run(&quarantine(&["expire", "--max-size", "0", "--dry-run"]), 0);
    assert!(text.contains("would be deleted, too much is kept"), "{text}");
    setup.run(&quarantine(&["delete", "--dry-run", id]), 0);
    assert_eq!(setup.json(&quarantine(&["list"]), 0).len(), 1);
    setup.run(&quarantine(&["expire", "--max-size", "0", "--max-age", "9"]), 0);
    assert_eq!(setup.json(&quarantine(&["list"]), 0).len(), 0);
    setup.run(&quarantine(&["delete", id]), 2);
}

#[test]
fn removing_and_what_is_spared() {
    let setup = setup();
    let remove = [&SCAN[..], &["--action", "remove"]].concat();
    fs::hard_link(setup.path("tree/marked.txt"), setup.path("other")).unwrap();
    let text = setup.run(&remove, 1);
    assert!(text.contains("removed     tree/marked.txt (1 other names still"), "{text}");
    assert!(setup.path("other").exists());
    // What is incomplete or in error stays: a file too large to be looked at.
    fs::write(setup.path("tree/large"), vec![b'x'; 100_000]).unwrap();
    setup.run(&[&remove[..], &["--max-object-size", "1000"]].concat(), 3);
    assert!(setup.path("tree/large").exists());

    // A signature that is wrong about a file of the distribution.
    if Path::new("/var/lib/dpkg/info/coreutils.md5sums").exists() {
        use sha2::Digest as _;
        let bytes = fs::read("/bin/true").unwrap();
        let digest: String =
            sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{digest}:{}:Test.Wrong\n", bytes.len());
        fs::write(setup.path("wrong.hsb"), line).unwrap();
        let args = ["scan", "-d", "wrong.hsb", "/bin/true", "--dry-run"];
        for action in [&["--action", "remove"][..], &TAKE] {
            let lines = setup.json(&[&args[..], action].concat(), 1);
            assert_eq!(lines[0]["action"]["result"], "spared", "{}", lines[0]);
        }
        let copy = setup.path("tree/copy");
        fs::copy("/bin/true", &copy).unwrap();
        setup.run(&["scan", "-d", "wrong.hsb", "tree/copy", "--action", "remove"], 1);
        assert!(!copy.exists());
    }
}

/// Runs a command as `nobody`, who may read what others left readable.
fn as_nobody(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt as _;
    command.uid(65534).gid(65534).env("HOME", "/nonexistent")
}

#[test]
fn without_rights_nothing_of_others_goes() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let setup = setup();
    let marked = setup.path("tree/marked.txt");
    fs::set_permissions(&marked, fs::Permissions::from_mode(0o644)).unwrap();
    let own = setup.path("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(65534), Some(65534)).unwrap();
    let binary = own.join("holdfast");
    // Where the build is may be closed to others.
    fs::copy(env!("CARGO_BIN_EXE_holdfast"), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |args: &[&str], code| {
        let mut command = Command::new(&binary);
        command.args(args).current_dir(setup.temp.path()).env("HOLDFAST_CACHE", own.join("cache"));
        finish(as_nobody(&mut command).output().unwrap(), args, code)
    };
    let vault = ["--action", "quarantine", "--vault", "own/vault"];
    let text = run(&[&SCAN[..], &vault].concat(), 1);
    assert!(text.contains("left        tree/marked.txt"), "{text}");
    assert!(marked.exists());
    // No entry is left of what was not taken.
    assert_eq!(run(&["quarantine", "list", "--vault", "own/vault"], 0), "");
    // Their own file: taken, and given back.
    fs::copy(&marked, own.join("marked")).unwrap();
    std::os::unix::fs::chown(own.join("marked"), Some(65534), Some(65534)).unwrap();
    run(&[&["scan", "--no-summary", "-d", "rules.ndb", "own/marked"][..], &vault].concat(), 1);
    assert!(!own.join("marked").exists());
    run(&["quarantine", "restore", "all", "--vault", "own/vault"], 0);
    assert_eq!(fs::metadata(own.join("marked")).unwrap().uid(), 65534);
    // Root does not believe a vault that somebody else filled, and nobody may look into root's.
    setup.run(&["quarantine", "list", "--vault", "own/vault"], 2);
    setup.run(&[&SCAN[..], &TAKE].concat(), 1);
    run(&["quarantine", "list", "--vault", "vault"], 2);
}

#[test]
fn read_only_and_immutable_files_are_told() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make files immutable");
        return;
    }
    let setup = setup();
    let marked = setup.path("tree/marked.txt");
    let chattr = |flag: &str| {
        Command::new("chattr")
            .arg(flag)
            .arg(&marked)
            .output()
            .is_ok_and(|done| done.status.success())
    };
    if chattr("+i") {
        let text = setup.run(&[&SCAN[..], &TAKE].concat(), 1);
        assert!(chattr("-i"));
        assert!(text.contains("immutable"), "{text}");
    } else {
        eprintln!("skipped: no immutable files here");
    }
    // A read-only mount of the same folder, in a mount namespace of its own.
    let script = "mount --bind tree tree && mount -o remount,ro,bind tree && exec \"$@\"";
    let args = [&SCAN[..], &TAKE].concat();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_holdfast")]).args(&args);
    command.current_dir(setup.temp.path()).env("HOLDFAST_CACHE", setup.path("cache"));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.is_empty() {
        eprintln!("skipped: no mount namespaces here");
        return;
    }
    assert!(text.contains("read-only"), "{text}");
    assert!(marked.exists());
    assert_eq!(setup.json(&quarantine(&["list"]), 0).len(), 0);
}
