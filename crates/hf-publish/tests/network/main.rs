//! Publishers, a log and witnesses on this machine, as docs/channel.md sets them up, and a second
//! machine that follows them; then each operator is unplugged, and the channel is tampered with.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod counter;
mod delegations;
mod machine;
mod world;

use std::fs;
use std::path::Path;
use std::process::Command;

use counter::Counter;
use machine::{Machine, Said};
use world::World;

const A: &str = "Test.A-1:0:*:6162636465666768\n";
const B: &str = "Test.B-1:0:*:7172737475767778\n";
const C: &str = "Test.C-1:0:*:6162636465666769\n";

#[test]
fn a_newcomer_gets_from_nothing_to_an_update() {
    let mut world = World::new();
    world.source("own.ndb", &format!("{A}{B}"));
    world.release(&["alice", "bob", "carol"]);
    let server = world.serve("alice/channel");
    let mut machine = Machine::new(&world, &[&server]);
    let said = machine.update();
    assert!(matches!(said, Said::New(1)), "{said:?}");
    assert_eq!(machine.names(), ["Test.A-1", "Test.B-1"]);
    // Nothing new: two questions (is there a newer root, is there a newer timestamp) say so.
    assert!(matches!(machine.update(), Said::Same));
    // A signature goes, with a reason; one comes.
    world.source("own.ndb", &format!("{B}{C}"));
    world.run("alice", &["build", "--reason", "Test.A-1=false alarm"]);
    world.attest_and_log(&["alice", "carol"]);
    assert!(matches!(machine.update(), Said::New(2)));
    assert_eq!(machine.names(), ["Test.B-1", "Test.C-1"]);
    assert!(machine.told("attested by alice, carol"), "{:?}", machine.notes);
    // Keys are replaced; the machine follows from the root that it started with.
    for role in ["timestamp", "targets", "root", "snapshot"] {
        world.run("alice", &["rotate", role]);
    }
    world.source("own.ndb", &format!("{A}{B}{C}"));
    world.release(&["alice", "bob"]);
    assert!(matches!(machine.update(), Said::New(3)));
    assert_eq!(machine.names(), ["Test.A-1", "Test.B-1", "Test.C-1"]);
}

#[test]
fn sources_are_taken_when_packs_are_not_wanted() {
    let mut world = World::new();
    world.source("own.ndb", A);
    world.source("more.hdb", "0123456789abcdef0123456789abcdef:68:Test.H-1\n");
    world.release(&["alice", "bob"]);
    let folder = world.path("alice/channel");
    let mut machine = Machine::new(&world, &[folder.to_str().unwrap()]);
    machine.channel.take = hf_update::channel::Take::Sources;
    assert!(matches!(machine.update(), Said::New(1)));
    assert_eq!(machine.files(), ["more.hdb", "own.ndb"]);
}

#[test]
fn each_operator_can_be_unplugged() {
    let mut world = World::new();
    world.source("own.ndb", A);
    world.release(&["alice", "bob", "carol"]);
    let server = world.serve("alice/channel");
    let folder = world.path("copy");
    let root = world.path("alice/root.json");
    world.run_plain(&[
        "mirror",
        "--from",
        &server,
        "--to",
        folder.to_str().unwrap(),
        "--root",
        root.to_str().unwrap(),
    ]);
    let mut machine =
        Machine::new(&world, &["http://127.0.0.1:1", &server, folder.to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::New(1)), "the first mirror is dead");
    // One publisher of three is away, whoever it is.
    for (release, away) in ["alice", "bob", "carol"].iter().enumerate() {
        let here: Vec<&str> = ["alice", "bob", "carol"].into_iter().filter(|p| p != away).collect();
        world.source("own.ndb", &format!("{A}{}", C.replace("C-1", &format!("C-{release}"))));
        world.release(&here);
        let said = machine.update();
        assert!(matches!(said, Said::New(n) if n == release as u64 + 2), "{away}: {said:?}");
    }
    // Two are away: no update, and what is in use stays.
    let before = machine.names();
    world.source("own.ndb", B);
    world.release(&["alice"]);
    assert!(machine.update().is_refused("too-few-publishers"));
    assert_eq!(machine.names(), before);
    // The second comes back.
    world.attest_and_log(&["bob"]);
    assert!(matches!(machine.update(), Said::New(5)));
    // One witness of two is away.
    world.stop_witness("w1");
    world.source("own.ndb", &format!("{A}{B}"));
    world.release(&["alice", "bob"]);
    assert!(matches!(machine.update(), Said::New(6)), "one witness is enough for this owner");
    // Both are: no update.
    world.stop_witness("w2");
    world.source("own.ndb", &format!("{A}{B}{C}"));
    world.release(&["alice", "bob"]);
    assert!(machine.update().is_refused("too-few-publishers"));
    // The log is away: statements without proofs count for nothing.
    world.start_witness("w1");
    world.source("own.ndb", C);
    world.run("alice", &["build"]);
    world.attest(&["alice", "bob"]);
    let said = machine.update();
    assert!(!matches!(said, Said::New(_)), "{said:?}");
    assert_eq!(machine.names(), ["Test.A-1", "Test.B-1"]);
    // And back.
    world.log();
    assert!(matches!(machine.update(), Said::New(8)));
    // Everybody is away: content stays, and it is said that it grows old.
    machine.channel.mirrors.truncate(1);
    assert!(matches!(machine.update(), Said::Refused(_)));
    assert_eq!(machine.names(), ["Test.C-1"]);
}

