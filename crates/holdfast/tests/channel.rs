//! A second machine follows a channel with the program's own commands, as docs/channel.md says; and content
//! is carried to a third one without a network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const HOLDFAST: &str = env!("CARGO_BIN_EXE_holdfast");

/// The publisher's program, which is built beside this one; none when it was not.
fn publisher() -> Option<PathBuf> {
    let path = Path::new(HOLDFAST).with_file_name("holdfast-publish");
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "holdfast-publish is not built");
    eprintln!("skipped: holdfast-publish is not built");
    None
}

struct World {
    dir: tempfile::TempDir,
    publisher: PathBuf,
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn publish(&self, arguments: &[&str]) {
        let output =
            Command::new(&self.publisher).args(arguments).current_dir(self.dir.path()).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    /// Runs the program on a machine, whose state is in a folder.
    fn on(&self, machine: &str, arguments: &[&str]) -> (i32, String) {
        let output: Output = Command::new(HOLDFAST)
            .args(arguments)
            .current_dir(self.dir.path())
            .env("HOLDFAST_STATE", self.path(machine))
            .env("HOLDFAST_CACHE", self.path("cache"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Two publishers and a log without witnesses; a release with these databases.
    fn new(publisher: PathBuf) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), publisher };
        fs::create_dir(world.path("databases")).unwrap();
        world.publish(&["init", "--home", "alice", "--name", "alice.example"]);
        let bob = ["init", "--home", "bob", "--name", "bob.example", "--part", "publisher"];
        world.publish(&[&bob[..], &["--root", "alice/root.json"]].concat());
        let log = ["init", "--home", "log", "--name", "log.example", "--part", "log"];
        let keys = ["alice", "bob"].map(|name| format!("{name}/keys/publisher.pub"));
        world.publish(&[&log[..], &["--publisher", &keys[0], "--publisher", &keys[1]]].concat());
        let source = ["--id", "own", "--author", "Alice", "--licence", "MIT", "databases"];
        world.publish(&[&["add-source", "--home", "alice"][..], &source].concat());
        world.configure();
        world
    }

    fn configure(&self) {
        let key = |path: &str| fs::read_to_string(self.path(path)).unwrap().trim().to_owned();
        let mut policy = "publishers_needed = 2\nwitnesses_needed = 0\n".to_owned();
        for name in ["alice", "bob"] {
            let key = key(&format!("{name}/keys/publisher.pub"));
            policy.push_str(&format!("[[publisher]]\nname = \"{name}\"\nkeys = [\"{key}\"]\n"));
        }
        policy.push_str(&format!("[[log]]\nkey = \"{}\"\n", key("log/keys/log.pub")));
        fs::write(self.path("policy.toml"), policy).unwrap();
        let config = format!(
            "[[source]]\nname = \"main\"\nkind = \"channel\"\nmirrors = [{:?}]\n[source.channel]\n\
             root = {:?}\npolicy = {:?}\n",
            self.path("alice/channel"),
            self.path("alice/root.json"),
            self.path("policy.toml"),
        );
        fs::write(self.path("update.toml"), config).unwrap();
    }

    fn release(&self, databases: &str, reason: &[&str]) {
        fs::write(self.path("databases/own.ndb"), databases).unwrap();
        self.publish(&[&["build", "--home", "alice"][..], reason].concat());
        for name in ["alice", "bob"] {
            self.publish(&["attest", "--home", name, "--channel", "alice/channel"]);
        }
        self.publish(&["log", "--home", "log", "--channel", "alice/channel"]);
    }
}

const FIRST: &str = "Example.First-1:0:*:6578616d706c652066697273740a\n";
const SECOND: &str = "Example.Second-1:0:*:6578616d706c65207365636f6e64\n";

#[test]
fn a_machine_follows_a_channel() {
    let Some(publisher) = publisher() else { return };
    let world = World::new(publisher);
    world.release(FIRST, &[]);
    fs::write(world.path("sample"), "an example first\n").unwrap();
    let config = ["--config", "update.toml"];
    let (code, said) = world.on("machine", &[&["update"][..], &config].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) = world.on("machine", &["scan", "sample"]);
    assert_eq!((code, said.contains("Example.First-1")), (1, true), "{said}");

    // Carried to a machine without a network, as a folder and as an image.
    for (to, from) in [("carried", "carried"), ("oci:image", "oci:image")] {
        let (code, said) =
            world.on("machine", &[&["update", "export", "--to", to][..], &config].concat());
        assert_eq!(code, 0, "{said}");
        let machine = format!("island-{}", to.replace(':', "-"));
        let (code, said) = world.on(&machine, &[&["update", "import", from][..], &config].concat());
        assert_eq!(code, 0, "{said}");
        let (code, _) = world.on(&machine, &["scan", "sample"]);
        assert_eq!(code, 1, "what was imported is in use");
    }

    // The next release withdraws the signature.
    world.release(SECOND, &["--reason", "Example.First-1=a false alarm"]);
    let (code, said) = world.on("machine", &[&["update"][..], &config].concat());
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.on("machine", &["scan", "sample"]).0, 0, "it is withdrawn");
    let (code, said) = world.on("machine", &[&["content", "log"][..], &config].concat());
    assert_eq!(code, 0, "{said}");
    for part in ["release 2 of main", "attested by bob", "log.example/log entry", "a false alarm"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let why = ["content", "why", "Example.First-1"];
    let (_, said) = world.on("machine", &[&why[..], &config].concat());
    assert!(said.contains("removed") && said.contains("by Alice, MIT"), "{said}");
    let (code, said) =
        world.on("machine", &[&["content", "keep", "Example.First-1"][..], &config].concat());
    assert_eq!(code, 0, "{said}");
    let kept = fs::read_to_string(world.path("machine/kept/kept.ndb")).unwrap();
    assert_eq!(kept, FIRST);

    // Only what the island lacks is carried there.
    let delta = ["update", "export", "--to", "delta", "--since", "1"];
    let (code, said) = world.on("machine", &[&delta[..], &config].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) =
        world.on("island-carried", &[&["update", "import", "delta"][..], &config].concat());
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.on("island-carried", &["scan", "sample"]).0, 0);

