//! One round of updates.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_sig::LoadOptions;

use super::journal::Journal;
use super::{Program, Settings, notify};
use crate::clamav::dns::{self, Versions};
use crate::clamav::mirror::in_local_time;
use crate::clamav::{Code, Level, Memory, Mirrors, VERSION, Voice as _, container};
use crate::fetch::{FetchOptions, Fetcher, Proxy};
use crate::store::time;

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// Nothing went wrong, or this did.
    pub(super) error: Option<Code>,
    /// The owner wants this exit code.
    pub(super) wanted: Option<u8>,
}

impl Ended {
    pub(super) fn exit_code(self) -> u8 {
        match (self.wanted, self.error) {
            (Some(wanted), _) => wanted,
            // Who is asked to come later has done nothing wrong. Source: runs of freshclam 1.4.6.
            (None, None | Some(Code::Later)) => 0,
            (None, Some(code)) => code.number(),
        }
    }
}

/// The databases that belong to the standard set, in the order in which they are asked for.
const STANDARD: &[&str] = &["daily", "main", "bytecode"];

/// Runs one round.
pub(super) fn run(settings: &Settings, program: Program<'_>, journal: &mut Journal<'_>) -> Ended {
    let names = match names(settings, journal) {
        Ok(names) => names,
        Err(code) => return Ended { error: Some(code), wanted: None },
    };
    if names.is_empty() && settings.texts("DatabaseCustomURL").is_empty() {
        journal.say(Level::Error, "perform_database_update: No databases requested.");
        journal.say(Level::Error, "Update failed.");
        return Ended { error: Some(Code::Argument), wanted: None };
    }
    if !settings.on("daemon") {
        journal.rule();
    }
    let started = (program.ctime)(time::now());
    journal.say(Level::Info, &format!("ClamAV update process started at {started}"));
    let folder = PathBuf::from(settings.text("DatabaseDirectory").unwrap_or_default());
    let mut memory = Memory::read(&folder);
    if let Err(err) = memory.write() {
        journal.say(
            Level::Error,
            &format!("Can't write {}: {err}", folder.join("freshclam.dat").display()),
        );
        return failed(settings, Code::Access, journal);
    }
    let private = !settings.texts("PrivateMirror").is_empty();
    let versions = if private { None } else { announced(settings, journal) };
    if let Some(versions) = &versions {
        outdated(settings, versions, journal);
    }
    if let Some(until) = memory.cooling_down(time::now()) {
        cooling_down(until, journal);
        return Ended { error: None, wanted: None };
    }
    prune(&folder, &names, settings, journal);
    let fetcher = match fetcher(settings, &memory, private) {
        Ok(fetcher) => fetcher,
        Err(why) => {
            journal.say(Level::Error, &why);
            return failed(settings, Code::Configuration, journal);
        }
    };
    let mut mirrors = Mirrors {
        fetcher: &fetcher,
        servers: servers(settings, private),
        private,
        attempts: u32::try_from(settings.number("MaxAttempts")).unwrap_or(3).clamp(1, 100),
        pause: Duration::from_secs(5),
        scripted: settings.on("ScriptedUpdates"),
        compress: settings.on("CompressLocalDatabase"),
        folder: &folder,
        partial: &folder,
        options: load_options(settings, program),
        tester: settings.on("TestDatabases").then_some(program.tester),
        memory: &mut memory,
        voice: journal,
        check_only: false,
    };
    let done = databases(&mut mirrors, settings, &names, versions.as_ref());
    mirrors.tidy();
    match done {
        Ok(false) => Ended { error: None, wanted: None },
        Ok(true) => Ended { error: None, wanted: after_update(settings, journal) },
        Err((code, changed)) => {
            if changed {
                after_update(settings, journal);
            }
            failed(settings, code, journal)
        }
    }
}

/// Updates every database; says whether any changed.
fn databases(
    mirrors: &mut Mirrors<'_>,
    settings: &Settings,
    names: &BTreeSet<String>,
    versions: Option<&Versions>,
) -> Result<bool, (Code, bool)> {
    let mut changed = false;
    let standard =
        STANDARD.iter().map(|name| (*name).to_owned()).filter(|name| names.contains(name));
    let others = names.iter().filter(|name| !STANDARD.contains(&name.as_str())).cloned();
    let all: Vec<String> = standard.chain(others).collect();
    for name in all {
        let advertised = versions.and_then(|versions| {
            versions
                .of(&name)
                .or_else(|| extra_version(&name).filter(|_| !STANDARD.contains(&name.as_str())))
        });
        match mirrors.update(&name, advertised) {
            Ok(updated) => changed |= updated.changed,
            Err(code) => return Err((code, changed)),
        }
    }
    if !settings.texts("update-db").is_empty() {
        return Ok(changed);
    }
    for url in settings.texts("DatabaseCustomURL") {
        match mirrors.custom(url) {
            Ok(updated) => changed |= updated.changed,
            Err(code) => {
                mirrors.voice.warning(&format!(
                    "fc_download_url_databases: fc_download_url_database failed: {} ({})",
                    code.text(),
                    code.number()
                ));
                mirrors.voice.info(&format!(
                    "Unexpected error when attempting to update from custom database URL: {url}"
                ));
                return Err((code, changed));
            }
        }
    }
    Ok(changed)
}

