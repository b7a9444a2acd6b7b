//! Packages of dpkg (its status file) and of rpm (by the program `rpm`, which alone reads its database).

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Finder, fits};

/// Largest status file in bytes; ours.
const STATUS_MAX: u64 = 256 << 20;

pub(super) fn look(root: &Path, finder: &mut Finder<'_>) {
    let status = root.join("var/lib/dpkg/status");
    match fs::symlink_metadata(&status) {
        Ok(meta) if meta.is_file() && meta.len() <= STATUS_MAX => match fs::read(&status) {
            Ok(bytes) => dpkg(&String::from_utf8_lossy(&bytes), finder),
            Err(err) => finder.inventory.not_looked_at.push(format!("{}: {err}", status.display())),
        },
        Ok(_) => finder
            .inventory
            .not_looked_at
            .push(format!("{}: not a file of sane size", status.display())),
        Err(_) => {}
    }
    let known = ["var/lib/rpm", "usr/lib/sysimage/rpm"];
    let filled =
        |folder: &&str| fs::read_dir(root.join(folder)).is_ok_and(|mut list| list.next().is_some());
    if known.iter().any(filled) {
        rpm(root, finder);
    }
}

fn dpkg(text: &str, finder: &mut Finder<'_>) {
    for paragraph in text.split("\n\n") {
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.map_or("", str::trim)
        };
        // What was removed and not purged is listed as well.
        if !field("Status").ends_with(" installed") {
            continue;
        }
        package(field("Package"), field("Version"), field("Maintainer"), finder);
    }
}

fn rpm(root: &Path, finder: &mut Finder<'_>) {
    let asked = Command::new("rpm")
        .arg("--root")
        .arg(root)
        .args(["-qa", "--qf", "%{NAME}\\t%{VERSION}\\t%{VENDOR} %{PACKAGER}\\n"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match asked {
        Ok(output) if output.status.success() => {
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let mut fields = line.splitn(3, '\t');
                let mut next = || fields.next().unwrap_or_default().to_owned();
                let (name, version, vendor) = (next(), next(), next());
                package(&name, &version, &vendor, finder);
            }
        }
        _ => finder
            .inventory
            .not_looked_at
            .push("packages of rpm: the program rpm does not answer".to_owned()),
    }
}

fn package(name: &str, version: &str, vendor: &str, finder: &mut Finder<'_>) {
    let vendor_small = vendor.to_ascii_lowercase();
    for supplier in &finder.suppliers.list {
        let by_name = supplier.find.packages.iter().find(|rule| fits(rule, name));
        let by_vendor = supplier
            .find
            .vendors
            .iter()
            .find(|rule| vendor_small.contains(&rule.to_ascii_lowercase()));
        if let Some(rule) = by_name.or(by_vendor) {
            let id = supplier.id.clone();
            finder.push(&id, "package", name, version, rule);
        }
    }
}
