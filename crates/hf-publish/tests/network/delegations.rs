//! Sources that their own maintainers sign: what they can do alone, what they cannot, and what a machine
//! refuses although the channel's keeper, publishers and logs stand behind it.

use std::fs;

use hf_trust::text::from_base64;
use hf_trust::tuf::metadata::Body;
use hf_trust::tuf::{Envelope, FileMeta, Role, Signature, Snapshot, Targets, Timestamp, TufKey};
use hf_trust::{PublicKey, Scheme};

use super::{A, B, C};
use crate::machine::{Machine, Said};
use crate::world::World;

/// A world with a source `feed` beside `own`, and these maintainers.
fn world_with(maintainers: &[&str]) -> World {
    let mut world = World::new();
    world.source("own.ndb", A);
    let root = world.path("alice/root.json");
    for name in maintainers {
        let domain = format!("{name}.example");
        let part = ["--part", "source", "--root", root.to_str().unwrap()];
        world.run(name, &[&["init", "--name", &domain][..], &part].concat());
    }
    feed(&world, "feed.ndb", B);
    let path = world.path("feed");
    let about = ["--id", "feed", "--author", "F", "--licence", "MIT", path.to_str().unwrap()];
    world.run("alice", &[&["add-source"][..], &about].concat());
    world
}

fn feed(world: &World, name: &str, text: &str) {
    fs::create_dir_all(world.path("feed")).unwrap();
    fs::write(world.path("feed").join(name), text).unwrap();
}

fn delegate(world: &World, source: &str, threshold: &str, maintainers: &[&str]) {
    let mut arguments = vec!["delegate", "--threshold", threshold];
    let keys: Vec<String> = maintainers.iter().map(|name| world.key(name, "source")).collect();
    keys.iter().for_each(|key| arguments.extend(["--key", key]));
    arguments.push(source);
    world.run("alice", &arguments);
}

fn sign(world: &World, maintainer: &str, source: &str) {
    let (channel, path) = (world.path("alice/channel"), world.path("feed"));
    let (channel, path) = (channel.to_str().unwrap(), path.to_str().unwrap());
    world.run(maintainer, &["sign-source", "--channel", channel, "--id", source, path]);
}

#[test]
fn a_source_is_its_maintainers_own() {
    let mut world = world_with(&["fay", "flo", "fox"]);
    delegate(&world, "feed", "2", &["fay", "flo", "fox"]);
    let said = world.fails("alice", &["build"]);
    assert!(said.contains("nothing that its maintainers signed holds"), "{said}");
    // One of three is too few; the next one's signature comes beside it.
    sign(&world, "fay", "feed");
    let said = world.fails("alice", &["build"]);
    assert!(said.contains("\"source-feed\": 1 of the 2 signatures needed are valid"), "{said}");
    sign(&world, "fox", "feed");
    world.release(&["alice", "bob"]);
    let server = world.serve("alice/channel");
    let mut machine = Machine::new(&world, &[&server]);
    assert!(matches!(machine.update(), Said::New(1)));
    assert_eq!(machine.names(), ["Test.A-1", "Test.B-1"]);
    // What its keeper has in its folder is not the source's any more.
    feed(&world, "feed.ndb", &format!("{B}{C}"));
    let said = world.run_plain(&["build", "--home", world.path("alice").to_str().unwrap()]);
    assert_eq!(said, "", "nothing is complained of");
    world.log();
    assert!(matches!(machine.update(), Said::Same));
    // New files need nobody but maintainers to say what they are.
    sign(&world, "flo", "feed");
    sign(&world, "fay", "feed");
    world.release(&["bob", "carol"]);
    assert!(matches!(machine.update(), Said::New(2)));
    assert_eq!(machine.names(), ["Test.A-1", "Test.B-1", "Test.C-1"]);
    // A copy has all of it, also for other clients of TUF.
    let root = world.path("alice/root.json");
    let to = world.path("copy");
    let (root, to) = (root.to_str().unwrap(), to.to_str().unwrap());
    world.run_plain(&["mirror", "--from", &server, "--to", to, "--root", root]);
    assert!(world.path("copy/metadata/2.source-feed.json").exists());
    assert_eq!(world.path("copy/targets/main/sources/feed").read_dir().unwrap().count(), 1);
    let mut other = Machine::new(&world, &[to]);
    assert!(matches!(other.update(), Said::New(2)));
}

