//! Debian's clamd with a small database, on a socket of its own, for as long as a test runs.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running daemon.
pub(crate) struct Server {
    pub(crate) socket: PathBuf,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// True when there is nothing to compare with.
    pub(crate) fn missing() -> bool {
        let there = |name: &str| Command::new(name).arg("--version").output().is_ok();
        if there("clamdscan") && there("clamd") {
            return false;
        }
        assert!(std::env::var_os("CI").is_none(), "clamd or clamdscan is missing, and this is CI");
        println!("skipped: there is no clamd or no clamdscan on this machine");
        true
    }

    /// Starts it and waits until it answers; none when it is not installed.
    pub(crate) fn start() -> Option<Self> {
        if Self::missing() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("db")).expect("a folder can be made");
        // `some marked byte`, and the end of it.
        let lines = "Test.Any:0:*:736f6d65206d61726b65642062797465\n\
                     Test.Second:0:*:6d61726b65642062797465\n";
        fs::write(at("db/a.ndb"), lines).expect("a file can be written");
        let socket = at("socket");
        let text = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nForeground yes\n",
            socket.display(),
            at("db").display()
        );
        fs::write(at("clamd.conf"), text).expect("a file can be written");
        let process = Command::new("clamd")
            .arg("-c")
            .arg(at("clamd.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it is installed");
        let server = Self { socket, process, _folder: folder };
        let until = Instant::now() + START_MAX;
        while UnixStream::connect(&server.socket).is_err() {
            assert!(Instant::now() < until, "clamd did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const START_MAX: Duration = Duration::from_secs(60);
