//! What the guard reads: the kernel's events, the table of mounts, and its two kinds of settings.

use hf_onaccess::{ClamdConf, Settings, parse_mountinfo};
use hf_sys::fanotify;

/// The first byte chooses the reader.
pub fn onaccess(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    match first & 3 {
        0 => {
            // Every event takes at least its head, and nothing follows a bad one.
            let events: Vec<_> = fanotify::parse(rest).collect();
            assert!(events.len() <= rest.len() / 24 + 1);
            let bad = events.iter().position(Result::is_err);
            assert!(bad.is_none_or(|idx| idx + 1 == events.len()));
        }
        1 => {
            for mount in parse_mountinfo(rest) {
                assert!(mount.point.is_absolute());
                let _ = mount.kind();
            }
        }
        // Without users, for whom the system would be asked.
        2 => drop(text_of(rest).map(Settings::parse)),
        // Every reader of this file begins with the daemon's.
        _ => {
            let path = std::path::Path::new("fuzz");
            if text_of(rest).is_some()
                && let Ok(file) = hf_daemon::clamd_conf::ClamdConf::parse(path, rest)
            {
                let _ = ClamdConf::of(file.options());
            }
        }
    }
}

fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains("users") && !text.contains("Uname"))
}
