//! Commands of the clamd protocol in a stream of bytes.
//!
//! A command is `nCMD\n`, `zCMD\0`, or plain: then the first bytes that arrive are all of it, up to a
//! line feed. Upper case only.
//! Promises: pure; at most [`COMMAND_MAX`] bytes are looked at.
//! Sources: clamd(8); replies of clamd 1.4.6 to each command in each framing.

/// How a command is framed, and so its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No prefix.
    Plain,
    /// `n…\n`.
    Line,
    /// `z…\0`.
    Nul,
}

impl Framing {
    /// Returns what ends a reply.
    #[must_use]
    pub fn end(self) -> u8 {
        if self == Self::Nul { 0 } else { b'\n' }
    }
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// `PONG`.
    Ping,
    /// Version of engine and database.
    Version,
    /// Version, and the commands.
    VersionCommands,
    /// Content anew.
    Reload,
    /// Content anew if it has changed.
    SelfCheck,
    /// The end of the service (also `QUIT`).
    Shutdown,
    /// Queue and workers.
    Stats,
    /// A path.
    Scan(PathScan, &'a [u8]),
    /// A descriptor that comes with the next byte.
    Fildes,
    /// A stream in chunks.
    Instream,
    /// Several commands on one connection.
    Session,
    /// The end of a session.
    End,
    /// Known, and answered by closing.
    Silent,
    /// Not a command, or not in this framing.
    Unknown,
}

/// How a path is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathScan {
    /// Up to the first finding.
    First,
    /// Everything.
    All,
    /// Everything, in whatever order it is done.
    Parallel,
    /// Up to the first file with findings, all of which are told.
    AllMatches,
}

/// What there is at the beginning of what has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A command, and the bytes that it takes.
    Command {
        /// The command.
        command: Command<'a>,
        /// Its framing.
        framing: Framing,
        /// Bytes of it with its frame.
        len: usize,
    },
    /// More has to come.
    Partial,
    /// No command is that long.
    TooLong,
}

/// Looks for a command. `whole` says that a plain command will not be continued: its first bytes
/// have come, or its sender is done.
#[must_use]
pub fn frame(bytes: &[u8], whole: bool) -> Frame<'_> {
    let (framing, end, skip) = match bytes.first() {
        None => return Frame::Partial,
        Some(b'n') => (Framing::Line, b'\n', 1),
        Some(b'z') => (Framing::Nul, 0, 1),
        Some(_) => (Framing::Plain, b'\n', 0),
    };
    let looked_at = bytes.get(..COMMAND_MAX).unwrap_or(bytes);
    let at = looked_at.iter().position(|b| *b == end);
    let (text, len) = match at {
        Some(at) => (looked_at.get(skip..at), at.saturating_add(1)),
        None if framing == Framing::Plain && whole => (Some(looked_at), looked_at.len()),
        None if bytes.len() >= COMMAND_MAX => return Frame::TooLong,
        None => return Frame::Partial,
    };
    let text = text.unwrap_or_default();
    let text =
        if framing == Framing::Nul { text } else { text.strip_suffix(b"\r").unwrap_or(text) };
    let command = command(text, framing);
    Frame::Command { command, framing, len }
}

fn command(text: &[u8], framing: Framing) -> Command<'_> {
    let (word, rest) = match text.iter().position(|b| *b == b' ') {
        Some(at) => (text.get(..at), text.get(at.saturating_add(1)..)),
        None => (Some(text), None),
    };
    let framed = framing != Framing::Plain;
    match (word.unwrap_or_default(), rest) {
        (b"SCAN", Some(path)) => Command::Scan(PathScan::First, path),
        (b"CONTSCAN", Some(path)) => Command::Scan(PathScan::All, path),
        (b"MULTISCAN", Some(path)) => Command::Scan(PathScan::Parallel, path),
        (b"ALLMATCHSCAN", Some(path)) if framed => Command::Scan(PathScan::AllMatches, path),
        (b"PING", None) => Command::Ping,
        (b"VERSION", None) => Command::Version,
        (b"RELOAD", None) => Command::Reload,
        (b"SHUTDOWN" | b"QUIT", None) => Command::Shutdown,
        (b"FILDES", None) => Command::Fildes,
        (b"SELFCHECK", None) if framed => Command::SelfCheck,
        (b"VERSIONCOMMANDS", None) if framed => Command::VersionCommands,
        (b"STATS", None) if framed => Command::Stats,
        (b"INSTREAM", None) if framed => Command::Instream,
        (b"IDSESSION", None) if framed => Command::Session,
        (b"END", None) if framed => Command::End,
        (b"DETSTATS" | b"DETSTATSCLEAR", None) if framed => Command::Silent,
        _ => Command::Unknown,
    }
}

/// ClamAV's: the longest path and eight bytes.
pub const COMMAND_MAX: usize = 4104;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], want: Command<'_>, want_len: usize) {
        match frame(bytes, true) {
            Frame::Command { command, len, .. } => assert_eq!((command, len), (want, want_len)),
            other => panic!("{other:?}"),
        }
    }

    /// Each was tried with clamd 1.4.6.
    #[test]
    fn commands() {
        check(b"PING", Command::Ping, 4);
        check(b"PING\r\n", Command::Ping, 6);
        check(b"nPING\r\nnPING\n", Command::Ping, 7);
        check(b"zPING\0", Command::Ping, 6);
        check(b"nping\n", Command::Unknown, 6);
        check(b"nPING x\n", Command::Unknown, 8);
        check(b"STATS\n", Command::Unknown, 6);
        check(b"nSCAN\n", Command::Unknown, 6);
        check(b"nSCAN \n", Command::Scan(PathScan::First, b""), 7);
        check(b"nSCAN  /a b\n", Command::Scan(PathScan::First, b" /a b"), 12);
        check(b"zMULTISCAN /a\n\0", Command::Scan(PathScan::Parallel, b"/a\n"), 15);
        check(b"ALLMATCHSCAN /a\n", Command::Unknown, 16);
        check(b"\n", Command::Unknown, 1);
        check(b"FILDES\n", Command::Fildes, 7);
        check(b"nEND\n", Command::End, 5);
    }

    #[test]
    fn parts_and_lengths() {
        assert_eq!(frame(b"", true), Frame::Partial);
        assert_eq!(frame(b"nPI", true), Frame::Partial);
        assert_eq!(frame(b"PI", false), Frame::Partial);
        assert_eq!(frame(b"nPING\0", true), Frame::Partial);
        let mut long = vec![b'n'];
        long.resize(COMMAND_MAX - 1, b'a');
        assert_eq!(frame(&long, true), Frame::Partial);
        long.push(b'a');
        assert_eq!(frame(&long, true), Frame::TooLong);
        *long.last_mut().unwrap() = b'\n';
        check(&long, Command::Unknown, COMMAND_MAX);
    }
}
