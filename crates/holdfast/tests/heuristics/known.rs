//! Files about which the two do not agree, by the start of their names, with reasons.

pub(crate) const KNOWN: &[(&str, &str)] = &[];
