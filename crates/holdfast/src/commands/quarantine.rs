//! `holdfast quarantine`: the vault for people and scripts.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::ArgMatches;
use hf_core::Verdict;
use hf_events::EventsConfig;
use hf_quarantine::vault::Provenance;
use hf_quarantine::{
    Action, By, Finding, Form, Guard, Id, Identity, Listed, OsPackages, Outcome,
    QuarantineSink as _, Raw, Record, Retention, Seen, Target, Vault, Why,
};
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use super::exit;
use super::outcome::{self, Teller};
use crate::content::Content;
use crate::display::{self, safe, safe_path};
use crate::settings::Settings;

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some((name, matches)) = matches.subcommand() else { anyhow::bail!("say what to do") };
    let settings = Settings::of_or_machine(matches)?;
    let path = vault_path(matches, &settings)?;
    let vault = match (name, Vault::open(&path)) {
        ("add", _) => Vault::create(&path)?,
        // Nothing was ever taken.
        ("list" | "expire", Err(hf_quarantine::VaultError::None(_))) => {
            return Ok(ExitCode::SUCCESS);
        }
        (_, opened) => opened?,
    };
    let silent = EventsConfig::default();
    let changes = matches!(name, "add" | "restore" | "delete" | "expire");
    let events = Teller::of(if changes { &settings.events } else { &silent })?;
    let tell = Tell { json: matches.get_flag("json"), events: &events };
    let failed = match name {
        "list" => list(&vault, tell),
        "show" => each(&vault, matches, tell, &mut |id| show(&vault, id, tell)),
        "add" => Ok(add(vault, matches, tell)),
        "restore" => Vault::create(&path).map_err(anyhow::Error::from).and_then(|vault| {
            each(&vault, matches, tell, &mut |id| restore(&vault, id, matches, tell))
        }),
        "delete" => each(&vault, matches, tell, &mut |id| delete(&vault, id, matches, tell)),
        "export" => each(&vault, matches, tell, &mut |id| export(&vault, id, matches, tell)),
        _ => expire(&vault, matches, &settings, tell),
    };
    events.finish();
    Ok(ExitCode::from(if failed? { exit::ERROR } else { exit::CLEAN }))
}

/// Returns the folder of the vault that the options mean.
pub(crate) fn vault_path(matches: &ArgMatches, settings: &Settings) -> anyhow::Result<PathBuf> {
    let path = matches.get_one::<PathBuf>("vault").or(settings.quarantine.vault.as_ref());
    let path = path.cloned().or_else(Vault::default_path);
    path.context("there is no place for the quarantine: name one with --vault")
}

/// Returns what is kept about the content in use.
pub(crate) fn content_records(content: &Content) -> Vec<hf_quarantine::Content> {
    let sources = content.packs.iter().flat_map(|opened| &opened.pack.meta().sources);
    sources
        .map(|source| {
            let digest = display::hex(&source.digest);
            hf_quarantine::Content::new(&source.name, source.version, &digest)
        })
        .collect()
}

#[derive(Clone, Copy)]
struct Tell<'e> {
    json: bool,
    events: &'e Teller,
}

impl Tell<'_> {
    /// Tells what was done with an entry or a path.
    fn done(self, what: &str, name: &str, detail: &str, more: Value) {
        if self.json {
            let mut line = json!({"type": what, "name": name});
            if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
                line.extend(more);
            }
            outln!("{line}");
        } else {
            let space = if detail.is_empty() { "" } else { ": " };
            outln!("{what:<11} {name}{space}{detail}");
        }
    }

    fn failed(self, name: &str, why: &str) {
        if self.json {
            outln!("{}", json!({"type": "error", "name": name, "reason": why}));
        } else {
            errln!("holdfast: {name}: {why}");
        }
    }
}

/// Does something with each named entry; returns whether anything failed.
fn each(
    vault: &Vault,
    matches: &ArgMatches,
    tell: Tell<'_>,
    act: &mut dyn FnMut(Id) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let mut failed = false;
    for name in matches.get_many::<String>("ids").into_iter().flatten() {
        let ids = match name.as_str() {
            "all" => vault.ids()?,
            name => match vault.find(name) {
                Ok(id) => vec![id],
                Err(error) => {
                    tell.failed(&safe(name.as_bytes()), &error.to_string());
                    failed = true;
                    continue;
                }
            },
        };
        for id in ids {
            if let Err(error) = act(id) {
                tell.failed(&id.to_string(), &format!("{error:#}"));
                failed = true;
            }
        }
    }
    Ok(failed)
}

fn list(vault: &Vault, tell: Tell<'_>) -> anyhow::Result<bool> {
    let mut failed = false;
    for Listed { id, stored_len, record } in vault.list()? {
        match record {
            Err(error) => {
                tell.failed(&id.to_string(), &error.to_string());
                failed = true;
            }
            Ok(record) if tell.json => outln!("{}", row(&record, stored_len)),
            Ok(record) => outln!(
                "{id}  {}  {:>10}  {}  {}",
                moment(record.taken.s),
                display::bytes(record.size),
                names(&record),
                shown_path(&record),
            ),
        }
    }
    Ok(failed)
}

