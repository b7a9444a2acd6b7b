//! Every crate has a floor and uses only crates of lower floors; `unsafe` and async stay where they may be.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn floors(metadata: &Value) -> BTreeMap<String, i64> {
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().expect("a name").to_owned();
            let floor = package["metadata"]["house"]["floor"].as_i64();
            (name.clone(), floor.unwrap_or_else(|| panic!("{name} has no floor in its manifest")))
        })
        .collect()
}

#[test]
fn crates_use_only_lower_floors() {
    let metadata = metadata();
    let floors = floors(&metadata);
    assert!(floors.len() > 10, "the workspace was read");
    for package in metadata["packages"].as_array().expect("a list of packages") {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let used = dependency["name"].as_str().expect("a name");
            let normal = dependency["kind"].is_null();
            let Some(below) = floors.get(used).filter(|_| normal) else { continue };
            assert!(
                *below < floors[name],
                "{name} (floor {}) uses {used} (floor {below})",
                floors[name]
            );
        }
    }
}

#[test]
fn only_one_crate_names_a_library() {
    let metadata = metadata();
    // A program of its own, which may have what programs have.
    let program = |name: &str| matches!(name, "holdfast" | "hf-publish" | "xtask");
    for package in metadata["packages"].as_array().expect("a list of packages") {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let used = dependency["name"].as_str().expect("a name");
            let fits = match used {
                "yara-x" => name == "hf-yara",
                "anyhow" | "clap" => program(name),
                _ => true,
            };
            assert!(fits, "{name} uses {used}, which is not its own");
            let runtime = matches!(used, "tokio" | "async-std" | "smol" | "futures");
            assert!(!runtime || floors(&metadata)[name] >= 4, "{name} uses {used}");
        }
    }
}

#[test]
fn crates_without_unsafe_forbid_it() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates");
    let allowed = ["hf-literal", "hf-match", "hf-pack", "hf-sys"];
    for entry in std::fs::read_dir(root).expect("the crates are there") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let root_file = ["src/lib.rs", "src/main.rs"].iter().map(|file| path.join(file));
        let text: String =
            root_file.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
        assert!(
            allowed.contains(&name.as_str()) || text.contains("#![forbid(unsafe_code)]"),
            "{name} does not forbid unsafe code"
        );
    }
}