#[test]
fn a_channel_that_was_tampered_with_is_refused() {
    let mut world = World::new();
    world.source("own.ndb", A);
    world.release(&["alice", "bob"]);
    world.copy("alice/channel", "old");
    let folder = world.path("alice/channel");
    let mut machine = Machine::new(&world, &[folder.to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::New(1)));
    world.source("own.ndb", &format!("{A}{B}"));
    world.release(&["alice", "bob"]);
    assert!(matches!(machine.update(), Said::New(2)));
    let in_use = machine.names();

    machine.mirrors(&[world.path("old").to_str().unwrap()]);
    assert!(machine.update().is_refused("rollback"));

    world.source("own.ndb", &format!("{A}{B}{C}"));
    world.run("alice", &["build"]);
    world.copy("alice/channel", "alone");
    world.attest_and_log(&["alice", "bob"]);
    // A channel that withholds statements, or hands out those on another release.
    machine.mirrors(&[world.path("alone").to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::Refused(_)));
    let old_proofs =
        fs::read_dir(world.path("old/proofs")).unwrap().next().unwrap().unwrap().path();
    let manifests = fs::read_dir(world.path("alone/targets/main")).unwrap();
    for manifest in manifests.flatten() {
        let name = manifest.file_name().into_string().unwrap();
        let digest = name.split('.').next().unwrap();
        fs::copy(&old_proofs, world.path(&format!("alone/proofs/{digest}.json"))).unwrap();
    }
    let said = machine.update();
    assert!(said.is_refused("mix-and-match") || said.is_refused("rollback"), "{said:?}");

    // Endless data in the place of any file.
    for file in ["metadata/timestamp.json", "proofs"] {
        world.copy("alice/channel", "endless");
        fs::remove_file(world.path("endless/metadata/now.json")).unwrap();
        let mut path = world.path("endless").join(file);
        if path.is_dir() {
            for entry in fs::read_dir(&path).unwrap().flatten() {
                fs::write(entry.path(), vec![b' '; 3 << 20]).unwrap();
            }
            path = path.join("none");
        } else {
            fs::write(&path, vec![b' '; 3 << 20]).unwrap();
        }
        machine.mirrors(&[world.path("endless").to_str().unwrap()]);
        let said = machine.update();
        assert!(said.is_refused("endless"), "{}: {said:?}", path.display());
    }

    // Every object is altered: nothing is taken.
    world.copy("alice/channel", "altered");
    world.alter_objects("altered");
    machine.mirrors(&[world.path("altered").to_str().unwrap()]);
    let said = machine.update();
    assert!(matches!(&said, Said::Refused(text) if text.contains("digest")), "{said:?}");
    assert_eq!(machine.names(), in_use);

    // The good one again; then time passes, and nobody renews.
    machine.mirrors(&[folder.to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::New(3)));
    machine.now += 15 * 86_400;
    assert!(machine.update().is_refused("freeze"));
    assert_eq!(machine.names(), ["Test.A-1", "Test.B-1", "Test.C-1"]);
}

