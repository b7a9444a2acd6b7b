//! Milter by raw packets, as a mail server sends them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{House, MAIL_MARK, MARKED, NAME};

pub(crate) const CONFIG: &str = "[milter]\nlisten = [\"127.0.0.1:0\"]\nmax-file-bytes = 100000\n";

/// A mail server's side.
pub(crate) struct Server {
    stream: TcpStream,
}

impl Server {
    pub(crate) fn new(house: &House) -> Self {
        Self { stream: house.connect("milter") }
    }

    pub(crate) fn send(&mut self, code: u8, data: &[u8]) {
        let len = u32::try_from(data.len() + 1).unwrap();
        self.stream.write_all(&[len.to_be_bytes().as_slice(), &[code], data].concat()).unwrap();
    }

    /// Returns the code and data of the next answer.
    pub(crate) fn answer(&mut self) -> (char, Vec<u8>) {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len).unwrap();
        let mut data = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap()];
        self.stream.read_exact(&mut data).unwrap();
        (char::from(data.remove(0)), data)
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, code: u8, data: &[u8]) -> char {
        self.send(code, data);
        self.answer().0
    }

    /// Agrees on everything that is offered.
    pub(crate) fn negotiate(&mut self, actions: u32) {
        let words = [6_u32, actions, 0x1f_ffff];
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.send(b'O', &data);
        let (code, data) = self.answer();
        assert_eq!((code, data.len(), data[3]), ('O', 12, 6));
    }

    pub(crate) fn connect(&mut self, address: &str) -> char {
        self.ask(b'C', format!("client\x004\x01\x01{address}\0").as_bytes())
    }

    /// Sends a message; returns all answers to its end, the deciding one last.
    pub(crate) fn message(&mut self, fields: &[(&str, &str)], body: &[u8]) -> Vec<String> {
        self.send(b'D', b"M{mail_addr}\0a@x\0");
        assert_eq!(self.ask(b'M', b"<a@x>\0SIZE=9\0"), 'c');
        assert_eq!(self.ask(b'R', b"<b@y>\0"), 'c');
        self.send(b'D', b"Ti\x004QUEUE\0");
        for (name, value) in fields {
            self.send(b'L', format!("{name}\0 {value}\0").as_bytes());
        }
        self.send(b'N', b"");
        for part in body.chunks(65_535) {
            let code = self.ask(b'B', part);
            if code == 's' {
                break;
            }
            assert_eq!(code, 'c');
        }
        self.send(b'E', b"");
        let mut answers = Vec::new();
        loop {
            let (code, data) = self.answer();
            answers.push(format!("{code} {}", String::from_utf8_lossy(&data).replace('\0', "|")));
            if !"hmqp".contains(code) {
                return answers.into_iter().map(|line| line.trim().to_owned()).collect();
            }
        }
    }
}

const FIELDS: [(&str, &str); 3] =
    [("Received", "from z\n\tby y"), ("Subject", "s"), ("X-Virus-Status", "Clean")];

/// Begins a session of a server that can do everything.
fn session(house: &House) -> Server {
    let mut server = Server::new(house);
    server.negotiate(0x1ff);
    assert_eq!(server.connect("192.0.2.1"), 'c');
    server
}

#[track_caller]
fn decides(config: &str, want_clean: &[&str], want_marked: &[&str]) {
    let house = House::start(&format!("{CONFIG}{config}"), |_| ());
    let mut server = session(&house);
    // Several messages on one connection.
    assert_eq!(server.message(&FIELDS, b"clean\r\n"), want_clean);
    assert_eq!(server.message(&FIELDS, MARKED), want_marked);
    assert_eq!(server.message(&FIELDS, b"clean\r\n"), want_clean);
    server.send(b'Q', b"");
}

#[test]
fn policies() {
    let found = format!("q holdfast: Infected ({NAME})|");
    decides("", &["a"], &[&found, "a"]);
    decides("on-infected = \"reject\"\n", &["a"], &["r"]);
    let refusal = format!("y 550 5.7.1 no: {NAME}|");
    let config = "on-infected = \"reject\"\nreject-message = \"no: %v\"\n";
    decides(config, &["a"], &[&refusal]);
    decides("on-infected = \"discard\"\non-clean = \"tempfail\"\n", &["t"], &["d"]);
    let by = "report-hostname = \"mx\"\n";
    let scanned = concat!("h X-Virus-Scanned| holdfast ", env!("CARGO_PKG_VERSION"), " at mx|");
    let (clean, infected) =
        ("h X-Virus-Status| Clean|", format!("h X-Virus-Status| Infected ({NAME})|"));
    decides(
        &format!("{by}on-infected = \"accept\"\nadd-header = \"add\"\n"),
        &[scanned, clean, "a"],
        &[scanned, &infected, "a"],
    );
    let removed = "m |||\u{1}X-Virus-Status||";
    decides(
        &format!("{by}on-infected = \"accept\"\nadd-header = \"replace\"\n"),
        &[removed, scanned, clean, "a"],
        &[removed, scanned, &infected, "a"],
    );
}

