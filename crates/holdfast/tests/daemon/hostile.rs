//! Peers that stall, lie and flood: they cost themselves.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use crate::lab::{Daemon, Lab, chunk, eicar};

const FOUND: &[u8] = b"stream: Test.Eicar.UNOFFICIAL FOUND\n";

/// A well-behaved client is served, and soon.
#[track_caller]
fn is_well(daemon: &Daemon) {
    let begun = Instant::now();
    assert_eq!(daemon.stream(&eicar()), FOUND);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn commands_longer_than_any() {
    let lab = Lab::new();
    let daemon = lab.ours("");
    for command in [vec![b'n'; 8000], vec![b'z'; 100_000], [b"SCAN /", &[b'a'; 9000][..]].concat()]
    {
        let reply = daemon.ask(&command);
        assert!(reply.is_empty() || reply.ends_with(b"ERROR\n"), "{}", reply.len());
    }
    is_well(&daemon);
}

#[test]
fn descriptors_without_end() {
    let lab = Lab::new();
    let daemon = lab.ours("");
    let file = std::fs::File::open(lab.path("files/eicar.com")).unwrap();
    let many = [file.as_fd(); 16];
    for _ in 0..100 {
        let mut peer = daemon.connect();
        peer.send(b"nIDSESSION\n");
        peer.pass(b"nPING\n", &many);
        assert_eq!(peer.reply(b'\n'), b"1: PONG");
    }
    let pid = daemon.child.id();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert!(open < 200, "{open} descriptors are open");
    is_well(&daemon);
}

#[test]
fn those_that_stall_hold_up_nobody() {
    let lab = Lab::new();
    let daemon = lab.ours("ReadTimeout 20\nCommandReadTimeout 20\n");
    let half: &[&[u8]] = &[b"", b"nPI", b"nINSTREAM\n", b"nINSTREAM\n\0\0\x10\0abc", b"nFILDES\n"];
    let mut held = Vec::new();
    for idx in 0..300 {
        let mut peer = daemon.connect();
        peer.send(half[idx % half.len()]);
        held.push(peer);
    }
    is_well(&daemon);
    drop(held);
    is_well(&daemon);
}

#[test]
fn one_that_floods_waits_for_itself() {
    let lab = Lab::new();
    let daemon = lab.ours("");
    let stream = [b"nINSTREAM\n", &chunk(&vec![b'a'; 200_000])[..], &[0; 4]].concat();
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut peer = daemon.connect();
            peer.send(b"nIDSESSION\n");
            let mut reader = peer.stream.try_clone().unwrap();
            let answers = scope.spawn(move || {
                let mut all = Vec::new();
                std::io::Read::read_to_end(&mut reader, &mut all).unwrap();
                all.iter().filter(|b| **b == b'\n').count()
            });
            for _ in 0..300 {
                peer.send(&stream);
            }
            peer.send(b"nEND\n");
            assert_eq!(answers.join().unwrap(), 300);
        });
        for _ in 0..5 {
            is_well(&daemon);
        }
        flood.join().unwrap();
    });
}

#[test]
fn one_that_asks_and_does_not_listen() {
    let lab = Lab::new();
    let daemon = lab.ours("");
    let mut peer = daemon.connect();
    peer.stream.set_nonblocking(true).unwrap();
    peer.send(b"nIDSESSION\n");
    let many = b"nVERSIONCOMMANDS\n".repeat(1000);
    for _ in 0..200 {
        peer.send(&many);
    }
    is_well(&daemon);
    // It may also leave in the middle of a reply.
    drop(peer);
    is_well(&daemon);
}

#[test]
fn streams_that_are_left() {
    let lab = Lab::new();
    let daemon = lab.ours("");
    for _ in 0..200 {
        let mut peer = daemon.connect();
        peer.send(b"nINSTREAM\n");
        peer.send(&chunk(&[b'a'; 70_000])[..60_000]);
    }
    is_well(&daemon);
    assert_eq!(daemon.ask(b"nPING\n"), b"PONG\n");
}
