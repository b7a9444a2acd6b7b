//! From an answer to what the client is told and what the log says.

use hf_core::Verdict;
use hf_worker::Death;

use super::Shared;
use crate::log::name_line;
use crate::scan::Answer;

/// Returns the texts behind `NAME: `, one for each line.
pub(super) fn texts(answer: &Answer) -> Vec<String> {
    match answer.verdict {
        // Off-spec: what was not looked at is told in the log, because this protocol has no word for
        // it, and its clients take any other word for a failure.
        Verdict::Clean | Verdict::Incomplete => vec!["OK".to_owned()],
        Verdict::Detected => answer.names.iter().map(|name| format!("{name} FOUND")).collect(),
        Verdict::Error => vec![format!("{} ERROR", error_text(answer))],
    }
}

/// Returns ClamAV's words for what went wrong.
fn error_text(answer: &Answer) -> &'static str {
    match &answer.death {
        Some(Death::Deadline { .. }) => return "Exceeded time limit",
        Some(Death::OutOfMemory) => return "Can't allocate memory",
        Some(Death::Cut) => return "Can't read file",
        Some(_) => return "Unspecified error",
        None => {}
    }
    match answer.report.error.as_deref().unwrap_or_default() {
        text if text.starts_with("cannot read") => "Can't read file",
        text if text.starts_with("cannot map") => "Can't map file into memory",
        text if text.starts_with("no answer within") => "Exceeded time limit",
        text if text.starts_with("no descriptor") => "Can't duplicate file descriptor",
        _ => "Unspecified error",
    }
}

impl Shared {
    /// Logs a verdict as clamd does, and runs the event's command. `name` is made only when needed.
    pub(super) fn told(&self, answer: &Answer, name: impl FnOnce(&Answer) -> Vec<u8>) {
        match answer.verdict {
            Verdict::Clean if self.log_clean => {
                self.log.info(&format!("{}: OK", name_line(&name(answer))));
            }
            Verdict::Clean => {}
            Verdict::Incomplete => {
                let first = answer.report.unscanned.first();
                let why = first.map_or_else(String::new, |part| part.reason.to_string());
                let name = name_line(&name(answer));
                let rest = answer.report.unscanned.len().saturating_sub(1);
                let more =
                    if rest > 0 { format!(" (and {rest} more parts)") } else { String::new() };
                let text = format!("{name}: OK, but not everything was looked at: {why}{more}");
                self.log.info(&text);
            }
            Verdict::Detected => {
                let name = name(answer);
                let line = name_line(&name);
                let extended = self.extended(answer);
                for found in &answer.names {
                    self.log.info(&format!("{line}: {found}{extended} FOUND"));
                }
                if let (Some(events), Some(found)) = (&self.events, answer.name()) {
                    events.found(&name, found);
                }
            }
            Verdict::Error => {
                let why = answer.report.error.as_deref().unwrap_or("unknown");
                let name = name_line(&name(answer));
                self.log.warning(&format!("WARNING: {name}: {} ({why})", error_text(answer)));
            }
        }
    }

    fn extended(&self, answer: &Answer) -> String {
        use std::fmt::Write as _;
        let digests = answer.report.objects.first().and_then(|object| object.digests);
        let Some(digests) = digests.filter(|_| self.log_extended) else { return String::new() };
        let mut text = "(".to_owned();
        for byte in digests.md5 {
            let _ = write!(text, "{byte:02x}");
        }
        let _ = write!(text, ":{})", answer.size);
        text
    }
}
