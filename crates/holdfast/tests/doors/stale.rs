//! Content that is older than the owner wants is told as an event, and stays in use.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hf_daemon::{Config, Content, ContentSource, Logs, RunSetup};
use hf_worker::WorkerConfig;
use serde_json::Value;

use crate::support::{MARKED, NAME, Source, wait_for};

/// The usual content, as if it had been signed so long ago.
struct Old(Duration);

impl ContentSource for Old {
    fn open(&self) -> Result<Content, String> {
        Ok(Source.open()?.with_newest_built(SystemTime::now().checked_sub(self.0)))
    }

    fn stamp(&self) -> u64 {
        0
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// Runs a daemon over content of this age; returns its events up to its end.
fn events(age: Duration, stale_after_days: u64) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let config = format!(
        "[service]\nforeground = true\nworkers = 1\n[clamd]\nlocal-socket = {:?}\n\
         [content]\nstale-after-days = {stale_after_days}\n[log]\nfile = {:?}\n[events]\njson = {:?}\n",
        at("socket"),
        at("log"),
        at("events.json"),
    );
    let config = Config::parse(Path::new("holdfast.toml"), &config).unwrap();
    let logs = Logs::open(&config.log, false).unwrap();
    let setup = RunSetup {
        config,
        source: Arc::new(Old(age)),
        worker: WorkerConfig {
            program: env!("CARGO_BIN_EXE_holdfast").into(),
            ..WorkerConfig::default()
        },
        version: "test".to_owned(),
        passed: Vec::new(),
        logs,
        ready: Box::new(|| ()),
    };
    let daemon = std::thread::spawn(move || hf_daemon::run(setup));
    let ask = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(at("socket")).ok()?;
        stream.write_all(bytes).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    wait_for("the daemon", || ask(b"nPING\n").filter(|answer| answer == "PONG\n"));
    // However old it is, it finds what it finds.
    let len = u32::try_from(MARKED.len()).unwrap().to_be_bytes();
    let answer = ask(&[b"nINSTREAM\n", &len[..], MARKED, &[0; 4]].concat()).unwrap();
    assert_eq!(answer, format!("stream: {NAME} FOUND\n"));
    ask(b"nSHUTDOWN\n");
    daemon.join().unwrap().unwrap();
    let text = fs::read_to_string(at("events.json")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn old_content_is_told_and_used() {
    for (days, most, told) in [(10, 7, true), (7, 7, false), (1, 7, false), (10, 0, false)] {
        let all = events(DAY * days, most);
        let stale: Vec<&Value> =
            all.iter().filter(|one| one["event"]["action"] == "content-stale").collect();
        assert_eq!(stale.len(), usize::from(told), "{days} {most}: {all:?}");
        for one in stale {
            assert_eq!(
                (&one["holdfast"]["days"], &one["holdfast"]["days_max"]),
                (&10.into(), &7.into())
            );
            let text = one["message"].as_str().unwrap();
            assert!(text.contains("content is 10 days old, more than 7"), "{text}");
        }
    }
}
