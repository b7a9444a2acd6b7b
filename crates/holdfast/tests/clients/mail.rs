//! rspamd's antivirus module, as mail servers use it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{MARKED, NAME, Server, free_port, missing};

/// A running rspamd with that module alone.
struct Rspamd(Child);

impl Drop for Rspamd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn rspamd_asks_us_about_mails() {
    if missing("rspamd") {
        return;
    }
    let server = Server::start();
    let port = free_port();
    let folder = server.at("rspamd");
    fs::create_dir(&folder).expect("a folder can be made");
    // Its processes become another user.
    for folder in [&folder, &server.at("")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
    }
    let at = |name: &str| folder.join(name).display().to_string();
    // The whole list of top-level domains takes a minute to compile.
    fs::write(at("tld"), "com\norg\n").expect("a file can be written");
    let text = format!(
        r#"
options {{
  pidfile = "{pid}"; filters = ""; tempdir = "{folder}"; control_socket = "{control} mode=0600";
  url_tld = "{tld}"; hs_cache_dir = "{folder}";
  dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "file"; filename = "{log}"; level = "info"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; mime = true; }}
modules {{ path = "/usr/share/rspamd/plugins/antivirus.lua"; }}
metric "default" {{ actions {{ reject = 10; }} }}
antivirus {{
  clamav {{ type = "clamav"; symbol = "CLAM_VIRUS"; servers = "127.0.0.1:{clamd}"; scan_mime_parts = false; }}
}}
"#,
        pid = at("pid"),
        folder = folder.display(),
        control = at("control"),
        tld = at("tld"),
        log = at("log"),
        clamd = server.port,
    );
    fs::write(at("conf"), text).expect("a file can be written");
    let mut command = Command::new("rspamd");
    command.args(["-f", "-i", "-c", &at("conf")]).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut rspamd = Rspamd(command.spawn().expect("it is installed"));
    let bad = mail(std::str::from_utf8(MARKED).expect("it is a text"));
    let until = Instant::now() + Duration::from_secs(90);
    let answer = loop {
        if let Some(answer) = ask(port, &bad) {
            break answer;
        }
        let ended = rspamd.0.try_wait().expect("it can be asked");
        let log = || fs::read_to_string(at("log")).unwrap_or_default();
        assert!(ended.is_none() && Instant::now() < until, "no rspamd: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(answer.contains("CLAM_VIRUS\"") && answer.contains(NAME), "{answer}");
    let answer = ask(port, &mail("nothing to see")).expect("it answered before");
    assert!(answer.contains("required_score") && !answer.contains("CLAM_VIRUS"), "{answer}");
}

fn mail(text: &str) -> String {
    format!("From: a@example.com\r\nTo: b@example.com\r\nSubject: x\r\n\r\n{text}\r\n")
}

/// Returns rspamd's answer about a mail; none when it does not listen yet.
fn ask(port: u16, mail: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let head = format!(
        "POST /checkv2 HTTP/1.0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        mail.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(mail.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer).filter(|answer| answer.starts_with("HTTP/1"))
}
