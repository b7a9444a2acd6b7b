//! `holdfast content log` and `holdfast content why`.

use std::process::ExitCode;

use clap::ArgMatches;
use hf_channel::{Change, ChangeKind};
use hf_update::channel::{Release, origins, releases};
use serde_json::json;

use super::super::exit;
use super::safe;

/// Says what changed, when, by whom, with which proof.
pub(in super::super) fn log(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (_, channels) = super::channels(matches)?;
    let (json, all) = (matches.get_flag("json"), matches.get_flag("changes"));
    for followed in channels {
        for release in releases(&followed.memory, &followed.channel.policy)? {
            if json {
                outln!("{}", as_json(&followed.channel.name, &release, all));
            } else {
                tell(&followed.channel.name, &release, all);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn count(release: &Release, kind: ChangeKind) -> Option<usize> {
    let changes = release.changes.as_ref()?;
    Some(changes.list.iter().filter(|change| change.kind == kind).count())
}

fn as_json(channel: &str, release: &Release, all: bool) -> serde_json::Value {
    let manifest = &release.manifest;
    let attested = release.attested.iter().map(|attested| {
        json!({"by": attested.by, "time": attested.time.to_string(), "logs": attested.places})
    });
    let changes = release.changes.as_ref().filter(|_| all).map(|changes| &changes.list);
    json!({
        "type": "release", "channel": channel, "set": manifest.set, "release": manifest.release,
        "created": manifest.created, "manifest": release.digest.to_string(),
        "attested": attested.collect::<Vec<_>>(),
        "added": count(release, ChangeKind::Added),
        "removed": count(release, ChangeKind::Removed),
        "changed": count(release, ChangeKind::Changed),
        "changes": changes,
    })
}

fn tell(channel: &str, release: &Release, all: bool) {
    let manifest = &release.manifest;
    outln!("{channel}: release {} of {}, {}", manifest.release, manifest.set, manifest.created);
    outln!("  manifest {}", release.digest);
    for attested in &release.attested {
        let places: Vec<String> =
            attested.places.iter().map(|(log, index)| format!("{log} entry {index}")).collect();
        outln!("  attested by {} at {}: {}", attested.by, attested.time, places.join(", "));
    }
    match &release.changes {
        None => outln!("  changes are not known: the first release that was seen here"),
        Some(changes) => {
            let number = |kind| count(release, kind).unwrap_or(0);
            outln!(
                "  {} added, {} removed, {} changed",
                number(ChangeKind::Added),
                number(ChangeKind::Removed),
                number(ChangeKind::Changed)
            );
            let told = |change: &&Change| all || change.kind == ChangeKind::Removed;
            for change in changes.list.iter().filter(told) {
                outln!("  {}", in_words(change));
            }
        }
    }
}

fn in_words(change: &Change) -> String {
    let word = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Changed => "changed",
    };
    let reason = match change.reason.as_str() {
        "" => String::new(),
        reason => format!(": {}", safe(reason)),
    };
    format!("{word} {} in {} of {}{reason}", safe(&change.name), change.file, change.source)
}

/// Says where a signature comes from, and what became of it.
pub(in super::super) fn why(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (_, channels) = super::channels(matches)?;
    let json = matches.get_flag("json");
    let name = matches.get_one::<String>("name").map_or("", String::as_str);
    let name = name.strip_suffix(".UNOFFICIAL").unwrap_or(name);
    let mut found = false;
    for followed in channels {
        let releases = releases(&followed.memory, &followed.channel.policy)?;
        let origins = origins(&releases, name);
        let in_use = super::keep::names_in(followed.current.as_deref(), name);
        found |= !origins.is_empty() || !in_use.is_empty();
        if json {
            outln!(
                "{}",
                json!({
                    "type": "signature", "name": name, "channel": followed.channel.name,
                    "files": in_use, "history": origins.iter().map(|origin| json!({
                        "release": origin.release, "created": origin.created,
                        "change": origin.change,
                    })).collect::<Vec<_>>(),
                })
            );
            continue;
        }
        for file in &in_use {
            outln!("{}: {} is in {file}", followed.channel.name, safe(name));
        }
        for origin in &origins {
            outln!(
                "  release {}, {}: {}",
                origin.release,
                origin.created,
                in_words(&origin.change)
            );
            let release = releases.iter().find(|r| r.manifest.release == origin.release);
            let Some(release) = release else { continue };
            let source = release.manifest.sources.iter().find(|s| s.id == origin.change.source);
            if let Some(source) = source {
                outln!(
                    "    {} by {}, {}",
                    safe(&source.title),
                    safe(&source.author),
                    safe(&source.licence)
                );
            }
            for attested in &release.attested {
                for (log, index) in &attested.places {
                    outln!("    attested by {}: {log} entry {index}", attested.by);
                }
            }
        }
        if origins.is_empty() && !in_use.is_empty() {
            tell_first(&releases);
        }
    }
    if !found {
        outln!("no channel has, or had, a signature of the name {}", safe(name));
    }
    Ok(ExitCode::from(if found { exit::CLEAN } else { exit::DETECTED }))
}

/// A signature that was there before the first change that this machine saw.
fn tell_first(releases: &[Release]) {
    let Some(first) = releases.first() else { return };
    outln!("  since release {} or before, {}", first.manifest.release, first.manifest.created);
    for source in &first.manifest.sources {
        outln!(
            "    one of: {} by {}, {}",
            safe(&source.title),
            safe(&source.author),
            safe(&source.licence)
        );
    }
}
