//! A worker process with its channel: started, spoken to, ended.
//!
//! Promises: the process is started by exec with an empty environment and three descriptors; it
//! does not outlive this value, nor the parent.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hf_ipc::{Channel, FromWorker, IpcError, Protection, ToWorker};
use hf_sys::{Process, lifeline};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::{Death, SpawnError, WorkerConfig};

/// A worker that is ready.
#[derive(Debug)]
pub(crate) struct Running {
    /// Closing it kills the worker, even one whose user we may not signal. It is dropped before
    /// the process, which is waited for.
    lifeline: Option<OwnedFd>,
    process: Process,
    channel: Channel<ToWorker, FromWorker>,
    words: LastWords,
    pub(crate) protections: Vec<Protection>,
    pub(crate) warnings: Vec<String>,
}

impl Running {
    pub(crate) fn start(config: &WorkerConfig) -> Result<Self, SpawnError> {
        let mut running = Self::exec(config).map_err(SpawnError::System)?;
        let begun = Instant::now();
        let deadline = begun.checked_add(Duration::from_millis(config.start_ms));
        let setup = ToWorker::Setup(Box::new(config.setup()));
        let answer = running
            .send_until(&setup, config.packs.iter().map(|(_, file)| &**file), deadline)
            .and_then(|()| running.receive(Duration::ZERO, deadline));
        match answer {
            Ok(FromWorker::Ready { protections, warnings }) => {
                running.protections = protections;
                running.warnings = warnings;
                Ok(running)
            }
            Ok(FromWorker::Refused(why)) => Err(SpawnError::Refused(why)),
            Ok(_) => {
                let error = IpcError::Malformed("first answer");
                Err(SpawnError::Died(running.end(&error, begun.elapsed())))
            }
            Err(error) => Err(SpawnError::Died(running.end(&error, begun.elapsed()))),
        }
    }

    fn exec(config: &WorkerConfig) -> std::io::Result<Self> {
        let (ours, theirs) = hf_ipc::pair().map_err(std::io::Error::other)?;
        let (their_end, our_end) = lifeline::pair()?;
        let (words, their_words) = LastWords::pair()?;
        let mut command = Command::new(&config.program);
        command
            .arg0("holdfast")
            .args(&config.args)
            .env_clear()
            .current_dir("/")
            // The terminal's interrupt is the parent's business.
            .process_group(0)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(their_end))
            .stderr(Stdio::from(their_words));
        let process = Process::start(&mut command)?;
        // The child's ends are closed with the command, so that its death is seen.
        drop(command);
        Ok(Self {
            process,
            channel: Channel::new(ours),
            words,
            lifeline: Some(our_end),
            protections: Vec::new(),
            warnings: Vec::new(),
        })
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn send<'a>(
        &mut self,
        message: &ToWorker,
        files: impl Iterator<Item = &'a File>,
    ) -> Result<(), IpcError> {
        // A worker takes messages while it scans only as far as buffers go; more is never sent.
        let deadline = Instant::now().checked_add(SEND_TIME);
        self.send_until(message, files, deadline)
    }

    fn send_until<'a>(
        &mut self,
        message: &ToWorker,
        files: impl Iterator<Item = &'a File>,
        deadline: Option<Instant>,
    ) -> Result<(), IpcError> {
        let descriptors: Vec<BorrowedFd<'_>> = files.map(AsFd::as_fd).collect();
        self.channel.send(message, &descriptors, deadline)
    }

    /// Waits for an answer, and listens to last words meanwhile, so that a worker that says much
    /// there is not held up. When there is none yet, `pause` passes before it is looked for again.
    pub(crate) fn receive(
        &mut self,
        mut pause: Duration,
        deadline: Option<Instant>,
    ) -> Result<FromWorker, IpcError> {
        loop {
            if let Some(message) = self.try_receive()? {
                return Ok(message);
            }
            if !pause.is_zero() {
                std::thread::sleep(std::mem::take(&mut pause));
                continue;
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            // A deadline beyond what the kernel can count is none.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut polled = vec![PollFd::new(&self.channel, PollFlags::IN)];
            if self.words.open {
                polled.push(PollFd::new(&self.words.pipe, PollFlags::IN));
            }
            match rustix::event::poll(&mut polled, left.as_ref()) {
                Ok(0) => return Err(IpcError::Deadline),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(IpcError::System(errno)),
            }
            if polled.get(1).is_some_and(|words| !words.revents().is_empty()) {
                self.words.listen();
            }
        }
    }

    /// Returns an answer that is there already.
    pub(crate) fn try_receive(&mut self) -> Result<Option<FromWorker>, IpcError> {
        Ok(self.channel.try_receive()?.map(|(message, _none)| message))
    }

    /// Ends an idle worker in order.
    pub(crate) fn quit(&mut self) {
        // A worker that does not listen is killed when the process is dropped.
        let _ = self.send(&ToWorker::Quit, std::iter::empty());
        let _ = self.process.wait(QUIT_TIME);
    }

    /// Ends a worker after an error, and concludes why it came to that.
    pub(crate) fn end(mut self, error: &IpcError, after: Duration) -> Death {
        let ours = match error {
            IpcError::Deadline => {
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                Some(Death::Deadline { after_ms })
            }
            IpcError::Closed => None,
            other => Some(Death::Protocol(other.to_string())),
        };
        // A closed channel means that the process is ending: its own reason is the better one.
        let ended = if ours.is_none() { self.process.wait(DYING_TIME) } else { None };
        self.process.kill();
        self.lifeline = None;
        let ended = ended.or_else(|| self.process.wait(DYING_TIME));
        self.words.listen();
        match (ours, ended) {
            (Some(death), _) => death,
            (None, Some((exit, _))) => Death::of(exit, &self.words.heard),
            (None, None) => Death::Unknown,
        }
    }
}

/// What a worker writes to its standard error; only the end of it is kept.
#[derive(Debug)]
struct LastWords {
    pipe: File,
    /// The worker has not closed its end.
    open: bool,
    heard: Vec<u8>,
}

impl LastWords {
    fn pair() -> std::io::Result<(Self, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        Ok((Self { pipe: File::from(read), open: true, heard: Vec::new() }, write))
    }

    /// Takes what is there, without waiting and without end.
    fn listen(&mut self) {
        let mut some = [0; KEPT_BYTES];
        for _ in 0..LISTEN_MAX {
            let got = match self.pipe.read(&mut some) {
                Ok(got @ 1..) => got,
                Ok(_) => return self.open = false,
                Err(_) => return,
            };
            self.heard.extend_from_slice(some.get(..got).unwrap_or_default());
            let surplus = self.heard.len().saturating_sub(KEPT_BYTES);
            self.heard.drain(..surplus);
        }
    }
}

/// Ours: bytes of last words that are kept.
const KEPT_BYTES: usize = 4096;

/// Ours: more than a full pipe.
const LISTEN_MAX: usize = 32;

/// Ours: what is sent always fits the socket's buffer, unless the worker is hostile.
const SEND_TIME: Duration = Duration::from_secs(10);

/// Ours: for an idle worker to end.
const QUIT_TIME: Duration = Duration::from_millis(500);

/// Ours: between the closing of the channel and the end of the process, a core dump is not written.
const DYING_TIME: Duration = Duration::from_secs(2);