#[test]
fn nobody_signs_for_the_source_of_another() {
    let world = world_with(&["fay", "eve"]);
    delegate(&world, "feed", "1", &["fay"]);
    delegate(&world, "own", "1", &["eve"]);
    sign(&world, "fay", "feed");
    // Eve has a source of her own, under another name of a file.
    fs::rename(world.path("feed/feed.ndb"), world.path("feed/own.ndb")).unwrap();
    sign(&world, "eve", "own");
    world.release(&["alice", "bob"]);
    let mut machine = Machine::new(&world, &[world.path("alice/channel").to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::New(1)));
    // She hands in files for Fay's: what Fay signed stays, and the keeper is told.
    feed(&world, "own.ndb", C);
    sign(&world, "eve", "feed");
    let alice = world.path("alice");
    let said = world.run_plain(&["build", "--home", alice.to_str().unwrap()]);
    assert!(said.contains("not taken"), "{said}");
    assert!(said.contains("\"source-feed\": 0 of the 1 signatures needed are valid"), "{said}");
    // And she names a file of Fay's in what is hers.
    let place = world.path("alice/channel/incoming/source-own.json");
    sign(&world, "eve", "own");
    let role = Role::Delegated("source-own".to_owned());
    let mut own = Envelope::<Targets>::parse(&role, &fs::read(&place).unwrap()).unwrap().signed;
    let mut target = own.targets.pop_first().unwrap().1;
    target.path = "main/sources/feed/own.ndb".to_owned();
    own.targets.insert(target.path.clone(), target);
    fs::write(&place, signed(&world, "eve/keys/source.key", own)).unwrap();
    let said = world.run_plain(&["build", "--home", alice.to_str().unwrap()]);
    assert!(said.contains("which is not of the source that it may sign"), "{said}");
    // Files of another length or digest than she signed are hers to mend.
    sign(&world, "eve", "own");
    for file in fs::read_dir(world.path("alice/channel/incoming/source-own")).unwrap().flatten() {
        fs::write(file.path(), "altered").unwrap();
    }
    let said = world.run_plain(&["build", "--home", alice.to_str().unwrap()]);
    assert!(said.contains("source own: not taken"), "{said}");
}

#[test]
fn a_stolen_key_is_taken_back() {
    let world = world_with(&["fay", "fox"]);
    delegate(&world, "feed", "1", &["fay"]);
    sign(&world, "fay", "feed");
    world.release(&["alice", "bob"]);
    let mut machine = Machine::new(&world, &[world.path("alice/channel").to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::New(1)));
    // Whoever stole Fay's key signs on; the keeper delegates to another key.
    delegate(&world, "feed", "1", &["fox"]);
    feed(&world, "feed.ndb", &format!("{B}{C}"));
    sign(&world, "fay", "feed");
    let said = world.fails("alice", &["build"]);
    assert!(said.contains("\"source-feed\": 0 of the 1 signatures needed are valid"), "{said}");
    assert!(matches!(machine.update(), Said::Same), "what was there before stays good");
    feed(&world, "feed.ndb", B);
    sign(&world, "fox", "feed");
    world.release(&["alice", "bob"]);
    assert!(matches!(machine.update(), Said::Same), "the files are the same");
    // Or signs again by the targets role alone.
    feed(&world, "feed.ndb", C);
    world.run("alice", &["delegate", "--remove", "feed"]);
    world.release(&["alice", "bob"]);
    assert!(matches!(machine.update(), Said::New(2)));
    assert_eq!(machine.names(), ["Test.A-1", "Test.C-1"]);
}

#[test]
fn post_quantum_keys_both_have_to_sign() {
    let world = world_with(&["fay"]);
    let root = world.path("alice/root.json");
    let part = ["--part", "source", "--root", root.to_str().unwrap(), "--post-quantum"];
    world.run("pia", &[&["init", "--name", "pia.example"][..], &part].concat());
    let keys = ["pia", "fay"].map(|name| world.key(name, "source"));
    let mixed = ["delegate", "--key", &keys[0], "--key", &keys[1], "feed"];
    assert!(world.fails("alice", &mixed).contains("keys of the same schemes"));
    let twice = ["delegate", "--key", &keys[0], "--key", &keys[0], "feed"];
    assert!(world.fails("alice", &twice).contains("is given twice"));
    let many = ["delegate", "--key", &keys[0], "--threshold", "2", "feed"];
    assert!(world.fails("alice", &many).contains("there are 1 maintainers"));
    assert!(world.fails("alice", &["delegate", "feed"]).contains("--key is needed"));
    assert!(world.fails("alice", &["delegate", "--key", &keys[0], "x"]).contains("no source x"));
    delegate(&world, "feed", "1", &["pia"]);
    sign(&world, "pia", "feed");
    world.release(&["alice", "bob"]);
    let mut machine = Machine::new(&world, &[world.path("alice/channel").to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::New(1)));
    let place = world.path("alice/channel/metadata/1.source-feed.json");
    assert_eq!(fs::read_to_string(place).unwrap().matches("\"keyid\"").count(), 2);
}

