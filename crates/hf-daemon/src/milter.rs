//! Milter: mail servers ask what is to become of a message.
//!
//! Promises: a message is scanned once, as one object; what cannot be scanned follows the policy of the
//! configuration, and the mail server never waits without being told so.
//! Leaves out: changing bodies and recipients.
//! Sources: Sendmail's milter protocol, version 6, as Sendmail's and Postfix's documentation describe it;
//! clamav-milter.conf(5) for the options.

mod connection;
pub mod conversation;
pub mod packet;
pub mod policy;
pub mod skip;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::policy::{Action, AddHeader, Policy};
use self::skip::Skips;
use crate::listen::{Address, Arrival, ListenError, Listener, SocketAccess};
use crate::room::Room;
use crate::scan::Door;
use crate::service::Service;

/// `[milter]`. Names follow clamav-milter.conf.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MilterConfig {
    /// Where it waits (`MilterSocket`); nowhere by default, and then there is no milter.
    pub listen: Vec<Address>,
    /// Permission bits of socket files, in octal digits (`MilterSocketMode`).
    pub socket_mode: String,
    /// Group of socket files, by name or number (`MilterSocketGroup`); none for the process's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_group: Option<String>,
    /// Connections at once; more wait.
    pub max_connections: usize,
    /// Larger messages are not scanned.
    pub max_file_bytes: u64,
    /// What is done with clean messages.
    pub on_clean: Action,
    /// What is done with infected messages.
    pub on_infected: Action,
    /// What is done with messages that were not scanned wholly.
    pub on_incomplete: Action,
    /// What is done with messages above `max-file-bytes`.
    pub on_too_large: Action,
    /// What is done when a scan fails or takes too long (`OnFail`).
    pub on_error: Action,
    /// Text of a refusal, with `%v` for the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject_message: Option<String>,
    /// Whether `X-Virus-Scanned` and `X-Virus-Status` are added.
    pub add_header: AddHeader,
    /// What the first of them calls this machine; none for its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_hostname: Option<String>,
    /// A program and its first arguments, run for infected messages. No shell is involved.
    pub virus_action: Vec<String>,
    /// How long that may take.
    pub virus_action_seconds: u64,
    /// Networks whose messages are not scanned; `local` for mail that came over none.
    pub local_net: Vec<String>,
    /// File of addresses whose messages are not scanned (`AllowList`, `Whitelist`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_list: Option<PathBuf>,
    /// Logins whose messages are not scanned: a regular expression, or `file:` with a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_authenticated: Option<String>,
    /// What the log says of infected messages.
    pub log_infected: LogMessages,
    /// What the log says of clean messages.
    pub log_clean: LogMessages,
    /// Lines and `virus-action` for each recipient, rather than for the last.
    pub support_multiple_recipients: bool,
    /// How long a scan may take, waiting for its turn included.
    pub scan_seconds: u64,
    /// How long a connection may be idle.
    pub idle_seconds: u64,
    /// How long the rest of a packet may take.
    pub packet_seconds: u64,
    /// How long an answer may take.
    pub write_seconds: u64,
}

/// What the log says of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogMessages {
    /// Nothing.
    Off,
    /// Id, sender, recipient and result.
    Basic,
    /// Subject, message id and date as well.
    Full,
}

impl Default for MilterConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            socket_mode: "660".to_owned(),
            socket_group: None,
            max_connections: 256,
            max_file_bytes: 100 << 20,
            on_clean: Action::Accept,
            on_infected: Action::Quarantine,
            on_incomplete: Action::Accept,
            on_too_large: Action::Accept,
            on_error: Action::Tempfail,
            reject_message: None,
            add_header: AddHeader::No,
            report_hostname: None,
            virus_action: Vec::new(),
            virus_action_seconds: 30,
            local_net: Vec::new(),
            allow_list: None,
            skip_authenticated: None,
            log_infected: LogMessages::Basic,
            log_clean: LogMessages::Off,
            support_multiple_recipients: false,
            scan_seconds: 180,
            idle_seconds: 7210,
            packet_seconds: 60,
            write_seconds: 60,
        }
    }
}

/// The milter, with its sockets open.
#[derive(Debug)]
pub struct Milter {
    config: MilterConfig,
    skips: Skips,
    listeners: Vec<Listener>,
}

/// The door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum MilterError {
    /// A socket cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A rule for mail that is not scanned cannot be read.
    #[error("{0}")]
    Skip(String),
    /// `reject-message` cannot be a line of SMTP.
    #[error("reject-message: only one line of printable ASCII, with no % but in %v")]
    RejectMessage,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    config: MilterConfig,
    policy: Policy,
    skips: Skips,
    service: Service,
}

impl Milter {
    /// Opens the sockets; none when nothing is to be listened on. Socket files are given to `owner`.
    ///
    /// # Errors
    /// See [`MilterError`].
    pub fn open(
        config: &MilterConfig,
        owner: Option<(u32, u32)>,
    ) -> Result<Option<Self>, MilterError> {
        if let Some(text) = &config.reject_message {
            let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            if !plain || text.replace("%v", "").contains('%') || text.len() > 400 {
                return Err(MilterError::RejectMessage);
            }
        }
        let login = config.skip_authenticated.as_deref();
        let skips = Skips::read(&config.local_net, config.allow_list.as_deref(), login);
        let skips = skips.map_err(MilterError::Skip)?;
        if config.listen.is_empty() {
            return Ok(None);
        }
        let access = SocketAccess {
            mode: &config.socket_mode,
            group: config.socket_group.as_deref(),
            owner,
        };
        let listeners = Listener::open_all(&config.listen, access)?;
        Ok(Some(Self { config: config.clone(), skips, listeners }))
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
        let policy = policy(&self.config);
        let service_of_all = service.clone();
        let shared = Shared { config: self.config, policy, skips: self.skips, service };
        let shared = Arc::new(shared);
        let serve = move |stream, arrival: Arrival| {
            let Arrival { peer, name, place } = arrival;
            let client = shared.service.client(Door::Milter, &peer, name);
            let talk = connection::converse(Arc::clone(&shared), stream, client);
            async move {
                talk.await;
                drop(place);
            }
        };
        Listener::serve_all(self.listeners, service_of_all, room, serve).await
    }
}

fn policy(config: &MilterConfig) -> Policy {
    let machine = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
    };
    let machine = config.report_hostname.clone().unwrap_or_else(machine);
    Policy {
        on_clean: config.on_clean,
        on_infected: config.on_infected,
        on_incomplete: config.on_incomplete,
        on_too_large: config.on_too_large,
        on_error: config.on_error,
        reject_message: config.reject_message.clone(),
        add_header: config.add_header,
        scanned_by: format!("holdfast {} at {machine}", env!("CARGO_PKG_VERSION")),
    }
}
