#![no_main]
hf_fuzz::target!(vault_entry);
