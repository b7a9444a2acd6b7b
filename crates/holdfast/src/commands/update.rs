//! `holdfast update`: fetch content, try it, bring it into use; the owner's brakes.

mod attempt;
mod carry;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_update::config::Config;
use hf_update::run::{Ended, Run, SourceEnd};
use hf_update::store::{short, time, verify_set};
use hf_update::supplier::Suppliers;
use hf_update::{Activation, ActiveSet, ChildJudge, Note, SetStore};
use serde_json::json;

use super::exit;
use crate::content;
use crate::display::safe_path;

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match matches.subcommand() {
        None => update(matches),
        Some(("try", matches)) => attempt::run(matches),
        Some(("export", matches)) => carry::export(matches),
        Some(("import", matches)) => carry::import(matches),
        Some(("status", matches)) => status(matches),
        Some(("watch", matches)) => watch(matches),
        Some((brake, matches)) => pull(brake, matches),
    }
}

/// Returns the store's folder.
fn root() -> anyhow::Result<PathBuf> {
    SetStore::default_root().context("there is no place for content: set HOLDFAST_STATE or HOME")
}

/// Reads the configuration that is named, else the first that is there.
pub(super) fn configuration(matches: &ArgMatches) -> anyhow::Result<(Config, Option<PathBuf>)> {
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        return Ok((Config::read(path)?, Some(path.clone())));
    }
    match Config::places().into_iter().find(|place| place.exists()) {
        Some(place) => Ok((Config::read(&place)?, Some(place))),
        None => Ok((Config::default(), None)),
    }
}

/// Returns the judge that tries sets with this program.
fn judge(config: &Config) -> ChildJudge {
    let clean = config.update.known_clean.iter();
    let arguments =
        clean.flat_map(|path| [OsString::from("--known-clean"), path.clone().into_os_string()]);
    ChildJudge::this_program(arguments.collect(), config.update.trial_bounds())
}

fn update(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, place) = configuration(matches)?;
    with_config(matches, config, place)
}

/// Updates by a configuration.
fn with_config(
    matches: &ArgMatches,
    config: Config,
    place: Option<PathBuf>,
) -> anyhow::Result<ExitCode> {
    if place.is_none() {
        let places: Vec<String> = Config::places().iter().map(|place| safe_path(place)).collect();
        anyhow::bail!("no sources are configured: write {} (docs/update.md)", places.join(" or "));
    }
    let only: Vec<String> =
        matches.get_many::<String>("source").into_iter().flatten().cloned().collect();
    for name in &only {
        if !config.sources.iter().any(|source| source.name == *name) {
            anyhow::bail!("there is no source '{name}' in the configuration");
        }
    }
    let suppliers = Suppliers::with_owners(&config.update.suppliers).map_err(anyhow::Error::msg)?;
    let (json, quiet) = (matches.get_flag("json"), matches.get_flag("quiet"));
    let check_only = matches.try_get_one("check").ok().flatten().copied().unwrap_or(false);
    let store = SetStore::open(root()?)?;
    let mut warnings = Vec::new();
    let certificates = content::roots(config.update.certificates.as_deref(), &mut warnings);
    warnings.iter().for_each(|text| errln!("holdfast: warning: {text}"));
    let verbose = matches.get_flag("verbose");
    let mut tell = |source: &str, note: Note| match note {
        Note::Detail(text) if verbose => errln!("{source}: {text}"),
        Note::Info(text) if !quiet => errln!("{source}: {text}"),
        Note::Warning(text) => errln!("holdfast: warning: {source}: {text}"),
        Note::Detail(_) | Note::Info(_) => {}
    };
    let run = Run {
        config: &config,
        suppliers: &suppliers,
        store: &store,
        judge: &judge(&config),
        make: &|source| {
            let used_for = config.update.used_for.as_deref();
            hf_update::sources::build(source, used_for, certificates.clone())
        },
        only: &only,
        check_only,
        tell: &mut tell,
    };
    let ended = run.run()?;
    tell_end(&ended, json, quiet);
    let news = ended.sources.iter().any(|(_, end)| matches!(end, SourceEnd::Available(_)));
    Ok(ExitCode::from(match (ended.is_incomplete(), check_only && news) {
        (true, _) => exit::INCOMPLETE,
        (false, true) => exit::DETECTED,
        (false, false) => exit::CLEAN,
    }))
}

fn tell_end(ended: &Ended, json: bool, quiet: bool) {
    for (name, end) in &ended.sources {
        let (word, text) = told(end);
        if json {
            outln!("{}", json!({"type": "source", "name": name, "state": word, "detail": text}));
        } else if matches!(end, SourceEnd::Failed(_) | SourceEnd::Forbidden(_)) {
            errln!("{name}: {word}: {text}");
        } else if !quiet {
            let colon = if text.is_empty() { "" } else { ": " };
            outln!("{name}: {word}{colon}{text}");
        }
    }
    let Some(activation) = &ended.activation else { return };
    let digest = ended.digest.as_deref().unwrap_or_default();
    let (word, text) = match activation {
        Activation::Unchanged => ("unchanged", String::new()),
        Activation::Activated(notes) => ("in use", notes.join("; ")),
        Activation::Held(reason) => ("held", reason.clone()),
        Activation::Pinned(pin) => ("pinned", format!("{} stays in use", short(pin))),
        Activation::Staged(until) => ("staged", format!("waits until {}", time::to_iso(*until))),
        Activation::Refused(reason) => {
            ("refused", format!("{reason}; what is in use stays in use"))
        }
    };
    if json {
        outln!("{}", json!({"type": "set", "digest": digest, "state": word, "detail": text}));
    } else if word == "refused" {
        errln!("content {} refused: {text}", short(digest));
    } else if !quiet {
        let colon = if text.is_empty() { "" } else { ": " };
        outln!("content {} {word}{colon}{text}", short(digest));
    }
}