fn row(record: &Record, stored_len: u64) -> Value {
    let mut line = json!({"type": "entry", "stored_bytes": stored_len});
    if let (Some(line), Ok(Value::Object(record))) =
        (line.as_object_mut(), serde_json::to_value(record))
    {
        line.extend(record);
    }
    line
}

fn names(record: &Record) -> String {
    let names: Vec<String> =
        record.findings.iter().map(|finding| safe(finding.name.as_bytes())).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

fn shown_path(record: &Record) -> String {
    safe(&record.path.0)
}

fn show(vault: &Vault, id: Id, tell: Tell<'_>) -> anyhow::Result<()> {
    let reader = vault.reader(id)?;
    let record = &reader.record;
    if tell.json {
        outln!("{}", row(record, reader.stored_len));
        return Ok(());
    }
    outln!("{id}");
    outln!("  path      {}", shown_path(record));
    for finding in &record.findings {
        let place = finding.place.iter().map(|part| safe(&part.0));
        let place = place.fold(String::new(), |text, part| format!("{text} > {part}"));
        let name = safe(finding.name.as_bytes());
        outln!("  finding   {name}{place}  {}", safe(finding.origin.as_bytes()));
    }
    outln!("  size      {} bytes, {} on disk", record.size, reader.stored_len);
    outln!("  sha256    {}", record.sha256);
    let meta = &record.metadata;
    outln!("  owner     {}:{}  mode {:04o}", meta.uid, meta.gid, meta.mode);
    outln!("  modified  {}.{:09}", moment(meta.mtime.s), meta.mtime.ns);
    outln!("  read      {}.{:09}", moment(meta.atime.s), meta.atime.ns);
    outln!("  changed   {}.{:09}", moment(meta.ctime.s), meta.ctime.ns);
    if let Some(born) = meta.btime {
        outln!("  born      {}.{:09}", moment(born.s), born.ns);
    }
    outln!("  inode     {} on device {}, {} names", record.ino, record.dev, meta.links);
    for (name, value) in &meta.xattrs {
        outln!("  attribute {}  {}", safe(&name.0), safe(&value.0));
    }
    if meta.xattrs_left_out > 0 {
        outln!("  attribute {} more were too large to keep", meta.xattrs_left_out);
    }
    let By { program, pid, uid, login_uid } = &record.by;
    let login = login_uid.map(|uid| format!(", logged in as {uid}")).unwrap_or_default();
    let program = safe(program.as_bytes());
    outln!(
        "  taken     {} by {program} (process {pid}, user {uid}{login})",
        moment(record.taken.s)
    );
    for source in &record.content {
        let version = source.version.map(|version| format!(" {version}")).unwrap_or_default();
        outln!("  content   {}{version}  {}", safe(source.name.as_bytes()), source.digest);
    }
    Ok(())
}

/// Takes files without a scan.
fn add(vault: Vault, matches: &ArgMatches, tell: Tell<'_>) -> bool {
    let reason = matches.get_one::<String>("reason").cloned().unwrap_or_default();
    let dry_run = matches.get_flag("dry-run");
    let guard =
        Guard { action: Action::Quarantine(vault), packages: Some(OsPackages::default()), dry_run };
    let mut failed = false;
    for path in matches.get_many::<PathBuf>("paths").into_iter().flatten() {
        let name = safe_path(path);
        let added = add_one(&guard, path, &reason);
        if let Ok(outcome) = &added {
            tell.events.tell(outcome::action(outcome::absolute(path), "quarantine", outcome));
        }
        match added {
            Ok(Outcome::Quarantined { record, links_left }) => {
                let id = record.id.to_string();
                let more = json!({"entry": id, "links_left": links_left});
                tell.done("quarantined", &name, &format!("as {id}"), more);
            }
            Ok(Outcome::Would) => {
                tell.done("dry run", &name, "quarantine would be possible", json!({}))
            }
            Ok(Outcome::Failed(error)) => {
                tell.failed(&name, &error.to_string());
                failed = true;
            }
            Ok(_) => {
                tell.failed(&name, "it belongs to a package of the distribution and is unchanged");
                failed = true;
            }
            Err(error) => {
                tell.failed(&name, &format!("{error:#}"));
                failed = true;
            }
        }
    }
    failed
}

fn add_one(guard: &Guard, path: &Path, reason: &str) -> anyhow::Result<Outcome> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty());
    let file = file.or_else(|_| rustix::fs::open(path, flags, Mode::empty()));
    let file = File::from(file.map_err(std::io::Error::from).context("cannot open it")?);
    let identity = Identity::of(&file)?;
    let finding = Finding { name: reason.to_owned(), place: Vec::new(), origin: String::new() };
    let provenance = Provenance {
        findings: vec![finding],
        content: Vec::new(),
        by: By::this_process("holdfast quarantine add"),
    };
    // The verdict is the caller's own.
    let verdict = Verdict::Detected;
    Ok(guard.act(Seen { path, file: &file, identity, verdict, provenance }))
}

