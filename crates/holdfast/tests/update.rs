//! `holdfast update`, `supplier`, `inventory` and `freshclam`, run as users run them, each with a state folder of its own.

#![expect(clippy::unwrap_used, reason = "a helper that cannot set a test up is to fail it")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("db")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes a configuration with one folder as the source, and more.
    fn configure(&self, update: &str, source: &str) {
        let clean = self.write("clean.txt", "an ordinary letter with the word innocuous");
        self.write(
            "update.toml",
            &format!(
                "[update]\nclean_files = 10\nknown_clean = [{clean:?}]\nsuppliers = {:?}\n{update}\n\
                 [[source]]\nname = \"own\"\nkind = \"folder\"\npath = {:?}\n{source}\n",
                self.path("suppliers.toml"),
                self.path("db")
            ),
        );
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(arguments)
            .env("HOLDFAST_STATE", self.path("state"))
            .env("HOLDFAST_CACHE", self.path("cache"))
            .output()
            .unwrap()
    }

    fn update(&self) -> Output {
        self.run(&["update", "--config", self.path("update.toml").to_str().unwrap()])
    }

    fn active(&self) -> String {
        let output = self.run(&["update", "status", "--json"]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        value["active"].as_str().unwrap_or_default().to_owned()
    }

    /// True when a scan with the content in use finds something in this text.
    fn finds(&self, text: &str) -> bool {
        let path = self.write("scanned.txt", text);
        self.run(&["scan", path.to_str().unwrap()]).status.code() == Some(1)
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
fn ends(output: &Output, code: i32, part: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    assert!(text(output).contains(part), "{part}: {}", text(output));
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn content_comes_into_use_and_goes_back() {
    let place = Place::new();
    place.configure("", "author = \"me\"\nlicence = \"CC0-1.0\"");
    place.write("db/one.ndb", &format!("One:0:*:{}\n", hex("firstmarker")));
    ends(&place.update(), 0, "in use");
    assert!(place.finds("xx firstmarker xx") && !place.finds("secondmarker"));
    ends(&place.update(), 0, "own: up to date");
    let first = place.active();
    place.write("db/two.ndb", &format!("Two:0:*:{}\n", hex("secondmarker")));
    let check =
        place.run(&["update", "--check", "--config", place.path("update.toml").to_str().unwrap()]);
    ends(&check, 1, "own: news: 2 databases");
    assert_eq!(place.active(), first);
    ends(&place.run(&["update", "hold", "holidays"]), 0, "held");
    ends(&place.update(), 0, "held: holidays");
    assert_eq!(place.active(), first);
    ends(&place.run(&["update", "unhold"]), 0, "");
    ends(&place.update(), 0, "in use");
    assert!(place.finds("xx secondmarker xx"));
    let list = place.run(&["content", "list"]);
    ends(&list, 0, "licence     CC0-1.0");
    ends(&list, 0, "author      me");
    // The sources are gone, and so would a network be.
    fs::remove_dir_all(place.path("db")).unwrap();
    ends(&place.run(&["update", "rollback", "it is slow"]), 0, "rolled back");
    assert_eq!(place.active(), first);
    assert!(!place.finds("xx secondmarker xx"));
    ends(&place.update(), 3, "own: failed");
    assert_eq!(place.active(), first);
    ends(
        &place.run(&["update", "watch", "--config", place.path("update.toml").to_str().unwrap()]),
        0,
        "is fit",
    );
}

#[test]
fn sets_that_are_not_fit_are_refused() {
    let place = Place::new();
    place.configure("", "");
    place.write("db/good.ndb", &format!("Good:0:*:{}\n", hex("firstmarker")));
    ends(&place.update(), 0, "in use");
    let good = place.active();
    let bad = [
        // It condemns what the owner knows to be clean.
        ("db/bad.ndb", format!("Bad:0:*:{}\n", hex("innocuous")), "condemns"),
        // It hides what everybody finds.
        (
            "db/bad.fp",
            "44d88612fea8a8f36de82e1278abb02f:68:hidden\n".to_owned(),
            "does not find what is known",
        ),
        // It is no database at all.
        ("db/bad.cvd", "ClamAV-VDB: nonsense".to_owned(), "cannot be opened"),
    ];
    for (name, data, why) in bad {
        let path = place.write(name, &data);
        ends(&place.update(), 3, why);
        assert_eq!(place.active(), good, "{why}");
        assert!(place.finds("xx firstmarker xx"));
        // It is not tried again while it is the same.
        ends(&place.update(), 3, "decided before");
        fs::remove_file(path).unwrap();
    }
    ends(&place.update(), 0, "up to date");
}

#[test]
fn what_is_found_to_be_unfit_later_goes() {
    let place = Place::new();
    place.configure("", "");
    place.write("db/good.ndb", &format!("Good:0:*:{}\n", hex("firstmarker")));
    ends(&place.update(), 0, "in use");
    let good = place.active();
    place.write("db/more.ndb", &format!("More:0:*:{}\n", hex("ordinary letter written later")));
    ends(&place.update(), 0, "in use");
    assert_ne!(place.active(), good);
    place.write("clean.txt", "an ordinary letter written later");
    let watch =
        place.run(&["update", "watch", "--config", place.path("update.toml").to_str().unwrap()]);
    ends(&watch, 3, "rolled back");
    assert_eq!(place.active(), good);
}

#[test]
fn licences_and_suppliers() {
    let place = Place::new();
    place.write("db/one.ndb", &format!("One:0:*:{}\n", hex("firstmarker")));
    place.configure("use = \"commercial\"", "licence = \"X-1\"\nallows = [\"private\"]");
    ends(&place.update(), 0, "X-1 allows private use only, and this machine's use is commercial");
    assert_eq!(place.active(), "");
    place.configure("", "supplier = \"kaspersky\"");
    // A fact cuts nothing off; the owner does.
    ends(&place.update(), 0, "in use");
    place.write("suppliers.toml", "enforce = [\"kaspersky\"]\n");
    place.write("db/two.ndb", &format!("Two:0:*:{}\n", hex("secondmarker")));
    ends(
        &place.update(),
        0,
        "not allowed: the owner enforces: no updates from Kaspersky Lab since 2024-09-29",
    );
    assert!(place.finds("xx firstmarker xx") && !place.finds("secondmarker"));
    let status = |at: &str| {
        let config = place.path("update.toml");
        let output = place.run(&[
            "supplier",
            "status",
            "--json",
            "--at",
            at,
            "--config",
            config.to_str().unwrap(),
        ]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = value["suppliers"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["id"] == "kaspersky").unwrap()
    };
    let before = status("2024-06-25");
    assert_eq!(before["sources"][0], "own");
    assert_eq!(before["share"]["only_here"], 1);
    assert_eq!(before["coming"].as_array().unwrap().len(), 3);
    assert_eq!(before["refused"], Value::Null);
    assert!(status("2024-09-29")["refused"].is_string());
    place.write("suppliers.toml", "enforce = \"all\"\n");
    ends(&place.update(), 2, "suppliers.toml");
}

#[test]
fn configurations_that_make_no_sense() {
    let place = Place::new();
    let path = place.write("update.toml", "[update]\nkeep = \"many\"\n");
    ends(&place.update(), 2, "line 2");
    ends(
        &place.run(&["update", "--config", "/nonexistent/update.toml"]),
        2,
        "/nonexistent/update.toml",
    );
    fs::write(&path, "[[source]]\nname = \"c\"\nkind = \"channel\"\nmirrors = [\"/nowhere\"]\n")
        .unwrap();
    ends(&place.update(), 3, "root: is missing");
    ends(&place.run(&["update", "rollback"]), 2, "no earlier set");
    ends(&place.run(&["update", "pin", "abcdef"]), 2, "no set with this digest");
    ends(&place.run(&["supplier", "status", "--at", "tomorrow"]), 2, "is no day");
}

#[test]
fn inventories() {
    let place = Place::new();
    let config = place.write("update.toml", "");
    place.write(
        "root/var/lib/dpkg/status",
        "Package: kesl\nStatus: install ok installed\nVersion: 12\n",
    );
    place.write("root/usr/lib/x/libkavsdk.so.1", "x");
    let root = place.path("root");
    let look = |root: &Path| {
        place.run(&[
            "inventory",
            "--json",
            "--root",
            root.to_str().unwrap(),
            "--config",
            config.to_str().unwrap(),
        ])
    };
    let output = look(&root);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kinds: Vec<&str> = value["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["file", "package"]);
    assert_eq!(look(&place.path("db")).status.code(), Some(0));
    assert_eq!(look(&place.path("nowhere")).status.code(), Some(2));
}

/// Serves one file for ever, with its time.
fn serve(body: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = "HTTP/1.1 200 OK\r\nLast-Modified: Wed, 22 Feb 2023 21:33:21 GMT\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    port
}

fn freshclam(place: &Place, program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .arg0("freshclam")
        .args(arguments)
        .env("HOLDFAST_CACHE", place.path("cache"))
        .output()
        .unwrap()
}

fn conf(place: &Place, folder: &str, more: &str) -> String {
    fs::create_dir_all(place.path(folder)).unwrap();
    // With an address of the owner's there is nothing else to fetch.
    let more = match more.contains("DatabaseCustomURL") {
        true => format!("ExcludeDatabase bytecode\n{more}"),
        false => more.to_owned(),
    };
    let text = format!(
        "DatabaseDirectory {}\nDatabaseMirror http://127.0.0.1:1\nDatabaseOwner root\nMaxAttempts 1\n\
         ExcludeDatabase main\nExcludeDatabase daily\n{more}\n",
        place.path(folder).display()
    );
    place.write(&format!("{folder}.conf"), &text).to_str().unwrap().to_owned()
}

const OURS: &str = env!("CARGO_BIN_EXE_holdfast");

#[test]
fn freshclam_fetches_what_the_owner_names() {
    let place = Place::new();
    let port = serve("Test:0:*:deadbeefdeadbeef\n");
    let url = format!("DatabaseCustomURL http://127.0.0.1:{port}/x.ndb\nOnUpdateExecute EXIT_5");
    let path = conf(&place, "clam", &url);
    let config = format!("--config-file={path}");
    let run = || freshclam(&place, OURS, &[&config, "--no-dns"]);
    ends(&run(), 5, "x.ndb updated (version: custom database, sigs: 1)");
    ends(&run(), 0, "x.ndb is up-to-date (version: custom database)");
    assert_eq!(
        fs::read_to_string(place.path("clam/x.ndb")).unwrap(),
        "Test:0:*:deadbeefdeadbeef\n"
    );
    let bad = place.write("bad.hdb", "bad\n");
    let path = conf(&place, "clam", &format!("DatabaseCustomURL file://{}", bad.display()));
    let config = format!("--config-file={path}");
    ends(&freshclam(&place, OURS, &[&config, "--no-dns"]), 8, "Database test FAILED.");
    assert!(!place.path("clam/bad.hdb").exists());
}

/// Returns lines without what differs from run to run.
fn alike(output: &Output) -> Vec<String> {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let changing =
        ["ClamAV update process started", "Testing database:", "Stderr output from database load"];
    text.lines()
        .filter(|line| !changing.iter().any(|part| line.contains(part)))
        .filter(|line| !line.contains("Database load exited"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn freshclam_talks_like_the_one_of_clamav() {
    let theirs = "/usr/bin/freshclam";
    if !Path::new(theirs).exists() {
        assert!(std::env::var_os("CI").is_none(), "freshclam is missing");
        println!("skipped: freshclam is missing");
        return;
    }
    let place = Place::new();
    let port = serve("Test:0:*:deadbeefdeadbeef\n");
    let custom = format!("DatabaseCustomURL http://127.0.0.1:{port}/x.ndb");
    let nobody = "LogVerbose no".to_owned();
    let cases: Vec<(String, Vec<&str>)> = vec![
        (custom.clone(), vec!["--no-dns"]),
        (custom.clone(), vec!["--no-dns", "--quiet"]),
        ("ExcludeDatabase bytecode".to_owned(), vec!["--no-dns"]),
        (nobody.clone(), vec!["--no-dns"]),
        (nobody, vec!["--no-dns", "--no-warnings", "--stdout"]),
        (custom.clone(), vec!["--no-dns", "--update-db=xyz"]),
        (custom.clone(), vec!["--bogus"]),
        (custom.clone(), vec!["--checks=x"]),
        (custom.clone(), vec!["--list-mirrors"]),
        ("Bogus yes".to_owned(), vec!["--no-dns"]),
        ("Example".to_owned(), vec!["--no-dns"]),
        ("Checks many".to_owned(), vec!["--no-dns"]),
        ("SafeBrowsing yes".to_owned(), vec!["--no-dns", "--update-db=xyz"]),
    ];
    for (more, arguments) in cases {
        let outputs: Vec<Output> = [theirs, OURS]
            .iter()
            .map(|program| {
                let _ = fs::remove_dir_all(place.path("clam"));
                let path = conf(&place, "clam", &more);
                let config = format!("--config-file={path}");
                let mut all = vec![config.as_str()];
                all.extend(&arguments);
                freshclam(&place, program, &all)
            })
            .collect();
        assert_eq!(alike(&outputs[1]), alike(&outputs[0]), "{more} {arguments:?}");
        assert_eq!(outputs[1].status.code(), outputs[0].status.code(), "{more} {arguments:?}");
    }
}