#[test]
fn nothing_new_costs_one_question() {
    let mut world = World::new();
    world.source("own.ndb", A);
    world.release(&["alice", "bob", "carol"]);
    let counter = Counter::serve(world.path("alice/channel"));
    let mut machine = Machine::new(&world, &[&counter.address]);
    assert!(matches!(machine.update(), Said::New(1)));
    counter.reset();
    assert!(matches!(machine.update(), Said::Same));
    let (questions, bytes) = counter.reset();
    assert!(questions == 1 && bytes < 10_240, "{questions} questions, {bytes} bytes");

    // What answers it is a guess: spoiled or old, it costs questions, and hides nothing.
    let now = world.path("alice/channel/metadata/now.json");
    let first = fs::read(&now).unwrap();
    world.source("own.ndb", &format!("{A}{B}"));
    world.release(&["alice", "bob"]);
    let second = fs::read_to_string(&now).unwrap();
    for bad in
        [&b"{}"[..], &[b' '; 100_000], second.replace("\\\"sig\\\"", "\\\"gis\\\"").as_bytes()]
    {
        fs::write(&now, bad).unwrap();
        let mut fresh = Machine::new(&world, &[&counter.address]);
        assert!(matches!(fresh.update(), Said::New(2)));
    }
    assert!(matches!(machine.update(), Said::New(2)));
    fs::write(&now, &first).unwrap();
    assert!(matches!(machine.update(), Said::Same), "an old one is asked behind");
    world.run("alice", &["rotate", "root"]);
    world.run("alice", &["rotate", "timestamp"]);
    assert!(matches!(machine.update(), Said::Same));
    counter.reset();
    assert!(matches!(machine.update(), Said::Same));
    assert_eq!(counter.reset().0, 1, "new roots were found through it");
}

#[test]
fn a_split_view_and_a_stolen_minority_are_refused() {
    let mut world = World::new();
    world.source("own.ndb", A);
    world.release(&["alice", "bob"]);
    let folder = world.path("alice/channel");
    let mut machine = Machine::new(&world, &[folder.to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::New(1)));
    // Somebody copies everything: keys of channel, log, witnesses, and two publishers.
    let mut other = world.fork();
    world.source("own.ndb", &format!("{A}{B}"));
    world.release(&["alice", "bob"]);
    assert!(matches!(machine.update(), Said::New(2)));
    other.source("own.ndb", C);
    other.release(&["alice", "bob"]);
    other.source("own.ndb", &format!("{C}{B}"));
    other.release(&["alice", "bob"]);
    machine.mirrors(&[other.path("alice/channel").to_str().unwrap()]);
    assert!(machine.update().is_refused("split-view"));
    assert_eq!(machine.names(), ["Test.A-1", "Test.B-1"]);

    // With the keys of channel and log, and of one publisher of the two needed.
    let mut machine = Machine::new(&world, &[folder.to_str().unwrap()]);
    assert!(matches!(machine.update(), Said::New(2)));
    let mut thief = world.fork();
    thief.source("own.ndb", &format!("{A}{B}{C}"));
    thief.release(&["alice"]);
    machine.mirrors(&[thief.path("alice/channel").to_str().unwrap()]);
    assert!(machine.update().is_refused("too-few-publishers"));
    assert_eq!(machine.names(), ["Test.A-1", "Test.B-1"]);
}

#[test]
fn a_publisher_signs_only_what_comes_out_the_same() {
    let mut world = World::new();
    world.source("own.ndb", A);
    world.run("alice", &["build"]);
    // Bob has fetched the source himself, and it is another.
    fs::create_dir(world.path("mine")).unwrap();
    fs::write(world.path("mine/own.ndb"), B).unwrap();
    let (channel, mine) = (world.path("alice/channel"), world.path("mine"));
    let arguments =
        ["attest", "--channel", channel.to_str().unwrap(), "--sources", mine.to_str().unwrap()];
    let error = world.fails("bob", &arguments);
    assert!(error.contains("is not the file of the release"), "{error}");
    assert!(!world.path("alice/channel/attestations").exists());
    fs::write(world.path("mine/own.ndb"), A).unwrap();
    world.run("bob", &arguments);
    assert!(world.path("alice/channel/attestations").exists());
}

