//! Lists of indicators: tables, events of MISP, bundles of STIX; whatever is found becomes signatures that load.
#![no_main]

use hf_update::sources::{csv_indicators, misp_indicators, stix_indicators, write};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for list in [csv_indicators(data, None), misp_indicators(data), stix_indicators(data)]
        .into_iter()
        .flatten()
    {
        let written = write("fuzz", &list);
        for text in [&written.hdb, &written.hsb, &written.ndb] {
            assert!(text.lines().all(|line| line.is_ascii() && line.split(':').count() >= 4));
        }
    }
});
