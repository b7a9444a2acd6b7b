#![no_main]
hf_fuzz::format_target!("catalog");
