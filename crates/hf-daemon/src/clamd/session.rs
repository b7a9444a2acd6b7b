//! One connection: its first command, or the commands of its session.
//!
//! In a session, commands are answered as they are done, each reply under its number; what is read
//! ahead is bounded in commands and in bytes.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::frame::{COMMAND_MAX, Command, Frame, Framing, PathScan, frame};
use super::link::Link;
use super::verdict::texts;
use super::{Shared, Who};
use crate::scan::{Client, Door, Object, ScanChoice};

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    who: Who,
    line: Arc<Line>,
    input: Input,
}

/// What the answers of a connection share.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) shared: Arc<Shared>,
    pub(super) link: Link,
    pub(super) client: Client,
    outbox: Mutex<Vec<u8>>,
    writer: tokio::sync::Mutex<bool>,
    commands: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    running: AtomicUsize,
    idle: tokio::sync::Notify,
}

/// What has come and is not used yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    start: usize,
    descriptors: Vec<OwnedFd>,
    /// Where it is received.
    space: Vec<u8>,
    /// It is a stream, so that much comes at once.
    pub(super) stream: bool,
    /// The other side is done.
    ended: bool,
}

/// How a reply is framed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framed {
    /// Number within a session.
    pub(super) id: Option<u64>,
    pub(super) framing: Framing,
}

/// What the connection does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Another command may come.
    More,
    /// It ends.
    End,
    /// It ends, and the other side may still be sending.
    Drain,
}

