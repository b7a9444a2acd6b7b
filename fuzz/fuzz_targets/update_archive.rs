//! Archives with rules from the net.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok((found, _)) = hf_update::sources::entries(data, &|path| path.len() % 2 == 0) {
        assert!(found.iter().all(|entry| entry.path.len() % 2 == 0));
    }
});
