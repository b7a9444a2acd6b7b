//! State of scheduled scans: how far a run came, and which files were clean.

use hf_schedule::{Progress, Seen};
use sha2::{Digest as _, Sha256};

/// Reads the input as both files: as it is, and with checks that are put right.
pub fn schedule_state(data: &[u8]) {
    if let Ok(progress) = Progress::parse(data) {
        assert_eq!(progress.bytes(), data);
        assert!(progress.after().is_relative());
    }
    if let Ok(json) = std::str::from_utf8(data) {
        let check = crc32fast::hash(json.as_bytes());
        if let Ok(progress) = Progress::parse(format!("{json}\n{check:08x}\n").as_bytes()) {
            assert!(progress.after().is_relative());
        }
    }
    let depends_on = [0; 32];
    let _ = Seen::parse(data, depends_on);
    let whole = [data, &Sha256::digest(data)].concat();
    if let Some(rows) = Seen::parse(&whole, depends_on) {
        assert!(rows.is_sorted());
    }
}
