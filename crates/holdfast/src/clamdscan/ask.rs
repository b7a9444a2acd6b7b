//! What is asked of the daemon itself: is it there, which version, reload.

use std::time::Duration;

use super::config::Config;
use super::connection::Connection;
use crate::clamav::CLAMAV_VERSION;
use crate::clamav::output::Output;

/// Exit codes that ClamAV has for these.
pub(crate) const TIMED_OUT: u8 = 21;
pub(crate) const BAD_WORDS: u8 = 34;

/// How often the daemon is tried, and how many seconds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tries {
    attempts: u64,
    interval: u64,
}

/// What `--wait` alone means.
pub(crate) const WAIT: Tries = Tries { attempts: 30, interval: 1 };

impl Tries {
    /// Reads `A[:I]`.
    ///
    /// # Errors
    /// The line to tell.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (attempts, interval) = text.split_once(':').unwrap_or((text, ""));
        let number = |text: &str, name: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("WARNING: {name} would go past end of buffer"));
            }
            Ok(text.parse::<u64>().unwrap_or(1).max(1))
        };
        Ok(Self {
            attempts: number(attempts, "attempt_str")?,
            interval: number(interval, "interval_str")?,
        })
    }
}

/// Returns the answer to a command that has one.
fn ask(config: &Config, command: &[u8], out: &mut Output) -> Option<Vec<u8>> {
    let mut connection = match Connection::open(config) {
        Ok(connection) => connection,
        Err(lines) => {
            lines.iter().for_each(|line| out.error(line));
            return None;
        }
    };
    connection.command(command).ok()?;
    connection.reply().ok().flatten()
}

/// `--version`.
pub(crate) fn version(config: &Config, out: &mut Output) {
    let told = ask(config, b"VERSION", out).filter(|line| line.starts_with(b"ClamAV "));
    let told = told.unwrap_or_else(|| format!("ClamAV {CLAMAV_VERSION}").into_bytes());
    out.line(&told);
}

/// `--reload`; false when the daemon does not do it.
pub(crate) fn reload(config: &Config, out: &mut Output) -> bool {
    match ask(config, b"RELOAD", out) {
        Some(line) if line == b"RELOADING" => true,
        Some(line) => {
            let line = String::from_utf8_lossy(&line).into_owned();
            out.error(&format!("ERROR: Clamd did not reload the database: {line}"));
            false
        }
        None => false,
    }
}

/// `--ping`; false when no try was answered.
pub(crate) fn ping(config: &Config, tries: Tries, out: &mut Output) -> bool {
    let Tries { attempts, interval } = tries;
    let plural = if interval == 1 { "" } else { "s" };
    let between = format!("Could not connect, will PING again in {interval} second{plural}");
    if until_answered(config, tries, out, Some(&between)) {
        out.line(b"PONG");
        return true;
    }
    debug_assert!(attempts > 0, "there was a try");
    out.line(b"PING timeout exceeded; No response from clamd");
    false
}

/// `--wait`; false when the daemon did not come.
pub(crate) fn wait(config: &Config, tries: Tries, out: &mut Output) -> bool {
    if until_answered(config, tries, out, None) {
        return true;
    }
    out.line(b"Wait timeout exceeded; Could not connect to clamd");
    false
}

fn until_answered(config: &Config, tries: Tries, out: &mut Output, between: Option<&str>) -> bool {
    for left in (0..tries.attempts).rev() {
        if ask(config, b"PING", out).is_some_and(|line| line == b"PONG") {
            return true;
        }
        if left > 0 {
            if let Some(line) = between {
                out.line(line.as_bytes());
            }
            std::thread::sleep(Duration::from_secs(tries.interval));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries() {
        let tries = |attempts, interval| Ok(Tries { attempts, interval });
        for (text, want) in [("3", tries(3, 1)), ("3:5", tries(3, 5)), ("-1", tries(1, 1))] {
            assert_eq!(Tries::parse(text), want);
        }
        for (text, want) in [(":4", tries(1, 4)), ("0", tries(1, 1)), ("2:", tries(2, 1))] {
            assert_eq!(Tries::parse(text), want);
        }
        assert!(Tries::parse("x").unwrap_err().contains("attempt_str"));
        assert!(Tries::parse("1:1:1").unwrap_err().contains("interval_str"));
    }
}
