//! One database from mirrors: which version there is, scripts from ours to it, or the whole container.
//!
//! Promises: nothing takes the place of a database before its signatures are verified and it was tried; what mirrors
//! refuse is remembered and they are left alone for as long as they ask; a partial chain of scripts is kept.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_sig::LoadOptions;
use hf_sig::cvd::{DetachedOutcome, HEADER_LEN, Header, verify_detached};

use super::cdiff::{Files, Script};
use super::container::{self, CONTAINER_MAX, Local};
use super::cooldown::{Memory, random};
use super::voice::Voice;
use crate::fetch::{Download, Downloaded, FetchError, FetchErrorKind, Fetcher, Reply, Request};
use crate::store::{sync_folder, time};

/// How a run of freshclam ends: its exit code. Source: documentation of freshclam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is said by its text")]
pub enum Code {
    Init = 2,
    Folder = 3,
    File = 4,
    Connection = 5,
    Empty = 6,
    BadDatabase = 7,
    TestFailed = 8,
    Configuration = 9,
    Access = 10,
    Get = 11,
    NotInSync = 12,
    Logging = 13,
    Update = 14,
    Argument = 16,
    Forbidden = 17,
    Later = 18,
    Other = 19,
}

impl Code {
    /// Returns its text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Init => "Failed to initialize",
            Self::Folder => "Invalid, nonexistent, or inaccessible directory",
            Self::File => "Invalid, nonexistent, or inaccessible file",
            Self::Connection => "Connection failed",
            Self::Empty => "Invalid empty file",
            Self::BadDatabase => "Invalid or corrupted CVD/CLD database",
            Self::TestFailed => "Test failed",
            Self::Configuration => "Invalid configuration option(s)",
            Self::Access => "Failed to read/write file to database directory",
            Self::Get => "HTTP GET failed",
            Self::NotInSync => "Mirror is not in sync",
            Self::Logging => "Failed to open log file",
            Self::Update => "Update failed",
            Self::Argument => "Invalid argument",
            Self::Forbidden => "Forbidden; Blocked by CDN",
            Self::Later => "The server is asking us to wait longer before trying again",
            Self::Other => "Unknown error",
        }
    }

    /// Returns its number.
    #[must_use]
    pub fn number(self) -> u8 {
        // The discriminants are written above.
        u8::try_from(self as i32).unwrap_or(19)
    }
}

/// Tries a database; returns the number of its signatures.
pub type Tester<'a> = &'a dyn Fn(&Path) -> Result<u64, String>;

/// What became of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// Its name with suffix.
    pub file_name: String,
    /// What it says; none for one that is no container.
    pub header: Option<Header>,
    /// It is new.
    pub changed: bool,
}

/// Mirrors, and what is needed to fetch from them.
pub struct Mirrors<'a> {
    /// For the network.
    pub fetcher: &'a Fetcher,
    /// Addresses without a last slash, in the order in which they are asked.
    pub servers: Vec<String>,
    /// They are private mirrors: no announcements, and containers may be patched ones (`cld`).
    pub private: bool,
    /// How often each is asked.
    pub attempts: u32,
    /// Between two attempts.
    pub pause: Duration,
    /// Scripts are used.
    pub scripted: bool,
    /// Patched containers are compressed.
    pub compress: bool,
    /// Where the databases are.
    pub folder: &'a Path,
    /// Where parts of downloads stay.
    pub partial: &'a Path,
    /// Keys by which databases are verified.
    pub options: LoadOptions,
    /// Tries a database before it is taken; none to leave that out.
    pub tester: Option<Tester<'a>>,
    /// What is remembered of mirrors.
    pub memory: &'a mut Memory,
    /// Hears what happens.
    pub voice: &'a mut dyn Voice,
    /// Only look.
    pub check_only: bool,
}

