//! Publishers, logs and witnesses with keys that are for tests only, honest until a test bends them.

use ed25519_dalek::Signer as _;
use hf_trust::Time;
use hf_trust::log::merkle::{self, Hash, Nodes};
use hf_trust::log::{Checkpoint, LogProof, Note, Verifier, VerifierKind};
use hf_trust::quorum::{Attestation, Bundle, Consistency, Named, Statement};
use ml_dsa::Keypair as _;
use sha2::{Digest as _, Sha256};

/// 2026-11-30T20:00:00Z.
pub(crate) const NOON: i64 = 1_796_068_800;

/// A secret key; made of a number, so that it is the same at every run.
pub(crate) struct Key {
    pub(crate) verifier: Verifier,
    secret: Secret,
}

enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    MlDsa44(Box<ml_dsa::SigningKey<ml_dsa::MlDsa44>>),
}

impl Key {
    pub(crate) fn new(name: &str, kind: VerifierKind, seed: u8) -> Self {
        let (secret, public) = match kind {
            VerifierKind::Ed25519 | VerifierKind::Ed25519Cosignature => {
                let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
                let public = key.verifying_key().to_bytes().to_vec();
                (Secret::Ed25519(Box::new(key)), public)
            }
            VerifierKind::MlDsa44Cosignature | VerifierKind::MlDsa44Note => {
                let key = ml_dsa::SigningKey::from_seed(&[seed; 32].into());
                let public = key.verifying_key().encode().to_vec();
                (Secret::MlDsa44(Box::new(key)), public)
            }
        };
        Self { verifier: Verifier::new(name, kind, &public).expect("a key"), secret }
    }

    pub(crate) fn sign(&self, note: &mut Note, time: i64) {
        let time = Time::from_unix(time);
        let message = self.verifier.message(note.text(), time).expect("a text for this key");
        let signature = match &self.secret {
            Secret::Ed25519(key) => key.sign(&message).to_bytes().to_vec(),
            Secret::MlDsa44(key) => key.sign(&message).encode().to_vec(),
        };
        note.add(self.verifier.signature(time, &signature).expect("a line"));
    }
}

/// A log that keeps all hashes.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    pub(crate) fn push(&mut self, entry: &[u8]) -> u64 {
        let mut hash = merkle::leaf_hash(entry);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
            let hashes = &self.levels[level];
            if !hashes.len().is_multiple_of(2) {
                break;
            }
            hash = merkle::node_hash(&hashes[hashes.len() - 2], &hashes[hashes.len() - 1]);
        }
        self.size() - 1
    }

    pub(crate) fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    pub(crate) fn root(&self, size: u64) -> Hash {
        merkle::root(&mut self.clone(), size).expect("all nodes")
    }
}

impl Nodes for Tree {
    type Error = ();

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, ()> {
        let level = self.levels.get(usize::from(level)).ok_or(())?;
        level.get(usize::try_from(index).map_err(|_| ())?).copied().ok_or(())
    }
}

/// A log with its key.
pub(crate) struct Log {
    pub(crate) key: Key,
    pub(crate) tree: Tree,
}

impl Log {
    pub(crate) fn new(origin: &str, seed: u8) -> Self {
        let key = Key::new(origin, VerifierKind::Ed25519, seed);
        Self { key, tree: Tree::default() }
    }

    pub(crate) fn checkpoint(&self, size: u64, witnesses: &[&Key], time: i64) -> Note {
        let origin = self.key.verifier.name().to_owned();
        let root = self.tree.root(size);
        let checkpoint = Checkpoint { origin, size, root, extensions: Vec::new() };
        let mut note = Note::new(checkpoint.to_string()).expect("a text");
        self.key.sign(&mut note, time);
        for witness in witnesses {
            witness.sign(&mut note, time);
        }
        note
    }

    pub(crate) fn prove(&self, index: u64, note: Note) -> String {
        let size = Checkpoint::parse(note.text()).expect("a checkpoint").size;
        let hashes = merkle::prove_inclusion(&mut self.tree.clone(), index, size).expect("nodes");
        LogProof::new(index, hashes, note).expect("a proof").to_string()
    }

    pub(crate) fn grown(&self, from: u64, to: u64) -> Consistency {
        let hashes = merkle::prove_consistency(&mut self.tree.clone(), from, to).expect("nodes");
        Consistency { log: self.key.verifier.name().to_owned(), from, to, hashes }
    }
}

