//! A TUF repository in memory with keys that are for tests only, honest until a test bends it.

use std::collections::BTreeMap;

use ed25519_dalek::Signer as _;
use hf_trust::tuf::metadata::{Body, Header};
use hf_trust::tuf::{
    Envelope, FileMeta, Limits, Reply, Role, RoleKeys, Root, Signature, Snapshot, Step, Target,
    Targets, Timestamp, Trusted, TufError, TufKey, Updater,
};
use hf_trust::{PublicKey, Scheme, Time};
use ml_dsa::Keypair as _;

/// A secret key and its entry.
pub(crate) enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    MlDsa65(Box<ml_dsa::SigningKey<ml_dsa::MlDsa65>>),
}

impl Secret {
    pub(crate) fn ed25519(seed: u8) -> Self {
        Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])))
    }

    pub(crate) fn ml_dsa(seed: u8) -> Self {
        Self::MlDsa65(Box::new(ml_dsa::SigningKey::from_seed(&[seed; 32].into())))
    }

    pub(crate) fn key(&self) -> TufKey {
        let key = match self {
            Self::Ed25519(key) => {
                PublicKey::from_bytes(Scheme::Ed25519, &key.verifying_key().to_bytes())
            }
            Self::MlDsa65(key) => {
                PublicKey::from_bytes(Scheme::MlDsa65, &key.verifying_key().encode())
            }
        };
        TufKey::new(key.expect("a key"))
    }

    fn sign<T: Body>(&self, file: &mut Envelope<T>) {
        let key = self.key();
        let message = key.message(file.canonical());
        let signature = match self {
            Self::Ed25519(key) => key.sign(&message).to_bytes().to_vec(),
            Self::MlDsa65(key) => key.sign(&message).encode().to_vec(),
        };
        file.signatures.push(Signature::new(key.id(), &signature));
    }
}

/// A repository, and the files that it serves.
pub(crate) struct Repository {
    pub(crate) root: Root,
    pub(crate) timestamp: Timestamp,
    pub(crate) snapshot: Snapshot,
    pub(crate) targets: Targets,
    pub(crate) signers: BTreeMap<&'static str, Vec<Secret>>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// 2027-01-01T00:00:00Z.
pub(crate) const EXPIRES: i64 = 1_798_761_600;

impl Repository {
    pub(crate) fn new() -> Self {
        let header = Header::new(1, Time::from_unix(EXPIRES));
        let mut keys = BTreeMap::new();
        let mut signers = BTreeMap::new();
        let mut role = |name: &'static str, seed| {
            let secret = Secret::ed25519(seed);
            let key = secret.key();
            let role = RoleKeys::new(vec![key.id()], 1);
            keys.insert(key.id(), key);
            signers.insert(name, vec![secret]);
            role
        };
        let (root, timestamp) = (role("root", 101), role("timestamp", 102));
        let (snapshot, targets) = (role("snapshot", 103), role("targets", 104));
        let root = Root {
            header: header.clone(),
            consistent_snapshot: true,
            keys,
            root,
            timestamp,
            snapshot,
            targets,
            extra: BTreeMap::new(),
            extra_roles: BTreeMap::new(),
        };
        let timestamp = Timestamp {
            header: header.clone(),
            snapshot: FileMeta::of(1, b""),
            extra: BTreeMap::new(),
        };
        let snapshot =
            Snapshot { header: header.clone(), meta: BTreeMap::new(), extra: BTreeMap::new() };
        let targets =
            Targets { header, targets: BTreeMap::new(), delegations: None, extra: BTreeMap::new() };
        let files = BTreeMap::new();
        let mut repository = Self { root, timestamp, snapshot, targets, signers, files };
        repository.put("1.root.json", "root", repository.root.clone());
        repository.sign_rest();
        repository
    }

    /// Lets root want an ML-DSA signature besides.
    pub(crate) fn hybrid(&mut self) {
        let secret = Secret::ml_dsa(105);
        let key = secret.key();
        self.root.root.keyids.push(key.id());
        self.root.root.threshold = 2;
        self.root.root.by_keytype.insert("ml-dsa".to_owned(), 1);
        self.root.keys.insert(key.id(), key);
        self.signers.entry("root").or_default().push(secret);
        self.publish_root();
    }

    pub(crate) fn put<T: Body>(&mut self, name: &str, role: &str, signed: T) -> Vec<u8> {
        let mut file = Envelope::new(signed);
        for secret in &self.signers[role] {
            secret.sign(&mut file);
        }
        let bytes = file.to_bytes();
        self.files.insert(name.to_owned(), bytes.clone());
        bytes
    }

    pub(crate) fn publish_root(&mut self) {
        self.root.header.version += 1;
        let name = format!("{}.root.json", self.root.header.version);
        self.put(&name, "root", self.root.clone());
    }

    pub(crate) fn add_target(&mut self, path: &str, bytes: &[u8]) {
        self.targets.targets.insert(path.to_owned(), Target::of(path, bytes));
    }

    /// Signs targets, snapshot and timestamp in new versions.
    pub(crate) fn publish_all(&mut self) {
        self.targets.header.version += 1;
        self.snapshot.header.version += 1;
        self.timestamp.header.version += 1;
        self.sign_rest();
    }

    /// Signs targets, snapshot and timestamp as they are.
    pub(crate) fn sign_rest(&mut self) {
        let version = self.targets.header.version;
        let bytes = self.put(&format!("{version}.targets.json"), "targets", self.targets.clone());
        self.snapshot.meta.insert("targets.json".to_owned(), FileMeta::of(version, &bytes));
        let version = self.snapshot.header.version;
        let bytes =
            self.put(&format!("{version}.snapshot.json"), "snapshot", self.snapshot.clone());
        self.timestamp.snapshot = FileMeta::of(version, &bytes);
        self.put("timestamp.json", "timestamp", self.timestamp.clone());
    }

    /// What a client begins with.
    pub(crate) fn trusted(&self) -> Trusted {
        Trusted { root: self.files["1.root.json"].clone(), local: BTreeMap::new() }
    }
}

/// Runs an update, and a search for a target; returns what is trusted afterwards.
pub(crate) fn update(
    repository: &Repository,
    mut trusted: Trusted,
    now: i64,
    target: Option<&str>,
) -> (Result<Option<Target>, TufError>, Trusted) {
    let mut updater = match Updater::new(trusted.clone(), Time::from_unix(now), Limits::default()) {
        Ok(updater) => updater,
        Err(error) => return (Err(error), trusted),
    };
    let outcome = run(repository, &mut updater, target);
    for stored in updater.stored() {
        match stored.role {
            Role::Root => trusted.root = stored.bytes,
            role => {
                trusted.local.insert(role.name().to_owned(), stored.bytes);
            }
        }
    }
    (outcome, trusted)
}

fn run(
    repository: &Repository,
    updater: &mut Updater,
    target: Option<&str>,
) -> Result<Option<Target>, TufError> {
    for _ in 0..1000 {
        match updater.step()? {
            Step::Fetch(request) => {
                let file = repository.files.get(&request.file_name());
                updater.reply(file.map_or(Reply::Missing, |bytes| Reply::Bytes(bytes)))?;
            }
            Step::Current => match target {
                Some(path) => updater.search(path)?,
                None => return Ok(None),
            },
            Step::Found(target) => return Ok(Some(*target)),
            Step::NotFound => return Ok(None),
        }
    }
    panic!("the update does not end");
}
