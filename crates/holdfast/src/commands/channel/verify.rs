//! `holdfast verify`: everything once more, from the root down, without a network.

use std::process::ExitCode;

use clap::ArgMatches;
use hf_update::SetStore;
use hf_update::store::verify_set;
use serde_json::json;

use super::super::exit;

/// Verifies every channel, and the set in use.
pub(in super::super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (_, channels) = super::channels(matches)?;
    let json = matches.get_flag("json");
    let mut code = exit::CLEAN;
    for followed in channels {
        let name = &followed.channel.name;
        let current = followed.current.as_deref();
        let done =
            hf_update::channel::verify(&followed.channel, &followed.memory, current, super::now());
        let (state, lines) = match done {
            Err(refusal) => {
                code = exit::ERROR;
                ("refused", vec![refusal.to_string()])
            }
            Ok(None) => ("nothing", vec!["nothing was accepted yet".to_owned()]),
            Ok(Some(verified)) => {
                let accepted = &verified.accepted;
                let logs: Vec<String> =
                    accepted.logs.iter().map(|(log, at)| format!("{log} entry {at}")).collect();
                let mut lines = vec![
                    format!("root of version {}, from the owner's", verified.root_version),
                    format!("release {} of {}", verified.manifest.release, verified.manifest.set),
                    format!("attested by {}", accepted.publishers.join(", ")),
                    format!("in {}", logs.join(", ")),
                    format!("witnessed until {}", accepted.fresh_until),
                    format!("{} files have the digests of the release", verified.files),
                ];
                let state = if verified.complaints.is_empty() { "right" } else { "look" };
                if state == "look" {
                    code = code.max(exit::INCOMPLETE);
                }
                lines.extend(verified.complaints.into_iter().map(|text| format!("LOOK: {text}")));
                (state, lines)
            }
        };
        if json {
            outln!(
                "{}",
                json!({"type": "verify", "channel": name, "state": state, "detail": lines})
            );
        } else {
            outln!("{name}: {state}");
            lines.iter().for_each(|line| outln!("  {line}"));
        }
    }
    if let Some(root) = SetStore::default_root()
        && let Some(active) = SetStore::active(&root)?
        && let Err(error) = verify_set(&root, &active.digest)
    {
        errln!("holdfast: {error}");
        code = exit::ERROR;
    }
    Ok(ExitCode::from(code))
}
