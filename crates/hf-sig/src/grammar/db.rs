//! The oldest signatures: `db`.
//!
//! `NAME=HEXSIG`, for any target, at any offset. A line whose pattern starts with `=` is read over.
//! Sources: ClamAV's documentation; clamscan 1.4.6.

use hf_core::{
    Target,
    signature::{BodySig, Offset},
};

use super::{Lines, hexsig, ndb};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome, name_of},
    text::Text,
};

pub(super) const LINES: Lines = Lines::new(read);

fn read(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    let Some((name, pattern)) = line.split_once(b'=') else {
        return Err(line.fault(&codes::FIELDS, "the line has the form `NAME=HEXSIG`"));
    };
    if pattern.bytes().starts_with(b"=") {
        return Ok(Outcome::Skipped);
    }
    if loading.is_ignored(name, line) {
        return Ok(Outcome::Ignored);
    }
    let target = Target::ANY;
    let body = hexsig::plain(pattern)?;
    ndb::check_plain(pattern, target)?;
    let name = name_of(name)?;
    let sig = BodySig { target, offset: Offset::ANY, body, self_protect: false };
    loading.out.body(loading.place.meta(&name), sig);
    Ok(Outcome::Taken)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Got, check};

    #[test]
    fn lines() {
        for (line, want) in [
            ("A=deadbeef*cafe", Got::Taken(1)),
            ("A=deadbe\nB==x", Got::Taken(1)),
            ("B==aaa", Got::Skipped),
            ("A (Clam)=deadbe", Got::Taken(1)),
            ("A=dead??", Got::Taken(1)),
            ("=deadbeef", Got::Refused("HF0102")),
            ("A=", Got::Refused("HF0203")),
            ("A", Got::Refused("HF0101")),
            (" ", Got::Refused("HF0101")),
            ("A=dead", Got::Refused("HF0202")),
            ("A=deadbe=ef", Got::Refused("HF0201")),
            ("A=deadb", Got::Refused("HF0201")),
        ] {
            check("x.db", line, want);
        }
    }
}
