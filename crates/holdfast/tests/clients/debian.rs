//! Debian's clamdscan and clamdtop, and ours under clamdscan's name, which must say the same.

use std::collections::BTreeSet;
use std::process::Command;

use crate::server::{NAME, Server, missing};

const MODES: &[&[&str]] = &[
    &[],
    &["--fdpass"],
    &["--stream"],
    &["--multiscan"],
    &["--allmatch"],
    &["--multiscan", "--fdpass"],
    &["--multiscan", "--stream"],
    &["--allmatch", "--fdpass"],
];

#[test]
fn clamdscan_in_every_mode() {
    if missing("clamdscan") {
        return;
    }
    let server = Server::start();
    let ours = server.at("clamdscan");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), &ours).expect("it can be made");
    for mode in MODES {
        for (path, code) in [("tree", 1), ("tree/good", 0), ("absent", 2)] {
            let said: Vec<Vec<String>> = ["clamdscan".as_ref(), ours.as_path()]
                .iter()
                .map(|program| {
                    let mut client = Command::new(program);
                    client.arg("-c").arg(server.at("clamd.conf")).arg("--no-summary");
                    let said = server.run(client.args(*mode).arg(server.at(path)));
                    said.check(code, &[]);
                    let mut lines: Vec<String> = said.text.lines().map(str::to_owned).collect();
                    lines.sort();
                    lines
                })
                .collect();
            assert_eq!(said[0], said[1], "{mode:?} {path}");
            // With --allmatch a text is told twice: as it is, and normalised.
            let found: BTreeSet<_> =
                said[0].iter().filter(|line| line.ends_with(&format!("{NAME} FOUND"))).collect();
            assert_eq!(found.len(), if path == "tree" { 2 } else { 0 }, "{mode:?} {said:?}");
        }
    }
}

#[test]
fn clamdscan_asks_and_acts() {
    if missing("clamdscan") {
        return;
    }
    let server = Server::start();
    let client = |words: &[&str]| {
        let mut client = Command::new("clamdscan");
        client.arg("-c").arg(server.at("clamd.conf")).args(words);
        server.run(&mut client)
    };
    client(&["--ping", "1"]).check(0, &["PONG"]);
    client(&["--version"]).check(0, &["ClamAV "]);
    client(&["--reload"]).check(0, &[]);
    client(&["--wait", "-p", "3:1", &server.at("tree/good").display().to_string()])
        .check(0, &[": OK", "Infected files: 0"]);
    let vault = server.at("vault");
    std::fs::create_dir(&vault).expect("a folder can be made");
    client(&[
        &format!("--move={}", vault.display()),
        &server.at("tree/sub/bad").display().to_string(),
    ])
    .check(1, &["moved to", "Infected files: 1"]);
    assert!(vault.join("bad").is_file() && !server.at("tree/sub/bad").exists());
}

/// `clamdtop` draws with curses: it is given a terminal, and ended once it has drawn.
#[test]
fn clamdtop_shows_the_daemon() {
    if missing("clamdtop") || missing("python3") {
        return;
    }
    let server = Server::start();
    let script = r#"
import os, pty, select, signal, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.environ["LINES"], os.environ["COLUMNS"] = "30", "120"
    os.execvp("clamdtop", ["clamdtop", "-c", sys.argv[1]])
seen, until = b"", time.monotonic() + 30
while time.monotonic() < until:
    if select.select([fd], [], [], 0.5)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    if b"Primary threads" in seen and b"Queue" in seen:
        break
os.kill(pid, signal.SIGKILL)
sys.stdout.buffer.write(seen)
os.waitpid(pid, 0)
"#;
    let mut python = Command::new("python3");
    let said = server.run(python.args(["-c", script]).arg(server.at("clamd.conf")));
    for text in ["ClamAV 1.4.6", "Primary threads"] {
        assert!(said.text.contains(text), "no `{text}` in {:?}", said.text);
    }
}

/// The Perl module of Debian's `libclamav-client-perl`. Its streams are the command `STREAM`, which clamd has no more.
#[test]
fn perls_clamav_client() {
    let installed = Command::new("perl").args(["-MClamAV::Client", "-e", "1"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "ClamAV::Client is missing, and this is CI");
        println!("skipped: Perl has no ClamAV::Client");
        return;
    }
    let server = Server::start();
    let script = r#"
use ClamAV::Client;
my $client = ClamAV::Client->new(socket_name => $ARGV[0]);
print "ping ", $client->ping, "\n";
print "version ", $client->version, "\n";
my %found = $client->scan_path($ARGV[1]);
print "path $_ $found{$_}\n" for sort keys %found;
%found = $client->scan_path_complete($ARGV[2]);
print "complete ", scalar(keys %found), "\n";
"#;
    let mut perl = Command::new("perl");
    let said = server.run(
        perl.args(["-e", script])
            .arg(&server.socket)
            .arg(server.at("tree/bad"))
            .arg(server.at("tree")),
    );
    said.check(0, &["ping PONG", "version ClamAV ", NAME, "complete 2"]);
}
