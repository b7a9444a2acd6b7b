#![no_main]
hf_fuzz::target!(trust_policy);
