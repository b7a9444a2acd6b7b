//! Byte comparisons: `sub(>>offset#options#comparison[,comparison])`.
//!
//! Options are one of `h d a i`, then or before it `l` or `b`, `e`, and the number of bytes. Numbers are decimal,
//! octal with a leading 0, or hexadecimal with `0x`.
//! Sources: ClamAV's documentation of logical signatures; clamscan 1.4.6: missing numbers are 0, text behind the
//! closing parenthesis is read over, a reference to a sub-signature that is not there never matches, nor does a
//! comparison without `h d a i`.
//!
//! Off-spec: without `l` or `b` the bytes are big endian; in clamscan such a comparison never matches.

use hf_core::signature::{ByteCompare, ByteEncoding, CompareOp};

use super::expr::SUBS_MAX;
use crate::{
    diagnostic::{Fault, codes},
    text::{Text, hex_digit},
};

/// Most digits of a hexadecimal field; ClamAV's.
const HEX_LEN_MAX: i64 = 18;

/// Reads the comparison that is sub-signature `own_idx` of `subs`.
pub(crate) fn parse(
    text: Text<'_>,
    own_idx: u8,
    subs: usize,
    notes: &mut Vec<Fault>,
) -> Result<ByteCompare, Fault> {
    let bad = |place: Text<'_>, reason: String| place.fault(&codes::BYTE_COMPARE, reason);
    let Some((reference, rest)) = text.split_once(b'(') else {
        return Err(bad(text, "the parenthesis is missing".to_owned()));
    };
    let Some((inside, tail)) = rest.split_once(b')') else {
        return Err(bad(rest, "the parenthesis is not closed".to_owned()));
    };
    if !tail.is_empty() {
        let reason = format!("`{}` has no meaning behind a byte comparison", tail.lossy());
        notes.push(tail.fault(&codes::IGNORED_TEXT, reason));
    }
    let parts = inside.split(b'#');
    let [place, options, comparisons] = parts[..] else {
        let reason = format!("there are {} parts between `#`, not 3", parts.len());
        return Err(bad(inside, reason));
    };
    let mut compare = ByteCompare {
        reference: reference_of(reference, own_idx, subs)?,
        offset: offset_of(place)?,
        ..options_of(options)?
    };
    if !options.bytes().iter().any(|b| b"hdai".contains(b)) {
        // A reference to itself can never have matched before.
        compare.reference = own_idx;
        let reason = "the comparison names no encoding and never matches";
        notes.push(options.fault(&codes::NEVER, reason));
    }
    compare.compares = comparisons_of(comparisons)?;
    Ok(compare)
}

fn reference_of(text: Text<'_>, own_idx: u8, subs: usize) -> Result<u8, Fault> {
    let bad = || {
        let reason = format!("`{}` is not the index of a sub-signature", text.lossy());
        text.fault(&codes::BYTE_COMPARE, reason)
    };
    let idx = text.number(SUBS_MAX as u64).map_err(|_| bad())?;
    Ok(u8::try_from(idx).ok().filter(|idx| usize::from(*idx) < subs).unwrap_or(own_idx))
}

fn offset_of(text: Text<'_>) -> Result<i64, Fault> {
    if text.is_empty() {
        return Ok(0);
    }
    let (sign, digits) = match (text.strip(b">>"), text.strip(b"<<")) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => {
            let reason = "the offset starts with `>>` or `<<`";
            return Err(text.fault(&codes::BYTE_COMPARE, reason));
        }
    };
    Ok(sign * number(digits)?.clamp(i64::from(i32::MIN), i64::from(i32::MAX)))
}

fn options_of(text: Text<'_>) -> Result<ByteCompare, Fault> {
    let bad = |place: Text<'_>, reason: &str| place.fault(&codes::BYTE_COMPARE, reason);
    let letters = text.bytes().iter().take_while(|b| !b.is_ascii_digit()).count();
    let mut encoding: Option<u8> = None;
    let mut order: Option<u8> = None;
    let mut exact = false;
    for (idx, byte) in text.bytes()[..letters].iter().enumerate() {
        let place = text.cut(idx..idx + 1);
        match byte {
            b'h' | b'd' | b'a' | b'i' if encoding.is_none_or(|e| e == *byte) => {
                encoding = Some(*byte);
            }
            b'l' | b'b' if order.is_none_or(|o| o == *byte) => order = Some(*byte),
            b'e' => exact = true,
            b'h' | b'd' | b'a' | b'i' | b'l' | b'b' => {
                return Err(bad(place, "the option contradicts an earlier one"));
            }
            _ => return Err(bad(place, "unknown option")),
        }
    }
    if encoding == Some(b'd') && order == Some(b'l') {
        return Err(bad(text, "decimal text has no byte order"));
    }
    let digits = text.from(letters);
    let len = if digits.is_empty() { 0 } else { number(digits)? };
    let fits = match encoding {
        Some(b'i') => matches!(len, 1 | 2 | 4 | 8),
        Some(b'h') => (1..=HEX_LEN_MAX).contains(&len),
        _ => (1..=i64::from(u32::MAX)).contains(&len),
    };
    if !fits {
        return Err(bad(
            digits,
            "the number of bytes must be 1, 2, 4 or 8 for `i`, at most 18 for `h`",
        ));
    }
    Ok(ByteCompare {
        reference: 0,
        offset: 0,
        encoding: match encoding {
            Some(b'h') => ByteEncoding::HexText,
            Some(b'd') => ByteEncoding::DecimalText,
            Some(b'i') => ByteEncoding::Binary,
            _ => ByteEncoding::AutoText,
        },
        little_endian: order == Some(b'l'),
        exact,
        len: u32::try_from(len).unwrap_or(u32::MAX),
        compares: Vec::new(),
    })
}

