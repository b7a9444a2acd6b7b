//! What arrives at each sink, with names as hostile as they come.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up is to fail")]

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hf_events::hook::Hook;
use hf_events::journal::Journal;
use hf_events::json_lines::JsonLines;
use hf_events::syslog::Syslog;
use hf_events::{
    Event, Events, EventsConfig, HookConfig, Kind, Opener, Outcome, Sink, SyslogConfig,
    SyslogFormat,
};
use serde_json::Value;

/// A name that tries to end the line, forge a field, steer the terminal, run a command and leave its element.
const HOSTILE: &[u8] =
    b"/tmp/a\nPRIORITY=0\nMESSAGE=forged\r\x1b[2J$(touch pwned);`id`\"]\\ \xff<b>&--x {path} %s";

fn finding() -> Event {
    Event::now(
        "scan",
        Kind::Finding {
            path: HOSTILE.to_vec(),
            size: Some(68),
            sha256: Some("ab".repeat(32)),
            name: "Test.Bad\nX=1".to_owned(),
            origin: "t.ndb:1".to_owned(),
            place: vec![b"in\nner".to_vec()],
            opener: Some(Opener { pid: Some(7), uid: Some(12), executable: b"/bin/cat".to_vec() }),
        },
    )
}

fn all() -> Vec<Event> {
    let task = || "daily".to_owned();
    let action = |outcome, action: &str| Kind::Action {
        path: HOSTILE.to_vec(),
        action: action.to_owned(),
        outcome,
        entry: Some("00".to_owned()),
        reason: "why\n".to_owned(),
    };
    let (files, detected, incomplete, errors) = (4, 1, 1, 1);
    let outcome = Outcome::Success;
    let kinds = vec![
        finding().kind,
        action(Outcome::Success, "quarantine"),
        action(Outcome::Failure, "remove"),
        Kind::NotScanned {
            path: HOSTILE.to_vec(),
            size: Some(7),
            verdict: "error",
            reason: "a\nb".to_owned(),
            others: 2,
        },
        Kind::WorkerDied { path: HOSTILE.to_vec(), reason: "why\n".to_owned(), others: 0 },
        Kind::ScanStarted { task: task(), paths: vec![HOSTILE.to_vec()] },
        Kind::ScanPaused { task: task(), paused: true, reason: "battery".to_owned() },
        Kind::ScanEnded { task: task(), files, detected, incomplete, errors, outcome },
        Kind::ContentLoaded { signatures: 9, databases: vec!["daily 7".to_owned()] },
        Kind::ContentRefused { reason: "x\ny".to_owned() },
        Kind::ContentStale { days: 9, days_max: 7 },
        Kind::ProtectionChanged { what: "on-access".to_owned(), on: false, reason: String::new() },
        Kind::Update { from: "mirror".to_owned(), outcome, detail: "v7".to_owned() },
        Kind::Dropped { count: 3 },
    ];
    kinds.into_iter().map(|kind| Event::now("test", kind)).collect()
}

#[test]
fn messages_are_one_harmless_line() {
    let mut words: Vec<&str> = Vec::new();
    for event in all() {
        let message = event.message();
        assert!(!message.chars().any(char::is_control), "{message:?}");
        words.push(event.word());
    }
    words.dedup();
    assert_eq!(words, Event::WORDS);
}

/// Reads the journal's protocol as its specification says.
fn fields(mut datagram: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|byte| *byte == b'\n').unwrap();
        let line = &datagram[..end];
        if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            let name = String::from_utf8(line[..equals].to_vec()).unwrap();
            fields.push((name, line[equals + 1..].to_vec()));
            datagram = &datagram[end + 1..];
        } else {
            let name = String::from_utf8(line.to_vec()).unwrap();
            let (len, rest) = datagram[end + 1..].split_first_chunk::<8>().unwrap();
            let len = usize::try_from(u64::from_le_bytes(*len)).unwrap();
            fields.push((name, rest[..len].to_vec()));
            assert_eq!(rest[len], b'\n');
            datagram = &rest[len + 1..];
        }
    }
    fields
}

