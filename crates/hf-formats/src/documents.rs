//! Documents: OLE2, PDF, OOXML.

use crate::Format;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[];
