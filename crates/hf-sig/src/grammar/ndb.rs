//! Extended signatures: `ndb ndu sdb`.
//!
//! `NAME:TARGET:OFFSET:HEXSIG[:MINFL[:MAXFL]]`.
//! Sources: ClamAV's documentation of extended signatures; clamscan 1.4.6 (a line out of the levels' range, or for
//! a target above 14, is left out before its offset and pattern are looked at).

use hf_core::{Target, signature::BodySig};

use super::{Lines, hexsig, offset};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome, name_of},
    text::Text,
};

pub(super) const LINES: Lines = Lines::new(extended);
pub(super) const SELF_PROTECT: Lines = Lines::new(self_protecting);

/// Shortest pattern without any wildcard for targets 0 and 1, in bytes; ClamAV's.
const PLAIN_MIN: usize = 3;

fn extended(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, false)
}

fn self_protecting(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, true)
}

fn read(loading: &mut Loading<'_>, line: Text<'_>, self_protect: bool) -> Result<Outcome, Fault> {
    let fields = line.split(b':');
    let count = fields.len();
    let [name, target, offset, pattern, levels @ ..] = &fields[..] else {
        let reason = format!("an extended signature has 4 to 6 fields, here are {count}");
        return Err(line.fault(&codes::FIELDS, reason));
    };
    if levels.len() > 2 {
        let reason = format!("an extended signature has 4 to 6 fields, here are {count}");
        return Err(line.fault(&codes::FIELDS, reason));
    }
    let phishing = [b"HTML.Phishing".as_slice(), b"Email.Phishing"];
    if !loading.options.phishing_signatures
        && phishing.iter().any(|prefix| line.bytes().starts_with(prefix))
    {
        return Ok(Outcome::Skipped);
    }
    if loading.is_ignored(*name, line) {
        return Ok(Outcome::Ignored);
    }
    if !in_levels(loading, levels)? {
        return Ok(Outcome::Skipped);
    }
    let Some(target) = read_target(*target)? else { return Ok(Outcome::Skipped) };
    let offset = offset::parse(*offset, target)?;
    let body = hexsig::plain(*pattern)?;
    check_plain(*pattern, target)?;
    let name = name_of(*name)?;
    let sig = BodySig { target, offset, body, self_protect };
    loading.out.body(loading.place.meta(&name), sig);
    Ok(Outcome::Taken)
}

/// True when the optional fields MINFL and MAXFL hold the engine's level.
pub(super) fn in_levels(loading: &Loading<'_>, fields: &[Text<'_>]) -> Result<bool, Fault> {
    let min = fields.first().map(|field| field.number(u64::MAX)).transpose()?;
    if !loading.in_range(min, None) {
        return Ok(false);
    }
    let max = fields.get(1).map(|field| field.number(u64::MAX)).transpose()?;
    Ok(loading.in_range(None, max))
}

/// Reads a target; none for one that the engine does not know.
fn read_target(field: Text<'_>) -> Result<Option<Target>, Fault> {
    if field.is(b"*") {
        return Ok(Some(Target::ANY));
    }
    let number = field.number(u64::MAX)?;
    Ok(u8::try_from(number).ok().filter(|number| *number < Target::COUNT).map(Target))
}

/// Refuses short patterns of digits only for the targets in which ClamAV looks for them by Boyer-Moore.
pub(super) fn check_plain(pattern: Text<'_>, target: Target) -> Result<(), Fault> {
    let plain = pattern.bytes().iter().all(u8::is_ascii_hexdigit);
    let by_shifts = matches!(target, Target::ANY | Target::PE);
    if plain && by_shifts && pattern.len() < 2 * PLAIN_MIN {
        let reason = "a pattern for target 0 or 1 has at least 3 bytes";
        return Err(pattern.fault(&codes::PART_SHORT, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hf_core::signature::{Offset, OffsetBase};

    use super::*;
    use crate::testing::{Got, check, take};

    #[test]
    fn lines() {
        for (line, want) in [
            ("A:0:*:deadbeef", Got::Taken(1)),
            ("A:*:*:deadbeef:", Got::Taken(1)),
            ("A::5:deadbeef:10:300", Got::Taken(1)),
            ("A:2:*:dead", Got::Taken(1)),
            ("A:0:*:dead??", Got::Taken(1)),
            ("A:14:*:deadbeef", Got::Taken(1)),
            ("A:0:*:xx:217", Got::Skipped),
            ("A:0:bad:xx:10:100", Got::Skipped),
            ("A:0:*:deadbeef:10:", Got::Skipped),
            ("A:15:bad:xx", Got::Skipped),
            ("A:0:*", Got::Refused("HF0101")),
            ("A:0:*:deadbeef:1:300:1", Got::Refused("HF0101")),
            ("A:0:*:deadbeef:x", Got::Refused("HF0103")),
            ("A:0:*:deadbeef:10:x", Got::Refused("HF0103")),
            ("A:x:*:deadbeef", Got::Refused("HF0103")),
            (":0:*:deadbeef", Got::Refused("HF0102")),
            ("A:0:EP+0:deadbeef", Got::Refused("HF0212")),
            ("A:0:*:dead", Got::Refused("HF0202")),
            ("A:1:*:dead", Got::Refused("HF0202")),
            ("A:0:*:", Got::Refused("HF0203")),
        ] {
            check("x.ndb", line, want);
        }
        check("x.ndb", "A:0:*:deadbe\n\nB:0:*:deadbe\n", Got::Refused("HF0101"));
        check("x.ndb", "A:0:*:deadbe\r\n# B\nB:0:*:deadbe", Got::Taken(2));
    }

    #[test]
    fn model_of_a_line() {
        let kept = take("x.sdb", "A (Clam):1:EP+4,5:60e85d");
        let sig = &kept.bodies[0];
        assert_eq!(kept.names, ["A"]);
        assert_eq!(sig.target, Target::PE);
        assert_eq!(sig.offset, Offset { base: OffsetBase::Entry(4), max_shift: 5 });
        assert_eq!(sig.body.parts[0].items.len(), 3);
        assert!(sig.self_protect);
    }
}
