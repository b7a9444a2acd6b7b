//! A real Postfix with the milter before its queue: an instance of its own, on ports of loopback.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{House, MARKED, NAME, missing, run, wait_for};

/// A mail server at the end of the way, which keeps what it gets.
struct Sink {
    at: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
}

impl Sink {
    fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&mails);
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let keep = Arc::clone(&keep);
                std::thread::spawn(move || drop(take(stream, &keep)));
            }
        });
        Self { at, mails }
    }
}

fn take(stream: TcpStream, mails: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    out.write_all(b"220 sink\r\n")?;
    let mut mail: Option<String> = None;
    for line in BufReader::new(stream).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end_matches('\r').to_owned();
        if let Some(text) = &mut mail {
            if line == "." {
                mails.lock().unwrap().extend(mail.take());
                out.write_all(b"250 kept\r\n")?;
            } else {
                text.push_str(&line);
                text.push('\n');
            }
            continue;
        }
        let answer: &[u8] = match line.get(..4).unwrap_or_default() {
            "DATA" => {
                mail = Some(String::new());
                b"354 go\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            "EHLO" => b"500 no\r\n",
            _ => b"250 ok\r\n",
        };
        out.write_all(answer)?;
    }
    Ok(())
}

/// An instance of Postfix.
struct Postfix {
    folder: PathBuf,
    port: u16,
}

impl Postfix {
    fn start(folder: &Path, milter: SocketAddr, sink: SocketAddr) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let name = folder.display();
        for part in ["conf", "queue", "data"] {
            fs::create_dir(folder.join(part)).unwrap();
        }
        run(Command::new("chown").arg("postfix").arg(folder.join("data")));
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {name}/queue\ndata_directory = {name}/data\n\
             daemon_directory = /usr/lib/postfix/sbin\ncommand_directory = /usr/sbin\n\
             mail_owner = postfix\nsetgid_group = postdrop\nmyhostname = mx.test\nmydestination =\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
             relayhost = [127.0.0.1]:{}\nsmtp_host_lookup = native\nsmtp_tls_security_level = none\n\
             smtpd_milters = inet:127.0.0.1:{}\nmilter_default_action = tempfail\n\
             alias_maps =\nalias_database =\nmaillog_file = {name}/maillog\n\
             maillog_file_prefixes = {name}\n",
            sink.port(),
            milter.port(),
        );
        fs::write(folder.join("conf/main.cf"), main).unwrap();
        let master = format!(
            "127.0.0.1:{port} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\n\
             cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\n\
             bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
             error unix - - n - - error\nretry unix - - n - - error\nsmtp unix - - n - - smtp\n\
             showq unix n - n - - showq\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
             postlog unix-dgram n - n - 1 postlogd\nproxymap unix - - n - - proxymap\n\
             tlsmgr unix - - n 1000? 1 tlsmgr\n"
        );
        fs::write(folder.join("conf/master.cf"), master).unwrap();
        let postfix = Self { folder: folder.to_owned(), port };
        run(postfix.command("postfix").arg("start"));
        wait_for("Postfix", || TcpStream::connect(("127.0.0.1", port)).ok());
        postfix
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(format!("/usr/sbin/{program}"));
        command.arg("-c").arg(self.folder.join("conf"));
        command
    }

    /// Sends a mail by SMTP; returns the answer to its end.
    fn send(&self, subject: &str, body: &str) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut out = stream;
        let mut answer = |what: &[u8]| {
            out.write_all(what).unwrap();
            lines.next().unwrap().unwrap()
        };
        assert!(answer(b"").starts_with("220"));
        for command in ["HELO c.test", "MAIL FROM:<a@c.test>", "RCPT TO:<b@d.test>"] {
            let told = answer(format!("{command}\r\n").as_bytes());
            assert!(told.starts_with("250"), "{command}: {told}");
        }
        assert!(answer(b"DATA\r\n").starts_with("354"));
        let mail = format!("Subject: {subject}\r\nX-Virus-Status: Clean\r\n\r\n{body}\r\n.\r\n");
        answer(mail.as_bytes())
    }

    fn queue(&self) -> String {
        let output = run(self.command("postqueue").arg("-j"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.command("postfix").args(["abort"]).output();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("maillog"));
            eprintln!("{}", log.unwrap_or_default());
        }
    }
}

