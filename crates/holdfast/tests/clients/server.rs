//! Our daemon under clamd's name with a small database, for as long as a test runs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A running daemon, and files to scan.
pub(crate) struct Server {
    pub(crate) socket: PathBuf,
    pub(crate) port: u16,
    process: Child,
    folder: tempfile::TempDir,
}

/// In `bad` files: what the database finds.
pub(crate) const MARKED: &[u8] = b"here is some marked byte";
/// Its name, as clients are told it.
pub(crate) const NAME: &str = "Test.Any.UNOFFICIAL";

impl Server {
    /// Starts it and waits until it answers.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let at = |name: &str| folder.path().join(name);
        for name in ["db", "tree", "tree/sub"] {
            fs::create_dir(at(name)).expect("a folder can be made");
        }
        let signature = "Test.Any:0:*:736f6d65206d61726b65642062797465\n\
             Test.Eicar:0:*:58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d\n";
        fs::write(at("db/a.ndb"), signature).expect("a file can be written");
        for (name, text) in
            [("tree/bad", MARKED), ("tree/good", b"nothing to see"), ("tree/sub/bad", MARKED)]
        {
            fs::write(at(name), text).expect("a file can be written");
        }
        symlink(env!("CARGO_BIN_EXE_holdfast"), at("clamd")).expect("a link can be made");
        let port = free_port();
        let socket = at("socket");
        let text = format!(
            "LocalSocket {}\nTCPSocket {port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {}\n\
             Foreground yes\nLogFile {}\nStreamMaxLength 1M\n",
            socket.display(),
            at("db").display(),
            at("log").display()
        );
        fs::write(at("clamd.conf"), text).expect("a file can be written");
        let process = Command::new(at("clamd"))
            .arg("-c")
            .arg(at("clamd.conf"))
            .env("HOLDFAST_CACHE", at("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it can be started");
        let mut server = Self { socket, port, process, folder };
        let until = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(&server.socket).is_err() {
            let ended = server.process.try_wait().expect("it can be asked");
            assert!(ended.is_none() && Instant::now() < until, "no daemon: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Returns a path in the folder of the test.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    /// Runs a client to its end.
    pub(crate) fn run(&self, command: &mut Command) -> Said {
        let output = command.stdin(Stdio::null()).output().expect("it is installed");
        Said::of(&output)
    }

    /// Sends bytes over a local socket and returns everything that comes back.
    pub(crate) fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(&self.socket).expect("it listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("the time is not zero");
        stream.write_all(bytes).expect("it is there");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers and closes");
        answer
    }

    /// Returns a connection over TCP.
    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("the time is not zero");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a client said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) code: Option<i32>,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        Self { text: String::from_utf8_lossy(&text).into_owned(), code: output.status.code() }
    }

    /// Checks the code, and that every text is there.
    #[track_caller]
    pub(crate) fn check(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.text);
        for text in texts {
            assert!(self.text.contains(text), "no `{text}` in: {}", self.text);
        }
    }
}

/// True when a program is not there; that is a failure in CI.
pub(crate) fn missing(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    if found || Path::new("/usr/sbin").join(program).is_file() {
        return false;
    }
    assert!(std::env::var_os("CI").is_none(), "{program} is missing, and this is CI");
    println!("skipped: there is no {program} on this machine");
    true
}

/// Returns a port that is free just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

const ANSWER_MAX: Duration = Duration::from_secs(60);