#[test]
fn a_message_is_scanned_as_mail() {
    let house = House::start(&format!("{CONFIG}on-infected = \"reject\"\n"), |_| ());
    let mut server = session(&house);
    // Neither field is one by which mail is known.
    let fields = [("DKIM-Signature", "v=1"), ("MIME-Version", "1.0")];
    assert_eq!(server.message(&fields, MAIL_MARK.as_bytes()), ["r"]);
    // An attachment in base64, cut anywhere by packets.
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(MARKED);
    let fields = [("Content-Type", "multipart/mixed; boundary=b")];
    let body = format!(
        "--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {encoded}\r\n--b--\r\n"
    );
    assert_eq!(server.message(&fields, body.as_bytes()), ["r"]);
}

#[test]
fn a_server_that_cannot_hold_tries_again() {
    let house = House::start(&format!("{CONFIG}add-header = \"add\"\n"), |_| ());
    let mut server = Server::new(&house);
    server.negotiate(0x01);
    assert_eq!(server.connect("192.0.2.1"), 'c');
    assert_eq!(server.message(&FIELDS, MARKED), ["t"]);
    assert!(house.log().contains("cannot hold messages"), "{}", house.log());
}

#[test]
fn large_messages_are_skipped() {
    let body = [MARKED, &[b'x'; 200_000]].concat();
    for (config, want) in [("", "a"), ("on-too-large = \"tempfail\"\n", "t")] {
        let house = House::start(&format!("{CONFIG}{config}"), |_| ());
        assert_eq!(session(&house).message(&FIELDS, &body), [want]);
        assert_eq!(house.service.metrics().scans, 0);
    }
}

#[test]
fn some_mail_is_not_scanned() {
    let config = format!(
        "{CONFIG}on-infected = \"reject\"\nlocal-net = [\"10.0.0.0/8\"]\nallow-list = \"@/list\"\n\
         skip-authenticated = \"^anna$\"\n"
    );
    let house = House::start(&config, |folder| {
        fs::write(folder.join("list"), "From:^trusted@\nTo:^spam-trap@\n").unwrap();
    });
    let mut server = Server::new(&house);
    server.negotiate(0x1ff);
    assert_eq!(server.connect("10.1.2.3"), 'a', "the whole connection");
    let mut server = session(&house);
    assert_eq!(server.ask(b'M', b"<trusted@x>\0"), 'a');
    server.send(b'A', b"");
    server.send(b'D', b"M{auth_authen}\0anna\0");
    assert_eq!(server.ask(b'M', b"<c@x>\0"), 'a');
    server.send(b'A', b"");
    // Logins do not outlive their message.
    assert_eq!(server.message(&FIELDS, MARKED), ["r"]);
    for (recipients, want) in [(&["spam-trap@x"][..], 'a'), (&["spam-trap@x", "b@y"], 'r')] {
        assert_eq!(server.ask(b'M', b"<c@x>\0"), 'c');
        for recipient in recipients {
            assert_eq!(server.ask(b'R', format!("<{recipient}>\0").as_bytes()), 'c');
        }
        server.send(b'N', b"");
        assert_eq!(server.ask(b'B', MARKED), 'c');
        assert_eq!(server.ask(b'E', b""), want);
    }
}

#[test]
fn another_session_on_the_same_connection() {
    let house = House::start(&format!("{CONFIG}on-infected = \"reject\"\n"), |_| ());
    let mut server = session(&house);
    assert_eq!(server.message(&FIELDS, MARKED), ["r"]);
    server.send(b'K', b"");
    assert_eq!(server.connect("192.0.2.2"), 'c');
    assert_eq!(server.message(&FIELDS, b"clean"), ["a"]);
}

#[test]
fn a_program_is_run_without_a_shell() {
    let config = format!(
        "{CONFIG}virus-action = [\"/usr/bin/env\", \"-C\", \"@\", \"/bin/cp\", \"--\", \"source\"]\n"
    );
    // `cp -- source NAME QUEUE … DATE` fails as its target is no folder; a shell would have run `id`.
    let house = House::start(&config, |_| ());
    let mut server = session(&house);
    let fields = [("Subject", "$(id > pwned); `id > pwned`"), ("Date", "no such folder")];
    let found = format!("q holdfast: Infected ({NAME})|");
    assert_eq!(server.message(&fields, MARKED), [found.as_str(), "a"]);
    assert!(!house.folder.path().join("pwned").exists());
    let log = house.log();
    assert!(log.contains("virus-action /usr/bin/env: exit status: 1"), "{log}");
}

#[test]
fn the_log_names_messages() {
    let config = format!("{CONFIG}log-infected = \"full\"\nlog-clean = \"basic\"\n");
    let house = House::start(&config, |_| ());
    let mut server = session(&house);
    server.message(&[("Subject", "a\n\tb\u{1b}[31m"), ("Message-ID", "<i@x>")], MARKED);
    server.message(&FIELDS, b"clean");
    let log = house.log();
    let want = format!(
        "Message 4QUEUE from <a@x> to <b@y> with subject 'a  b [31m' message-id '<i@x>' date '' \
         infected by {NAME}\nMessage 4QUEUE from <a@x> to <b@y> clean"
    );
    assert!(log.contains(&want), "{log}");
}
