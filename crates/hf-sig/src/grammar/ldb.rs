//! Logical signatures: `ldb ldu`.
//!
//! `NAME;TDB;EXPR;SUB0[;SUB1…]`. From the fourth field on a `;` between slashes divides nothing.
//! A sub-signature is, tried in this order: a macro (`$`), a regular expression (holds `/`), a byte comparison
//! (`(`, `#`, `#`), an image hash (`fuzzy_img#`), or a pattern `[OFFSET:]HEXSIG[::MODIFIERS]`.
//! Sources: ClamAV's documentation of logical signatures; clamscan 1.4.6: the expression is checked before the
//! signature may be left out by its target description, the sub-signatures are checked after that.

use hf_core::{
    Target,
    signature::{LogicalSig, Offset, Sub},
};

use super::{
    Lines, byte_compare,
    expr::{self, SUBS_MAX},
    hexsig::{self, Modifiers},
    offset, pcre, tdb,
};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome, name_of},
    text::Text,
};

pub(super) const LINES: Lines = Lines { line_max: 32_767, ..Lines::new(read) };

/// Number of macro groups; ClamAV's.
const GROUPS: u64 = 32;
/// Fields in front of the sub-signatures.
const HEAD: usize = 3;

fn read(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    let fields = split(line);
    let [name, tdb, expression, subs @ ..] = &fields[..] else {
        return Err(too_few(line, fields.len()));
    };
    if subs.is_empty() {
        return Err(too_few(line, fields.len()));
    }
    if loading.is_ignored(*name, line) {
        return Ok(Outcome::Ignored);
    }
    let (expr, largest) = expr::parse(*expression, &mut loading.notes)?;
    if subs.len() > SUBS_MAX {
        let reason = format!("there are {} sub-signatures, 64 are allowed", subs.len());
        return Err(line.fault(&codes::SUB_MANY, reason));
    }
    if usize::from(largest) + 1 != subs.len() {
        let reason = format!(
            "the expression's largest index is {largest}, but there are {} sub-signatures",
            subs.len()
        );
        return Err(expression.fault(&codes::SUB_COUNT, reason));
    }
    let flevel = loading.options.flevel;
    let Some(tdb) = tdb::parse(*tdb, flevel, None)? else { return Ok(Outcome::Skipped) };
    let subs = subs
        .iter()
        .zip(0..)
        .map(|(text, idx)| sub(*text, idx, subs.len(), tdb.target, &mut loading.notes))
        .collect::<Result<Vec<Sub>, Fault>>()?;
    let name = name_of(*name)?;
    loading.out.logical(loading.place.meta(&name), LogicalSig { tdb, expr, subs });
    Ok(Outcome::Taken)
}

fn too_few(line: Text<'_>, count: usize) -> Fault {
    let reason = format!("a logical signature has at least 4 fields, here are {count}");
    line.fault(&codes::FIELDS, reason)
}

