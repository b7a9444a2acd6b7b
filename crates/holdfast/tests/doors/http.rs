//! HTTP by raw requests, by openssl's client, and held against `docs/openapi.json`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use hf_daemon::Config;
use hf_daemon::http::{Http, routes};
use serde_json::{Value, json};

use crate::support::{House, MARKED, NAME, missing, run, wait_for};

const CONFIG: &str = "[http]\nlisten = [\"127.0.0.1:0\"]\nmax-body-bytes = 200000\n";
const TOKEN: &str = "0123456789abcdef-token";

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {text:?}"));
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn field(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
        line.split_once(": ").map(|(_, value)| value)
    }
}

fn request(start: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let host = if fields.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let head = format!("{start} HTTP/1.1\r\n{host}Connection: close\r\n{fields}\r\n");
    [head.as_bytes(), body].concat()
}

fn get(house: &House, path: &str, fields: &str) -> Answer {
    Answer::parse(&house.exchange("http", &request(&format!("GET {path}"), fields, b"")))
}

fn post(house: &House, path: &str, fields: &str, body: &[u8]) -> Answer {
    let fields = format!("{fields}Content-Length: {}\r\n", body.len());
    Answer::parse(&house.exchange("http", &request(&format!("POST {path}"), &fields, body)))
}

/// Holds a value against a schema of the document.
struct Check {
    document: Value,
    seen: BTreeSet<String>,
}

impl Check {
    fn new() -> Self {
        let document = serde_json::from_str(routes::OPENAPI).unwrap();
        Self { document, seen: BTreeSet::new() }
    }

    fn value(&mut self, rule: &Value, value: &Value) -> Result<(), String> {
        if let Some(name) = rule["$ref"].as_str() {
            let name = name.strip_prefix("#/components/schemas/").unwrap().to_owned();
            let rule = self.document["components"]["schemas"][&name].clone();
            assert!(rule.is_object(), "{name} is defined");
            self.seen.insert(name.clone());
            return self.value(&rule, value).map_err(|why| format!("{name}: {why}"));
        }
        if let Some(rules) = rule["oneOf"].as_array() {
            let fitting = rules.iter().filter(|rule| self.value(rule, value).is_ok()).count();
            return if fitting == 1 { Ok(()) } else { Err(format!("{fitting} fit {value}")) };
        }
        if rule.get("const").is_some_and(|wanted| wanted != value)
            || rule["enum"].as_array().is_some_and(|allowed| !allowed.contains(value))
        {
            return Err(format!("another value: {value}"));
        }
        let kinds: Vec<&str> = match &rule["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect(),
        };
        let is = |kind: &&str| match *kind {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("unknown type {other}"),
        };
        if !kinds.is_empty() && !kinds.iter().any(is) {
            return Err(format!("another type than {kinds:?}: {value}"));
        }
        for item in value.as_array().into_iter().flatten() {
            self.value(&rule["items"], item)?;
        }
        for key in rule["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            value.get(key).ok_or_else(|| format!("{key} is missing"))?;
        }
        let described = rule.get("properties").is_some();
        for (key, value) in value.as_object().filter(|_| described).into_iter().flatten() {
            let rule = rule["properties"].get(key).cloned();
            let rule = rule.ok_or_else(|| format!("{key} is not described"))?;
            self.value(&rule, value).map_err(|why| format!("{key}: {why}"))?;
        }
        Ok(())
    }

    /// Holds an answer against what the document says of a path, method and status.
    #[track_caller]
    fn answer(&mut self, method: &str, path: &str, answer: &Answer) {
        let told = &self.document["paths"][path][method]["responses"][answer.status.to_string()];
        assert!(
            told.is_object(),
            "{method} {path} {} is described: {}",
            answer.status,
            answer.body
        );
        let kind = answer.field("content-type").unwrap().split(';').next().unwrap().to_owned();
        let content = told["content"][&kind].clone();
        assert!(content.is_object(), "{method} {path} {} is {kind}", answer.status);
        if kind.ends_with("json") {
            let fits = self.value(&content["schema"], &answer.json());
            fits.unwrap_or_else(|why| panic!("{method} {path} {}: {why}", answer.status));
        }
    }
}

