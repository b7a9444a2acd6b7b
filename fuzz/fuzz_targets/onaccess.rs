#![no_main]
hf_fuzz::target!(onaccess);
