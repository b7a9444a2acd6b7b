//! Which path does what, who may ask, and what goes wrong with a request.
//!
//! Promises: the list [`ROUTES`] is the whole of it; `docs/openapi.json` has the same paths and methods,
//! which a test compares. Answers are never cached, and never taken for another type.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, EXPECT, HOST, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::problem::Problem;
use super::{Shared, page, prometheus, scan, views};
use crate::scan::Client;

/// A path, its method, and whether it needs the right to ask.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The path.
    pub path: &'static str,
    /// Its only method (`HEAD` where there is `GET`).
    pub method: &'static str,
    /// Everybody may ask.
    pub open: bool,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Page,
    Style,
    Script,
    Scan,
    Health,
    Live,
    Content,
    Findings,
    Quarantine,
    Stats,
    Metrics,
    OpenApi,
}

const fn get(path: &'static str, what: What) -> Route {
    Route { path, method: "GET", open: false, what }
}

const fn open(path: &'static str, what: What) -> Route {
    Route { open: true, ..get(path, what) }
}

/// Every path.
pub const ROUTES: [Route; 12] = [
    get("/", What::Page),
    get("/metrics", What::Metrics),
    open("/openapi.json", What::OpenApi),
    get("/page.css", What::Style),
    get("/page.js", What::Script),
    get("/v1/content", What::Content),
    get("/v1/findings", What::Findings),
    open("/v1/health", What::Health),
    open("/v1/health/live", What::Live),
    get("/v1/quarantine", What::Quarantine),
    Route { method: "POST", ..get("/v1/scan", What::Scan) },
    get("/v1/stats", What::Stats),
];

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
    /// It showed a certificate that was verified.
    pub(super) certified: bool,
    /// It came over TCP, so that a browser may have been led here by a name.
    pub(super) by_name: bool,
}

/// Answers a request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    caller: Caller,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let expects = request.headers().contains_key(EXPECT);
    let mut response = match check(&shared, &caller, &request) {
        Ok(What::Scan) => match scan::scan(&shared, &caller.client, request).await {
            Ok(value) => json(StatusCode::OK, &value),
            Err(problem) => problem.into_response(),
        },
        Ok(what) => show(&shared, what).await,
        Err(problem) => {
            // What a client is about to send is read for a moment, so that it comes to read.
            if !expects {
                throw_away(request.into_body()).await;
            }
            problem.into_response()
        }
    };
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn check(shared: &Shared, caller: &Caller, request: &Request<Incoming>) -> Result<What, Problem> {
    if caller.by_name && !shared.authenticates() {
        own_name(shared, request.headers())?;
    }
    let path = request.uri().path();
    let route = ROUTES.iter().find(|route| route.path == path);
    // Who may not ask does not learn which paths there are.
    let allowed = route.is_some_and(|route| route.open)
        || !shared.authenticates()
        || caller.certified
        || token(shared, request.headers());
    if !allowed {
        return Err(Problem::unauthorised());
    }
    let route = route.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "no such path; /openapi.json describes all")
    })?;
    let get = route.method == "GET";
    match *request.method() {
        Method::GET | Method::HEAD if get => Ok(route.what),
        Method::POST if !get => Ok(route.what),
        _ => Err(Problem::method(if get { "GET, HEAD" } else { route.method })),
    }
}

fn token(shared: &Shared, fields: &HeaderMap) -> bool {
    let Some(tokens) = &shared.tokens else { return false };
    fields.get(AUTHORIZATION).is_some_and(|value| tokens.accept(value.as_bytes()))
}

/// Refuses names of strangers, so that no web page can lead a browser here under its own name and
/// read what is for this machine.
fn own_name(shared: &Shared, fields: &HeaderMap) -> Result<(), Problem> {
    let refused = || {
        let detail = "ask for localhost or an address, or list the name in http.hosts";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, detail)
    };
    let Some(host) = fields.get(HOST) else { return Ok(()) };
    let host = host.to_str().map_err(|_| refused())?;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let known = |listed: &String| listed.eq_ignore_ascii_case(name);
    let local = name.eq_ignore_ascii_case("localhost") || address;
    if local || shared.config.hosts.iter().any(known) { Ok(()) } else { Err(refused()) }
}

async fn show(shared: &Shared, what: What) -> Response<Full<Bytes>> {
    let service = &shared.service;
    let ok = StatusCode::OK;
    match what {
        What::Page => {
            let html = page::html(service, shared.quarantine().await);
            text("text/html; charset=utf-8", html)
        }
        What::Style => text("text/css; charset=utf-8", page::STYLE.to_owned()),
        What::Script => text("text/javascript; charset=utf-8", page::SCRIPT.to_owned()),
        What::Health => {
            let (value, ready) = views::health(&service.status(), service.is_stopping());
            json(if ready { ok } else { StatusCode::SERVICE_UNAVAILABLE }, &value)
        }
        What::Live => json(ok, &serde_json::json!({ "live": true })),
        What::Content => json(ok, &views::content(&service.status())),
        What::Findings => json(ok, &views::findings(&service.recent_findings())),
        What::Stats => json(ok, &views::stats(&service.metrics(), &service.status())),
        What::Metrics => {
            let body = prometheus::text(&service.metrics(), &service.status());
            text("text/plain; version=0.0.4; charset=utf-8", body)
        }
        What::OpenApi => text("application/json", OPENAPI.to_owned()),
        What::Quarantine => match shared.quarantine().await {
            Some(Ok(entries)) => json(ok, &serde_json::json!({ "entries": entries })),
            Some(Err(why)) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
            None => {
                let detail = "there is no quarantine";
                Problem::new(StatusCode::NOT_FOUND, detail).into_response()
            }
        },
        What::Scan => Problem::method("POST").into_response(),
    }
}

fn json(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = text("application/json", value.to_string());
    *response.status_mut() = status;
    response
}

fn text(kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

async fn throw_away(mut body: Incoming) {
    let end = Instant::now() + THROW_AWAY;
    let mut left = THROW_AWAY_BYTES;
    while left > 0 && !body.is_end_stream() {
        match tokio::time::timeout_at(end, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len));
            }
            _ => return,
        }
    }
}

/// The document that describes all this.
pub const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

/// Nothing but the page's own style, script and data.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Ours.
const THROW_AWAY: std::time::Duration = std::time::Duration::from_secs(1);

/// Ours.
const THROW_AWAY_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_path() {
        let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let mut told: Vec<String> = Vec::new();
        for (path, methods) in paths {
            for (method, about) in methods.as_object().expect("methods") {
                let open = about["security"].as_array().is_some_and(Vec::is_empty);
                told.push(format!("{} {path} {open}", method.to_uppercase()));
            }
        }
        told.sort();
        let mut real: Vec<String> = ROUTES
            .iter()
            .map(|route| format!("{} {} {}", route.method, route.path, route.open))
            .collect();
        real.sort();
        assert_eq!(told, real);
    }
}
