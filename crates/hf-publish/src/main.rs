//! `holdfast-publish`: everything that an operator of a channel, a publisher, a log or a witness does.
//!
//! The only program with types for secret keys. Files are as `home` says; what is served is static.
#![forbid(unsafe_code)]

mod attest;
mod build;
mod changes;
mod clamav;
mod command;
mod delegate;
mod files;
mod home;
mod http;
mod keys;
mod log;
mod mirror;
mod repository;
mod source;
mod tree;
mod witness;

use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run(std::env::args_os().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(command::Failed::Usage(error)) => {
            let shown = !error.use_stderr();
            let _ = error.print();
            ExitCode::from(if shown { 0 } else { 2 })
        }
        Err(command::Failed::Other(error)) => {
            eprintln!("holdfast-publish: {error:#}");
            ExitCode::from(2)
        }
    }
}
