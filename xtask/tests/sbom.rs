//! The list of what the program is made of is whole, and the same every time.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

fn sbom() -> Vec<u8> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_xtask")).arg("sbom").output().expect("xtask runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn the_list_is_whole() {
    let bytes = sbom();
    assert_eq!(bytes, sbom(), "the same every time");
    let list: Value = serde_json::from_slice(&bytes).expect("it is JSON");
    assert_eq!(
        (list["bomFormat"].as_str(), list["specVersion"].as_str()),
        (Some("CycloneDX"), Some("1.5"))
    );
    assert_eq!(list["metadata"]["component"]["name"], "holdfast");
    let components = list["components"].as_array().expect("components");
    assert!(components.len() > 100, "{}", components.len());
    let mut known = BTreeSet::from([list["metadata"]["component"]["bom-ref"].clone().to_string()]);
    for component in components {
        let name = component["name"].as_str().expect("a name");
        assert!(known.insert(component["bom-ref"].to_string()), "{name} is there twice");
        assert!(component["licenses"][0]["expression"].is_string(), "{name} has no licence");
        let ours = name.starts_with("hf-");
        assert!(
            ours || component["hashes"][0]["content"].as_str().is_some_and(|sum| sum.len() == 64),
            "{name}"
        );
    }
    for name in ["hf-engine", "rustls", "yara-x"] {
        assert!(components.iter().any(|component| component["name"] == name), "{name} is missing");
    }
    // What only tests use is no part of it.
    assert!(!components.iter().any(|component| component["name"] == "proptest"));
    for row in list["dependencies"].as_array().expect("dependencies") {
        for used in row["dependsOn"].as_array().expect("a list") {
            assert!(known.contains(&used.to_string()), "{used}");
        }
    }
}
