//! Asks the system's name servers for a text record, in which mirrors announce versions.
//!
//! Promises: three tries of five seconds at most for each of three servers; an answer is believed only when it has the
//! question's number and repeats the question; every step through it is bounded.
//! Leaves out: everything but TXT; caching; DNSSEC (what is fetched is signed, a wrong version costs one request).
//! Sources: RFC 1035 §4.1 and §4.2.2, RFC 6891 §6.1.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::cooldown::random;

/// Why there is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name cannot be asked for.
    #[error("not a name: {0}")]
    Name(String),
    /// Nobody answers.
    #[error("no answer from any name server")]
    Silence,
    /// There is no such record.
    #[error("no such record")]
    Missing,
    /// An answer that breaks the rules.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
}

const TXT: u16 = 16;
const IN: u16 = 1;
/// Ours.
const PATIENCE: Duration = Duration::from_secs(5);
const SERVERS_MAX: usize = 3;
/// Largest answer by UDP that is asked for.
const UDP_MAX: u16 = 1232;

/// Returns the text of a name's first TXT record.
///
/// # Errors
/// See [`DnsError`].
pub fn txt(name: &str) -> Result<String, DnsError> {
    txt_from(&servers(), name, PATIENCE)
}

/// Asks these servers.
///
/// # Errors
/// See [`DnsError`].
pub fn txt_from(
    servers: &[SocketAddr],
    name: &str,
    patience: Duration,
) -> Result<String, DnsError> {
    let mut why = DnsError::Silence;
    for _ in 0..2 {
        for server in servers.iter().take(SERVERS_MAX) {
            let number = u16::from_le_bytes(random());
            let question = question(name, number)?;
            match ask(*server, &question, number, patience) {
                Some(Ok(text)) => return Ok(text),
                Some(Err(DnsError::Missing)) => return Err(DnsError::Missing),
                Some(Err(err)) => why = err,
                None => {}
            }
        }
    }
    Err(why)
}

/// Returns the servers that the system is set to (resolv.conf(5)).
fn servers() -> Vec<SocketAddr> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        .filter_map(|word| word.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::from(([127, 0, 0, 1], 53)));
    }
    servers
}

fn ask(
    server: SocketAddr,
    question: &[u8],
    number: u16,
    patience: Duration,
) -> Option<Result<String, DnsError>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(server).ok()?;
    socket.send(question).ok()?;
    let until = Instant::now().checked_add(patience)?;
    let mut answer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        socket.set_read_timeout(Some(left)).ok()?;
        let len = socket.recv(&mut answer).ok()?;
        let bytes = answer.get(..len)?;
        // Somebody else's answer: the right one may still come.
        if bytes.get(..2) != Some(&number.to_be_bytes()[..]) {
            continue;
        }
        let cut_off = bytes.get(2).is_some_and(|flags| flags & 2 != 0);
        return match cut_off {
            true => Some(by_tcp(server, question, number, patience)?),
            false => Some(read(bytes, question, number)),
        };
    }
}

fn by_tcp(
    server: SocketAddr,
    question: &[u8],
    number: u16,
    patience: Duration,
) -> Option<Result<String, DnsError>> {
    let mut stream = TcpStream::connect_timeout(&server, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.set_write_timeout(Some(patience)).ok()?;
    stream.write_all(&u16::try_from(question.len()).ok()?.to_be_bytes()).ok()?;
    stream.write_all(question).ok()?;
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut answer).ok()?;
    Some(read(&answer, question, number))
}

/// Writes a question, with room for a long answer (EDNS).
fn question(name: &str, number: u16) -> Result<Vec<u8>, DnsError> {
    let bad = || DnsError::Name(name.to_owned());
    let mut out = number.to_be_bytes().to_vec();
    // Recursion is desired; one question, one additional record.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.trim_end_matches('.').split('.') {
        let len =
            u8::try_from(label.len()).ok().filter(|len| (1..64).contains(len)).ok_or_else(bad)?;
        out.push(len);
        out.extend_from_slice(label.as_bytes());
    }
    if out.len() > 12 + 254 {
        return Err(bad());
    }
    out.push(0);
    out.extend_from_slice(&TXT.to_be_bytes());
    out.extend_from_slice(&IN.to_be_bytes());
    out.extend_from_slice(&[0, 0, 41]);
    out.extend_from_slice(&UDP_MAX.to_be_bytes());
    out.extend_from_slice(&[0; 6]);
    Ok(out)
}

/// Reads an answer to a question; for tests and fuzzing.
///
/// # Errors
/// See [`DnsError`].
pub fn read(answer: &[u8], question: &[u8], number: u16) -> Result<String, DnsError> {
    let malformed = DnsError::Malformed;
    let word = |at: usize| {
        let bytes =
            answer.get(at..at.saturating_add(2)).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok());
        bytes.map(u16::from_be_bytes).ok_or(malformed("it is cut off"))
    };
    if word(0)? != number || word(2)? & 0x8000 == 0 || word(4)? != 1 {
        return Err(malformed("it is no answer to the question"));
    }
    match word(2)? & 15 {
        0 => {}
        3 => return Err(DnsError::Missing),
        _ => return Err(malformed("the server refuses")),
    }
    let asked_len = question.len().saturating_sub(12 + 11);
    let asked = question.get(12..asked_len.saturating_add(12)).unwrap_or_default();
    let repeated = answer.get(12..asked_len.saturating_add(12)).unwrap_or_default();
    if !asked.eq_ignore_ascii_case(repeated) {
        return Err(malformed("it answers another question"));
    }
    let mut at = asked_len.saturating_add(12);
    for _ in 0..word(6)?.min(64) {
        at = past_name(answer, at)?;
        let kind = word(at)?;
        let class = word(at.saturating_add(2))?;
        let len = usize::from(word(at.saturating_add(8))?);
        let start = at.saturating_add(10);
        let data =
            answer.get(start..start.saturating_add(len)).ok_or(malformed("it is cut off"))?;
        if kind == TXT && class == IN {
            return text_of(data);
        }
        at = start.saturating_add(len);
    }
    Err(DnsError::Missing)
}