fn form(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, data) in files {
        let head = format!(
            "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend([head.as_bytes(), data, b"\r\n"].concat());
    }
    body.extend(b"--b--\r\n");
    body
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

#[test]
fn verdicts() {
    let house = House::start(CONFIG, |_| ());
    let answer = post(&house, "/v1/scan?name=a%2fb+c", "", b"clean");
    let value = answer.json();
    assert_eq!(
        (answer.status, &value["verdict"], &value["path"]),
        (200, &json!("clean"), &json!("a/b c"))
    );
    assert_eq!((&value["type"], &value["size"]), (&json!("file"), &json!(5)));
    // curl's usual type.
    let fields = "Content-Type: application/x-www-form-urlencoded\r\n";
    let value = post(&house, "/v1/scan", fields, MARKED).json();
    assert_eq!((&value["verdict"], &value["path"]), (&json!("detected"), &json!("body")));
    assert_eq!(value["findings"][0]["name"], json!(NAME));
    // In chunks.
    let mut body = format!("{:x}\r\n", MARKED.len()).into_bytes();
    body.extend([MARKED, b"\r\n0\r\n\r\n"].concat());
    let chunked = request("POST /v1/scan", "Transfer-Encoding: chunked\r\n", &body);
    assert_eq!(
        Answer::parse(&house.exchange("http", &chunked)).json()["verdict"],
        json!("detected")
    );
    assert_eq!(post(&house, "/v1/scan", "", b"").json()["size"], json!(0));
}

#[test]
fn a_form_has_many_files() {
    let house = House::start(CONFIG, |_| ());
    let names: Vec<String> = (0..40).map(|number| format!("n{number}")).collect();
    let mut files: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), b"clean".as_slice())).collect();
    files[7].1 = MARKED;
    let answer = post(&house, "/v1/scan", FORM, &form(&files));
    let value = answer.json();
    let told = value["files"].as_array().unwrap();
    let paths: Vec<&str> = told.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, names);
    let found: Vec<usize> =
        (0..40).filter(|idx| told[*idx]["verdict"] == json!("detected")).collect();
    assert_eq!(found, [7]);
}

