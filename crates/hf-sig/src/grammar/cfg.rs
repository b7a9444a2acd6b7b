//! Configuration of parsers: `cfg`.
//!
//! `CATEGORY:0xFLAGS:MINFL:MAXFL`. Lines of other categories are left out.
//! Sources: ClamAV's documentation of dynamic configuration; clamscan 1.4.6 (levels are read as C's `atoi` does, and
//! missing ones hold every level).

use hf_core::signature::{ConfigCategory, ConfigSig};

use super::{Empty, Lines};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome},
    text::{Text, atoi, hex_digit},
};

pub(super) const LINES: Lines = Lines {
    comments: false,
    blank: true,
    counted: false,
    empty: Empty::Allowed,
    ..Lines::new(read)
};

/// Every category and its name.
const CATEGORIES: [(&[u8], ConfigCategory); 10] = [
    (b"PE", ConfigCategory::Pe),
    (b"ELF", ConfigCategory::Elf),
    (b"MACHO", ConfigCategory::Macho),
    (b"ARCHIVE", ConfigCategory::Archive),
    (b"DOCUMENT", ConfigCategory::Document),
    (b"MAIL", ConfigCategory::Mail),
    (b"OTHER", ConfigCategory::Other),
    (b"PHISHING", ConfigCategory::Phishing),
    (b"BYTECODE", ConfigCategory::Bytecode),
    (b"PCRE", ConfigCategory::Pcre),
];

fn read(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    let fields = line.split(b':');
    let word = fields.first().map_or(&b""[..], |field| field.bytes());
    let Some((_, category)) = CATEGORIES.iter().find(|(name, _)| *name == word) else {
        return Ok(Outcome::Skipped);
    };
    let Some(flags) = fields.get(1) else {
        return Err(line.fault(&codes::CONFIG, "the flags are missing"));
    };
    let level = |idx: usize| fields.get(idx).map(|field| atoi(field.bytes()));
    let engine = i64::from(loading.options.flevel);
    if level(2).is_some_and(|min| min > engine) || level(3).is_some_and(|max| max < engine) {
        return Ok(Outcome::Skipped);
    }
    let flags = read_flags(*flags)?;
    let sig = ConfigSig { category: *category, flags };
    let name = String::from_utf8_lossy(word);
    loading.out.config(loading.place.meta(&name), sig);
    Ok(Outcome::Taken)
}

fn read_flags(text: Text<'_>) -> Result<u32, Fault> {
    let bad = || {
        let reason = format!("`{}` is not `0x` and hexadecimal digits", text.lossy());
        text.fault(&codes::CONFIG, reason)
    };
    let digits = text.strip(b"0x").filter(|digits| !digits.is_empty()).ok_or_else(bad)?;
    let mut value: u32 = 0;
    for byte in digits.bytes() {
        let digit = hex_digit(*byte).ok_or_else(bad)?;
        // More than eight digits: the largest value, as in C.
        value = value.checked_mul(16).map_or(u32::MAX, |value| value | u32::from(digit));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Got, check, take};

    #[test]
    fn lines() {
        for (line, want) in [
            ("PE:0x1:1:300", Got::Taken(1)),
            ("PE:0x1:1", Got::Taken(1)),
            ("\nPE:0x1:x:300:4\n", Got::Taken(1)),
            ("PE:0xffffffffff:1:300", Got::Taken(1)),
            ("PE:0x1:1:100", Got::Skipped),
            ("FOO:0x1:1:300", Got::Skipped),
            ("#c", Got::Skipped),
            ("", Got::Nothing),
            ("PE:1:1:300", Got::Refused("HF0404")),
            ("PE:0xz:1:300", Got::Refused("HF0404")),
            ("PE", Got::Refused("HF0404")),
        ] {
            check("x.cfg", line, want);
        }
        let sig = take("x.cfg", "ARCHIVE:0x40000:1:255").configs[0];
        assert_eq!(sig, ConfigSig { category: ConfigCategory::Archive, flags: 0x40000 });
    }
}
