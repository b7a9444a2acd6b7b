//! Where we differ on purpose, each with its reason; the same list is in `docs/compatibility.md`.

use crate::compare::Difference;

/// Returns why a difference is meant to be.
pub(crate) fn reason(difference: &Difference) -> Option<&'static str> {
    let Difference::Name { ours, file, line, .. } = difference else { return None };
    let around = line.contains("Container:") || line.contains("Intermediates:");
    if *ours && line.contains("fuzzy_img#") {
        Some("clamscan gets no image hash of images that are stored in an archive")
    } else if file.contains("encrypted") && around {
        Some("to clamscan a decrypted member is not inside its zip")
    } else {
        None
    }
}
