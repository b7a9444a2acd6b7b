//! Where we differ on purpose, each with its reason; the same list is in `docs/compatibility.md`.

use crate::compare::Difference;

/// Returns why a difference is meant to be.
pub(crate) fn reason(difference: &Difference) -> Option<&'static str> {
    let Difference::Name { ours, file, line, .. } = difference else { return None };
    let around = line.contains("Container:") || line.contains("Intermediates:");
    let negated_at_place = {
        let mut fields = line.split(':').skip(2);
        let place = fields.next().is_some_and(|place| place != "*");
        place
            && fields
                .next()
                .is_some_and(|body| body.starts_with("!(") && body.get(3..4) == Some(")"))
    };
    if *ours && negated_at_place {
        Some(
            "to clamscan both the character that a negated boundary takes and the next must be in the place",
        )
    } else if line.starts_with("rule ") && line.contains("filesize") {
        Some("clamscan gives rules the size of the text where they see its normalised copy")
    } else if *ours && line.contains("fuzzy_img#") {
        Some("clamscan gets no image hash of images that are stored in an archive")
    } else if file.contains("encrypted") && around {
        Some("to clamscan a decrypted member is not inside its zip")
    } else {
        None
    }
}
