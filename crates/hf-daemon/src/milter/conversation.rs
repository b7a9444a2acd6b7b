//! What is said about one connection of a mail server: which command may come when, the envelope, and the
//! message put together again.
//!
//! Promises: pure; any sequence of commands leaves it in a state from which the next one is understood or
//! the connection is closed; what is kept of one message is at most [`KEPT_MAX`] bytes, and a message is
//! gathered only up to the limit given.
//! A message is gathered as the mail server has it: header fields in order, an empty line, the body, with
//! line ends as sent. Before it stands the line by which a mailbox file begins a message, so that content
//! that looks for mail is used whatever its first header field is.
//! Sources: Sendmail's and Postfix's documentation of milters.

use super::packet::{Command, Reply, Terms, action, step};

/// What the caller does after a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: this command is not answered.
    Silent,
    /// Answers.
    Reply(Reply),
    /// The message is whole: judges it and answers.
    Judge,
    /// Ends the connection: in order, or because of what the server did.
    Close(Option<&'static str>),
}

/// What is known of the message beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// Address family of the client as in `Connect`; 0 when not told.
    pub family: u8,
    /// Address of the client as text.
    pub address: String,
    /// As whom it logged in; empty when it did not.
    pub login: String,
    /// The server's id of the message.
    pub queue_id: String,
    /// Without angle brackets.
    pub sender: String,
    /// Without angle brackets, at most [`RECIPIENTS_MAX`].
    pub recipients: Vec<String>,
    /// How many there were.
    pub recipient_count: u64,
    /// Of the header.
    pub subject: String,
    /// Of the header.
    pub message_id: String,
    /// Of the header.
    pub date: String,
    /// How many `X-Virus-Scanned` fields it came with.
    pub scanned_fields: u32,
    /// How many `X-Virus-Status` fields it came with.
    pub status_fields: u32,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Conversation {
    max_bytes: u64,
    terms: Option<Terms>,
    stage: Stage,
    envelope: Envelope,
    /// Bytes of the message, those not gathered included.
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Idle,
    Connected,
    Mail,
    Headers,
    Body,
}

