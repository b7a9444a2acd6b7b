//! Holdfast: one program under several names. This file only chooses what runs.
#![forbid(unsafe_code)]

#[macro_use]
mod output;

mod clamav;
mod clamd;
mod clamdscan;
mod clamonacc;
mod clamscan;
mod commands;
mod content;
mod daemon;
mod display;
mod drive;
mod freshclam;
mod json;
mod session;
mod settings;
mod walk;
mod worker;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if hf_worker::is_worker() {
        return worker::run();
    }
    if let Some(code) = daemon::compile() {
        return code;
    }
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("clamd") => clamd::run(args),
        Some("clamdscan") => clamdscan::run(args),
        Some("clamonacc") => clamonacc::run(args),
        Some("clamscan") => clamscan::run(args),
        Some("freshclam") => freshclam::run(args),
        _ => commands::run(std::iter::once(name).chain(args).collect()),
    }
}
