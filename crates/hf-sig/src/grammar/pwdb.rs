//! Passwords of encrypted archives: `pwdb`.
//!
//! `NAME;TDB;TYPE;PASSWORD`; the password holds any character. TYPE 0 is text, 1 hexadecimal; lines of other types are
//! left out.
//! Sources: ClamAV's documentation of passwords; clamscan 1.4.6. A file must hold a password for this engine.

use hf_core::{FileType, Target, signature::PasswordSig};

use super::{Empty, Lines, tdb};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome},
    text::Text,
};

pub(super) const LINES: Lines = Lines { counted: false, empty: Empty::NoEntry, ..Lines::new(read) };

fn read(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    let fields = split(line).ok_or_else(|| {
        line.fault(&codes::FIELDS, "a password has the form `NAME;TDB;TYPE;PASSWORD`")
    })?;
    let [name, tdb, kind, password] = fields;
    if loading.is_ignored_by_name(name) {
        return Ok(Outcome::Ignored);
    }
    let parsed = tdb::parse(tdb, loading.options.flevel, Some(Target::ANY))?;
    let Some(tdb_read) = parsed else { return Ok(Outcome::Skipped) };
    let container = match tdb_read.container {
        None | Some(FileType::Any) => None,
        Some(kind @ (FileType::Zip | FileType::Rar)) => Some(kind),
        Some(_) => {
            let reason = "the container is not CL_TYPE_ZIP, CL_TYPE_RAR or CL_TYPE_ANY";
            return Err(tdb.fault(&codes::PASSWORD, reason));
        }
    };
    let password = match kind.number(u64::MAX) {
        Ok(0) => password.bytes().to_vec(),
        Ok(1) => password.hex()?,
        Ok(_) => return Ok(Outcome::Skipped),
        Err(fault) => return Err(Fault { code: &codes::PASSWORD, ..fault }),
    };
    let name = name.lossy();
    loading.out.password(loading.place.meta(&name), PasswordSig { container, password });
    Ok(Outcome::Taken)
}

fn split(line: Text<'_>) -> Option<[Text<'_>; 4]> {
    let (name, rest) = line.split_once(b';')?;
    let (tdb, rest) = rest.split_once(b';')?;
    let (kind, password) = rest.split_once(b';')?;
    Some([name, tdb, kind, password])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Got, check, take};

    #[test]
    fn lines() {
        for (line, want) in [
            ("A;Engine:81-255;0;secret", Got::Taken(1)),
            ("A;Engine:81-255,Container:CL_TYPE_ZIP;0;secret", Got::Taken(1)),
            ("A;Engine:81-255,Container:CL_TYPE_ANY;0;", Got::Taken(1)),
            ("A;Target:0;0;se;cret", Got::Taken(1)),
            (";Engine:81-255;1;736563", Got::Taken(1)),
            ("A;Engine:300-400;0;x\nA;Engine:81-255;0;x", Got::Taken(1)),
            ("A;Engine:81-255,Container:CL_TYPE_PDF;0;x", Got::Refused("HF0407")),
            ("A;Engine:81-255;x;secret", Got::Refused("HF0407")),
            ("A;Engine:81-255;1;73656", Got::Refused("HF0108")),
            ("A;Engine:81-255;1;xx", Got::Refused("HF0108")),
            ("A;Engine:81-255;2;secret", Got::Refused("HF0004")),
            ("A;Engine:300-400;0;secret", Got::Refused("HF0004")),
            ("A;Engine:81-255,Container:CL_TYPE_FOO;0;x", Got::Refused("HF0004")),
            ("A;Engine:81-255;0", Got::Refused("HF0101")),
            ("A;;0;secret", Got::Refused("HF0301")),
            ("A;Container:CL_TYPE_ZIP;0;secret", Got::Refused("HF0303")),
        ] {
            check("x.pwdb", line, want);
        }
    }

    #[test]
    fn model() {
        let line = "A;Engine:81-255,Container:CL_TYPE_RAR;1;00ff";
        let sig = &take("x.pwdb", line).passwords[0];
        assert_eq!((sig.container, &sig.password[..]), (Some(FileType::Rar), &[0, 255][..]));
    }
}
