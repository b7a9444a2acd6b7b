//! Every format has a fuzz target: the list is walked, so that a new format cannot go without.

use std::path::Path;

#[test]
fn every_format_has_a_fuzz_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for format in hf_formats::FORMATS.iter().copied().flatten() {
        let name = format.name;
        let text = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs")))
            .unwrap_or_else(|error| panic!("fuzz target of {name}: {error}"));
        assert!(text.contains(&format!("format_target!({name:?})")), "{name}: {text}");
        assert!(manifest.contains(&format!("name = {name:?}\npath")), "{name} in the manifest");
    }
}