#[test]
fn the_journal_gets_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::new(path.clone());
    assert!(journal.deliver(&finding()).is_err(), "nobody listens");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut buffer = vec![0u8; 1 << 20];
    for event in all() {
        journal.deliver(&event).unwrap();
        let len = socket.recv(&mut buffer).unwrap();
        let fields = fields(&buffer[..len]);
        let of = |name: &str| -> Vec<&[u8]> {
            let same = fields.iter().filter(|(other, _)| other == name);
            same.map(|(_, value)| value.as_slice()).collect()
        };
        assert_eq!(of("MESSAGE"), [event.message().as_bytes()]);
        assert_eq!(of("PRIORITY"), [(event.priority() as u8).to_string().as_bytes()]);
        assert_eq!(of("HOLDFAST_EVENT"), [event.word().as_bytes()]);
        assert!(of("X").is_empty());
        if let Some(path) = event.path() {
            assert_eq!(of("HOLDFAST_PATH"), [path]);
        }
    }
}

#[test]
fn syslog_gets_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for format in [SyslogFormat::Rfc3164, SyslogFormat::Rfc5424] {
        let socket = folder.path().join(format!("{format:?}"));
        let config = SyslogConfig { socket: socket.clone(), format, facility: 3 };
        let mut syslog = Syslog::new(config.clone());
        assert!(syslog.deliver(&finding()).is_err(), "nobody listens");
        let mut listener = UnixDatagram::bind(&socket).unwrap();
        for (idx, event) in all().into_iter().enumerate() {
            if idx == 3 {
                // The daemon starts anew.
                drop(listener);
                fs::remove_file(&socket).unwrap();
                listener = UnixDatagram::bind(&socket).unwrap();
            }
            syslog.deliver(&event).unwrap();
            let mut buffer = vec![0u8; 1 << 16];
            let len = listener.recv(&mut buffer).unwrap();
            let line = String::from_utf8(buffer[..len].to_vec()).unwrap();
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(line.starts_with(&format!("<{}>", 24 + event.priority() as u32)), "{line}");
            assert!(line.ends_with(&event.message()), "{line}");
            if format == SyslogFormat::Rfc5424 && idx == 0 {
                let data = &line[line.find("[holdfast@").unwrap()..];
                let mut quoted = false;
                let mut chars = data.chars();
                // The element ends where its grammar says, and nowhere before.
                let end = loop {
                    match chars.next().unwrap() {
                        '\\' if quoted => drop(chars.next()),
                        '"' => quoted = !quoted,
                        ']' if !quoted => break chars.as_str(),
                        _ => {}
                    }
                };
                assert!(end.starts_with(" detected "), "{data}");
            }
        }
    }
    // A daemon that listens to streams.
    let socket = folder.path().join("stream");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut syslog =
        Syslog::new(SyslogConfig { socket, format: SyslogFormat::Rfc3164, facility: 1 });
    syslog.deliver(&finding()).unwrap();
    drop(syslog);
    let mut text = Vec::new();
    io::Read::read_to_end(&mut listener.accept().unwrap().0, &mut text).unwrap();
    assert_eq!(text.iter().position(|byte| *byte == 0), Some(text.len() - 1));
}

