//! Digest signatures: `hdb hsb hdu hsu`, `fp sfp`, `mdb msb mdu msu`, `imp`.
//!
//! `HASH:SIZE:NAME[:MINFL[:MAXFL]]`, for sections `SIZE:HASH:NAME…`. The digest is MD5, SHA-1 or SHA-256 by its
//! length. `*` as a size needs MINFL of at least 73, except in `imp`.
//! Promises: nothing is allocated for a line; there are millions.
//! Sources: ClamAV's documentation of hash signatures; clamscan 1.4.6 (levels are read as C's `atoi` does, and
//! a line out of their range is left out before its digest is looked at).

use hf_core::signature::{HashOf, HashSig};

use super::Lines;
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome, name_of},
    text::{HEX_VALUES, NO_DIGIT, Text, atoi, hex_digit},
};

pub(super) const OBJECTS: Lines = Lines::new(object);
pub(super) const ALLOWED: Lines = Lines::new(allowed);
pub(super) const SECTIONS: Lines = Lines::new(section);
pub(super) const IMPORTS: Lines = Lines::new(imports);

/// First level that knows `*` as a size.
const ANY_SIZE_LEVEL: i64 = 73;
/// Largest size; ClamAV keeps the next one for "any".
const SIZE_MAX: u64 = 0xffff_fffe;
const FIELDS_MIN: usize = 3;
const FIELDS_MAX: usize = 5;

fn object(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, HashOf::Object)
}

fn allowed(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, HashOf::Allowed)
}

fn section(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, HashOf::Section)
}

fn imports(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, HashOf::Imports)
}

fn read(loading: &mut Loading<'_>, line: Text<'_>, of: HashOf) -> Result<Outcome, Fault> {
    let (fields, count) = split(line)?;
    let [first, second, name, min, max] = fields;
    let (digest, size) = if of == HashOf::Section { (second, first) } else { (first, second) };
    let min = (count > 3).then(|| atoi(min.bytes()));
    let max = (count > 4).then(|| atoi(max.bytes()));
    let level = i64::from(loading.options.flevel);
    if min.is_some_and(|min| min > level) || max.is_some_and(|max| max < level) {
        return Ok(Outcome::Skipped);
    }
    let size = read_size(size, of, min)?;
    if loading.is_ignored(name, line) {
        return Ok(Outcome::Ignored);
    }
    let mut buffer = [0; 32];
    let len = read_digest(digest, &mut buffer)?;
    let name = name_of(name)?;
    let sig = HashSig { of, digest: &buffer[..len], size };
    loading.out.hash(loading.place.meta(&name), sig);
    Ok(Outcome::Taken)
}

fn split(line: Text<'_>) -> Result<([Text<'_>; FIELDS_MAX], usize), Fault> {
    let mut fields = [line.from(line.len()); FIELDS_MAX];
    let mut count = 0;
    let mut start = 0;
    for idx in memchr::memchr_iter(b':', line.bytes()) {
        if count + 1 == FIELDS_MAX {
            let reason = "a digest signature has at most 5 fields";
            return Err(line.from(idx).fault(&codes::FIELDS, reason));
        }
        fields[count] = line.cut(start..idx);
        count += 1;
        start = idx + 1;
    }
    fields[count] = line.from(start);
    count += 1;
    if count < FIELDS_MIN {
        let reason = format!("a digest signature has at least 3 fields, here are {count}");
        return Err(line.fault(&codes::FIELDS, reason));
    }
    Ok((fields, count))
}

