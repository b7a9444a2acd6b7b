//! `holdfast monitor`: follows logs and cries out.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use clap::ArgMatches;
use hf_channel::layout;
use hf_update::SetStore;
use hf_update::channel::{Followed as Seen, Mirror, Monitor};
use serde_json::json;

use super::super::exit;
use super::Followed;
use super::safe;

/// Follows every log of every channel.
pub(in super::super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, channels) = super::channels(matches)?;
    let fetcher = super::fetcher(&config)?;
    let root = SetStore::default_root().context("there is no place for content")?;
    let hook = matches.get_one::<PathBuf>("hook");
    let json = matches.get_flag("json");
    let mut code = exit::CLEAN;
    for followed in &channels {
        let memory = root.join("monitor").join(&followed.channel.name);
        for log in logs(matches, followed)? {
            let shown = log.to_string();
            let monitor = Monitor {
                log,
                channel: followed.channel.mirrors.first().cloned(),
                policy: &followed.channel.policy,
                fetcher: &fetcher,
                memory: &memory,
            };
            match monitor.follow() {
                Ok(seen) => {
                    tell(&shown, &seen, json, hook.map(PathBuf::as_path))?;
                    if !seen.alarms.is_empty() && code == exit::CLEAN {
                        code = exit::DETECTED;
                    }
                }
                Err(error) => {
                    code = exit::ERROR;
                    errln!("holdfast: {shown}: {error}");
                }
            }
        }
    }
    Ok(ExitCode::from(code))
}

/// Returns where logs are: the named one, those of the policy, else the channel's copies.
fn logs(matches: &ArgMatches, followed: &Followed) -> anyhow::Result<Vec<Mirror>> {
    if let Some(named) = matches.get_one::<String>("log") {
        return Ok(vec![named.parse()?]);
    }
    let mut found = Vec::new();
    for party in &followed.channel.policy.witnesses.logs {
        let copy = format!("{}/{}", layout::LOG, layout::file_name(party.key.name()));
        match (&party.url, followed.channel.mirrors.first()) {
            (Some(url), _) => found.push(url.parse()?),
            (None, Some(Mirror::Web(url))) => found.push(Mirror::Web(format!("{url}/{copy}"))),
            (None, Some(Mirror::Folder(folder))) => found.push(Mirror::Folder(folder.join(copy))),
            (None, None) => {}
        }
    }
    Ok(found)
}

fn tell(log: &str, seen: &Seen, json: bool, hook: Option<&Path>) -> anyhow::Result<()> {
    if json {
        outln!("{}", json!({"type": "log", "log": log, "before": seen.before, "size": seen.size}));
    } else {
        outln!("{log}: {} entries, {} before", seen.size, seen.before);
        for (publisher, set, release) in &seen.statements {
            outln!("  {publisher} vouches for release {release} of {}", safe(set));
        }
    }
    for alarm in &seen.alarms {
        let line = json!({
            "type": "alarm", "log": log, "kind": alarm.kind.word(), "text": alarm.text,
            "entry": alarm.index,
        });
        if json {
            outln!("{line}");
        } else {
            outln!("  ALARM {}: {}", alarm.kind.word(), safe(&alarm.text));
        }
        if let Some(hook) = hook {
            call(hook, &line.to_string())?;
        }
    }
    Ok(())
}

/// Runs the owner's program with one alarm.
fn call(hook: &Path, line: &str) -> anyhow::Result<()> {
    let shown = || format!("the hook {}", hook.display());
    let mut child = Command::new(hook).stdin(Stdio::piped()).spawn().with_context(shown)?;
    if let Some(mut input) = child.stdin.take() {
        // A hook that does not read is its own business.
        let _ = writeln!(input, "{line}");
    }
    let status = child.wait().with_context(shown)?;
    if !status.success() {
        errln!("holdfast: {} ended with {status}", shown());
    }
    Ok(())
}
