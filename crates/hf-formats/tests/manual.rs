//! `docs/formats.md` says what the formats' own contracts say. `UPDATE=1` rewrites it.

use std::fmt::Write as _;
use std::path::Path;

#[test]
fn the_manual_is_generated_from_the_formats() {
    let mut text = String::from(
        "# Formats\n\nGenerated from the contracts of the readers (`UPDATE=1 cargo test -p hf-formats --test manual`).\n\
         A type that is recognised but has no reader makes a verdict `incomplete`, never `clean`.\n",
    );
    for format in hf_formats::FORMATS.iter().copied().flatten() {
        let types: Vec<&str> = format.types.iter().map(|kind| kind.name()).collect();
        let doc = &format.doc;
        for field in [doc.recognised_by, doc.yields, doc.leaves_out, doc.limits, doc.sources] {
            assert!(!field.is_empty(), "{} has an empty contract", format.name);
        }
        let _ = write!(
            text,
            "\n## {}\n\n- **Types:** {}\n- **Recognised by:** {}\n- **Yields:** {}\n- **Leaves out:** {}\n\
             - **Limits:** {}\n- **Sources:** {}\n",
            format.name,
            types.join(", "),
            doc.recognised_by,
            doc.yields,
            doc.leaves_out,
            doc.limits,
            doc.sources
        );
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("the manual is writable");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "docs/formats.md is not what the formats say: run with UPDATE=1");
}
