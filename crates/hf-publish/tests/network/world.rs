//! Operators in folders of this machine, and the programs that they run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast-publish");

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Three publishers, one of them with a channel; a log; two witnesses.
pub(crate) struct World {
    dir: tempfile::TempDir,
    witnesses: BTreeMap<String, (Running, String)>,
    servers: Vec<Running>,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world = Self { dir, witnesses: BTreeMap::new(), servers: Vec::new() };
        world.run("alice", &["init", "--name", "alice.example"]);
        let root = world.path("alice/root.json");
        let root = root.to_str().unwrap();
        world.run("bob", &["init", "--name", "bob.example", "--part", "publisher", "--root", root]);
        let post_quantum = ["--part", "publisher", "--root", root, "--post-quantum"];
        world.run("carol", &[&["init", "--name", "carol.example"][..], &post_quantum].concat());
        let mut log = vec!["init", "--name", "log.example", "--part", "log"];
        let keys = ["alice", "bob", "carol"].map(|name| world.key(name, "publisher"));
        keys.iter().for_each(|key| log.extend(["--publisher", key]));
        world.run("log", &log);
        let key = world.key("log", "log");
        for witness in ["w1", "w2"] {
            let name = format!("{witness}.example");
            world.run(witness, &["init", "--name", &name, "--part", "witness", "--log", &key]);
            world.start_witness(witness);
        }
        fs::create_dir(world.path("databases")).unwrap();
        world.source("own.ndb", "Test.X-1:0:*:6162636465666768\n");
        let source = world.path("databases");
        let arguments =
            ["--id", "own", "--author", "A", "--licence", "MIT", source.to_str().unwrap()];
        world.run("alice", &[&["add-source"][..], &arguments].concat());
        world
    }

    /// Copies all folders: whoever did this has every key.
    pub(crate) fn fork(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(self.dir.path(), dir.path());
        let mut other = Self { dir, witnesses: BTreeMap::new(), servers: Vec::new() };
        for name in ["w1", "w2"] {
            other.start_witness(name);
        }
        // The copied configuration names the first world's folder.
        let source = other.path("databases");
        let arguments =
            ["--id", "own", "--author", "A", "--licence", "MIT", source.to_str().unwrap()];
        other.run("alice", &[&["add-source"][..], &arguments].concat());
        other
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn key(&self, home: &str, role: &str) -> String {
        self.path(&format!("{home}/keys/{role}.pub")).to_str().unwrap().to_owned()
    }

    pub(crate) fn copy(&self, from: &str, to: &str) {
        let _ = fs::remove_dir_all(self.path(to));
        copy(&self.path(from), &self.path(to));
    }

    pub(crate) fn source(&mut self, name: &str, text: &str) {
        fs::write(self.path("databases").join(name), text).unwrap();
    }

    /// Runs a command of an operator.
    pub(crate) fn run(&self, home: &str, arguments: &[&str]) -> String {
        let home = self.path(home);
        let arguments = [&arguments[..1], &["--home", home.to_str().unwrap()], &arguments[1..]];
        self.run_plain(&arguments.concat())
    }

    /// Runs a command that fails, and returns what it says.
    pub(crate) fn fails(&self, home: &str, arguments: &[&str]) -> String {
        let home = self.path(home);
        let arguments = [&arguments[..1], &["--home", home.to_str().unwrap()], &arguments[1..]];
        let output = Command::new(PROGRAM).args(arguments.concat()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn run_plain(&self, arguments: &[&str]) -> String {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    /// Builds, attests and logs.
    pub(crate) fn release(&self, publishers: &[&str]) {
        self.run("alice", &["build"]);
        self.attest_and_log(publishers);
    }

    pub(crate) fn attest(&self, publishers: &[&str]) {
        let channel = self.path("alice/channel");
        for publisher in publishers {
            self.run(publisher, &["attest", "--channel", channel.to_str().unwrap()]);
        }
    }

    pub(crate) fn attest_and_log(&self, publishers: &[&str]) {
        self.attest(publishers);
        self.log();
    }

    /// Runs the log with the witnesses that run.
    pub(crate) fn log(&self) {
        let witnesses: Vec<String> = self
            .witnesses
            .iter()
            .map(|(name, (_, address))| format!("{address}={}", self.key(name, "witness")))
            .collect();
        self.log_with(&witnesses.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Runs the log with these witnesses and no others; returns what it complains of.
    pub(crate) fn log_with(&self, witnesses: &[&str]) -> String {
        let config = self.path("log/log.toml");
        let known = fs::read_to_string(&config).unwrap();
        let publishers = known.split("[[witness]]").next().unwrap();
        fs::write(&config, publishers).unwrap();
        let channel = self.path("alice/channel");
        let mut arguments = vec!["log", "--channel", channel.to_str().unwrap()];
        witnesses.iter().for_each(|witness| arguments.extend(["--witness", witness]));
        self.run("log", &arguments)
    }

    pub(crate) fn serve(&mut self, folder: &str) -> String {
        let folder = self.path(folder);
        let arguments = ["serve", "--dir", folder.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let (running, address) = start(&arguments);
        self.servers.push(running);
        address
    }

    pub(crate) fn start_witness(&mut self, name: &str) {
        let home = self.path(name);
        let home = home.to_str().unwrap();
        let started = start(&["witness", "--home", home, "--listen", "127.0.0.1:0"]);
        self.witnesses.insert(name.to_owned(), started);
    }

    pub(crate) fn stop_witness(&mut self, name: &str) {
        self.witnesses.remove(name);
    }

    /// SIGKILL, which is what stopping is, too; the name says what the test is about.
    pub(crate) fn kill_witness(&mut self, name: &str) {
        self.stop_witness(name);
    }

    pub(crate) fn witness_address(&self, name: &str) -> String {
        self.witnesses[name].1.clone()
    }

    /// Flips a bit in the middle of every object.
    pub(crate) fn alter_objects(&self, channel: &str) {
        for folder in fs::read_dir(self.path(channel).join("objects")).unwrap().flatten() {
            for file in fs::read_dir(folder.path()).unwrap().flatten() {
                let mut bytes = fs::read(file.path()).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(file.path(), bytes).unwrap();
            }
        }
    }
}

/// Starts a program that listens, and returns its address from what it prints.
fn start(arguments: &[&str]) -> (Running, String) {
    let mut child = Command::new(PROGRAM).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(address.starts_with("http://"), "{line:?}");
    (Running(child), address)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
