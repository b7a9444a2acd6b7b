//! Documents: OLE2, PDF, OOXML.

use crate::Format;

mod cipher;
mod le;
mod ole1;
mod ole2;
mod pdf;
mod rtf;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[ole2::FORMAT, ole2::HWP_FORMAT, pdf::FORMAT, rtf::FORMAT];