fn read_size(field: Text<'_>, of: HashOf, min: Option<i64>) -> Result<Option<u32>, Fault> {
    if field.is(b"*") {
        if of != HashOf::Imports && min.is_none_or(|min| min < ANY_SIZE_LEVEL) {
            let reason = "a digest of any size needs a functionality level of at least 73";
            return Err(field.fault(&codes::ANY_SIZE_LEVEL, reason));
        }
        return Ok(None);
    }
    // `strtoul` reads over spaces in front.
    let spaces = field.bytes().iter().take_while(|b| **b == b' ').count();
    let digits = field.from(spaces);
    let size = digits.number(u64::MAX)?;
    if size == 0 || size > SIZE_MAX {
        let reason = format!("the size must be `*` or 1 to {SIZE_MAX}");
        return Err(field.fault(&codes::RANGE, reason));
    }
    Ok(u32::try_from(size).ok())
}

fn read_digest(field: Text<'_>, buffer: &mut [u8; 32]) -> Result<usize, Fault> {
    let text = field.bytes();
    if !matches!(text.len(), 32 | 40 | 64) {
        let reason =
            format!("a digest has 32, 40 or 64 hexadecimal digits, here are {}", text.len());
        return Err(field.fault(&codes::DIGEST, reason));
    }
    let mut seen = 0;
    for (pair, byte) in text.chunks_exact(2).zip(buffer.iter_mut()) {
        let (high, low) = (HEX_VALUES[usize::from(pair[0])], HEX_VALUES[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    if seen == NO_DIGIT {
        let idx = text.iter().position(|b| hex_digit(*b).is_none()).unwrap_or(0);
        let place = field.cut(idx..idx + 1);
        let reason = format!("`{}` is not a hexadecimal digit", place.lossy());
        return Err(place.fault(&codes::DIGEST, reason));
    }
    Ok(text.len() / 2)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Got, check};

    #[test]
    fn objects() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        for (tail, want) in [
            (":68:A", Got::Taken(1)),
            (":68:A:x", Got::Taken(1)),
            (":68:A:216", Got::Taken(1)),
            (":68:A:217", Got::Skipped),
            (":68:A:1:216", Got::Taken(1)),
            (":68:A:1:215", Got::Skipped),
            (":68:A:1:x", Got::Skipped),
            (":4294967294:A", Got::Taken(1)),
            (": 5:A", Got::Taken(1)),
            (":*:A:73", Got::Taken(1)),
            (":5:A (Clam)x", Got::Taken(1)),
            (":0:A", Got::Refused("HF0104")),
            (":4294967295:A", Got::Refused("HF0104")),
            (":99999999999999999999:A", Got::Refused("HF0104")),
            (":-5:A", Got::Refused("HF0103")),
            (":5x:A", Got::Refused("HF0103")),
            ("::A", Got::Refused("HF0104")),
            (":5:", Got::Refused("HF0102")),
            (":5: (Clam)", Got::Refused("HF0102")),
            (":*:A", Got::Refused("HF0107")),
            (":*:A:72", Got::Refused("HF0107")),
            (":5", Got::Refused("HF0101")),
            (":5:A:1:2:3", Got::Refused("HF0101")),
            (":5:A\n", Got::Refused("HF0101")),
        ] {
            check("x.hdb", &format!("{md5}{tail}\n"), want);
        }
        check("x.hdb", "d41d:68:A:300", Got::Skipped);
        check("x.hdb", "d41d:68:A", Got::Refused("HF0106"));
        check("x.hdb", &format!(" {}:68:A", &md5[1..]), Got::Refused("HF0106"));
        check("x.hsb", &format!("{md5}{}:5:A", &md5[..8]), Got::Taken(1));
        check("x.hsb", &format!("{md5}{md5}:5:A"), Got::Taken(1));
        check("x.HDU", &format!("{md5}:5:PUA.Win.A"), Got::Taken(1));
        check("x.fp", &format!("{md5}:5:A"), Got::Taken(1));
        check("x.mdb", &format!("5:{md5}:A"), Got::Taken(1));
        check("x.mdb", &format!("{md5}:5:A"), Got::Refused("HF0103"));
        check("x.imp", &format!("{md5}:*:A"), Got::Taken(1));
        check("x.hdb", "", Got::Refused("HF0001"));
        check("x.hdb", "# nothing\n", Got::Nothing);
    }
}
