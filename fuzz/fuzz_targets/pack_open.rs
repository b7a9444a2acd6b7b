#![no_main]
hf_fuzz::target!(pack_open);
