//! `holdfast inspect`: the tree of objects in a file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_core::{ObjectNode, Report, ScanOptions, Verdict};
use hf_policy::Tell;
use hf_worker::{Job, ScanRequest};

use super::{exit, scan};
use crate::display::{self, safe, safe_path};
use crate::{content, json, session};

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let content = content::open(&scan::wanted(matches))?;
    for warning in &content.warnings {
        errln!("holdfast: warning: {warning}");
    }
    let options =
        ScanOptions { all_match: true, full_tree: true, explain: true, ..ScanOptions::default() };
    let mut config = session::worker_config(&content, &scan::limits(matches), &options)?;
    config.memory_bytes = scan::worker_memory(matches);
    let mut workers = session::workers(config, 1).context("cannot start a worker")?;
    session::rules_or_refusal(&workers, matches.get_flag("keep-going"))?;
    let worker = workers.first_mut().context("no worker")?;
    let mut worst = Verdict::Clean;
    for path in matches.get_many::<PathBuf>("paths").into_iter().flatten() {
        let file = if path.as_os_str() == "-" {
            session::standard_input(scan::limits(matches).max_object_bytes)
                .context("cannot read standard input")?
        } else {
            open(path).with_context(|| format!("cannot open {}", safe_path(path)))?
        };
        let size = file.metadata().map_or(0, |meta| meta.len());
        let report = worker.scan(Job { request: ScanRequest::default(), file, size }).report;
        let verdict = hf_policy::decide(&report, Tell::All).verdict;
        if matches.get_flag("json") {
            outln!("{}", json::tree(path, &report));
        } else {
            crate::output::text(format_args!("{}", draw(path, &report, verdict)));
        }
        worst = worst.max(verdict);
    }
    Ok(ExitCode::from(match worst {
        Verdict::Clean => exit::CLEAN,
        Verdict::Detected => exit::DETECTED,
        Verdict::Error => exit::ERROR,
        Verdict::Incomplete => exit::INCOMPLETE,
    }))
}

/// Opens a file; a named pipe without a writer, which no worker takes, does not hold it up.
fn open(path: &Path) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits();
    let flags = i32::try_from(flags).unwrap_or(0);
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn draw(path: &Path, report: &Report, verdict: Verdict) -> String {
    let word = serde_json::to_value(verdict).ok();
    let word = word.as_ref().and_then(|word| word.as_str()).unwrap_or("unknown").to_owned();
    let mut text = format!("{}: {word}\n", safe_path(path));
    if let Some(error) = &report.error {
        text.push_str(&format!("  error: {error}\n"));
    }
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); report.objects.len()];
    for (idx, node) in report.objects.iter().enumerate() {
        let parent = node.parent.and_then(|parent| usize::try_from(parent).ok());
        if let Some(list) = parent.and_then(|parent| below.get_mut(parent)) {
            list.push(idx);
        }
    }
    // (object, its lines' prefix, prefix of what is below it)
    let mut open = vec![(0usize, String::new(), String::new())];
    while let Some((idx, first, rest)) = open.pop() {
        let Some(node) = report.objects.get(idx) else { continue };
        let children = below.get(idx).map(Vec::as_slice).unwrap_or_default();
        let bar = if children.is_empty() { "  " } else { "│ " };
        object(&mut text, node, &first);
        details(&mut text, report, idx, node, &format!("{rest}{bar}"));
        for (place, child) in children.iter().enumerate().rev() {
            let last = place.saturating_add(1) == children.len();
            let (corner, line) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            open.push((*child, format!("{rest}{corner}"), format!("{rest}{line}")));
        }
    }
    text
}

fn object(text: &mut String, node: &ObjectNode, prefix: &str) {
    let name = if node.name.is_empty() { String::new() } else { format!("{}  ", safe(&node.name)) };
    let form = if node.normalised { "normalised " } else { "" };
    let at = node.embedded_off.map(|off| format!(" at offset {off}")).unwrap_or_default();
    let size = display::bytes(node.size);
    let raw = if opened(node) { "" } else { ", raw only" };
    text.push_str(&format!("{prefix}{name}[{form}{}{at}, {size}{raw}]\n", node.file_type.name()));
}

/// True when a format opens objects of this type; the others are matched as they are.
pub(crate) fn opened(node: &ObjectNode) -> bool {
    node.normalised || hf_formats::format_for(node.file_type).next().is_some()
}

fn details(text: &mut String, report: &Report, idx: usize, node: &ObjectNode, prefix: &str) {
    let mut line = |label: &str, value: String| {
        text.push_str(&format!("{prefix}  {label}: {value}\n"));
    };
    if let Some(digests) = &node.digests {
        line("md5", display::hex(&digests.md5));
        line("sha256", display::hex(&digests.sha256));
    }
    for (key, value) in &node.facts {
        line(&safe(key.as_bytes()), safe(value.as_bytes()));
    }
    let here = |object: u32| usize::try_from(object).is_ok_and(|object| object == idx);
    for hit in report.hits.iter().filter(|hit| here(hit.object)) {
        line("FOUND", format!("{} ({})", safe(hit.name.as_bytes()), hit.origin));
    }
    for defect in &node.defects {
        line("defect", defect.to_string());
    }
    for part in report.unscanned.iter().filter(|part| here(part.object)) {
        let name = if part.name.is_empty() { String::new() } else { safe(&part.name) + ": " };
        line("not scanned", format!("{name}{}", part.reason));
    }
}