fn comparisons_of(text: Text<'_>) -> Result<Vec<(CompareOp, i64)>, Fault> {
    let pieces = text.split(b',');
    if pieces.len() > 2 {
        return Err(text.fault(&codes::BYTE_COMPARE, "there are at most two comparisons"));
    }
    pieces
        .into_iter()
        .map(|piece| {
            let op = match piece.get(0) {
                Some(b'=') => CompareOp::Equal,
                Some(b'<') => CompareOp::Less,
                Some(b'>') => CompareOp::Greater,
                _ => {
                    let reason = "a comparison starts with `<`, `>` or `=`";
                    return Err(piece.fault(&codes::BYTE_COMPARE, reason));
                }
            };
            Ok((op, number(piece.from(1))?))
        })
        .collect()
}

/// Reads a number as C's `strtoll` with base 0 does; nothing at all is 0.
fn number(text: Text<'_>) -> Result<i64, Fault> {
    let bad = || {
        let reason = format!("`{}` is not a number", text.lossy());
        text.fault(&codes::BYTE_COMPARE, reason)
    };
    let spaces = text.bytes().iter().take_while(|b| **b == b' ').count();
    let text = text.from(spaces);
    let (negative, digits) = match text.get(0) {
        Some(b'-') => (true, text.from(1)),
        Some(b'+') => (false, text.from(1)),
        _ => (false, text),
    };
    let (base, digits) = match (digits.get(0), digits.get(1)) {
        (Some(b'0'), Some(b'x' | b'X')) => (16, digits.from(2)),
        (Some(b'0'), Some(_)) => (8, digits.from(1)),
        _ => (10, digits),
    };
    if base == 16 && digits.is_empty() {
        return Err(bad());
    }
    let mut value: i64 = 0;
    for byte in digits.bytes() {
        let digit =
            hex_digit(*byte).map(i64::from).filter(|digit| *digit < base).ok_or_else(bad)?;
        value = value.saturating_mul(base).saturating_add(digit);
    }
    Ok(if negative { value.saturating_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(text: &str) -> ByteCompare {
        parse(Text::line(text.as_bytes()), 1, 2, &mut Vec::new()).unwrap()
    }

    #[test]
    fn comparisons() {
        let want = ByteCompare {
            reference: 0,
            offset: 5,
            encoding: ByteEncoding::Binary,
            little_endian: false,
            exact: false,
            len: 2,
            compares: vec![(CompareOp::Greater, 16), (CompareOp::Less, 200)],
        };
        assert_eq!(good("0(>>5#ib2#>0x10,<200)"), want);
        let got = good("0(<<010#hle18#=-5)x");
        assert_eq!((got.offset, got.len, got.exact, got.little_endian), (-8, 18, true, true));
        assert_eq!(got.compares, [(CompareOp::Equal, -5)]);
        assert_eq!(good("(#i1#=)").offset, 0);
        assert_eq!(good("0(>>-5#i1#=5)").offset, -5);
        assert_eq!(good("64(>>5#i4#=5)").reference, 1, "a reference to itself never matches");
        assert_eq!(good("0(>>5#l4#=5)").reference, 1);
        assert_eq!(good("0(>>5#i4#=9223372036854775808)").compares[0].1, i64::MAX);
    }

    #[test]
    fn mistakes() {
        for text in [
            "0(5#i1#=5)",
            "0(>5#i1#=5)",
            "0(>>5x#i1#=5)",
            "0(-5#i1#=5)",
            "x(>>5#i1#=5)",
            "0(>>5#i3#=5)",
            "0(>>5#i9#=5)",
            "0(>>5#i#=5)",
            "0(>>5#i0#=5)",
            "0(>>5#h19#=5)",
            "0(>>5#dl4#=5)",
            "0(>>5#hbl4#=5)",
            "0(>>5#ih4#=5)",
            "0(>>5#x4#=5)",
            "0(>>5#i4e#=5)",
            "0(>>5#i4#)",
            "0(>>5#i4#5)",
            "0(>>5#i4#=x)",
            "0(>>5#i4#=5x)",
            "0(>>5#i4#>5,<9,=6)",
            "0(>>5#i4#>5,)",
            "0(>>5#i4#,>5)",
            "0(>>5#i4#!5)",
            "0(>>5#i4#>=5)",
            "0(>>5#i4#=5",
            "0(>>5#i4#=5#)",
            "0(>>5# i4#=5)",
            "0 (>>5#i4#=5)",
            "65(>>5#i4#=5)",
            "0(>>5#d0#=5)",
            "(dead#beef#)",
            "*:0(>>5#i4#=5)",
        ] {
            let got = parse(Text::line(text.as_bytes()), 1, 2, &mut Vec::new()).unwrap_err();
            assert_eq!(got.code.id, "HF0315", "{text}");
        }
    }
}
