//! The channel's folder as a TUF repository: its four roles, signed anew when something changed.
//!
//! Promises: files that others are named by come first, `now.json` and `timestamp.json` last, so that a
//! client sees the old or the new repository, and nothing between.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use hf_channel::Now;
use hf_channel::layout::{METADATA, NOW};
use hf_trust::Time;
use hf_trust::tuf::metadata::{Body, Header};
use hf_trust::tuf::{
    Envelope, FileMeta, Role, RoleKeys, Root, Signature, Snapshot, Target, Targets, Timestamp,
    TufKey, file_stem,
};

use crate::delegate::{self, SourceRole};
use crate::files;
use crate::home::Home;
use crate::keys::{SecretKey, Signer};

/// Most bytes of a metadata file of our own.
const LEN_MAX: u64 = 64 << 20;
const DAY: i64 = 86_400;

/// The repository in an operator's folder.
pub(crate) struct Repository<'a> {
    home: &'a Home,
    now: Time,
}

impl<'a> Repository<'a> {
    pub(crate) fn new(home: &'a Home, now: Time) -> Self {
        Self { home, now }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.home.channel().join(METADATA).join(file)
    }

    /// Writes the first root and empty roles.
    ///
    /// # Errors
    /// A key or the disk fails.
    pub(crate) fn create(&self) -> Result<()> {
        ensure!(!self.path("1.root.json").exists(), "the channel has a root already");
        let mut root = Root {
            header: Header::new(1, self.expires(self.home.operator.expiry_days.root)),
            consistent_snapshot: true,
            keys: Default::default(),
            root: RoleKeys::new(Vec::new(), 1),
            timestamp: RoleKeys::new(Vec::new(), 1),
            snapshot: RoleKeys::new(Vec::new(), 1),
            targets: RoleKeys::new(Vec::new(), 1),
            extra: Default::default(),
            extra_roles: Default::default(),
        };
        for role in ROLES {
            let keys = self.home.keys(role)?;
            set_role(&mut root, role, &keys);
        }
        self.write_root(root, &self.home.keys("root")?)?;
        let targets = Targets {
            header: Header::new(1, self.expires(self.home.operator.expiry_days.targets)),
            targets: Default::default(),
            delegations: None,
            extra: Default::default(),
        };
        self.write_targets(targets, BTreeMap::new(), &[])
    }

