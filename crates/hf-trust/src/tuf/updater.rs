//! The client workflow (§5), one file at a time.
//!
//! [`Updater::step`] says which file is needed next; the caller fetches it, however it likes, and gives
//! it to [`Updater::reply`]. What was believed is handed out by [`Updater::stored`], to be kept for the
//! next update *in that order, also when a later file was refused*: a root that was believed counts.
//!
//! Promises: nothing is believed before its signatures, version, digest and expiry were checked against
//! what was believed before; a refusal changes nothing but that the update ends; every answer is
//! bounded in bytes and number. One time, fixed when the update starts, decides all expiries (§5.1).
//! Off-spec (§5.3.11): when a rotation took a key away from timestamp or snapshot, the trusted copies
//! are left out of account rather than deleted, and replaced by the next good ones. Local copies are
//! verified anew under the current root at every start, so one signed by lost keys has no say.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Role, TufError};
use super::metadata::{Body, Envelope, FileMeta, Root, Snapshot, Targets, Timestamp};
use super::role::{DelegatedRole, Keys, RoleKeys};
use super::target::Target;
use crate::time::Time;

/// How much an update may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// New versions of root in one update.
    pub root_rotations: u64,
    /// Bytes of `root.json`.
    pub root_bytes: u64,
    /// Bytes of `timestamp.json`.
    pub timestamp_bytes: u64,
    /// Bytes of `snapshot.json`, when timestamp tells no length.
    pub snapshot_bytes: u64,
    /// Bytes of a targets role, when snapshot tells no length.
    pub targets_bytes: u64,
    /// Roles visited in search of one target.
    pub delegations: usize,
}

impl Default for Limits {
    /// 256 roots of 512 kB, 16 KiB of timestamp, 2 MB of snapshot, 5 MB a targets role, 32 roles.
    fn default() -> Self {
        Self {
            root_rotations: 256,
            root_bytes: 512_000,
            timestamp_bytes: 16_384,
            snapshot_bytes: 2_000_000,
            targets_bytes: 5_000_000,
            delegations: 32,
        }
    }
}

/// Most bytes of any metadata file, whatever lengths metadata promise.
pub const METADATA_BYTES_MAX: u64 = 16 << 20;

/// What is trusted when an update starts: the files that the last one stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    /// `root.json`, without which nothing can be believed.
    pub root: Vec<u8>,
    /// Other metadata by role name (`timestamp`, `snapshot`, `targets`, delegated roles). Any may be
    /// missing or damaged: it is then fetched.
    pub local: BTreeMap<String, Vec<u8>>,
}

/// A file that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose metadata.
    pub role: Role,
    /// The version to fetch, if the file's name carries one.
    pub version: Option<u64>,
    /// The most bytes it may have. A caller who read more says [`Reply::TooLong`].
    pub max_bytes: u64,
}

impl Request {
    /// Returns the file's name at the repository: the role's, percent-encoded so that it is one
    /// path segment, with the version before it if there is one.
    #[must_use]
    pub fn file_name(&self) -> String {
        let name = file_stem(self.role.name());
        match self.version {
            Some(version) => format!("{version}.{name}.json"),
            None => format!("{name}.json"),
        }
    }
}

/// Returns a role's name, percent-encoded so that with `.json` after it it is safe as one path segment
/// of a URL and of a file system: all bytes but ASCII letters, digits, `-`, `_`, `~` and `.`.
#[must_use]
pub fn file_stem(role: &str) -> String {
    let mut stem = String::new();
    for byte in role.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => {
                stem.push(char::from(byte));
            }
            other => stem.push_str(&format!("%{other:02X}")),
        }
    }
    stem
}

/// Returns the role whose [`file_stem`] this is; nothing if it is none.
#[must_use]
pub fn role_of_stem(stem: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = stem.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.extend(crate::text::from_hex(std::str::from_utf8(digits).ok()?)?);
        rest = after;
    }
    let role = String::from_utf8(bytes).ok()?;
    (file_stem(&role) == stem).then_some(role)
}

