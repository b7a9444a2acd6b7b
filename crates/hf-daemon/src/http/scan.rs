//! `POST /v1/scan`: bodies in, verdicts out.
//!
//! Promises: a body is gathered in the service's intake and never looked at; of a form with several
//! files each is scanned while the next comes in, at most [`AT_ONCE`] at a time; results are in the
//! order of the files.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use hyper::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use hf_policy::Tell;

use super::Shared;
use super::multipart::{BadMultipart, Event, Multipart, percent_decoded};
use super::problem::Problem;
use crate::intake::{Intake, IntakeError};
use crate::listen::seconds;
use crate::scan::{Answer, Client, Object, ScanChoice};

/// What the query says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Query {
    name: Option<String>,
    all_match: bool,
}

/// Answers a request.
///
/// # Errors
/// The problem to answer.
pub(super) async fn scan(
    shared: &Shared,
    client: &Client,
    request: Request<Incoming>,
) -> Result<Value, Problem> {
    let query = query(request.uri().query().unwrap_or_default())?;
    let fields = request.headers();
    let multipart = kind(fields)?;
    let bytes_max = shared.config.max_body_bytes;
    if request.body().size_hint().lower() > bytes_max {
        return Err(Problem::too_large(bytes_max));
    }
    let _turn = shared.turns.take(client).ok_or_else(Problem::busy)?;
    let deadline = Instant::now() + seconds(shared.config.request_seconds);
    let body = Body { shared, body: request.into_body(), left: bytes_max, deadline };
    match multipart {
        None => raw(body, client, query).await,
        Some(multipart) => form(body, client, query, multipart).await,
    }
}

/// Says how a body is to be read: a form, or as it is.
fn kind(fields: &HeaderMap) -> Result<Option<Multipart>, Problem> {
    let text = |name| fields.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    if text(CONTENT_LENGTH).is_none() && text(TRANSFER_ENCODING).is_none() {
        return Err(Problem::new(StatusCode::LENGTH_REQUIRED, "the request has no body"));
    }
    let unsupported =
        |detail: String| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).closing();
    if let Some(encoding) = text(CONTENT_ENCODING)
        && !encoding.trim().eq_ignore_ascii_case("identity")
    {
        let detail = format!("content encoding {encoding}: send the file as it is");
        return Err(unsupported(detail));
    }
    let content_type = text(CONTENT_TYPE).unwrap_or_default();
    let multipart = Multipart::of_content_type(&content_type);
    let multipart = multipart.map_err(|bad| Problem::bad(bad.to_string()).closing())?;
    let parts = content_type
        .trim_start()
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    if multipart.is_none() && parts {
        return Err(unsupported("of multipart types only multipart/form-data is read".to_owned()));
    }
    Ok(multipart)
}

fn query(text: &str) -> Result<Query, Problem> {
    let mut query = Query::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
        match (key, value) {
            ("name", value) => query.name = Some(percent_decoded(&value.replace('+', " "))),
            ("all-match", "true" | "1") => query.all_match = true,
            ("all-match", "false" | "0") => query.all_match = false,
            _ => {
                let detail = "known parameters: name=TEXT, all-match=true|false";
                return Err(Problem::bad(detail).closing());
            }
        }
    }
    Ok(query)
}

/// A body with its bounds.
struct Body<'s> {
    shared: &'s Shared,
    body: Incoming,
    left: u64,
    deadline: Instant,
}

impl Body<'_> {
    /// Reads on; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let slow =
            || Problem::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly").closing();
        loop {
            let wait = Instant::now() + seconds(self.shared.config.body_seconds);
            let frame = timeout_at(wait.min(self.deadline), self.body.frame()).await;
            let frame = match frame.map_err(|_| slow())? {
                None => return Ok(None),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    return Err(Problem::bad(format!("the body is broken: {error}")).closing());
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
            let left = self.left.checked_sub(len);
            let bytes_max = self.shared.config.max_body_bytes;
            self.left = left.ok_or_else(|| Problem::too_large(bytes_max))?;
            return Ok(Some(data));
        }
    }
}

async fn raw(mut body: Body<'_>, client: &Client, query: Query) -> Result<Value, Problem> {
    let mut intake = body.shared.service.intake(body.shared.config.max_body_bytes);
    while let Some(data) = body.next().await? {
        intake.write(&data).await.map_err(no_room)?;
    }
    let name = query.name.unwrap_or_else(|| "body".to_owned());
    let object = intake.finish(name.as_bytes()).map_err(no_room)?;
    let choice = choice(body.shared, query.all_match);
    let answer = body.shared.service.scan(client, object, choice).await;
    Ok(told(&name, &answer, query.all_match))
}

