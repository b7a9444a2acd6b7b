//! HTTP: programs send files, and people look at how the service is.
//!
//! Promises: HTTP/1.1 by hyper, over TCP, TLS or a socket file; a client that is slow with its head or
//! body, or sends too much, costs itself; without authentication only this machine is served, unless the
//! configuration says otherwise. Bodies are never interpreted here.
//! Leaves out: HTTP/2, and any way to change something: what there is to change is changed by the program.
//! Sources: RFC 9110, RFC 9112; `docs/openapi.json` describes it.

pub mod auth;
pub mod multipart;
mod page;
mod patience;
pub mod problem;
pub mod prometheus;
mod quarantine;
pub mod routes;
mod scan;
mod tls;
mod turns;
pub mod views;

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_rustls::TlsAcceptor;

use self::auth::Tokens;
use self::patience::Patience;
use self::routes::Caller;
use self::turns::Turns;
use crate::listen::{Address, Arrival, ListenError, Listener, SocketAccess, Stream, seconds};
use crate::room::{Place, Room};
use crate::scan::{Client, Door, Peer};
use crate::service::Service;

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct HttpConfig {
    /// Where it waits; nowhere by default, and then there is no HTTP.
    pub listen: Vec<Address>,
    /// Permission bits of socket files, in octal digits.
    pub socket_mode: String,
    /// Group of socket files, by name or number; none for the process's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_group: Option<String>,
    /// File with bearer tokens, one a line, that only its owner can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Certificate chain in PEM; with `tls-key`, TLS is spoken on TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Authorities in PEM whose client certificates are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_authorities: Option<PathBuf>,
    /// Listens on addresses that others can reach though nobody has to authenticate.
    pub allow_anonymous: bool,
    /// Names by which clients without authentication may call this machine, beside `localhost`.
    pub hosts: Vec<String>,
    /// Bytes of a request's body.
    pub max_body_bytes: u64,
    /// Connections at once; more wait.
    pub max_connections: usize,
    /// Bodies that are received or scanned at once; more are told to come again.
    pub max_requests: usize,
    /// How long a head may take, and a connection be idle.
    pub header_seconds: u64,
    /// How long the next data of a body may take.
    pub body_seconds: u64,
    /// How long a whole body may take.
    pub request_seconds: u64,
    /// How long a client may take to take in more of an answer.
    pub write_seconds: u64,
    /// How long a scan may take, waiting for its turn included.
    pub scan_seconds: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            socket_mode: "660".to_owned(),
            socket_group: None,
            token_file: None,
            tls_certificate: None,
            tls_key: None,
            client_authorities: None,
            allow_anonymous: false,
            hosts: Vec::new(),
            max_body_bytes: 100 << 20,
            max_connections: 256,
            max_requests: 64,
            header_seconds: 30,
            body_seconds: 30,
            request_seconds: 600,
            write_seconds: 30,
            scan_seconds: 180,
        }
    }
}

/// HTTP, with its sockets open.
#[derive(Debug)]
pub struct Http {
    config: HttpConfig,
    /// Where the quarantine is; asked for before rights are given up.
    quarantine: Option<PathBuf>,
    tokens: Option<Tokens>,
    tls: Option<Arc<rustls::ServerConfig>>,
    listeners: Vec<Listener>,
}

/// The door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A socket cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The tokens cannot be used.
    #[error("token-file {0}")]
    Token(String),
    /// TLS cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// Everybody could ask.
    #[error(
        "{0} can be reached by other machines, and nobody has to authenticate: set token-file or \
         client-authorities, or allow-anonymous if that is meant"
    )]
    Anonymous(Address),
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    config: HttpConfig,
    tokens: Option<Tokens>,
    turns: Turns,
    /// Where the quarantine is.
    quarantine: Option<PathBuf>,
    service: Service,
}

impl Shared {
    fn authenticates(&self) -> bool {
        self.tokens.is_some() || self.config.client_authorities.is_some()
    }

    /// Returns what is in the quarantine, or why that cannot be told; none when there is no place for
    /// one.
    async fn quarantine(&self) -> Option<Result<Vec<Value>, String>> {
        let path = self.quarantine.clone()?;
        let list = tokio::task::spawn_blocking(move || quarantine::list(&path)).await;
        Some(list.unwrap_or_else(|error| Err(error.to_string())))
    }
}

