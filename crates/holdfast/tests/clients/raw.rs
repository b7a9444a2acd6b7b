//! What clients in Go, Java, PHP and others do, which open sockets themselves: `zINSTREAM` over TCP with chunks of any
//! size, `nPING`, plain `PING`, one connection for each command.

use std::io::{Read as _, Write as _};

use crate::server::{MARKED, NAME, Server};

#[test]
fn plain_n_and_z_commands() {
    let server = Server::start();
    for (sent, want) in [
        (b"PING\n".as_slice(), b"PONG\n".as_slice()),
        (b"nPING\n", b"PONG\n"),
        (b"zPING\0", b"PONG\0"),
        (b"zSTATUS\0", b"UNKNOWN COMMAND\0"),
    ] {
        assert_eq!(server.ask(sent), want, "{}", String::from_utf8_lossy(sent));
    }
    let version = server.ask(b"nVERSION\n");
    assert!(version.starts_with(b"ClamAV "), "{}", String::from_utf8_lossy(&version));
    let bad = server.at("tree/bad");
    let answer = server.ask(format!("SCAN {}\n", bad.display()).as_bytes());
    assert_eq!(answer, format!("{}: {NAME} FOUND\n", bad.display()).as_bytes());
}

#[test]
fn streams_over_tcp_in_chunks_of_any_size() {
    let server = Server::start();
    for size in [1, 7, MARKED.len()] {
        let mut stream = server.tcp();
        stream.write_all(b"nINSTREAM\n").expect("it is there");
        for chunk in MARKED.chunks(size) {
            let len = u32::try_from(chunk.len()).expect("it is short").to_be_bytes();
            stream.write_all(&len).expect("it is there");
            stream.write_all(chunk).expect("it is there");
        }
        stream.write_all(&[0; 4]).expect("it is there");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and closes");
        assert_eq!(answer, format!("stream: {NAME} FOUND\n"));
    }
}

#[test]
fn a_stream_beyond_the_limit_is_told_so() {
    let server = Server::start();
    let mut stream = server.tcp();
    stream.write_all(b"zINSTREAM\0").expect("it is there");
    let chunk = [(64u32 << 10).to_be_bytes().as_slice(), &[b'x'; 64 << 10]].concat();
    // The limit is 1 MiB; a daemon that has heard enough may close.
    for _ in 0..40 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("INSTREAM size limit exceeded. ERROR"), "{text}");
}
