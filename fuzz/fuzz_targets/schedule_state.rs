#![no_main]
hf_fuzz::target!(schedule_state);
