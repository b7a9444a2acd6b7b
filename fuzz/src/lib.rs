//! What the fuzz targets do. A target's file names one function of this crate, or one format.
//!
//! Promises: an input is refused by nothing but the parser under test, so that the fuzzer sees what it does;
//! a target fails only by a panic (overflow and debug assertions are on), by too much memory or too much time.
//! Leaves out: whether answers are right; that is what fixtures, oracles and properties test.
//! Sources: <https://llvm.org/docs/LibFuzzer.html>; how to run it is in `docs/fuzzing.md`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod channel;
mod content;
mod format;
mod frame;
mod guard;
mod pack;
mod schedule;
pub mod seeds;
mod trust;
mod vault;

pub use channel::{channel_changes, channel_chunks, channel_manifest, channel_patch};
pub use content::{SUFFIXES, cvd, match_pattern, sig_load};
pub use format::{exe_view, fuzz_format, identify, image_hash};
pub use frame::ipc_frame;
pub use guard::onaccess;
pub use libfuzzer_sys;
pub use pack::pack_open;
pub use schedule::schedule_state;
pub use trust::{trust_bundle, trust_note, trust_policy, trust_tuf};
pub use vault::vault_entry;

/// Makes a target of a function of this crate.
#[macro_export]
macro_rules! target {
    ($function:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| { $crate::$function(data) });
    };
}

/// Makes a target of a format, by its name.
#[macro_export]
macro_rules! format_target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| { $crate::fuzz_format($name, data) });
    };
}
