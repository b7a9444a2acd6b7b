//! Matching: compile the signature model, prefilter, verify, evaluate.