    /// Returns the newest root.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub(crate) fn root(&self) -> Result<Envelope<Root>> {
        let mut newest = None;
        for version in 1u64.. {
            let Some(bytes) =
                files::read_if_there(&self.path(&format!("{version}.root.json")), LEN_MAX)?
            else {
                break;
            };
            newest = Some(bytes);
        }
        let bytes = newest.context("the channel has no root: run init")?;
        Ok(Envelope::parse(&Role::Root, &bytes)?)
    }

    /// Publishes a release: its manifest when it is new, who signs for which source, and what they signed.
    ///
    /// # Errors
    /// A key or the disk fails.
    pub(crate) fn publish(&self, manifest: Option<Target>, roles: &[SourceRole]) -> Result<()> {
        let mut targets = self.targets()?.signed;
        if let Some(target) = manifest {
            targets.targets.insert(target.path.clone(), target);
        }
        targets.delegations = delegate::delegations(roles);
        for role in roles {
            let name = format!("{}.{}.json", role.version, file_stem(&role.delegated.name));
            files::write(&self.path(&name), &role.bytes)?;
        }
        self.renew_targets(targets, roles)
    }

    /// Signs the targets, as they are, anew.
    ///
    /// # Errors
    /// A key or the disk fails.
    pub(crate) fn refresh(&self) -> Result<()> {
        self.renew_targets(self.targets()?.signed, &[])
    }

    /// Returns the metadata of a delegated role that clients have now.
    ///
    /// # Errors
    /// The disk fails, or the snapshot is damaged.
    pub(crate) fn delegated(&self, role: &str) -> Result<Option<Vec<u8>>> {
        let meta = self.snapshot()?.meta;
        let Some(meta) = meta.get(&format!("{role}.json")) else { return Ok(None) };
        let name = format!("{}.{}.json", meta.version, file_stem(role));
        files::read_if_there(&self.path(&name), LEN_MAX)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let timestamp = self.timestamp()?.context("the channel has no timestamp")?;
        let version = timestamp.signed.snapshot.version;
        let bytes = files::read(&self.path(&format!("{version}.snapshot.json")), LEN_MAX)?;
        Ok(Envelope::parse(&Role::Snapshot, &bytes)?.signed)
    }

    fn renew_targets(&self, mut targets: Targets, roles: &[SourceRole]) -> Result<()> {
        let version = targets.header.version + 1;
        let expires = self.expires(self.home.operator.expiry_days.targets);
        targets.header = Header::new(version, expires);
        self.write_targets(targets, self.snapshot()?.meta, roles)
    }

    /// Signs snapshot and timestamp anew, which keeps clients from calling the channel stale.
    ///
    /// # Errors
    /// A key or the disk fails.
    pub(crate) fn refresh_timestamp(&self) -> Result<()> {
        self.write_snapshot(self.snapshot()?.meta)
    }

    /// Returns the current targets.
    ///
    /// # Errors
    /// They are missing or damaged.
    pub(crate) fn targets(&self) -> Result<Envelope<Targets>> {
        let meta = self.snapshot()?.meta;
        let meta = meta.get("targets.json");
        let version = meta.context("the snapshot names no targets")?.version;
        let bytes = files::read(&self.path(&format!("{version}.targets.json")), LEN_MAX)?;
        Ok(Envelope::parse(&Role::Targets, &bytes)?)
    }

    fn timestamp(&self) -> Result<Option<Envelope<Timestamp>>> {
        let bytes = files::read_if_there(&self.path("timestamp.json"), LEN_MAX)?;
        Ok(bytes.map(|bytes| Envelope::parse(&Role::Timestamp, &bytes)).transpose()?)
    }

    /// Writes the targets, and a snapshot of them, of these roles, and of what it named before.
    fn write_targets(&self, targets: Targets, mut meta: Meta, roles: &[SourceRole]) -> Result<()> {
        let version = targets.header.version;
        let bytes = sign(targets, &self.home.keys("targets")?)?;
        files::write(&self.path(&format!("{version}.targets.json")), &bytes)?;
        meta.insert("targets.json".to_owned(), FileMeta::of(version, &bytes));
        for role in roles {
            let file = FileMeta::of(role.version, &role.bytes);
            meta.insert(format!("{}.json", role.delegated.name), file);
        }
        self.write_snapshot(meta)
    }

    fn write_snapshot(&self, meta: Meta) -> Result<()> {
        let last = self.timestamp()?.map(|timestamp| timestamp.signed);
        let version = last.as_ref().map_or(1, |last| last.snapshot.version + 1);
        let days = self.home.operator.expiry_days;
        let header = Header::new(version, self.expires(days.snapshot));
        let snapshot = Snapshot { header, meta, extra: Default::default() };
        let bytes = sign(snapshot, &self.home.keys("snapshot")?)?;
        files::write(&self.path(&format!("{version}.snapshot.json")), &bytes)?;
        let meta = FileMeta::of(version, &bytes);
        let version = last.map_or(1, |last| last.header.version + 1);
        let header = Header::new(version, self.expires(days.timestamp));
        let timestamp = Timestamp { header, snapshot: meta, extra: Default::default() };
        let bytes = sign(timestamp, &self.home.keys("timestamp")?)?;
        self.write_now(self.root()?.signed.header.version, &bytes)?;
        files::write(&self.path("timestamp.json"), &bytes)
    }

    /// Writes what is current. Before the timestamp: a build that is cut off between the two then hides
    /// nothing from those who read this one first.
    fn write_now(&self, root: u64, timestamp: &[u8]) -> Result<()> {
        let now = Now::new(root, timestamp).context("the timestamp is no text")?;
        files::write(&self.home.channel().join(NOW), &now.to_bytes()?)
    }

    /// Replaces a role's keys: new ones are made, the old ones kept aside; a root that says so is signed
    /// by old and new root keys.
    ///
    /// # Errors
    /// A key or the disk fails.
    pub(crate) fn rotate(&self, role: &'static str) -> Result<()> {
        let old_root = self.root()?.signed;
        let mut signers = self.home.keys("root")?;
        set_aside(self.home, role, old_root.header.version)?;
        self.home.new_key(role)?;
        let keys = self.home.keys(role)?;
        let mut root = old_root;
        let expires = self.expires(self.home.operator.expiry_days.root);
        root.header = Header::new(root.header.version + 1, expires);
        set_role(&mut root, role, &keys);
        if role == "root" {
            signers.extend(keys);
        }
        self.write_root(root, &signers)?;
        // What the old key signed is not believed any more.
        if role == "root" { Ok(()) } else { self.refresh() }
    }

    fn write_root(&self, root: Root, signers: &[SecretKey]) -> Result<()> {
        let version = root.header.version;
        let bytes = sign(root, signers)?;
        files::write(&self.path(&format!("{version}.root.json")), &bytes)?;
        match files::read_if_there(&self.path("timestamp.json"), LEN_MAX)? {
            Some(timestamp) => self.write_now(version, &timestamp),
            None => Ok(()),
        }
    }

    fn expires(&self, days: u32) -> Time {
        self.now.plus_seconds(i64::from(days) * DAY)
    }
}

