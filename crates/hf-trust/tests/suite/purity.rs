//! The crate computes: no source file names a clock, a file system, a network, a process or a thread.

use std::path::Path;

const FORBIDDEN: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::io",
    "std::process",
    "std::thread",
    "std::env",
    "SystemTime",
    "Instant::",
    "SigningKey",
    "static mut",
];

fn check(folder: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files += check(&path);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        for word in FORBIDDEN {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
        files += 1;
    }
    files
}

#[test]
fn names_nothing_outside() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert!(check(&sources) > 25);
}