impl Conversation {
    /// Begins. Messages above `max_bytes` are not gathered to their end.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, terms: None, stage: Stage::Idle, envelope: Envelope::default(), bytes: 0 }
    }

    /// Returns what was agreed on; nothing before it was.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.terms.unwrap_or_default()
    }

    /// Returns what is known of the message.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// True when the message is longer than the limit, so that it was not gathered whole.
    #[must_use]
    pub fn too_large(&self) -> bool {
        self.bytes > self.max_bytes
    }

    /// Takes a command; bytes of the message are added to `out`.
    pub fn take(&mut self, command: Command, out: &mut Vec<u8>) -> Turn {
        if let Command::Negotiate(offer) = command {
            return self.negotiate(offer);
        }
        if self.terms.is_none() {
            return match command {
                Command::Quit => Turn::Close(None),
                _ => Turn::Close(Some("a command before the negotiation")),
            };
        }
        match command {
            Command::Negotiate(_) | Command::Quit => Turn::Close(None),
            Command::Macros(all) => self.macros(all),
            Command::QuitNewConnection => {
                self.reset(Stage::Idle);
                Turn::Silent
            }
            Command::Abort => {
                self.reset(Stage::Connected);
                Turn::Silent
            }
            Command::Connect { family, address } => {
                self.reset(Stage::Connected);
                self.envelope.family = family;
                self.envelope.address = short(&address);
                Turn::Reply(Reply::Continue)
            }
            Command::Helo | Command::Data | Command::Unknown => Turn::Reply(Reply::Continue),
            Command::Mail(sender) => {
                self.reset(Stage::Mail);
                self.envelope.sender = address_of(&sender);
                Turn::Reply(Reply::Continue)
            }
            Command::Recipient(recipient) => self.recipient(&recipient),
            Command::Header { name, value } => self.header(&name, &value, out),
            Command::EndOfHeaders => self.end_of_headers(out),
            Command::Body(data) => self.body(&data, out),
            Command::EndOfBody(data) => self.end_of_body(&data, out),
        }
    }

    /// Forgets the message after its answer.
    pub fn answered(&mut self) {
        self.reset(Stage::Connected);
    }

    fn negotiate(&mut self, offer: Terms) -> Turn {
        if offer.version < VERSION_MIN {
            return Turn::Close(Some("a version of the protocol before 2"));
        }
        let terms = Terms {
            version: offer.version.min(VERSION),
            actions: offer.actions & ACTIONS,
            steps: offer.steps & STEPS,
        };
        self.reset(Stage::Idle);
        self.terms = Some(terms);
        Turn::Reply(Reply::Negotiate(terms))
    }

    /// Forgets the message; and the client too when there is none.
    fn reset(&mut self, stage: Stage) {
        let old = std::mem::take(&mut self.envelope);
        if stage > Stage::Idle {
            self.envelope.family = old.family;
            self.envelope.address = old.address;
        }
        if stage == Stage::Mail {
            // Macros of a command come before it.
            self.envelope.login = old.login;
            self.envelope.queue_id = old.queue_id;
        }
        self.bytes = 0;
        self.stage = stage;
    }

    fn macros(&mut self, all: Vec<(Vec<u8>, Vec<u8>)>) -> Turn {
        for (name, value) in all {
            match name.as_slice() {
                b"i" | b"{i}" => self.envelope.queue_id = short(&value),
                b"{auth_authen}" => self.envelope.login = short(&value),
                _ => {}
            }
        }
        Turn::Silent
    }

    fn recipient(&mut self, recipient: &[u8]) -> Turn {
        if self.stage != Stage::Mail {
            return Turn::Close(Some("a recipient outside an envelope"));
        }
        let envelope = &mut self.envelope;
        envelope.recipient_count = envelope.recipient_count.saturating_add(1);
        if envelope.recipients.len() < RECIPIENTS_MAX {
            envelope.recipients.push(address_of(recipient));
        }
        Turn::Reply(Reply::Continue)
    }

    fn header(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) -> Turn {
        if !matches!(self.stage, Stage::Mail | Stage::Headers) {
            return Turn::Close(Some("a header field outside a message"));
        }
        self.begin(out);
        self.remember(name, value);
        let space = if self.agreed(step::LEADING_SPACE) { b"".as_slice() } else { b" " };
        let line: Vec<u8> = [name, b":", space, &with_line_ends(value), b"\r\n"].concat();
        self.gather(&line, out);
        self.unless(step::NO_REPLY_HEADER)
    }

    /// Begins the gathered message where that was not done.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.stage == Stage::Mail {
            self.stage = Stage::Headers;
            out.extend_from_slice(FIRST_LINE);
        }
    }

    fn remember(&mut self, name: &[u8], value: &[u8]) {
        let envelope = &mut self.envelope;
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("Subject") {
            envelope.subject = short(value.trim_ascii());
        } else if is("Message-ID") {
            envelope.message_id = short(value.trim_ascii());
        } else if is("Date") {
            envelope.date = short(value.trim_ascii());
        } else if is(SCANNED) {
            envelope.scanned_fields = envelope.scanned_fields.saturating_add(1);
        } else if is(STATUS) {
            envelope.status_fields = envelope.status_fields.saturating_add(1);
        }
    }

    fn end_of_headers(&mut self, out: &mut Vec<u8>) -> Turn {
        if !matches!(self.stage, Stage::Mail | Stage::Headers) {
            return Turn::Close(Some("the end of a header outside a message"));
        }
        self.begin(out);
        self.stage = Stage::Body;
        self.gather(b"\r\n", out);
        self.unless(step::NO_REPLY_END_OF_HEADERS)
    }

    fn body(&mut self, data: &[u8], out: &mut Vec<u8>) -> Turn {
        if self.stage != Stage::Body {
            return Turn::Close(Some("a body outside a message"));
        }
        self.gather(data, out);
        let enough = self.too_large() && self.agreed(step::SKIP);
        Turn::Reply(if enough { Reply::Skip } else { Reply::Continue })
    }

    fn end_of_body(&mut self, data: &[u8], out: &mut Vec<u8>) -> Turn {
        if !matches!(self.stage, Stage::Headers | Stage::Body) {
            return Turn::Close(Some("the end of a body outside a message"));
        }
        self.gather(data, out);
        Turn::Judge
    }

    fn gather(&mut self, data: &[u8], out: &mut Vec<u8>) {
        self.bytes = self.bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if !self.too_large() {
            out.extend_from_slice(data);
        }
    }

    fn agreed(&self, bits: u32) -> bool {
        self.terms().steps & bits == bits
    }

    fn unless(&self, no_reply: u32) -> Turn {
        if self.agreed(no_reply) { Turn::Silent } else { Turn::Reply(Reply::Continue) }
    }
}

