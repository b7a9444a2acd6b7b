//! Entries of the quarantine, as far as they are read before and after they are authenticated.

use hf_quarantine::Record;
use hf_quarantine::entry::{HEADER_LEN, Layout, TRAILER_LEN};

/// Reads header and trailer against the length of the input, and the rest as a record, which must survive being
/// written again.
pub fn vault_entry(data: &[u8]) {
    if let Some((header, rest)) = data.split_first_chunk::<HEADER_LEN>()
        && let Some((_, trailer)) = rest.split_last_chunk::<TRAILER_LEN>()
        && let Ok(layout) = Layout::read(header, trailer, data.len() as u64)
    {
        assert!(layout.record_off + layout.record_len as u64 <= data.len() as u64);
    }
    if let Ok(record) = Record::from_json(data) {
        let written = serde_json::to_vec(&record).expect("a record can be written");
        assert_eq!(Record::from_json(&written), Ok(record));
    }
}
