//! A folder with a database and files, a daemon over it, and a client that says exactly what a test says.

#![expect(clippy::unwrap_used, reason = "a helper that cannot set a test up is to fail it")]

use std::fs;
use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// EICAR's test file, in two parts so that this source is none.
pub(crate) fn eicar() -> Vec<u8> {
    let head = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-";
    format!("{head}ANTIVIRUS-TEST-FILE!$H+H*").into_bytes()
}

/// Prints why a test is passed over; in CI everything has to be there.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "in CI: {why}");
    println!("skipped: {why}");
}

/// Returns Debian's clamd, if it is installed.
pub(crate) fn clamd() -> Option<PathBuf> {
    Some(PathBuf::from("/usr/sbin/clamd")).filter(|path| path.exists())
}

/// A folder with `db/` and `files/`.
pub(crate) struct Lab {
    temp: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let lab = Self { temp };
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(lab.path(""), mode).unwrap();
        for folder in ["db", "files/sub", "files/empty-folder", "files/deep/a/b/c", "cache"] {
            fs::create_dir_all(lab.path(folder)).unwrap();
        }
        let db = "Test.Eicar:0:*:58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d\n\
                  Test.Second:0:*:5345434f4e44\n";
        fs::write(lab.path("db/test.ndb"), db).unwrap();
        let eicar = eicar();
        fs::write(lab.path("files/eicar.com"), &eicar).unwrap();
        fs::write(lab.path("files/two.bin"), [&eicar[..], b" SECOND"].concat()).unwrap();
        fs::write(lab.path("files/clean.txt"), b"clean\n").unwrap();
        fs::write(lab.path("files/empty"), b"").unwrap();
        fs::write(lab.path("files/left.out"), &eicar).unwrap();
        fs::write(lab.path("files/sub/second"), b"SECOND\n").unwrap();
        fs::write(lab.path("files/deep/a/b/c/eicar"), &eicar).unwrap();
        std::os::unix::fs::symlink("eicar.com", lab.path("files/link")).unwrap();
        std::os::unix::fs::symlink("sub", lab.path("files/folder-link")).unwrap();
        std::os::unix::fs::symlink("nowhere", lab.path("files/dangling")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            lab.path("files/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Starts our daemon, under clamd's name and with a `clamd.conf` of these lines more.
    pub(crate) fn ours(&self, more: &str) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.arg0("clamd");
        self.start(command, "ours", more)
    }

    /// Starts Debian's.
    pub(crate) fn theirs(&self, clamd: &Path, more: &str) -> Daemon {
        self.start(Command::new(clamd), "theirs", more)
    }

    fn start(&self, mut command: Command, name: &str, more: &str) -> Daemon {
        let socket = self.path(&format!("{name}.sock"));
        let conf = self.path(&format!("{name}.conf"));
        let db = self.path("db");
        let text = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nForeground yes\nUser root\nLogFile {}\n{more}",
            socket.display(),
            db.display(),
            self.path(&format!("{name}.log")).display()
        );
        fs::write(&conf, text).unwrap();
        let child = command
            .arg("-c")
            .arg(conf)
            .env("HOLDFAST_CACHE", self.path("cache"))
            .current_dir(self.path("files"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Daemon { child, socket, log: self.path(&format!("{name}.log")) };
        daemon.wait();
        daemon
    }
}

/// A daemon that runs.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) log: PathBuf,
}

impl Daemon {
    pub(crate) fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(&self.socket).is_err() {
            assert!(Instant::now() < until, "no socket: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.ask(b"nPING\n"), b"PONG\n");
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn connect(&self) -> Peer {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        Peer { stream }
    }

    /// Sends bytes and returns all that comes back until the connection is closed.
    pub(crate) fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut peer = self.connect();
        peer.send(bytes);
        peer.rest()
    }

    /// Scans bytes as a stream.
    pub(crate) fn stream(&self, bytes: &[u8]) -> Vec<u8> {
        self.ask(&[b"nINSTREAM\n", &chunk(bytes)[..], &[0; 4]].concat())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A chunk of a stream.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes()[..], bytes].concat()
}

/// A client.
pub(crate) struct Peer {
    pub(crate) stream: UnixStream,
}

impl Peer {
    /// Sends bytes; that the other side has closed is its right.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends bytes with descriptors.
    pub(crate) fn pass(&mut self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
        let parts = [IoSlice::new(bytes)];
        rustix::net::sendmsg(self.stream.as_fd(), &parts, &mut ancillary, SendFlags::NOSIGNAL)
            .unwrap();
    }

    /// Says that nothing more will come.
    pub(crate) fn done(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Returns all that comes until the connection is closed or reset.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut all)
            && error.kind() != std::io::ErrorKind::ConnectionReset
        {
            panic!("{error}, after {:?}", String::from_utf8_lossy(&all));
        }
        all
    }

    /// Returns the next reply with this end.
    pub(crate) fn reply(&mut self, end: u8) -> Vec<u8> {
        let mut all = Vec::new();
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte) {
                Ok(1) if byte[0] == end => return all,
                Ok(1) => all.push(byte[0]),
                other => panic!("{other:?}, after {:?}", String::from_utf8_lossy(&all)),
            }
        }
    }
}
