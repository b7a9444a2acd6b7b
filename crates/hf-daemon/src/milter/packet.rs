//! Packets of the milter protocol: what a mail server says, and what it is answered.
//!
//! Promises: pure; a length is believed only up to [`PACKET_MAX`]; texts end where they must.
//! Leaves out: in which order packets may come, which is the conversation's.
//! Sources: the protocol as Sendmail 8.14's and Postfix's documentation name its parts (version 6).

/// What a mail server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `O`: which version, actions and steps it knows.
    Negotiate(Terms),
    /// `D`: values of macros for a command.
    Macros(Vec<(Vec<u8>, Vec<u8>)>),
    /// `C`: somebody connected.
    Connect {
        /// `4`, `6`, `L` for a local socket, `U` for unknown.
        family: u8,
        /// The address as text; empty when unknown.
        address: Vec<u8>,
    },
    /// `H`.
    Helo,
    /// `M`: the sender in angle brackets, without its parameters.
    Mail(Vec<u8>),
    /// `R`: one recipient in angle brackets, without its parameters.
    Recipient(Vec<u8>),
    /// `T`.
    Data,
    /// `L`: one header field.
    Header {
        /// Its name.
        name: Vec<u8>,
        /// Its value, with the line feeds of folded lines.
        value: Vec<u8>,
    },
    /// `N`.
    EndOfHeaders,
    /// `B`: a part of the body.
    Body(Vec<u8>),
    /// `E`: the end of the message, with what may be left of the body.
    EndOfBody(Vec<u8>),
    /// `A`: forget the message.
    Abort,
    /// `U`: an SMTP command that the server does not know.
    Unknown,
    /// `Q`: the connection ends.
    Quit,
    /// `K`: this SMTP session ends, and another follows on the same connection.
    QuitNewConnection,
}

/// What two sides agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Version of the protocol.
    pub version: u32,
    /// What may be done with a message, as bits of [`action`].
    pub actions: u32,
    /// Which steps are left out or not answered, as bits of [`step`].
    pub steps: u32,
}

/// Bits of [`Terms::actions`].
pub mod action {
    /// Adding header fields.
    pub const ADD_HEADERS: u32 = 0x01;
    /// Changing and removing header fields.
    pub const CHANGE_HEADERS: u32 = 0x10;
    /// Quarantine.
    pub const QUARANTINE: u32 = 0x20;
}

/// Bits of [`Terms::steps`].
pub mod step {
    /// `HELO` is not told.
    pub const NO_HELO: u32 = 0x02;
    /// Header fields are not answered.
    pub const NO_REPLY_HEADER: u32 = 0x80;
    /// Unknown commands are not told.
    pub const NO_UNKNOWN: u32 = 0x100;
    /// `DATA` is not told.
    pub const NO_DATA: u32 = 0x200;
    /// The rest of the body can be skipped.
    pub const SKIP: u32 = 0x400;
    /// The end of the header is not answered.
    pub const NO_REPLY_END_OF_HEADERS: u32 = 0x40000;
    /// Values of header fields keep the space behind the colon.
    pub const LEADING_SPACE: u32 = 0x10_0000;
}

/// What a mail server is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `O`.
    Negotiate(Terms),
    /// `c`: go on.
    Continue,
    /// `a`: take the message, or the connection, without asking further.
    Accept,
    /// `r`: refuse for good.
    Reject,
    /// `t`: refuse for now.
    Tempfail,
    /// `d`: take it and throw it away.
    Discard,
    /// `s`: send no more of the body.
    Skip,
    /// `p`: be patient.
    Progress,
    /// `q`: hold it, with a reason.
    Quarantine(String),
    /// `y`: an SMTP answer, `550 5.7.1 text`.
    Smtp(String),
    /// `h`: add a header field at the end.
    AddHeader(String, String),
    /// `m`: change the nth field of a name, counted from 1; an empty value removes it.
    ChangeHeader(u32, String, String),
}

/// Why a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    /// The length is 0 or above [`PACKET_MAX`].
    #[error("a packet of {0} bytes")]
    Length(u32),
    /// The command is not known.
    #[error("an unknown command 0x{0:02x}")]
    Command(u8),
    /// The content does not have the command's form.
    #[error("a malformed packet of command 0x{0:02x}")]
    Form(u8),
}

