//! Byte comparison: reads a field at a distance from a match and compares it.
//!
//! Read off clamscan 1.4.6: the field must start behind the first byte of the object and end in it;
//! text may have white space in front, and without `e` only its leading digits count, none being
//! zero; little-endian hexadecimal text is pairs of digits up to the first that is none, read from the
//! last to the first, behind a `0` when the field is odd (with `e` an odd field does not compare, and what
//! stands behind the pairs does not matter).

use hf_core::signature::{ByteCompare, ByteEncoding, CompareOp};

/// True when the field at its distance from `reference` compares as asked.
pub(crate) fn holds(compare: &ByteCompare, data: &[u8], reference: usize) -> bool {
    let Some(value) = field(compare, data, reference).and_then(|field| read(compare, field)) else {
        return false;
    };
    compare.compares.iter().all(|(op, wanted)| match op {
        CompareOp::Equal => value == i128::from(*wanted),
        CompareOp::Less => value < i128::from(*wanted),
        CompareOp::Greater => value > i128::from(*wanted),
    })
}

fn field<'a>(compare: &ByteCompare, data: &'a [u8], reference: usize) -> Option<&'a [u8]> {
    let at = i128::try_from(reference).ok()? + i128::from(compare.offset);
    let at = usize::try_from(at).ok().filter(|at| *at > 0)?;
    data.get(at..at.checked_add(usize::try_from(compare.len).ok()?)?)
}

fn read(compare: &ByteCompare, field: &[u8]) -> Option<i128> {
    match compare.encoding {
        ByteEncoding::Binary => binary(field, compare.little_endian),
        ByteEncoding::DecimalText => text(field, Radix::Decimal, false, compare.exact),
        ByteEncoding::HexText => text(field, Radix::Hex, compare.little_endian, compare.exact),
        ByteEncoding::AutoText => {
            let digits = field.trim_ascii_start();
            let hex = matches!(digits, [b'0', b'x' | b'X', ..]);
            let radix = if hex { Radix::Hex } else { Radix::Decimal };
            text(field, radix, compare.little_endian && hex, compare.exact)
        }
    }
}