/// No more can be read in time, or at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Starved {
    Late,
    Ended,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, link: Link, who: Who) -> Self {
        let client = shared.service.client(Door::Clamd, &who.peer(), who.name());
        let commands = shared.config.max_queue.clamp(1, COMMANDS_MAX);
        let line = Arc::new(Line {
            shared: Arc::clone(&shared),
            link,
            client,
            outbox: Mutex::default(),
            writer: tokio::sync::Mutex::new(true),
            commands: Arc::new(Semaphore::new(commands)),
            bytes: Arc::new(Semaphore::new(BLOCKS_MAX)),
            running: AtomicUsize::new(0),
            idle: tokio::sync::Notify::new(),
        });
        Self { shared, who, line, input: Input::default() }
    }

    pub(super) async fn run(mut self) {
        let next = self.serve().await;
        self.line.settle().await;
        self.line.link.finish(next == Next::Drain).await;
    }

    async fn serve(&mut self) -> Next {
        let seconds = self.shared.config.command_read_seconds;
        let by = after(seconds);
        match self.command(None, by).await {
            Ok(Some(framing)) => self.session(framing).await,
            Ok(None) => Next::End,
            Err(next) => next,
        }
    }

    async fn session(&mut self, mut framing: Framing) -> Next {
        for id in 1u64.. {
            // Time without a command counts from the last answer.
            let by = loop {
                let by = after(self.shared.config.read_seconds);
                if self.line.is_idle() || self.input.has_some() {
                    break by;
                }
                tokio::select! {
                    () = self.line.idle() => {}
                    got = self.input.more(&self.line.link, by) => match got {
                        Ok(()) => break by,
                        Err(Starved::Ended) => return Next::End,
                        // What runs has its own bounds.
                        Err(Starved::Late) => {}
                    },
                }
            };
            match self.command(Some((id, framing)), by).await {
                Ok(Some(next)) => framing = next,
                Ok(None) => return Next::End,
                Err(next) => return next,
            }
        }
        Next::End
    }

    /// Reads a command and begins it. Some framing: the connection goes on in a session.
    async fn command(
        &mut self,
        session: Option<(u64, Framing)>,
        by: Option<Instant>,
    ) -> Result<Option<Framing>, Next> {
        let usual = session.map_or(Framing::Line, |(_, framing)| framing);
        let (command, path, framing) = match self.next(session.is_some(), by).await {
            Ok(found) => found,
            Err(Some(Starved::Late)) => {
                let framed = Framed { id: None, framing: usual };
                self.line.reply(framed, &["COMMAND READ TIMED OUT"]).await;
                return Err(Next::End);
            }
            Err(Some(Starved::Ended)) => return Err(Next::End),
            // Longer than any command.
            Err(None) => return Err(Next::End),
        };
        let framed = Framed { id: session.map(|(id, _)| id), framing };
        let next = match session {
            None => self.single(command, path, framed).await,
            Some(_) => self.numbered(command, path, framed).await,
        };
        match next {
            Next::More => Ok(Some(framing)),
            Next::End => Ok(None),
            Next::Drain => Err(Next::Drain),
        }
    }

    /// Waits for a whole command.
    async fn next(
        &mut self,
        session: bool,
        by: Option<Instant>,
    ) -> Result<(Kind, Vec<u8>, Framing), Option<Starved>> {
        loop {
            // Plain commands are none in a session, and are waited out as clamd does.
            let found = match frame(self.input.rest(), !session && self.input.has_some()) {
                Frame::Command { command, framing, len }
                    if !session || framing != Framing::Plain =>
                {
                    Some((Kind::of(command), path_of(command).to_vec(), framing, len))
                }
                Frame::TooLong => return Err(None),
                Frame::Command { .. } | Frame::Partial => None,
            };
            if let Some((kind, path, framing, len)) = found {
                self.input.take(len);
                return Ok((kind, path, framing));
            }
            if self.input.rest().len() >= COMMAND_MAX {
                return Err(None);
            }
            self.input.more(&self.line.link, by).await.map_err(Some)?;
        }
    }

    /// Answers the only command of a connection, or begins a session.
    async fn single(&mut self, kind: Kind, path: Vec<u8>, framed: Framed) -> Next {
        match kind {
            Kind::Session => return Next::More,
            Kind::Reload | Kind::SelfCheck | Kind::Shutdown => self.control(kind, framed).await,
            Kind::Scan(scan) => {
                let _entry = self.shared.running.enter(scan_name(scan), &path);
                let rights = self.shared.rights(&self.who);
                self.line.scan_path(scan, path, rights, framed).await;
            }
            Kind::End | Kind::Unknown => self.line.reply(framed, &["UNKNOWN COMMAND"]).await,
            Kind::Silent => {}
            kind => {
                let next = self.common(kind, framed).await;
                // What runs is waited for at the end.
                return if next == Next::More { Next::End } else { next };
            }
        }
        Next::End
    }

    /// Answers a command of a session.
    async fn numbered(&mut self, kind: Kind, path: Vec<u8>, framed: Framed) -> Next {
        match kind {
            Kind::End => Next::End,
            Kind::Scan(PathScan::First) => {
                let rights = self.shared.rights(&self.who);
                let line = Arc::clone(&self.line);
                self.begin(async move {
                    let _entry = line.shared.running.enter("SCAN", &path);
                    line.scan_path(PathScan::First, path, rights, framed).await;
                })
                .await;
                Next::More
            }
            Kind::Scan(_)
            | Kind::Session
            | Kind::Reload
            | Kind::SelfCheck
            | Kind::Shutdown
            | Kind::Silent
            | Kind::Unknown => {
                self.line.reply(framed, &["Command invalid inside IDSESSION. ERROR"]).await;
                Next::Drain
            }
            kind => self.common(kind, framed).await,
        }
    }

    /// Answers what is the same with and without a session.
    async fn common(&mut self, kind: Kind, framed: Framed) -> Next {
        let config = &self.shared.config;
        let text = match kind {
            Kind::Ping => "PONG".to_owned(),
            Kind::Version if config.version_command => self.version(),
            Kind::VersionCommands if config.version_command => {
                format!("{}| COMMANDS: {COMMANDS}", self.version())
            }
            Kind::Stats if config.stats_command => {
                let _entry = self.shared.running.enter("STATS", b"");
                super::stats::stats(&self.shared)
            }
            Kind::Fildes => return self.descriptor(framed).await,
            Kind::Instream => return self.stream(framed).await,
            _ => "COMMAND UNAVAILABLE".to_owned(),
        };
        self.line.reply(framed, &[&text]).await;
        Next::More
    }

    fn version(&self) -> String {
        let status = self.shared.service.status();
        format!("{}{}", self.shared.version, status.content.version_suffix)
    }

    /// Answers a command that changes the service.
    async fn control(&mut self, kind: Kind, framed: Framed) {
        let (config, service) = (&self.shared.config, &self.shared.service);
        let allowed = match kind {
            Kind::Reload => config.reload_command,
            Kind::SelfCheck => config.self_check_command,
            _ => config.shutdown_command && self.shared.may_stop(&self.who),
        };
        if !allowed {
            return self.line.reply(framed, &["COMMAND UNAVAILABLE"]).await;
        }
        match kind {
            Kind::Reload => {
                self.line.reply(framed, &["RELOADING"]).await;
                self.reload();
            }
            Kind::SelfCheck => {
                let asked = service.clone();
                let changed = tokio::task::spawn_blocking(move || asked.content_changed());
                if changed.await.unwrap_or(false) {
                    self.line.reply(framed, &["RELOADING"]).await;
                    self.reload();
                } else {
                    self.line.reply(framed, &["DBUPTODATE"]).await;
                }
            }
            _ => service.stop(),
        }
    }

    /// Reloads in the background, unless one is waiting to begin already.
    fn reload(&self) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let Ok(_turn) = shared.reload.try_acquire() else { return };
            shared.log.info("Reading databases anew.");
            // An error has been logged.
            if let Ok(changed) = shared.service.reload().await {
                let count = shared.service.status().content.signatures;
                let word = if changed { "correctly reloaded" } else { "unchanged" };
                shared.log.info(&format!("Database {word} ({count} signatures)"));
            }
        });
    }

    /// Scans the file whose descriptor comes with the next byte.
    async fn descriptor(&mut self, framed: Framed) -> Next {
        if !self.input.has_some() && !self.input.descriptors.is_empty() {
            let both = [
                "PROTOCOL ERROR: ancillary data sent without FILDES. ERROR",
                "Error processing command. ERROR",
            ];
            // clamd has forgotten how the command was framed.
            let framed = Framed { framing: Framing::Nul, ..framed };
            self.line.reply(framed, &both).await;
            return Next::Drain;
        }
        let by = after(self.shared.config.command_read_seconds);
        while !self.input.has_some() {
            match self.input.more(&self.line.link, by).await {
                Ok(()) => {}
                Err(Starved::Ended) => return Next::End,
                Err(Starved::Late) => {
                    let framed = Framed { id: None, ..framed };
                    self.line.reply(framed, &["COMMAND READ TIMED OUT"]).await;
                    return Next::End;
                }
            }
        }
        self.input.take(1);
        let mut descriptors = std::mem::take(&mut self.input.descriptors);
        let (Some(descriptor), true) = (descriptors.pop(), descriptors.is_empty()) else {
            self.line.reply(framed, &["No file descriptor received. ERROR"]).await;
            return Next::Drain;
        };
        let line = Arc::clone(&self.line);
        self.begin(async move { line.scan_descriptor(descriptor, framed).await }).await;
        Next::More
    }

    /// Takes in a stream, and begins to scan it.
    async fn stream(&mut self, framed: Framed) -> Next {
        let name = format!("instream({})", self.who.name()).into_bytes();
        self.input.stream = true;
        let taken = self.input.stream(&self.line, name).await;
        self.input.calm();
        match taken {
            Ok(object) => {
                let blocks = object.size.div_ceil(BLOCK);
                let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
                let most = u32::try_from(BLOCKS_MAX).unwrap_or(u32::MAX);
                let room = Arc::clone(&self.line.bytes);
                let Ok(room) = room.acquire_many_owned(blocks.min(most)).await else {
                    return Next::End;
                };
                let line = Arc::clone(&self.line);
                self.begin(async move {
                    line.scan_stream(object, framed).await;
                    drop(room);
                })
                .await;
                Next::More
            }
            Err(Some(text)) => {
                let late = text == "COMMAND READ TIMED OUT";
                let id = framed.id.filter(|_| !late);
                self.line.reply(Framed { id, ..framed }, &[&text]).await;
                Next::Drain
            }
            Err(None) => Next::End,
        }
    }

    /// Lets a command run beside others, once there is room for it.
    async fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let line = Arc::clone(&self.line);
        let Ok(permit) = Arc::clone(&line.commands).acquire_owned().await else { return };
        line.running.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let _guard = Guard(&line);
            work.await;
            drop(permit);
        });
    }
}

