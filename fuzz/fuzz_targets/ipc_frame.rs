#![no_main]
hf_fuzz::target!(ipc_frame);
