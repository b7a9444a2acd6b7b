//! `clamd.conf`: what is accepted converts, and what it converts to is read again.
#![no_main]

use std::path::Path;

use hf_daemon::Config;
use hf_daemon::clamd_conf::{ClamdConf, convert};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(conf) = ClamdConf::parse(Path::new("clamd.conf"), text) else { return };
    let Ok(config) = convert(&conf) else { return };
    // Numbers beyond what the other format holds are the one exception.
    if let Ok(again) = Config::parse(Path::new("holdfast.toml"), &config.text()) {
        assert!(again == config || config.text().starts_with('#'));
    }
});
