//! Signature languages: text to model, with diagnostics.
