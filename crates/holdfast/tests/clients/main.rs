//! Clients that were never changed for Holdfast, against `holdfast daemon` under clamd's name.
//!
//! Each says what it says of clamd. A client that is not installed is passed over, in CI it is a failure; those that
//! come from the registries of other languages are fetched only when `HOLDFAST_FETCH_CLIENTS` is set, as the step
//! `clients` of `.ci/run` does, and passed over when they cannot be had in time.
//! Leaves out: squid, Postfix and c-icap, which speak other protocols.

mod debian;
mod fetched;
mod mail;
mod raw;
mod samba;
mod server;
