//! Commands of the clamd protocol: never more bytes than there are, and always some.
#![no_main]

use hf_daemon::clamd::frame::{COMMAND_MAX, Frame, frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    loop {
        match frame(rest, true) {
            Frame::Command { len, .. } => {
                assert!(len > 0 && len <= rest.len() && len <= COMMAND_MAX);
                rest = &rest[len..];
            }
            Frame::Partial => assert!(rest.len() < COMMAND_MAX),
            Frame::TooLong => assert!(rest.len() >= COMMAND_MAX),
        }
        if !matches!(frame(rest, true), Frame::Command { .. }) {
            return;
        }
    }
});
