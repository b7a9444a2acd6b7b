//! Metadata, logs, proofs and policies: what publishers, mirrors and owners write.

use hf_trust::Time;
use hf_trust::log::{AddCheckpoint, Checkpoint, LogProof, Note, Verifier, WitnessPolicy};
use hf_trust::quorum::{Bundle, Offer, Policy, State, Statement, verify};
use hf_trust::tuf::metadata::Body;
use hf_trust::tuf::pattern;
use hf_trust::tuf::{
    Envelope, Limits, Reply, Role, Root, Snapshot, Targets, Timestamp, Trusted, Updater,
};

/// Metadata of a role (first byte): read, written, read again; a root also starts an update, in which the
/// rest stands for every file.
pub fn trust_tuf(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    match first & 3 {
        0 => {
            again::<Root>(&Role::Root, rest);
            update(rest);
        }
        1 => again::<Timestamp>(&Role::Timestamp, rest),
        2 => again::<Snapshot>(&Role::Snapshot, rest),
        _ => again::<Targets>(&Role::Targets, rest),
    }
}

fn again<T: Body + Clone + PartialEq + std::fmt::Debug>(role: &Role, bytes: &[u8]) {
    let Ok(file) = Envelope::<T>::parse(role, bytes) else { return };
    let written = Envelope::<T>::parse(role, &file.to_bytes()).expect("what was written is read");
    assert_eq!(file.signed, written.signed);
    assert_eq!(Envelope::new(file.signed.clone()).canonical(), written.canonical());
}

fn update(bytes: &[u8]) {
    let trusted = Trusted { root: bytes.to_vec(), ..Trusted::default() };
    let Ok(mut updater) = Updater::new(trusted, Time::from_unix(0), Limits::default()) else {
        return;
    };
    for _ in 0..8 {
        let _ = updater.reply(Reply::Missing);
        let _ = updater.reply(Reply::Bytes(bytes));
    }
}

/// Notes, checkpoints, proofs, requests to witnesses, statements, keys and policies on witnesses: what is
/// read is written back as it was. The rest is a pattern and a path, with a newline between.
pub fn trust_note(data: &[u8]) {
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data);
        if let Some(checkpoint) = Checkpoint::parse(note.text()) {
            assert_eq!(checkpoint.to_string(), note.text());
        }
        for key in KEYS {
            let _ = Verifier::parse(key).expect("a key").verify(&note);
        }
    }
    if let Ok(proof) = LogProof::parse(data) {
        assert_eq!(proof.to_string().as_bytes(), data);
        let _ = proof.verify_entry(b"entry");
    }
    if let Ok(request) = AddCheckpoint::parse(data) {
        assert_eq!(request.to_string().as_bytes(), data);
        let _ = request.verify(&[0; 32]);
    }
    let _ = WitnessPolicy::parse(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(statement) = Statement::parse(text) {
        assert_eq!(statement.to_string(), text);
    }
    if let Ok(key) = Verifier::parse(text) {
        assert_eq!(Verifier::parse(&key.to_string()), Ok(key));
    }
    if let Some((pattern, path)) = text.split_once('\n') {
        let _ = pattern::matches(pattern, path);
    }
}

/// A bundle of proofs, weighed by a policy; or a remembered state.
pub fn trust_bundle(data: &[u8]) {
    if let Ok(bundle) = Bundle::parse(data) {
        assert_eq!(Bundle::parse(&bundle.to_bytes()), Ok(bundle));
    }
    if let Ok(state) = State::parse(data) {
        assert_eq!(State::parse(&state.to_bytes()), Ok(state));
    }
    let policy = Policy::parse(&policy()).expect("a policy");
    let offer = Offer { set: "daily", manifest: None, bundle: data, consistency: &[] };
    let accepted = verify(&policy, &State::default(), &offer, Time::from_unix(1_796_000_000));
    assert!(accepted.is_err(), "nobody has the keys");
}

/// `policy.toml`.
pub fn trust_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Policy::parse(text) {
        assert!(error.line >= 1 && error.column >= 1);
        assert!(error.line <= text.matches('\n').count() + 1);
    }
}

/// A policy whose keys nobody uses elsewhere.
pub(crate) fn policy() -> String {
    let [publisher, log, witness] = KEYS;
    format!(
        "publishers_needed = 1\nwitnesses_needed = 1\n[[publisher]]\nname = \"alice\"\n\
         keys = [\"{publisher}\"]\n[[log]]\nkey = \"{log}\"\n[[witness]]\nname = \"w\"\n\
         key = \"{witness}\"\n[set.daily]\nstale_after = \"36h\"\n"
    )
}

const KEYS: [&str; 3] = [
    "alice.example/holdfast+e0ef8f6a+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c",
    "log.example/holdfast+824c695e+AYE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU",
    "witness.example/w1+aa4a09d1+BOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs",
];
