//! What an attacker, a full disk or a broken machine may do to the program: each ends in the right code,
//! in bounded time, with the reason told, and never as clean.
//!
//! Leaves out: the worker's confinement (`hf-worker/tests/sandbox/`), the cache by itself
//! (`hf-content/tests/store.rs`).

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MARK: &str = "a marked byte";

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a folder can be made") };
        bench.write("rules.ndb", "Test.Marked:0:*:6d61726b65642062797465\n");
        bench.write("marked.txt", MARK);
        bench.write("clean.txt", "nothing to see");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("a file can be written");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(args).current_dir(&self.folder).env("HOLDFAST_CACHE", self.path("cache"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command; its code, standard output and standard error together.
    #[track_caller]
    fn check(&self, args: &[&str], code: i32, texts: &[&str]) -> String {
        checked(&self.command(args).output().expect("the program runs"), code, texts)
    }

    /// Runs the program below a shell that sets a bound first.
    #[track_caller]
    fn check_bounded(&self, bound: &str, args: &[&str], code: i32, texts: &[&str]) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{bound}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_holdfast")).args(args).current_dir(&self.folder);
        checked(&command.output().expect("the shell runs"), code, texts);
    }
}

#[track_caller]
fn checked(output: &Output, code: i32, texts: &[&str]) -> String {
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    for text in texts {
        assert!(said.contains(text), "no `{text}` in: {said}");
    }
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    said
}

