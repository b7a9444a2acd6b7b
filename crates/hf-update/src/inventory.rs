//! Finds products of suppliers on a machine: packages, units, processes, files, signed programs, engines that are built
//! into other products.
//!
//! Promises: reads only; follows no links; stays below the root that is given; what could not be looked at is told.
//! Bytes of programs are searched for texts and never interpreted.
//! Limits: [`ENTRIES_MAX`] files; of each program the first [`HEAD_MAX`] and the last [`TAIL_MAX`] bytes are searched.

mod packages;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::supplier::Suppliers;

pub use walk::{ENTRIES_MAX, HEAD_MAX, TAIL_MAX};

/// What was found on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// The root that was looked at.
    pub root: PathBuf,
    /// What was found.
    pub found: Vec<Found>,
    /// What could not be looked at.
    pub not_looked_at: Vec<String>,
    /// Files and folders that were looked at.
    pub entries: u64,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Found {
    /// The supplier's `id`.
    pub supplier: String,
    /// How it was found: `package`, `unit`, `process`, `path`, `file`, `signer` or `engine`.
    pub kind: &'static str,
    /// What it is: a name or a path.
    pub what: String,
    /// More: a version, a program's path, the text that was found.
    pub detail: String,
    /// The rule that found it.
    pub rule: String,
}

/// Collects what is found.
pub(crate) struct Finder<'a> {
    suppliers: &'a Suppliers,
    inventory: Inventory,
}

impl Finder<'_> {
    fn push(&mut self, supplier: &str, kind: &'static str, what: &str, detail: &str, rule: &str) {
        let clean = |text: &str| {
            text.chars().map(|c| if c.is_control() { '?' } else { c }).take(500).collect()
        };
        let found = Found {
            supplier: supplier.to_owned(),
            kind,
            what: clean(what),
            detail: clean(detail),
            rule: clean(rule),
        };
        if !self.inventory.found.contains(&found) && self.inventory.found.len() < FOUND_MAX {
            self.inventory.found.push(found);
        }
    }
}

/// Ours.
const FOUND_MAX: usize = 10_000;

/// Looks for the products of all suppliers that say how they are found.
#[must_use]
pub fn inventory(root: &Path, suppliers: &Suppliers) -> Inventory {
    let mut finder = Finder {
        suppliers,
        inventory: Inventory { root: root.to_owned(), ..Inventory::default() },
    };
    packages::look(root, &mut finder);
    units(root, &mut finder);
    if root == Path::new("/") {
        processes(&mut finder);
    }
    paths(root, &mut finder);
    walk::look(root, &mut finder);
    finder.inventory.found.sort();
    finder.inventory
}

const UNIT_FOLDERS: &[&str] = &[
    "etc/systemd/system",
    "lib/systemd/system",
    "usr/lib/systemd/system",
    "run/systemd/system",
    "etc/init.d",
    "etc/rc.d/init.d",
    "etc/xdg/autostart",
];

/// Looks at services; a unit that starts a program of a supplier's under another name is found by the program's path.
fn units(root: &Path, finder: &mut Finder<'_>) {
    for folder in UNIT_FOLDERS {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let bare = name.strip_suffix(".service").unwrap_or(&name).to_owned();
            let text = match fs::symlink_metadata(entry.path()) {
                Ok(meta) if meta.is_file() && meta.len() < 1 << 20 => {
                    fs::read(entry.path()).unwrap_or_default()
                }
                _ => Vec::new(),
            };
            let text = String::from_utf8_lossy(&text).into_owned();
            let starts: Vec<&str> =
                text.lines().filter(|line| line.trim_start().starts_with("Exec")).collect();
            for supplier in &finder.suppliers.list {
                let find = &supplier.find;
                let by_name = find.units.iter().find(|rule| fits(rule, &bare) || fits(rule, &name));
                let by_path = find
                    .paths
                    .iter()
                    .find(|path| starts.iter().any(|line| line.contains(path.as_str())));
                if let Some(rule) = by_name.or(by_path) {
                    let (id, detail) =
                        (supplier.id.clone(), starts.first().copied().unwrap_or_default());
                    finder.push(&id, "unit", &format!("/{folder}/{name}"), detail.trim(), rule);
                }
            }
        }
    }
}

/// Looks at what runs.
fn processes(finder: &mut Finder<'_>) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry.file_name().to_string_lossy().into_owned();
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(comm) = fs::read_to_string(entry.path().join("comm")) else { continue };
        let comm = comm.trim();
        let exe = fs::read_link(entry.path().join("exe")).unwrap_or_default();
        let exe_name = exe.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for supplier in &finder.suppliers.list {
            let find = &supplier.find;
            let by_name =
                find.processes.iter().find(|rule| fits(rule, comm) || fits(rule, &exe_name));
            let by_path = find.paths.iter().find(|path| exe.starts_with(path.as_str()));
            if let Some(rule) = by_name.or(by_path) {
                let id = supplier.id.clone();
                finder.push(
                    &id,
                    "process",
                    &format!("{number} {comm}"),
                    &exe.to_string_lossy(),
                    rule,
                );
            }
        }
    }
}

/// Looks for files and folders at known places; the last part may hold `*`.
fn paths(root: &Path, finder: &mut Finder<'_>) {
    for supplier in &finder.suppliers.list {
        for rule in &supplier.find.paths {
            let below = rule.trim_start_matches('/');
            let (folder, name) = below.rsplit_once('/').unwrap_or(("", below));
            if below.split('/').any(|part| part == "..") {
                continue;
            }
            for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
                if fits(name, &entry.file_name().to_string_lossy()) {
                    let what = format!("/{folder}/{}", entry.file_name().to_string_lossy());
                    let id = supplier.id.clone();
                    finder.push(&id, "path", &what, "", rule);
                }
            }
        }
    }
}

/// True when a name fits a rule, in which `*` is any text; letters' case does not count.
pub(crate) fn fits(rule: &str, name: &str) -> bool {
    let (rule, name) = (rule.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut parts = rule.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part).and_then(|at| rest.get(at.saturating_add(part.len())..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests;