#[test]
fn json_lines_fit_the_schema_and_survive_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.json");
    let mut sink = JsonLines::new(&path);
    let lines = |path: &Path| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    all().iter().for_each(|event| sink.deliver(event).unwrap());
    let told = lines(&path);
    assert_eq!(told.len(), all().len());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    for (line, event) in told.iter().zip(all()) {
        // Values that the schema allows. Source: ECS 8.17, event fields.
        let allowed = |key: &str, words: &[&str]| {
            let values = match &line["event"][key] {
                Value::Array(values) => values.clone(),
                value => vec![value.clone()],
            };
            assert!(!values.is_empty());
            for value in values {
                assert!(words.contains(&value.as_str().unwrap()), "{key}: {value}");
            }
        };
        allowed("kind", &["alert", "event", "state", "pipeline_error"]);
        allowed("category", &["malware", "file", "process", "configuration", "host"]);
        let types = ["info", "deletion", "creation", "denied", "start", "end", "change", "error"];
        allowed("type", &types);
        assert_eq!(line["event"]["action"], event.word());
        assert!(line["@timestamp"].as_str().unwrap().ends_with('Z'));
    }
    let alert = &told[0];
    let text = String::from_utf8_lossy(HOSTILE);
    assert_eq!(alert["file"]["path"], text.as_ref());
    assert_eq!(alert["file"]["hash"]["sha256"], "ab".repeat(32));
    assert_eq!(alert["rule"]["name"], "Test.Bad\nX=1");
    assert_eq!(alert["threat"]["indicator"]["type"], "file");
    assert_eq!(alert["process"]["pid"], 7);
    assert!(alert["holdfast"]["path_hex"].as_str().unwrap().starts_with("2f746d70"));

    let old = folder.path().join("events.json.1");
    fs::rename(&path, &old).unwrap();
    sink.deliver(&finding()).unwrap();
    assert_eq!((lines(&old).len(), lines(&path).len()), (told.len(), 1));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert!(sink.deliver(&finding()).is_err());
    assert!(!folder.path().join("elsewhere").exists());
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_hook_gets_arguments_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let text = format!(
        "cd {}\nprintf '%s\\0' \"$@\" > out\nenv > env\ncat > input\nls /proc/$$/fd > fds\n",
        folder.path().display()
    );
    let program = script(folder.path(), "hook", &text);
    let args = ["{event}", "{path}", "{finding}", "plain $HOME", "{entry}"];
    let command = std::iter::once(program.to_str().unwrap()).chain(args).map(str::to_owned);
    let config = HookConfig { command: command.collect(), ..HookConfig::default() };
    let mut hook = Hook::new(config);
    let leaked = fs::File::open("/etc/passwd").unwrap();
    let leaked = rustix::io::fcntl_dupfd_cloexec(&leaked, 200).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    hook.deliver(&finding()).unwrap();
    let got = fs::read(&out).unwrap();
    let got: Vec<&[u8]> = got.split(|byte| *byte == 0).collect();
    let want: [&[u8]; 6] = [b"finding", HOSTILE, b"Test.Bad\nX=1", b"plain $HOME", b"", b""];
    assert_eq!(got, want);
    assert!(!Path::new("/pwned").exists() && !folder.path().join("pwned").exists());
    let env = fs::read(folder.path().join("env")).unwrap();
    let has = |text: &[u8]| env.windows(text.len()).any(|window| window == text);
    assert!(has(&[b"HOLDFAST_PATH=", HOSTILE].concat()) && has(b"HOLDFAST_EVENT=finding"));
    assert!(!has(b"CARGO") && !has(b"HOME="));
    let input: Value =
        serde_json::from_slice(&fs::read(folder.path().join("input")).unwrap()).unwrap();
    assert_eq!(input["event"]["action"], "finding");
    let fds = fs::read_to_string(folder.path().join("fds")).unwrap();
    // What is there besides the three is the shell's own.
    let number = std::os::fd::AsRawFd::as_raw_fd(&leaked).to_string();
    assert!(fds.lines().any(|fd| fd == "2") && fds.lines().all(|fd| fd != number), "{fds}");
    assert!(!hook.wants(&all()[3]) && hook.wants(&all()[1]));
}

#[test]
fn a_hook_that_hangs_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("sleep 1000 &\necho $! > {}/pid\nsleep 1000\n", folder.path().display());
    let program = script(folder.path(), "hook", &text);
    let command = vec![program.to_str().unwrap().to_owned()];
    let mut hook = Hook::new(HookConfig { command, timeout_seconds: 1, ..HookConfig::default() });
    let begun = Instant::now();
    let error = hook.deliver(&finding()).unwrap_err();
    assert!(error.to_string().contains("killed"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let gone = || state().is_empty() || state().contains(") Z ");
    let until = Instant::now() + Duration::from_secs(10);
    while !gone() && Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(gone(), "the child of the hook lives on: {}", state());
    let failing = vec!["/bin/false".to_owned()];
    let mut hook = Hook::new(HookConfig { command: failing, ..HookConfig::default() });
    assert!(hook.deliver(&finding()).unwrap_err().to_string().contains("code 1"));
}

#[test]
fn people_are_told_as_themselves() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can tell others");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let sessions = folder.path().join("sessions");
    for (uid, bus) in [("1234", true), ("1235", false), ("word", true)] {
        let session = sessions.join(uid);
        fs::create_dir_all(&session).unwrap();
        let owner = uid.parse().ok();
        if bus {
            drop(UnixListener::bind(session.join("bus")).unwrap());
            std::os::unix::fs::chown(session.join("bus"), owner, owner).unwrap();
        }
        std::os::unix::fs::chown(&session, owner, owner).unwrap();
    }
    let text = format!(
        "id -u >> {0}/told; id -G >> {0}/told; printf '%s\\n' \"$5\" \"$6\" \"$XDG_RUNTIME_DIR\" >> {0}/told\n",
        folder.path().display()
    );
    let program = script(folder.path(), "notify-send", &text);
    let mut desktop = hf_events::desktop::Desktop::new(program, sessions.clone());
    assert!(desktop.wants(&finding()) && !desktop.wants(&all()[3]));
    for _ in 0..8 {
        desktop.deliver(&finding()).unwrap();
    }
    let told = fs::read_to_string(folder.path().join("told")).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    // Five of eight, one user of three.
    assert_eq!(lines.len(), 5 * 5, "{told}");
    assert_eq!(lines[..3], ["1234", "1234", "Malware found"]);
    assert!(lines[3].starts_with("detected Test.Bad\\nX=1 in /tmp/a\\nPRIORITY"), "{}", lines[3]);
    assert!(lines[3].contains("&lt;b&gt;&amp;"), "{}", lines[3]);
    assert_eq!(Path::new(lines[4]), sessions.join("1234"));
    // Where there is no program, nobody is told, and nothing fails.
    let mut none = hf_events::desktop::Desktop::new("/nonexistent".into(), sessions);
    none.deliver(&finding()).unwrap();
}

