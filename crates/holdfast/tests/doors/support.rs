//! A service with doors on ports of loopback, and plain clients.

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hf_content::{ContentOptions, OpenedPack, PackOrigin};
use hf_daemon::doors::Doors;
use hf_daemon::listen::Address;
use hf_daemon::{Config, Content, ContentSource, Log, Service, ServiceSetup};
use hf_worker::WorkerConfig;
use tempfile::TempDir;

/// What the signature of these tests matches.
pub(crate) const MARKED: &[u8] = b"before --doors-marked-bytes-- after";

/// What is told of it.
pub(crate) const NAME: &str = "Test.Doors.Marked.UNOFFICIAL";

/// What the signature for mail matches, in mail only.
pub(crate) const MAIL_MARK: &str = "--doors-marked-mail--";

/// Signatures of these tests.
fn signatures() -> String {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!(
        "Test.Doors.Marked:0:*:{}\nTest.Doors.Mail:4:*:{}\n",
        hex("--doors-marked-bytes--"),
        hex(MAIL_MARK),
    )
}

/// Opens these signatures.
pub(crate) struct Source;

impl ContentSource for Source {
    fn open(&self) -> Result<Content, String> {
        let text = signatures();
        let databases = [("doors.ndb", text.as_bytes())];
        let pack = hf_content::compile_in_memory(&databases, &ContentOptions::default());
        let pack = pack.map_err(|error| error.to_string())?;
        let opened = [OpenedPack { pack, origin: PackOrigin::InMemory }];
        Content::of_packs(&opened, Vec::new()).map_err(|error| error.to_string())
    }

    fn stamp(&self) -> u64 {
        0
    }
}

/// A service with its doors.
pub(crate) struct House {
    pub(crate) service: Service,
    pub(crate) folder: TempDir,
    log: Arc<Mutex<Vec<String>>>,
    addresses: Vec<(&'static str, Address)>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl House {
    /// Starts one. `config` is a `holdfast.toml`, in which `@` stands for a folder of its own, which
    /// `fill` is given before.
    pub(crate) fn start(config: &str, fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let config = config.replace('@', folder.path().to_str().unwrap());
        let config = Config::parse(Path::new("holdfast.toml"), &config).unwrap();
        let doors = Doors::open(&config, None).unwrap();
        let addresses = doors.addresses().map(|(door, at)| (door, at.clone())).collect();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let mut setup = ServiceSetup::new(Arc::new(Source));
        setup.log = Log::new(move |_, line| lines.lock().unwrap().push(line.to_owned()));
        setup.workers = 2;
        setup.worker = WorkerConfig {
            program: env!("CARGO_BIN_EXE_holdfast").into(),
            ..WorkerConfig::default()
        };
        let service = Service::start(setup).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        runtime.spawn(doors.serve(service.clone()));
        Self { service, folder, log, addresses, runtime: Some(runtime) }
    }

    /// Returns where a door waits.
    pub(crate) fn at(&self, door: &str) -> SocketAddr {
        let found = self.addresses.iter().find_map(|(name, at)| match at {
            Address::Tcp(at) if *name == door => Some(*at),
            _ => None,
        });
        found.expect("a TCP address")
    }

    pub(crate) fn connect(&self, door: &str) -> TcpStream {
        let stream = TcpStream::connect(self.at(door)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Sends all of a request and returns everything until the other side closes.
    pub(crate) fn exchange(&self, door: &str, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect(door);
        stream.write_all(request).unwrap();
        read_all(&mut stream)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.service.shutdown();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// Reads until the end or a reset, which hostile exchanges may bring about.
pub(crate) fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut part = [0; 65_536];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return all,
            Ok(len) => all.extend_from_slice(&part[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&all)),
        }
    }
}

/// Reads until what came ends in something.
#[track_caller]
pub(crate) fn read_until(stream: &mut impl Read, end: &[u8]) -> String {
    let mut all = Vec::new();
    let mut part = [0; 65_536];
    while !all.ends_with(end) {
        let len = stream.read(&mut part).unwrap();
        assert!(len > 0, "the connection ended after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&part[..len]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Says that a program is not there, where that is allowed; true when the test is to be passed over.
pub(crate) fn missing(programs: &[&str]) -> bool {
    let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let there = |program: &&&str| {
        Path::new(program).is_absolute() && Path::new(program).exists()
            || paths.split(':').any(|folder| Path::new(folder).join(program).exists())
    };
    let Some(absent) = programs.iter().find(|program| !there(program)) else { return false };
    assert!(std::env::var_os("CI").is_none(), "{absent} is missing");
    eprintln!("skipped: {absent} is missing");
    true
}

#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    output
}

/// Waits until something is there; the time is a bound, not a pause.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
