#![no_main]
hf_fuzz::target!(image_hash);
