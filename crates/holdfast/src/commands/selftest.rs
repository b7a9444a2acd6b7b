//! `holdfast selftest`: what a worker cannot do, shown on a real one.

use std::process::ExitCode;

use clap::ArgMatches;
use hf_core::{Limits, ScanOptions};
use serde_json::json;

use super::exit;
use crate::content::Content;
use crate::session;

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let content = Content::empty();
    let limits = Limits { deadline_ms: DEADLINE_MS, ..Limits::default() };
    let config = session::worker_config(&content, &limits, &ScanOptions::default())?;
    let rows = hf_worker::selftest(&config)?;
    let json = matches.get_flag("json");
    let mut all = true;
    for row in rows {
        all &= row.stopped;
        if json {
            let line = json!({
                "asked": row.asked, "stopped": row.stopped, "reported": row.parent_reported,
            });
            outln!("{line}");
        } else {
            let word = if row.stopped { "stopped" } else { "NOT STOPPED" };
            outln!("{:<44} {word:<12} {}", row.asked, row.parent_reported);
        }
    }
    Ok(ExitCode::from(if all { exit::CLEAN } else { exit::ERROR }))
}

/// Short, because one row waits for it.
const DEADLINE_MS: u64 = 1_000;