fn told(end: &SourceEnd) -> (&'static str, String) {
    match end {
        SourceEnd::UpToDate => ("up to date", String::new()),
        SourceEnd::Available(what) => ("news", what.clone()),
        SourceEnd::New(files) => ("new", format!("{files} databases")),
        SourceEnd::CoolingDown(until, why) => {
            ("left alone", format!("until {}: {why}", time::to_iso(*until)))
        }
        SourceEnd::Forbidden(why) => ("not allowed", why.clone()),
        SourceEnd::Failed(err) => ("failed", format!("{:#}", chain(err))),
        SourceEnd::Removed => ("left out", "it is not wanted any more".to_owned()),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Pulls or releases a brake.
fn pull(brake: &str, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let store = SetStore::open(root()?)?;
    let now = time::now();
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    match brake {
        "hold" => {
            let reason = text("reason").unwrap_or_else(|| "the owner holds it".to_owned());
            store.change(|state| state.brakes.hold = Some(reason))?;
            outln!("held: nothing new comes into use until `holdfast update unhold`");
        }
        "unhold" => {
            store.change(|state| {
                state.brakes.hold = None;
                state.brakes.pin = None;
            })?;
            outln!("new content comes into use again");
        }
        "pin" => {
            let set = store.pin(&text("digest").unwrap_or_default(), now)?;
            outln!(
                "pinned: {} is in use, and no other until `holdfast update unhold`",
                short(&set.digest)
            );
        }
        "stage" => {
            let percent = matches.get_one::<u64>("percent").copied().unwrap_or(100);
            let percent = u8::try_from(percent).ok().filter(|percent| *percent <= 100);
            let percent = percent.context("a percentage is a number up to 100")?;
            let hours = matches.get_one::<u64>("delay").copied().unwrap_or(24);
            store.change(|state| {
                state.brakes.stage_percent = Some(percent).filter(|percent| *percent < 100);
                state.brakes.stage_delay = hours.saturating_mul(3600);
            })?;
            outln!(
                "staged: {percent} % of machines take new content at once, the others after {hours} h"
            );
        }
        "rollback" => {
            let reason = text("reason").unwrap_or_else(|| "the owner went back".to_owned());
            let set = store.roll_back(&reason, now)?;
            outln!(
                "rolled back: {} is in use; what was left is not taken again by itself",
                short(&set.digest)
            );
        }
        _ => return Ok(ExitCode::from(exit::ERROR)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Tries the set in use again, and goes back to the one before it when it is found to be unfit.
fn watch(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, _) = configuration(matches)?;
    let store = SetStore::open(root()?)?;
    let mut warnings = Vec::new();
    let sets = SetStore::usable(store.root(), &mut warnings);
    warnings.iter().for_each(|text| errln!("holdfast: warning: {text}"));
    let Some(active) = sets.first() else {
        outln!("no fetched content is in use");
        return Ok(ExitCode::SUCCESS);
    };
    let candidate = hf_update::SealedSet {
        digest: active.digest.clone(),
        dir: active.dir.clone(),
        manifest: active.manifest.clone(),
    };
    let judged = hf_update::Judge::judge(&judge(&config), &candidate, sets.get(1));
    match judged {
        Ok(notes) => {
            outln!("{} is fit: {}", short(&active.digest), notes.join("; "));
            Ok(ExitCode::SUCCESS)
        }
        Err(refusal) if refusal.try_again => anyhow::bail!("{refusal}"),
        Err(refusal) => {
            errln!("{} is not fit: {refusal}", short(&active.digest));
            let back = store.roll_back(&refusal.reason, time::now())?;
            errln!("rolled back: {} is in use", short(&back.digest));
            Ok(ExitCode::from(exit::INCOMPLETE))
        }
    }
}

fn status(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let root = root()?;
    let active = SetStore::active(&root)?;
    let state = SetStore::read_state(&root)?;
    let whole = active.as_ref().map(|set| verify_set(&root, &set.digest).map(|_| ()));
    if matches.get_flag("json") {
        let line = json!({
            "type": "update_status", "folder": safe_path(&root),
            "active": active.as_ref().map(|set| &set.digest), "brakes": state.brakes,
            "past": state.past, "refused": state.refused, "waiting": state.waiting,
            "whole": whole.as_ref().map(Result::is_ok),
        });
        outln!("{line}");
        return Ok(ExitCode::SUCCESS);
    }
    outln!("folder     {}", safe_path(&root));
    match &active {
        Some(set) => tell_set(set),
        None => outln!("in use     nothing fetched: the built-in signatures"),
    }
    if let Some(Err(err)) = &whole {
        outln!("DAMAGED    {err}");
    }
    if let Some(reason) = &state.brakes.hold {
        outln!("held       {reason}");
    }
    if let Some(pin) = &state.brakes.pin {
        outln!("pinned     {}", short(pin));
    }
    if let Some(percent) = state.brakes.stage_percent {
        outln!(
            "staged     {percent} % at once, others after {} h",
            state.brakes.stage_delay / 3600
        );
    }
    for past in state.past.iter().rev().skip(1).take(10) {
        let kept = if root.join("sets").join(&past.digest).exists() { "kept" } else { "gone" };
        outln!(
            "before     {}  {}  {kept}  {}",
            short(&past.digest),
            time::to_iso(past.at),
            past.by
        );
    }
    for refused in state.refused.iter().rev().take(10) {
        outln!("refused    {}  {}", time::to_iso(refused.at), refused.reason);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_set(set: &ActiveSet) {
    outln!("in use     {}  {} databases", set.digest, set.manifest.files.len());
    if let Some(why) = &set.instead_of {
        outln!("warning    {why}");
    }
}
