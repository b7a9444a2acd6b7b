//! Configurations of freshclam.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = hf_update::freshclam::parse_conf("freshclam.conf", data);
});
