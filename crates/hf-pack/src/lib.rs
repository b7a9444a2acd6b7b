//! The compiled content file: sections, writer, checked reader over a read-only map.
