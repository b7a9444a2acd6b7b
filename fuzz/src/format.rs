//! Readers of objects: formats, types, views of executables, images.

use hf_core::{FileType, Limits, ScanOptions};
use hf_formats::testing::{Event, Recorder};
use hf_formats::{FORMATS, Format};

/// Opens an object with one format.
///
/// # Panics
/// There is no such format, it panics, or it hands out a child beyond its cap.
pub fn fuzz_format(name: &str, data: &[u8]) {
    let format = find(name).unwrap_or_else(|| panic!("no format is called {name}"));
    let mut recorder = Recorder::default();
    recorder.cap = CAP;
    recorder.polls_left = POLLS;
    recorder.options = options(data);
    recorder.passwords = vec![b"infected".to_vec()];
    // A broken object is what most inputs are: how it ends does not matter.
    let _ = recorder.run(format, data);
    // A child that is a piece of the object itself costs nothing, whatever the cap.
    let most = usize::try_from(CAP).unwrap_or(usize::MAX).max(data.len());
    for event in &recorder.events {
        if let Event::Child(name, child, _) = event {
            assert!(child.len() <= most, "{} bytes in {:?}", child.len(), name.escape_ascii());
        }
    }
}

fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().flatten().find(|format| format.name == name)
}

/// Returns switches that hang on the input alone, so that a crash repeats.
fn options(data: &[u8]) -> ScanOptions {
    let [bits, ..] = *blake3::hash(data).as_bytes();
    let all = bits & 1 != 0;
    ScanOptions {
        clamav_quirks: bits & 2 != 0,
        detect_structured: bits & 4 != 0,
        alert_broken: all,
        alert_broken_media: all,
        alert_encrypted_archive: all,
        alert_encrypted_doc: all,
        alert_macros: all,
        alert_exceeds_max: all,
        ..ScanOptions::default()
    }
}

/// Tells an object's type, and those of the objects inside it.
pub fn identify(data: &[u8]) {
    let own = hf_formats::identify(data, None);
    let limits = Limits::holdfast();
    for (off, _) in hf_formats::embedded(data, own, &limits) {
        assert!(off < data.len(), "an embedded object starts in the object");
    }
    // Plain bytes are searched for most types.
    let _ = hf_formats::embedded(data, FileType::BinaryData, &limits);
}

/// Reads an object as an executable of every family, and what hangs on that.
pub fn exe_view(data: &[u8]) {
    for file_type in [FileType::Msexe, FileType::Elf, FileType::Macho] {
        let _ = hf_formats::clamav_exe_view(data, file_type);
        let Ok(view) = hf_formats::exe_view(data, file_type) else { continue };
        let _ = hf_formats::section_ranges(data, &view);
        let icons = hf_formats::icons(data, &view, ICONS_MAX);
        for pair in icons.windows(2) {
            if let [a, b] = pair {
                let _ = hf_formats::icon_matches(a, b);
            }
        }
    }
}

/// Hashes an object as an image.
pub fn image_hash(data: &[u8]) {
    let _ = hf_formats::image_hash(data, hf_formats::identify(data, None));
}

/// Bytes of one child.
const CAP: u64 = 1 << 20;

/// Calls of the sink that may stop a scan.
const POLLS: u64 = 20_000;

/// Icons that are measured.
const ICONS_MAX: usize = 20;
