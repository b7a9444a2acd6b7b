//! What the daemon tells to whoever listens: a file of JSON lines, syslog's and the journal's formats.

#![expect(clippy::unwrap_used, reason = "a helper that cannot set a test up is to fail it")]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lab::{Daemon, Lab, eicar};

/// Starts the daemon with a configuration of these lines more, and with these in its section of clamd.
pub(crate) fn start(lab: &Lab, more: &str, clamd: &str) -> Daemon {
    let socket = lab.path("d.sock");
    let text = format!(
        "[service]\nforeground = true\nworkers = 1\n[clamd]\nlocal-socket = {socket:?}\n{clamd}\
         [content]\ndatabases = [{:?}]\n[log]\nfile = {:?}\n{more}",
        lab.path("db"),
        lab.path("d.log"),
    );
    let config = lab.path("holdfast.toml");
    fs::write(&config, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["daemon", "--config"])
        .arg(config)
        .env("HOLDFAST_CACHE", lab.path("cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = Daemon { child, socket, log: lab.path("d.log") };
    daemon.wait();
    daemon
}

/// Waits for an event of this name, and returns all of them.
#[track_caller]
fn told(lab: &Lab, word: &str) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(lab.path("events.json")).unwrap_or_default();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<Value> = events.filter(|one| one["event"]["action"] == word).collect();
        if !found.is_empty() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "no {word}: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Returns the workers of a daemon.
fn workers(daemon: &Daemon) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.child.id())).unwrap().flatten();
    let texts = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let text: String = texts.map(Result::unwrap_or_default).collect();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn its_life_is_told() {
    let lab = Lab::new();
    let events = format!("[events]\njson = {:?}\n", lab.path("events.json"));
    let limits = "[scan]\nmax-scan-bytes = 1000\n";
    let mut daemon = start(&lab, &format!("{limits}{events}"), "");
    let on = told(&lab, "protection-changed");
    assert_eq!(on[0]["holdfast"]["protection"]["on"], true);
    assert_eq!(told(&lab, "content-loaded")[0]["holdfast"]["signatures"], 2);

    assert!(daemon.stream(&eicar()).ends_with(b"FOUND\n"));
    assert_eq!(told(&lab, "finding")[0]["rule"]["name"], "Test.Eicar.UNOFFICIAL");

    // A worker that somebody kills over an object, as often as it is tried again.
    let begun = Instant::now();
    let mut round = 0;
    while told_now(&lab, "worker-died") == 0 {
        round += 1;
        assert!(begun.elapsed() < Duration::from_secs(40), "no death");
        let pids = workers(&daemon);
        pids.iter().for_each(|pid| signal(*pid, Signal::STOP));
        let mut peer = daemon.connect();
        // Another one each time: what is known is not scanned.
        let object = crate::lab::chunk(format!("harmless {round}").as_bytes());
        peer.send(&[b"nINSTREAM\n", &object[..], &[0; 4]].concat());
        std::thread::sleep(Duration::from_millis(50));
        pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
        assert_eq!(peer.rest(), b"stream: OK\n");
    }
    let died = told(&lab, "worker-died");
    assert!(died[0]["holdfast"]["reason"].as_str().unwrap().contains("SIGKILL"), "{died:?}");

    // What is not wholly looked at is told, in bounds.
    for number in 0..30 {
        let large = format!("{number}").repeat(3000);
        daemon.stream(large.as_bytes());
    }
    let not = told(&lab, "not-scanned");
    assert!((1..=20).contains(&not.len()), "{}", not.len());
    assert_eq!(not[0]["holdfast"]["verdict"], "incomplete");
    assert!(!not[0]["holdfast"]["reason"].as_str().unwrap().is_empty(), "{not:?}");

    fs::write(lab.path("db/bad.ndb"), "this is no signature\n").unwrap();
    daemon.ask(b"nRELOAD\n");
    let refused = told(&lab, "content-refused");
    assert!(refused[0]["holdfast"]["reason"].as_str().unwrap().contains("bad.ndb"), "{refused:?}");

    signal(daemon.child.id(), Signal::TERM);
    daemon.child.wait().unwrap();
    let all = told(&lab, "protection-changed");
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[1]["holdfast"]["protection"]["on"], false);
}

fn told_now(lab: &Lab, word: &str) -> usize {
    let text = fs::read_to_string(lab.path("events.json")).unwrap_or_default();
    text.matches(&format!("\"action\":\"{word}\"")).count()
}

#[test]
fn a_listener_of_syslog_hears_it() {
    let lab = Lab::new();
    let socket = lab.path("log");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let daemon = start(&lab, &format!("[events.syslog]\nsocket = {socket:?}\n"), "");
    assert!(daemon.stream(&eicar()).ends_with(b"FOUND\n"));
    let mut heard = String::new();
    let mut buffer = [0u8; 65_536];
    while !heard.contains("detected Test.Eicar") {
        let len = listener.recv(&mut buffer).unwrap();
        heard.push_str(&String::from_utf8_lossy(&buffer[..len]));
        heard.push('\n');
    }
    // Facility `daemon`, critical.
    assert!(heard.contains("<26>"), "{heard}");
    assert!(heard.contains("protection daemon is on"), "{heard}");
}