/// Asks for the version of a database that is not in the common record.
fn extra_version(name: &str) -> Option<u32> {
    let text = dns::txt(&format!("{name}.cvd.clamav.net")).ok()?;
    text.split(':').next()?.parse().ok()
}

fn failed(settings: &Settings, code: Code, journal: &mut Journal<'_>) -> Ended {
    let mut wanted = None;
    match code {
        Code::Later => {}
        _ => {
            journal.say(Level::Error, &format!("Database update process failed: {}", code.text()));
            journal.say(Level::Error, "Update failed.");
            if let Some(command) = settings.text("OnErrorExecute") {
                wanted = notify::execute(command, "", !settings.on("daemon"), journal);
            }
        }
    }
    Ended { error: Some(code), wanted }
}

fn after_update(settings: &Settings, journal: &mut Journal<'_>) -> Option<u8> {
    if let Some(configuration) = settings.text("NotifyClamd").filter(|text| *text != "no") {
        notify::clamd(configuration, journal);
    }
    let command = settings.text("OnUpdateExecute")?;
    notify::execute(command, "", !settings.on("daemon"), journal)
}

/// Returns the names of the databases that are wanted.
fn names(settings: &Settings, journal: &mut Journal<'_>) -> Result<BTreeSet<String>, Code> {
    let mut names: BTreeSet<String> = STANDARD.iter().map(|name| (*name).to_owned()).collect();
    if !settings.on("Bytecode") {
        names.remove("bytecode");
    }
    let plain = |name: &&str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    for name in settings.texts("ExtraDatabase") {
        if !plain(&name) {
            journal.say(Level::Error, &format!("ExtraDatabase: {name} is no name of a database."));
            return Err(Code::Configuration);
        }
        names.insert(name.to_owned());
    }
    for name in settings.texts("ExcludeDatabase") {
        names.remove(name);
    }
    let only = settings.texts("update-db");
    if only.is_empty() || only == ["custom"] {
        return Ok(names);
    }
    for name in &only {
        if !names.contains(*name) {
            journal.say(Level::Error, &format!("Requested database is not available: {name}."));
            journal.say(
                Level::Error,
                "Failed to select specific databases from available official databases.",
            );
            return Err(Code::Configuration);
        }
    }
    names.retain(|name| only.contains(&name.as_str()));
    Ok(names)
}

/// Returns what is announced by DNS.
fn announced(settings: &Settings, journal: &mut Journal<'_>) -> Option<Versions> {
    let name = settings.text("DNSDatabaseInfo").unwrap_or_default();
    if settings.on("no-dns") {
        journal.say(Level::Warning, "DNS Update Info disabled. Falling back to HTTP mode.");
        return None;
    }
    let text = match dns::txt(name) {
        Ok(text) => text,
        Err(why) => {
            journal.say(Level::Warning, &format!("Can't query {name}"));
            journal.say(Level::Verbose, &why.to_string());
            journal.say(Level::Warning, "Invalid DNS reply. Falling back to HTTP mode.");
            return None;
        }
    };
    let Some(versions) = Versions::read(&text) else {
        journal.say(Level::Warning, "Invalid DNS reply. Falling back to HTTP mode.");
        return None;
    };
    if time::now() > versions.at.saturating_add(RECORD_SECONDS) {
        journal.say(Level::Warning, "DNS record is older than 3 hours.");
        journal.say(Level::Warning, "Invalid DNS reply. Falling back to HTTP mode.");
        return None;
    }
    Some(versions)
}

/// Says that there is a newer version of what we behave like, and runs the owner's command for it.
fn outdated(settings: &Settings, versions: &Versions, journal: &mut Journal<'_>) {
    let number = |text: &str| {
        let parts: Vec<u32> = text.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        parts
    };
    if !versions.warn || number(&versions.engine) <= number(VERSION) {
        return;
    }
    journal.say(Level::Warning, "Your ClamAV installation is OUTDATED!");
    journal.say(
        Level::Warning,
        &format!("Local version: {VERSION} Recommended version: {}", versions.engine),
    );
    journal.say(Level::Info, "DON'T PANIC! Read https://docs.clamav.net/manual/Installing.html");
    if let Some(command) = settings.text("OnOutdatedExecute") {
        notify::execute(command, &versions.engine, !settings.on("daemon"), journal);
    }
}

fn cooling_down(until: u64, journal: &mut Journal<'_>) {
    journal.say(
        Level::Warning,
        "FreshClam previously received error code 429 or 403 from the ClamAV Content Delivery Network (CDN).",
    );
    COOLING_DOWN.lines().for_each(|line| journal.say(Level::Info, line));
    journal.say(
        Level::Warning,
        &format!("You are still on cool-down until after: {}", in_local_time(until)),
    );
}