/// What came of fetching a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// All of its bytes.
    Bytes(&'a [u8]),
    /// The repository says that it has no such file.
    Missing,
    /// It has more bytes than it may have.
    TooLong,
    /// Its bytes came too slowly.
    TooSlow,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fetch this, and reply.
    Fetch(Request),
    /// The top-level metadata is current; targets can be looked for.
    Current,
    /// The target that was looked for.
    Found(Box<Target>),
    /// No role describes the target that was looked for.
    NotFound,
}

/// A metadata file that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whose metadata.
    pub role: Role,
    /// Its version.
    pub version: u64,
    /// The file, as it came.
    pub bytes: Vec<u8>,
}

/// One update of trusted metadata.
#[derive(Clone, Debug)]
pub struct Updater {
    now: Time,
    limits: Limits,
    local: BTreeMap<String, Vec<u8>>,
    root: Envelope<Root>,
    first_root: u64,
    first_keys: Rotation,
    timestamp: Option<Envelope<Timestamp>>,
    snapshot: Option<Envelope<Snapshot>>,
    targets: BTreeMap<String, Envelope<Targets>>,
    stage: Stage,
    stored: Vec<Stored>,
}

/// The keys of timestamp and snapshot when the update started.
#[derive(Clone, Debug)]
struct Rotation {
    timestamp: RoleKeys,
    snapshot: RoleKeys,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Root,
    Timestamp,
    Snapshot,
    Targets,
    Current,
    Search(Search),
    Failed(TufError),
}

/// A search in pre-order, depth first (§5.6.7).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Search {
    path: String,
    visited: BTreeSet<String>,
    /// Roles still to visit, the next one last; each with who delegates to it.
    stack: Vec<(String, DelegatedRole)>,
    end: Option<Box<Target>>,
}

impl Updater {
    /// Starts an update.
    ///
    /// # Errors
    ///
    /// The trusted root is not one, or not signed by its own keys. Its expiry is looked at later.
    pub fn new(trusted: Trusted, now: Time, limits: Limits) -> Result<Self, TufError> {
        let root = Envelope::<Root>::parse(&Role::Root, &trusted.root)?;
        root.verify(&Role::Root, &root.signed.root, &root.signed.keys)?;
        let first_keys = Rotation {
            timestamp: root.signed.timestamp.clone(),
            snapshot: root.signed.snapshot.clone(),
        };
        Ok(Self {
            now,
            limits,
            local: trusted.local,
            first_root: root.signed.header.version,
            root,
            first_keys,
            timestamp: None,
            snapshot: None,
            targets: BTreeMap::new(),
            stage: Stage::Root,
            stored: Vec::new(),
        })
    }

