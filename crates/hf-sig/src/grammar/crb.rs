//! Rules on certificates of signers of programs: `crb`.
//!
//! Leaves out: the exponent, which is 65537 whatever is written; the date, which clamscan does not use.
//! Sources: ClamAV's documentation of Authenticode certificates; clamscan 1.4.6.

use hf_core::signature::CertificateSig;

use super::{Empty, Lines};
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome, name_of},
    text::{Text, atoi},
};

pub(super) const LINES: Lines =
    Lines { blank: true, counted: false, empty: Empty::Allowed, ..Lines::new(parse) };

/// `Name;Trusted;Subject;Serial;Pubkey;Exponent;CodeSign;TimeSign;CertSign;NotBefore;Comment[;minFL[;maxFL]]`.
fn parse(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    let fields = line.split(b';');
    if !(11..=13).contains(&fields.len()) {
        let reason = format!("a certificate rule has 11 to 13 fields, here are {}", fields.len());
        return Err(line.fault(&codes::CERTIFICATE, reason));
    }
    let levels = &fields[11..];
    let level = i64::from(loading.options.flevel);
    if levels.first().is_some_and(|min| atoi(min.bytes()) > level)
        || levels.get(1).is_some_and(|max| atoi(max.bytes()) < level)
    {
        return Ok(Outcome::Skipped);
    }
    let bad = |place: Text<'_>, reason: &str| place.fault(&codes::CERTIFICATE, reason);
    for idx in [1, 6, 7, 8] {
        if !(fields[idx].is(b"0") || fields[idx].is(b"1")) {
            return Err(bad(fields[idx], "the flag is neither 0 nor 1"));
        }
    }
    let flag = |idx: usize| fields[idx].is(b"1");
    let hex =
        |text: Text<'_>| text.hex().map_err(|fault| Fault { code: &codes::CERTIFICATE, ..fault });
    let Ok(subject) = hex(fields[2])?.try_into() else {
        return Err(bad(fields[2], "the subject is not a SHA-1 digest"));
    };
    let serial = hex(fields[3])?;
    let serial = match serial.len() {
        0 => None,
        _ => match serial.try_into() {
            Ok(serial) => Some(serial),
            Err(_) => return Err(bad(fields[3], "the serial number is not a SHA-1 digest")),
        },
    };
    let modulus = hex(fields[4])?;
    if modulus.is_empty() {
        return Err(bad(fields[4], "the public key is missing"));
    }
    let name = name_of(fields[0])?;
    let (trusted, code_sign, time_sign, cert_sign) = (flag(1), flag(6), flag(7), flag(8));
    let sig = CertificateSig { trusted, subject, serial, modulus, code_sign, time_sign, cert_sign };
    loading.out.certificate(loading.place.meta(&name), sig);
    Ok(Outcome::Taken)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Got, check};

    #[test]
    fn certificates() {
        let sha = "d41d8cd98f00b204e9800998ecf8427ed41d8cd9";
        for (line, want) in [
            (format!("A;1;{sha};;d41d;01;1;0;1;0;c"), Got::Taken(1)),
            (format!("\nA;0;{sha};{sha};d41d;01;1;0;1;x;c;10;300\n"), Got::Taken(1)),
            (format!("A;1;{sha};;d41d;01;1;0;1;;c;217"), Got::Skipped),
            (format!("A;2;{sha};;d41d;01;1;0;1;;c"), Got::Refused("HF0409")),
            (format!("A;1;{};;d41d;01;1;0;1;;c", &sha[2..]), Got::Refused("HF0409")),
            (format!("A;1;{sha};d4;d41d;01;1;0;1;;c"), Got::Refused("HF0409")),
            (format!("A;1;{sha};;zz;01;1;0;1;;c"), Got::Refused("HF0409")),
            (format!("A;1;{sha};;;01;1;0;1;;c"), Got::Refused("HF0409")),
            (format!("A;1;{sha};;d41d;01;2;0;1;;c"), Got::Refused("HF0409")),
            (format!("A;1;{sha};;d41d;01;1;0;1;"), Got::Refused("HF0409")),
        ] {
            check("x.crb", &line, want);
        }
    }
}
