//! ICAP by raw requests, and by c-icap-client.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use crate::support::{House, MARKED, NAME, missing, read_until, run};

const CONFIG: &str = "[icap]\nlisten = [\"127.0.0.1:0\"]\nmax-object-bytes = 100000\n";

const REQ: &str = "GET http://origin/a<b> HTTP/1.1\r\nHost: origin\r\n\r\n";
const RES: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in body.chunks(1000) {
        out.extend(format!("{:x};x=y\r\n", part.len()).into_bytes());
        out.extend(part);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}

/// A request without its body.
fn respmod(fields: &str, res: &str) -> Vec<u8> {
    let (req_len, all_len) = (REQ.len(), REQ.len() + res.len());
    format!(
        "RESPMOD icap://h/avscan ICAP/1.0\r\nHost: h\r\n{fields}\
         Encapsulated: req-hdr=0, res-hdr={req_len}, res-body={all_len}\r\n\r\n{REQ}{res}"
    )
    .into_bytes()
}

fn whole(fields: &str, body: &[u8]) -> Vec<u8> {
    [respmod(fields, RES), chunked(body)].concat()
}

/// Returns the status of the answer, and all of it. Only for answers that end in an empty line.
#[track_caller]
fn ask(house: &House, request: &[u8]) -> (u16, String) {
    let request = String::from_utf8_lossy(request).into_owned();
    let request = request.replacen("Host: h\r\n", "Host: h\r\nConnection: close\r\n", 1);
    let answer = String::from_utf8_lossy(&house.exchange("icap", request.as_bytes())).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {answer:?}")), answer)
}

