//! TUF against hostile repositories. `tests/conformance/scenarios.py` has many more, made by python-tuf.

use crate::repository::{EXPIRES, Repository, Secret, update};
use hf_trust::tuf::{Limits, Reply, Step, Trusted, TufError, Updater};
use hf_trust::{Json, Time};

const NOW: i64 = EXPIRES - 86_400;

/// A client that is at version 2 of everything, and its repository.
fn pair() -> (Repository, Trusted) {
    let mut repository = Repository::new();
    repository.add_target("a/b.bin", b"content");
    repository.publish_root();
    repository.publish_all();
    let (outcome, trusted) = update(&repository, repository.trusted(), NOW, None);
    assert_eq!(outcome, Ok(None));
    (repository, trusted)
}

/// Bends a repository, and expects the update to be refused under a name and to leave the targets that
/// were trusted.
#[track_caller]
fn refused(attack: &str, bend: impl FnOnce(&mut Repository)) -> TufError {
    let (mut repository, trusted) = pair();
    bend(&mut repository);
    let (outcome, after) = update(&repository, trusted.clone(), NOW, Some("a/b.bin"));
    let error = outcome.expect_err(attack);
    assert_eq!(error.attack(), attack, "{error}");
    assert_eq!(after.local.get("targets"), trusted.local.get("targets"));
    error
}

#[test]
fn finds_a_target() {
    let (repository, trusted) = pair();
    let (outcome, after) = update(&repository, trusted.clone(), NOW, Some("a/b.bin"));
    let target = outcome.expect("current").expect("there");
    assert_eq!(after, trusted, "nothing new");
    assert!(target.check_bytes(b"content").is_ok());
    let name = target.file_names(true).remove(0);
    assert!(name.starts_with("a/ed7002b439e9ac84") && name.ends_with(".b.bin"), "{name}");
    assert_eq!(target.check_bytes(b"contend").map_err(|e| e.attack()), Err("arbitrary-software"));
    assert_eq!(target.check_bytes(b"conten").map_err(|e| e.attack()), Err("arbitrary-software"));
    assert_eq!(target.check_bytes(b"content!").map_err(|e| e.attack()), Err("endless-data"));
    assert_eq!(update(&repository, trusted, NOW, Some("a/c.bin")).0, Ok(None));
}

#[test]
fn refuses_by_name() {
    refused("rollback", |repository| {
        repository.timestamp.header.version = 1;
        repository.sign_rest();
    });
    refused("rollback", |repository| {
        repository.timestamp.header.version = 3;
        repository.snapshot.header.version = 1;
        repository.sign_rest();
    });
    refused("rollback", |repository| {
        repository.timestamp.header.version = 3;
        repository.snapshot.header.version = 3;
        repository.targets.header.version = 1;
        repository.sign_rest();
    });
    refused("freeze", |repository| {
        repository.timestamp.header.expires = Time::from_unix(NOW);
        repository.publish_all();
    });
    refused("freeze", |repository| {
        repository.root.header.expires = Time::from_unix(NOW - 1);
        repository.publish_root();
    });
    refused("mix-and-match", |repository| {
        repository.publish_all();
        let other = repository.files["2.snapshot.json"].clone();
        repository.files.insert("3.snapshot.json".to_owned(), other);
    });
    refused("arbitrary-software", |repository| {
        repository.signers.insert("timestamp", vec![Secret::ed25519(66)]);
        repository.publish_all();
    });
    refused("arbitrary-software", |repository| {
        repository.signers.insert("root", vec![Secret::ed25519(66)]);
        repository.publish_root();
    });
    refused("endless-data", |repository| {
        repository.files.insert("timestamp.json".to_owned(), vec![b' '; 20_000]);
    });
    refused("missing-file", |repository| {
        repository.publish_all();
        repository.files.remove("3.targets.json");
    });
    refused("malformed", |repository| {
        repository.files.insert("timestamp.json".to_owned(), b"<html>".to_vec());
    });
}

#[test]
fn refuses_a_slow_server_and_stays_refused() {
    let (repository, trusted) = pair();
    let now = Time::from_unix(NOW);
    for (reply, attack) in [(Reply::TooSlow, "slow-retrieval"), (Reply::TooLong, "endless-data")] {
        let mut updater = Updater::new(trusted.clone(), now, Limits::default()).expect("a root");
        let error = updater.reply(reply).expect_err(attack);
        assert_eq!(error.attack(), attack);
        assert_eq!(updater.step(), Err(error.clone()));
        assert_eq!(updater.search("a/b.bin"), Err(error.clone()));
        assert_eq!(updater.reply(Reply::Bytes(&repository.files["1.root.json"])), Err(error));
        assert!(updater.stored().is_empty());
    }
}