fn absent() -> bool {
    if missing(&["postfix", "postqueue"]) {
        return true;
    }
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can start Postfix");
    }
    !root
}

fn start(policy: &str) -> (House, Sink, Postfix) {
    let config =
        format!("[milter]\nlisten = [\"127.0.0.1:0\"]\nadd-header = \"replace\"\n{policy}");
    // Under Postfix's eyes the whole way to its folder is open.
    let house = House::start(&config, |folder| {
        run(Command::new("chmod").arg("755").arg(folder));
    });
    let sink = Sink::start();
    let postfix = Postfix::start(house.folder.path(), house.at("milter"), sink.at);
    (house, sink, postfix)
}

fn marked() -> String {
    String::from_utf8_lossy(MARKED).into_owned()
}

#[test]
fn postfix_rejects_and_marks() {
    if absent() {
        return;
    }
    let (house, sink, postfix) = start(
        "on-infected = \"reject\"\nreject-message = \"found %v\"\nreport-hostname = \"mx\"\n",
    );
    let answer = postfix.send("one", "clean");
    assert!(answer.starts_with("250"), "{answer}");
    let mail = wait_for("the mail", || sink.mails.lock().unwrap().first().cloned());
    assert!(
        mail.contains("\nX-Virus-Status: Clean\n") && mail.contains("\nX-Virus-Scanned: holdfast")
    );
    assert_eq!(mail.matches("X-Virus-Status").count(), 1, "the forged field is gone: {mail}");
    let answer = postfix.send("two", &marked());
    assert_eq!(answer, format!("550 5.7.1 found {NAME}"));
    // An attachment in base64, and much of it.
    use base64::Engine as _;
    let data = [vec![b'x'; 300_000], MARKED.to_vec()].concat();
    let encoded = base64::engine::general_purpose::STANDARD.encode(data);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let subject = "three\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64";
    let answer = postfix.send(subject, &lines.join("\r\n"));
    assert_eq!(answer, format!("550 5.7.1 found {NAME}"));
    assert!(postfix.send("four", "clean").starts_with("250"));
    wait_for("the last mail", || (sink.mails.lock().unwrap().len() == 2).then_some(()));
    assert_eq!(house.service.metrics().detected, 2);
}

#[test]
fn postfix_holds_discards_and_defers() {
    if absent() {
        return;
    }
    let (house, sink, postfix) = start("");
    let answer = postfix.send("held", &marked());
    assert!(answer.starts_with("250"), "{answer}");
    let queue = wait_for("a held mail", || Some(postfix.queue()).filter(|text| !text.is_empty()));
    assert!(queue.contains("\"queue_name\": \"hold\""), "{queue}");
    assert!(house.log().contains(&format!("infected by {NAME}")), "{}", house.log());
    assert!(sink.mails.lock().unwrap().is_empty());
    drop((postfix, house));
    let (house, sink, postfix) = start("on-infected = \"discard\"\n");
    assert!(postfix.send("gone", &marked()).starts_with("250"));
    assert!(postfix.send("stays", "clean").starts_with("250"));
    let mail = wait_for("the other", || sink.mails.lock().unwrap().first().cloned());
    assert!(mail.contains("Subject: stays"));
    wait_for("an empty queue", || postfix.queue().is_empty().then_some(()));
    assert_eq!(sink.mails.lock().unwrap().len(), 1);
    drop((postfix, house));
    let (_house, _, postfix) = start("on-infected = \"tempfail\"\n");
    let answer = postfix.send("later", &marked());
    assert!(answer.starts_with("451"), "{answer}");
}

#[test]
fn postfix_defers_when_the_milter_is_gone() {
    if absent() {
        return;
    }
    let (house, _, postfix) = start("");
    assert!(postfix.send("one", "clean").starts_with("250"));
    house.service.shutdown();
    let stream = TcpStream::connect(("127.0.0.1", postfix.port)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.starts_with('4') || line.starts_with("220"), "{line}");
}