/// Steps over a name, whose rest may stand elsewhere; that is not followed.
fn past_name(answer: &[u8], mut at: usize) -> Result<usize, DnsError> {
    for _ in 0..128 {
        let len = usize::from(*answer.get(at).ok_or(DnsError::Malformed("it is cut off"))?);
        match len {
            0 => return Ok(at.saturating_add(1)),
            1..64 => at = at.saturating_add(len).saturating_add(1),
            192.. => return Ok(at.saturating_add(2)),
            _ => return Err(DnsError::Malformed("a label of no known kind")),
        }
    }
    Err(DnsError::Malformed("a name without an end"))
}

/// Joins the strings of a record.
fn text_of(mut data: &[u8]) -> Result<String, DnsError> {
    let mut text = Vec::new();
    while let Some((len, rest)) = data.split_first() {
        let len = usize::from(*len);
        text.extend_from_slice(rest.get(..len).ok_or(DnsError::Malformed("a string is cut off"))?);
        data = rest.get(len..).unwrap_or_default();
    }
    String::from_utf8(text).map_err(|_| DnsError::Malformed("it is not text"))
}

/// What the record of versions says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// Newest version of ClamAV.
    pub engine: String,
    /// Versions of `main`, `daily` and `bytecode`.
    pub main: Option<u32>,
    /// See above.
    pub daily: Option<u32>,
    /// See above.
    pub bytecode: Option<u32>,
    /// When the record was written, in seconds since 1970.
    pub at: u64,
    /// The flag of a warning about versions is not `0`.
    pub warn: bool,
    /// Recommended functionality level.
    pub flevel: u32,
}

impl Versions {
    /// Reads the record (`1.4.3:62:27400:1700000000:1:90:49192:336`).
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.trim().split(':').collect();
        let number = |idx: usize| fields.get(idx).and_then(|text| text.parse::<u32>().ok());
        Some(Self {
            engine: (*fields.first()?).to_owned(),
            main: number(1),
            daily: number(2),
            at: fields.get(3)?.parse().ok()?,
            warn: fields.get(4).is_some_and(|flag| *flag != "0"),
            flevel: number(5).unwrap_or(0),
            bytecode: number(7),
        })
    }

    /// Returns the version of a database.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<u32> {
        match name {
            "main" => self.main,
            "daily" => self.daily,
            "bytecode" => self.bytecode,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(question: &[u8], records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = question[..2].to_vec();
        out.extend_from_slice(&[
            0x81,
            0x80,
            0,
            1,
            0,
            u8::try_from(records.len()).unwrap(),
            0,
            0,
            0,
            0,
        ]);
        out.extend_from_slice(&question[12..question.len() - 11]);
        for (kind, data) in records {
            out.extend_from_slice(&[0xc0, 12]);
            out.extend_from_slice(&kind.to_be_bytes());
            out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            out.extend_from_slice(data);
        }
        out
    }

    #[test]
    fn records() {
        let asked = question("current.cvd.example", 7).unwrap();
        let good = answer(&asked, &[(5, &[0]), (16, b"\x03a:1\x02:2")]);
        assert_eq!(read(&good, &asked, 7).unwrap(), "a:1:2");
        assert_eq!(read(&answer(&asked, &[]), &asked, 7), Err(DnsError::Missing));
        assert!(read(&good, &asked, 8).is_err());
        let other = question("another.cvd.example", 7).unwrap();
        assert!(read(&good, &other, 7).is_err());
        for len in 0..good.len() {
            assert!(read(&good[..len], &asked, 7).is_err(), "{len}");
        }
        assert!(question("", 1).is_err() && question(&"a".repeat(64), 1).is_err());
    }

    #[test]
    fn servers_that_answer() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut bytes = [0; 512];
            let (len, from) = server.recv_from(&mut bytes).unwrap();
            let mut wrong = answer(&bytes[..len], &[(16, b"\x01x")]);
            wrong[0] ^= 1;
            server.send_to(&wrong, from).unwrap();
            server.send_to(&answer(&bytes[..len], &[(16, b"\x04text")]), from).unwrap();
        });
        assert_eq!(txt_from(&[address], "a.example", PATIENCE).unwrap(), "text");
        thread.join().unwrap();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let short = Duration::from_millis(50);
        assert_eq!(txt_from(&[address], "a.example", short), Err(DnsError::Silence));
    }

    #[test]
    fn versions() {
        let versions = Versions::read("1.4.3:62:27400:1700000000:1:90:49192:336").unwrap();
        assert_eq!((versions.of("main"), versions.of("daily")), (Some(62), Some(27400)));
        assert_eq!((versions.of("bytecode"), versions.warn), (Some(336), true));
        assert_eq!(Versions::read("x"), None);
    }
}