#[test]
fn options() {
    let house = House::start(CONFIG, |_| ());
    for uri in ["icap://h/avscan", "icap://h/srv_clamav?x=y", "icap://h/", "avscan"] {
        let request = format!("OPTIONS {uri} ICAP/1.0\r\nHost: h\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8(house.exchange("icap", request.as_bytes())).unwrap();
        assert!(answer.starts_with("ICAP/1.0 200 OK\r\n"), "{answer}");
        for field in ["Methods", "ISTag", "Preview", "Allow", "Max-Connections", "Options-TTL"] {
            assert!(answer.contains(&format!("\r\n{field}: ")), "{field}");
        }
        let tag = answer.split("ISTag: \"").nth(1).unwrap().split('"').next().unwrap();
        assert!((1..=32).contains(&tag.len()), "{tag}");
    }
}

#[test]
fn verdicts() {
    let house = House::start(CONFIG, |_| ());
    assert_eq!(ask(&house, &whole("Allow: 204\r\n", b"clean")).0, 204);
    let (status, answer) = ask(&house, &whole("", &[b'c'; 70_000]));
    assert_eq!(status, 200);
    assert!(answer.contains(&format!("Encapsulated: res-hdr=0, res-body={}\r\n", RES.len())));
    assert!(answer.contains(&format!("\r\n\r\n{RES}11170\r\nccc")), "one chunk of all 70000 bytes");
    assert!(answer.ends_with("ccc\r\n0\r\n\r\n"));
    let (status, answer) = ask(&house, &whole("Allow: 204\r\nX-Client-IP: 10.1.1.1\r\n", MARKED));
    assert_eq!(status, 200);
    for part in [
        format!("\r\nX-Infection-Found: Type=0; Resolution=2; Threat={NAME};\r\n"),
        format!("\r\nX-Virus-ID: {NAME}\r\n"),
        format!("\r\nX-Violations-Found: 1\r\n\t-\r\n\t{NAME}\r\n\t0\r\n\t0\r\n"),
        "HTTP/1.1 403 Forbidden\r\n".to_owned(),
        "http://origin/a&lt;b&gt;".to_owned(),
    ] {
        assert!(answer.contains(&part), "{part:?} in {answer}");
    }
    assert!(
        house.log().contains(&format!("a<b>: {NAME} FOUND (client 10.1.1.1)")),
        "{}",
        house.log()
    );
}

#[test]
fn a_request_with_a_body_is_judged() {
    let house = House::start(CONFIG, |_| ());
    let head = "POST http://origin/up HTTP/1.1\r\nHost: origin\r\n\r\n";
    let ask_with = |body: &[u8], kind: &str| {
        let request = format!(
            "REQMOD icap://h/avscan ICAP/1.0\r\nHost: h\r\nAllow: 204\r\n\
             Encapsulated: req-hdr=0, {kind}={}\r\n\r\n{head}",
            head.len()
        );
        ask(&house, &[request.as_bytes(), body].concat())
    };
    assert_eq!(ask_with(&chunked(b"clean"), "req-body").0, 204);
    assert_eq!(ask_with(b"", "null-body").0, 204);
    let (status, answer) = ask_with(&chunked(MARKED), "req-body");
    assert_eq!(status, 200);
    assert!(answer.contains("Encapsulated: res-hdr=0, res-body=") && answer.contains(NAME));
    // Also inside an archive of one member: gzip, stored.
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    zipped.write_all(MARKED).unwrap();
    let mut request = format!(
        "REQMOD icap://h/avscan ICAP/1.0\r\nHost: h\r\nConnection: close\r\nAllow: 204\r\n\
         Encapsulated: req-hdr=0, req-body={}\r\n\r\n{head}",
        head.len()
    )
    .into_bytes();
    request.extend(chunked(&zipped.finish().unwrap()));
    let answer = house.exchange("icap", &request);
    assert!(String::from_utf8_lossy(&answer).contains(NAME));
}

#[test]
fn previews() {
    let house = House::start(CONFIG, |_| ());
    let mut stream = house.connect("icap");
    let preview = |fields: &str, start: &[u8], end: &[u8]| {
        let body = chunked(start);
        let body = &body[..body.len() - 5];
        [respmod(fields, RES).as_slice(), body, end].concat()
    };
    // All of it in the preview: no question.
    for (start, want) in [(b"".as_slice(), "204"), (b"clean", "204"), (MARKED, "200")] {
        stream.write_all(&preview("Preview: 100\r\n", start, b"0; ieof\r\n\r\n")).unwrap();
        let end: &[u8] = if want == "204" { b"null-body=0\r\n\r\n" } else { b"\r\n0\r\n\r\n" };
        let answer = read_until(&mut stream, end);
        assert!(answer.starts_with(&format!("ICAP/1.0 {want} ")), "{answer}");
    }
    // More behind it, and what is to be found lies across the seam.
    let (first, rest) = MARKED.split_at(15);
    stream.write_all(&preview("Preview: 15\r\n", first, b"0\r\n\r\n")).unwrap();
    assert_eq!(read_until(&mut stream, b"\r\n\r\n"), "ICAP/1.0 100 Continue\r\n\r\n");
    stream.write_all(&chunked(rest)).unwrap();
    assert!(read_until(&mut stream, b"\r\n0\r\n\r\n").contains(NAME));
    // Without `Allow: 204` what was asked for on top of the preview is given back whole.
    stream.write_all(&preview("Preview: 0\r\n", b"", b"0\r\n\r\n")).unwrap();
    read_until(&mut stream, b"100 Continue\r\n\r\n");
    stream.write_all(&chunked(b"clean")).unwrap();
    let answer = read_until(&mut stream, b"\r\n0\r\n\r\n");
    assert!(answer.contains("\r\n5\r\nclean\r\n0\r\n\r\n"), "{answer}");
    // Larger than what is scanned, as its head says: answered from the preview.
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n";
    let mut request = respmod("Preview: 4\r\n", large);
    request.extend(b"4\r\naaaa\r\n0\r\n\r\n");
    stream.write_all(&request).unwrap();
    assert!(read_until(&mut stream, b"null-body=0\r\n\r\n").starts_with("ICAP/1.0 204 "));
}

#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    let house = House::start(CONFIG, |_| ());
    let mut stream = house.connect("icap");
    let all = [
        whole("Allow: 204\r\n", b"clean"),
        whole("Allow: 204\r\n", MARKED),
        b"\r\nOPTIONS icap://h/avscan ICAP/1.0\r\nHost: h\r\n\r\n".to_vec(),
        whole("Allow: 204\r\nConnection: close\r\n", b"clean too"),
    ];
    stream.write_all(&all.concat()).unwrap();
    let answer = String::from_utf8(crate::support::read_all(&mut stream)).unwrap();
    let found: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.trim_end().split("ICAP/1.0 ").nth(1))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(found, ["204", "200", "200", "204"], "{answer}");
}