impl Http {
    /// Opens the sockets; none when nothing is to be listened on. Socket files are given to `owner`.
    /// `vault` is where the quarantine is; none for the usual place.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub fn open(
        config: &HttpConfig,
        vault: Option<&Path>,
        owner: Option<(u32, u32)>,
    ) -> Result<Option<Self>, HttpError> {
        if config.listen.is_empty() {
            return Ok(None);
        }
        let tokens = config.token_file.as_deref().map(Tokens::read).transpose();
        let tokens = tokens.map_err(HttpError::Token)?;
        let clients = config.client_authorities.as_deref();
        let tls = match (&config.tls_certificate, &config.tls_key) {
            (Some(certificate), Some(key)) => {
                // With tokens as well, either will do.
                let config = tls::server(certificate, key, clients, tokens.is_none());
                Some(config.map_err(HttpError::Tls)?)
            }
            (None, None) if clients.is_none() => None,
            (None, None) => {
                let why = "client-authorities needs tls-certificate and tls-key";
                return Err(HttpError::Tls(why.to_owned()));
            }
            _ => {
                let why = "tls-certificate and tls-key go together";
                return Err(HttpError::Tls(why.to_owned()));
            }
        };
        let authenticates = tokens.is_some() || clients.is_some();
        let public = config.listen.iter().find(|address| !address.is_local());
        if let Some(address) = public
            && !authenticates
            && !config.allow_anonymous
        {
            return Err(HttpError::Anonymous(address.clone()));
        }
        let access = SocketAccess {
            mode: &config.socket_mode,
            group: config.socket_group.as_deref(),
            owner,
        };
        let listeners = Listener::open_all(&config.listen, access)?;
        let quarantine = vault.map(Path::to_owned).or_else(hf_quarantine::Vault::default_path);
        Ok(Some(Self { config: config.clone(), quarantine, tokens, tls, listeners }))
    }

    /// Returns where it waits.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().map(Listener::address)
    }

    /// Serves until the service ends.
    ///
    /// # Errors
    /// A socket cannot be used.
    pub async fn serve(self, service: Service) -> io::Result<()> {
        let room = Room::new(self.config.max_connections);
        let turns = Turns::new(self.config.max_requests);
        let (config, tokens) = (self.config, self.tokens);
        let shared = Arc::new(Shared {
            config,
            tokens,
            turns,
            quarantine: self.quarantine,
            service: service.clone(),
        });
        let tls = self.tls.map(TlsAcceptor::from);
        let serve = move |stream, arrival: Arrival| {
            let Arrival { peer, name, place } = arrival;
            // Who comes by a socket file is known by the kernel, and nobody listens in.
            let tcp = matches!(peer, Peer::Address(_));
            let client = shared.service.client(Door::Http, &peer, name);
            converse(Arc::clone(&shared), stream, tls.clone().filter(|_| tcp), client, (tcp, place))
        };
        Listener::serve_all(self.listeners, service, room, serve).await
    }
}

async fn converse(
    shared: Arc<Shared>,
    stream: Box<dyn Stream>,
    tls: Option<TlsAcceptor>,
    client: Client,
    (by_name, place): (bool, Arc<Place>),
) {
    let Some(tls) = tls else {
        return requests(shared, stream, Caller { client, certified: false, by_name }, &place)
            .await;
    };
    let greeted =
        tokio::time::timeout(seconds(shared.config.header_seconds), tls.accept(stream)).await;
    match greeted {
        Ok(Ok(stream)) => {
            let certified = stream.get_ref().1.peer_certificates().is_some();
            requests(shared, Box::new(stream), Caller { client, certified, by_name }, &place).await;
        }
        Ok(Err(error)) => {
            shared.service.log().info(&format!("http: {}: TLS: {error}", client.name()));
        }
        Err(_) => {}
    }
}

async fn requests(shared: Arc<Shared>, stream: Box<dyn Stream>, caller: Caller, place: &Place) {
    let answers = Arc::clone(&shared);
    let name = caller.client.name().to_owned();
    let answer = service_fn(move |request| {
        let (shared, caller) = (Arc::clone(&answers), caller.clone());
        async move { Ok::<_, Infallible>(routes::answer(shared, caller, request).await) }
    });
    let stream = Patience::new(stream, seconds(shared.config.write_seconds));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(seconds(shared.config.header_seconds))
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = shared.service.stopping() => {}
            () = tokio::time::sleep(CROWDED_IDLE) => {
                if !place.is_crowded() {
                    continue;
                }
            }
        }
        // It ends with the answer that is under way, if one is; others wait for its place.
        connection.as_mut().graceful_shutdown();
        break connection.await;
    };
    if let Err(error) = ended
        && !error.is_timeout()
        && !error.is_incomplete_message()
    {
        shared.service.log().line(crate::log::Severity::Detail, &format!("http: {name}: {error}"));
    }
}

/// Ours: how long a connection may be idle while others wait for one.
const CROWDED_IDLE: Duration = Duration::from_secs(2);

/// Ours: fields of a head.
const HEADERS_MAX: usize = 100;

/// Ours: bytes of a head, and of what is read ahead of a body.
const BUFFER: usize = 64 << 10;