/// Counts a running command down, also when it panics.
struct Guard<'a>(&'a Line);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.idle.notify_one();
    }
}

impl Line {
    fn is_idle(&self) -> bool {
        self.running.load(Ordering::SeqCst) == 0
    }

    /// Waits until one more command is done.
    async fn idle(&self) {
        self.idle.notified().await;
    }

    /// Waits until nothing runs any more.
    async fn settle(&self) {
        while !self.is_idle() {
            self.idle().await;
        }
    }

    /// Sends replies, each framed. What others have to send meanwhile goes with them.
    pub(super) async fn reply(&self, framed: Framed, texts: &[&str]) {
        let texts = texts.iter().map(|text| text.as_bytes());
        self.reply_bytes(framed, texts).await;
    }

    pub(super) async fn reply_bytes<'t>(
        &self,
        framed: Framed,
        texts: impl Iterator<Item = &'t [u8]>,
    ) {
        let full = {
            let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
            for text in texts {
                if let Some(id) = framed.id {
                    outbox.extend_from_slice(id.to_string().as_bytes());
                    outbox.extend_from_slice(b": ");
                }
                outbox.extend_from_slice(text);
                outbox.push(framed.framing.end());
            }
            outbox.len() > OUTBOX_MAX
        };
        self.flush(full).await;
    }

    /// Sends what is in the outbox, unless somebody does; waits for its turn when there is too much.
    async fn flush(&self, wait: bool) {
        let patience = Duration::from_millis(self.shared.config.send_ms).max(PATIENCE);
        loop {
            let mut alive = match self.writer.try_lock() {
                Ok(alive) => alive,
                Err(_) if wait => self.writer.lock().await,
                Err(_) => return,
            };
            loop {
                let bytes = {
                    let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
                    std::mem::take(&mut *outbox)
                };
                if bytes.is_empty() {
                    break;
                }
                if *alive && self.link.send(&bytes, patience).await.is_err() {
                    // It is gone, or takes in nothing.
                    *alive = false;
                }
            }
            drop(alive);
            if self.outbox.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return;
            }
        }
    }

    /// True when the client can still be told something.
    pub(super) async fn is_alive(&self) -> bool {
        *self.writer.lock().await
    }

    pub(super) fn choice(&self) -> ScanChoice {
        ScanChoice { keep_file: true, full_tree: self.shared.log_extended, ..ScanChoice::default() }
    }

    async fn scan_stream(&self, object: Object, framed: Framed) {
        let _entry = self.shared.running.enter("INSTREAM", b"");
        let name = object.name.clone();
        let answer = self.shared.service.scan(&self.client, object, self.choice()).await;
        self.shared.told(&answer, |_| name);
        let lines: Vec<String> =
            texts(&answer).into_iter().map(|text| format!("stream: {text}")).collect();
        self.reply_bytes(framed, lines.iter().map(String::as_bytes)).await;
    }

    async fn scan_descriptor(&self, descriptor: OwnedFd, framed: Framed) {
        use std::os::fd::AsRawFd as _;
        let number = descriptor.as_raw_fd();
        let file = std::fs::File::from(descriptor);
        let regular = rustix::fs::fstat(&file).is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile
        });
        if !regular {
            self.shared.log.warning(&format!("fd[{number}]: Not a regular file. ERROR"));
            let text = format!("fd[{number}]: Not a regular file ERROR");
            return self.reply(framed, &[&text]).await;
        }
        let _entry = self.shared.running.enter("FILDES", b"");
        let object = Object::new(file, format!("fd[{number}]"));
        let answer = self.shared.service.scan(&self.client, object, self.choice()).await;
        self.shared.told(&answer, |answer| path_of_file(answer, number));
        let lines: Vec<String> =
            texts(&answer).into_iter().map(|text| format!("fd[{number}]: {text}")).collect();
        self.reply_bytes(framed, lines.iter().map(String::as_bytes)).await;
    }
}