/// What a snapshot names.
type Meta = BTreeMap<String, FileMeta>;

/// The four roles.
pub(crate) const ROLES: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// Moves the files of a role's keys aside.
///
/// # Errors
/// The disk refuses.
pub(crate) fn set_aside(home: &Home, role: &str, version: u64) -> Result<()> {
    for scheme in home.schemes() {
        let path = home.key_path(role, scheme);
        let aside = path.with_extension(format!("key.old-{version}"));
        fs::rename(&path, &aside)
            .with_context(|| format!("cannot move {} aside", path.display()))?;
    }
    Ok(())
}

/// Gives a role these keys, all of which have to sign.
fn set_role(root: &mut Root, role: &str, keys: &[SecretKey]) {
    let keys: Vec<TufKey> = keys.iter().map(|key| TufKey::new(key.public().clone())).collect();
    let mut with = RoleKeys::new(keys.iter().map(TufKey::id).collect(), keys.len() as u64);
    // With a post-quantum key beside it, neither of the two is enough.
    if keys.len() > 1 {
        with.by_keytype = keys.iter().map(|key| (key.keytype().to_owned(), 1)).collect();
    }
    match role {
        "root" => root.root = with,
        "targets" => root.targets = with,
        "snapshot" => root.snapshot = with,
        _ => root.timestamp = with,
    }
    root.keys.extend(keys.into_iter().map(|key| (key.id(), key)));
    let used: Vec<String> = [&root.root, &root.targets, &root.snapshot, &root.timestamp]
        .iter()
        .flat_map(|role| role.keyids.clone())
        .collect();
    root.keys.retain(|id, _| used.contains(id));
}

/// Signs metadata with all of these keys.
///
/// # Errors
/// A key refuses.
pub(crate) fn sign<T: Body>(signed: T, keys: &[SecretKey]) -> Result<Vec<u8>> {
    let mut envelope = Envelope::new(signed);
    cosign(&mut envelope, keys)?;
    Ok(envelope.to_bytes())
}

/// Adds the signatures of all of these keys to what others may have signed.
///
/// # Errors
/// A key refuses.
pub(crate) fn cosign<T: Body>(envelope: &mut Envelope<T>, keys: &[SecretKey]) -> Result<()> {
    for key in keys {
        let tuf = TufKey::new(key.public().clone());
        let signature = key.sign(&tuf.message(envelope.canonical()))?;
        envelope.signatures.retain(|signature| signature.keyid != tuf.id());
        envelope.signatures.push(Signature::new(tuf.id(), &signature));
    }
    Ok(())
}
