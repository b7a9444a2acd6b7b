//! What happens, told to the journal, syslog, a file of JSON lines, programs and people's desktops.
//!
//! Promises: telling never blocks or fails what is told about: queues are bounded, and what did not fit is counted and
//! told; no byte of a hostile name can end a line, steer a terminal, add a field or reach a shell.
//! Leaves out: deciding what is worth telling; sending over a network (the journal, syslog and agents do that).
#![forbid(unsafe_code)]

pub mod config;
pub mod desktop;
pub mod ecs;
pub mod escape;
pub mod event;
pub mod events;
pub mod hook;
pub mod journal;
pub mod json_lines;
pub mod limiter;
pub mod moment;
pub mod syslog;

pub use config::{ConfigError, EventsConfig, HookConfig, SyslogConfig, SyslogFormat};
pub use event::{Event, Kind, Opener, Outcome, Priority};
pub use events::{Events, Sink, Trouble};
pub use limiter::Limiter;