#[test]
fn answers_are_as_described() {
    let config = format!("{CONFIG}[quarantine]\nvault = \"@/vault\"\n");
    let house = House::start(&config, |folder| fs::write(folder.join("a<b>"), "taken").unwrap());
    let mut quarantine = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    quarantine.args(["quarantine", "add", "--vault", "vault", "--reason", "By.Hand", "a<b>"]);
    run(quarantine.current_dir(house.folder.path()));
    let mut check = Check::new();
    check.answer("post", "/v1/scan", &post(&house, "/v1/scan?all-match", "", MARKED));
    check.answer("post", "/v1/scan", &post(&house, "/v1/scan", FORM, &form(&[("a", MARKED)])));
    // With defects and parts that are not scanned.
    let broken = [b"070701".repeat(30).as_slice(), b"garbage"].concat();
    check.answer("post", "/v1/scan", &post(&house, "/v1/scan", "", &broken));
    wait_for("ready workers", || {
        let answer = get(&house, "/v1/health", "");
        check.answer("get", "/v1/health", &answer);
        (answer.status == 200).then_some(())
    });
    for route in routes::ROUTES.iter().filter(|route| route.method == "GET") {
        let answer = get(&house, route.path, "");
        assert_eq!(answer.status, 200, "{}", route.path);
        check.answer("get", route.path, &answer);
        let mut head = request(&format!("HEAD {}", route.path), "", b"");
        head.extend(b"");
        let head = Answer::parse(&house.exchange("http", &head));
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{}", route.path);
        for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        {
            assert_eq!(answer.field(name), Some(value), "{}", route.path);
        }
        let policy = answer.field("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    }
    let entries = get(&house, "/v1/quarantine", "").json();
    assert_eq!(entries["entries"][0]["name"], json!("By.Hand"));
    assert!(get(&house, "/", "").body.contains("a&lt;b&gt;</td>"), "the page shows it as text");
    for (fields, body, status) in [
        ("Content-Encoding: gzip\r\n", b"x".as_slice(), 415),
        ("Content-Type: multipart/mixed; boundary=b\r\n", b"x", 415),
        ("Content-Type: multipart/form-data\r\n", b"x", 400),
        (FORM, b"--b", 400),
        (FORM, b"--b--", 400),
        ("", &[b'x'; 200_001], 413),
    ] {
        let answer = post(&house, "/v1/scan", fields, body);
        assert_eq!(answer.status, status, "{fields}{}", answer.body);
        check.answer("post", "/v1/scan", &answer);
    }
    let bare = request("POST /v1/scan", "", b"");
    let answer = Answer::parse(&house.exchange("http", &bare));
    assert_eq!(answer.status, 411);
    check.answer("post", "/v1/scan", &answer);
    let answer = post(&house, "/v1/scan?nonsense=1", "", b"x");
    assert_eq!(answer.status, 400);
    let answer = get(&house, "/v1/scan", "");
    assert_eq!((answer.status, answer.field("allow")), (405, Some("post")));
    check.answer("post", "/v1/scan", &answer);
    assert_eq!(post(&house, "/v1/stats", "", b"").field("allow"), Some("get, head"));
    assert_eq!(get(&house, "/nothing", "").status, 404);
    for name in [
        "file", "files", "finding", "part", "health", "content", "stats", "second", "found",
        "held", "problem",
    ] {
        assert!(check.seen.contains(name), "{name} was seen");
    }
}

#[test]
fn the_document_has_the_schema_of_the_program() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    let page = fs::read_to_string(page).unwrap();
    let block = page.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let block = block.replace("#/$defs/", "#/components/schemas/");
    let schema: Value = serde_json::from_str(&block).unwrap();
    let document: Value = serde_json::from_str(routes::OPENAPI).unwrap();
    for name in ["file", "error", "finding", "match", "part", "defect", "object"] {
        assert_eq!(document["components"]["schemas"][name], schema["$defs"][name], "{name}");
    }
}

#[test]
fn metrics_are_prometheus_text() {
    let house = House::start(CONFIG, |_| ());
    for body in [b"clean".as_slice(), MARKED, MARKED] {
        post(&house, "/v1/scan", "", body);
    }
    let answer = get(&house, "/metrics", "");
    assert!(answer.field("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let mut kinds = BTreeSet::new();
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(kinds.insert(rest.split(' ').next().unwrap().to_owned()), "{line}: once");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            let name = name.split('{').next().unwrap();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(
                kinds.contains(name) || family.is_some_and(|name| kinds.contains(name)),
                "{line}"
            );
        }
    }
    for line in [
        "holdfast_scans_total{verdict=\"detected\"} 2",
        "holdfast_scans_total{verdict=\"clean\"} 1",
        "holdfast_door_scans_total{door=\"http\"} 3",
        "holdfast_scan_duration_seconds_bucket{le=\"+Inf\"} 3",
        "holdfast_scan_duration_seconds_count 3",
    ] {
        assert!(answer.body.lines().any(|other| other == line), "{line} in\n{}", answer.body);
    }
}

#[test]
fn the_page_shows_hostile_names_as_text() {
    let house = House::start(CONFIG, |_| ());
    let name = "%3Cscript%3Ealert(1)%3C/script%3E%22%27";
    post(&house, &format!("/v1/scan?name={name}"), "", MARKED);
    let page = get(&house, "/", "").body;
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;"), "{page}");
    assert_eq!(page.matches("<script").count(), 1, "its own");
    assert!(page.contains(NAME) && page.contains("<polyline points=\"0,"));
    for outside in ["http://", "https://", "//cdn", "style=", "onload="] {
        assert!(!page.contains(outside), "{outside}");
    }
}

fn write_token(folder: &Path, mode: u32) {
    fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(folder.join("token"), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn tokens() {
    let config = format!("{CONFIG}token-file = \"@/token\"\n");
    let house = House::start(&config, |folder| write_token(folder, 0o600));
    let good = format!("Authorization: Bearer {TOKEN}\r\n");
    for fields in ["", "Authorization: Bearer wrong-token-wrong\r\n", "Authorization: Basic x\r\n"]
    {
        for path in ["/", "/v1/stats", "/metrics", "/page.js", "/nothing"] {
            let answer = get(&house, path, fields);
            assert_eq!(answer.status, 401, "{path} {fields}");
            assert!(answer.field("www-authenticate").unwrap().starts_with("bearer"));
        }
        assert_eq!(post(&house, "/v1/scan", fields, MARKED).status, 401);
    }
    assert_eq!(house.service.metrics().scans, 0, "nothing was scanned for strangers");
    for path in ["/v1/health", "/v1/health/live", "/openapi.json"] {
        assert_ne!(get(&house, path, "").status, 401, "{path}");
    }
    assert_eq!(get(&house, "/", &good).status, 200);
    assert_eq!(get(&house, "/nothing", &good).status, 404);
    assert_eq!(post(&house, "/v1/scan", &good, MARKED).json()["verdict"], json!("detected"));
    // A browser's way: any user, and the token as password.
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("me:{TOKEN}"));
    assert_eq!(get(&house, "/", &format!("Authorization: Basic {basic}\r\n")).status, 200);
}

#[track_caller]
fn refuses(config: &str, fill: impl FnOnce(&Path), want: &str) {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let config = config.replace('@', folder.path().to_str().unwrap());
    let config = Config::parse(Path::new("holdfast.toml"), &config).unwrap();
    let error = Http::open(&config.http, None, None).expect_err("refused").to_string();
    assert!(error.contains(want), "{error}");
}

#[test]
fn careless_configurations_are_refused() {
    let public = "[http]\nlisten = [\"0.0.0.0:0\"]\n";
    refuses(public, |_| (), "nobody has to authenticate");
    let token = format!("{public}token-file = \"@/token\"\n");
    refuses(&token, |folder| write_token(folder, 0o644), "others can read it");
    refuses(&token, |_| (), "No such file");
    refuses(&format!("{CONFIG}client-authorities = \"@/ca\"\n"), |_| (), "needs tls-certificate");
    refuses(&format!("{CONFIG}tls-certificate = \"@/c\"\n"), |_| (), "go together");
    let tls = format!("{CONFIG}tls-certificate = \"@/c\"\ntls-key = \"@/k\"\n");
    refuses(&tls, |folder| fs::write(folder.join("c"), "nothing").unwrap(), "no certificate");
    let allowed = Config::parse(Path::new("f"), &format!("{public}allow-anonymous = true\n"));
    assert!(Http::open(&allowed.unwrap().http, None, None).unwrap().is_some());
}

#[test]
fn strange_names_of_this_machine_are_refused() {
    let house = House::start(&format!("{CONFIG}hosts = [\"av.example\"]\n"), |_| ());
    for (host, want) in [
        ("localhost:80", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("av.example:1", 200),
        ("evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("127.0.0.1.evil.example", 421),
    ] {
        assert_eq!(get(&house, "/v1/stats", &format!("Host: {host}\r\n")).status, want, "{host}");
    }
}

#[test]
fn a_socket_file() {
    let house =
        House::start("[http]\nlisten = [\"unix:@/http.sock\"]\nsocket-mode = \"600\"\n", |_| ());
    let path = house.folder.path().join("http.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(&request("GET /v1/stats", "Host: any.name\r\n", b"")).unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).status, 200);
}

/// Makes an authority, a server's certificate, and a client's.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(folder));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for authority in ["ca", "other"] {
        openssl(&format!(
            "req -x509 {key} -keyout {authority}.key -out {authority}.pem -days 2 -subj /CN={authority}"
        ));
    }
    for (name, authority) in [("server", "ca"), ("client", "ca"), ("stranger", "other")] {
        fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
        openssl(&format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial \
             -days 2 -extfile names -out {name}.pem"
        ));
    }
}

/// Asks through openssl's client; none when there is no answer.
fn ask_tls(house: &House, at: SocketAddr, fields: &str, certificate: Option<&str>) -> Option<u16> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_quiet", "-CAfile", "ca.pem", "-servername"]);
    command.args(["localhost", "-verify_return_error", "-connect", &at.to_string()]);
    if let Some(name) = certificate {
        command.args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")]);
    }
    command.current_dir(house.folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(&request("GET /v1/stats", fields, b""));
    let output = child.wait_with_output().unwrap();
    (!output.stdout.is_empty()).then(|| Answer::parse(&output.stdout).status)
}

#[test]
fn client_certificates() {
    if missing(&["openssl"]) {
        return;
    }
    let tls = "tls-certificate = \"@/server.pem\"\ntls-key = \"@/server.key\"\n\
        client-authorities = \"@/ca.pem\"\n";
    let house = House::start(&format!("{CONFIG}{tls}"), certificates);
    let at = house.at("http");
    assert_eq!(ask_tls(&house, at, "", Some("client")), Some(200));
    assert_eq!(ask_tls(&house, at, "", Some("stranger")), None);
    assert_eq!(ask_tls(&house, at, "", None), None);
    // With tokens as well, either will do.
    let both = format!("{CONFIG}{tls}token-file = \"@/token\"\n");
    let house = House::start(&both, |folder| {
        certificates(folder);
        write_token(folder, 0o600);
    });
    let at = house.at("http");
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask_tls(&house, at, "", Some("client")), Some(200));
    assert_eq!(ask_tls(&house, at, &token, None), Some(200));
    assert_eq!(ask_tls(&house, at, "", None), Some(401));
    assert_eq!(ask_tls(&house, at, &token, Some("stranger")), None);
}

#[test]
fn too_many_requests_are_told_to_come_again() {
    let house = House::start(&format!("{CONFIG}max-requests = 1\n"), |_| ());
    let mut slow = house.connect("http");
    let start = "POST /v1/scan HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    slow.write_all(start.as_bytes()).unwrap();
    // Its turn has begun when it is asked for its body.
    crate::support::read_until(&mut slow, b"100 Continue\r\n\r\n");
    slow.write_all(b"cl").unwrap();
    let busy = post(&house, "/v1/scan", "", b"clean");
    assert_eq!((busy.status, busy.field("retry-after")), (503, Some("1")));
    Check::new().answer("post", "/v1/scan", &busy);
    slow.write_all(b"ean").unwrap();
    assert_eq!(Answer::parse(&crate::support::read_all(&mut slow)).status, 200);
    assert_eq!(post(&house, "/v1/scan", "", b"clean").status, 200);
}
