//! Every fixture of every format, cut, with flipped bits, and with lengths that lie.
//!
//! Promises: damage never ends a scan, however a format ends; what is missing is told: when a whole sample gave
//! children and said nothing, then a damaged one gives the same children, or says that something is wrong.
//! Leaves out: losses that cannot be seen ([`SILENT`], with reasons); whether what is lost to other damage than a cut
//! is told.

use std::collections::BTreeSet;
use std::path::Path;

use hf_core::Halt;
use hf_formats::testing::{Event, Recorder, bytes_of_hex};
use hf_formats::{FORMATS, Format};

/// Formats, or fixtures of one, of which a cut can lose a child in silence, and why.
const OPEN: &str = "any bytes are one, and where it ends is nowhere said";
const POINTER: &str =
    "what was cut is the place that points to the rest, and the rest is looked for by its magics";
const RECORDS: &str =
    "records stand one behind the other, and the last that is whole may be the last";
const STREAM: &str = "a stream that ends before its header is whole is not one";
const TABLE: &str = "entries of a table that lead behind the end are told when they are opened, not when the table is cut";
const SILENT: &[(&str, &str)] = &[
    ("apm", TABLE),
    ("ar", RECORDS),
    ("arc", RECORDS),
    ("binhex", OPEN),
    ("cab overlap.in.hex", RECORDS),
    ("cms", TABLE),
    ("cpio", RECORDS),
    ("cryptff", OPEN),
    ("dotnet", POINTER),
    ("egg", RECORDS),
    ("encoded", OPEN),
    ("gpt", TABLE),
    ("hidden", OPEN),
    ("html", OPEN),
    ("http", OPEN),
    ("hwp3", POINTER),
    ("inno", POINTER),
    ("iso9660", TABLE),
    ("jffs2", RECORDS),
    ("lha", RECORDS),
    ("lz4", STREAM),
    ("mail", OPEN),
    ("mbr", TABLE),
    ("msxml", OPEN),
    ("office_query", OPEN),
    ("office_xml", OPEN),
    ("pdf", OPEN),
    ("pe", POINTER),
    ("postscript", OPEN),
    ("pyinstaller", POINTER),
    ("rar", RECORDS),
    ("rtf", OPEN),
    ("screnc", OPEN),
    ("script_archive", OPEN),
    ("swf", POINTER),
    ("sylk", OPEN),
    ("tar", RECORDS),
    ("text", OPEN),
    ("tnef", RECORDS),
    ("ubifs", RECORDS),
    ("unpack", POINTER),
    ("uuencoded", OPEN),
    ("vmdk", POINTER),
    ("xdp", OPEN),
    ("xlsb", OPEN),
    ("zip concatenated.in.hex", RECORDS),
    ("zstd", STREAM),
];

/// Places at which a sample is damaged.
const PLACES: usize = 12;
/// The interpreter runs a program to its end in each.
const SLOW: &[&str] = &["unpack"];
const SLOW_PLACES: usize = 2;

#[test]
fn damage_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for format in FORMATS.iter().copied().flatten() {
        for (case, sample) in samples(&root, format) {
            let whole = Outcome::of(format, &sample);
            for (what, damaged) in damage(format, &sample) {
                let outcome = Outcome::of(format, &damaged);
                if outcome.stopped {
                    wrong.push(format!("{} {case}: {what}: ends the scan", format.name));
                }
                let silent = whole.quiet && outcome.quiet && outcome.loses(&whole);
                if silent && what.starts_with("cut") {
                    let row = SILENT.iter().find(|(name, _)| {
                        *name == format.name || *name == format!("{} {case}", format.name)
                    });
                    if let Some((name, _)) = row {
                        used.insert(*name);
                    } else {
                        wrong.push(format!(
                            "{} {case}: {what}: children are lost in silence",
                            format.name
                        ));
                    }
                }
            }
        }
    }
    for (name, reason) in SILENT.iter().filter(|(name, _)| !used.contains(name)) {
        wrong.push(format!("{name} is no longer silent: {reason}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The fixtures of a format.
fn samples(root: &Path, format: &Format) -> Vec<(String, Vec<u8>)> {
    let mut samples: Vec<_> = std::fs::read_dir(root.join(format.name))
        .expect("every format has fixtures")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.to_string_lossy().ends_with(".in.hex"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a fixture is readable");
            let case = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (case, bytes_of_hex(&text))
        })
        .filter(|(_, sample)| sample.len() <= 1 << 20)
        .collect();
    samples.sort();
    samples
}

/// A sample in its damaged forms, always the same ones.
fn damage(format: &Format, sample: &[u8]) -> Vec<(String, Vec<u8>)> {
    let places = if SLOW.contains(&format.name) { SLOW_PLACES } else { PLACES };
    let mut forms = Vec::new();
    for nth in 1..=places {
        let at = sample.len() * nth / (places + 1);
        forms.push((format!("cut at {at}"), sample[..at].to_vec()));
        if at >= sample.len() {
            continue;
        }
        let mut flipped = sample.to_vec();
        flipped[at] ^= 1 << (nth % 8);
        forms.push((format!("bit {} of {at} flipped", nth % 8), flipped));
        for byte in [0xff, 0x00] {
            let mut lies = sample.to_vec();
            let end = (at + 4).min(lies.len());
            lies[at..end].fill(byte);
            forms.push((format!("{byte:02x} from {at} to {end}"), lies));
        }
    }
    forms
}

struct Outcome {
    children: BTreeSet<Vec<u8>>,
    quiet: bool,
    stopped: bool,
}

impl Outcome {
    /// True when not even the beginning of a child is there.
    fn loses(&self, whole: &Self) -> bool {
        let is_there = |child: &[u8]| {
            self.children.iter().any(|had| !had.is_empty() && child.starts_with(had))
        };
        whole.children.iter().any(|child| !is_there(child))
    }

    fn of(format: &Format, object: &[u8]) -> Self {
        let mut recorder = Recorder::default();
        recorder.passwords = vec![b"infected".to_vec()];
        recorder.cap = 4 << 20;
        recorder.polls_left = 200_000;
        let ended = recorder.run(format, object);
        let told = |event: &Event| matches!(event, Event::Defect(_) | Event::Unscanned(..));
        Self {
            quiet: ended.is_ok() && !recorder.events.iter().any(told),
            stopped: matches!(ended, Err(Halt::Stop(_))),
            children: recorder.children().into_iter().map(|(_, data)| data.to_vec()).collect(),
        }
    }
}
