//! Where we differ on purpose, each with its reason; the same list is in `docs/compatibility.md`.

use crate::compare::Difference;

/// Returns why a difference is meant to be.
pub(crate) fn reason(difference: &Difference) -> Option<&'static str> {
    let (ours, file, db, line) = match difference {
        Difference::Name { ours, file, db, line, .. } => (*ours, file, db, line),
        Difference::Loading { why, .. } if why.contains("how to create filter") => {
            return Some("clamscan cannot build its filter for a pattern that we can look for");
        }
        _ => return None,
    };
    let around = line.contains("Container:") || line.contains("Intermediates:");
    let of_members = matches!(db.as_str(), "a.cdb" | "a.zmd");
    if ours && has_at_place(line, |body| body.starts_with("!(") && body.get(3..4) == Some(")")) {
        Some(
            "to clamscan both the character that a negated boundary takes and the next must be in the place, \
             unless another signature shares its bytes",
        )
    } else if ours && has_at_place(line, has_uneven_alternatives) {
        Some("clamscan may miss the place where alternatives of several lengths are in front")
    } else if line.starts_with("rule ") && line.contains("filesize") {
        Some("clamscan gives rules the size of the text where they see its normalised copy")
    } else if ours && line.contains("fuzzy_img#") {
        Some("clamscan gets no image hash of images that are stored in an archive")
    } else if ours && file.ends_with(".pdf") && line.contains("FileSize:") {
        Some("dictionaries of actions in PDF are objects to us")
    } else if file.contains("encrypted") && (around || of_members) {
        Some("to clamscan a decrypted member is not inside its zip")
    } else if ours && file.contains("encrypted") {
        Some("clamscan takes the first password that fits the one byte which is there to check it")
    } else {
        None
    }
}

/// True when a pattern of the signature that must be at some place is such a one.
fn has_at_place(line: &str, is_such: impl Fn(&str) -> bool) -> bool {
    let sub_signatures = line.split(';').flat_map(|sub| {
        let colons = sub.char_indices().filter(|(_, letter)| *letter == ':');
        colons.map(move |(at, _)| sub.split_at(at))
    });
    let mut placed = sub_signatures.filter(|(place, _)| {
        let place = place.rsplit(':').next().unwrap_or_default();
        place != "*" && place.ends_with(|letter: char| letter.is_ascii_digit())
    });
    placed.any(|(_, body)| is_such(&body[1..]))
}

fn has_uneven_alternatives(body: &str) -> bool {
    body.split('(').skip(1).any(|group| {
        let all = group.split(')').next().unwrap_or_default();
        let mut lens = all.split('|').map(str::len);
        let first = lens.next();
        lens.any(|len| Some(len) != first)
    })
}
