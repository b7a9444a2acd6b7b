//! `holdfast status`: which protections a worker has on this machine, which limits hold, and whether an infected
//! file would be denied right now.
//!
//! What is told comes from a worker that was really started and sealed, not from what the kernel promises.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_core::{Limits, ScanOptions};
use hf_worker::Worker;
use serde_json::json;

use super::exit;
use super::onaccess::{self, check};
use crate::content::{self, Content};
use crate::display::{bytes, safe_path};
use crate::session;

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let limits = Limits::holdfast();
    let config = session::worker_config(&Content::empty(), &limits, &ScanOptions::default())?;
    let memory_bytes = config.memory_bytes;
    let worker = Worker::spawn(Arc::new(config)).context("cannot start a worker")?;
    let protections = worker.protections();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    let kernel = kernel.as_deref().unwrap_or("unknown").trim().to_owned();
    let cache = content::cache_folder().map(|folder| safe_path(&folder));
    let guard = onaccess::usual_socket().map(|socket| check::check(&socket));
    if matches.get_flag("json") {
        let rows: Vec<_> = protections
            .iter()
            .map(|row| json!({"name": row.name, "active": row.active, "detail": row.detail}))
            .collect();
        let line = json!({
            "type": "status", "kernel": kernel, "protections": rows, "cache": cache,
            "workers": session::threads(),
            "onaccess": guard.as_ref().map(check::Told::to_json).ok(),
            "limits": {
                "worker_memory": memory_bytes, "scan_bytes": limits.max_scan_bytes,
                "object_bytes": limits.max_object_bytes, "depth": limits.max_depth,
                "objects": limits.max_objects, "deadline_ms": limits.deadline_ms,
            },
        });
        outln!("{line}");
    } else {
        outln!("kernel                {kernel}");
        for row in protections {
            let word = if row.active { "active" } else { "NOT ACTIVE" };
            outln!("{:<21} {word:<11} {}", row.name, row.detail);
        }
        outln!("workers               {}", session::threads());
        outln!("memory of a worker    {} beyond its content", bytes(memory_bytes));
        outln!("bytes of one file     {}", bytes(limits.max_scan_bytes));
        outln!("bytes of one object   {}", bytes(limits.max_object_bytes));
        outln!("levels, objects       {}, {}", limits.max_depth, limits.max_objects);
        outln!("time for one file     {} s", limits.deadline_ms / 1000);
        outln!("cache of content      {}", cache.as_deref().unwrap_or("none"));
        match &guard {
            Ok(told) => check::print(told, false),
            Err(error) => outln!("on-access             unknown: {error:#}"),
        }
    }
    // That no guard runs is told and is no fault; one that does not do what it says is.
    let guarded =
        guard.as_ref().is_ok_and(|told| told.no_guard.is_some() || told.exit() != exit::ERROR);
    let all = guarded && protections.iter().all(|row| row.active);
    Ok(ExitCode::from(if all { exit::CLEAN } else { exit::INCOMPLETE }))
}
