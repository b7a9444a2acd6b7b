//! What is done with a message, as answers to the mail server.
//!
//! Promises: pure; what was found never passes because the server cannot do what policy says.
//! Sources: clamav-milter.conf(5) for the names of actions and header fields.

use serde::{Deserialize, Serialize};

use super::conversation::{Envelope, SCANNED, STATUS};
use super::packet::{Reply, Terms, action, step};

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It passes.
    Accept,
    /// It is refused for good.
    Reject,
    /// It is refused for now; the sender tries again.
    #[serde(alias = "defer")]
    Tempfail,
    /// It is taken and thrown away.
    #[serde(alias = "blackhole")]
    Discard,
    /// It is held by the mail server.
    Quarantine,
}

/// Whether header fields say what came of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddHeader {
    /// Nothing is added.
    No,
    /// They are added; what the message came with stays.
    Add,
    /// They are added, and what the message came with is removed.
    #[serde(alias = "yes")]
    Replace,
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was looked at and nothing was found.
    Clean,
    /// Something was found.
    Infected(String),
    /// It was not scanned wholly.
    Incomplete,
    /// It is larger than what is scanned.
    TooLarge,
    /// The scan failed.
    Error,
}

/// How answers are made.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Of clean messages.
    pub on_clean: Action,
    /// Of infected ones.
    pub on_infected: Action,
    /// Of those not scanned wholly.
    pub on_incomplete: Action,
    /// Of those that are too large.
    pub on_too_large: Action,
    /// Of those whose scan failed.
    pub on_error: Action,
    /// Text of a refusal, with `%v` for the name.
    pub reject_message: Option<String>,
    /// Header fields.
    pub add_header: AddHeader,
    /// What scanned, on which machine: the value of the first field.
    pub scanned_by: String,
}

impl Policy {
    /// Returns the action for an outcome.
    #[must_use]
    pub fn action(&self, outcome: &Outcome) -> Action {
        match outcome {
            Outcome::Clean => self.on_clean,
            Outcome::Infected(_) => self.on_infected,
            Outcome::Incomplete => self.on_incomplete,
            Outcome::TooLarge => self.on_too_large,
            Outcome::Error => self.on_error,
        }
    }

    /// Returns the answers at the end of a message. The last one decides.
    #[must_use]
    pub fn replies(&self, outcome: &Outcome, envelope: &Envelope, terms: Terms) -> Vec<Reply> {
        let can = |bits: u32| terms.actions & bits == bits;
        let mut replies = Vec::new();
        let action = self.action(outcome);
        if matches!(action, Action::Accept | Action::Quarantine) && can(action::ADD_HEADERS) {
            self.header(outcome, envelope, terms, &mut replies);
        }
        match action {
            Action::Accept => replies.push(Reply::Accept),
            Action::Tempfail => replies.push(Reply::Tempfail),
            Action::Discard => replies.push(Reply::Discard),
            Action::Reject => replies.push(self.refusal(outcome)),
            // A server that cannot hold it is to try again, rather than to deliver it.
            Action::Quarantine if !can(action::QUARANTINE) => return vec![Reply::Tempfail],
            Action::Quarantine => {
                replies.push(Reply::Quarantine(format!("holdfast: {}", told(outcome))));
                replies.push(Reply::Accept);
            }
        }
        replies
    }

    fn refusal(&self, outcome: &Outcome) -> Reply {
        match (&self.reject_message, outcome) {
            (Some(text), Outcome::Infected(name)) => {
                Reply::Smtp(format!("550 5.7.1 {}", text.replace("%v", &plain(name))))
            }
            _ => Reply::Reject,
        }
    }

    fn header(&self, outcome: &Outcome, envelope: &Envelope, terms: Terms, out: &mut Vec<Reply>) {
        if self.add_header == AddHeader::No {
            return;
        }
        let change = terms.actions & action::CHANGE_HEADERS != 0;
        if self.add_header == AddHeader::Replace && change {
            let fields = [(SCANNED, envelope.scanned_fields), (STATUS, envelope.status_fields)];
            for (name, count) in fields {
                // From the last one, so that the numbers of the others stay.
                let numbers = (1..=count.min(REMOVED_MAX)).rev();
                out.extend(numbers.map(|n| Reply::ChangeHeader(n, name.to_owned(), String::new())));
            }
        }
        // A server that keeps the space behind the colon does not add one.
        let space = if terms.steps & step::LEADING_SPACE != 0 { " " } else { "" };
        let mut add = |name: &str, value: &str| {
            out.push(Reply::AddHeader(name.to_owned(), format!("{space}{value}")));
        };
        add(SCANNED, &self.scanned_by);
        add(STATUS, &told(outcome));
    }
}

