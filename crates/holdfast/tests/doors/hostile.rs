//! Peers that lie, stall and flood: each costs itself, and the next honest one is served.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::support::{House, MARKED, NAME, read_all};

const CONFIG: &str = "\
[http]
listen = [\"127.0.0.1:0\"]
header-seconds = 2
body-seconds = 2
max-body-bytes = 100000
[icap]
listen = [\"127.0.0.1:0\"]
header-seconds = 2
body-seconds = 2
[milter]
listen = [\"127.0.0.1:0\"]
packet-seconds = 2
";

/// Every door answers an honest peer.
#[track_caller]
fn all_is_well(house: &House) {
    let request = b"OPTIONS icap://h/avscan ICAP/1.0\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert!(house.exchange("icap", request).starts_with(b"ICAP/1.0 200 "));
    let request = [
        b"POST /v1/scan HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 34\r\n\r\n"
            .as_slice(),
        MARKED,
    ];
    let answer = String::from_utf8(house.exchange("http", &request.concat())).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(NAME), "{answer}");
    crate::milter::Server::new(house).negotiate(0x1ff);
}

#[test]
fn nonsense_is_refused() {
    let house = House::start(CONFIG, |_| ());
    let body = "Encapsulated: res-body=0\r\n\r\n";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("icap", b"\0\x01\x02\r\n\r\n".to_vec(), "400"),
        ("icap", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), "400"),
        ("icap", b"PUT icap://h/ ICAP/1.0\r\n\r\n".to_vec(), "501"),
        ("icap", b"OPTIONS icap://h/ ICAP/9.9\r\n\r\n".to_vec(), "505"),
        ("icap", b"RESPMOD icap://h/avscan ICAP/1.0\r\n\r\n".to_vec(), "400"),
        ("icap", format!("RESPMOD icap://h/nothere ICAP/1.0\r\n{body}").into(), "404"),
        ("icap", format!("RESPMOD icap://h/avscan ICAP/1.0\r\n{body}zz\r\n").into(), "400"),
        ("icap", format!("RESPMOD icap://h/avscan ICAP/1.0\r\n{body}1\r\nabc").into(), "400"),
        ("icap", format!("RESPMOD icap://h/avscan ICAP/1.0\r\n{body}ffffffffffffffff\r\n").into(), "400"),
        ("icap", format!("RESPMOD icap://h/avscan ICAP/1.0\r\nPreview: 1\r\n{body}3\r\nabc\r\n0\r\n\r\n").into(), "400"),
        ("icap", [b"OPTIONS icap://h/ ICAP/1.0\r\nA: ".as_slice(), &[b'a'; 300_000]].concat(), "400"),
        ("http", b"\0\x01\x02\r\n\r\n".to_vec(), "400"),
        ("http", b"POST /v1/scan HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_vec(), "400"),
        ("http", b"POST /v1/scan HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(), "400"),
        ("http", b"POST /v1/scan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na".to_vec(), "400"),
        ("http", [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'a'; 300_000]].concat(), "431"),
    ];
    for (door, request, want) in cases {
        let mut stream = house.connect(door);
        // The other side may close before all is sent.
        let _ = stream.write_all(&request);
        let answer = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let told = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
        assert_eq!(status, want, "{door} {told:?}: {answer}");
    }
    let packets: [&[u8]; 7] = [
        b"\0\0\0\0",
        b"\xff\xff\xff\xffA",
        b"\0\0\0\x01Z",
        b"\0\0\0\x01E",
        b"\0\0\0\x02OO",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x0dO\0\0\0\x01\0\0\0\0\0\0\0\0",
    ];
    for packet in packets {
        assert_eq!(house.exchange("milter", packet), b"", "{packet:?}");
    }
    all_is_well(&house);
}

#[test]
fn who_stalls_is_dropped() {
    let house = House::start(CONFIG, |_| ());
    let starts: [(&str, &[u8]); 8] = [
        ("http", b""),
        ("http", b"GET / HT"),
        ("http", b"POST /v1/scan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"),
        ("icap", b"OPTIONS ic"),
        (
            "icap",
            b"RESPMOD icap://h/avscan ICAP/1.0\r\nEncapsulated: res-hdr=0, res-body=90\r\n\r\nHTTP",
        ),
        ("icap", b"RESPMOD icap://h/avscan ICAP/1.0\r\nEncapsulated: res-body=0\r\n\r\n5\r\nab"),
        ("milter", b"\0\0\0\x0dO\0"),
        ("milter", b"\0\0"),
    ];
    let mut streams: Vec<_> = starts
        .iter()
        .map(|(door, start)| {
            let mut stream = house.connect(door);
            stream.write_all(start).unwrap();
            (door, stream)
        })
        .collect();
    // While they stall, others are served.
    all_is_well(&house);
    for (door, stream) in &mut streams {
        let answer = String::from_utf8_lossy(&read_all(stream)).into_owned();
        let told = ["", "ICAP/1.0 408 Request timeout", "HTTP/1.1 408 Request Timeout"];
        let first = answer.lines().next().unwrap_or_default();
        assert!(told.contains(&first), "{door}: {answer}");
    }
    all_is_well(&house);
}

#[test]
fn who_sends_byte_by_byte_is_served() {
    let house = House::start(CONFIG, |_| ());
    let mut stream = house.connect("icap");
    stream.set_nodelay(true).unwrap();
    let request = b"OPTIONS icap://h/avscan ICAP/1.0\r\nHost: h\r\nConnection: close\r\n\r\n";
    for byte in request {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(read_all(&mut stream).starts_with(b"ICAP/1.0 200 "));
}

#[test]
fn idle_connections_give_way() {
    let config = CONFIG.replace("listen =", "max-connections = 8\nlisten =");
    let config = config.replace("header-seconds = 2", "header-seconds = 600");
    let house = House::start(&config, |_| ());
    let requests = [
        ("icap", "OPTIONS icap://h/ ICAP/1.0\r\nConnection: close\r\n\r\n", "ICAP/1.0 200 "),
        (
            "http",
            "GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 ",
        ),
    ];
    for (door, request, want) in requests {
        let start = Instant::now();
        let _idle: Vec<_> = (0..16).map(|_| house.connect(door)).collect();
        let mut late = house.connect(door);
        late.write_all(request.as_bytes()).unwrap();
        assert!(read_all(&mut late).starts_with(want.as_bytes()), "{door}");
        assert!(start.elapsed() < Duration::from_secs(25), "{door}");
    }
}

#[test]
fn clients_that_leave_are_forgotten() {
    let house = House::start(CONFIG, |_| ());
    for _ in 0..20 {
        let mut stream = house.connect("http");
        stream
            .write_all(
                b"POST /v1/scan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\nab",
            )
            .unwrap();
        drop(stream);
        let mut stream = house.connect("icap");
        let half = b"RESPMOD icap://h/avscan ICAP/1.0\r\nEncapsulated: res-body=0\r\n\r\n9\r\nab";
        stream.write_all(half).unwrap();
        drop(stream);
    }
    all_is_well(&house);
    assert_eq!(house.service.status().queued, 0);
}