#[test]
fn a_witness_signs_one_history_however_it_is_killed() {
    let mut world = World::new();
    world.source("own.ndb", A);
    world.release(&["alice", "bob"]);
    let mut other = world.fork();
    for round in 0..4 {
        world.source("own.ndb", &format!("{A}{}", B.replace("B-1", &format!("B-{round}"))));
        world.run("alice", &["build"]);
        world.attest(&["alice", "bob"]);
        world.log();
        world.kill_witness("w1");
        world.start_witness("w1");
    }
    // The same log key with another history asks the same witness, which is further by now.
    other.source("own.ndb", C);
    other.run("alice", &["build"]);
    other.attest(&["alice", "bob", "carol"]);
    let address = world.witness_address("w1");
    let key = world.path("w1/keys/witness.pub");
    let said = other.log_with(&[&format!("{address}={}", key.display())]);
    assert!(said.contains("refuses"), "{said}");
}

/// OpenSSL stands in for a token: it alone has the key.
#[test]
fn a_root_key_in_a_token() {
    let run = |folder: &Path, line: &str| {
        let done = Command::new("openssl").args(line.split(' ')).current_dir(folder).output();
        done.ok().filter(|done| done.status.success()).map(|done| done.stdout)
    };
    let dir = tempfile::tempdir().unwrap();
    if run(dir.path(), "genpkey -algorithm ed25519 -out first.pem").is_none() {
        assert!(std::env::var_os("CI").is_none(), "openssl makes no Ed25519 keys");
        return eprintln!("skipped: openssl makes no Ed25519 keys");
    }
    run(dir.path(), "genpkey -algorithm ed25519 -out second.pem").unwrap();
    let prepare = |name: &str, command: &str| {
        let der = run(dir.path(), &format!("pkey -in {name}.pem -pubout -outform DER")).unwrap();
        let public = hf_trust::text::to_base64(&der[der.len() - 32..]);
        let path = dir.path().join("dora/keys/root.next.key");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let command: Vec<String> = command.split(' ').map(|word| format!("{word:?}")).collect();
        let text = format!(
            "format = \"holdfast-secret-key/1\"\nrole = \"root\"\nname = \"dora.example\"\nscheme = \
             \"ed25519\"\npublic = \"{public}\"\ncommand = [{}]\n",
            command.join(", ")
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    let signs = |name: &str| {
        format!(
            "openssl pkeyutl -sign -rawin -inkey {}/{name}.pem -in {{message}}",
            dir.path().display()
        )
    };
    let publish = |line: &str| {
        let done = Command::new(env!("CARGO_BIN_EXE_holdfast-publish"))
            .args(line.split(' '))
            .current_dir(dir.path())
            .output()
            .unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let check = |line: &str| {
        let (well, said) = publish(line);
        assert!(well, "{line}: {said}");
    };
    // A token that refuses, one that signs something else, and one that is not there.
    for (command, want) in [
        ("false", "ended with"),
        ("echo aGVsbG8=", "the signature just made"),
        ("no-such-token x", "cannot start no-such-token"),
    ] {
        prepare("first", command);
        let (well, said) = publish("init --home dora --name dora.example");
        assert!(!well && said.contains(want), "{command}: {said}");
        fs::remove_dir_all(dir.path().join("dora")).unwrap();
    }
    prepare("first", &signs("first"));
    check("init --home dora --name dora.example");
    fs::create_dir(dir.path().join("databases")).unwrap();
    fs::write(dir.path().join("databases/own.ndb"), A).unwrap();
    check("add-source --home dora --id own --author A --licence MIT databases");
    check("build --home dora");
    check("mirror --from dora/channel --to copy --root dora/root.json");
    prepare("second", &signs("second"));
    check("rotate --home dora root");
    check("mirror --from dora/channel --to copy --root dora/root.json");
    let secret = fs::read_to_string(dir.path().join("dora/keys/root.key")).unwrap();
    assert!(secret.contains("second.pem") && !secret.contains("secret ="), "{secret}");
}
