//! Old metadata of members: `zmd` (zip) and `rmd` (RAR).
//!
//! `NAME:ENC:FNAMEREGEX:ORIGSIZE:COMPSIZE:CRC32HEX:METHOD:FILENO:MAXDEPTH`, exactly 9 fields, `*` for any value. METHOD
//! and MAXDEPTH are checked and read over.
//! Sources: ClamAV's documentation; clamscan 1.4.6 (any number but 0 means encrypted, a missing number is 0).

use hf_core::{
    FileType,
    signature::{ContainerSig, SizeRange},
};

use super::{Lines, cdb};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome, name_of},
    text::Text,
};

pub(super) const ZIP: Lines = Lines::new(zip);
pub(super) const RAR: Lines = Lines::new(rar);

fn zip(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, FileType::Zip)
}

fn rar(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    read(loading, line, FileType::Rar)
}

fn read(loading: &mut Loading<'_>, line: Text<'_>, kind: FileType) -> Result<Outcome, Fault> {
    let fields = line.split(b':');
    let [name, encrypted, regex, unpacked, packed, crc32, method, position, depth] = fields[..]
    else {
        let reason = format!("the signature has 9 fields, here are {}", fields.len());
        return Err(line.fault(&codes::FIELDS, reason));
    };
    if loading.is_ignored_by_name(name) {
        return Ok(Outcome::Ignored);
    }
    number(method)?;
    number(depth)?;
    let sig = ContainerSig {
        container: Some(kind),
        container_size: SizeRange::default(),
        name_regex: cdb::name_regex(regex)?,
        packed_size: exactly(number(packed)?),
        unpacked_size: exactly(number(unpacked)?),
        encrypted: number(encrypted)?.map(|n| n != 0),
        position: exactly(number(position)?),
        crc32: read_crc32(crc32)?,
    };
    let name = name_of(name)?;
    loading.out.container(loading.place.meta(&name), sig);
    Ok(Outcome::Taken)
}

fn number(text: Text<'_>) -> Result<Option<u64>, Fault> {
    if text.is(b"*") { Ok(None) } else { text.number(u64::MAX).map(Some) }
}

fn exactly(value: Option<u64>) -> SizeRange {
    SizeRange { min: value, max: value }
}

/// Reads hexadecimal digits; of more than eight the last count.
fn read_crc32(text: Text<'_>) -> Result<Option<u32>, Fault> {
    if text.is(b"*") {
        return Ok(None);
    }
    let bytes = text.hex()?;
    Ok(Some(bytes.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Got, check, take};

    #[test]
    fn lines() {
        for (line, want) in [
            ("A:1:*:*:*:*:*:*:*", Got::Taken(1)),
            ("A:2:*:5:6:deadbeef:1:2:3", Got::Taken(1)),
            ("A:1:*:5:6::1:2:3", Got::Taken(1)),
            ("A:x:*:5:6:*:1:2:3", Got::Refused("HF0103")),
            ("A:1:*:5-6:6:*:1:2:3", Got::Refused("HF0103")),
            ("A:1:*:5:x:*:1:2:3", Got::Refused("HF0103")),
            ("A:1:*:5:6:xyz:1:2:3", Got::Refused("HF0108")),
            ("A:1:*:5:6:*:x:2:3", Got::Refused("HF0103")),
            ("A:1:*:5:6:*:1:x:3", Got::Refused("HF0103")),
            ("A:1:*:5:6:*:1:2:x", Got::Refused("HF0103")),
            ("A:1:*:5:6:*:1:2", Got::Refused("HF0101")),
            ("A:1:*:5:6:*:1:2:3:4", Got::Refused("HF0101")),
            (":1:*:5:6:*:1:2:3", Got::Refused("HF0102")),
            ("A:1:(a:5:6:*:1:2:3", Got::Refused("HF0401")),
        ] {
            check("x.zmd", line, want);
            check("x.rmd", line, want);
        }
    }

    #[test]
    fn model() {
        let sig = &take("x.rmd", "A:0:x:5:6:deadbeef:*:2:*").containers[0];
        assert_eq!(sig.container, Some(FileType::Rar));
        assert_eq!(sig.crc32, Some(0xdead_beef));
        assert_eq!(sig.unpacked_size, SizeRange { min: Some(5), max: Some(5) });
        assert_eq!(sig.encrypted, Some(false));
    }
}
