//! What a user without rights may learn through a daemon that runs as root.

#![expect(clippy::unwrap_used, reason = "a helper that cannot set a test up is to fail it")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::lab::{Daemon, Lab, skip};

const ASK: &str = "
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b'\\n')
out = b''
while True:
    got = s.recv(65536)
    if not got: break
    out += got
sys.stdout.write(out.decode())
";

/// Asks as nobody.
fn ask_as_nobody(daemon: &Daemon, command: &str) -> String {
    let output = Command::new("python3")
        .arg("-c")
        .arg(ASK)
        .arg(&daemon.socket)
        .arg(command)
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_client_learns_what_it_may_read() {
    if !rustix::process::geteuid().is_root() {
        return skip("not root");
    }
    let lab = Lab::new();
    fs::create_dir(lab.path("files/secret")).unwrap();
    fs::copy(lab.path("files/eicar.com"), lab.path("files/secret/inner")).unwrap();
    fs::copy(lab.path("files/eicar.com"), lab.path("files/mine")).unwrap();
    let mode = fs::Permissions::from_mode;
    fs::set_permissions(lab.path("files/secret"), mode(0o700)).unwrap();
    fs::set_permissions(lab.path("files/mine"), mode(0o600)).unwrap();
    let daemon = lab.ours("FollowFileSymlinks yes\n");
    let path = |name: &str| lab.path(name).display().to_string();
    let scan = |name: &str| ask_as_nobody(&daemon, &format!("nSCAN {}", path(name)));
    let end = |text: &str, name: &str| format!("{}: {text}\n", path(name));
    let name = "files/eicar.com";
    assert_eq!(scan(name), end("Test.Eicar.UNOFFICIAL FOUND", name));
    assert_eq!(scan("files/mine"), end("Access denied. ERROR", "files/mine"));
    let denied = "File path check failure: Permission denied. ERROR";
    // What is there and what is not look the same.
    for name in ["files/secret/inner", "files/secret/none"] {
        assert_eq!(scan(name), end(denied, name));
    }
    let folder = scan("files/secret");
    assert!(folder.contains(denied) && !folder.contains("FOUND"), "{folder}");
    // Root is told.
    let own = daemon.ask(format!("nSCAN {}\n", path("files/mine")).as_bytes());
    assert!(String::from_utf8(own).unwrap().contains("FOUND"));
    // Nor does it stop the service.
    assert_eq!(ask_as_nobody(&daemon, "nSHUTDOWN"), "COMMAND UNAVAILABLE\n");
    assert_eq!(daemon.ask(b"nPING\n"), b"PONG\n");
}

#[test]
fn the_service_can_be_another_user() {
    if !rustix::process::geteuid().is_root() {
        return skip("not root");
    }
    let lab = Lab::new();
    // Values that come first count.
    let mut conf = format!("User nobody\nLocalSocket {}\n", lab.path("run/s").display());
    conf.push_str(&format!("DatabaseDirectory {}\nForeground yes\n", lab.path("db").display()));
    fs::write(lab.path("user.conf"), conf).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .arg0("clamd")
        .arg("-c")
        .arg(lab.path("user.conf"))
        .env("HOLDFAST_CACHE", lab.path("cache"))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let socket = lab.path("run/s");
    let by = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(std::time::Instant::now() < by, "no socket");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let (uids, groups) = (line("Uid:"), line("Groups:"));
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(uids.split_whitespace().skip(1).collect::<Vec<_>>(), ["65534"; 4]);
    assert!(!groups.split_whitespace().any(|group| group == "0"), "{groups}");
}

#[test]
fn a_client_over_tcp_has_nobodys_rights() {
    if !rustix::process::geteuid().is_root() {
        return skip("not root");
    }
    let lab = Lab::new();
    fs::copy(lab.path("files/eicar.com"), lab.path("files/mine")).unwrap();
    fs::set_permissions(lab.path("files/mine"), fs::Permissions::from_mode(0o600)).unwrap();
    // Nobody else takes the port in between but by bad luck.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _daemon = lab.ours(&format!("TCPSocket {port}\nTCPAddr 127.0.0.1\n"));
    let ask = |command: &str| {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(command.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    };
    let path = |name: &str| lab.path(name).display().to_string();
    let (mine, open) = (path("files/mine"), path("files/eicar.com"));
    assert_eq!(ask(&format!("nSCAN {mine}\n")), format!("{mine}: Access denied. ERROR\n"));
    let found = format!("{open}: Test.Eicar.UNOFFICIAL FOUND\n");
    assert_eq!(ask(&format!("nSCAN {open}\n")), found);
}
