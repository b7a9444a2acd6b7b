//! Fetching from servers on the loopback that do as they like.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;

/// Serves the answers, one for each connection; returns the port and what was asked.
fn serve(answers: Vec<Vec<u8>>) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            sender.send(request_of(&mut stream)).unwrap();
            let _ = stream.write_all(&answer);
        }
    });
    (port, asked)
}

fn request_of(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn fetcher() -> Fetcher {
    let short = Duration::from_millis(500);
    Fetcher::new(FetchOptions {
        receive_timeout: short,
        connect_timeout: short,
        ..FetchOptions::default()
    })
}

#[track_caller]
fn check(answer: &str, want: Result<&str, &str>) {
    let (port, _asked) = serve(vec![answer.as_bytes().to_vec()]);
    let url = format!("http://127.0.0.1:{port}/x");
    let got = fetcher().get(&Request::new(&url)).and_then(|reply| reply.bytes(100));
    let got =
        got.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|err| err.kind.to_string());
    assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{answer:?}");
}

#[test]
fn bodies() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", Ok("abc"));
    check("HTTP/1.1 200 OK\r\n\r\nabc", Ok("abc"));
    check("HTTP/1.0 200\nX: y\n\nabc", Ok("abc"));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{chunked}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), Ok("abcde"));
    check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", Ok("a"));
    check("HTTP/1.1 204 No\r\n\r\n", Ok(""));
}

#[test]
fn hostile_answers() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", Err("it ended early"));
    check("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", Err("it is longer than 100 bytes"));
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(200));
    check(&long, Err("it is longer than 100 bytes"));
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    check(two, Err("not an answer in HTTP: there are several lengths"));
    check("SSH-2.0-x\r\n\r\n", Err("not an answer in HTTP: it does not start with HTTP/1"));
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(20_000));
    check(&endless, Err("not an answer in HTTP: the header is too long"));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{chunked}-3\r\nabc"), Err("the connection broke: a chunk has no length"));
    check(&format!("{chunked}ffffffffffffffff\r\nabc"), Err("it ended early"));
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        Err("not an answer in HTTP: the transfer has a coding that was not asked for"),
    );
}

#[test]
fn redirections() {
    let moved = |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n").into_bytes();
    let found = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na".to_vec();
    let (port, asked) = serve(vec![moved("/a"), moved("b"), found]);
    let url = format!("http://127.0.0.1:{port}/x");
    let reply = fetcher().get(&Request::new(&url)).unwrap();
    assert_eq!(reply.url, format!("http://127.0.0.1:{port}/b"));
    assert!(asked.iter().nth(1).unwrap().starts_with("GET /a HTTP/1.1\r\n"));
    let (port, _asked) = serve(vec![moved("/"); 9]);
    let url = format!("http://127.0.0.1:{port}/x");
    let err = fetcher().get(&Request::new(&url)).unwrap_err();
    assert!(matches!(err.kind, FetchErrorKind::Redirects));
}

#[test]
fn silence_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let err = fetcher().get(&Request::new(&url)).unwrap_err();
    assert!(matches!(err.kind, FetchErrorKind::Slow), "{err:?}");
}

#[test]
fn dripping_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        request_of(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").unwrap();
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    let mut options = fetcher().options().clone();
    options.receive_timeout = Duration::from_millis(1100);
    let reply = Fetcher::new(options).get(&Request::new(&url)).unwrap();
    assert!(matches!(reply.bytes(1000).unwrap_err().kind, FetchErrorKind::Slow));
}

#[test]
fn downloads_are_continued() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("f");
    let head = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 6\r\n\r\nabc";
    let rest = "HTTP/1.1 206 Partial\r\nETag: \"1\"\r\nContent-Range: bytes 3-5/6\r\nContent-Length: 3\r\n\r\ndef";
    let (port, asked) = serve(vec![head.into(), rest.into()]);
    let url = format!("http://127.0.0.1:{port}/f");
    let download =
        Download { url: &url, to: &to, max: 100, if_none_match: None, if_modified_since: None };
    let err = fetcher().download(&download).unwrap_err();
    assert!(matches!(err.kind, FetchErrorKind::Short));
    assert!(!to.exists());
    let done = fetcher().download(&download).unwrap();
    assert!(matches!(done, Downloaded::File { len: 6, resumed: 3, .. }), "{done:?}");
    assert_eq!(fs::read(&to).unwrap(), b"abcdef");
    let second = asked.iter().nth(1).unwrap();
    assert!(
        second.contains("Range: bytes=3-\r\n") && second.contains("If-Range: \"1\"\r\n"),
        "{second}"
    );
    // The file is another by now.
    let other = "HTTP/1.1 200 OK\r\nETag: \"2\"\r\nContent-Length: 2\r\n\r\nxy";
    let (port, _asked) = serve(vec![head.into(), other.into()]);
    let url = format!("http://127.0.0.1:{port}/f");
    let download = Download { url: &url, ..download };
    fetcher().download(&download).unwrap_err();
    fetcher().download(&download).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"xy");
}

#[test]
fn proxies() {
    let found = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na".to_vec();
    let refused = b"HTTP/1.1 407 Auth\r\n\r\n".to_vec();
    let (port, asked) = serve(vec![found, refused]);
    let login = Some(("me".to_owned(), "secret".to_owned()));
    let proxy = Some(Proxy { host: "127.0.0.1".to_owned(), port, login });
    let local_address = Some("127.0.0.1".parse().unwrap());
    let options = FetchOptions { proxy, local_address, ..fetcher().options().clone() };
    let fetcher = Fetcher::new(options);
    fetcher.get(&Request::new("http://mirror.example/x?y")).unwrap();
    let first = asked.recv().unwrap();
    assert!(
        first.starts_with("GET http://mirror.example/x?y HTTP/1.1\r\nHost: mirror.example\r\n"),
        "{first}"
    );
    assert!(first.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{first}");
    let err = fetcher.get(&Request::new("https://mirror.example/x")).unwrap_err();
    assert!(matches!(err.kind, FetchErrorKind::Proxy(407)));
    assert!(asked.recv().unwrap().starts_with("CONNECT mirror.example:443 HTTP/1.1\r\n"));
}
