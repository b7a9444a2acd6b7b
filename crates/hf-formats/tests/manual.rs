//! `docs/formats.md` is what the list of formats says. `UPDATE=1` rewrites it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use hf_formats::{FORMATS, Format, Stage};

/// Titles of the groups, in the order of [`FORMATS`].
const GROUPS: [&str; 8] = [
    "Archives and compressed files",
    "Disks",
    "Mail",
    "Documents",
    "Text",
    "Images",
    "Executables",
    "Packed programs",
];

const HEAD: &str = "\
# Formats

<!-- Generated from the list of formats by the test `manual` of `hf-formats`; `UPDATE=1` rewrites it. -->

What Holdfast opens, how it recognises it, what comes out, and what does not. Types are decided by content,
never by name. Whatever is not opened, or only in part, makes a file *incomplete* instead of *clean*, unless a
row says otherwise.

*Opened* says whether a format's content is looked at before or after the object's own bytes are matched,
which decides the order of findings.
";

/// Returns a text that cannot end a table's cell or line.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn section(text: &mut String, format: &Format) {
    let doc = &format.doc;
    let types: BTreeSet<&str> = format.types.iter().map(|file_type| file_type.name()).collect();
    let types: Vec<String> = types.into_iter().map(|name| format!("`{name}`")).collect();
    let opened = match format.stage {
        Stage::BeforeMatch => "before its own bytes are matched",
        Stage::AfterMatch => "after its own bytes are matched",
    };
    let _ = write!(text, "\n### {}\n\n| | |\n|---|---|\n", format.name);
    for (label, value) in [
        ("Types", types.join(", ").as_str()),
        ("Recognised by", doc.recognised_by),
        ("Opened", opened),
        ("Yields", doc.yields),
        ("Leaves out", doc.leaves_out),
        ("Limits", doc.limits),
        ("Sources", doc.sources),
    ] {
        let _ = writeln!(text, "| {label} | {} |", cell(value));
    }
}

fn manual() -> String {
    let mut text = HEAD.to_owned();
    for (title, formats) in GROUPS.iter().zip(FORMATS) {
        let _ = write!(text, "\n## {title}\n");
        formats.iter().for_each(|format| section(&mut text, format));
    }
    text
}

#[test]
fn the_manual_is_the_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
    let want = manual();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &want).expect("the manual is writable");
    }
    let got = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = got.lines().zip(want.lines()).position(|(got, want)| got != want);
    assert!(got == want, "docs/formats.md is not up to date, from line {differs:?}: UPDATE=1");
}

#[test]
fn every_row_says_something() {
    assert_eq!(FORMATS.len(), GROUPS.len());
    let mut names = BTreeSet::new();
    for format in FORMATS.iter().copied().flatten() {
        let doc = &format.doc;
        let texts = [doc.recognised_by, doc.yields, doc.leaves_out, doc.limits, doc.sources];
        assert!(texts.iter().all(|text| !text.trim().is_empty()), "{}", format.name);
        assert!(!format.types.is_empty(), "{} opens no type", format.name);
        assert!(names.insert(format.name), "two formats are called {}", format.name);
    }
}
