//! From database paths to open packs: the cache of compiled content.