    let (code, said) =
        world.on("machine", &[&["content", "rebuild", "--verify"][..], &config].concat());
    assert_eq!((code, said.contains("every digest is the same")), (0, true), "{said}");
    let (code, said) = world.on("machine", &[&["verify"][..], &config].concat());
    assert_eq!((code, said.contains("main: right")), (0, true), "{said}");
    let (code, said) = world.on("machine", &[&["monitor"][..], &config].concat());
    assert_eq!(code, 1, "a signature was removed: {said}");
    assert!(said.contains("ALARM removed-signature"), "{said}");
    let (code, said) = world.on("machine", &[&["monitor"][..], &config].concat());
    assert_eq!(code, 0, "nothing new: {said}");
}

#[test]
fn what_was_tampered_with_is_found() {
    let Some(publisher) = publisher() else { return };
    let world = World::new(publisher);
    world.release(FIRST, &[]);
    let config = ["--config", "update.toml"];
    assert_eq!(world.on("machine", &[&["update"][..], &config].concat()).0, 0);
    let (code, _) = world.on("machine", &[&["monitor"][..], &config].concat());
    assert_eq!(code, 0);
    // The file in use is altered.
    let set = fs::read_link(world.path("machine/content/current")).unwrap();
    let pack = world.path("machine/content").join(set).join("main/loose.pack");
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let (code, said) = world.on("machine", &[&["verify"][..], &config].concat());
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("digest"), "{said}");
    // The log begins anew under the same key.
    fs::remove_dir_all(world.path("log/log")).unwrap();
    fs::remove_dir_all(world.path("log/state")).unwrap();
    fs::remove_dir_all(world.path("alice/channel/attestations")).unwrap();
    world.release(SECOND, &[]);
    let (code, said) = world.on("machine", &[&["monitor"][..], &config].concat());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("ALARM fork"), "{said}");
    // And an owner who wants more publishers than there are gets nothing new, and keeps what is in use.
    let (code, said) = world.on("machine", &[&["update"][..], &config].concat());
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("split-view") || said.contains("refused"), "{said}");
}