#[test]
fn malformed_yara_rules_refuse_their_content() {
    let bench = Bench::new();
    bench.write("bad.yar", "rule good { condition: true }\nrule bad { condition: foo }\n");
    bench.write("include.yar", "include \"/etc/passwd\"\nrule a { condition: true }\n");
    let scan = ["scan", "clean.txt", "-d"];
    let with = |more: &[&'static str]| [&scan, more].concat();
    bench.check(&with(&["bad.yar"]), 2, &["bad.yar:2", "`foo`", "--keep-going"]);
    bench.check(&with(&["bad.yar", "--keep-going"]), 1, &["warning: bad.yar", "YARA.good"]);
    bench.check(&with(&["bad.yar", "--keep-going", "--yara", "no", "--with-builtin"]), 0, &[]);
    bench.check(&with(&["include.yar"]), 2, &["include"]);
    bench.check(&["inspect", "clean.txt", "-d", "bad.yar"], 2, &["`foo`"]);
}

#[test]
fn towers_of_brackets_end_no_program() {
    let bench = Bench::new();
    let (open, close) = ("(".repeat(100_000), ")".repeat(100_000));
    bench.write("tower.yar", format!("rule a {{ condition: {open}true{close} }}"));
    bench.write("nots.yar", format!("rule a {{ condition: {}true }}", "not ".repeat(100_000)));
    for name in ["tower.yar", "nots.yar"] {
        bench.check(&["scan", "clean.txt", "-d", name], 2, &["nest too deep"]);
        bench.check(&["content", "lint", name], 2, &["nest too deep"]);
    }
}

#[test]
fn databases_that_are_no_files_end_the_run_at_once() {
    let bench = Bench::new();
    for name in ["zero.ndb", "zero.cvd", "zero.ign2"] {
        fs::create_dir(bench.path("folder")).expect("it can be made");
        bench.write("folder/good.ndb", "Test.Marked:0:*:6d61726b65642062797465\n");
        let link = bench.path("folder").join(name);
        std::os::unix::fs::symlink("/dev/zero", link).expect("it can be made");
        let want = ["neither a file nor a directory"];
        bench.check(&["scan", "-d", "folder", "clean.txt"], 2, &want);
        fs::remove_dir_all(bench.path("folder")).expect("it can be removed");
    }
}

#[test]
fn content_that_can_find_nothing_is_refused() {
    let bench = Bench::new();
    bench.write("empty.yar", "// no rule\n");
    bench.check(&["scan", "-d", "marked.txt", "clean.txt"], 2, &["no signature"]);
    bench.check(&["scan", "-d", "empty.yar", "clean.txt"], 2, &["no signature"]);
    bench.check(&["scan", "--yara", "only", "clean.txt"], 2, &["no signature"]);
}

#[test]
fn what_cannot_be_told_is_not_clean() {
    let bench = Bench::new();
    for args in [&["scan", "clean.txt"][..], &["scan", "--json", "clean.txt"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        let output = bench.command(args).stdout(full).output().expect("the program runs");
        checked(&output, 2, &["cannot write to standard output: No space left"]);
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        drop(reader);
        let output = bench.command(args).stdout(writer).output().expect("the program runs");
        assert_eq!(checked(&output, 2, &[]), "");
    }
}

#[test]
fn names_do_not_steer_the_terminal() {
    let bench = Bench::new();
    let names: [&[u8]; 5] = [
        b"\x1b[2J.txt",
        b"\xff\xfe.txt",
        b"new\nline",
        b"\xc2\x9b31m",
        b"\xe2\x80\xae\xe2\x80\xa8",
    ];
    fs::create_dir(bench.path("names")).expect("it can be made");
    for name in names {
        let path = bench.path("names").join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, MARK).expect("a file can be written");
    }
    let said = bench.check(&["scan", "-d", "rules.ndb", "names"], 1, &["\\u{1b}[2J.txt"]);
    assert_eq!(said.matches("detected    names/").count(), names.len(), "{said}");
    assert!(!said.contains(['\u{202e}', '\u{2028}']), "{said}");
    bench.write("\u{1b}[31m.ndb", "Test\u{1b}[31m:0:zz\n");
    bench.check(&["scan", "-d", "\u{1b}[31m.ndb", "clean.txt"], 2, &["\\u{1b}[31m.ndb"]);
    bench.check(&["scan", "-d", "\u{1b}absent.ndb", "clean.txt"], 2, &["\\u{1b}absent.ndb"]);
}

#[test]
fn few_descriptors_are_slower_and_enough() {
    let bench = Bench::new();
    fs::create_dir(bench.path("many")).expect("it can be made");
    for nth in 0..200 {
        bench.write(&format!("many/{nth}"), "nothing to see");
    }
    bench.write("many/marked", MARK);
    let scan = ["scan", "-v", "-t", "16", "-d", "rules.ndb", "many"];
    bench.check_bounded(
        "ulimit -n 32",
        &scan,
        1,
        &["workers instead of 16", "200 clean, 1 detected"],
    );
    bench.check_bounded("ulimit -n 8", &scan, 2, &["cannot start a worker"]);
    bench.check_bounded("unset HOME; ulimit -v 1000000", &scan, 1, &["200 clean, 1 detected"]);
}

#[test]
fn a_slow_file_does_not_pile_up_those_behind_it() {
    let bench = Bench::new();
    fs::create_dir(bench.path("many")).expect("it can be made");
    for nth in 0..600 {
        bench.write(&format!("many/{nth}"), "nothing to see");
    }
    bench.write("slow.txt", "slow, and then found");
    let slow = "rule slow { condition: filesize == 20 and for all i in (0..4000000) : (i >= 0) }";
    bench.write("slow.yar", slow);
    let scan = ["scan", "-t", "2", "-d", "slow.yar", "slow.txt", "many"];
    bench.check_bounded("ulimit -n 100", &scan, 1, &["600 clean, 1 detected", "0 errors"]);
}

#[test]
fn folders_within_folders_end_somewhere() {
    let bench = Bench::new();
    let top = bench.path("deep");
    fs::create_dir(&top).expect("it can be made");
    // Built from the inside out, because no path is as long as this tree is deep.
    for _ in 0..60 {
        let mut chain = bench.path("chain");
        for _ in 0..100 {
            chain.push("d");
        }
        fs::create_dir_all(&chain).expect("it can be made");
        fs::write(chain.join("marked"), MARK).expect("a file can be written");
        fs::rename(&top, chain.join("d")).expect("it can be moved");
        fs::rename(bench.path("chain"), &top).expect("it can be moved");
    }
    let scan = |depth| ["scan", "-d", "rules.ndb", "--max-dir-depth", depth, "deep"];
    bench.check(&scan("9999999"), 1, &["60 detected, 0 incomplete, 0 errors"]);
    bench.check(&scan("250"), 1, &["2 detected, 0 incomplete, 1 errors", "deeper than"]);
    bench.check_bounded("ulimit -n 400", &scan("9999"), 1, &["error ", "Too many open files"]);
}

/// A PDF whose one stream grows to 64 times its size with each of eight filters.
fn tower_of_filters() -> Vec<u8> {
    let filters = "/RunLengthDecode ".repeat(8);
    let mut pdf = format!("%PDF-1.4\n1 0 obj\n<</Filter[{filters}]/Length 100000>>stream\n");
    let mut pdf = std::mem::take(&mut pdf).into_bytes();
    pdf.extend([0x81; 100_000]);
    pdf.extend(b"\nendstream\nendobj\n");
    pdf
}

#[test]
fn filters_on_filters_stay_within_memory() {
    let bench = Bench::new();
    bench.write("tower.pdf", tower_of_filters());
    let want = ["tower.pdf > obj-1-0: would need too much memory"];
    bench.check(&["scan", "-t", "1", "tower.pdf"], 3, &want);
}

#[test]
fn an_expression_that_is_given_up_is_told() {
    let bench = Bench::new();
    bench.write("slow.ldb", "Test.Slow;Engine:81-255,Target:0;1;61616161;0/(a+)+\\1?!!?(?=b)/\n");
    bench.write("slow.txt", [&[b'a'; 4000][..], b"!"].concat());
    let told = "slow.txt: limit of the format reached: steps of a regular expression";
    bench.check(&["scan", "-d", "slow.ldb", "slow.txt"], 3, &[told]);
}

#[test]
fn pipes_and_devices_hold_nothing_up() {
    let bench = Bench::new();
    fs::create_dir(bench.path("odd")).expect("it can be made");
    let pipe = bench.path("odd/pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe can be made");
    std::os::unix::net::UnixListener::bind(bench.path("odd/socket")).expect("it can be made");
    std::os::unix::fs::symlink(".", bench.path("odd/loop")).expect("it can be made");
    std::os::unix::fs::symlink("/dev/zero", bench.path("odd/zero")).expect("it can be made");
    let scan = ["scan", "--follow-links", "always", "odd", "odd/pipe", "/dev/zero"];
    bench.check(&scan, 0, &["skipped     odd/pipe: not a regular file", "6 not scanned"]);
    bench.check(&["inspect", "odd/pipe", "marked.txt"], 2, &["not a regular file", "marked.txt: "]);
}

#[test]
fn the_worst_that_happened_is_the_exit_code() {
    let bench = Bench::new();
    let incomplete = ["clean.txt", "--max-object-size", "13"];
    let scan = |more: &[&'static str]| [&["scan", "-d", "rules.ndb"], &incomplete, more].concat();
    bench.check(&scan(&[]), 3, &["1 incomplete"]);
    bench.check(&scan(&["absent"]), 2, &["1 incomplete, 1 errors"]);
    bench.write("small.ndb", "Test.Small:0:*:31323334\n");
    bench.write("small.txt", "1234");
    let with = ["absent", "-d", "small.ndb", "small.txt"];
    bench.check(&scan(&with), 1, &["1 detected, 1 incomplete, 1 errors"]);
}

#[test]
fn endless_input_is_read_to_the_limit() {
    let bench = Bench::new();
    let mut child = bench
        .command(&["scan", "-d", "rules.ndb", "--max-object-size", "1M", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("it is piped");
    // Ends only because the program reads no further.
    while input.write_all(&[b'a'; 4096]).is_ok() {}
    let output = child.wait_with_output().expect("it ends");
    checked(&output, 3, &["incomplete  stdin: larger than the object size limit"]);
}

#[test]
fn an_altered_cache_never_alters_a_verdict() {
    let bench = Bench::new();
    let scan = ["scan", "--no-summary", "-t", "1", "-d", "rules.ndb", "marked.txt"];
    let want = bench.check(&scan, 1, &["marked.txt: Test.Marked"]);
    let pack = fs::read_dir(bench.path("cache")).expect("it is there").flatten();
    let pack = pack.map(|entry| entry.path()).find(|path| ends_with(path, ".pack"));
    let pack = pack.expect("there is a pack");
    let good = fs::read(&pack).expect("it can be read");
    // One bit in each of many places, among them every section, the table and the header.
    let step = good.len() / 24;
    for at in (0..good.len()).step_by(step.max(1)) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&pack, bytes).expect("it can be written");
        bench.check(&scan, 1, &[want.trim_end(), "in the cache is not used"]);
        assert_eq!(fs::read(&pack).expect("it can be read"), good, "byte {at}");
    }
    fs::remove_file(&pack).expect("it can be removed");
    fs::create_dir(&pack).expect("it can be made");
    bench.check(&scan, 1, &[want.trim_end(), "packs are not kept"]);
}

fn ends_with(path: &Path, suffix: &str) -> bool {
    path.as_os_str().as_bytes().ends_with(suffix.as_bytes())
}

#[test]
fn many_processes_build_the_same_pack() {
    let bench = Bench::new();
    let scan = ["scan", "--no-summary", "-t", "1", "-d", "rules.ndb", "marked.txt"];
    let start = |_| {
        let mut command = bench.command(&scan);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    let all: Vec<_> = (0..8).map(start).collect();
    for child in all {
        let said = checked(&child.wait_with_output().expect("it ends"), 1, &["Test.Marked"]);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(fs::read_dir(bench.path("cache")).expect("it is there").count(), 2);
}