/// A keeper who has its keys, publishers and log behind it, and not the source's maintainers.
#[test]
fn a_machine_refuses_what_another_role_signed() {
    let world = world_with(&["fay"]);
    delegate(&world, "feed", "1", &["fay"]);
    feed(&world, "more.ndb", C);
    sign(&world, "fay", "feed");
    world.release(&["alice", "bob"]);
    let delegating = latest::<Targets>(&world, &Role::Targets);
    let channel = world.path("alice/channel");
    let mut machine = Machine::new(&world, &[channel.to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::New(1)));
    let before = machine.names();
    world.run("alice", &["delegate", "--remove", "feed"]);
    // Each of these releases is the keeper's own, and honest; then it claims that Fay signed it.
    for (name, text, refused) in [
        ("feed.ndb", Some(C), "source feed: feed.ndb is not the file signed by"),
        ("odd.ndb", Some(B), "source feed: odd.ndb is not signed by"),
        ("more.ndb", None, "source feed: more.ndb is missing, though it is signed by"),
    ] {
        fs::remove_dir_all(world.path("feed")).unwrap();
        feed(&world, "feed.ndb", B);
        feed(&world, "more.ndb", C);
        match text {
            Some(text) => feed(&world, name, text),
            None => fs::remove_file(world.path("feed").join(name)).unwrap(),
        }
        world.release(&["alice", "bob"]);
        let mut targets = latest::<Targets>(&world, &Role::Targets);
        targets.delegations.clone_from(&delegating.delegations);
        forge(&world, targets);
        machine.update().is_refused("wrong-role");
        machine.update().is_refused(refused);
        assert_eq!(machine.names(), before, "what is in use stays");
        // Publishers refuse, too.
        let attest = ["attest", "--channel", channel.to_str().unwrap()];
        assert!(world.fails("bob", &attest).contains(refused));
    }
}

/// Returns the newest metadata of a top-level role.
fn latest<T: Body>(world: &World, role: &Role) -> T {
    let folder = world.path("alice/channel/metadata");
    let newest = (1u64..)
        .take_while(|version| folder.join(format!("{version}.{}.json", role.name())).exists());
    let name = match newest.last() {
        Some(version) => format!("{version}.{}.json", role.name()),
        None => format!("{}.json", role.name()),
    };
    Envelope::parse(role, &fs::read(folder.join(name)).unwrap()).unwrap().signed
}

/// Signs other targets with the keeper's keys, and what follows from them.
fn forge(world: &World, mut targets: Targets) {
    let folder = world.path("alice/channel/metadata");
    targets.header.version += 1;
    let version = targets.header.version;
    let bytes = signed(world, "alice/keys/targets.key", targets);
    fs::write(folder.join(format!("{version}.targets.json")), &bytes).unwrap();
    let mut snapshot: Snapshot = latest(world, &Role::Snapshot);
    snapshot.header.version += 1;
    snapshot.meta.insert("targets.json".to_owned(), FileMeta::of(version, &bytes));
    let version = snapshot.header.version;
    let bytes = signed(world, "alice/keys/snapshot.key", snapshot);
    fs::write(folder.join(format!("{version}.snapshot.json")), &bytes).unwrap();
    let mut timestamp: Timestamp = latest(world, &Role::Timestamp);
    timestamp.header.version += 1;
    timestamp.snapshot = FileMeta::of(version, &bytes);
    let bytes = signed(world, "alice/keys/timestamp.key", timestamp);
    fs::write(folder.join("timestamp.json"), &bytes).unwrap();
    fs::remove_file(folder.join("now.json")).unwrap();
}

fn signed<T: Body>(world: &World, key: &str, body: T) -> Vec<u8> {
    use ed25519_dalek::Signer as _;
    let text = fs::read_to_string(world.path(key)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap();
    let seed = from_base64(line.trim_matches('"')).unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&seed.try_into().unwrap());
    let public = PublicKey::from_bytes(Scheme::Ed25519, key.verifying_key().as_bytes()).unwrap();
    let mut envelope = Envelope::new(body);
    let signature = key.sign(envelope.canonical()).to_bytes();
    envelope.signatures.push(Signature::new(TufKey::new(public).id(), &signature));
    envelope.to_bytes()
}