impl std::fmt::Debug for Mirrors<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Mirrors").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// What a mirror has.
enum Remote {
    /// This version, in a file with this suffix.
    Version(u32, &'static str),
    /// Nothing newer than ours.
    Same,
}

impl Mirrors<'_> {
    /// Brings one database up to date; `advertised` is the version that was announced otherwise.
    ///
    /// # Errors
    /// No mirror gave it; what was there is still there.
    pub fn update(&mut self, name: &str, advertised: Option<u32>) -> Result<Updated, Code> {
        let mut last = Code::Get;
        for server in self.servers.clone() {
            for attempt in 1..=self.attempts.max(1) {
                let final_one = attempt >= self.attempts.max(1);
                match self.once(&server, name, advertised, final_one) {
                    Ok(updated) => return Ok(updated),
                    Err(code @ (Code::Forbidden | Code::Later)) => return Err(code),
                    Err(code) => last = code,
                }
                match final_one {
                    true => self.voice.info(&format!("Giving up on {server}...")),
                    false => {
                        self.voice
                            .info(&format!("Trying again in {} secs...", self.pause.as_secs()));
                        std::thread::sleep(self.pause);
                    }
                }
            }
        }
        self.voice.error(&format!("Update failed for database: {name}"));
        Err(last)
    }

    fn once(
        &mut self,
        server: &str,
        name: &str,
        advertised: Option<u32>,
        last: bool,
    ) -> Result<Updated, Code> {
        let local = container::local(self.folder, name);
        if local.is_none() {
            self.voice.verbose(&format!(
                "check_for_new_database_version: No local copy of \"{name}\" database."
            ));
        }
        let remote = match advertised {
            Some(version) => Remote::Version(version, "cvd"),
            None => self.head(server, name, local.as_ref(), last).inspect_err(|code| {
                if !matches!(code, Code::Forbidden | Code::Later) {
                    self.voice.warning(&format!(
                        "Failed to get {name} database version information from server: {server}"
                    ));
                    self.voice.error(&format!(
                        "check_for_new_database_version: Failed to find {name} database using server {server}."
                    ));
                }
            })?,
        };
        let current = |local: Local| Updated {
            file_name: local.file_name,
            header: Some(local.header),
            changed: false,
        };
        let (version, suffix) = match (remote, &local) {
            (Remote::Version(version, suffix), Some(local)) if version > local.header.version => {
                self.voice.info(&format!(
                    "{name} database available for update (local version: {}, remote version: {version})",
                    local.header.version
                ));
                (version, suffix)
            }
            (Remote::Version(version, suffix), None) => {
                self.voice.info(&format!(
                    "{name} database available for download (remote version: {version})"
                ));
                (version, suffix)
            }
            (_, Some(local)) => {
                self.voice.info(&up_to_date(&local.file_name, &local.header));
                return Ok(current(local.clone()));
            }
            (Remote::Same, None) => return Err(Code::Get),
        };
        if self.check_only {
            return Ok(Updated {
                file_name: format!("{name}.{suffix}"),
                header: None,
                changed: true,
            });
        }
        if let Some(local) = local.filter(|_| self.scripted)
            && let Some(updated) = self.by_scripts(server, name, &local, version)?
        {
            return Ok(updated);
        }
        self.whole(server, name, suffix, version, last)
    }

