//! Where we differ on purpose, each with its reason; the same list is in `docs/compatibility.md`.

use crate::compare::Difference;

/// Returns why a difference is meant to be.
pub(crate) fn reason(difference: &Difference) -> Option<&'static str> {
    match difference {
        Difference::Loading { .. }
        | Difference::Name { .. }
        | Difference::Verdict { .. }
        | Difference::Code { .. } => None,
    }
}