/// Divides a line at its semicolons, but not at those of regular expressions.
fn split(line: Text<'_>) -> Vec<Text<'_>> {
    let mut fields = Vec::with_capacity(8);
    let mut start = 0;
    let mut in_regex = false;
    let mut previous = 0;
    for (idx, byte) in line.bytes().iter().enumerate() {
        match byte {
            b';' if !in_regex => {
                fields.push(line.cut(start..idx));
                start = idx + 1;
            }
            b'/' if fields.len() >= HEAD && previous != b'\\' => in_regex = !in_regex,
            _ => {}
        }
        previous = *byte;
    }
    fields.push(line.from(start));
    fields
}

fn sub(
    text: Text<'_>,
    idx: u8,
    subs: usize,
    target: Target,
    notes: &mut Vec<Fault>,
) -> Result<Sub, Fault> {
    let bytes = text.bytes();
    if bytes.starts_with(b"$") {
        return macro_sub(text);
    }
    if bytes.contains(&b'/') {
        return pcre::parse(text, idx, target, notes);
    }
    if is_byte_compare(text) {
        return byte_compare::parse(text, idx, subs, notes).map(Sub::ByteCompare);
    }
    if let Some(hash) = text.strip(b"fuzzy_img#") {
        return image_hash(hash);
    }
    body(text, target, notes)
}

/// True for a `(` with two `#` behind it.
fn is_byte_compare(text: Text<'_>) -> bool {
    let Some(open) = text.find(b'(') else { return false };
    text.bytes()[open..].iter().filter(|b| **b == b'#').count() >= 2
}

/// `${min-max}group$`.
fn macro_sub(text: Text<'_>) -> Result<Sub, Fault> {
    let bad = || text.fault(&codes::MACRO, "a macro has the form `${min-max}group$`");
    let (range, rest) = text.strip(b"${").and_then(|rest| rest.split_once(b'}')).ok_or_else(bad)?;
    let (min, max) = range.split_once(b'-').ok_or_else(bad)?;
    let (group, tail) = rest.split_once(b'$').ok_or_else(bad)?;
    let empty = min.is_empty() || max.is_empty() || group.is_empty();
    if empty || !tail.is_empty() {
        return Err(bad());
    }
    let number = |text: Text<'_>| text.number_u32().map_err(|_| bad());
    let group_number = group.number(u64::MAX).map_err(|_| bad())?;
    let Some(group) = u8::try_from(group_number).ok().filter(|g| u64::from(*g) < GROUPS) else {
        let reason = format!("macro group {group_number} is above 31");
        return Err(group.fault(&codes::MACRO_GROUP, reason));
    };
    Ok(Sub::Macro { min: number(min)?, max: number(max)?, group })
}

/// What stands behind `fuzzy_img#`.
fn image_hash(text: Text<'_>) -> Result<Sub, Fault> {
    let (hash, distance) = match text.split_once(b'#') {
        Some((hash, distance)) => (hash, Some(distance)),
        None => (text, None),
    };
    let bad = |place: Text<'_>, reason: &str| place.fault(&codes::IMAGE_HASH, reason);
    if let Some(distance) = distance {
        // Anything behind a second `#` is read over, as clamscan does.
        let distance = distance.split_once(b'#').map_or(distance, |(distance, _)| distance);
        if distance.is_empty() || distance.number(u64::MAX) != Ok(0) {
            return Err(bad(distance, "no distance but 0 is supported"));
        }
    }
    let bytes = hash.hex().map_err(|fault| Fault { code: &codes::IMAGE_HASH, ..fault })?;
    match <[u8; 8]>::try_from(bytes) {
        Ok(hash) => Ok(Sub::ImageHash(hash)),
        Err(_) => Err(bad(hash, "an image hash has 16 hexadecimal digits")),
    }
}

/// `HEX`, `OFFSET:HEX`, `HEX::MODIFIERS`, `OFFSET:HEX::MODIFIERS`.
fn body(text: Text<'_>, target: Target, notes: &mut Vec<Fault>) -> Result<Sub, Fault> {
    let fields = text.split(b':');
    let (place, pattern, between, letters) = match fields[..] {
        [pattern] => (None, pattern, None, None),
        [place, pattern] => (Some(place), pattern, None, None),
        [pattern, between, letters] => (None, pattern, Some(between), Some(letters)),
        [place, pattern, between, letters] => (Some(place), pattern, Some(between), Some(letters)),
        _ => return crowded(fields[0], &fields[1..], notes),
    };
    if let Some(between) = between
        && !between.is_empty()
    {
        let reason = format!("`{}` has no meaning between the colons", between.lossy());
        notes.push(between.fault(&codes::IGNORED_TEXT, reason));
    }
    let modifiers = letters.map_or(Ok(Modifiers::default()), read_modifiers)?;
    let offset = place.map_or(Ok(Offset::ANY), |place| offset::parse(place, target))?;
    Ok(Sub::Body { offset, forms: hexsig::forms(pattern, modifiers)? })
}

/// A pattern with more colons than its forms have, as in `6162::i*6364::i`; published databases hold some.
///
/// Off-spec: what is looked for is the text in front of the first colon, under the modifiers right behind it. In
/// clamscan it is that text too, under modifiers that do not depend on what is written.
fn crowded(pattern: Text<'_>, behind: &[Text<'_>], notes: &mut Vec<Fault>) -> Result<Sub, Fault> {
    let letters = behind.get(1).copied().unwrap_or(pattern.from(pattern.len()));
    let valid = letters.bytes().iter().take_while(|b| b"iwfa".contains(b)).count();
    let modifiers = read_modifiers(letters.cut(0..valid))?;
    let rest = letters.from(valid);
    let reason = "nothing behind the first modifiers has a meaning";
    notes.push(rest.fault(&codes::IGNORED_TEXT, reason));
    Ok(Sub::Body { offset: Offset::ANY, forms: hexsig::forms(pattern, modifiers)? })
}