    /// Asks a mirror for the version that it has.
    fn head(
        &mut self,
        server: &str,
        name: &str,
        local: Option<&Local>,
        last: bool,
    ) -> Result<Remote, Code> {
        let suffixes: &[&'static str] = if self.private { &["cld", "cvd"] } else { &["cvd"] };
        let mut why = Code::Get;
        for suffix in suffixes {
            match self.head_of(server, name, suffix, local, last) {
                Ok(remote) => return Ok(remote),
                Err(code @ (Code::Forbidden | Code::Later)) => return Err(code),
                Err(code) => why = code,
            }
        }
        Err(why)
    }

    fn head_of(
        &mut self,
        server: &str,
        name: &str,
        suffix: &'static str,
        local: Option<&Local>,
        last: bool,
    ) -> Result<Remote, Code> {
        let url = format!("{server}/{name}.{suffix}");
        self.voice.info(&format!("Trying to retrieve CVD header from {url}"));
        let since = local.and_then(|local| local.header.epoch).map(time::to_http);
        let end = u64::try_from(HEADER_LEN).unwrap_or(512).saturating_sub(1);
        let request = Request {
            range: Some((0, Some(end))),
            if_modified_since: since.as_deref(),
            ..Request::new(&url)
        };
        let mut reply = match self.fetcher.get(&request) {
            Ok(reply) => reply,
            Err(err) => {
                self.unreached("remote_cvdhead", &err, last);
                return Err(Code::Get);
            }
        };
        match reply.status {
            200 | 206 => {}
            304 => {
                self.voice.info("OK");
                return Ok(Remote::Same);
            }
            403 | 429 => return Err(self.refused(&reply, &format!("{name}.{suffix}"), &url)),
            404 => {
                self.voice.warning(&format!("remote_cvdhead: file not found: {url}"));
                return Err(Code::Get);
            }
            status => {
                self.voice.error(&format!(
                    "remote_cvdhead: Unexpected response ({status}) from {server}"
                ));
                return Err(Code::Get);
            }
        }
        let mut bytes = Vec::new();
        let read = reply.body.by_ref().take(end.saturating_add(1)).read_to_end(&mut bytes);
        if read.is_err() || bytes.len() < HEADER_LEN {
            self.voice.error("remote_cvdhead: Malformed CVD header (too short)");
            return Err(Code::Get);
        }
        match Header::parse(&bytes) {
            Ok(header) => {
                self.voice.info("OK");
                let version = header.version;
                self.voice.verbose(&format!(
                    "{name} database version obtained using HTTP GET: {version}"
                ));
                Ok(Remote::Version(version, suffix))
            }
            Err(_) => {
                self.voice.warning("[LibClamAV] cli_cvdparse: Not a CVD file");
                self.voice.error("remote_cvdhead: Malformed CVD header (can't parse)");
                Err(Code::Get)
            }
        }
    }

    /// Applies scripts; none when the whole container has to be fetched.
    fn by_scripts(
        &mut self,
        server: &str,
        name: &str,
        local: &Local,
        version: u32,
    ) -> Result<Option<Updated>, Code> {
        let behind = version.saturating_sub(local.header.version);
        let plural = if behind == 1 { "" } else { "s" };
        self.voice.info(&format!("Current database is {behind} version{plural} behind."));
        if behind > SCRIPTS_MAX {
            self.voice.info("That is more than is worth fetching one by one.");
            return Ok(None);
        }
        let mut files = match container::files_of(&local.path, &self.options) {
            Ok(files) => files,
            Err(why) => {
                self.voice.warning(&format!("{}: {why}; fetching it anew", local.file_name));
                return Ok(None);
            }
        };
        let mut reached = local.header.version;
        for next in local.header.version.saturating_add(1)..=version {
            match self.script(server, name, next) {
                Ok(script) => match script.apply(&mut files) {
                    Ok(()) => reached = next,
                    Err(why) => {
                        self.voice.warning(&format!("{name}-{next}.cdiff: {why}"));
                        break;
                    }
                },
                Err(code @ (Code::Forbidden | Code::Later)) => return Err(code),
                Err(_) => break,
            }
        }
        if reached == local.header.version {
            self.voice
                .warning(&format!("Incremental update failed, trying to download {name}.cvd"));
            return Ok(None);
        }
        let built = container::build(name, &files, self.compress);
        drop::<Files>(files);
        let file_name = format!("{name}.cld");
        let bytes = match built.and_then(|bytes| self.verified(&file_name, bytes, reached)) {
            Ok(bytes) => bytes,
            Err(why) => {
                self.voice.warning(&format!(
                    "Incremental update failed: {why}; trying to download {name}.cvd"
                ));
                return Ok(None);
            }
        };
        let draft = self.draft(&file_name)?;
        write_synced(&draft, &bytes).map_err(|err| self.disk(&draft, &err))?;
        self.take(name, &file_name, &draft).map(Some)
    }

    /// Verifies a container that was patched.
    fn verified(&self, file_name: &str, bytes: Vec<u8>, version: u32) -> Result<Vec<u8>, String> {
        let unpacked = hf_sig::cvd::unpack(file_name, &bytes, &self.options)
            .map_err(|err| err.diagnostic.reason.clone())?;
        match unpacked.container.header.version {
            found if found == version => Ok(bytes),
            found => Err(format!("the scripts lead to version {found} instead of {version}")),
        }
    }

    fn script(&mut self, server: &str, name: &str, version: u32) -> Result<Script, Code> {
        let file_name = format!("{name}-{version}.cdiff");
        let url = format!("{server}/{file_name}");
        self.voice.info(&format!("Downloading database patch # {version}..."));
        let mut code = Code::Get;
        for attempt in 1..=self.attempts.max(1) {
            match self.small(&url, &file_name, SCRIPT_MAX, attempt >= self.attempts.max(1)) {
                Ok(bytes) if bytes.is_empty() => {
                    self.voice.warning(&format!(
                        "Empty script {file_name}, need to download entire database"
                    ));
                    return Err(Code::Empty);
                }
                Ok(bytes) => return self.checked_script(&url, &file_name, &bytes),
                Err(found @ (Code::Forbidden | Code::Later)) => return Err(found),
                Err(found) => code = found,
            }
        }
        Err(code)
    }

    fn checked_script(&mut self, url: &str, file_name: &str, bytes: &[u8]) -> Result<Script, Code> {
        let by_certificate = self.detached(&format!("{url}.sign"), bytes)?;
        let key = Some(&self.options.containers.keys.script).filter(|_| by_certificate.is_none());
        Script::read(bytes, key).map_err(|why| {
            self.voice.error(&format!("{file_name}: {why}"));
            Code::BadDatabase
        })
    }

    /// Fetches the detached signature of a file and verifies it; none when there is none that could be verified.
    fn detached(&mut self, url: &str, signed: &[u8]) -> Result<Option<Vec<u8>>, Code> {
        let containers = &self.options.containers;
        if containers.keys.roots.is_empty() {
            return Ok(None);
        }
        let sign = match self.fetcher.get(&Request::new(url)) {
            Ok(reply) if matches!(reply.status, 403 | 429) => {
                return Err(self.refused(&reply, url, url));
            }
            Ok(reply) if reply.status == 200 => reply.bytes(SIGN_MAX).ok(),
            _ => None,
        };
        let Some(sign) = sign else { return Ok(None) };
        match verify_detached(signed, &sign, &containers.keys, self.options.flevel, containers.at) {
            DetachedOutcome::Valid { signer } => {
                self.voice.verbose(&format!("{url}: signed by {signer}"));
                Ok(Some(sign))
            }
            DetachedOutcome::Invalid { reason } => {
                self.voice.error(&format!("{url}: {reason}"));
                Err(Code::BadDatabase)
            }
            DetachedOutcome::Unusable { reason } => {
                self.voice.verbose(&format!("{url}: {reason}"));
                Ok(None)
            }
        }
    }

    /// Fetches a file into memory.
    fn small(&mut self, url: &str, file_name: &str, max: u64, last: bool) -> Result<Vec<u8>, Code> {
        let reply = match self.fetcher.get(&Request::new(url)) {
            Ok(reply) => reply,
            Err(err) => {
                self.unreached("downloadFile", &err, last);
                return Err(Code::Get);
            }
        };
        match reply.status {
            200 => reply.bytes(max).map_err(|err| {
                self.unreached("downloadFile", &err, last);
                Code::Get
            }),
            403 | 429 => Err(self.refused(&reply, file_name, url)),
            status => {
                self.not_there("downloadFile", status, file_name, url);
                Err(Code::Get)
            }
        }
    }

    /// Fetches a container whole.
    fn whole(
        &mut self,
        server: &str,
        name: &str,
        suffix: &str,
        version: u32,
        last: bool,
    ) -> Result<Updated, Code> {
        let file_name = format!("{name}.{suffix}");
        let url = format!("{server}/{file_name}");
        self.voice.verbose(&format!("Retrieving {url}"));
        let to = self.partial.join(format!("{file_name}.download"));
        let download = Download {
            url: &url,
            to: &to,
            max: CONTAINER_MAX,
            if_none_match: None,
            if_modified_since: None,
        };
        match self.fetcher.download(&download) {
            Ok(Downloaded::File { .. }) => {}
            Ok(Downloaded::Other(reply)) if matches!(reply.status, 403 | 429) => {
                return Err(self.refused(&reply, &file_name, &url));
            }
            Ok(Downloaded::Other(reply)) => {
                self.not_there("downloadFile", reply.status, &file_name, &url);
                return Err(Code::Get);
            }
            Ok(Downloaded::NotModified) => return Err(Code::Get),
            Err(err) => {
                self.unreached("downloadFile", &err, last);
                self.voice.error(&format!("Can't download {file_name} from {url}"));
                return Err(Code::Get);
            }
        }
        let draft = self.draft(&file_name)?;
        fs::rename(&to, &draft).map_err(|err| self.disk(&draft, &err))?;
        let updated = self.check_whole(server, name, &file_name, &draft, version);
        if updated.is_err() {
            let _ = fs::remove_file(&draft);
        }
        updated
    }

    fn check_whole(
        &mut self,
        server: &str,
        name: &str,
        file_name: &str,
        draft: &Path,
        version: u32,
    ) -> Result<Updated, Code> {
        let bytes = fs::read(draft).map_err(|err| self.disk(draft, &err))?;
        let header = Header::parse(&bytes).map_err(|why| {
            self.voice.error(&format!("Verification: {why}"));
            Code::BadDatabase
        })?;
        let sign_name = format!("{name}-{}.{}.sign", header.version, suffix_of(file_name));
        let sign = self.detached(&format!("{server}/{sign_name}"), &bytes)?;
        let mut options = self.options.clone();
        options.containers.detached.clone_from(&sign);
        if let Err(err) = hf_sig::cvd::unpack(file_name, &bytes, &options) {
            self.voice.verbose(&format!("{file_name}: {}", err.diagnostic.reason));
            self.voice.error("Verification: Can't verify database integrity");
            return Err(Code::BadDatabase);
        }
        drop(bytes);
        let local = container::local(self.folder, name);
        if header.version < version {
            self.voice.warning(&format!(
                "Mirror {server} is not synchronized: it has version {} of {name} instead of {version}.",
                header.version
            ));
            let better = local.as_ref().is_none_or(|local| header.version > local.header.version);
            if better {
                self.take(name, file_name, draft)?;
            }
            return Err(Code::NotInSync);
        }
        let updated = self.take(name, file_name, draft)?;
        if let Some(sign) = sign {
            let path = self.folder.join(&sign_name);
            crate::store::write_whole(&path, &sign).map_err(|err| self.disk(&path, &err))?;
            self.forget_signatures(name, Some(&sign_name));
        }
        Ok(updated)
    }

    /// Tries a database and gives it its place.
    fn take(&mut self, name: &str, file_name: &str, draft: &Path) -> Result<Updated, Code> {
        self.test(draft)?;
        let header = container::header_of(draft);
        let place = self.folder.join(file_name);
        fs::rename(draft, &place).map_err(|err| self.disk(&place, &err))?;
        for suffix in ["cvd", "cld"] {
            let other = format!("{name}.{suffix}");
            if other != file_name {
                let _ = fs::remove_file(self.folder.join(other));
            }
        }
        self.forget_signatures(name, None);
        sync_folder(self.folder).map_err(|err| self.disk(self.folder, &err))?;
        if let Some(header) = &header {
            self.voice.info(&updated(file_name, header));
        }
        Ok(Updated { file_name: file_name.to_owned(), header, changed: true })
    }

    /// Tries a database.
    pub(super) fn test(&mut self, draft: &Path) -> Result<u64, Code> {
        let Some(tester) = self.tester else { return Ok(0) };
        self.voice.info(&format!("Testing database: '{}' ...", draft.display()));
        match tester(draft) {
            Ok(signatures) => {
                self.voice.info("Database test passed.");
                Ok(signatures)
            }
            Err(why) => {
                self.voice.warning(&format!("Stderr output from database load : {why}"));
                self.voice.error("Database test FAILED.");
                Err(Code::TestFailed)
            }
        }
    }

    /// Removes detached signatures of other versions.
    fn forget_signatures(&self, name: &str, keep: Option<&str>) {
        for entry in fs::read_dir(self.folder).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let ours = file.starts_with(&format!("{name}-")) && file.ends_with(".sign");
            if ours && Some(file.as_str()) != keep {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Returns the path of a draft: in a folder of its own, so that its suffix says what it is.
    pub(super) fn draft(&mut self, file_name: &str) -> Result<PathBuf, Code> {
        let folder = self.folder.join(self.work_name());
        fs::create_dir_all(&folder).map_err(|err| self.disk(&folder, &err))?;
        Ok(folder.join(format!("clamav-{}.tmp-{file_name}", hf_core::hex::to_hex(&random::<16>()))))
    }

    fn work_name(&self) -> String {
        let own = self.memory.uuid.bytes().filter(u8::is_ascii_hexdigit).take(6).map(char::from);
        format!("tmp.{}{:04x}", own.collect::<String>(), std::process::id() & 0xffff)
    }

    /// Removes the folder of drafts.
    pub fn tidy(&self) {
        let _ = fs::remove_dir_all(self.folder.join(self.work_name()));
    }

    pub(super) fn disk(&mut self, path: &Path, err: &std::io::Error) -> Code {
        self.voice.error(&format!("Can't write to {}: {err}", path.display()));
        Code::Access
    }

    fn not_there(&mut self, who: &str, status: u16, file_name: &str, url: &str) {
        match status {
            404 => self.voice.warning(&format!("{who}: file not found: {url}")),
            _ => self.voice.error(&format!("{who}: Unexpected response ({status}) from {url}")),
        }
        self.voice.error(&format!("Can't download {file_name} from {url}"));
    }

    pub(super) fn unreached(&mut self, who: &str, err: &FetchError, last: bool) {
        let (number, text) = like_curl(&err.kind);
        let word = if last { "ERROR" } else { "WARNING" };
        let line = format!("{who}: Download failed ({number}) {word}:  Message: {text}");
        match last {
            true => self.voice.error(&line),
            false => self.voice.warning(&line),
        }
        self.voice.verbose(&format!("{err}: {}", err.kind));
    }

    /// Remembers that a mirror wants to be left alone, and says so.
    pub(super) fn refused(&mut self, reply: &Reply, file_name: &str, url: &str) -> Code {
        let now = time::now();
        let until = self.memory.refused(reply.status, reply.retry_after(now), now);
        self.voice.error(&format!("Can't download {file_name} from {url}"));
        let status = reply.status;
        self.voice.warning(&format!(
            "FreshClam received error code {status} from the ClamAV Content Delivery Network (CDN)."
        ));
        let (code, lines) = match status {
            403 => (Code::Forbidden, FORBIDDEN),
            _ => (Code::Later, LATER),
        };
        lines.lines().for_each(|line| self.voice.info(line));
        match until {
            Ok(until) => {
                self.voice.warning(&format!(
                    "You are on cool-down until after: {}",
                    in_local_time(until)
                ));
            }
            Err(err) => {
                self.voice.warning(&format!("The cool-down cannot be remembered: {err}"));
            }
        }
        code
    }
}

/// Returns the line for a database that is new.
#[must_use]
pub fn updated(file_name: &str, header: &Header) -> String {
    format!("{file_name} updated ({})", described(header))
}

fn up_to_date(file_name: &str, header: &Header) -> String {
    format!("{file_name} database is up-to-date ({})", described(header))
}

fn described(header: &Header) -> String {
    format!(
        "version: {}, sigs: {}, f-level: {}, builder: {}",
        header.version, header.signatures, header.flevel, header.builder
    )
}

/// Returns a time as freshclam tells a cool-down (`2026-12-02 00:10:35`).
#[must_use]
pub fn in_local_time(at: u64) -> String {
    let local = hf_sys::local_time(i64::try_from(at).unwrap_or(0));
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        local.year, local.month, local.day, local.hour, local.minute, local.second
    )
}

fn suffix_of(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// Returns the number and text by which curl, and so freshclam, tells an error. Source: libcurl-errors(3).
fn like_curl(kind: &FetchErrorKind) -> (u8, &'static str) {
    match kind {
        FetchErrorKind::Url(_) => (3, "URL using bad/illegal format or missing URL"),
        FetchErrorKind::Name(_) => (6, "Couldn't resolve host name"),
        FetchErrorKind::Connect(_, err) if err.kind() == std::io::ErrorKind::TimedOut => {
            (28, "Timeout was reached")
        }
        FetchErrorKind::Connect(..) => (7, "Couldn't connect to server"),
        FetchErrorKind::Proxy(_) => (56, "Failure when receiving data from the peer"),
        FetchErrorKind::Tls(_) => (60, "SSL peer certificate or SSH remote key was not OK"),
        FetchErrorKind::Slow => (28, "Timeout was reached"),
        FetchErrorKind::Short => (18, "Transferred a partial file"),
        FetchErrorKind::TooLarge { .. } => (63, "Maximum file size exceeded"),
        FetchErrorKind::Redirects => (47, "Number of redirects hit maximum amount"),
        FetchErrorKind::Disk { .. } => (23, "Failed writing received data to disk/application"),
        FetchErrorKind::Malformed(_) => (8, "Weird server reply"),
        _ => (56, "Failure when receiving data from the peer"),
    }
}

pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Ours: beyond, the whole is smaller.
const SCRIPTS_MAX: u32 = 100;
/// Largest script file in bytes; ours.
const SCRIPT_MAX: u64 = 128 << 20;
/// Largest detached signature in bytes; ours.
const SIGN_MAX: u64 = 1 << 20;

const FORBIDDEN: &str = "\
This could mean several things:
 1. You are running an out-of-date version of ClamAV / FreshClam.
    Ensure you are the most updated version by visiting https://www.clamav.net/downloads
 2. Your network is explicitly denied by the FreshClam CDN.
    In order to rectify this please check that you are:
   a. Running an up-to-date version of FreshClam
   b. Running FreshClam no more than once an hour
   c. Connecting from an IP in a blocked region
      Please see https://www.cisco.com/c/m/en_us/crisissupport.html
   d. If you have checked (a), (b) and (c), please open a ticket at
      https://github.com/Cisco-Talos/clamav/issues
      and we will investigate why your network is blocked.";

const LATER: &str = "\
This means that you have been rate limited by the CDN.
 1. Run FreshClam no more than once an hour to check for updates.
    FreshClam should check DNS first to see if an update is needed.
 2. If you have more than 10 hosts on your network attempting to download,
    it is recommended that you set up a private mirror on your network using
    cvdupdate (https://pypi.org/project/cvdupdate/) to save bandwidth on the
    CDN and your own network.
 3. Please do not open a ticket asking for an exemption from the rate limit,
    it will not be granted.";
