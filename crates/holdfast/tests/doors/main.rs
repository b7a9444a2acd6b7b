//! The doors for programs, proxies and mail servers, over a service with real workers: by raw sockets, by
//! hostile peers, and by programs that were never changed for us.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up is to fail")]

mod hostile;
mod http;
mod icap;
mod milter;
mod postfix;
mod program;
mod squid;
mod stale;
mod support;
