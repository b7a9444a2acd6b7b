//! Ignore lists: `ign ign2`.
//!
//! `NAME` · `NAME:MD5` of the signature's line · `FILE:LINE:NAME`, of which only the name binds.
//! Sources: ClamAV's documentation of allow lists; clamscan 1.4.6.
//!
//! Off-spec: clamscan refuses `NAME:MD5` with a name below three letters.

use hf_core::signature::IgnoreSig;

use super::{Empty, Lines};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome},
    text::{Text, atoi},
};

pub(super) const LINES: Lines = Lines { counted: false, empty: Empty::Allowed, ..Lines::new(read) };

fn read(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    let fields = line.split(b':');
    let mut sig = IgnoreSig { line_md5: None, line: None };
    let name = match fields[..] {
        [name] => name,
        [name, md5] => {
            sig.line_md5 = Some(read_md5(md5)?);
            name
        }
        [_, number, name] => {
            sig.line = u32::try_from(atoi(number.bytes())).ok();
            name
        }
        _ => {
            let reason = format!("an ignore list has 1 to 3 fields, here are {}", fields.len());
            return Err(line.fault(&codes::IGNORE, reason));
        }
    };
    if name.is_empty() {
        return Err(name.fault(&codes::IGNORE, "the line names no signature"));
    }
    loading.ignore.insert(name.bytes(), sig.line_md5);
    let name = name.lossy();
    loading.out.ignore(loading.place.meta(&name), sig);
    Ok(Outcome::Taken)
}

fn read_md5(text: Text<'_>) -> Result<[u8; 16], Fault> {
    let bad = || text.fault(&codes::IGNORE, format!("`{}` is not an MD5", text.lossy()));
    text.hex().ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use crate::{
        IgnoreSet, LoadOptions, load,
        testing::{Got, Kept, check},
    };

    #[test]
    fn lines() {
        for (line, want) in [
            ("A", Got::Taken(1)),
            ("Abc:D41D8CD98F00B204E9800998ECF8427E", Got::Taken(1)),
            ("daily.ndb:5:Abc", Got::Taken(1)),
            ("::Abc", Got::Taken(1)),
            ("", Got::Nothing),
            ("A:x", Got::Refused("HF0406")),
            ("A:", Got::Refused("HF0406")),
            ("a:b:c:d", Got::Refused("HF0406")),
            ("daily.ndb:5:", Got::Refused("HF0406")),
            ("x\n\n", Got::Refused("HF0406")),
            (":d41d8cd98f00b204e9800998ecf8427e", Got::Refused("HF0406")),
        ] {
            check("x.ign2", line, want);
        }
    }

    #[test]
    fn ignored_signatures_reach_nobody() {
        let mut ignore = IgnoreSet::default();
        let mut kept = Kept::default();
        let options = LoadOptions::default();
        let mut run = |name: &str, text: &str| {
            let got = load(name, text.as_bytes(), &options, &mut ignore, &mut kept).unwrap();
            (got.signatures, got.ignored)
        };
        assert_eq!(run("a.ign2", "Abc.Def-1\n"), (0, 0));
        assert_eq!(run("a.ndb", "Abc.Def-1:0:*:de\nX:0:*:deadbe\n"), (1, 1));
        assert_eq!(run("a.hdb", "d41d:5:Abc.Def-1\n"), (0, 1));
        assert_eq!(run("a.ldb", "Abc.Def-1;;;x\n"), (0, 1));
        assert_eq!(run("a.cdb", "Abc.Def-1:*:*:*:*:*:*:*:*:*\n"), (0, 1));
        assert_eq!(run("a.db", "Abc.Def-1=de\n"), (0, 1));
        assert_eq!(run("a.zmd", "Abc.Def-1:1:*:*:*:*:*:*:*\n"), (0, 1));
        assert_eq!(kept.names, ["Abc.Def-1", "X"]);
    }
}