#[test]
fn follows_no_endless_chain_of_roots() {
    let mut repository = Repository::new();
    let trusted = repository.trusted();
    for _ in 0..300 {
        repository.publish_root();
    }
    let (outcome, after) = update(&repository, trusted, NOW, None);
    assert_eq!(outcome, Err(TufError::TooManyRoots { max: 256 }));
    // What was believed counts: the next update goes on from there.
    let (outcome, _) = update(&repository, after, NOW, None);
    assert_eq!(outcome, Ok(None));
}

#[test]
fn a_role_may_want_post_quantum_signatures_too() {
    let mut repository = Repository::new();
    let trusted = repository.trusted();
    repository.hybrid();
    let (outcome, trusted) = update(&repository, trusted, NOW, None);
    assert_eq!(outcome, Ok(None));
    // Two classical keys reach the threshold, and do not stand in for the other kind.
    let extra = Secret::ed25519(106);
    repository.root.root.keyids.push(extra.key().id());
    repository.root.keys.insert(extra.key().id(), extra.key());
    repository.publish_root();
    let (outcome, trusted) = update(&repository, trusted, NOW, None);
    assert_eq!(outcome, Ok(None));
    repository.signers.insert("root", vec![Secret::ed25519(101), extra]);
    repository.publish_root();
    let (outcome, after) = update(&repository, trusted.clone(), NOW, None);
    assert_eq!(outcome.map_err(|error| error.attack()), Err("stolen-keys"));
    assert_eq!(after, trusted);
}

#[test]
fn recovers_from_damaged_local_files() {
    let (repository, trusted) = pair();
    for role in ["timestamp", "snapshot", "targets"] {
        let cut = |trusted: &mut Trusted| {
            let file = trusted.local.get_mut(role).expect("a file");
            file.truncate(file.len() / 2);
        };
        let gone = |trusted: &mut Trusted| {
            trusted.local.remove(role);
        };
        for damage in [&cut as &dyn Fn(&mut Trusted), &gone] {
            let mut damaged = trusted.clone();
            damage(&mut damaged);
            let (outcome, after) = update(&repository, damaged, NOW, None);
            assert_eq!(outcome, Ok(None), "{role}");
            assert_eq!(after, trusted, "{role}");
        }
    }
    let damaged = Trusted { root: b"{".to_vec(), ..trusted };
    assert_eq!(update(&repository, damaged, NOW, None).0.map_err(|e| e.attack()), Err("malformed"));
}

/// Whatever single bit is flipped in whatever file: nothing new is believed but what was signed.
#[test]
fn flipped_bits_are_refused() {
    let (mut repository, trusted) = pair();
    repository.publish_root();
    repository.publish_all();
    let honest = update(&repository, trusted.clone(), NOW, None).1;
    for name in ["3.root.json", "timestamp.json", "3.snapshot.json", "3.targets.json"] {
        let good = repository.files[name].clone();
        for at in (0..good.len()).step_by(29) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            repository.files.insert(name.to_owned(), bad.clone());
            let (outcome, after) = update(&repository, trusted.clone(), NOW, None);
            if outcome.is_ok() {
                // White space, say, or the case of a digit: the same is believed.
                let same =
                    |bytes: &[u8]| Json::parse(bytes).map(|json| json.member("signed").cloned());
                assert_eq!(same(&after.root), same(&honest.root), "{name} {at}");
                for role in ["timestamp", "snapshot", "targets"] {
                    assert_eq!(same(&after.local[role]), same(&honest.local[role]), "{name} {at}");
                }
            }
        }
        repository.files.insert(name.to_owned(), good);
    }
}

/// A search that goes on is no way around what the top level has to be first.
#[test]
fn nothing_is_found_before_metadata_is_current() {
    let (_, trusted) = pair();
    let now = Time::from_unix(NOW);
    let mut updater = Updater::new(trusted, now, Limits::default()).expect("a root");
    assert!(updater.search("a/b.bin").is_err());
    assert!(matches!(updater.step(), Ok(Step::Fetch(_))));
}
