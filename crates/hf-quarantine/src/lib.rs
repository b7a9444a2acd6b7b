//! The vault: files that a verdict names are taken by descriptor, kept encrypted, and restored exactly.
//!
//! Promises: the file that was scanned is the file that is taken; an original is removed only after its entry is
//! complete on disk, so that a crash at any instant leaves the original, the entry, or both; nothing that exists
//! is overwritten unless the caller says so; an action follows only a `detected` verdict; files of the
//! distribution's packages that are as the distribution made them are spared.
//! Leaves out: secrecy from root. The key lies beside the entries: the encryption is there so that no other scanner,
//! indexer or user trips on what is kept, and so that a changed entry is noticed.
//! Sources: XChaCha20-Poly1305, draft-irtf-cfrg-xchacha-03; STREAM, Hoang and others, "Online Authenticated
//! Encryption and its Nonce-Reuse Misuse-Resistance" (2015).
#![forbid(unsafe_code)]

pub mod config;
pub mod crypt;
pub mod entry;
pub mod export;
pub mod guard;
pub mod identity;
pub mod metadata;
pub mod packages;
pub mod place;
pub mod raw;
pub mod record;
pub mod restore;
pub mod retention;
pub mod vault;

pub use config::QuarantineConfig;
pub use entry::EntryError;
pub use export::Form;
pub use guard::{Action, Guard, Outcome, QuarantineSink, Seen};
pub use identity::{Identity, Time};
pub use packages::OsPackages;
pub use place::{Place, TakeError};
pub use raw::Raw;
pub use record::{By, Content, Finding, Id, Record};
pub use restore::{RestoreError, Restored, Target};
pub use retention::{Expiry, Retention, Why};
pub use vault::{Listed, Vault, VaultError};
