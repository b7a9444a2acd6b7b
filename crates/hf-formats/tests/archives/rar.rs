//! Encrypted RAR archives open with the passwords of the content, and say so where there is none.

use std::path::Path;

use hf_core::{FileType, Reason};
use hf_formats::testing::{Event, Recorder, bytes_of_hex};

/// The archives, made with `rars-cli` 0.12.3: members `a.txt` and `b.txt`.
fn archive(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives/rar");
    bytes_of_hex(&std::fs::read_to_string(folder.join(name)).unwrap())
}

fn run(object: &[u8], passwords: &[&[u8]]) -> Recorder {
    let mut recorder = Recorder::default();
    recorder.passwords = passwords.iter().map(|password| password.to_vec()).collect();
    recorder.options.alert_encrypted_archive = true;
    let format = hf_formats::format_for(FileType::Rar).next().unwrap();
    recorder.run(format, object).unwrap();
    recorder
}

#[track_caller]
fn check(name: &str, members_seen_without: bool) {
    let object = archive(name);
    let opened = run(&object, &[b"wrong", b"infected"]);
    let children = opened.children();
    for (file, start) in [("a.txt", &b"A small file"[..]), ("b.txt", b"11 rebmun")] {
        let found = children.iter().find(|(name, _)| *name == file.as_bytes());
        let (_, data) = found.unwrap_or_else(|| panic!("{name}: {file}"));
        assert!(data.starts_with(start), "{name}: {file}");
    }
    let defects = opened.events.iter().filter(|event| matches!(event, Event::Defect(_)));
    assert_eq!(defects.count(), 0, "{name}: checksums hold");
    let closed = run(&object, &[b"wrong"]);
    let told = |event: &&Event| matches!(event, Event::Unscanned(_, Reason::Encrypted));
    assert!(closed.events.iter().any(|event| told(&event)), "{name}: told");
    let heuristic = Event::Heuristic("Heuristics.Encrypted.RAR".into());
    assert!(closed.events.contains(&heuristic), "{name}: heuristic");
    let members = closed.events.iter().filter(|event| matches!(event, Event::Member(..)));
    assert_eq!(members.count() > 0, members_seen_without, "{name}: members");
}

#[test]
fn members_with_passwords() {
    check("rar15-password.hex", true);
    check("rar20-password.hex", true);
    check("rar29-password.hex", true);
    check("rar50-password.hex", true);
    check("rar50-solid-password.hex", true);
}

#[test]
fn headers_with_passwords() {
    check("rar40-headers.hex", false);
    check("rar50-headers.hex", false);
}
