//! Metadata of container members: `cdb`.
//!
//! `NAME:CTYPE:CSIZE:FNAMEREGEX:FSIZEC:FSIZER:ENC:POS:RES1:RES2[:MINFL[:MAXFL]]`. Sizes and positions are `*`, `n` or
//! `a-b`; in `a-b` a bound of 0 is none. RES1 and RES2 are read over.
//! Sources: ClamAV's documentation of container metadata; clamscan 1.4.6 (a missing size is 0).
//!
//! Off-spec: `a-b-c`, which clamscan reads as `a-b`, is refused.

use hf_core::{
    FileType,
    signature::{ContainerSig, SizeRange},
};

use super::{Lines, ndb, regex};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome, name_of},
    text::Text,
};

pub(super) const LINES: Lines = Lines::new(read);

fn read(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    let fields = line.split(b':');
    let count = fields.len();
    let wrong = || {
        let reason = format!("a container signature has 10 to 12 fields, here are {count}");
        line.fault(&codes::FIELDS, reason)
    };
    let [name, kind, size, regex, packed, unpacked, encrypted, position, _, _, levels @ ..] =
        &fields[..]
    else {
        return Err(wrong());
    };
    if levels.len() > 2 {
        return Err(wrong());
    }
    if !ndb::in_levels(loading, levels)? {
        return Ok(Outcome::Skipped);
    }
    if loading.is_ignored_by_name(*name) {
        return Ok(Outcome::Ignored);
    }
    let sig = ContainerSig {
        container: container(*kind)?,
        container_size: range(*size)?,
        name_regex: name_regex(*regex)?,
        packed_size: range(*packed)?,
        unpacked_size: range(*unpacked)?,
        encrypted: flag(*encrypted)?,
        position: range(*position)?,
        crc32: None,
    };
    let name = name_of(*name)?;
    loading.out.container(loading.place.meta(&name), sig);
    Ok(Outcome::Taken)
}

fn container(text: Text<'_>) -> Result<Option<FileType>, Fault> {
    if text.is(b"*") {
        return Ok(None);
    }
    let word = text.lossy();
    match FileType::from_clamav_name(&word) {
        // A container of any type.
        Some(FileType::Any) => Ok(None),
        Some(kind) => Ok(Some(kind)),
        None => Err(text.fault(&codes::FILE_TYPE, format!("`{word}` is not a file type"))),
    }
}

fn range(text: Text<'_>) -> Result<SizeRange, Fault> {
    if text.is(b"*") {
        return Ok(SizeRange::default());
    }
    let Some((low, high)) = text.split_once(b'-') else {
        let exact = text.number(u64::MAX)?;
        return Ok(SizeRange { min: Some(exact), max: Some(exact) });
    };
    if low.is_empty() || high.is_empty() {
        return Err(text.fault(&codes::NUMBER, format!("`{}` is not a range", text.lossy())));
    }
    let (min, max) = (low.number(u64::MAX)?, high.number(u64::MAX)?);
    if min == max {
        return Ok(SizeRange { min: Some(min), max: Some(max) });
    }
    Ok(SizeRange { min: Some(min).filter(|n| *n != 0), max: Some(max).filter(|n| *n != 0) })
}

/// Reads an expression over names, or `*`.
pub(super) fn name_regex(text: Text<'_>) -> Result<Option<String>, Fault> {
    if text.is(b"*") {
        return Ok(None);
    }
    regex::check(text, regex::Dialect::Posix)?;
    Ok(Some(text.lossy().into_owned()))
}

fn flag(text: Text<'_>) -> Result<Option<bool>, Fault> {
    match text.bytes() {
        b"*" => Ok(None),
        b"0" => Ok(Some(false)),
        b"1" => Ok(Some(true)),
        _ => {
            let reason = format!("`{}` is not `*`, 0 or 1", text.lossy());
            Err(text.fault(&codes::ENCRYPTED, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Got, check, take};

    #[test]
    fn lines() {
        for (line, want) in [
            ("A:CL_TYPE_ZIP:*:a:*:*:1:*:*:*", Got::Taken(1)),
            ("A:*:5-6:*:6-5::0:3:x:x:10:300", Got::Taken(1)),
            ("A:*:*:*:*:*:*:*:*:*:217", Got::Skipped),
            ("A:*:*:*:*:*:*:*:*:*:10:215", Got::Skipped),
            ("A:*:*:*:*:*:*:*:*:*:10:", Got::Skipped),
            ("A:*:*:*:*:*:*:*:*", Got::Refused("HF0101")),
            ("A:*:*:*:*:*:*:*:*:*:1:300:1", Got::Refused("HF0101")),
            ("A:*:*:*:*:*:*:*:*:*:x", Got::Refused("HF0103")),
            ("A:*:*:*:*:*:*:*:*:*:10:x", Got::Refused("HF0103")),
            (":*:*:*:*:*:*:*:*:*", Got::Refused("HF0102")),
            ("A:CL_TYPE_FOO:*:*:*:*:*:*:*:*", Got::Refused("HF0105")),
            ("A::*:*:*:*:*:*:*:*", Got::Refused("HF0105")),
            ("A:*:5-:*:*:*:*:*:*:*", Got::Refused("HF0103")),
            ("A:*:-5:*:*:*:*:*:*:*", Got::Refused("HF0103")),
            ("A:*:x:*:*:*:*:*:*:*", Got::Refused("HF0103")),
            ("A:*:*::*:*:*:*:*:*", Got::Refused("HF0401")),
            ("A:*:*:(a:*:*:*:*:*:*", Got::Refused("HF0401")),
            ("A:*:*:*a:*:*:*:*:*:*", Got::Refused("HF0401")),
            ("A:*:*:*:*:*:2:*:*:*", Got::Refused("HF0403")),
            ("A:*:*:*:*:*::*:*:*", Got::Refused("HF0403")),
            ("A:*:*:*:*:*:*:x:*:*", Got::Refused("HF0103")),
        ] {
            check("x.cdb", line, want);
        }
    }

    #[test]
    fn model() {
        let sig = &take("x.cdb", r"A:CL_TYPE_RAR:0-9:\.exe$:4:*:1:2-2:*:*").containers[0];
        assert_eq!(sig.container, Some(FileType::Rar));
        assert_eq!(sig.container_size, SizeRange { min: None, max: Some(9) });
        assert_eq!(sig.packed_size, SizeRange { min: Some(4), max: Some(4) });
        assert_eq!(sig.unpacked_size, SizeRange::default());
        assert_eq!(sig.position, SizeRange { min: Some(2), max: Some(2) });
        assert_eq!((sig.name_regex.as_deref(), sig.encrypted), (Some(r"\.exe$"), Some(true)));
    }
}