#[test]
fn what_is_too_large_follows_policy() {
    let large = vec![b'~'; 300_000];
    let house = House::start(CONFIG, |_| ());
    assert_eq!(ask(&house, &whole("Allow: 204\r\n", &large)).0, 204);
    let (status, answer) = ask(&house, &whole("", &large));
    assert_eq!((status, answer.matches('~').count()), (200, 300_000), "all is given back");
    assert!(answer.ends_with("0\r\n\r\n"));
    let house = House::start(&format!("{CONFIG}on-too-large = \"block\"\n"), |_| ());
    let (status, answer) = ask(&house, &whole("Allow: 204\r\n", &large));
    assert!(status == 200 && answer.contains("403 Forbidden") && answer.contains("larger than"));
    assert!(!answer.contains("X-Infection-Found"), "nothing was found");
}

#[test]
fn what_is_not_scanned_wholly_follows_policy() {
    // An archive whose only member is encrypted.
    let member = b"PK\x03\x04\x14\x00\x01\x00\x00\x00\x00\x00\x21\x28\x01\x02\x03\x04\
        \x10\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00a0123456789abcdef";
    let directory = b"PK\x01\x02\x14\x00\x14\x00\x01\x00\x00\x00\x00\x00\x21\x28\x01\x02\x03\x04\
        \x10\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0a";
    let end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2f\0\0\0\x2f\0\0\0\0\0";
    let archive = [member.as_slice(), directory, end].concat();
    let ask_raw = |config: &str| {
        let house = House::start(config, |_| ());
        let request = whole("Connection: close\r\nAllow: 204\r\n", &archive);
        String::from_utf8_lossy(&house.exchange("icap", &request)).into_owned()
    };
    assert!(ask_raw(CONFIG).starts_with("ICAP/1.0 204 "));
    let answer = ask_raw(&format!("{CONFIG}on-incomplete = \"block\"\n"));
    assert!(
        answer.contains("403 Forbidden") && answer.contains("not be scanned wholly"),
        "{answer}"
    );
}

#[test]
fn a_page_of_ones_own() {
    let config = format!("{CONFIG}block-page = \"@/page.html\"\n");
    let house = House::start(&config, |folder| {
        fs::write(folder.join("page.html"), "<p>{{threat}} at {{url}}</p>").unwrap();
    });
    let (_, answer) = ask(&house, &whole("", MARKED));
    assert!(answer.contains(&format!("<p>{NAME} at http://origin/a&lt;b&gt;</p>")), "{answer}");
}

#[test]
fn c_icap_client_is_content() {
    if missing(&["c-icap-client"]) {
        return;
    }
    let house = House::start(CONFIG, |folder| {
        fs::write(folder.join("clean"), vec![b'c'; 50_000]).unwrap();
        fs::write(folder.join("marked"), [&[b' '; 50_000], MARKED].concat()).unwrap();
        fs::write(folder.join("short"), MARKED).unwrap();
    });
    let port = house.at("icap").port().to_string();
    let client = |arguments: &[&str]| {
        let mut command = Command::new("c-icap-client");
        command.args(["-i", "127.0.0.1", "-p", &port, "-s", "avscan", "-v"]).args(arguments);
        let output = run(command.current_dir(house.folder.path()));
        [output.stdout, output.stderr].concat()
    };
    let text = String::from_utf8_lossy(&client(&[])).into_owned();
    assert!(text.contains("OK") && text.contains("Allow 204"), "{text}");
    client(&["-f", "clean", "-o", "out-clean"]);
    let out = house.folder.path().join("out-clean");
    // With 204 the client writes nothing or the file as it was, by its version.
    if let Ok(out) = fs::read(&out) {
        assert!(out.is_empty() || out == [b'c'; 50_000]);
    }
    for name in ["marked", "short"] {
        for more in [&[][..], &["-nopreview"], &["-no204"]] {
            let arguments = [&["-f", name, "-o", "out"], more].concat();
            let _ = fs::remove_file(house.folder.path().join("out"));
            let told = String::from_utf8_lossy(&client(&arguments)).into_owned();
            let page = fs::read_to_string(house.folder.path().join("out")).unwrap_or_default();
            assert!(page.contains(NAME), "{name} {more:?}: {told}");
        }
    }
    assert_eq!(house.service.metrics().detected, 6);
}
