//! The sandboxed process, and the parent's side of it.
