//! Every option of `clamdscan`, on Debian's and on ours under that name, asking the same daemon: the same
//! words on the same folder must give the same lines, the same exit code and leave the same files.
//!
//! Promises: each difference is in [`cases::DIFFERENCES`] with its reason; one that is gone must be taken out.
//! Leaves out: `LibClamAV` lines, times, and the order of lines about different files, which is that in
//! which folders list them.

mod cases;
mod server;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cases::{CASES, DIFFERENCES};
use server::Server;

#[test]
fn every_option_does_what_clamdscan_does() {
    let Some(server) = Server::start() else { return };
    let folder = Folder::new(&server);
    let mut complaints = Vec::new();
    for (line, input) in CASES {
        let theirs = folder.run("clamdscan".as_ref(), line, input);
        let ours = folder.run(&folder.ours, line, input);
        let known = DIFFERENCES.iter().any(|(case, _)| case == line);
        if (theirs == ours) == known {
            complaints.push(format!("`{line}` (known: {known})\n{}", difference(&theirs, &ours)));
        }
    }
    for (known, _) in DIFFERENCES {
        if !CASES.iter().any(|(line, _)| line == known) {
            complaints.push(format!("no case is called `{known}`"));
        }
    }
    println!("{} command lines compared", CASES.len());
    assert!(complaints.is_empty(), "{} differ:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn no_option_is_forgotten() {
    if Server::missing() {
        return;
    }
    let help = Command::new("clamdscan").arg("--help").output().expect("it is there");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let words = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let names: Vec<&str> = words.filter_map(|word| word.split([' ', '=']).next()).collect();
    assert!(names.len() > 15, "only {} options in the help", names.len());
    let in_cases = |name: &str| CASES.iter().any(|(line, _)| line.contains(&format!("--{name}")));
    // Every case has the name of a configuration.
    let tried = |name: &&&str| **name == "config-file" || in_cases(name);
    let missing: Vec<_> = names.iter().filter(|name| !tried(name)).collect();
    assert!(missing.is_empty(), "options without a case: {missing:?}");
}

fn difference(theirs: &Said, ours: &Said) -> String {
    let mut text = format!("  codes {:?} and {:?}\n", theirs.code, ours.code);
    for (theirs, ours) in [
        (&theirs.stdout, &ours.stdout),
        (&theirs.stderr, &ours.stderr),
        (&theirs.files, &ours.files),
    ] {
        if theirs != ours {
            text.push_str(&format!("  theirs {theirs:#?}\n  ours   {ours:#?}\n"));
        }
    }
    text
}

/// What one of them said and did.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    stdout: Vec<String>,
    stderr: Vec<String>,
    files: Vec<String>,
    code: Option<i32>,
}

/// Where cases run, one after another, each in a folder that is as if it were new.
struct Folder {
    outer: tempfile::TempDir,
    ours: PathBuf,
}

impl Folder {
    fn new(server: &Server) -> Self {
        let outer = tempfile::tempdir().expect("a folder can be made");
        let ours = outer.path().join("clamdscan");
        symlink(env!("CARGO_BIN_EXE_holdfast"), &ours).expect("a link can be made");
        let at = |name: &str| outer.path().join(name);
        let socket = server.socket.display();
        let write =
            |name: &str, text: String| fs::write(at(name), text).expect("it can be written");
        write("c", format!("LocalSocket {socket}\nExcludePath /excluded\n"));
        write(
            "follow",
            format!("LocalSocket {socket}\nFollowFileSymlinks yes\nFollowDirectorySymlinks 1\n"),
        );
        write("shallow", format!("LocalSocket {socket}\nMaxDirectoryRecursion 1\n"));
        write("bad", format!("LocalSocket {socket}\nBogus x\n"));
        write("valueless", "LocalSocket\n".to_owned());
        write("example", "Example\n".to_owned());
        write("word", format!("LocalSocket {socket}\nTCPSocket word\n"));
        write("down", "LocalSocket absent/socket\n".to_owned());
        write("none", "# nothing\n".to_owned());
        Self { outer, ours }
    }

    fn run(&self, program: &Path, line: &str, input: &str) -> Said {
        let root = self.outer.path().join("w");
        if root.exists() {
            fs::remove_dir_all(&root).expect("what was made can be removed");
        }
        fill(&root);
        let output = self.output(program, line, input, &root);
        let lines = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(&root.display().to_string(), "@");
            let mut lines: Vec<String> =
                text.lines().filter(|line| !line.starts_with("LibClamAV")).map(plain).collect();
            if lines.iter().any(|line| line.contains("Daemon Client")) {
                lines.truncate(2);
            }
            lines.sort();
            lines
        };
        Said {
            stdout: lines(&output.stdout),
            stderr: lines(&output.stderr),
            files: files(&root),
            code: output.status.code(),
        }
    }

    fn output(&self, program: &Path, line: &str, input: &str, root: &Path) -> Output {
        // A line with a configuration of its own begins with its name and a colon.
        let (config, line) = line.split_once("! ").unwrap_or(("c", line));
        let mut child = Command::new(program)
            .arg("--config-file")
            .arg(self.outer.path().join(config))
            .args(line.split_whitespace())
            .current_dir(root)
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("both programs can be started");
        let mut to = child.stdin.take().expect("it is piped");
        // A program that reads no input may be gone already.
        let _ = to.write_all(input.as_bytes());
        drop(to);
        child.wait_with_output().expect("it ends")
    }
}

fn fill(root: &Path) {
    for name in ["tree/sub/deep", "empty", "vault", "taken", "excluded"] {
        fs::create_dir_all(root.join(name)).expect("a folder can be made");
    }
    let marked = "here is some marked byte";
    for (name, text) in [
        ("tree/marked.txt", marked),
        ("tree/clean.txt", "nothing to see"),
        ("tree/empty", ""),
        ("tree/a: b", marked),
        ("tree/sub/marked.txt", marked),
        ("tree/sub/deep/clean.log", "nothing at all to see"),
        ("tree/sub/deep/marked.log", marked),
        ("taken/marked.txt", "another file of this name"),
        ("excluded/marked.txt", marked),
        ("-dash", "nothing to see"),
        ("list", "tree/marked.txt\ntree/clean.txt\n"),
        ("list-absent", "tree/absent\ntree/clean.txt\n"),
    ] {
        fs::write(root.join(name), text).expect("a file can be written");
    }
    for (target, name) in [
        ("tree/marked.txt", "link"),
        ("tree/sub", "dir-link"),
        ("nowhere", "dangling"),
        ("../marked.txt", "tree/sub/file-link"),
    ] {
        symlink(target, root.join(name)).expect("a link can be made");
    }
    let owner = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), owner).expect("a pipe can be made");
}

/// Takes out times.
fn plain(line: &str) -> String {
    let labels = ["Time: ", "Start Date: ", "End Date:   "];
    match labels.iter().find(|label| line.starts_with(*label)) {
        Some(label) => (*label).to_owned(),
        None => line.to_owned(),
    }
}

/// Names of all files with the beginning of their contents.
fn files(root: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("it has a type"));
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let text = text.replace(&root.display().to_string(), "@");
                let mut lines: Vec<String> = text.lines().map(plain).collect();
                lines.sort();
                found.insert(format!("{name}: {}", lines.join("|")));
            } else {
                found.insert(name);
            }
        }
    }
    found.into_iter().collect()
}