/// Returns where the kernel says that a file is, for the log.
fn path_of_file(answer: &crate::scan::Answer, number: i32) -> Vec<u8> {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::ffi::OsStringExt as _;
    let link = answer
        .file
        .as_ref()
        .and_then(|file| std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok());
    link.map_or_else(
        || format!("fd[{number}]").into_bytes(),
        |path| path.into_os_string().into_vec(),
    )
}

impl Input {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn has_some(&self) -> bool {
        self.start < self.bytes.len()
    }

    /// Uses up bytes. Descriptors that came with what is used up wholly belong to nobody.
    pub(super) fn take(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Gives back the room that a stream took.
    fn calm(&mut self) {
        self.stream = false;
        self.space = Vec::new();
        self.bytes.shrink_to(READ_BYTES);
    }

    /// Waits for more bytes.
    pub(super) async fn more(&mut self, link: &Link, by: Option<Instant>) -> Result<(), Starved> {
        if self.ended {
            return Err(Starved::Ended);
        }
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        if !self.has_some() {
            // They came with a command that takes none.
            self.descriptors.clear();
        }
        // Where nothing is lost when the caller turns to something else in between.
        self.space.resize(if self.stream { STREAM_BYTES } else { READ_BYTES }, 0);
        let receive = link.receive(&mut self.space, &mut self.descriptors);
        let got = match by {
            Some(by) => timeout_at(by, receive).await.map_err(|_| Starved::Late)?,
            None => receive.await,
        };
        match got {
            Ok(len @ 1..) => {
                self.bytes.extend_from_slice(self.space.get(..len).unwrap_or_default());
                Ok(())
            }
            _ => {
                self.ended = true;
                Err(Starved::Ended)
            }
        }
    }
}

/// A command without what it borrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ping,
    Version,
    VersionCommands,
    Reload,
    SelfCheck,
    Shutdown,
    Stats,
    Scan(PathScan),
    Fildes,
    Instream,
    Session,
    End,
    Silent,
    Unknown,
}

