//! Rendered diagnostics: each code has a sample whose text is pinned, and a row in the manual.
//!
//! `UPDATE=1` writes the golden file and the manual anew.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

use hf_sig::{Diagnostic, IgnoreSet, LoadOptions, codes, load};

use crate::common::Nowhere;

/// Files that bring out the codes of lines.
const SAMPLES: &[(&str, &str)] = &[
    ("x.ndb", ""),
    ("x.ndb", LONG),
    ("x.info", "ClamAV-VDB:"),
    ("x.ftm", "# nothing\n"),
    ("x.ndb", "A:0:*\n"),
    ("x.ndb", "# comment\nGood.Sig-1:0:*:deadbeef\n:0:*:deadbeef\n"),
    ("x.ndb", "A:PE:*:deadbeef\n"),
    ("x.hdb", "d41d8cd98f00b204e9800998ecf8427e:0:A\n"),
    ("x.cdb", "A:CL_TYPE_ZAP:*:*:*:*:*:*:*:*\n"),
    ("x.hdb", "d41d8cd98f00b204e9800998ecf8427:68:A\n"),
    ("x.hdb", "d41d8cd98f00b204e9800998ecf8427e:*:A\n"),
    ("x.zmd", "A:1:*:5:6:xyz:1:2:3\n"),
    ("x.ndb", "A:0:*:deadbeef6g\n"),
    ("x.ndb", "A:0:*:deadbeef*61\n"),
    ("x.ndb", "A:0:*:deadbeef*\n"),
    ("x.ndb", "A:0:*:dead{4-x}beef\n"),
    ("x.ndb", "A:0:*:dead[4-99]be\n"),
    ("x.ndb", "A:0:*:dead(be|ef\n"),
    ("x.ndb", "A:0:*:dead(be*ef|aa)\n"),
    ("x.ndb", "A:0:*:dead!(be|efef)\n"),
    ("x.ndb", "A:0:*:dead()\n"),
    ("x.ndb", "A:0:*:dead(((((((((((((((((61)))))))))))))))))\n"),
    ("x.ndb", "A:1:EP:deadbeef\n"),
    ("x.ndb", "A:0:EP+0:deadbeef\n"),
    ("x.ndb", "A:0:$32:deadbeef\n"),
    ("x.ndb", LARGE),
    ("x.ldb", "A;Target;0;dead\n"),
    ("x.ldb", "A;Target:0,Engine:51-255;0;dead\n"),
    ("x.ldb", "A;Target:0,FileSize:1-2;0;dead\n"),
    ("x.ldb", "A;Engine:51-255;0;dead\n"),
    ("x.ldb", "A;Engine:51-255,EntryPoint:1-2,Target:0;0;dead\n"),
    ("x.ldb", "A;Target:0;0&(1|;dead;beef\n"),
    ("x.ldb", "A;Target:0;0&1;dead\n"),
    ("x.ldb", "A;Target:0;64;dead\n"),
    ("x.ldb", "A;Target:0;0;dead::x\n"),
    ("x.ldb", "A;Target:0;0&1;dead;${5}1$\n"),
    ("x.ldb", "A;Target:0;0&1;dead;0/abc\n"),
    ("x.ldb", "A;Target:0;0&1;dead;1/abc/\n"),
    ("x.ldb", "A;Target:0;0&1;dead;0/abc/q\n"),
    ("x.ldb", "A;Target:0;0&1;dead;0/a(b/\n"),
    ("x.ldb", "A;Target:0;0&1;dead;0(>>5#i3#=1)\n"),
    ("x.ldb", "A;Target:0;0;fuzzy_img#af2ad01ed42993c7#1\n"),
    ("x.cdb", "A:*:*:(a:*:*:*:*:*:*\n"),
    ("x.idb", "A:G1:G2:20\n"),
    ("x.cdb", "A:*:*:*:*:*:2:*:*:*\n"),
    ("x.cfg", "PE:1:1:300\n"),
    ("x.pdb", "Z:example.com\n"),
    ("x.ign2", "Abc:x\n"),
    ("x.pwdb", "A;Engine:1-255;x;secret\n"),
    ("x.cbc", "ClamBC\n"),
    ("x.crb", "A;1;;\n"),
    ("x.cvd", "ClamAV-VDB:\n"),
    ("x.txt", "\n"),
    ("x.ldb", "A;Target:0;0>=1;dead\n"),
    ("x.ndb", "A:0:*:dead{8-4}beef\n"),
    ("x.yar", "\n"),
];
/// Stands for a line above the limit.
const LONG: &str = "@long";
/// Stands for a pattern above the limit.
const LARGE: &str = "@large";

