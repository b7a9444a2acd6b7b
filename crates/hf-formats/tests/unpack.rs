//! Packed programs are unpacked: the test files of ClamAV, whose payload is known, and small ones of our own.

use std::path::Path;

use hf_core::{ChildRole, FileType, Limits};
use hf_formats::testing::{Event, Recorder, bytes_of_hex};

const FILES: &str = "/usr/share/clamav-testfiles";

fn run(name: &str, object: &[u8]) -> Recorder {
    let formats = hf_formats::FORMATS.iter().copied().flatten();
    let format = formats.clone().find(|format| format.name == name).expect("a format");
    let mut recorder = Recorder::default();
    recorder.run(format, object).expect("no defect and no stop");
    recorder
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/unpack");
    let path = folder.join(format!("{name}.in.hex"));
    bytes_of_hex(&std::fs::read_to_string(path).expect("a fixture"))
}

/// True when a payload is found below an image: itself to the end, or in an archive.
fn holds(image: &[u8], payload: &[u8]) -> bool {
    let embedded = hf_formats::embedded(image, FileType::Msexe, &Limits::default());
    embedded.into_iter().any(|(off, kind)| match kind {
        FileType::Msexe => &image[off..] == payload,
        FileType::ZipSfx => {
            run("zip", &image[off..]).children().iter().any(|(_, data)| *data == payload)
        }
        _ => false,
    })
}

#[test]
fn packers_of_the_test_files() {
    let Ok(payload) = std::fs::read(Path::new(FILES).join("clam.exe")) else {
        assert!(std::env::var_os("CI").is_none(), "clamav-testfiles is missing");
        eprintln!("clamav-testfiles is missing: not tested");
        return;
    };
    // `wwpack` is damaged: its loader overwrites what it has not read yet, on any machine.
    for name in ["aspack", "mew", "pespin", "petite", "upack", "upx", "wwpack", "yc"] {
        let object = std::fs::read(Path::new(FILES).join(format!("clam-{name}.exe"))).unwrap();
        let recorder = run("unpack", &object);
        let unscanned =
            recorder.events.iter().filter(|event| matches!(event, Event::Unscanned(..))).count();
        assert_eq!(unscanned, usize::from(name == "wwpack"), "{name}");
        assert!(
            recorder.children().iter().any(|(_, image)| holds(image, &payload)),
            "{name}: {:?}",
            recorder
                .events
                .iter()
                .filter(|event| matches!(event, Event::Fact(..)))
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn ways_of_loaders() {
    let text = b"This program was packed for a test of unpacking. ";
    for name in ["xor", "xor-64", "copied", "exception", "heap"] {
        let recorder = run("unpack", &fixture(name));
        let found = recorder.events.iter().any(|event| match event {
            Event::Child(_, data, ChildRole::Typed(FileType::Msexe)) => {
                data.windows(text.len()).any(|window| window == text)
                    && hf_formats::exe_view(data, FileType::Msexe).unwrap().entry_off
                        == Some(0x1000)
            }
            _ => false,
        });
        assert!(found, "{name}: {}", recorder.render());
    }
}

#[test]
fn damage_does_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let formats = hf_formats::FORMATS.iter().copied().flatten();
    let format = formats.clone().find(|format| format.name == "unpack").unwrap();
    let seeds = ["xor", "xor-64", "copied", "exception", "heap"].map(fixture);
    for round in 0..200 {
        let mut object = seeds[round % seeds.len()].clone();
        for _ in 0..=random(4) {
            let from = if random(2) == 0 { 0x40 } else { 0x400.min(object.len() - 1) };
            let at = from + random(object.len().min(from + 0x80) - from);
            object[at] ^= 1 << random(8);
        }
        // What does not end by itself is stopped soon.
        let mut recorder = Recorder::default();
        recorder.polls_left = 4;
        let _ = recorder.run(format, &object);
    }
}
