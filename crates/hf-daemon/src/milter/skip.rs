//! Which mail is not scanned: by where it comes from, who logged in, sender or recipients.
//!
//! Promises: a rule that cannot be read is an error with file and line, never left out in silence.
//! A message with several recipients is left out only when all of them are listed.
//! Sources: clamav-milter.conf(5) for `LocalNet`, `AllowList` and `SkipAuthenticated`; POSIX.1-2017 §9.3.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use regex_automata::meta::Regex;

use super::conversation::Envelope;

/// Rules that are read.
#[derive(Debug, Default)]
pub struct Skips {
    networks: Vec<Network>,
    /// Mail that did not come over a network.
    local: bool,
    senders: Vec<Regex>,
    recipients: Vec<Regex>,
    login: Option<Login>,
}

#[derive(Debug)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

#[derive(Debug)]
enum Login {
    Pattern(Regex),
    Names(HashSet<String>),
}

impl Skips {
    /// Reads rules: networks, the file of addresses, and the pattern or file of logins.
    ///
    /// # Errors
    /// A rule cannot be read; the text says which, and where.
    pub fn read(
        networks: &[String],
        addresses: Option<&Path>,
        login: Option<&str>,
    ) -> Result<Self, String> {
        let mut skips = Self::default();
        for text in networks {
            if text == "local" {
                skips.local = true;
            } else {
                let network = network(text).ok_or_else(|| format!("bad network '{text}'"))?;
                skips.networks.push(network);
            }
        }
        if let Some(path) = addresses {
            skips.addresses(path)?;
        }
        skips.login = match login.map(|text| (text, text.strip_prefix("file:"))) {
            None => None,
            Some((_, Some(path))) => {
                let names = read(Path::new(path))?;
                let names = names.lines().map(|line| line.trim().to_owned());
                Some(Login::Names(names.filter(|line| !line.is_empty()).collect()))
            }
            Some((pattern, None)) => Some(Login::Pattern(regex(pattern)?)),
        };
        Ok(skips)
    }

    fn addresses(&mut self, path: &Path) -> Result<(), String> {
        for (idx, line) in read(path)?.lines().enumerate() {
            if line.is_empty() || line.starts_with(['#', ':', '!']) {
                continue;
            }
            let (list, pattern) = match line.strip_prefix("From:") {
                Some(pattern) => (&mut self.senders, pattern),
                None => (&mut self.recipients, line.strip_prefix("To:").unwrap_or(line)),
            };
            let pattern = regex(&extended(pattern));
            list.push(pattern.map_err(|why| format!("{}:{}: {why}", path.display(), idx + 1))?);
        }
        Ok(())
    }

    /// True for a whole connection.
    #[must_use]
    pub fn connection(&self, envelope: &Envelope) -> bool {
        if matches!(envelope.family, b'L' | b'U') {
            return self.local;
        }
        let text = envelope.address.strip_prefix("IPv6:").unwrap_or(&envelope.address);
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.has(address))
    }

    /// True for a message, as soon as its sender is known.
    #[must_use]
    pub fn sender(&self, envelope: &Envelope) -> bool {
        let login = match &self.login {
            _ if envelope.login.is_empty() => false,
            Some(Login::Pattern(pattern)) => pattern.is_match(&envelope.login),
            Some(Login::Names(names)) => names.contains(&envelope.login),
            None => false,
        };
        login || self.senders.iter().any(|one| one.is_match(&envelope.sender))
    }

    /// True for a message whose recipients are all known.
    #[must_use]
    pub fn recipients(&self, envelope: &Envelope) -> bool {
        let listed = |to: &String| self.recipients.iter().any(|one| one.is_match(to));
        let known = u64::try_from(envelope.recipients.len()).unwrap_or(u64::MAX);
        known > 0
            && known == envelope.recipient_count
            && !self.recipients.is_empty()
            && envelope.recipients.iter().all(listed)
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        let (ours, theirs, width) = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (u128::from(ours.to_bits()), u128::from(theirs.to_bits()), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (ours.to_bits(), theirs.to_bits(), 128),
            _ => return false,
        };
        let free: u32 = 0_u32.saturating_add(width).saturating_sub(self.prefix);
        ours.checked_shr(free).unwrap_or(0) == theirs.checked_shr(free).unwrap_or(0)
    }
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(text) => text.parse().ok().filter(|prefix| *prefix <= width)?,
        None => width,
    };
    Some(Network { address, prefix })
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn regex(text: &str) -> Result<Regex, String> {
    let config = Regex::config().nfa_size_limit(Some(REGEX_BYTES));
    let built = Regex::builder().configure(config).build(text);
    built.map_err(|error| {
        let why = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
        format!("bad regular expression '{text}': {why}")
    })
}

/// Turns a basic regular expression into an extended one: parentheses, braces and the like are special
/// with a backslash there, and without one here.
fn extended(basic: &str) -> String {
    let mut out = String::with_capacity(basic.len());
    let mut chars = basic.chars().peekable();
    let mut at_start = true;
    while let Some(c) = chars.next() {
        let mut start = false;
        match c {
            '\\' => match chars.next() {
                Some(special @ ('(' | ')' | '{' | '}' | '|' | '+' | '?')) => {
                    start = special == '(' || special == '|';
                    out.push(special);
                }
                Some(other) => out.extend(['\\', other]),
                None => out.push_str("\\\\"),
            },
            '(' | ')' | '{' | '}' | '|' | '+' | '?' => out.extend(['\\', c]),
            '*' if at_start => out.push_str("\\*"),
            '[' => bracket(&mut chars, &mut out),
            '^' if at_start => {
                start = true;
                out.push('^');
            }
            c => out.push(c),
        }
        at_start = start;
    }
    out
}

