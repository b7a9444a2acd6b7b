#![no_main]
hf_fuzz::target!(match_pattern);
