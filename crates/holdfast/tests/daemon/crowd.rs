//! Thousands of connections that stall or trickle: they hold what one peer may have, others are served at once,
//! and everything is given back.

#![expect(clippy::unwrap_used, reason = "a helper that cannot set a test up is to fail it")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit};

use crate::events::start;
use crate::lab::{Daemon, Lab, chunk, eicar};

/// Connections to each of two doors, if descriptors last.
const EACH: usize = 5_000;

/// Descriptors that this process, where other tests run as well, keeps for other things.
const KEPT: u64 = 1_000;

/// Lets this process have as many descriptors as it may; returns how many connections each door gets.
fn each() -> usize {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let most = maximum.unwrap_or(u64::MAX).saturating_sub(KEPT) / 2;
    let each = usize::try_from(most).unwrap_or(EACH).min(EACH);
    if each < EACH {
        println!("only {each} connections to each door: the limit of descriptors is {maximum:?}");
    }
    each
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Connects from another address of this machine: another peer.
fn from_elsewhere(port: u16) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let here = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 0);
    rustix::net::bind(&socket, &here).unwrap();
    rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn ask(port: u16, request: &[u8]) -> String {
    let mut stream = from_elsewhere(port);
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A client that behaves well is served by both doors within a bound.
#[track_caller]
fn is_served(clamd: u16, http: u16) {
    let begun = Instant::now();
    let stream = [b"nINSTREAM\n", &chunk(&eicar())[..], &[0; 4]].concat();
    assert_eq!(ask(clamd, &stream), "stream: Test.Eicar.UNOFFICIAL FOUND\n");
    let eicar = eicar();
    let head = format!(
        "POST /v1/scan HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        eicar.len()
    );
    let answer = ask(http, &[head.as_bytes(), &eicar].concat());
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("Test.Eicar"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// Returns open descriptors and resident KiB of a daemon.
fn held(daemon: &Daemon) -> (usize, u64) {
    let proc = format!("/proc/{}", daemon.child.id());
    let open = fs::read_dir(format!("{proc}/fd")).unwrap().count();
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (open, rss.trim().trim_end_matches(" kB").parse().unwrap())
}

/// Whether those who trickle are to end.
struct Over(AtomicBool);

/// Ends them, also when something fails.
struct End<'a>(&'a Over);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn ten_thousand_connections() {
    let each = each();
    let lab = Lab::new();
    let (clamd, http) = (free_port(), free_port());
    let more = format!("[http]\nlisten = [\"127.0.0.1:{http}\"]\n");
    let section = format!("tcp-port = {clamd}\ntcp-addresses = [\"127.0.0.1\"]\n");
    let daemon = start(&lab, &more, &section);
    is_served(clamd, http);
    let before = held(&daemon);
    let first = wave(&daemon, each, (clamd, http), before);
    // What the allocator keeps after the first wave is enough for the next one: nothing is lost.
    let second = wave(&daemon, each, (clamd, http), before);
    assert!(second < first + (16 << 10), "{second} KiB after {first}");
    assert!(second < before.1 + (96 << 10), "{second} KiB after {before:?}");
    // Who floods does not fill the disk with lines either.
    let lines = daemon.log().matches("too many connections").count();
    assert!((1..=20).contains(&lines), "{lines}");
}

/// Opens so many connections to each of two doors, and gives them up again; returns resident KiB then.
fn wave(daemon: &Daemon, each: usize, (clamd, http): (u16, u16), before: (usize, u64)) -> u64 {
    let begun = Instant::now();
    let halves: [&[u8]; 4] = [b"", b"nINSTREAM\n\0\0\x10\0abc", b"nPI", b"nIDSESSION\n"];
    let local: Vec<UnixStream> = (0..each)
        .map(|idx| {
            let mut stream = UnixStream::connect(&daemon.socket).unwrap();
            // It may have been closed already.
            let _ = stream.write_all(halves[idx % halves.len()]);
            stream
        })
        .collect();
    let body = b"POST /v1/scan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc";
    let halves: [&[u8]; 3] = [b"", b"GET /v1/he", body];
    let web: Vec<TcpStream> = (0..each)
        .map(|idx| {
            let mut stream = TcpStream::connect(("127.0.0.1", http)).unwrap();
            let _ = stream.write_all(halves[idx % halves.len()]);
            stream
        })
        .collect();
    println!("{each} connections to each door in {:?}", begun.elapsed());
    let over = Over(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _end = End(&over);
        scope.spawn(|| {
            // Some of those that are still open trickle.
            while !over.0.load(Ordering::Relaxed) {
                for idx in (0..each).step_by(7) {
                    let _ = (&local[idx]).write(b"a");
                    let _ = (&web[idx]).write(b"a");
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        for _ in 0..3 {
            is_served(clamd, http);
        }
        let (open, rss) = held(daemon);
        println!("meanwhile: {open} descriptors, {rss} KiB; before: {before:?}");
        // Of one user three quarters of 1000; of one address as many of 256, and 256 that wait; and what
        // streams and bodies that have begun are kept in.
        assert!(open < before.0 + 1_700, "{open} descriptors");
    });
    drop((local, web));
    let begun = Instant::now();
    loop {
        let (open, rss) = held(daemon);
        if open <= before.0 + 16 {
            println!("afterwards: {open} descriptors, {rss} KiB");
            is_served(clamd, http);
            return rss;
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{open} descriptors: {before:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
