//! The service behind every front door: one queue, one set of workers, one content.
//!
//! [`Service`] scans objects for clients; doors (the clamd protocol, HTTP, ICAP, milter) speak with
//! strangers, gather what they send with [`Intake`], and ask the service. The program gives it its
//! content ([`ContentSource`]) and says how workers are started.
//! Promises: bytes of objects are stored and hashed here and never interpreted; every queue, cache
//! and connection is bounded; a client that stalls, lies or floods costs itself; content that
//! cannot be used leaves the last good one in use, and that is said.
//! Leaves out: what is done about a finding. Verdicts are `hf-policy`'s, actions the program's.
#![forbid(unsafe_code)]

pub mod clamd;
pub mod clamd_conf;
pub mod config;
pub mod content;
pub mod doors;
pub mod http;
pub mod icap;
pub mod intake;
pub mod listen;
pub mod log;
pub mod logs;
pub mod milter;
pub mod room;
pub mod run;
pub mod scan;
pub mod service;
pub mod sockets;
mod telling;
mod wire;
pub mod words;

pub use clamd::ClamdDoor;
pub use config::{Config, ConfigError};
pub use content::{Content, ContentIdentity, ContentSource, DatabaseVersion};
pub use intake::{Intake, IntakeError};
pub use log::{Log, Severity};
pub use logs::Logs;
pub use run::{RunError, RunSetup, run};
pub use scan::{Answer, Client, Door, Object, Peer, Priority, ScanChoice};
pub use service::{Finding, Metrics, ReloadError, Second, Service, ServiceSetup, Status};
