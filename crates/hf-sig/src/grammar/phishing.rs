//! Lists of phishing addresses: `pdb gdb wdb`.
//!
//! `pdb` and `gdb` hold `R:regex`, `H:host` and `S:…:digest`, `wdb` holds `X:regex:regex`, `Y:regex`, `M:host:host` and
//! `S:W:digest`; each with `:min-max` or `:min-` behind it.
//! Sources: ClamAV's documentation of phishing signatures; clamscan 1.4.6 (digits behind the letter are read over, a
//! range of levels needs digits in front of its `-`).

use hf_core::signature::{PhishingList, PhishingSig};

use super::{Empty, Lines, regex};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome},
    text::Text,
};

const LIST: Lines = Lines { blank: true, empty: Empty::Allowed, ..Lines::new(protected) };
pub(super) const PROTECTED: Lines = LIST;
pub(super) const GOOGLE: Lines = Lines { parse: google, ..LIST };
pub(super) const ALLOWED: Lines = Lines { parse: allowed, counted: false, ..LIST };

fn protected(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, PhishingList::Protected)
}

fn google(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, PhishingList::Google)
}

fn allowed(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, PhishingList::Allowed)
}

fn read(loading: &mut Loading<'_>, line: Text<'_>, list: PhishingList) -> Result<Outcome, Fault> {
    let (line, levels) = split_levels(line);
    if let Some((min, max)) = levels
        && !loading.in_range(Some(min), max)
    {
        return Ok(Outcome::Skipped);
    }
    let Some((kind, rest)) = line.split_once(b':') else {
        return Err(line.fault(&codes::PHISHING, "the line has no colon"));
    };
    if rest.is_empty() {
        return Err(line.fault(&codes::PHISHING, "nothing stands behind the colon"));
    }
    let allowed = list == PhishingList::Allowed;
    match kind.get(0) {
        Some(b'R') if !allowed => regex::check(rest, regex::Dialect::Posix)?,
        Some(b'X' | b'Y') if allowed => regex::check(rest, regex::Dialect::Posix)?,
        Some(b'H') if !allowed => {}
        Some(b'M') if allowed => {}
        Some(b'S') => digest(rest, allowed)?,
        _ => {
            let reason = format!("`{}` is not a kind of line of this list", kind.lossy());
            return Err(kind.fault(&codes::PHISHING, reason));
        }
    }
    let fields = rest.split(b':').iter().map(|field| field.lossy().into_owned()).collect();
    let sig = PhishingSig { list, kind: kind.lossy().into_owned(), fields };
    loading.out.phishing(loading.place.meta(""), sig);
    Ok(Outcome::Taken)
}

/// Levels of a line: the least, and the largest.
type Levels = (u64, Option<u64>);

/// Takes the functionality levels off the end of a line.
fn split_levels(line: Text<'_>) -> (Text<'_>, Option<Levels>) {
    let Some(colon) = line.bytes().iter().rposition(|b| *b == b':') else { return (line, None) };
    let Some((min, max)) = line.from(colon + 1).split_once(b'-') else { return (line, None) };
    let digits = |text: Text<'_>| text.bytes().iter().all(u8::is_ascii_digit);
    if min.is_empty() || !digits(min) || !digits(max) {
        return (line, None);
    }
    let Ok(min) = min.number(u64::MAX) else { return (line, None) };
    let max = Some(max).filter(|max| !max.is_empty()).and_then(|max| max.number(u64::MAX).ok());
    (line.cut(0..colon), Some((min, max)))
}

/// Checks what stands behind `S:`.
fn digest(text: Text<'_>, allowed: bool) -> Result<(), Fault> {
    let bad = |place: Text<'_>, reason: &str| place.fault(&codes::PHISHING, reason);
    let Some((kind, digits)) = text.split_once(b':') else {
        return Err(bad(text, "a digest has the form `S:kind:digits`"));
    };
    let len = match kind.bytes() {
        b"P" if !allowed => 8,
        b"F" if !allowed => 64,
        b"W" => 64,
        _ => return Err(bad(kind, "unknown kind of digest")),
    };
    if digits.hex()?.len() * 2 != len {
        return Err(bad(digits, "the digest has the wrong length"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Got, check, take};

    #[test]
    fn lists() {
        let sha = "d41d8cd98f00b204e9800998ecf8427e".repeat(2);
        for (line, want) in [
            ("H:example.com", Got::Taken(1)),
            ("\nH1:example.com:\n", Got::Taken(1)),
            ("H:example.com:10-", Got::Taken(1)),
            ("H:example.com:10-20", Got::Skipped),
            ("H:example.com:217-", Got::Skipped),
            ("S1:P:deadbeef", Got::Taken(1)),
            ("S:P:deadbee", Got::Refused("HF0108")),
            ("S:P:deadbe", Got::Refused("HF0405")),
            ("S:X:deadbeef", Got::Refused("HF0405")),
            ("X:a:b", Got::Refused("HF0405")),
            ("Z:abc", Got::Refused("HF0405")),
            ("foo", Got::Refused("HF0405")),
            ("H:", Got::Refused("HF0405")),
            ("R:(", Got::Refused("HF0401")),
            ("", Got::Nothing),
        ] {
            check("x.pdb", line, want);
            check("x.gdb", line, want);
        }
        for (line, want) in [
            (r"X:.+\.a\.com([/?].*)?:.+\.b\.com([/?].*)?:17-", Got::Taken(1)),
            ("Y:a", Got::Taken(1)),
            ("M:a.com:b.com", Got::Taken(1)),
            ("M:a.com", Got::Taken(1)),
            (&format!("S:W:{sha}"), Got::Taken(1)),
            ("S:P:deadbeef", Got::Refused("HF0405")),
            ("H:a.com", Got::Refused("HF0405")),
            ("X:(:b", Got::Refused("HF0401")),
        ] {
            check("x.wdb", line, want);
        }
    }

    #[test]
    fn model() {
        let sig = &take("x.wdb", "M:a.com:b.com:17-").phishings[0];
        assert_eq!(sig.list, PhishingList::Allowed);
        assert_eq!((sig.kind.as_str(), sig.fields.len()), ("M", 2));
        assert_eq!(sig.fields, ["a.com", "b.com"]);
    }
}
