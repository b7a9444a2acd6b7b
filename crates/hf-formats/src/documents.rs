//! Documents: OLE2, PDF, OOXML.

use crate::Format;

mod le;
mod ole1;
mod ole2;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[ole2::FORMAT, ole2::HWP_FORMAT];