fn read_modifiers(text: Text<'_>) -> Result<Modifiers, Fault> {
    let mut modifiers = Modifiers::default();
    for (idx, byte) in text.bytes().iter().enumerate() {
        match byte {
            b'i' => modifiers.nocase = true,
            b'w' => modifiers.wide = true,
            b'f' => modifiers.fullword = true,
            b'a' => modifiers.ascii = true,
            _ => {
                let place = text.cut(idx..idx + 1);
                let reason = format!("`{}` is not a modifier", place.lossy());
                return Err(place.fault(&codes::MODIFIER, reason));
            }
        }
    }
    Ok(modifiers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Got, check, take};

    #[track_caller]
    fn subs(text: &str, want: Got) {
        let count = split(Text::line(format!(";;;{text}").as_bytes())).len() - HEAD;
        let line = format!("A;Engine:81-255,Target:0;{};{text}", count - 1);
        check("x.ldb", &line, want);
    }

    #[test]
    fn lines() {
        for (line, want) in [
            ("A;Target:0;0;dead", Got::Taken(1)),
            ("A;Engine:51-255,Target:1;0&1;4d5a;EP+0:60e8::i", Got::Taken(1)),
            ("A;Engine:51-255,Target:0;1;dead;beef", Got::Taken(1)),
            ("A;Engine:51-255,Target:0,Foo:1;0;bad(", Got::Skipped),
            ("A;Engine:217-255,Target:0;0;bad(", Got::Skipped),
            ("A;Engine:51-255,Target:0;0&1;dead;beef{8-4}beef", Got::Skipped),
            ("A;Engine:51-255,Target:0,Foo:1;9;dead", Got::Refused("HF0307")),
            ("A;Engine:51-255,Target:0;0", Got::Refused("HF0101")),
            ("A;Engine:51-255,Target:0;0;", Got::Refused("HF0203")),
            ("A;Engine:51-255,Target:0;0;dead;", Got::Refused("HF0307")),
            ("A;Engine:51-255,Target:0;0&1;dead", Got::Refused("HF0307")),
            (";Engine:51-255,Target:0;0;dead", Got::Refused("HF0102")),
            (" (Clam);Engine:51-255,Target:0;0;dead", Got::Refused("HF0102")),
        ] {
            check("x.ldb", line, want);
            check("x.ldu", line, want);
        }
        let many = "deadbe;".repeat(64) + "deadbe";
        check("x.ldb", &format!("A;Target:0;64;{many}"), Got::Refused("HF0308"));
        check("x.ldb", &format!("A;Target:0;63;{}", &many[7..]), Got::Taken(1));
    }

    #[test]
    fn kinds_of_subs() {
        subs("dead::iwfa", Got::Taken(1));
        subs("*:dead:junk:i", Got::Taken(1));
        subs("dead::", Got::Taken(1));
        subs("de::w", Got::Taken(1));
        subs("dead::x", Got::Refused("HF0309"));
        subs("dead:i", Got::Refused("HF0211"));
        subs("*:dead::i:x", Got::Refused("HF0203"));
        subs("dead::i*beef::i", Got::Taken(1));
        subs("::i", Got::Refused("HF0203"));
        subs("EP+0:dead", Got::Refused("HF0212"));
        subs("dead;${0-5}31$", Got::Taken(1));
        subs("dead;${0-5}32$", Got::Refused("HF0213"));
        for text in ["${5}1$", "${-5}1$", "${0-5}$", "${0-5}1", "${0-5}1$x", "$", "${x-5}1$"] {
            subs(&format!("dead;{text}"), Got::Refused("HF0310"));
        }
        subs("dead;0/a;b/", Got::Taken(1));
        subs("dead;0/ab", Got::Refused("HF0311"));
        subs("dead;0(>>5#ib2#>0x10,<200)", Got::Taken(1));
        subs("dead;0(>>5#i3#=1)", Got::Refused("HF0315"));
        subs("dead#beef", Got::Refused("HF0201"));
        subs("fuzzy_img#af2ad01ed42993c7", Got::Taken(1));
        subs("fuzzy_img#AF2AD01ED42993C7#0#x", Got::Taken(1));
        for tail in
            ["af2ad01ed42993c7#1", "af2ad01ed42993c", "af2ad01ed42993cz", "", "af2ad01ed42993c7#"]
        {
            subs(&format!("fuzzy_img#{tail}"), Got::Refused("HF0316"));
        }
    }

    #[test]
    fn model() {
        let kept = take(
            "x.ldb",
            "A;Engine:81-255,Target:0;0&1&2;aabb::wa;${1-2}3$;fuzzy_img#0001020304050607",
        );
        let subs = &kept.logicals[0].subs;
        assert!(matches!(&subs[0], Sub::Body { forms, .. } if forms.len() == 2));
        assert_eq!(subs[1], Sub::Macro { min: 1, max: 2, group: 3 });
        assert_eq!(subs[2], Sub::ImageHash([0, 1, 2, 3, 4, 5, 6, 7]));
    }
}
