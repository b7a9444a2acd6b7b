//! A web server for a folder that counts what it is asked.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The server; it ends with the test's process.
pub(crate) struct Counter {
    pub(crate) address: String,
    counts: Arc<[AtomicU64; 2]>,
}

impl Counter {
    pub(crate) fn serve(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let counted = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &folder, &counted);
            }
        });
        Self { address, counts }
    }

    /// Returns how many questions came since the last call, and the bytes of both directions.
    pub(crate) fn reset(&self) -> (u64, u64) {
        let [questions, bytes] = &*self.counts;
        (questions.swap(0, Ordering::SeqCst), bytes.swap(0, Ordering::SeqCst))
    }
}

/// Answers one question, and counts before it does.
fn answer(mut stream: TcpStream, folder: &Path, counts: &[AtomicU64; 2]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let (status, body) = match fs::read(folder.join(path)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let mut reply =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
            .into_bytes();
    reply.extend(body);
    counts[0].fetch_add(1, Ordering::SeqCst);
    counts[1].fetch_add((head.len() + reply.len()) as u64, Ordering::SeqCst);
    stream.write_all(&reply)
}
