//! One connection of an ICAP client: request after request until either side ends it.
//!
//! Promises: answers come in the order of requests; a body is gathered in the service's intake and never
//! looked at here; nothing passes as clean that was not scanned, except where policy says so.
//! Leaves out: `206` (a body changed in part), trailers, and previews of type lists.
//! Sources: RFC 3507 §4.5 (preview), §4.6 (204), §4.8 (REQMOD), §4.9 (RESPMOD).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use hf_core::Verdict;
use tokio::time::Instant;

use super::answer::{self, Blocked, Common};
use super::block::{self, Block};
use super::chunked::{self, BadChunk, Chunks, End};
use super::request::{HEADS_MAX, Method, Request};
use super::{OnTrouble, Shared};
use crate::intake::{Intake, IntakeError};
use crate::listen::{Stream, seconds};
use crate::room::Place;
use crate::scan::{Client, ScanChoice};
use crate::wire::{Wire, WireError};

/// Speaks with a client until the end.
pub(super) async fn converse(
    shared: Arc<Shared>,
    stream: Box<dyn Stream>,
    client: Client,
    place: Arc<Place>,
) {
    let wire = Wire::new(stream, seconds(shared.config.write_seconds));
    let mut connection = Connection { shared, wire, client, place };
    let ended = connection.run().await;
    let (status, why) = match &ended {
        Ok(()) | Err(Ended::Done | Ended::Wire(WireError::Closed | WireError::System(_))) => return,
        Err(Ended::Refused(status, why)) => (*status, why.clone()),
        Err(Ended::Chunk(bad)) => (400, bad.to_string()),
        Err(Ended::Wire(WireError::TimedOut)) => (408, "it took too long".to_owned()),
        Err(Ended::Wire(WireError::TooMuch)) => (400, "too much at once".to_owned()),
        Err(Ended::Intake(error)) => (500, error.to_string()),
        Err(Ended::Lingering) => return connection.wire.linger().await,
    };
    let client = connection.client.name();
    connection.shared.service.log().info(&format!("icap: {client}: {status}: {why}"));
    let common = connection.common(true);
    if connection.wire.send(&common.plain(status)).await.is_ok() {
        connection.wire.linger().await;
    }
}