/// Folded lines are told with a line feed, and sent with a whole line end.
fn with_line_ends(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut before = 0;
    for byte in value {
        if *byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(*byte);
        before = *byte;
    }
    out
}

/// Returns an address without angle brackets.
fn address_of(argument: &[u8]) -> String {
    let text = short(argument);
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    inner.unwrap_or(&text).to_owned()
}

/// Returns text without control characters, at most [`KEPT_TEXT_MAX`] bytes of it.
fn short(bytes: &[u8]) -> String {
    let part = bytes.get(..bytes.len().min(KEPT_TEXT_MAX)).unwrap_or_default();
    let text = String::from_utf8_lossy(part);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The field that says by what a message was scanned.
pub(super) const SCANNED: &str = "X-Virus-Scanned";

/// The field that says what came of it.
pub(super) const STATUS: &str = "X-Virus-Status";

/// Begins a message in a mailbox file: [mbox, RFC 4155].
const FIRST_LINE: &[u8] = b"From holdfast\r\n";

/// The newest version.
const VERSION: u32 = 6;

/// Older ones have neither macros nor the actions that are needed.
const VERSION_MIN: u32 = 2;

const ACTIONS: u32 = action::ADD_HEADERS | action::CHANGE_HEADERS | action::QUARANTINE;

const STEPS: u32 = step::NO_HELO
    | step::NO_REPLY_HEADER
    | step::NO_UNKNOWN
    | step::NO_DATA
    | step::SKIP
    | step::NO_REPLY_END_OF_HEADERS
    | step::LEADING_SPACE;

/// Ours: recipients that are remembered.
pub const RECIPIENTS_MAX: usize = 1000;

/// Ours: bytes of each text that is remembered.
const KEPT_TEXT_MAX: usize = 1024;

/// Bytes that are kept of one message beside what was gathered.
pub const KEPT_MAX: usize = (RECIPIENTS_MAX + 8) * KEPT_TEXT_MAX * 3;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Terms = Terms { version: 6, actions: 0x1ff, steps: 0x1f_ffff };

    fn field(name: &str, value: &str) -> Command {
        Command::Header { name: name.into(), value: value.into() }
    }

    /// Gives commands; returns the turns and what was gathered.
    fn run(
        offer: Terms,
        max_bytes: u64,
        commands: Vec<Command>,
    ) -> (Conversation, Vec<Turn>, Vec<u8>) {
        let mut conversation = Conversation::new(max_bytes);
        let mut out = Vec::new();
        assert!(matches!(conversation.take(Command::Negotiate(offer), &mut out), Turn::Reply(_)));
        let turns = commands.into_iter().map(|one| conversation.take(one, &mut out)).collect();
        (conversation, turns, out)
    }

    fn message() -> Vec<Command> {
        vec![
            Command::Macros(vec![(b"{auth_authen}".to_vec(), b"anna".to_vec())]),
            Command::Mail(b"<a@x>".to_vec()),
            Command::Recipient(b"<b@y>".to_vec()),
            Command::Macros(vec![(b"i".to_vec(), b"4Q1".to_vec())]),
            field("Subject", " one\n two"),
            field("x-virus-status", " Clean"),
            Command::EndOfHeaders,
            Command::Body(b"line\r\n".to_vec()),
            Command::EndOfBody(b"end".to_vec()),
        ]
    }

    #[test]
    fn a_message_is_put_together() {
        let (conversation, turns, out) = run(ALL, 1000, message());
        let text =
            "From holdfast\r\nSubject: one\r\n two\r\nx-virus-status: Clean\r\n\r\nline\r\nend";
        assert_eq!(String::from_utf8_lossy(&out), text);
        let go_on = || Turn::Reply(Reply::Continue);
        let silent = Turn::Silent;
        let want =
            [silent.clone(), go_on(), go_on(), silent.clone(), silent.clone(), silent.clone()];
        assert_eq!(turns, [&want[..], &[silent, go_on(), Turn::Judge]].concat());
        let envelope = conversation.envelope();
        assert_eq!((envelope.sender.as_str(), envelope.login.as_str()), ("a@x", "anna"));
        assert_eq!(envelope.recipients, ["b@y"]);
        assert_eq!((envelope.queue_id.as_str(), envelope.status_fields), ("4Q1", 1));
        assert_eq!(envelope.subject, "one  two");
    }

    #[test]
    fn an_old_server_gets_its_answers() {
        let (_, turns, out) = run(Terms { version: 2, actions: 0, steps: 0 }, 1000, message());
        assert_eq!(turns.iter().filter(|turn| **turn == Turn::Silent).count(), 2, "only macros");
        assert!(String::from_utf8_lossy(&out).contains("Subject:  one\r\n two\r\n"));
    }

    #[test]
    fn a_large_message_is_skipped() {
        let (conversation, turns, out) = run(ALL, 60, {
            let mut all = message();
            all.insert(7, Command::Body(vec![b'x'; 100]));
            all
        });
        assert!(conversation.too_large());
        assert_eq!(turns.iter().filter(|turn| **turn == Turn::Reply(Reply::Skip)).count(), 2);
        assert!(out.len() < 100);
    }

    #[test]
    fn commands_out_of_order_end_it() {
        let cases = [
            vec![Command::Recipient(b"<b>".to_vec())],
            vec![field("A", "b")],
            vec![Command::EndOfHeaders],
            vec![Command::Body(Vec::new())],
            vec![Command::EndOfBody(Vec::new())],
            vec![Command::Mail(b"<a>".to_vec()), Command::EndOfBody(Vec::new())],
            vec![Command::Mail(b"<a>".to_vec()), Command::Abort, field("A", "b")],
            vec![Command::Mail(b"<a>".to_vec()), Command::EndOfHeaders, field("A", "b")],
        ];
        for commands in cases {
            let told = format!("{commands:?}");
            let (_, turns, _) = run(ALL, 1000, commands);
            assert!(matches!(turns.last(), Some(Turn::Close(Some(_)))), "{told}");
        }
        let mut fresh = Conversation::new(10);
        let first = fresh.take(Command::Mail(b"<a>".to_vec()), &mut Vec::new());
        assert_eq!(first, Turn::Close(Some("a command before the negotiation")));
        let old = Terms { version: 1, ..ALL };
        assert!(matches!(
            fresh.take(Command::Negotiate(old), &mut Vec::new()),
            Turn::Close(Some(_))
        ));
    }

    #[test]
    fn nothing_is_left_of_the_message_before() {
        let (mut conversation, _, _) = run(ALL, 1000, message());
        conversation.answered();
        let mut out = Vec::new();
        conversation.take(Command::Mail(b"<>".to_vec()), &mut out);
        assert_eq!(*conversation.envelope(), Envelope::default());
        conversation.take(field("A", " b"), &mut out);
        assert_eq!(out, b"From holdfast\r\nA: b\r\n");
    }
}
