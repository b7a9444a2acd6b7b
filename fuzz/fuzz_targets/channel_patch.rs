#![no_main]
hf_fuzz::target!(channel_patch);
