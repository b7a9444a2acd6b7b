//! The program itself with a `holdfast.toml`: doors beside the clamd protocol, a reload, and an end in order.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{read_until, wait_for};

struct Program {
    child: Child,
    folder: tempfile::TempDir,
}

impl Program {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("db")).unwrap();
        write_database(folder.path(), "first");
        let config = format!(
            "[content]\ndatabases = [\"@/db\"]\n[service]\nforeground = true\n\
             [clamd]\nlocal-socket = \"@/clamd.sock\"\n[http]\nlisten = [\"unix:@/http.sock\"]\n\
             [icap]\nlisten = [\"unix:@/icap.sock\"]\n[milter]\nlisten = [\"unix:@/milter.sock\"]\n{more}"
        );
        let config = config.replace('@', folder.path().to_str().unwrap());
        fs::write(folder.path().join("holdfast.toml"), config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(["daemon", "--config"])
            .arg(folder.path().join("holdfast.toml"))
            .env("HOLDFAST_CACHE", folder.path().join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn connect(&mut self, name: &str) -> UnixStream {
        let path = self.path(name);
        let stream = wait_for(name, || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(self.path("errors")).unwrap());
            UnixStream::connect(&path).ok()
        });
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    fn scan(&mut self, body: &str) -> String {
        let mut stream = self.connect("http.sock");
        let len = body.len();
        let request = format!(
            "POST /v1/scan HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_database(folder: &Path, word: &str) {
    let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
    fs::write(folder.join("db/t.ndb"), format!("Test.Word:0:*:{hex}2d6d61726b6564\n")).unwrap();
}

#[test]
fn doors_open_reload_and_close() {
    let mut program = Program::start("");
    assert!(program.scan("a first-marked word").contains("\"Test.Word.UNOFFICIAL\""));
    assert!(program.scan("a second-marked word").contains("\"clean\""));
    let mut clamd = program.connect("clamd.sock");
    clamd.write_all(b"zPING\0").unwrap();
    assert_eq!(read_until(&mut clamd, b"\0"), "PONG\0");
    let mut icap = program.connect("icap.sock");
    icap.write_all(b"OPTIONS icap://h/avscan ICAP/1.0\r\n\r\n").unwrap();
    let before = read_until(&mut icap, b"\r\n\r\n");
    // Other content: another verdict, and another tag for proxies' caches, on the same connection.
    write_database(program.folder.path(), "second");
    program.signal("-USR2");
    wait_for("the new content", || {
        program.scan("a second-marked word").contains("Test.Word").then_some(())
    });
    icap.write_all(b"OPTIONS icap://h/avscan ICAP/1.0\r\n\r\n").unwrap();
    let after = read_until(&mut icap, b"\r\n\r\n");
    let tag = |text: &str| text.split("ISTag: ").nth(1).map(|rest| rest[..20].to_owned());
    assert_ne!(tag(&before), tag(&after));
    // What is being answered when the end is asked for is answered.
    let mut slow = program.connect("http.sock");
    let start =
        "POST /v1/scan HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    slow.write_all(start.as_bytes()).unwrap();
    read_until(&mut slow, b"100 Continue\r\n\r\n");
    program.signal("-TERM");
    // Nobody new is let in.
    let path = program.path("http.sock");
    wait_for("closed doors", || UnixStream::connect(&path).is_err().then_some(()));
    slow.write_all(b"clean").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"verdict\":\"clean\""), "{answer}");
    let status = program.child.wait().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(program.path("errors")).unwrap());
    for name in ["http", "icap", "milter", "clamd"] {
        assert!(!program.path(&format!("{name}.sock")).exists(), "{name}");
    }
}

#[test]
fn a_door_that_cannot_be_opened_is_said() {
    for (more, want) in [
        ("block-page = 3\n", "holdfast.toml:"),
        ("allow-list = \"/nonexistent\"\n", "[milter]: /nonexistent: "),
        ("on-infected = \"explode\"\n", "holdfast.toml:"),
    ] {
        let mut program = Program::start(more);
        let status = program.child.wait().unwrap();
        let errors = fs::read_to_string(program.path("errors")).unwrap();
        assert!(!status.success() && errors.contains(want), "{more}: {errors}");
    }
}