/// Three publishers (the first with a post-quantum key too), two logs, three witnesses.
pub(crate) struct World {
    pub(crate) publishers: Vec<Vec<Key>>,
    pub(crate) logs: Vec<Log>,
    pub(crate) witnesses: Vec<Key>,
}

impl World {
    pub(crate) fn new() -> Self {
        let ed25519 = |name: &str, seed| Key::new(name, VerifierKind::Ed25519, seed);
        let alice = "alice.example/holdfast";
        Self {
            publishers: vec![
                vec![ed25519(alice, 1), Key::new(alice, VerifierKind::MlDsa44Note, 1)],
                vec![ed25519("bob.example/holdfast", 2)],
                vec![ed25519("carol.example/holdfast", 3)],
            ],
            logs: vec![
                Log::new("log1.example/holdfast", 11),
                Log::new("log2.example/holdfast", 12),
            ],
            witnesses: vec![
                Key::new("w1.example", VerifierKind::Ed25519Cosignature, 21),
                Key::new("w2.example", VerifierKind::MlDsa44Cosignature, 22),
                Key::new("w3.example", VerifierKind::Ed25519Cosignature, 23),
            ],
        }
    }

    /// The owner's policy: 2 of 3 publishers, 2 of 3 witnesses, one log.
    pub(crate) fn policy_text(&self) -> String {
        let mut text =
            "publishers_needed = 2\nwitnesses_needed = 2\nstale_after = \"2d\"\n".to_owned();
        for (name, keys) in ["alice", "bob", "carol"].iter().zip(&self.publishers) {
            let keys: Vec<String> =
                keys.iter().map(|key| format!("{:?}", key.verifier.to_string())).collect();
            text += &format!("[[publisher]]\nname = \"{name}\"\nkeys = [{}]\n", keys.join(", "));
        }
        for log in &self.logs {
            text += &format!("[[log]]\nkey = \"{}\"\n", log.key.verifier);
        }
        for (idx, witness) in self.witnesses.iter().enumerate() {
            text +=
                &format!("[[witness]]\nname = \"w{}\"\nkey = \"{}\"\n", idx + 1, witness.verifier);
        }
        text + "[set.careful]\npublishers_needed = 3\nlogs_needed = 2\nwitnesses_needed = 3\n"
    }

    /// A publisher's signed statement on a release.
    pub(crate) fn attest(&self, publisher: usize, statement: &Statement) -> Note {
        let mut note = Note::new(statement.to_string()).expect("a text");
        for key in &self.publishers[publisher] {
            key.sign(&mut note, statement.time.unix());
        }
        note
    }

    /// Puts statements into a log; returns their places.
    pub(crate) fn log(&mut self, log: usize, notes: &[&Note]) -> Vec<u64> {
        let tree = &mut self.logs[log].tree;
        notes.iter().map(|note| tree.push(note.to_string().as_bytes())).collect()
    }

    /// The bundle of statements that stand in a log, proven by its checkpoint of now.
    pub(crate) fn bundle(
        &self,
        log: usize,
        entries: &[(&Note, u64)],
        witnesses: &[usize],
        time: i64,
    ) -> Bundle {
        let witnesses: Vec<&Key> = witnesses.iter().map(|idx| &self.witnesses[*idx]).collect();
        let log = &self.logs[log];
        let checkpoint = log.checkpoint(log.tree.size(), &witnesses, time);
        let attestations = entries
            .iter()
            .map(|(note, index)| Attestation {
                note: note.to_string(),
                proofs: vec![log.prove(*index, checkpoint.clone())],
            })
            .collect();
        Bundle { attestations, consistency: Vec::new() }
    }
}

/// What publishers say of a release.
pub(crate) fn statement(set: &str, release: u64, content: &str) -> Statement {
    let named = |name: &str| Named {
        name: name.to_owned(),
        sha256: Sha256::digest(format!("{content}{name}")).into(),
    };
    Statement {
        set: set.to_owned(),
        release,
        manifest: Sha256::digest(content).into(),
        packs: vec![named("daily.pack")],
        sources: vec![named("bytecode.cvd"), named("daily.cvd")],
        builder: "holdfast 0.1.0 pack 3".to_owned(),
        time: Time::from_unix(NOON),
    }
}
