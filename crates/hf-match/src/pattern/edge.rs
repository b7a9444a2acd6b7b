//! Boundaries: `(B)`, `(L)`, `(W)` and what they look at.
//!
//! The tables of `(B)` were read off clamscan 1.4.6 with one object per byte; `:` and `;`, which
//! descriptions of it name, are not in them.

use hf_core::signature::{Edge, EdgeKind};

/// True when the boundary in front of `at` holds.
pub(crate) fn edge_before(edge: Edge, data: &[u8], at: usize, wide: bool) -> bool {
    let before = data.get(..at).unwrap_or_default();
    let holds = match (edge.kind, before) {
        (_, []) => true,
        (EdgeKind::Word, [.., last]) => WORD_BEFORE.contains(last),
        (EdgeKind::Line, [.., last]) => *last == b'\n',
        (EdgeKind::NonAlphanumeric, [.., low, high]) if wide => {
            *high != 0 || !low.is_ascii_alphanumeric()
        }
        (EdgeKind::NonAlphanumeric, [.., last]) => wide || !last.is_ascii_alphanumeric(),
    };
    holds != edge.negated
}

/// True when the boundary behind `at` holds.
pub(crate) fn edge_behind(edge: Edge, data: &[u8], at: usize, wide: bool) -> bool {
    let behind = data.get(at..).unwrap_or_default();
    let holds = match (edge.kind, behind) {
        (_, []) => true,
        (EdgeKind::Word, [first, ..]) => WORD_BEHIND.contains(first),
        (EdgeKind::Line, [b'\r', b'\n', ..] | [b'\n', ..]) => true,
        (EdgeKind::Line, _) => false,
        (EdgeKind::NonAlphanumeric, [low, high, ..]) if wide => {
            *high != 0 || !low.is_ascii_alphanumeric()
        }
        (EdgeKind::NonAlphanumeric, [first, ..]) => !first.is_ascii_alphanumeric(),
    };
    holds != edge.negated
}

/// Returns how many bytes a boundary in the middle of a part consumes at `at`; none when it fails.
/// A negated one consumes the one byte that is none.
pub(crate) fn edge_len(edge: Edge, data: &[u8], at: usize) -> Option<usize> {
    let behind = data.get(at..).unwrap_or_default();
    let first = behind.first()?;
    let len = match edge.kind {
        EdgeKind::Word => usize::from(WORD_BEFORE.contains(first) || WORD_BEHIND.contains(first)),
        EdgeKind::Line if behind.starts_with(b"\r\n") => 2,
        EdgeKind::Line => usize::from(*first == b'\n'),
        EdgeKind::NonAlphanumeric => usize::from(!first.is_ascii_alphanumeric()),
    };
    match (len, edge.negated) {
        (0, true) => Some(1),
        (0, false) => None,
        (_, true) => None,
        (len, false) => Some(len),
    }
}

/// Bytes after which a word may start.
const WORD_BEFORE: &[u8] = b" -./<@_";
/// Bytes before which a word may end.
const WORD_BEHIND: &[u8] = b"\n\r \"'-/=>_";
