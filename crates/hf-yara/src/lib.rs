//! YARA rules through yara-x, behind our words.