/// Copies a bracket expression, in which a backslash is only a backslash.
fn bracket(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    out.push('[');
    out.extend(chars.next_if_eq(&'^'));
    if chars.next_if_eq(&']').is_some() {
        out.push_str("\\]");
    }
    while let Some(c) = chars.next() {
        match c {
            ']' => {
                out.push(']');
                return;
            }
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                // The class up to its own closing bracket.
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '\\' | '[' | '&' | '~' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
}

/// Ours: bytes that one compiled expression may take.
const REGEX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
        Envelope {
            sender: sender.to_owned(),
            recipients: recipients.iter().map(|one| (*one).to_owned()).collect(),
            recipient_count: u64::try_from(recipients.len()).unwrap_or(0),
            ..Envelope::default()
        }
    }

    #[test]
    fn networks() {
        let list = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "local", "0.0.0.0/0"];
        let skips = |upto: usize| {
            let list: Vec<String> = list[..upto].iter().map(|one| (*one).to_owned()).collect();
            Skips::read(&list, None, None).expect("networks")
        };
        let at = |family, address: &str| Envelope {
            family,
            address: address.to_owned(),
            ..Envelope::default()
        };
        let three = skips(3);
        for (address, want) in
            [("10.255.0.1", true), ("11.0.0.1", false), ("192.0.2.7", true), ("192.0.2.8", false)]
        {
            assert_eq!(three.connection(&at(b'4', address)), want, "{address}");
        }
        for (address, want) in [
            ("IPv6:2001:db8::1", true),
            ("2001:db9::1", false),
            ("::ffff:10.0.0.1", true),
            ("x", false),
        ] {
            assert_eq!(three.connection(&at(b'6', address)), want, "{address}");
        }
        assert!(!three.connection(&at(b'L', "")) && skips(4).connection(&at(b'L', "")));
        assert!(skips(5).connection(&at(b'4', "8.8.8.8")));
        for text in ["10.0.0.0/33", "x", "10.0.0.0/", "::/129"] {
            assert!(Skips::read(&[text.to_owned()], None, None).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        let list =
            "# comment\n!x\n:x\n\nFrom:^boss@x\\.org$\nTo:@lab\\.x$\nabuse@\\(a\\|b\\)\\.x\n";
        fs::write(&path, list).expect("written");
        let skips = Skips::read(&[], Some(&path), None).expect("rules");
        assert!(skips.sender(&envelope("boss@x.org", &[])));
        assert!(!skips.sender(&envelope("boss@xxorg", &[])) && !skips.sender(&envelope("", &[])));
        assert!(skips.recipients(&envelope("", &["a@lab.x", "abuse@b.x"])));
        assert!(!skips.recipients(&envelope("", &["a@lab.x", "c@y"])), "one is not listed");
        assert!(!skips.recipients(&envelope("", &[])));
        let more = Envelope { recipient_count: 2, ..envelope("", &["a@lab.x"]) };
        assert!(!skips.recipients(&more), "one is not known");
        fs::write(&path, "ok\nTo:\\(\n").expect("written");
        let error = Skips::read(&[], Some(&path), None).expect_err("a bad rule");
        assert!(error.starts_with(&format!("{}:2: ", path.display())), "{error}");
    }

    #[test]
    fn logins() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("names");
        fs::write(&path, "anna\nb.b\n").expect("written");
        let by_file = Skips::read(&[], None, Some(&format!("file:{}", path.display())));
        let by_file = by_file.expect("names");
        let by_pattern = Skips::read(&[], None, Some("^(anna|b.b)$")).expect("a pattern");
        let login = |name: &str| Envelope { login: name.to_owned(), ..Envelope::default() };
        assert!(by_file.sender(&login("b.b")) && !by_file.sender(&login("bxb")));
        assert!(by_pattern.sender(&login("bxb")) && !by_pattern.sender(&login("annab")));
        assert!(!by_pattern.sender(&login("")));
        assert!(Skips::read(&[], None, Some("(")).is_err());
        assert!(Skips::read(&[], None, Some("file:/nonexistent")).is_err());
    }

    #[test]
    fn basic_expressions() {
        let matches =
            |basic: &str, text: &str| regex(&extended(basic)).expect(basic).is_match(text);
        for (basic, yes, no) in [
            ("a+b", "a+b", "aab"),
            ("a\\+b", "aab", "a+b"),
            ("*a", "*a", "a"),
            ("^*a", "*a", "a"),
            ("\\(a\\|b\\)\\{2\\}x", "abx", "ax"),
            ("(a)", "(a)", "a"),
            ("[]a]", "]", "b"),
            ("[^]a]", "b", "]"),
            ("[[:digit:]]", "7", "x"),
            ("[\\.]x", "\\x", "yx"),
            ("a\\.b", "a.b", "axb"),
        ] {
            assert!(matches(basic, yes) && !matches(basic, no), "{basic}");
        }
    }
}