struct Connection {
    shared: Arc<Shared>,
    wire: Wire<Box<dyn Stream>>,
    client: Client,
    place: Arc<Place>,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// In order, between two requests.
    #[error("done")]
    Done,
    /// After the last answer was sent though not all of the request was read.
    #[error("answered early")]
    Lingering,
    #[error("{0}: {1}")]
    Refused(u16, String),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Chunk(#[from] BadChunk),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

/// A request to judge, with what it encapsulates.
struct Asked {
    request: Request,
    /// The head of the HTTP message to judge, as it came.
    head: Vec<u8>,
    /// `req` or `res`.
    part: &'static str,
    /// What is asked for, for logs and pages.
    url: String,
    /// Bytes of the body as its HTTP head states them.
    stated_bytes: Option<u64>,
}

/// How far a body was read.
enum Body {
    Whole(Intake),
    /// More than what is scanned; what was not read yet is behind `chunks`.
    TooLarge {
        intake: Intake,
        chunks: Chunks,
        data: Vec<u8>,
    },
}

impl Connection {
    async fn run(&mut self) -> Result<(), Ended> {
        loop {
            let Some(head) = self.head().await? else { return Ok(()) };
            let request = Request::parse(&head)
                .map_err(|bad| Ended::Refused(bad.status(), bad.to_string()))?;
            let close = request.close;
            if request.method == Method::Options {
                self.options(&request).await?;
            } else if self.shared.knows(&request.service) {
                self.judge(request).await?;
            } else {
                let why = format!("no service '{}'", request.service);
                return Err(Ended::Refused(404, why));
            }
            if close {
                return Err(Ended::Done);
            }
        }
    }

    fn common(&self, close: bool) -> Common {
        Common { istag: self.shared.istag(), close }
    }

    /// Reads a request's head; none when the client has ended in order, or the service ends.
    async fn head(&mut self) -> Result<Option<Vec<u8>>, Ended> {
        let config = &self.shared.config;
        let (idle, head) = (seconds(config.idle_seconds), seconds(config.header_seconds));
        let mut deadline = Instant::now() + idle;
        let mut searched = 0;
        loop {
            // Line ends between requests are skipped, as HTTP servers do.
            let blanks = self.wire.held().iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            if searched == 0 && blanks > 0 {
                self.wire.consume(blanks);
            }
            if let Some(end) = block::end(self.wire.held(), searched) {
                let head = self.wire.held().get(..end).unwrap_or_default().to_vec();
                self.wire.consume(end);
                return Ok(Some(head));
            }
            let len = self.wire.held().len();
            if len > HEAD_MAX {
                return Err(Ended::Refused(400, "a head that is too long".to_owned()));
            }
            if searched == 0 && len > 0 {
                deadline = Instant::now() + head;
            }
            searched = len;
            let service = self.shared.service.clone();
            // While it is idle it looks now and then whether others want its place.
            let look =
                if len == 0 { deadline.min(Instant::now() + CROWDED_IDLE) } else { deadline };
            let filled = tokio::select! {
                filled = self.wire.fill(look) => filled,
                () = service.stopping(), if len == 0 => return Ok(None),
            };
            let crowded = self.place.is_crowded();
            match filled {
                Err(WireError::TimedOut) if len == 0 && look < deadline && !crowded => {}
                Err(WireError::TimedOut | WireError::Closed) if len == 0 => return Ok(None),
                filled => filled?,
            }
        }
    }

    async fn options(&mut self, request: &Request) -> Result<(), Ended> {
        if request.parts.body {
            let mut chunks = Chunks::default();
            self.throw_away(&mut chunks).await?;
        }
        let config = &self.shared.config;
        let options = answer::Options {
            preview_bytes: config.preview_bytes,
            connections_max: config.max_connections,
            ttl_s: config.options_ttl_seconds,
        };
        let text = self.common(request.close).options(&options);
        Ok(self.wire.send(&text).await?)
    }

    async fn judge(&mut self, request: Request) -> Result<(), Ended> {
        let parts = request.parts;
        let req_head = self.exactly(parts.req_head_bytes).await?;
        let res_head = self.exactly(parts.res_head_bytes).await?;
        let url = Block::parse(&req_head).ok().map_or_else(String::new, |block| {
            let mut words = block.start.split_ascii_whitespace();
            let (method, url) =
                (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if method == "GET" { url.to_owned() } else { format!("{method} {url}") }
        });
        let respmod = request.method == Method::Respmod;
        let (part, head) = if respmod { ("res", res_head) } else { ("req", req_head) };
        let stated_bytes = Block::parse(&head)
            .ok()
            .and_then(|block| super::request::number(block.field("Content-Length")?));
        let asked = Asked { request, head, part, url, stated_bytes };
        if !parts.body {
            // Nothing to look at.
            return self.unchanged(&asked, None, true).await;
        }
        let mut intake = self.shared.service.intake(u64::MAX);
        let mut early = false;
        if let Some(preview_bytes) = asked.request.preview_bytes {
            match self.preview(preview_bytes, &mut intake).await? {
                End::WholeInPreview => {
                    return self.whole(&asked, intake, true).await;
                }
                End::Plain => early = true,
            }
        }
        if asked.stated_bytes.is_some_and(|bytes| bytes > self.shared.config.max_object_bytes) {
            return self.too_large_as_stated(&asked, early, intake).await;
        }
        if early {
            self.wire.send(answer::CONTINUE).await?;
        }
        match self.body(intake).await? {
            Body::Whole(intake) => self.whole(&asked, intake, false).await,
            Body::TooLarge { intake, chunks, data } => {
                self.too_large(&asked, intake, chunks, &data).await
            }
        }
    }

    /// Reads the given number of bytes.
    async fn exactly(&mut self, len: usize) -> Result<Vec<u8>, Ended> {
        let deadline = Instant::now() + seconds(self.shared.config.header_seconds);
        if len > HEADS_MAX {
            return Err(Ended::Refused(400, "encapsulated headers that are too long".to_owned()));
        }
        while self.wire.held().len() < len {
            self.wire.fill(deadline).await?;
        }
        let bytes = self.wire.held().get(..len).unwrap_or_default().to_vec();
        self.wire.consume(len);
        Ok(bytes)
    }

    /// Reads the next data of a body; the end when there is one.
    async fn data(&mut self, chunks: &mut Chunks, out: &mut Vec<u8>) -> Result<Option<End>, Ended> {
        let deadline = Instant::now() + seconds(self.shared.config.body_seconds);
        loop {
            let step = chunks.read(self.wire.held(), out)?;
            self.wire.consume(step.used);
            if step.end.is_some() || !out.is_empty() {
                return Ok(step.end);
            }
            self.wire.fill(deadline).await?;
        }
    }

    async fn preview(&mut self, bytes_max: u64, intake: &mut Intake) -> Result<End, Ended> {
        let (mut chunks, mut data) = (Chunks::default(), Vec::new());
        loop {
            let end = self.data(&mut chunks, &mut data).await?;
            intake.write(&data).await?;
            data.clear();
            if intake.size() > bytes_max || intake.size() > self.shared.config.max_object_bytes {
                return Err(Ended::Refused(400, "a preview longer than it says".to_owned()));
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    async fn body(&mut self, mut intake: Intake) -> Result<Body, Ended> {
        let (mut chunks, mut data) = (Chunks::default(), Vec::new());
        loop {
            let end = self.data(&mut chunks, &mut data).await?;
            let more = u64::try_from(data.len()).unwrap_or(u64::MAX);
            if intake.size().saturating_add(more) > self.shared.config.max_object_bytes {
                return Ok(Body::TooLarge { intake, chunks, data });
            }
            intake.write(&data).await?;
            data.clear();
            if end.is_some() {
                return Ok(Body::Whole(intake));
            }
        }
    }

    /// Reads a body to its end without keeping it.
    async fn throw_away(&mut self, chunks: &mut Chunks) -> Result<(), Ended> {
        let mut data = Vec::new();
        while self.data(chunks, &mut data).await?.is_none() {
            data.clear();
        }
        Ok(())
    }

    /// Judges a body that was read whole; `in_preview` says that it was one.
    async fn whole(
        &mut self,
        asked: &Asked,
        intake: Intake,
        in_preview: bool,
    ) -> Result<(), Ended> {
        let may_204 = in_preview || asked.request.allow_204;
        if intake.size() == 0 {
            return self.unchanged(asked, None, may_204).await;
        }
        let object = intake.finish(asked.url.as_bytes())?;
        // What cannot be answered by `204` is given back.
        let file = match may_204 {
            true => None,
            false => Some(object.file.try_clone().map_err(WireError::System)?),
        };
        let scan = self.shared.service.scan(&self.client, object, ScanChoice::default());
        let answer = tokio::time::timeout(seconds(self.shared.config.scan_seconds), scan).await;
        let config = &self.shared.config;
        let Ok(answer) = answer else {
            let why = "The scan took too long.".to_owned();
            return match config.on_timeout {
                OnTrouble::Allow => self.unchanged(asked, file, may_204).await,
                OnTrouble::Block => self.blocked(asked, &Blocked::NotScanned(why)).await,
            };
        };
        let why = match answer.verdict {
            Verdict::Clean => None,
            Verdict::Detected => {
                let name = answer.name().unwrap_or("unknown").to_owned();
                return self.blocked(asked, &Blocked::Found(name)).await;
            }
            Verdict::Incomplete if config.on_incomplete == OnTrouble::Allow => None,
            Verdict::Incomplete => Some("It could not be scanned wholly."),
            Verdict::Error if config.on_error == OnTrouble::Allow => None,
            Verdict::Error => Some("It could not be scanned."),
        };
        match why {
            Some(why) => self.blocked(asked, &Blocked::NotScanned(why.to_owned())).await,
            None => self.unchanged(asked, file, may_204).await,
        }
    }

    /// Answers that a message passes; `file` is its body, where it has to be given back.
    async fn unchanged(
        &mut self,
        asked: &Asked,
        file: Option<File>,
        may_204: bool,
    ) -> Result<(), Ended> {
        let common = self.common(asked.request.close);
        if may_204 {
            return Ok(self.wire.send(&common.plain(204)).await?);
        }
        let body = asked.request.parts.body;
        self.wire.send(&common.unchanged(asked.part, &asked.head, body)).await?;
        if let Some(file) = file {
            self.give_back(file).await?;
        }
        if body {
            self.wire.send(chunked::LAST).await?;
        }
        Ok(())
    }

    /// Sends a file in chunks.
    async fn give_back(&mut self, file: File) -> Result<(), Ended> {
        let file = Arc::new(file);
        let mut off = 0;
        loop {
            let from = Arc::clone(&file);
            let read = tokio::task::spawn_blocking(move || {
                let mut part = vec![0; GIVE_BACK];
                from.read_at(&mut part, off).map(|len| {
                    part.truncate(len);
                    part
                })
            });
            let part = read.await.map_err(std::io::Error::other).and_then(|read| read);
            let part = part.map_err(WireError::System)?;
            if part.is_empty() {
                return Ok(());
            }
            off = off.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            let mut chunk = Vec::with_capacity(part.len() + 16);
            chunked::put(&part, &mut chunk);
            self.wire.send(&chunk).await?;
        }
    }

    async fn blocked(&mut self, asked: &Asked, blocked: &Blocked) -> Result<(), Ended> {
        let client = asked.request.client_ip.as_deref().unwrap_or(self.client.name());
        let (what, url) = (asked.part, &asked.url);
        let told = match blocked {
            Blocked::Found(name) => format!("{name} FOUND"),
            Blocked::NotScanned(why) => format!("blocked: {why}"),
        };
        self.shared.service.log().warning(&format!("icap: {what} {url}: {told} (client {client})"));
        let page = answer::page(&self.shared.page, blocked, url, client);
        let text = self.common(asked.request.close).blocked(blocked, &page);
        Ok(self.wire.send(&text).await?)
    }

    /// Answers before the body is read, since its head states that it is too large.
    async fn too_large_as_stated(
        &mut self,
        asked: &Asked,
        in_preview: bool,
        intake: Intake,
    ) -> Result<(), Ended> {
        let allow = self.shared.config.on_too_large == OnTrouble::Allow;
        if in_preview {
            // The client sends no more unless it is told to.
            return if allow {
                self.unchanged(asked, None, true).await
            } else {
                self.blocked(asked, &too_large()).await
            };
        }
        self.too_large(asked, intake, Chunks::default(), &[]).await
    }

    /// Answers while the rest of the body is still to come.
    async fn too_large(
        &mut self,
        asked: &Asked,
        intake: Intake,
        mut chunks: Chunks,
        data: &[u8],
    ) -> Result<(), Ended> {
        let told = format!("icap: {}: larger than what is scanned", asked.url);
        self.shared.service.log().info(&told);
        if self.shared.config.on_too_large == OnTrouble::Block {
            let page =
                answer::page(&self.shared.page, &too_large(), &asked.url, self.client.name());
            let text = self.common(true).blocked(&too_large(), &page);
            self.wire.send(&text).await?;
            return Err(Ended::Lingering);
        }
        if asked.request.allow_204 {
            self.throw_away(&mut chunks).await?;
            return self.unchanged(asked, None, true).await;
        }
        let common = self.common(asked.request.close);
        self.wire.send(&common.unchanged(asked.part, &asked.head, true)).await?;
        self.give_back(intake.finish(Vec::new())?.file).await?;
        self.send_chunk(data).await?;
        let mut data = Vec::new();
        loop {
            let end = self.data(&mut chunks, &mut data).await?;
            self.send_chunk(&data).await?;
            data.clear();
            if end.is_some() {
                return Ok(self.wire.send(chunked::LAST).await?);
            }
        }
    }

    async fn send_chunk(&mut self, data: &[u8]) -> Result<(), Ended> {
        let mut chunk = Vec::with_capacity(data.len() + 16);
        chunked::put(data, &mut chunk);
        Ok(self.wire.send(&chunk).await?)
    }
}

fn too_large() -> Blocked {
    Blocked::NotScanned("It is larger than what is scanned.".to_owned())
}

/// Ours: bytes of a request's head, without what it encapsulates.
const HEAD_MAX: usize = 64 << 10;

/// Ours: how long a connection may be idle while others wait for one.
const CROWDED_IDLE: std::time::Duration = std::time::Duration::from_secs(2);

/// Ours: bytes that are given back at a time.
const GIVE_BACK: usize = 256 << 10;
