//! Executables: PE, ELF, Mach-O.

use crate::Format;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[];