/// Takes the first packet of a buffer: the command, and how many bytes it took. None when it is not
/// whole yet.
///
/// # Errors
/// See [`BadPacket`]; nothing can be read behind it.
pub fn take(buf: &[u8]) -> Result<Option<(Command, usize)>, BadPacket> {
    let Some((len, rest)) = buf.split_first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len);
    let size = usize::try_from(len).unwrap_or(usize::MAX);
    if !(1..=PACKET_MAX).contains(&size) {
        return Err(BadPacket::Length(len));
    }
    match rest.get(..size).and_then(<[u8]>::split_first) {
        Some((code, data)) => Ok(Some((command(*code, data)?, size + 4))),
        None => Ok(None),
    }
}

fn command(code: u8, data: &[u8]) -> Result<Command, BadPacket> {
    let form = BadPacket::Form(code);
    Ok(match code {
        b'O' => Command::Negotiate(terms(data).ok_or(form)?),
        b'D' => Command::Macros(macros(data.get(1..).ok_or(form)?).ok_or(form)?),
        b'C' => connect(data).ok_or(form)?,
        b'H' => Command::Helo,
        b'M' => Command::Mail(text(data).ok_or(form)?.0.to_vec()),
        b'R' => Command::Recipient(text(data).ok_or(form)?.0.to_vec()),
        b'T' => Command::Data,
        b'L' => {
            let (name, rest) = text(data).ok_or(form)?;
            let (value, _) = text(rest).ok_or(form)?;
            let plain = !name.is_empty() && name.iter().all(|byte| *byte > b' ' && *byte != b':');
            if !plain {
                return Err(form);
            }
            Command::Header { name: name.to_vec(), value: value.to_vec() }
        }
        b'N' => Command::EndOfHeaders,
        b'B' => Command::Body(data.to_vec()),
        b'E' => Command::EndOfBody(data.to_vec()),
        b'A' => Command::Abort,
        b'U' => Command::Unknown,
        b'Q' => Command::Quit,
        b'K' => Command::QuitNewConnection,
        other => return Err(BadPacket::Command(other)),
    })
}

/// Returns what is before the first zero byte, and what is behind it.
fn text(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, rest) = data.split_at_checked(memchr::memchr(0, data)?)?;
    Some((text, rest.get(1..)?))
}

fn terms(data: &[u8]) -> Option<Terms> {
    let word = |at: usize| {
        let bytes = data.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    Some(Terms { version: word(0)?, actions: word(4)?, steps: word(8)? })
}

fn macros(mut data: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut all = Vec::new();
    while !data.is_empty() {
        let (name, rest) = text(data)?;
        let (value, rest) = text(rest)?;
        if all.len() == MACROS_MAX {
            return None;
        }
        all.push((name.to_vec(), value.to_vec()));
        data = rest;
    }
    Some(all)
}

fn connect(data: &[u8]) -> Option<Command> {
    let (_host, rest) = text(data)?;
    let (family, rest) = rest.split_first()?;
    let address = match family {
        b'U' => Vec::new(),
        b'4' | b'6' | b'L' => text(rest.get(2..)?)?.0.to_vec(),
        _ => return None,
    };
    Some(Command::Connect { family: *family, address })
}

impl Reply {
    /// Writes the packet. Zero bytes in texts become spaces, since they would end them.
    pub fn put(&self, out: &mut Vec<u8>) {
        let (code, data) = match self {
            Self::Negotiate(terms) => {
                let words = [terms.version, terms.actions, terms.steps];
                (b'O', words.iter().flat_map(|word| word.to_be_bytes()).collect())
            }
            Self::Continue => (b'c', Vec::new()),
            Self::Accept => (b'a', Vec::new()),
            Self::Reject => (b'r', Vec::new()),
            Self::Tempfail => (b't', Vec::new()),
            Self::Discard => (b'd', Vec::new()),
            Self::Skip => (b's', Vec::new()),
            Self::Progress => (b'p', Vec::new()),
            Self::Quarantine(reason) => (b'q', texts(&[reason])),
            Self::Smtp(answer) => (b'y', texts(&[answer])),
            Self::AddHeader(name, value) => (b'h', texts(&[name, value])),
            Self::ChangeHeader(number, name, value) => {
                (b'm', [number.to_be_bytes().as_slice(), &texts(&[name, value])].concat())
            }
        };
        let len = u32::try_from(data.len().saturating_add(1)).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_be_bytes());
        out.push(code);
        out.extend_from_slice(&data);
    }
}

