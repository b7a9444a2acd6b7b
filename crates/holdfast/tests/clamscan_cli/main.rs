//! Every option of `clamscan`, on Debian's and on ours under that name: the same words on the same folder
//! must give the same lines, the same exit code and leave the same files.
//!
//! Promises: each difference is either mended or in [`differences::KNOWN`] with its reason; one that is gone
//! must be taken out there. Options that are not honoured say so, and nothing else differs.
//! Leaves out: `LibClamAV` lines (their words name ClamAV's functions), times, and amounts of data; what is found in which
//! file is the matter of the tests in `differential/`.

mod cases;
mod differences;
mod run;
mod tree;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use run::{Case, Folder, Said, Scanner};

#[test]
fn every_option_does_what_clamscan_does() {
    if !run::available() {
        return;
    }
    let cases = every_case();
    let next = AtomicUsize::new(0);
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(8) {
            scope.spawn(|| {
                let folder = Folder::new();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(complaint) = check(&folder, case) {
                        complaints.lock().expect("no check panics").push(complaint);
                    }
                }
            });
        }
    });
    let mut complaints = complaints.into_inner().expect("no check panics");
    complaints.sort();
    println!("{} command lines compared", cases.len());
    for known in differences::KNOWN {
        if !cases.iter().any(|case| case.line == known.0) {
            complaints.push(format!("no case is called `{}`", known.0));
        }
    }
    assert!(complaints.is_empty(), "{} differ:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn no_option_is_forgotten() {
    if !run::available() {
        return;
    }
    let pairs = [cases::SWITCHES, cases::NUMBERS].concat();
    let tried: Vec<&str> =
        pairs.iter().map(|pair| pair.0).chain(cases::TEXTS.iter().copied()).collect();
    let help = run::help_of_clamscan();
    let words = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let names: Vec<&str> = words.filter_map(|word| word.split([' ', '=', '[']).next()).collect();
    // What a limit on time leaves depends on the machine: it is among the lines, with much time.
    let tried = [tried.as_slice(), &["max-scantime"]].concat();
    assert!(names.len() > 90, "only {} options in the help", names.len());
    let missing: Vec<_> = names.iter().filter(|name| !tried.contains(name)).collect();
    assert!(missing.is_empty(), "options without a case: {missing:?}");
}

#[test]
fn what_is_not_honoured_is_said() {
    let folder = Folder::new();
    for option in cases::NOT_HONOURED {
        let name = option.split('=').next().unwrap_or(option);
        let case = Case { line: format!("--{option} tree/clean.txt"), input: b"" };
        let said = folder.stderr_of_ours(&case);
        let want = format!("WARNING: Option --{name} is not honoured: ");
        assert!(said.contains(&want), "--{option}: {said}");
    }
}

fn every_case() -> Vec<Case> {
    let mut lines: Vec<String> = Vec::new();
    let mut product = |options: &[(&str, &str)], forms: &[&str]| {
        for (name, paths) in options {
            lines.extend(forms.iter().map(|form| format!("--{name}{form} {paths}")));
        }
    };
    product(cases::SWITCHES, cases::SWITCH_FORMS);
    product(cases::ODD_SWITCHES, cases::SWITCH_ODDITIES);
    product(cases::NUMBERS, cases::NUMBER_FORMS);
    product(cases::ODD_NUMBERS, cases::NUMBER_ODDITIES);
    lines.extend(cases::TEXTS.iter().map(|name| format!("--{name}")));
    lines.extend(cases::DEPRECATED.iter().map(|name| format!("--{name} tree")));
    lines.extend(cases::LINES.iter().map(|line| (*line).to_owned()));
    let mut all: Vec<Case> = lines.into_iter().map(|line| Case { line, input: b"" }).collect();
    all.extend(
        cases::WITH_INPUT.iter().map(|(line, input)| Case { line: (*line).to_owned(), input }),
    );
    all
}

/// Returns what is wrong with a case.
fn check(folder: &Folder, case: &Case) -> Option<String> {
    let theirs = folder.run(Scanner::Theirs, case);
    let ours = folder.run(Scanner::Ours, case);
    let known = differences::KNOWN.iter().find(|(line, _)| *line == case.line);
    match (difference(&theirs, &ours), known) {
        (None, None) => None,
        (Some(_), Some(_)) => None,
        (None, Some((line, _))) => Some(format!("`{line}` is known to differ, but does not")),
        (Some(text), None) => Some(format!("`{}`\n{text}", case.line)),
    }
}

fn difference(theirs: &Said, ours: &Said) -> Option<String> {
    let mut text = String::new();
    for (what, theirs, ours) in [
        ("output", &theirs.stdout, &ours.stdout),
        ("errors", &theirs.stderr, &ours.stderr),
        ("files", &theirs.files, &ours.files),
    ] {
        if theirs == ours {
            continue;
        }
        text.push_str(&format!("  {what}\n"));
        theirs.iter().filter(|line| !ours.contains(line)).for_each(|line| {
            text.push_str(&format!("    only clamscan: {line}\n"));
        });
        ours.iter().filter(|line| !theirs.contains(line)).for_each(|line| {
            text.push_str(&format!("    only ours:     {line}\n"));
        });
        if text.ends_with(&format!("  {what}\n")) {
            text.push_str(&format!("    in another order, or another number of times: {ours:?}\n"));
        }
    }
    if theirs.code != ours.code {
        text.push_str(&format!("  code {:?}, ours {:?}\n", theirs.code, ours.code));
    }
    (!text.is_empty()).then_some(text)
}
