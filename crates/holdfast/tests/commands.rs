//! Commands end to end: closed pipes, errors that are never hidden, what is not run, and `status`.
//!
//! Leaves out: what is found (`builtin.rs`, `differential/`), JSON of scans (`json_schema.rs`).

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn holdfast(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(args).current_dir(folder).env("HOLDFAST_CACHE", folder.join("cache"));
    command
}

fn output(folder: &Path, args: &[&str]) -> Output {
    holdfast(folder, args).output().expect("the program runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("a file can be written");
    };
    write("rules.ndb", "Test.Marked:0:*:6d61726b65642062797465\n");
    write("lists.pdb", "H:example.com\nR:.+:example\\.org\n");
    write("lists.wdb", "M:example.com:example.org\n");
    write("marked.txt", "a marked byte");
    write("clean.txt", "nothing to see");
    folder
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = folder();
    for args in [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["selftest", "--json"],
        &["status"],
        &["content", "list", "-d", "rules.ndb"],
        &["content", "info", "rules.ndb"],
        &["content", "lint", "rules.ndb"],
        &["content", "explain", "rules.ndb"],
        &["inspect", "-d", "rules.ndb", "marked.txt"],
        &["inspect", "--json", "-d", "rules.ndb", "marked.txt"],
        &["scan", "-v", "-d", "rules.ndb", "clean.txt"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        drop(reader);
        let mut child = holdfast(folder.path(), args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut said = String::new();
        let errors = child.stderr.as_mut().expect("it is piped");
        errors.read_to_string(&mut said).expect("it is text");
        let status = child.wait().expect("it ends");
        assert_eq!(said, "", "{args:?}");
        assert!(status.code().is_some_and(|code| code <= 3), "{args:?}: {status}");
    }
}

#[test]
fn errors_are_told_even_among_findings_only() {
    let folder = folder();
    let output = output(folder.path(), &["scan", "-i", "-d", "rules.ndb", "clean.txt", "absent"]);
    let said = text(&output);
    assert!(said.contains("error       absent: no such file or directory"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn inspect_honours_the_memory_of_workers_and_offers_no_threads() {
    let folder = folder();
    fs::write(folder.path().join("large.html"), vec![b'<'; 12 << 20]).expect("it can be written");
    let small = ["inspect", "--worker-memory", "1M", "-d", "rules.ndb", "large.html"];
    let output_small = output(folder.path(), &small);
    assert_eq!(output_small.status.code(), Some(2), "{}", text(&output_small));
    assert!(text(&output_small).contains("memory"), "{}", text(&output_small));
    let refused = output(folder.path(), &["inspect", "--threads", "2", "clean.txt"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unexpected argument"));
}

#[test]
fn inspect_says_what_no_format_opens() {
    let folder = folder();
    fs::write(folder.path().join("a.ogg"), b"OggS\0\x02 and what follows")
        .expect("it can be written");
    let said = text(&output(folder.path(), &["inspect", "-d", "rules.ndb", "a.ogg", "clean.txt"]));
    let raw: Vec<&str> = said.lines().filter(|line| line.contains(", raw only]")).collect();
    assert_eq!(raw.len(), 1, "{said}");
    assert!(raw[0].starts_with("[IGNORED, "), "{said}");
    let json = output(folder.path(), &["inspect", "--json", "-d", "rules.ndb", "a.ogg"]);
    let line: Value = serde_json::from_slice(&json.stdout).expect("one JSON object");
    assert_eq!(line["objects"][0]["raw_only"], true, "{line}");
}

#[test]
fn status_tells_the_protections_of_a_real_worker() {
    let folder = folder();
    let said = output(folder.path(), &["status", "--json"]);
    let line: Value = serde_json::from_slice(&said.stdout).expect("one JSON object");
    let rows = line["protections"].as_array().expect("a list");
    let active =
        |name: &str| rows.iter().find(|row| row["name"] == name).map(|row| row["active"] == true);
    assert_eq!(active("seccomp"), Some(true), "{line}");
    assert!(active("Landlock").is_some() && active("namespaces").is_some(), "{line}");
    assert!(line["kernel"].as_str().is_some_and(|kernel| kernel.contains('.')), "{line}");
    assert_eq!(line["limits"]["worker_memory"], 2_u64 << 30);
    let all = rows.iter().all(|row| row["active"] == true);
    assert_eq!(said.status.code(), Some(if all { 0 } else { 3 }));
    let words = text(&output(folder.path(), &["status"]));
    for row in rows {
        let name = row["name"].as_str().expect("a name");
        assert!(words.lines().any(|line| line.starts_with(name)), "{name} is missing: {words}");
    }
}

#[test]
fn detached_signatures_are_reported() {
    let folder = folder();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hf-sig/tests/fixtures/sign");
    let db = folder.path().join("db");
    let certs = folder.path().join("certs");
    fs::create_dir(&db).expect("a folder can be made");
    fs::create_dir(&certs).expect("a folder can be made");
    let copy = |from: &str, to: &Path| {
        fs::copy(fixtures.join(from), to).expect("a fixture can be copied");
    };
    copy("t.cvd", &db.join("t.cvd"));
    copy("t-7.cvd.sign", &db.join("t-7.cvd.sign"));
    copy("root.pem", &certs.join("root.pem"));
    // Its list of members is signed with a test key. So the refusal tells how far the proof went.
    let header = "the signature in the header is not valid";
    let list = "the signature of the list of members is not valid";
    let said = |args: &[&str], env: Option<&Path>| {
        let mut command = holdfast(folder.path(), args);
        command.env_remove("CVD_CERTS_DIR");
        if let Some(path) = env {
            command.env("CVD_CERTS_DIR", path);
        }
        let output = command.output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        text(&output) + &String::from_utf8_lossy(&output.stderr)
    };
    let scan = ["scan", "-d", "db", "clean.txt"];
    assert!(said(&scan, None).contains(header));
    assert!(said(&scan, Some(&certs)).contains(list));
    let given = ["scan", "--certificates", "certs", "-d", "db", "clean.txt"];
    assert!(said(&given, None).contains(list));
    assert!(said(&["content", "info", "--certificates", "certs", "db/t.cvd"], None).contains(list));
    let absent = said(&scan, Some(Path::new("absent")));
    assert!(absent.contains(header), "{absent}");
    let link = folder.path().join("clamscan");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), &link).expect("a link can be made");
    let output = Command::new(&link)
        .args(["--cvdcertsdir=certs", "-d", "db", "clean.txt"])
        .current_dir(folder.path())
        .env("HOLDFAST_CACHE", folder.path().join("cache"))
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(list));
}

#[test]
fn the_manual_has_every_option_and_a_page_for_every_command() {
    let folder = folder();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual.md");
    let page = fs::read_to_string(page).expect("docs/manual.md is there");
    let help = text(&output(folder.path(), &["scan", "--help"]));
    let names = help.lines().filter_map(|line| {
        let (_, rest) = line.trim_start().split_at_checked(line.trim_start().find("--")?)?;
        line.trim_start().starts_with('-').then(|| rest.split([' ', ',']).next())?
    });
    let told =
        |name: &str| ["`", " "].iter().any(|behind| page.contains(&format!("`{name}{behind}")));
    let missing: Vec<_> = names.filter(|name| *name != "--help" && !told(name)).collect();
    assert!(missing.is_empty(), "not in docs/manual.md: {missing:?}");
    assert!(output(folder.path(), &["manual", "."]).status.success());
    for command in ["scan", "inspect", "content", "content-info", "status", "selftest"] {
        assert!(folder.path().join(format!("holdfast-{command}.1")).is_file(), "{command}");
    }
}

#[test]
fn manual_pages_go_into_a_new_folder() {
    let folder = folder();
    let output = output(folder.path(), &["manual", "new/man"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.path().join("new/man/holdfast-scan.1").is_file());
}

#[test]
fn a_finding_is_told_once_for_a_place() {
    let folder = folder();
    let output = output(folder.path(), &["scan", "-z", "-d", "rules.ndb", "marked.txt"]);
    assert_eq!(text(&output).matches("Test.Marked").count(), 1, "{}", text(&output));
}
