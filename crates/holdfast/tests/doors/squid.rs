//! squid with ICAP, an origin behind it, and a client before it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{House, MARKED, NAME, missing, wait_for};

/// Serves bodies by path, and keeps what was posted.
struct Origin {
    at: SocketAddr,
    posted: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Origin {
    fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let posted = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&posted);
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let keep = Arc::clone(&keep);
                std::thread::spawn(move || drop(serve(stream, &keep)));
            }
        });
        Self { at, posted }
    }
}

/// More than a preview. Not much more for what comes from the origin: squid 5.7 stops reading an origin that
/// sends more than 64 KiB at once while the response is adapted, whoever adapts it.
fn large(len: u32) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect()
}

fn serve(mut stream: TcpStream, posted: &Mutex<Vec<Vec<u8>>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let len =
        head.to_ascii_lowercase().split("content-length: ").nth(1).map_or(0, |rest| {
            rest.split("\r\n").next().and_then(|len| len.parse().ok()).unwrap_or(0)
        });
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    if head.starts_with("POST") {
        posted.lock().unwrap().push(body);
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = match path.as_str() {
        "/marked" => MARKED.to_vec(),
        "/marked-late" => [large(40_000).as_slice(), MARKED].concat(),
        "/large" => large(40_000),
        "/empty" => Vec::new(),
        _ => b"clean".to_vec(),
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    )?;
    if head.starts_with("HEAD") {
        return Ok(());
    }
    stream.write_all(&body)
}

struct Squid {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Drop for Squid {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("cache.log"));
            eprintln!("{}", log.unwrap_or_default());
        }
        // squid's parent ends its child when it is asked to.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").arg(&id).status();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(folder: &Path, icap: SocketAddr) -> Squid {
    let port = free_port();
    let folder_name = folder.display();
    let config = format!(
        "http_port 127.0.0.1:{port}\npid_filename {folder_name}/squid.pid\n\
         access_log none\ncache_log {folder_name}/cache.log\ncache_store_log none\n\
         coredump_dir {folder_name}\ncache deny all\nhttp_access allow all\nshutdown_lifetime 0 seconds\n\
         visible_hostname test\nmax_filedescriptors 1024\nicon_directory /usr/share/squid/icons\n\
         pinger_enable off\nnetdb_filename none\n\
         icap_enable on\nicap_preview_enable on\nicap_send_client_ip on\n\
         icap_service_failure_limit -1\n\
         icap_service av_req reqmod_precache icap://{icap}/avscan bypass=off\n\
         icap_service av_resp respmod_precache icap://{icap}/avscan bypass=off\n\
         adaptation_access av_req allow all\nadaptation_access av_resp allow all\n"
    );
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(folder.join("squid.conf"), config).unwrap();
    let child = Command::new("squid")
        .args(["-N", "-f"])
        .arg(folder.join("squid.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let squid = Squid { child, folder: folder.to_owned(), port };
    wait_for("squid", || TcpStream::connect(("127.0.0.1", port)).ok());
    squid
}

fn ask(squid: &Squid, origin: SocketAddr, start: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let (method, path) = start.split_once(' ').unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", squid.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "{method} http://{origin}{path} HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let answer = crate::support::read_all(&mut stream);
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("an answer");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), answer[end + 4..].to_vec())
}

#[test]
fn squid_passes_and_blocks() {
    if missing(&["squid"]) {
        return;
    }
    let house = House::start("[icap]\nlisten = [\"127.0.0.1:0\"]\n", |_| ());
    let origin = Origin::start();
    let squid = start(house.folder.path(), house.at("icap"));
    let ask = |start: &str, body: &[u8]| ask(&squid, origin.at, start, body);
    assert_eq!(ask("GET /clean", b""), (200, b"clean".to_vec()));
    assert_eq!(ask("GET /empty", b""), (200, Vec::new()));
    assert_eq!(ask("HEAD /clean", b"").0, 200);
    let (status, body) = ask("GET /large", b"");
    assert!(status == 200 && body == large(40_000), "{status}, {} bytes", body.len());
    for path in ["/marked", "/marked-late"] {
        let (status, page) = ask(&format!("GET {path}"), b"");
        let page = String::from_utf8_lossy(&page).into_owned();
        assert_eq!(status, 403, "{path}: {page}");
        assert!(page.contains(NAME) && page.contains(&format!("{}{path}", origin.at)), "{page}");
        assert!(!page.contains("--doors-marked-bytes--"));
    }
    assert_eq!(ask("POST /up", b"fine"), (200, b"clean".to_vec()));
    let upload = large(3_000_000);
    assert_eq!(ask("POST /up", &upload), (200, b"clean".to_vec()));
    for body in [MARKED.to_vec(), [upload.as_slice(), MARKED].concat()] {
        let (status, page) = ask("POST /up", &body);
        assert!(status == 403 && String::from_utf8_lossy(&page).contains(NAME), "{status}");
    }
    assert!(*origin.posted.lock().unwrap() == [b"fine".to_vec(), upload], "no other went out");
    let log = house.log();
    assert!(log.contains("FOUND (client 127.0.0.1)"), "{log}");
    assert_eq!(house.service.metrics().detected, 4);
}
