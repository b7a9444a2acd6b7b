//! Offsets: where a pattern may start.
//!
//! `*`, `n`, `EOF-n`, `EP+n`, `EP-n`, `Sx+n`, `SL+n`, `SEx`, `VI`, `$g`, each with `,maxshift`.
//! Sources: ClamAV's documentation of extended signatures; clamscan 1.4.6 (missing numbers are 0, `VI` may be
//! followed by anything, nothing at all is 0).
//!
//! Off-spec: numbers of 2^32 and more are refused; clamscan cuts them to 32 bits.

use hf_core::{
    Target,
    signature::{Offset, OffsetBase},
};

use crate::{
    diagnostic::{Fault, codes},
    text::Text,
};

/// Longest offset; ClamAV's.
const LEN_MAX: usize = 64;
/// Number of macro groups; ClamAV's.
const GROUPS: u64 = 32;

/// Reads an offset for signatures of a target.
pub(crate) fn parse(text: Text<'_>, target: Target) -> Result<Offset, Fault> {
    if text.len() > LEN_MAX {
        return Err(text.fault(&codes::OFFSET, "the offset has more than 64 characters"));
    }
    if text.is(b"*") {
        return Ok(Offset::ANY);
    }
    let (place, max_shift) = match text.split_once(b',') {
        Some((place, shift)) => (place, number(shift)?),
        None => (text, 0),
    };
    let base = base(place)?;
    let for_executables = matches!(
        base,
        OffsetBase::Entry(_)
            | OffsetBase::Section { .. }
            | OffsetBase::LastSection { .. }
            | OffsetBase::InSection { .. }
            | OffsetBase::VersionInfo
    );
    if for_executables && !target.is_executable() {
        let reason = format!("the offset is for executables, the target is {}", target.0);
        return Err(place.fault(&codes::OFFSET_TARGET, reason));
    }
    Ok(Offset { base, max_shift })
}

fn base(text: Text<'_>) -> Result<OffsetBase, Fault> {
    if let Some(digits) = text.strip(b"EOF-") {
        return Ok(OffsetBase::End(number(digits)?));
    }
    if let Some(digits) = text.strip(b"EP+") {
        return Ok(OffsetBase::Entry(i64::from(number(digits)?)));
    }
    if let Some(digits) = text.strip(b"EP-") {
        return Ok(OffsetBase::Entry(-i64::from(number(digits)?)));
    }
    if let Some(digits) = text.strip(b"SL+") {
        return Ok(OffsetBase::LastSection { add: number(digits)? });
    }
    if let Some(digits) = text.strip(b"SE") {
        return Ok(OffsetBase::InSection { idx: number(digits)? });
    }
    if text.bytes().starts_with(b"VI") {
        return Ok(OffsetBase::VersionInfo);
    }
    if let Some(group) = text.strip(b"$") {
        return macro_group(group);
    }
    if let Some(rest) = text.strip(b"S") {
        return match rest.split_once(b'+') {
            Some((idx, add)) if !idx.is_empty() => {
                Ok(OffsetBase::Section { idx: number(idx)?, add: number(add)? })
            }
            _ => Err(text.fault(&codes::OFFSET, "a section offset has the form `Sx+n`")),
        };
    }
    Ok(OffsetBase::Absolute(number(text)?))
}

fn macro_group(text: Text<'_>) -> Result<OffsetBase, Fault> {
    let digits = match text.bytes().split_last() {
        Some((b'$', _)) => text.cut(0..text.len() - 1),
        _ => text,
    };
    if digits.is_empty() || !digits.bytes().iter().all(u8::is_ascii_digit) {
        return Err(text.fault(&codes::OFFSET, "a macro offset has the form `$group`"));
    }
    let group = digits.number(u64::MAX)?;
    match u8::try_from(group) {
        Ok(group) if u64::from(group) < GROUPS => Ok(OffsetBase::Macro(group)),
        _ => Err(digits.fault(&codes::MACRO_GROUP, format!("macro group {group} is above 31"))),
    }
}

fn number(text: Text<'_>) -> Result<u32, Fault> {
    if text.bytes().iter().all(u8::is_ascii_digit) {
        return text.number_u32();
    }
    let reason = format!("`{}` is not an offset", text.lossy());
    Err(text.fault(&codes::OFFSET, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(text: &str, target: u8, base: OffsetBase, max_shift: u32) {
        let got = parse(Text::line(text.as_bytes()), Target(target)).unwrap();
        assert_eq!(got, Offset { base, max_shift });
    }

    #[track_caller]
    fn bad(text: &str, target: u8, code: &str) {
        let got = parse(Text::line(text.as_bytes()), Target(target)).unwrap_err();
        assert_eq!(got.code.id, code, "{text}");
    }

    #[test]
    fn forms() {
        good("*", 0, OffsetBase::Any, 0);
        good("", 0, OffsetBase::Absolute(0), 0);
        good("5", 0, OffsetBase::Absolute(5), 0);
        good("5,6", 0, OffsetBase::Absolute(5), 6);
        good(",6", 0, OffsetBase::Absolute(0), 6);
        good("5,", 0, OffsetBase::Absolute(5), 0);
        good("EOF-5,4", 2, OffsetBase::End(5), 4);
        good("EP+0", 1, OffsetBase::Entry(0), 0);
        good("EP-5,7", 6, OffsetBase::Entry(-5), 7);
        good("S0+5", 9, OffsetBase::Section { idx: 0, add: 5 }, 0);
        good("SL+5", 1, OffsetBase::LastSection { add: 5 }, 0);
        good("SE2,5", 1, OffsetBase::InSection { idx: 2 }, 5);
        good("SE", 1, OffsetBase::InSection { idx: 0 }, 0);
        good("VI", 6, OffsetBase::VersionInfo, 0);
        good("VIx,4", 1, OffsetBase::VersionInfo, 4);
        good("$31", 0, OffsetBase::Macro(31), 0);
        good("$1$", 0, OffsetBase::Macro(1), 0);
    }

    #[test]
    fn mistakes() {
        for text in ["x", "5x", "-5", "*,6", "5,x", "5,6,7", "EOF", "EOF+5", "eof-5", "EP", "EP+x"]
        {
            bad(text, 1, "HF0211");
        }
        for text in ["S0", "S0-5", "S+5", "Sx+5", "SL-5", "SL", "SEx", "SE0+5", "$", "$x", " 5"] {
            bad(text, 1, "HF0211");
        }
        bad(&"1".repeat(67), 0, "HF0211");
        for text in ["EP+0", "S0+5", "SL+5", "SE0", "VI"] {
            bad(text, 0, "HF0212");
            bad(text, 8, "HF0212");
        }
        bad("$32", 0, "HF0213");
        bad("4294967296", 0, "HF0104");
    }
}
