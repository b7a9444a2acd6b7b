//! The owner's files: suppliers, and sources of content.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(suppliers) = hf_update::supplier::Suppliers::parse(text) {
        let _ = suppliers.no_updates(Some("a"), 1_800_000_000);
    }
    let _ = hf_update::config::Config::parse(text);
});