/// Reads 1, 2 or 4 bytes as an unsigned and 8 bytes as a signed number.
fn binary(field: &[u8], little_endian: bool) -> Option<i128> {
    let mut bytes = field.to_vec();
    if little_endian {
        bytes.reverse();
    }
    let value = bytes.iter().fold(0u64, |value, byte| (value << 8) | u64::from(*byte));
    match field.len() {
        1 | 2 | 4 => Some(i128::from(value)),
        8 => Some(i128::from(value.cast_signed())),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Radix {
    Decimal,
    Hex,
}

fn text(field: &[u8], radix: Radix, little_endian: bool, exact: bool) -> Option<i128> {
    let trimmed = field.trim_ascii_start();
    if little_endian {
        return little(field, trimmed, exact);
    }
    let (negative, unsigned) = match trimmed {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, trimmed),
    };
    let unsigned = match unsigned {
        [b'0', b'x' | b'X', rest @ ..] if radix == Radix::Hex => rest,
        _ => unsigned,
    };
    let is_digit = |byte: &u8| match radix {
        Radix::Decimal => byte.is_ascii_digit(),
        Radix::Hex => byte.is_ascii_hexdigit(),
    };
    let len = unsigned.iter().take_while(|byte| is_digit(byte)).count();
    let digits = unsigned.get(..len)?;
    if exact && (len != unsigned.len() || len == 0 || trimmed.len() != field.len()) {
        return None;
    }
    let value = number(digits, radix);
    Some(if negative { -value } else { value })
}

/// Reads digits from the most significant on; a number that is too large stays at the largest.
fn number(digits: &[u8], radix: Radix) -> i128 {
    let base = if radix == Radix::Hex { 16 } else { 10 };
    let value = digits.iter().fold(0i128, |value, digit| {
        let digit = char::from(*digit).to_digit(16).map_or(0, i128::from);
        value.saturating_mul(base).saturating_add(digit)
    });
    value.min(i128::from(i64::MAX))
}

/// Reads pairs of hexadecimal digits, the least significant first.
fn little(field: &[u8], trimmed: &[u8], exact: bool) -> Option<i128> {
    let digits = match trimmed {
        [b'0', b'x' | b'X', rest @ ..] => rest,
        _ => trimmed,
    };
    let odd = !digits.len().is_multiple_of(2);
    if exact && (odd || digits.len() != field.len()) {
        return None;
    }
    let padded = [if odd { b"0".as_slice() } else { b"" }, digits].concat();
    let pairs = padded.chunks(2).take_while(|pair| pair.iter().all(u8::is_ascii_hexdigit));
    let pairs: Vec<&[u8]> = pairs.collect();
    Some(number(&pairs.into_iter().rev().collect::<Vec<_>>().concat(), Radix::Hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line was checked with clamscan 1.4.6, with `ABCD` as the reference at offset 10.
    #[test]
    fn reads_fields_as_clamscan_does() {
        use ByteEncoding::{AutoText, Binary, DecimalText, HexText};
        use CompareOp::{Equal, Less};
        type Case = (ByteEncoding, bool, bool, u32, CompareOp, i64, &'static [u8], bool);
        let cases: &[Case] = &[
            (Binary, false, false, 1, Equal, 0x45, b"EFGH", true),
            (Binary, true, false, 2, Equal, 0x4645, b"EFGH", true),
            (Binary, false, false, 4, Equal, 0x4546_4748, b"EFGH", true),
            (Binary, false, false, 4, Equal, 0x4546_4748, b"EFG", false),
            (Binary, false, false, 8, Less, 0, b"\xff\xff\xff\xff\xff\xff\xff\xffXX", true),
            (Binary, false, false, 4, Less, 0, b"\xff\xff\xff\xff", false),
            (DecimalText, false, false, 3, Equal, 123, b"123x", true),
            (DecimalText, false, false, 4, Equal, 123, b"123x", true),
            (DecimalText, false, true, 4, Equal, 123, b"123x", false),
            (DecimalText, false, true, 3, Equal, 123, b"123x", true),
            (DecimalText, false, false, 4, Equal, 123, b" 123x", true),
            (DecimalText, false, true, 4, Equal, 123, b" 123x", false),
            (DecimalText, false, false, 3, Equal, 0, b"xyzx", true),
            (DecimalText, false, false, 4, Equal, -12, b"-12x", true),
            (DecimalText, false, false, 4, Equal, 12, b"12", false),
            (HexText, false, false, 6, Equal, 0x12ab, b"0x12abx", true),
            (HexText, false, true, 4, Equal, 0x12ab, b"12abx", true),
            (HexText, false, true, 5, Equal, 0x12ab, b"12abx", false),
            (HexText, true, false, 4, Equal, 0xab12, b"12abx", true),
            (HexText, true, false, 3, Equal, 0x12a, b"12abx", false),
            (HexText, true, false, 6, Equal, 0xab12, b"  12abx", true),
            (HexText, true, false, 4, Equal, 0xa1, b"a1zzx", true),
            (HexText, true, false, 4, Equal, 0x12, b"123zx", true),
            (HexText, true, false, 3, Equal, 0x1200, b"012zx", true),
            (HexText, true, false, 5, Equal, 1, b"12zzz", true),
            (HexText, true, false, 2, Equal, 0, b"1zx", true),
            (HexText, true, false, 5, Equal, 0x2a01, b"0x12az", true),
            (HexText, true, false, 4, Equal, 0, b"-12ax", true),
            (HexText, true, true, 4, Equal, 0x12, b"12 1x", true),
            (HexText, true, true, 3, Equal, 0x2a01, b"12ax", false),
            (HexText, true, true, 6, Equal, 0xab12, b"0x12ab", false),
            (HexText, true, true, 4, Equal, 0, b" 12ax", false),
            (HexText, false, false, 4, Less, 0, b"-12x", true),
            (AutoText, false, false, 6, Equal, 0x12ab, b"0x12abx", true),
            (AutoText, true, false, 6, Equal, 0xab12, b"0x12abx", true),
            (AutoText, false, false, 4, Equal, 1234, b"1234x", true),
        ];
        for (encoding, little_endian, exact, len, op, wanted, field, want) in cases.iter().copied()
        {
            let data = [b"\0\x01\x02\x03\xff\xfe\xfd\x80\x81\0ABCD", field].concat();
            let compares = vec![(op, wanted)];
            let compare = ByteCompare {
                reference: 0,
                offset: 4,
                encoding,
                little_endian,
                exact,
                len,
                compares,
            };
            assert_eq!(holds(&compare, &data, 10), want, "{compare:?} {field:?}");
        }
    }
}
