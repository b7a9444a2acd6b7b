//! Magics of file types: `ftm`.
//!
//! `MAGICTYPE:OFFSET:HEX:DESC:RTYPE:TYPE[:MINFL[:MAXFL]]`. MAGICTYPE 0 compares bytes at an offset, 4 does for
//! partitions, 1 is a pattern; lines of other kinds are left out.
//! Sources: ClamAV's documentation of file type magic; clamscan 1.4.6 (types are checked in lines that are left out
//! for their kind, too; a missing number is 0).

use hf_core::{
    FileType, Target,
    signature::{MagicRule, MagicSig},
};

use super::{Empty, Lines, hexsig, offset};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome},
    text::Text,
};

pub(super) const LINES: Lines = Lines { counted: false, empty: Empty::NoEntry, ..Lines::new(read) };

fn read(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    let fields = line.split(b':');
    let count = fields.len();
    let wrong = || {
        let reason = format!("a magic has 6 to 8 fields, here are {count}");
        line.fault(&codes::FIELDS, reason)
    };
    let [kind, place, hex, name, required, file_type, levels @ ..] = &fields[..] else {
        return Err(wrong());
    };
    if levels.len() > 2 {
        return Err(wrong());
    }
    if !super::ndb::in_levels(loading, levels)? {
        return Ok(Outcome::Skipped);
    }
    let required = read_type(*required)?;
    let file_type = read_type(*file_type)?;
    let kind = kind.number(u64::MAX)?;
    let rule = match kind {
        0 | 4 => {
            MagicRule::At { off: place.number_u32()?, bytes: hex.hex()?, partition: kind == 4 }
        }
        1 => MagicRule::Pattern {
            offset: offset::parse(*place, Target::ANY)?,
            body: hexsig::plain(*hex)?,
        },
        _ => return Ok(Outcome::Skipped),
    };
    let name = name.lossy();
    loading.out.magic(loading.place.meta(&name), MagicSig { rule, required, file_type });
    Ok(Outcome::Taken)
}

fn read_type(text: Text<'_>) -> Result<FileType, Fault> {
    let word = text.lossy();
    FileType::from_clamav_name(&word)
        .ok_or_else(|| text.fault(&codes::FILE_TYPE, format!("`{word}` is not a file type")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Got, check, take};

    #[test]
    fn lines() {
        let good = "0:0:7f454c46:ELF:CL_TYPE_ANY:CL_TYPE_ELF";
        for (line, want) in [
            (good.to_owned(), Got::Taken(1)),
            (format!("{good}::300"), Got::Taken(1)),
            (format!("{good}:217\n{good}"), Got::Taken(1)),
            (format!("2{}\n{good}", &good[1..]), Got::Taken(1)),
            ("4:512:55aa::CL_TYPE_ANY:CL_TYPE_MBR".to_owned(), Got::Taken(1)),
            (":0::ELF:CL_TYPE_ANY:CL_TYPE_ELF".to_owned(), Got::Taken(1)),
            ("1:*:7f45*4c46:ELF:CL_TYPE_ANY:CL_TYPE_ELF".to_owned(), Got::Taken(1)),
            (format!("{good}:217"), Got::Refused("HF0004")),
            (format!("2{}", &good[1..]), Got::Refused("HF0004")),
            ("# only\n".to_owned(), Got::Refused("HF0004")),
            (String::new(), Got::Refused("HF0001")),
            (format!("{good}\n\n"), Got::Refused("HF0101")),
            (format!("{good}:10:300:4"), Got::Refused("HF0101")),
            (format!("{good}:x"), Got::Refused("HF0103")),
            (format!("x{}", &good[1..]), Got::Refused("HF0103")),
            ("0:*:7f:ELF:CL_TYPE_ANY:CL_TYPE_ELF".to_owned(), Got::Refused("HF0103")),
            ("0:0:7f?:ELF:CL_TYPE_ANY:CL_TYPE_ELF".to_owned(), Got::Refused("HF0108")),
            ("0:0:7f:ELF:CL_TYPE_ANY:CL_TYPE_FOO".to_owned(), Got::Refused("HF0105")),
            ("2:0:7f:ELF:CL_TYPE_FOO:CL_TYPE_ELF".to_owned(), Got::Refused("HF0105")),
            ("1:EP+0:7f45:ELF:CL_TYPE_ANY:CL_TYPE_ELF".to_owned(), Got::Refused("HF0212")),
            ("1:*:7f:ELF:CL_TYPE_ANY:CL_TYPE_ELF".to_owned(), Got::Refused("HF0202")),
        ] {
            check("x.ftm", &line, want);
        }
    }

    #[test]
    fn model() {
        let magic = &take("x.ftm", "4:510:55aa:MBR:CL_TYPE_ANY:CL_TYPE_MBR").magics[0];
        let rule = MagicRule::At { off: 510, bytes: vec![0x55, 0xaa], partition: true };
        assert_eq!(magic.rule, rule);
        assert_eq!((magic.required, magic.file_type), (FileType::Any, FileType::Mbr));
    }
}