/// Removes containers that nobody asked for.
fn prune(folder: &Path, names: &BTreeSet<String>, settings: &Settings, journal: &mut Journal<'_>) {
    if !settings.texts("update-db").is_empty() {
        return;
    }
    let custom: Vec<&str> = settings.texts("DatabaseCustomURL");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".cvd").or_else(|| file.strip_suffix(".cld")) else {
            continue;
        };
        let wanted =
            names.contains(name) || custom.iter().any(|url| url.ends_with(&format!("/{file}")));
        if !wanted && fs::remove_file(entry.path()).is_ok() {
            journal
                .say(Level::Info, &format!("Pruning unwanted or deprecated database file {file}."));
        }
    }
}

/// Returns mirrors as addresses; a name without a scheme is asked by HTTPS.
fn servers(settings: &Settings, private: bool) -> Vec<String> {
    let key = if private { "PrivateMirror" } else { "DatabaseMirror" };
    let scheme = if private { "http" } else { "https" };
    let mirrors = settings.texts(key);
    let with_scheme = |mirror: &str| match mirror.contains("://") {
        true => mirror.trim_end_matches('/').to_owned(),
        false => format!("{scheme}://{}", mirror.trim_end_matches('/')),
    };
    mirrors.into_iter().map(with_scheme).collect()
}

fn load_options(settings: &Settings, program: Program<'_>) -> LoadOptions {
    let mut options = LoadOptions::default();
    let folder = settings.text("CVDCertsDirectory").map(Path::new);
    options.containers.keys.roots = (program.certificates)(folder);
    options.containers.no_md5 = settings.on("FIPSCryptoHashLimits");
    options
}

fn fetcher(settings: &Settings, memory: &Memory, private: bool) -> Result<Fetcher, String> {
    let seconds = |name: &str| Duration::from_secs(settings.number(name));
    let own = || {
        format!(
            "ClamAV/{VERSION} (OS: Linux, ARCH: {0}, CPU: {0}, UUID: {1})",
            std::env::consts::ARCH,
            memory.uuid
        )
    };
    let public =
        settings.texts("DatabaseMirror").iter().any(|mirror| mirror.ends_with("clamav.net"));
    // The public mirrors ask not to be deceived.
    let user_agent = settings.text("HTTPUserAgent").filter(|_| private || !public);
    let proxy = settings.text("HTTPProxyServer").map(|text| {
        let host = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, port.parse().ok()),
            _ => (host, None),
        };
        let port =
            u16::try_from(settings.number("HTTPProxyPort")).ok().filter(|port| *port > 0).or(port);
        let user = settings.text("HTTPProxyUsername");
        let password = settings.text("HTTPProxyPassword").unwrap_or_default();
        let login = user.map(|user| (user.to_owned(), password.to_owned()));
        Proxy { host: host.to_owned(), port: port.unwrap_or(8080), login }
    });
    if proxy.as_ref().is_some_and(|proxy| proxy.login.is_none())
        && settings.text("HTTPProxyPassword").is_some()
    {
        return Err("HTTPProxyPassword is set without HTTPProxyUsername".to_owned());
    }
    let local_address = match settings.text("LocalIPAddress") {
        Some(text) => {
            Some(text.parse().map_err(|_| format!("LocalIPAddress: {text} is no address"))?)
        }
        None => None,
    };
    let file =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if file("FRESHCLAM_CLIENT_KEY_PASSWD").is_some() {
        return Err(
            "FRESHCLAM_CLIENT_KEY_PASSWD: keys with a password are not supported".to_owned()
        );
    }
    Ok(Fetcher::new(FetchOptions {
        user_agent: user_agent.map_or_else(own, str::to_owned),
        proxy,
        local_address,
        connect_timeout: seconds("ConnectTimeout").max(Duration::from_secs(1)),
        receive_timeout: seconds("ReceiveTimeout"),
        slowest: 1,
        roots: file("CURL_CA_BUNDLE"),
        client: file("FRESHCLAM_CLIENT_CERT").zip(file("FRESHCLAM_CLIENT_KEY")),
        ..FetchOptions::default()
    }))
}

/// Returns the newest version among the databases, for the daemon's line.
pub(super) fn has_any(folder: &Path) -> bool {
    STANDARD.iter().any(|name| container::local(folder, name).is_some())
}

/// A record older than this is not believed. Source: documentation of freshclam.
const RECORD_SECONDS: u64 = 43_200;

const COOLING_DOWN: &str = "\
This means that you have been rate limited or blocked by the CDN.
 1. Verify that you're running a supported ClamAV version.
    See https://docs.clamav.net/faq/faq-eol.html for details.
 2. Run FreshClam no more than once an hour to check for updates.
    FreshClam should check DNS first to see if an update is needed.
 3. If you have more than 10 hosts on your network attempting to download,
    it is recommended that you set up a private mirror on your network using
    cvdupdate (https://pypi.org/project/cvdupdate/) to save bandwidth on the
    CDN and your own network.
 4. Please do not open a ticket asking for an exemption from the rate limit,
    it will not be granted.";