fn texts(all: &[&str]) -> Vec<u8> {
    all.iter()
        .flat_map(|text| text.replace('\0', " ").into_bytes().into_iter().chain([0]))
        .collect()
}

/// Ours: the largest piece of a body that the protocol can agree on is 1 MiB less one byte.
pub const PACKET_MAX: usize = 1 << 20;

/// Ours: servers send about a dozen.
const MACROS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u8, data: &[u8]) -> Vec<u8> {
        let len = u32::try_from(data.len() + 1).expect("a short packet");
        [len.to_be_bytes().as_slice(), &[code], data].concat()
    }

    #[track_caller]
    fn check(code: u8, data: &[u8], want: Result<Command, BadPacket>) {
        let bytes = packet(code, data);
        assert_eq!(take(&bytes), want.map(|command| Some((command, bytes.len()))));
        for len in 0..bytes.len() {
            let part = take(&bytes[..len]);
            assert_eq!(part, Ok(None), "{len} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn commands() {
        let terms = Terms { version: 6, actions: 0x1ff, steps: 0x1f_ffff };
        check(b'O', b"\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff", Ok(Command::Negotiate(terms)));
        let local = Command::Connect { family: b'4', address: b"127.0.0.1".to_vec() };
        check(b'C', b"localhost\x004\x04\x01127.0.0.1\0", Ok(local));
        let unknown = Command::Connect { family: b'U', address: Vec::new() };
        check(b'C', b"unknown\0U", Ok(unknown));
        check(b'M', b"<a@b>\0SIZE=1\0", Ok(Command::Mail(b"<a@b>".to_vec())));
        let field = Command::Header { name: b"Subject".to_vec(), value: b" x\n\ty".to_vec() };
        check(b'L', b"Subject\0 x\n\ty\0", Ok(field));
        check(
            b'D',
            b"Mi\x00123\0j\0h\0",
            Ok(Command::Macros(vec![
                (b"i".to_vec(), b"123".to_vec()),
                (b"j".to_vec(), b"h".to_vec()),
            ])),
        );
        check(b'D', b"C", Ok(Command::Macros(Vec::new())));
        check(b'B', b"\0\r\n", Ok(Command::Body(b"\0\r\n".to_vec())));
        check(b'E', b"", Ok(Command::EndOfBody(Vec::new())));
    }

    #[test]
    fn nonsense() {
        assert_eq!(take(&[0, 0, 0, 0]), Err(BadPacket::Length(0)));
        assert_eq!(take(&[0xff; 4]), Err(BadPacket::Length(u32::MAX)));
        assert_eq!(take(&packet(b'Z', b"")), Err(BadPacket::Command(b'Z')));
        let forms: [(u8, &[u8]); 9] = [
            (b'O', b"\0\0\0\x06"),
            (b'D', b""),
            (b'D', b"Mname"),
            (b'D', b"Mname\0value"),
            (b'C', b"host\0"),
            (b'C', b"host\x004\0"),
            (b'C', b"host\0X\0\0a\0"),
            (b'M', b"<a>"),
            (b'L', b"a b\0c\0"),
        ];
        for (code, data) in forms {
            assert_eq!(take(&packet(code, data)), Err(BadPacket::Form(code)), "{data:?}");
        }
    }

    #[test]
    fn replies() {
        let bytes = |reply: Reply| {
            let mut out = Vec::new();
            reply.put(&mut out);
            out
        };
        assert_eq!(bytes(Reply::Continue), b"\0\0\0\x01c");
        assert_eq!(bytes(Reply::AddHeader("A".into(), "b\0c".into())), b"\0\0\0\x07hA\0b c\0");
        let changed = bytes(Reply::ChangeHeader(2, "A".into(), String::new()));
        assert_eq!(changed, b"\0\0\0\x08m\0\0\0\x02A\0\0");
        assert_eq!(bytes(Reply::Smtp("550 x".into())), b"\0\0\0\x07y550 x\0");
    }
}
