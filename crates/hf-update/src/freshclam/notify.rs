//! What is done after an update: `clamd` is told, and the owner's commands are run.
//!
//! Commands are the owner's words and run by `/bin/sh -c`, as ClamAV's documentation says. The only thing of a peer's that
//! comes into one is the version behind `%v`: it is cut down to letters, digits, dots and dashes.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::clamav::{Level, Voice};

/// Ours: clamd answers at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells `clamd` to load its databases anew; its configuration says where it listens.
pub(super) fn clamd(configuration: &str, voice: &mut dyn Voice) {
    let Ok(text) = fs::read_to_string(configuration) else {
        voice.say(
            Level::Error,
            &format!("NotifyClamd: Can't find or parse configuration file {configuration}"),
        );
        return;
    };
    let value = |name: &str| {
        let lines = text.lines().map(str::trim);
        let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix([' ', '\t']));
        found.next().map(|value| value.trim().trim_matches('"').to_owned())
    };
    let (place, done) = if let Some(path) = value("LocalSocket") {
        let asked = UnixStream::connect(&path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            reload(stream)
        });
        (path, asked)
    } else if let Some(port) = value("TCPSocket").and_then(|text| text.parse::<u16>().ok()) {
        let host = value("TCPAddr").unwrap_or_else(|| "127.0.0.1".to_owned());
        let asked = (host.as_str(), port).to_socket_addrs().and_then(|mut list| {
            let address = list.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            reload(stream)
        });
        (format!("{host}:{port}"), asked)
    } else {
        voice.say(Level::Warning, "Clamd was NOT notified: No communication socket specified.");
        return;
    };
    match done {
        Ok(answer) if answer.starts_with("RELOADING") => {
            voice.say(Level::Info, "Clamd successfully notified about the update.");
        }
        Ok(answer) => voice.say(
            Level::Warning,
            &format!("Clamd was NOT notified: unexpected answer '{}'", answer.trim()),
        ),
        Err(err) => {
            let why = err.to_string();
            let why = why.split(" (os error").next().unwrap_or_default();
            voice.say(
                Level::Warning,
                &format!("Clamd was NOT notified: Can't connect to clamd through {place}: {why}"),
            );
        }
    }
}

fn reload(mut stream: impl Read + Write) -> std::io::Result<String> {
    stream.write_all(b"RELOAD\n")?;
    let mut answer = [0; 64];
    let len = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(answer.get(..len).unwrap_or_default()).into_owned())
}

/// Runs one of the owner's commands; returns a number when it is `EXIT_n`.
pub(super) fn execute(
    command: &str,
    version: &str,
    wait: bool,
    voice: &mut dyn Voice,
) -> Option<u8> {
    if let Some(number) = command.strip_prefix("EXIT_") {
        return Some(number.parse().unwrap_or(0));
    }
    let safe: String =
        version.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    let command = command.replace("%v", &safe);
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(&command).stdin(Stdio::null());
    match shell.spawn() {
        Ok(mut child) => {
            if wait {
                let _ = child.wait();
            } else {
                // In a daemon somebody has to wait for it.
                std::thread::spawn(move || child.wait());
            }
        }
        Err(err) => voice.say(Level::Error, &format!("Can't execute '{command}': {err}")),
    }
    None
}
