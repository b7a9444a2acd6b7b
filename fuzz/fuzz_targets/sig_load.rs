#![no_main]
hf_fuzz::target!(sig_load);