    /// Returns the root that is believed now.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root.signed
    }

    /// Returns the timestamp that is believed now.
    #[must_use]
    pub fn timestamp(&self) -> Option<&Timestamp> {
        self.timestamp.as_ref().map(|file| &file.signed)
    }

    /// Returns the snapshot that is believed now.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().map(|file| &file.signed)
    }

    /// Returns the top-level targets that are believed now.
    #[must_use]
    pub fn targets(&self) -> Option<&Targets> {
        self.role_targets("targets")
    }

    /// Returns the targets of a role that was loaded in this update.
    #[must_use]
    pub fn role_targets(&self, role: &str) -> Option<&Targets> {
        self.targets.get(role).map(|file| &file.signed)
    }

    /// Takes what was believed since the last call, oldest first.
    pub fn stored(&mut self) -> Vec<Stored> {
        std::mem::take(&mut self.stored)
    }

    /// Says what is needed next. Files that are at hand and current are not asked for.
    ///
    /// # Errors
    ///
    /// The refusal that ended this update.
    pub fn step(&mut self) -> Result<Step, TufError> {
        match self.advance() {
            Ok(step) => Ok(step),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Takes what came of fetching the file that [`Updater::step`] asked for.
    ///
    /// # Errors
    ///
    /// The file was refused; the update is over.
    pub fn reply(&mut self, reply: Reply<'_>) -> Result<(), TufError> {
        let request = match self.step()? {
            Step::Fetch(request) => request,
            Step::Current | Step::Found(_) | Step::NotFound => return Ok(()),
        };
        match self.accept(&request, reply) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Looks for a target, when the top-level metadata is current; then go on with
    /// [`Updater::step`].
    ///
    /// # Errors
    ///
    /// The refusal that ended this update, or there are still files to fetch: they are asked for as if
    /// nothing was looked for.
    pub fn search(&mut self, path: &str) -> Result<(), TufError> {
        if let Stage::Failed(error) = &self.stage {
            return Err(error.clone());
        }
        if !matches!(self.stage, Stage::Current | Stage::Search(_)) {
            return Err(TufError::NoSuchTarget { path: path.to_owned() });
        }
        let search = Search {
            path: path.to_owned(),
            visited: BTreeSet::new(),
            stack: Vec::new(),
            end: None,
        };
        self.stage = Stage::Search(self.begin(search));
        Ok(())
    }

    fn fail(&mut self, error: TufError) -> TufError {
        self.stage = Stage::Failed(error.clone());
        error
    }

    fn advance(&mut self) -> Result<Step, TufError> {
        loop {
            match self.stage.clone() {
                Stage::Root => return Ok(Step::Fetch(self.request_root()?)),
                Stage::Timestamp => return Ok(Step::Fetch(self.request_timestamp())),
                Stage::Snapshot => {
                    let Some(request) = self.request_snapshot()? else { continue };
                    return Ok(Step::Fetch(request));
                }
                Stage::Targets => {
                    if self.local_targets(&Role::Targets) {
                        self.stage = Stage::Current;
                        continue;
                    }
                    return Ok(Step::Fetch(self.request_targets(&Role::Targets)?));
                }
                Stage::Current => return Ok(Step::Current),
                Stage::Search(search) => {
                    if let Some(step) = self.visit(search)? {
                        return Ok(step);
                    }
                }
                Stage::Failed(error) => return Err(error),
            }
        }
    }

    fn accept(&mut self, request: &Request, reply: Reply<'_>) -> Result<(), TufError> {
        let file = request.file_name();
        let bytes = match reply {
            Reply::Missing if request.role == Role::Root => return self.roots_end(),
            Reply::Missing => return Err(TufError::Missing { file }),
            Reply::TooSlow => return Err(TufError::SlowRetrieval { file }),
            Reply::Bytes(bytes) if fits(bytes, request.max_bytes) => bytes,
            Reply::Bytes(_) | Reply::TooLong => {
                return Err(TufError::EndlessData { file, max_bytes: request.max_bytes });
            }
        };
        match &request.role {
            Role::Root => self.accept_root(bytes),
            Role::Timestamp => self.accept_timestamp(bytes),
            Role::Snapshot => self.accept_snapshot(bytes),
            role => self.accept_targets(role, bytes),
        }
    }

    fn store(&mut self, role: Role, version: u64, bytes: &[u8]) {
        self.stored.push(Stored { role, version, bytes: bytes.to_vec() });
    }

    // §5.3: the chain of roots.

    fn request_root(&self) -> Result<Request, TufError> {
        let version = self.root.signed.header.version;
        let max = self.limits.root_rotations;
        if version.saturating_sub(self.first_root) >= max {
            return Err(TufError::TooManyRoots { max });
        }
        Ok(Request {
            role: Role::Root,
            version: Some(version.saturating_add(1)),
            max_bytes: self.limits.root_bytes,
        })
    }

    fn accept_root(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        let role = Role::Root;
        let next = Envelope::<Root>::parse(&role, bytes)?;
        // §5.3.4: by a threshold of the keys trusted so far, and of its own.
        next.verify(&role, &self.root.signed.root, &self.root.signed.keys)?;
        next.verify(&role, &next.signed.root, &next.signed.keys)?;
        // §5.3.5: exactly the next version.
        let (have, got) = (self.root.signed.header.version, next.signed.header.version);
        if got <= have {
            return Err(TufError::Rollback { role, have, got });
        }
        if got != have.saturating_add(1) {
            return Err(TufError::VersionMismatch { role, want: have.saturating_add(1), got });
        }
        self.root = next;
        self.store(role, got, bytes);
        Ok(())
    }

    fn roots_end(&mut self) -> Result<(), TufError> {
        self.unexpired(&Role::Root, &self.root.signed)?; // §5.3.10
        self.stage = Stage::Timestamp;
        // §5.3.11: see the header of this file.
        let lost = |before: &RoleKeys, now: &RoleKeys| {
            before.keyids.iter().any(|id| !now.keyids.contains(id))
        };
        let rotated = lost(&self.first_keys.timestamp, &self.root.signed.timestamp)
            || lost(&self.first_keys.snapshot, &self.root.signed.snapshot);
        if !rotated {
            self.local_timestamp();
            self.local_snapshot();
        }
        Ok(())
    }

    /// Takes the local timestamp as what a newer one is compared with, expired or not.
    fn local_timestamp(&mut self) {
        let local = self.local.get("timestamp");
        let file = local.and_then(|bytes| Envelope::parse(&Role::Timestamp, bytes).ok());
        let (keys, by) = (&self.root.signed.keys, &self.root.signed.timestamp);
        self.timestamp = file
            .filter(|file: &Envelope<Timestamp>| file.verify(&Role::Timestamp, by, keys).is_ok());
    }

    /// Takes the local snapshot as what a newer one is compared with, expired, outdated or not.
    fn local_snapshot(&mut self) {
        let local = self.local.get("snapshot");
        let file = local.and_then(|bytes| Envelope::parse(&Role::Snapshot, bytes).ok());
        let (keys, by) = (&self.root.signed.keys, &self.root.signed.snapshot);
        self.snapshot =
            file.filter(|file: &Envelope<Snapshot>| file.verify(&Role::Snapshot, by, keys).is_ok());
    }

    // §5.4: timestamp.

    fn request_timestamp(&self) -> Request {
        let max_bytes = self.limits.timestamp_bytes;
        Request { role: Role::Timestamp, version: None, max_bytes }
    }

    fn accept_timestamp(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        let role = Role::Timestamp;
        let file = Envelope::<Timestamp>::parse(&role, bytes)?;
        file.verify(&role, &self.root.signed.timestamp, &self.root.signed.keys)?;
        let got = file.signed.header.version;
        if let Some(trusted) = &self.timestamp {
            let have = trusted.signed.header.version;
            if got < have {
                return Err(TufError::Rollback { role, have, got });
            }
            if got == have {
                // §5.4.3.1: keep the one at hand; but it has to be in force.
                self.unexpired(&role, &trusted.signed)?;
                self.stage = Stage::Snapshot;
                return Ok(());
            }
            let have = trusted.signed.snapshot.version;
            let got = file.signed.snapshot.version;
            if got < have {
                return Err(TufError::Rollback { role: Role::Snapshot, have, got });
            }
        }
        self.unexpired(&role, &file.signed)?;
        self.timestamp = Some(file);
        self.store(role, got, bytes);
        self.stage = Stage::Snapshot;
        Ok(())
    }

    fn snapshot_meta(&self) -> Result<&FileMeta, TufError> {
        let timestamp = self.timestamp.as_ref().map(|file| &file.signed.snapshot);
        timestamp.ok_or_else(|| TufError::Missing { file: "timestamp.json".to_owned() })
    }

    // §5.5: snapshot.

    /// Asks for the snapshot, unless the one at hand is the current one.
    fn request_snapshot(&mut self) -> Result<Option<Request>, TufError> {
        let meta = self.snapshot_meta()?.clone();
        if let Some(local) = &self.snapshot
            && local.signed.header.version == meta.version
            && self.unexpired(&Role::Snapshot, &local.signed).is_ok()
        {
            self.stage = Stage::Targets;
            return Ok(None);
        }
        let version = self.root.signed.consistent_snapshot.then_some(meta.version);
        let max_bytes = meta.length.unwrap_or(self.limits.snapshot_bytes);
        let max_bytes = max_bytes.min(METADATA_BYTES_MAX);
        Ok(Some(Request { role: Role::Snapshot, version, max_bytes }))
    }

    fn accept_snapshot(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        let role = Role::Snapshot;
        let meta = self.snapshot_meta()?;
        let want = meta.version;
        let differs = |what| TufError::DigestMismatch { role: Role::Snapshot, what };
        meta.check(bytes).map_err(differs)?;
        let file = Envelope::<Snapshot>::parse(&role, bytes)?;
        file.verify(&role, &self.root.signed.snapshot, &self.root.signed.keys)?;
        let got = file.signed.header.version;
        if got != want {
            return Err(TufError::VersionMismatch { role, want, got });
        }
        if let Some(trusted) = &self.snapshot {
            no_older_roles(&trusted.signed, &file.signed)?; // §5.5.5
        }
        self.unexpired(&role, &file.signed)?;
        self.snapshot = Some(file);
        self.store(role, got, bytes);
        self.stage = Stage::Targets;
        Ok(())
    }

    // §5.6: targets, and those delegated to.

    fn targets_meta(&self, role: &Role) -> Result<&FileMeta, TufError> {
        let name = format!("{}.json", role.name());
        let meta = self.snapshot.as_ref().and_then(|file| file.signed.meta.get(&name));
        meta.ok_or_else(|| {
            let what = format!("the snapshot does not list {name:?}");
            TufError::Malformed { role: role.clone(), what }
        })
    }

    fn request_targets(&self, role: &Role) -> Result<Request, TufError> {
        let meta = self.targets_meta(role)?;
        let version = self.root.signed.consistent_snapshot.then_some(meta.version);
        let max_bytes = meta.length.unwrap_or(self.limits.targets_bytes);
        let max_bytes = max_bytes.min(METADATA_BYTES_MAX);
        Ok(Request { role: role.clone(), version, max_bytes })
    }

    /// Uses a local targets file, if it is exactly the one that the snapshot names.
    fn local_targets(&mut self, role: &Role) -> bool {
        let Some(bytes) = self.local.get(role.name()) else { return false };
        let Ok(file) = self.check_targets(role, bytes) else { return false };
        self.targets.insert(role.name().to_owned(), file);
        true
    }

    fn accept_targets(&mut self, role: &Role, bytes: &[u8]) -> Result<(), TufError> {
        let file = self.check_targets(role, bytes)?;
        self.store(role.clone(), file.signed.header.version, bytes);
        self.targets.insert(role.name().to_owned(), file);
        if *role == Role::Targets {
            self.stage = Stage::Current;
        }
        Ok(())
    }

    fn check_targets(&self, role: &Role, bytes: &[u8]) -> Result<Envelope<Targets>, TufError> {
        let meta = self.targets_meta(role)?;
        let differs = |what| TufError::DigestMismatch { role: role.clone(), what };
        meta.check(bytes).map_err(differs)?;
        let file = Envelope::<Targets>::parse(role, bytes)?;
        let (by, keys) = self.targets_keys(role)?;
        file.verify(role, by, keys)?;
        let (want, got) = (meta.version, file.signed.header.version);
        if got != want {
            return Err(TufError::VersionMismatch { role: role.clone(), want, got });
        }
        self.unexpired(role, &file.signed)?;
        Ok(file)
    }

    /// Returns who signs for a targets role: by root, or by the role that led the search to it.
    fn targets_keys(&self, role: &Role) -> Result<(&RoleKeys, &Keys), TufError> {
        if *role == Role::Targets {
            return Ok((&self.root.signed.targets, &self.root.signed.keys));
        }
        let missing = || TufError::Malformed {
            role: role.clone(),
            what: "nobody delegates to this role".to_owned(),
        };
        let Stage::Search(search) = &self.stage else { return Err(missing()) };
        let (parent, delegated) = search.stack.last().ok_or_else(missing)?;
        let parent = self.targets.get(parent).and_then(|file| file.signed.delegations.as_ref());
        Ok((&delegated.keys, &parent.ok_or_else(missing)?.keys))
    }

    fn unexpired(&self, role: &Role, signed: &impl Body) -> Result<(), TufError> {
        let header = signed.header();
        if header.expires > self.now {
            return Ok(());
        }
        Err(TufError::Expired {
            role: role.clone(),
            version: header.version,
            expires: header.expires,
            now: self.now,
        })
    }

    // The search.

    fn begin(&self, mut search: Search) -> Search {
        search.visited.insert("targets".to_owned());
        self.look(&mut search, "targets");
        search
    }

    /// Looks into a loaded role: for the target, and for whom to ask next.
    fn look(&self, search: &mut Search, role: &str) {
        let Some(file) = self.targets.get(role) else { return };
        if let Some(target) = file.signed.targets.get(&search.path) {
            search.end = Some(Box::new(target.clone()));
            return;
        }
        let Some(delegations) = &file.signed.delegations else { return };
        let mut next = Vec::new();
        for delegated in delegations.covering(&search.path) {
            let terminating = delegated.terminating;
            next.push((role.to_owned(), delegated));
            if terminating {
                // Nothing after it is asked, neither here nor further up.
                search.stack.clear();
                break;
            }
        }
        search.stack.extend(next.into_iter().rev());
    }

    /// Goes on with the search; returns a step when one is due.
    fn visit(&mut self, mut search: Search) -> Result<Option<Step>, TufError> {
        if let Some(target) = search.end.clone() {
            return Ok(Some(Step::Found(target)));
        }
        let Some((_, delegated)) = search.stack.last() else {
            return Ok(Some(Step::NotFound));
        };
        let name = delegated.name.clone();
        if search.visited.contains(&name) {
            search.stack.pop();
            self.stage = Stage::Search(search);
            return Ok(None);
        }
        if search.visited.len() > self.limits.delegations {
            let (path, max) = (search.path, self.limits.delegations);
            return Err(TufError::TooManyDelegations { path, max });
        }
        let role = Role::Delegated(name.clone());
        if !self.targets.contains_key(&name) && !self.local_targets(&role) {
            return Ok(Some(Step::Fetch(self.request_targets(&role)?)));
        }
        // §5.6.7.1: a role is visited once, through whoever reached it first.
        search.visited.insert(name.clone());
        search.stack.pop();
        self.look(&mut search, &name);
        self.stage = Stage::Search(search);
        Ok(None)
    }
}

fn fits(bytes: &[u8], max_bytes: u64) -> bool {
    u64::try_from(bytes.len()).is_ok_and(|len| len <= max_bytes)
}

/// §5.5.5: all roles that were listed still are, in no older version.
fn no_older_roles(trusted: &Snapshot, new: &Snapshot) -> Result<(), TufError> {
    for (name, before) in &trusted.meta {
        let role = name.strip_suffix(".json").unwrap_or(name);
        let role = match role {
            "targets" => Role::Targets,
            other => Role::Delegated(other.to_owned()),
        };
        let Some(now) = new.meta.get(name) else {
            return Err(TufError::Removed { role, version: new.header.version });
        };
        if now.version < before.version {
            return Err(TufError::Rollback { role, have: before.version, got: now.version });
        }
    }
    Ok(())
}