/// Serves a folder by HTTP until it is dropped.
struct Served(std::process::Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    fn serve(&self, folder: &str) -> (Served, String) {
        use std::io::BufRead as _;
        let mut child = Command::new(&self.publisher)
            .args(["serve", "--dir", folder, "--listen", "127.0.0.1:0"])
            .current_dir(self.dir.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        (Served(child), address)
    }
}

impl World {
    /// Two publishers, a log, and a source `feed` that two of three maintainers sign.
    fn with_maintainers(publisher: PathBuf) -> Self {
        let world = Self::new(publisher);
        let mut delegate = vec!["delegate", "--home", "alice", "--threshold", "2"];
        let names = ["dora", "dan", "dee"];
        let keys = names.map(|name| format!("{name}/keys/source.pub"));
        for (name, key) in names.iter().zip(&keys) {
            let domain = format!("{name}.example");
            let init = ["init", "--home", name, "--name", &domain, "--part", "source"];
            world.publish(&[&init[..], &["--root", "alice/root.json"]].concat());
            delegate.extend(["--key", key]);
        }
        fs::create_dir(world.path("feed")).unwrap();
        let source = ["add-source", "--home", "alice", "--id", "feed", "--author", "Dora"];
        world.publish(&[&source[..], &["--licence", "MIT", "feed"]].concat());
        world.publish(&[&delegate[..], &["feed"]].concat());
        world
    }

    /// Serves the channel, and lets machines ask there.
    fn serve_channel(&self) -> (Served, String) {
        let (served, address) = self.serve("alice/channel");
        let config = fs::read_to_string(self.path("update.toml")).unwrap();
        let old = config.lines().find(|line| line.starts_with("mirrors")).unwrap();
        let config = config.replace(old, &format!("mirrors = [{address:?}]"));
        fs::write(self.path("update.toml"), config).unwrap();
        (served, address)
    }

    /// Maintainers sign what the source's folder holds, over the network: so they say where it goes, and hand
    /// it in by other ways.
    fn sign(&self, address: &str, names: [&str; 2], feed: &str) {
        fs::write(self.path("feed/feed.ndb"), feed).unwrap();
        for name in names {
            let sign = ["sign-source", "--home", name, "--channel", address, "--id", "feed"];
            self.publish(&[&sign[..], &["--out", "handed", "feed"]].concat());
        }
        let (from, to) = (self.path("handed/incoming"), self.path("alice/channel"));
        assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
    }
}

const OTHER: &str = "Example.Other-1:0:*:7a7a712d6578616d706c652d6f74686572\n";

/// A source is delegated to two of three maintainers, and a machine follows by the network.
#[test]
fn a_source_is_signed_by_its_maintainers() {
    let Some(publisher) = publisher() else { return };
    let world = World::with_maintainers(publisher);
    let (served, address) = world.serve_channel();
    fs::write(world.path("sample"), "an example second\n").unwrap();
    let config = ["--config", "update.toml"];
    world.sign(&address, ["dora", "dee"], OTHER);
    world.release(FIRST, &[]);
    let (code, said) = world.on("machine", &[&["update"][..], &config].concat());
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.on("machine", &["scan", "sample"]).0, 0);
    world.sign(&address, ["dan", "dora"], SECOND);
    world.release(FIRST, &["--reason", "Example.Other-1=too short"]);
    let (code, said) = world.on("machine", &[&["update"][..], &config].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) = world.on("machine", &["scan", "sample"]);
    assert_eq!((code, said.contains("Example.Second-1")), (1, true), "{said}");
    // All of it is verified again without a network, here and where it is carried to.
    drop(served);
    let (code, said) = world.on("machine", &[&["verify"][..], &config].concat());
    assert_eq!((code, said.contains("main: right")), (0, true), "{said}");
    let role = world.path("machine/content/memory/main/tuf/source-feed.json");
    let kept = fs::read_to_string(&role).unwrap();
    fs::write(&role, kept.replace("feed.ndb", "fake.ndb")).unwrap();
    let (code, said) = world.on("machine", &[&["verify"][..], &config].concat());
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("source-feed"), "{said}");
    fs::write(&role, kept).unwrap();
    let (_served, _) = world.serve_channel();
    let export = ["update", "export", "--to", "carried"];
    let (code, said) = world.on("machine", &[&export[..], &config].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) =
        world.on("island", &[&["update", "import", "carried"][..], &config].concat());
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.on("island", &["scan", "sample"]).0, 1);
    assert!(world.path("island/content/memory/main/tuf/source-feed.json").exists());
}

/// Runs the commands in docs/channel.md as they stand there, but for ports, which may be taken.
#[test]
fn what_the_manual_says() {
    let Some(publisher) = publisher() else { return };
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/channel.md");
    let manual = fs::read_to_string(manual).unwrap();
    let blocks = manual.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let mut script = blocks.collect::<Vec<_>>().join("\n");
    assert!(script.matches("holdfast update --config").count() >= 2, "the commands are there");
    // All are held at once, so that they differ.
    let free = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    for (port, free) in ["8080", "8081", "8082"].iter().zip(&free) {
        let free = free.local_addr().unwrap().port().to_string();
        script = script.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"));
    }
    drop(free);
    let told = "trap 'echo \"FAILED $?: $BASH_COMMAND\" >&2' ERR\ntrap 'kill $(jobs -p)' EXIT\n";
    let dir = tempfile::tempdir().unwrap();
    let programs = publisher.parent().unwrap().to_str().unwrap();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &format!("{told}{script}\n")])
        .current_dir(dir.path())
        .env("PATH", path)
        .env("HOME", dir.path())
        .env("HOLDFAST_CACHE", dir.path().join("cache"))
        .env_remove("HOLDFAST_STATE")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("FAILED ")).collect();
    // A scan that finds something says so by its exit code.
    assert_eq!(
        failed,
        ["", "2", "3"].map(|which| format!("FAILED 1: holdfast scan sample{which}")),
        "{said}"
    );
    let names = ["Example.First-1", "Example.Second-1", "Example.Third-1"];
    for part in names.into_iter().chain(["release 2 of main", "main: right"]) {
        assert!(said.contains(part), "{part}: {said}");
    }
}
