//! A daemon that runs for as long as it is measured, and what a client says to it.
//!
//! Both daemons are given the same `clamd.conf` and started under clamd's name; the configuration is part of what is
//! compared.

use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::measure::{descendants, rollup};

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    process: Child,
    /// From its start to its first `PONG`.
    pub(crate) start: Duration,
}

impl Daemon {
    /// Starts a program as clamd over a folder of databases, and waits for its first `PONG`.
    pub(crate) fn start(program: &Path, databases: &Path, work: &Path) -> Result<Self> {
        fs::create_dir_all(work)?;
        let socket = work.join("socket");
        let conf = work.join("clamd.conf");
        let text = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nForeground yes\nMaxThreads {}\nMaxQueue 400\n\
             SelfCheck 0\nLogFile {}\nLogFileMaxSize 0\n",
            socket.display(),
            databases.display(),
            std::thread::available_parallelism().map_or(2, usize::from),
            work.join("log").display()
        );
        fs::write(&conf, text)?;
        let mut command = Command::new(program);
        command.arg0("clamd").arg("-c").arg(&conf).env("HOLDFAST_CACHE", work.join("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let begun = Instant::now();
        let process = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let mut daemon = Self { socket, process, start: Duration::ZERO };
        while daemon.ask(b"PING").ok().as_deref() != Some(b"PONG") {
            if let Some(status) = daemon.process.try_wait()? {
                bail!("{} ended with {status}", program.display());
            }
            if begun.elapsed() > START_MAX {
                bail!("{} does not answer", program.display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        daemon.start = begun.elapsed();
        Ok(daemon)
    }

    /// Returns the answer to a command that has one line.
    pub(crate) fn ask(&self, command: &[u8]) -> Result<Vec<u8>> {
        let mut stream = self.connect()?;
        stream.write_all(&[b"z", command, b"\0"].concat())?;
        answer(&mut stream)
    }

    /// Returns every line of the answer to a command.
    pub(crate) fn ask_all(&self, command: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut stream = self.connect()?;
        stream.write_all(&[b"z", command, b"\0"].concat())?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        Ok(all.split(|byte| *byte == 0).filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// Opens a connection on which nobody waits longer than [`ANSWER_MAX`].
    pub(crate) fn connect(&self) -> Result<UnixStream> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(stream)
    }

    /// Returns the processes of the service, the daemon's own first.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let own = self.process.id();
        std::iter::once(own).chain(descendants(own)).collect()
    }

    /// Returns the proportional set size of the whole service.
    pub(crate) fn pss_bytes(&self) -> u64 {
        self.processes().into_iter().map(|pid| rollup(pid, &["Pss:"])).sum()
    }

    /// Returns the open descriptors of the daemon's own process.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).map_or(0, Iterator::count)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let until = Instant::now() + END_MAX;
        while Instant::now() < until {
            if matches!(self.process.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends an object as `INSTREAM` wants it.
pub(crate) fn send_stream(stream: &mut UnixStream, object: &[u8]) -> Result<()> {
    stream.write_all(b"zINSTREAM\0")?;
    for chunk in object.chunks(CHUNK_BYTES) {
        let len = u32::try_from(chunk.len())?.to_be_bytes();
        stream.write_all(&[&len, chunk].concat())?;
    }
    stream.write_all(&[0; 4])?;
    Ok(())
}

/// Sends an open file as `FILDES` wants it.
pub(crate) fn send_file(stream: &mut UnixStream, file: &File) -> Result<()> {
    stream.write_all(b"zFILDES\0")?;
    let files = [file.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        bail!("no room for a descriptor");
    }
    rustix::net::sendmsg(&*stream, &[IoSlice::new(b"\0")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Reads one answer, which ends in a zero byte.
pub(crate) fn answer(stream: &mut UnixStream) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0u8; 1];
    loop {
        let len = stream.read(&mut byte)?;
        if len == 0 {
            bail!("the connection ended in {:?}", String::from_utf8_lossy(&line));
        }
        if byte[0] == 0 {
            return Ok(line);
        }
        line.push(byte[0]);
    }
}

/// Loading millions of signatures takes clamd minutes on a slow machine.
const START_MAX: Duration = Duration::from_secs(600);
const END_MAX: Duration = Duration::from_secs(20);
/// An answer that takes longer is a failure.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// What clamdscan sends at once.
const CHUNK_BYTES: usize = 8188;
