//! Every format has a folder of fixtures, and each fixture gives what its golden file says.

use std::path::Path;

#[test]
fn every_format_has_fixtures_that_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for format in hf_formats::FORMATS.iter().copied().flatten() {
        hf_formats::testing::check_fixtures(&root, format);
    }
}
