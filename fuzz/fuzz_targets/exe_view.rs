#![no_main]
hf_fuzz::target!(exe_view);