struct Slow {
    go: mpsc::Receiver<()>,
    told: mpsc::Sender<String>,
}

impl Sink for Slow {
    fn deliver(&mut self, event: &Event) -> io::Result<()> {
        self.told.send(event.message()).unwrap();
        self.go.recv().map_err(io::Error::other)
    }
}

struct Broken;

impl Sink for Broken {
    fn deliver(&mut self, _: &Event) -> io::Result<()> {
        Err(io::Error::other("broken"))
    }
}

#[test]
fn a_slow_sink_loses_events_and_says_so() {
    let ((go, went), (tell, told)) = (mpsc::channel(), mpsc::channel());
    let slow: Box<dyn Sink> = Box::new(Slow { go: went, told: tell });
    let sinks = vec![("slow".to_owned(), slow), ("broken".to_owned(), Box::new(Broken) as _)];
    let events = Events::with_sinks(4, sinks).unwrap();
    events.tell(finding());
    // It holds the first; four wait; the rest is lost.
    let first = told.recv().unwrap();
    let begun = Instant::now();
    (0..1000).for_each(|_| events.tell(finding()));
    assert!(begun.elapsed() < Duration::from_secs(5), "telling waits for nobody");
    go.send(()).unwrap();
    assert_eq!(told.recv().unwrap(), "996 events were lost: too many at once");
    (0..5).for_each(|_| go.send(()).unwrap());
    assert_eq!((0..4).map(|_| told.recv().unwrap()).collect::<Vec<_>>(), vec![first; 4]);
    let troubles = events.finish(Duration::from_secs(20));
    assert_eq!(troubles[0].sink, "slow");
    assert_eq!((troubles[0].lost, troubles[0].failed, troubles[0].unfinished), (996, 0, false));
    assert_eq!(troubles[1].last_error.as_deref(), Some("broken"));
    assert!(troubles[1].failed > 0);
    // One that never comes back is left behind.
    let ((_go, went), (tell, _told)) = (mpsc::channel(), mpsc::channel());
    let stuck: Box<dyn Sink> = Box::new(Slow { go: went, told: tell });
    let events = Events::with_sinks(4, vec![("stuck".to_owned(), stuck)]).unwrap();
    events.tell(finding());
    let troubles = events.finish(Duration::from_millis(50));
    assert!(troubles[0].unfinished);
}

#[test]
fn configurations_are_looked_at() {
    let read = |text: &str| -> Result<EventsConfig, String> {
        let config: EventsConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    };
    let config = read(
        "journal = true\njson = '/var/log/x'\n[syslog]\nformat = 'rfc5424'\n\
         [[hook]]\ncommand = ['/bin/x', '{path}', 'a{b}']\nevents = ['update']\n",
    )
    .unwrap();
    assert!(!config.is_silent() && read("").unwrap().is_silent());
    for (text, why) in [
        ("jurnal = true", "unknown field `jurnal`"),
        ("queue = 0", "queue"),
        ("json = 'events.json'", "absolute"),
        ("syslog.facility = 24", "facility"),
        ("[[hook]]\ncommand = []", "name a program"),
        ("[[hook]]\ncommand = ['x']", "absolute"),
        ("[[hook]]\ncommand = ['/bin/sh', '-c', 'echo {path}']", "an argument of its own"),
        ("[[hook]]\ncommand = ['/x']\nevents = ['found']", "no event"),
        ("[[hook]]\ncommand = ['/x']\ntimeout-seconds = 0", "3600"),
        ("[[hook]]\ncommand = ['/x']\nconcurrency = 99", "16"),
        ("[[hook]]\ncommand = 'rm -rf'", "sequence"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
    let path = Path::new(std::ffi::OsStr::from_bytes(HOSTILE));
    assert!(path.is_absolute());
}
