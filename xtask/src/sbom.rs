//! The list of what a program is made of (SBOM), as CycloneDX 1.5, from `cargo metadata` and the lock file.
//!
//! Promises: the same lock file gives the same bytes; only what is built into the package is listed, and by what it is
//! built (build dependencies, marked so), not what tests use.
//! Source: CycloneDX 1.5 (JSON).

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::arguments::Arguments;

/// Runs the command.
pub(crate) fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    let package = arguments.value("--package")?.unwrap_or_else(|| "holdfast".to_owned());
    let out = arguments.value("--out")?;
    arguments.finish()?;
    let text = format!("{:#}\n", sbom(&package)?);
    match out {
        Some(path) => {
            std::fs::write(&path, text).with_context(|| format!("cannot write {path}"))?
        }
        None => print!("{text}"),
    }
    Ok(())
}

/// A package in the list.
struct Part<'a> {
    package: &'a Value,
    /// Only needed to build.
    build_only: bool,
}

fn sbom(name: &str) -> anyhow::Result<Value> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root)
        .output()
        .context("cargo cannot be started")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let list = |key: &str| metadata[key].as_array().cloned().unwrap_or_default();
    let packages = list("packages");
    let by_id: BTreeMap<&str, &Value> =
        packages.iter().filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().cloned().unwrap_or_default();
    let nodes: BTreeMap<&str, &Value> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let top = packages.iter().find(|package| package["name"] == name);
    let top = top
        .and_then(|package| package["id"].as_str())
        .with_context(|| format!("no package {name}"))?;
    let parts = reached(top, &nodes, &by_id);
    let lock = std::fs::read_to_string(format!("{root}/Cargo.lock"))?;
    let sums = checksums(&lock);
    let components: Vec<Value> = parts
        .iter()
        .filter(|(id, _)| **id != top)
        .map(|(_, part)| component(part, &sums))
        .collect();
    let dependencies: Vec<Value> = parts
        .iter()
        .map(|(id, part)| {
            let used: BTreeSet<String> = edges(id, &nodes)
                .into_iter()
                .filter_map(|(used, _)| {
                    parts.get(used.as_str()).map(|part| reference(part.package))
                })
                .collect();
            json!({"ref": reference(part.package), "dependsOn": used})
        })
        .collect();
    let top = component(&parts[top], &sums);
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": top}, "components": components, "dependencies": dependencies,
    }))
}

/// Returns what a package uses when it is built: ids, and whether only for building.
fn edges(id: &str, nodes: &BTreeMap<&str, &Value>) -> Vec<(String, bool)> {
    let uses = nodes.get(id).and_then(|node| node["deps"].as_array()).cloned().unwrap_or_default();
    uses.iter()
        .filter_map(|used| {
            let kinds = used["dep_kinds"].as_array()?;
            let normal = kinds.iter().any(|kind| kind["kind"].is_null());
            let build = kinds.iter().any(|kind| kind["kind"] == "build");
            (normal || build).then(|| Some((used["pkg"].as_str()?.to_owned(), !normal)))?
        })
        .collect()
}

fn reached<'a>(
    top: &'a str,
    nodes: &BTreeMap<&str, &Value>,
    by_id: &BTreeMap<&'a str, &'a Value>,
) -> BTreeMap<&'a str, Part<'a>> {
    let mut parts: BTreeMap<&str, Part<'_>> = BTreeMap::new();
    let mut open = vec![(top.to_owned(), false)];
    while let Some((id, build_only)) = open.pop() {
        let Some((id, package)) = by_id.get_key_value(id.as_str()) else { continue };
        // What is built in and used to build is built in.
        if parts.get(id).is_some_and(|part| !part.build_only || build_only) {
            continue;
        }
        parts.insert(*id, Part { package, build_only });
        let used = edges(id, nodes);
        open.extend(used.into_iter().map(|(used, build)| (used, build || build_only)));
    }
    parts
}

/// Returns the SHA-256 of packages from a registry, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut sums = BTreeMap::new();
    for block in lock.split("[[package]]") {
        let field = |key: &str| {
            let found =
                block.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix("= "));
            found.map(|text| text.trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) =
            (field("name"), field("version"), field("checksum"))
        {
            sums.insert((name, version), sum);
        }
    }
    sums
}

fn text(package: &Value, key: &str) -> String {
    package[key].as_str().unwrap_or_default().to_owned()
}

fn reference(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version"))
}

fn component(part: &Part<'_>, sums: &BTreeMap<(String, String), String>) -> Value {
    let package = part.package;
    let (name, version) = (text(package, "name"), text(package, "version"));
    let mut value = json!({
        "type": if name == "holdfast" { "application" } else { "library" },
        "bom-ref": reference(package), "purl": reference(package),
        "name": name, "version": version,
        "scope": if part.build_only { "excluded" } else { "required" },
    });
    // Older packages write `MIT/Apache-2.0`, which is no expression any more.
    let licence = text(package, "license").replace('/', " OR ");
    if !licence.is_empty() {
        value["licenses"] = json!([{"expression": licence}]);
    }
    if let Some(sum) = sums.get(&(name, version)) {
        value["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
    }
    value
}