fn restore(vault: &Vault, id: Id, matches: &ArgMatches, tell: Tell<'_>) -> anyhow::Result<()> {
    let target = Target {
        to: matches.get_one::<PathBuf>("to").cloned(),
        overwrite: matches.get_flag("overwrite"),
        keep: matches.get_flag("keep"),
    };
    if matches.get_flag("dry-run") {
        let reader = vault.reader(id)?;
        let path = vault.restore_target(&reader.record, &target)?;
        reader.body(&mut |_| Ok(()))?;
        let more = json!({"path": Raw(path.as_os_str().as_bytes().to_vec())});
        tell.done("dry run", &id.to_string(), &format!("would be {}", safe_path(&path)), more);
        return Ok(());
    }
    let restored = vault.restore(id, &target);
    let told = match &restored {
        Ok(restored) => outcome::absolute(&restored.path),
        Err(_) => vault.reader(id).map(|reader| reader.record.path.0).unwrap_or_default(),
    };
    tell.events.entry(told, "restore", id, restored.as_ref().err().map(ToString::to_string));
    let restored = restored?;
    let path = safe_path(&restored.path);
    let more = json!({
        "path": Raw(restored.path.as_os_str().as_bytes().to_vec()), "lost": restored.lost,
    });
    tell.done("restored", &id.to_string(), &path, more);
    for lost in &restored.lost {
        errln!("holdfast: warning: {path}: not restored: {lost}");
    }
    Ok(())
}

fn delete(vault: &Vault, id: Id, matches: &ArgMatches, tell: Tell<'_>) -> anyhow::Result<()> {
    let raw = vault.reader(id).map(|reader| reader.record.path.0).unwrap_or_default();
    let path = safe(&raw);
    if matches.get_flag("dry-run") {
        tell.done("dry run", &id.to_string(), &format!("would be deleted ({path})"), json!({}));
        return Ok(());
    }
    let deleted = vault.delete(id);
    tell.events.entry(raw, "delete", id, deleted.as_ref().err().map(ToString::to_string));
    deleted?;
    tell.done("deleted", &id.to_string(), &path, json!({}));
    Ok(())
}

fn export(vault: &Vault, id: Id, matches: &ArgMatches, tell: Tell<'_>) -> anyhow::Result<()> {
    let output = matches.get_one::<PathBuf>("output").context("name a file with --output")?;
    let form = match matches.get_one::<String>("form").map(String::as_str) {
        Some("plain") => Form::Plain,
        _ => Form::Zip,
    };
    let shown = safe_path(output);
    if matches.get_flag("dry-run") {
        vault.reader(id)?.body(&mut |_| Ok(()))?;
        anyhow::ensure!(std::fs::symlink_metadata(output).is_err(), "{shown} exists");
        tell.done("dry run", &id.to_string(), &format!("would be written to {shown}"), json!({}));
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(output);
    let mut file = file.with_context(|| format!("cannot make {shown}"))?;
    if let Err(error) = vault.export(id, form, &mut file) {
        let _ = std::fs::remove_file(output);
        return Err(error.into());
    }
    let more = json!({"path": Raw(OsStr::as_bytes(output.as_os_str()).to_vec())});
    tell.done("exported", &id.to_string(), &shown, more);
    Ok(())
}

fn expire(
    vault: &Vault,
    matches: &ArgMatches,
    settings: &Settings,
    tell: Tell<'_>,
) -> anyhow::Result<bool> {
    let number = |name: &str| matches.get_one::<u64>(name).copied();
    let mut limits = Retention {
        max_age_s: number("max-age").map(|days| days.saturating_mul(86_400)),
        max_bytes: number("max-size"),
    };
    if limits == Retention::default() {
        limits = settings.quarantine.retention();
    }
    if limits == Retention::default() {
        // A timer runs this on every machine; most have no limits.
        if matches.get_flag("if-limited") {
            return Ok(false);
        }
        anyhow::bail!(
            "say --max-age or --max-size, or [quarantine] max-age-days or max-bytes in {}",
            crate::settings::PATH
        );
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut failed = false;
    for expiry in vault.expired(&limits, now)? {
        let id = expiry.id.to_string();
        let raw = expiry.record.as_ref().map(|record| record.path.0.clone());
        let path = raw.as_deref().map_or_else(|| "unreadable".to_owned(), safe);
        let why = match expiry.why {
            Why::Age => "too old",
            Why::Size => "too much is kept",
        };
        let more = json!({"reason": why});
        if matches.get_flag("dry-run") {
            tell.done("dry run", &id, &format!("would be deleted, {why} ({path})"), more);
            continue;
        }
        let expired = vault.expire(&expiry);
        let error = expired.as_ref().err().map(ToString::to_string);
        tell.events.expired(raw.unwrap_or_default(), expiry.id, why, error);
        match expired {
            Ok(()) => tell.done("deleted", &id, &format!("{why} ({path})"), more),
            Err(error) => {
                tell.failed(&id, &error.to_string());
                failed = true;
            }
        }
    }
    Ok(failed)
}

/// Returns a moment in local time.
fn moment(seconds: i64) -> String {
    let time = hf_sys::local_time(seconds);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    )
}
