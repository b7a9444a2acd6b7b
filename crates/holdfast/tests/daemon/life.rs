//! Reloads, killed workers, signals, files, the background.

#![expect(clippy::unwrap_used, reason = "a helper that cannot set a test up is to fail it")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::lab::{Daemon, Lab, eicar};

const FOUND: &str = "stream: Test.Eicar.UNOFFICIAL FOUND\n";

fn signal(daemon: &Daemon, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(daemon.child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[track_caller]
fn until(what: &str, mut true_at_last: impl FnMut() -> bool) {
    let by = Instant::now() + Duration::from_secs(30);
    while !true_at_last() {
        assert!(Instant::now() < by, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn children(daemon: &Daemon) -> Vec<i32> {
    let pid = daemon.child.id();
    let mut all = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|word| word.parse::<i32>().ok()));
    }
    all
}

fn text(reply: Vec<u8>) -> String {
    String::from_utf8(reply).unwrap()
}

#[test]
fn a_reload_under_load_fails_nothing() {
    let lab = Lab::new();
    let daemon = lab.ours("DisableCache yes\n");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !stop.load(Ordering::SeqCst) {
                        assert_eq!(text(daemon.stream(&eicar())), FOUND);
                        assert_eq!(text(daemon.stream(b"harmless")), "stream: OK\n");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for round in 0..5 {
            let name = format!("New.Round{round}");
            let line = format!("{name}:0:*:{}\n", hex(format!("round {round}").as_bytes()));
            fs::write(lab.path(&format!("db/round{round}.ndb")), line).unwrap();
            assert_eq!(daemon.ask(b"nRELOAD\n"), b"RELOADING\n");
            let object = format!("this is round {round}");
            let want = format!("stream: {name}.UNOFFICIAL FOUND\n");
            until(&name, || text(daemon.stream(object.as_bytes())) == want);
        }
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
    });
    let alive: BTreeSet<i32> = children(&daemon).into_iter().collect();
    let cores = std::thread::available_parallelism().unwrap().get();
    until("old workers end", || children(&daemon).len() <= cores);
    assert!(!alive.is_empty());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bad_content_leaves_the_last_good_one() {
    let lab = Lab::new();
    let daemon = lab.ours("SelfCheck 1\n");
    fs::write(lab.path("db/bad.ndb"), "this is no signature\n").unwrap();
    until("the self-check says so", || daemon.log().contains("last good one stays in use"));
    assert_eq!(text(daemon.stream(&eicar())), FOUND);
    assert_eq!(daemon.ask(b"nSELFCHECK\n"), b"DBUPTODATE\n");
    fs::remove_file(lab.path("db/bad.ndb")).unwrap();
    fs::write(lab.path("db/good.ndb"), "Good.One:0:*:676f6f64206f6e65\n").unwrap();
    let want = "stream: Good.One.UNOFFICIAL FOUND\n";
    until("the next good one is taken", || text(daemon.stream(b"a good one")) == want);
}

#[test]
fn killed_workers_are_replaced() {
    let lab = Lab::new();
    let daemon = lab.ours("DisableCache yes\n");
    for _ in 0..5 {
        assert_eq!(text(daemon.stream(&eicar())), FOUND);
        for pid in children(&daemon) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
    assert_eq!(text(daemon.stream(&eicar())), FOUND);
}

#[test]
fn signals_and_files() {
    let lab = Lab::new();
    let pid_file = lab.path("pid");
    let mut daemon =
        lab.ours(&format!("PidFile {}\nLogTime yes\nLogClean yes\n", pid_file.display()));
    let pid = fs::read_to_string(&pid_file).unwrap();
    assert_eq!(pid.trim(), daemon.child.id().to_string());
    fs::rename(&daemon.log, lab.path("old.log")).unwrap();
    signal(&daemon, Signal::HUP);
    until("a new log", || daemon.log.exists());
    assert_eq!(text(daemon.stream(b"clean")), "stream: OK\n");
    until("it is written to", || daemon.log().contains(" -> instream(local): OK\n"));
    fs::write(lab.path("db/new.ndb"), "New.Sig:0:*:6e657720736967\n").unwrap();
    signal(&daemon, Signal::USR2);
    let want = "stream: New.Sig.UNOFFICIAL FOUND\n";
    until("a reload", || text(daemon.stream(b"the new sig")) == want);
    signal(&daemon, Signal::TERM);
    let status = daemon.child.wait().unwrap();
    assert!(status.success());
    assert!(!daemon.socket.exists() && !pid_file.exists());
    assert!(daemon.log().contains("--- Stopped at "), "{}", daemon.log());
}

#[test]
fn shutdown_by_command() {
    let lab = Lab::new();
    let mut daemon =
        lab.ours("EnableReloadCommand no\nEnableVersionCommand no\nEnableStatsCommand no\n");
    for command in [&b"nRELOAD\n"[..], b"nVERSION\n", b"nVERSIONCOMMANDS\n", b"nSTATS\n"] {
        assert_eq!(daemon.ask(command), b"COMMAND UNAVAILABLE\n");
    }
    assert_eq!(daemon.ask(b"nSHUTDOWN\n"), b"");
    assert!(daemon.child.wait().unwrap().success());
}

#[test]
fn in_the_background() {
    let lab = Lab::new();
    let (socket, pid_file) = (lab.path("bg.sock"), lab.path("bg.pid"));
    let conf = format!(
        "LocalSocket {}\nDatabaseDirectory {}\nPidFile {}\n",
        socket.display(),
        lab.path("db").display(),
        pid_file.display()
    );
    fs::write(lab.path("bg.conf"), conf).unwrap();
    let start = |lab: &Lab| {
        Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .arg0("clamd")
            .arg("-c")
            .arg(lab.path("bg.conf"))
            .env("HOLDFAST_CACHE", lab.path("cache"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let first = start(&lab);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    // It answers as soon as who started it is told so.
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    std::io::Write::write_all(&mut stream, b"nPING\n").unwrap();
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut stream, &mut reply).unwrap();
    assert_eq!(reply, "PONG\n");
    let second = start(&lab);
    assert!(!second.status.success());
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(told.contains("in use by another process"), "{told}");
    let pid = fs::read_to_string(&pid_file).unwrap().trim().parse::<i32>().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    until("it ends", || !socket.exists());
}

#[test]
fn wrong_configurations_are_refused() {
    let lab = Lab::new();
    let cases = [
        ("Bogus x\n", "Unknown option Bogus"),
        ("ScanPE maybe\n", "Incorrect argument format for option ScanPE"),
        ("# nothing\n", "Please define server type (local and/or TCP)."),
        ("LocalSocket /tmp/x\nUser nosuchuser\n", "nosuchuser"),
    ];
    for (text, want) in cases {
        let conf = lab.path("wrong.conf");
        fs::write(&conf, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .arg0("clamd")
            .arg("-F")
            .arg("-c")
            .arg(conf)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(want), "{text}: {told}");
    }
}