impl Kind {
    fn of(command: Command<'_>) -> Self {
        match command {
            Command::Ping => Self::Ping,
            Command::Version => Self::Version,
            Command::VersionCommands => Self::VersionCommands,
            Command::Reload => Self::Reload,
            Command::SelfCheck => Self::SelfCheck,
            Command::Shutdown => Self::Shutdown,
            Command::Stats => Self::Stats,
            Command::Scan(scan, _) => Self::Scan(scan),
            Command::Fildes => Self::Fildes,
            Command::Instream => Self::Instream,
            Command::Session => Self::Session,
            Command::End => Self::End,
            Command::Silent => Self::Silent,
            Command::Unknown => Self::Unknown,
        }
    }
}

fn path_of<'a>(command: Command<'a>) -> &'a [u8] {
    match command {
        Command::Scan(_, path) => path,
        _ => b"",
    }
}

fn scan_name(scan: PathScan) -> &'static str {
    match scan {
        PathScan::First => "SCAN",
        PathScan::All => "CONTSCAN",
        PathScan::Parallel => "MULTISCAN",
        PathScan::AllMatches => "ALLMATCHSCAN",
    }
}

/// Returns the moment in so many seconds; none for 0, which means no bound.
pub(super) fn after(seconds: u64) -> Option<Instant> {
    let seconds = if seconds == 0 { u64::from(u32::MAX) } else { seconds };
    Instant::now().checked_add(Duration::from_secs(seconds))
}

/// As clamd 1.4.6 lists them, with what newer versions add.
const COMMANDS: &str = "SCAN QUIT RELOAD PING CONTSCAN VERSIONCOMMANDS VERSION END SHUTDOWN MULTISCAN FILDES STATS \
     IDSESSION INSTREAM DETSTATSCLEAR DETSTATS ALLMATCHSCAN";

/// Ours: bytes that are read at once; few, because many connections may wait.
const READ_BYTES: usize = 8 << 10;
const STREAM_BYTES: usize = 128 << 10;

/// Ours: commands of one connection that run at once.
const COMMANDS_MAX: usize = 64;

/// Ours: bytes of streams of one connection that are under way, in blocks.
const BLOCK: u64 = 64 << 10;
const BLOCKS_MAX: usize = 4096;

/// Ours: bytes of replies beyond which an answer waits until they are sent.
const OUTBOX_MAX: usize = 1 << 20;

/// Ours: a client that takes in nothing for so long, though it asked, is given up.
const PATIENCE: Duration = Duration::from_secs(30);
