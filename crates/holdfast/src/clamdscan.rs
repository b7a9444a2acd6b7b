//! The drop-in name `clamdscan`: a client of a daemon that speaks clamd's protocol.

mod ask;
mod config;
mod connection;
mod named;
mod options;
mod pipeline;
mod reply;
mod run;

pub(crate) use options::TABLE;
pub(crate) use run::run;
