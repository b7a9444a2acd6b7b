//! Answers of name servers.
#![no_main]

use hf_update::clamav::dns::{Versions, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let question = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x01b\x00\x00\x10\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    if let Ok(text) = read(data, question, 7) {
        let _ = Versions::read(&text);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Versions::read(text);
    }
});