/// Returns what the header field says.
#[must_use]
pub fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Clean => "Clean".to_owned(),
        Outcome::Infected(name) => format!("Infected ({})", plain(name)),
        Outcome::Incomplete => "Unchecked (not scanned wholly)".to_owned(),
        Outcome::TooLarge => "Unchecked (too large)".to_owned(),
        Outcome::Error => "Unchecked (the scan failed)".to_owned(),
    }
}

/// Returns a name as part of a line of mail: visible ASCII without what has a meaning there.
fn plain(name: &str) -> String {
    let safe =
        |c: char| c.is_ascii_graphic() && !matches!(c, '%' | '(' | ')' | '<' | '>' | '"' | '\\');
    name.chars().take(NAME_MAX).map(|c| if safe(c) { c } else { '_' }).collect()
}

/// Ours: as many fields of one name as a message has for honest reasons, and some more.
const REMOVED_MAX: u32 = 1000;

/// Ours: an answer of SMTP is at most 512 bytes long.
const NAME_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(on_infected: Action, add_header: AddHeader) -> Policy {
        Policy {
            on_clean: Action::Accept,
            on_infected,
            on_incomplete: Action::Accept,
            on_too_large: Action::Accept,
            on_error: Action::Tempfail,
            reject_message: Some("no %v here".to_owned()),
            add_header,
            scanned_by: "S".to_owned(),
        }
    }

    const ALL: Terms = Terms { version: 6, actions: 0x1ff, steps: 0 };

    fn infected(name: &str) -> Outcome {
        Outcome::Infected(name.to_owned())
    }

    fn field(name: &str, value: &str) -> Reply {
        Reply::AddHeader(name.to_owned(), value.to_owned())
    }

    #[test]
    fn actions() {
        let envelope = Envelope::default();
        let replies = |action, outcome: &Outcome, terms| {
            policy(action, AddHeader::No).replies(outcome, &envelope, terms)
        };
        let refused = Reply::Smtp("550 5.7.1 no A_B here".to_owned());
        assert_eq!(replies(Action::Reject, &infected("A%B"), ALL), [refused]);
        assert_eq!(replies(Action::Discard, &infected("A"), ALL), [Reply::Discard]);
        assert_eq!(replies(Action::Tempfail, &infected("A"), ALL), [Reply::Tempfail]);
        let held = Reply::Quarantine("holdfast: Infected (A)".to_owned());
        assert_eq!(replies(Action::Quarantine, &infected("A"), ALL), [held, Reply::Accept]);
        let poor = Terms { actions: 0, ..ALL };
        assert_eq!(replies(Action::Quarantine, &infected("A"), poor), [Reply::Tempfail]);
        assert_eq!(replies(Action::Reject, &Outcome::Clean, ALL), [Reply::Accept]);
        assert_eq!(replies(Action::Reject, &Outcome::Error, ALL), [Reply::Tempfail]);
    }

    #[test]
    fn header_fields() {
        let envelope = Envelope { status_fields: 2, scanned_fields: 1, ..Envelope::default() };
        let removed = |n, name: &str| Reply::ChangeHeader(n, name.to_owned(), String::new());
        let added = [field(SCANNED, "S"), field(STATUS, "Infected (A_B)"), Reply::Accept];
        let run = |how, actions| {
            let terms = Terms { actions, ..ALL };
            policy(Action::Accept, how).replies(&infected("A\nB"), &envelope, terms)
        };
        assert_eq!(run(AddHeader::Add, 0x1ff), added);
        let replaced = [removed(1, SCANNED), removed(2, STATUS), removed(1, STATUS)];
        assert_eq!(run(AddHeader::Replace, 0x1ff), [&replaced[..], &added].concat());
        assert_eq!(run(AddHeader::Replace, action::ADD_HEADERS), added);
        assert_eq!(run(AddHeader::Replace, 0), [Reply::Accept]);
        assert_eq!(run(AddHeader::No, 0x1ff), [Reply::Accept]);
        let keeps = Terms { steps: step::LEADING_SPACE, ..ALL };
        let spaced =
            policy(Action::Accept, AddHeader::Add).replies(&Outcome::Clean, &envelope, keeps);
        assert_eq!(spaced[..2], [field(SCANNED, " S"), field(STATUS, " Clean")]);
    }
}