async fn form(
    mut body: Body<'_>,
    client: &Client,
    query: Query,
    mut multipart: Multipart,
) -> Result<Value, Problem> {
    let bad = |bad: BadMultipart| Problem::bad(bad.to_string()).closing();
    let mut scans = Scans { running: VecDeque::new(), done: Vec::new() };
    let mut events = Vec::new();
    let mut part: Option<(String, Intake)> = None;
    loop {
        let data = body.next().await?;
        match &data {
            Some(data) => multipart.push(data, &mut events).map_err(bad)?,
            None => multipart.finish().map_err(bad)?,
        }
        for event in events.drain(..) {
            match (event, &mut part) {
                (Event::Part { field, file }, _) => {
                    let name = file.filter(|name| !name.is_empty()).unwrap_or(field);
                    part =
                        Some((name, body.shared.service.intake(body.shared.config.max_body_bytes)));
                }
                (Event::Data(data), Some((_, intake))) => {
                    intake.write(&data).await.map_err(no_room)?;
                }
                (Event::PartEnd, _) => {
                    let Some((name, intake)) = part.take() else { continue };
                    let object = intake.finish(name.as_bytes()).map_err(no_room)?;
                    scans.start(body.shared, client, name, object, query.all_match).await;
                }
                (Event::Data(_), None) => {}
            }
        }
        if data.is_none() {
            break;
        }
    }
    let files = scans.finish().await;
    if files.is_empty() {
        return Err(Problem::bad("the form has no file"));
    }
    Ok(json!({ "type": "files", "files": files }))
}

/// Scans of one form.
struct Scans {
    running: VecDeque<JoinHandle<Value>>,
    done: Vec<Value>,
}

impl Scans {
    async fn start(
        &mut self,
        shared: &Shared,
        client: &Client,
        name: String,
        object: Object,
        all_match: bool,
    ) {
        if self.running.len() >= AT_ONCE {
            self.one().await;
        }
        let (service, client) = (shared.service.clone(), client.clone());
        let choice = choice(shared, all_match);
        self.running.push_back(tokio::spawn(async move {
            let answer = service.scan(&client, object, choice).await;
            told(&name, &answer, all_match)
        }));
    }

    async fn one(&mut self) {
        if let Some(scan) = self.running.front_mut() {
            let failed = |_| json!({"type": "error", "path": "", "reason": "the scan was ended"});
            let value = scan.await.unwrap_or_else(failed);
            self.running.pop_front();
            self.done.push(value);
        }
    }

    async fn finish(mut self) -> Vec<Value> {
        while !self.running.is_empty() {
            self.one().await;
        }
        std::mem::take(&mut self.done)
    }
}

impl Drop for Scans {
    /// A client that is gone is not worked for.
    fn drop(&mut self) {
        self.running.iter().for_each(JoinHandle::abort);
    }
}

fn choice(shared: &Shared, all_match: bool) -> ScanChoice {
    ScanChoice {
        all_match,
        deadline: Some(seconds(shared.config.scan_seconds)),
        ..ScanChoice::default()
    }
}

fn told(name: &str, answer: &Answer, all_match: bool) -> Value {
    let tell = if all_match { Tell::All } else { Tell::One };
    let decision = hf_policy::decide(&answer.report, tell);
    let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    hf_policy::json::file(path, answer.size, answer.verdict, &decision.findings, &answer.report)
}

fn no_room(error: IntakeError) -> Problem {
    match error {
        IntakeError::TooLong(bytes_max) => Problem::too_large(bytes_max),
        IntakeError::System(_) => {
            let detail = "there is no room to keep the body";
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, detail).closing()
        }
    }
}

/// Ours: files of one form that are scanned or wait at once.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let of = |text: &str| query(text).map_err(|problem| problem.status().as_u16());
        assert!(matches!(of(""), Ok(query) if query == Query::default()));
        let full = Query { name: Some("a b&".to_owned()), all_match: true };
        assert!(matches!(of("name=a+b%26&all-match"), Ok(query) if query == full));
        for text in ["x=1", "all-match=maybe"] {
            assert!(matches!(of(text), Err(400)), "{text}");
        }
    }
}
