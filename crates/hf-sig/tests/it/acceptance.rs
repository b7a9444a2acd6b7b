//! What is accepted and what is refused: our answer to every line of `acceptance.txt` is clamscan's.
//!
//! A line of the list is a sign, the suffix of the database, a space and its text, in which `\n`, `\r` and `\\` are
//! escapes. Signs: `+` both accept it, `-` both refuse it; `a` Holdfast accepts what clamscan refuses, `r` Holdfast
//! refuses what clamscan accepts (departures, each told in the header of its language). The answers are those of
//! clamscan 1.4.6; where it is installed, a part of them is asked for again.

use std::{path::Path, process::Command};

use crate::common;
use hf_sig::{BytecodeChoice, IgnoreSet, LoadOptions, load};

struct Case {
    ours: bool,
    clamscans: bool,
    suffix: String,
    text: String,
}

fn cases() -> Vec<Case> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance.txt");
    let text = std::fs::read_to_string(list).unwrap();
    text.lines().map(case).collect()
}

fn case(line: &str) -> Case {
    let (head, text) = line.split_once(' ').unwrap();
    let (sign, suffix) = head.split_at(1);
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    let (ours, clamscans) = match sign {
        "+" => (true, true),
        "-" => (false, false),
        "a" => (true, false),
        "r" => (false, true),
        _ => panic!("unknown sign {sign}"),
    };
    Case { ours, clamscans, suffix: suffix.to_owned(), text: plain + "\n" }
}

fn is_accepted(case: &Case) -> bool {
    let name = format!("x.{}", case.suffix);
    let options = LoadOptions { bytecode: BytecodeChoice::All, ..LoadOptions::default() };
    let mut out = common::Nowhere::default();
    load(&name, case.text.as_bytes(), &options, &mut IgnoreSet::default(), &mut out).is_ok()
}

#[test]
fn our_answers() {
    let wrong: Vec<String> = cases()
        .iter()
        .filter(|case| is_accepted(case) != case.ours)
        .map(|case| {
            let sign = if case.ours { '+' } else { '-' };
            format!("{sign}{} {}", case.suffix, case.text.trim_end_matches('\n'))
        })
        .collect();
    assert!(wrong.is_empty(), "the list answers otherwise:\n{}", wrong.join("\n"));
}

#[test]
fn clamscans_answers() {
    if !common::has_program("clamscan") {
        println!("skipped: clamscan is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let object = dir.path().join("object");
    std::fs::write(&object, [b'x'; 100]).unwrap();
    for case in cases().iter().step_by(EVERY) {
        let database = dir.path().join(format!("x.{}", case.suffix));
        std::fs::write(&database, &case.text).unwrap();
        let status = Command::new("clamscan")
            .args(["--no-summary", "-z", "--detect-pua", "--bytecode-unsigned", "-d"])
            .args([&database, &object])
            .output()
            .unwrap()
            .status;
        std::fs::remove_file(&database).unwrap();
        let accepted = status.code() != Some(2);
        assert_eq!(accepted, case.clamscans, "{} {}", case.suffix, case.text);
    }
}

/// Which part of the list clamscan is asked about again; each question takes some 30 ms.
const EVERY: usize = 7;