fn all() -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (name, text) in SAMPLES {
        let text = match *text {
            LONG => format!("A:0:*:{}\n", "61".repeat(5000)),
            LARGE => format!("A:0:*:dead{}\n", "{127}".repeat(600)),
            text => text.to_owned(),
        };
        found.push(only_diagnostic(name, text.as_bytes()));
    }
    for (name, bytes) in containers() {
        found.push(only_diagnostic(name, &bytes));
    }
    found
}

fn only_diagnostic(name: &str, bytes: &[u8]) -> Diagnostic {
    let options = LoadOptions { official: true, ..LoadOptions::default() };
    match load(name, bytes, &options, &mut IgnoreSet::default(), &mut Nowhere::default()) {
        Err(rejected) => *rejected.diagnostic,
        Ok(summary) => summary.warnings.into_iter().next().unwrap(),
    }
}

/// Containers that bring out their codes; plain archives, so that they can be written down here.
fn containers() -> Vec<(&'static str, Vec<u8>)> {
    let header = |level: &str| {
        let mut bytes = format!("ClamAV-VDB:t:1:1:{level}:X:X:me:5").into_bytes();
        bytes.resize(512, b' ');
        bytes
    };
    let member = |name: &str, size: &str, data: &[u8]| {
        let mut block = vec![0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..124 + size.len()].copy_from_slice(size.as_bytes());
        block.extend_from_slice(data);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    };
    let info = |level: &str| {
        let text = format!("ClamAV-VDB:t:1:1:{level}:X:X:me:5\n");
        member("t.info", &format!("{:011o}", text.len()), text.as_bytes())
    };
    let copying = member("COPYING", "0", b"");
    let end = vec![0; 512];
    let ndb = member("t.ndb", "1", b"\n");
    vec![
        ("x.cud", header("90")),
        ("x.cud", [header("90"), copying.clone(), end.clone()].concat()),
        ("x.cud", [header("90"), copying.clone(), info("90"), ndb, end.clone()].concat()),
        ("x.cvd", [header("90"), copying.clone(), info("90"), end.clone()].concat()),
        ("x.cud", [header("90"), copying.clone(), member("t.info", "77777777777", b"")].concat()),
        ("x.cud", [header("300"), copying, info("300"), end].concat()),
    ]
}

/// Compares a file with a text, or writes it with `UPDATE=1`.
fn compare(path: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{} is not up to date; UPDATE=1 writes it", path.display());
}

#[test]
fn every_code_renders_as_pinned() {
    let found = all();
    let told: BTreeSet<&str> = found.iter().map(|diagnostic| diagnostic.code.id).collect();
    let known: BTreeSet<&str> = codes::ALL.iter().map(|code| code.id).collect();
    assert_eq!(told, known, "each code has a sample");
    let text: Vec<String> = found.iter().map(Diagnostic::render).collect();
    compare("tests/golden/diagnostics.txt", &text.join("\n"));
}

#[test]
fn the_manual_lists_every_code() {
    let mut text = String::from(
        "# Diagnostics of signature databases\n\n\
         Each complaint about a signature has a code, which keeps its meaning for ever. `HF00` is about files and\n\
         lines, `HF01` about fields, `HF02` about patterns, `HF03` about logical signatures, `HF04` about the other\n\
         languages, `HF05` about containers; `HF09` are warnings. An error refuses the whole file, unless the operator\n\
         asked to go on without the line.\n\n\
         | code | about | how to put it right |\n|---|---|---|\n",
    );
    let mut sorted = true;
    let mut last = "";
    for code in codes::ALL {
        sorted &= last < code.id;
        last = code.id;
        let help = code.help.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {} | {help} |", code.id, code.title);
    }
    assert!(sorted, "codes are in order and unique");
    compare("../../docs/diagnostics.md", &text);
}
