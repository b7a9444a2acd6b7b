//! Sources against real servers: HTTPS with an authority of one's own, feeds, git, and servers that lie, dally, refuse
//! and never end. The server is Python's, its certificates are openssl's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Serves the folder `www` by HTTPS, and some paths that are no files; every path that is asked goes to `asked`.
const SERVER: &str = r#"
import http.server, os, ssl, time
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        with open("../asked", "a") as file:
            file.write(self.path + "\n")
        try:
            self.answer(self.path)
        except OSError:
            pass
    def say(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
    def answer(self, path):
        if path == "/endless.csv":
            self.say(200)
            while True:
                self.wfile.write(b"x" * 65536)
        elif path == "/long.csv":
            self.say(200, Content_Length="99999999999")
        elif path == "/short.csv":
            self.say(200, Content_Length="1000")
            self.wfile.write(b"sha256\n")
        elif path == "/slow.csv":
            self.say(200, Content_Length="1000")
            while True:
                self.wfile.write(b"x")
                time.sleep(0.3)
        elif path == "/mute.csv":
            time.sleep(60)
        elif path == "/plain.csv":
            self.say(302, Location="http://127.0.0.1:1/x.csv")
        elif path == "/scheme.csv":
            self.say(302, Location="file:///etc/passwd")
        elif path == "/around.csv":
            self.say(302, Location="/around.csv")
        elif path in ("/forbidden.csv", "/feed-forbidden/11111111-0000-0000-0000-000000000000.json"):
            self.say(403)
        elif path == "/busy.csv":
            self.say(429, Retry_After="120")
        elif path == "/broken.csv":
            self.say(503)
        else:
            super().do_GET()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
os.chdir("www")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

struct Place {
    dir: tempfile::TempDir,
    port: String,
    server: Child,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Place {
    /// Starts the server; none when what it needs is not here.
    fn new() -> Option<Self> {
        for program in ["openssl", "python3", "git"] {
            let mut found = Command::new(program);
            if found.arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
                assert!(std::env::var_os("CI").is_none(), "{program} is missing");
                eprintln!("skipped: {program} is missing");
                return None;
            }
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("www")).unwrap();
        let run = |line: &str| {
            let done =
                Command::new("openssl").args(line.split(' ')).current_dir(dir.path()).output();
            let done = done.unwrap();
            assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for name in ["ca", "other"] {
            run(&format!(
                "req -x509 {key} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem -addext \
                 basicConstraints=critical,CA:TRUE"
            ));
        }
        run(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
        fs::write(dir.path().join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        run(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext \
             -out server.pem",
        );
        let mut server = Command::new("python3")
            .args(["-c", SERVER])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { dir, port: line.trim().to_owned(), server })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.port)
    }

    /// Updates from one source, in a state of its own; returns the exit code and what is said.
    fn update(&self, state: &str, authority: &str, source: &str) -> (i32, String) {
        let config = format!(
            "[update]\nclean_files = 0\nreceive_timeout = 2\nconnect_timeout = 2\nauthorities = {:?}\n\
             [[source]]\nname = \"it\"\n{source}\n",
            self.path(authority)
        );
        self.write(&format!("{state}.toml"), config);
        self.run(
            state,
            &["update", "--config", self.path(&format!("{state}.toml")).to_str().unwrap()],
        )
    }

    fn run(&self, state: &str, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(arguments)
            .env("HOLDFAST_STATE", self.path(state))
            .env("HOLDFAST_CACHE", self.path("cache"))
            .env("HOME", self.dir.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    fn finds(&self, state: &str, text: &str) -> bool {
        self.write("scanned", text);
        self.run(state, &["scan", self.path("scanned").to_str().unwrap()]).0 == 1
    }

    fn asked(&self, path: &str) -> usize {
        let asked = fs::read_to_string(self.path("asked")).unwrap_or_default();
        asked.lines().filter(|line| *line == path).count()
    }
}

fn digest(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn by_https_with_an_own_authority() {
    let Some(place) = Place::new() else { return };
    place.write("www/list.csv", format!("sha256,name\n{},Listed\n", digest("listed text")));
    let source = format!("kind = \"csv\"\nurl = \"{}\"", place.url("list.csv"));
    let (code, said) = place.update("list", "ca.pem", &source);
    assert_eq!(code, 0, "{said}");
    assert!(place.finds("list", "listed text") && !place.finds("list", "other text"));
    let (code, said) = place.update("list", "ca.pem", &source);
    assert_eq!((code, said.contains("up to date")), (0, true), "{said}");
    // Another authority, and none of ours.
    for authority in ["other.pem", "server.key"] {
        let (code, said) = place.update("untrusted", authority, &source);
        assert_eq!(code, 3, "{authority}: {said}");
    }
    let (_, said) = place.update("untrusted", "other.pem", &source);
    assert!(said.contains("certificate"), "{said}");
    // The certificate names the machine, not any machine.
    let elsewhere = source.replace("localhost", "127.0.0.2");
    assert_eq!(place.update("untrusted", "ca.pem", &elsewhere).0, 3);

    let rules = "rule Served { strings: $a = \"servedmarker\" condition: $a }";
    place.write("www/rules.yar", rules);
    let source = format!("kind = \"yara\"\nurl = \"{}\"", place.url("rules.yar"));
    let (code, said) = place.update("rules", "ca.pem", &source);
    assert_eq!(code, 0, "{said}");
    assert!(place.finds("rules", "a servedmarker"));
}

#[test]
fn a_feed() {
    let Some(place) = Place::new() else { return };
    let events = ["11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"];
    let event = |text: &str| {
        format!(
            "{{\"Event\": {{\"info\": \"Op\", \"Attribute\": [{{\"type\": \"sha256\", \"value\": \"{}\", \
             \"to_ids\": true}}]}}}}",
            digest(text)
        )
    };
    for feed in ["feed", "feed-forbidden", "feed-huge"] {
        let list = format!("{{\"{}\": {{}}, \"{}\": {{}}}}", events[0], events[1]);
        place.write(&format!("www/{feed}/manifest.json"), list);
        for (name, text) in events.iter().zip(["first text", "second text"]) {
            place.write(&format!("www/{feed}/{name}.json"), event(text));
        }
    }
    let source = |feed: &str| {
        format!("kind = \"misp\"\nurl = \"{}\"", place.url(&format!("{feed}/manifest.json")))
    };
    let (code, said) = place.update("feed", "ca.pem", &source("feed"));
    assert_eq!(code, 0, "{said}");
    assert!(place.finds("feed", "first text") && place.finds("feed", "second text"));
    // One of its events is refused: the server is left alone.
    for _ in 0..2 {
        let (_, said) = place.update("refused", "ca.pem", &source("feed-forbidden"));
        assert!(said.contains("left alone"), "{said}");
    }
    assert_eq!(place.asked("/feed-forbidden/manifest.json"), 1);
    // All of it together is bounded.
    let bounded = format!("{}\nmax_bytes = 300", source("feed-huge"));
    let (code, said) = place.update("huge", "ca.pem", &bounded);
    assert_eq!((code, said.contains("longer than")), (3, true), "{said}");
}

#[test]
fn servers_that_are_no_help() {
    let Some(place) = Place::new() else { return };
    for (path, want) in [
        ("endless", "longer than 100000 bytes"),
        ("long", "longer than 100000 bytes"),
        ("short", "ended early"),
        ("slow", "slow"),
        ("mute", "slow"),
        ("plain", "HTTPS"),
        ("scheme", "neither with http:// nor with https://"),
        ("around", "redirect"),
        ("broken", "503"),
        ("absent", "404"),
    ] {
        let url = place.url(&format!("{path}.csv"));
        let source = format!("kind = \"csv\"\nurl = \"{url}\"\nmax_bytes = 100000");
        let (code, said) = place.update(path, "ca.pem", &source);
        assert_eq!(code, 3, "{path}: {said}");
        assert!(said.to_lowercase().contains(&want.to_lowercase()), "{path}: {said}");
    }
    // Those who refuse are left alone, as long as they say.
    for path in ["forbidden", "busy"] {
        let source = format!("kind = \"csv\"\nurl = \"{}\"", place.url(&format!("{path}.csv")));
        for _ in 0..2 {
            let (_, said) = place.update(path, "ca.pem", &source);
            assert!(said.contains("left alone"), "{path}: {said}");
        }
        assert_eq!(place.asked(&format!("/{path}.csv")), 1, "{path}");
    }
}

#[test]
fn by_git() {
    let Some(place) = Place::new() else { return };
    let git = |line: &str| {
        let done = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@a.example"])
            .args(line.split(' '))
            .current_dir(place.path("repository"))
            .env("HOME", place.dir.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    };
    place.write(
        "repository/rules/one.yar",
        "rule One { strings: $a = \"onemarker\" condition: $a }",
    );
    // Links lead nowhere.
    std::os::unix::fs::symlink("/etc/passwd", place.path("repository/rules/link.yar")).unwrap();
    git("init -q -b main");
    git("add .");
    git("commit -q -m one");
    let url = format!("file://{}", place.path("repository").display());
    let source = format!("kind = \"yara\"\ngit = \"{url}\"\nbranch = \"main\"");
    let (code, said) = place.update("git", "ca.pem", &source);
    assert_eq!(code, 0, "{said}");
    assert!(place.finds("git", "a onemarker"));
    place.write(
        "repository/rules/two.yar",
        "rule Two { strings: $a = \"twomarker\" condition: $a }",
    );
    git("add .");
    git("commit -q -m two");
    let (code, said) = place.update("git", "ca.pem", &source);
    assert_eq!(code, 0, "{said}");
    assert!(place.finds("git", "a twomarker") && place.finds("git", "a onemarker"));
    // What runs programs is no address; what is not there is told; what is large is not fetched.
    let ran = place.path("ran");
    let (by_ext, by_option) = (
        format!("ext::sh -c touch% {}", ran.display()),
        format!("--upload-pack=touch {}", ran.display()),
    );
    for (url, more, want) in [
        (by_ext.as_str(), "", "not an address"),
        (by_option.as_str(), "", "not an address"),
        ("file:///no/such/repository", "", "git:"),
        (url.as_str(), "\nmax_bytes = 200", "too large"),
    ] {
        let source = format!("kind = \"yara\"\ngit = \"{url}\"{more}");
        let (code, said) = place.update("bad", "ca.pem", &source);
        assert_eq!((code, said.contains(want)), (3, true), "{url}: {said}");
    }
    assert!(!ran.exists());
}
