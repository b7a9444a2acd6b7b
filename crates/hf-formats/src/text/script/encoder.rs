//! Microsoft's Script Encoder: `#@~^`, a length, `==`, the encoded text, a checksum and `==^#~@`.
//!
//! Promises: the output is at most as long as the input; text around encoded blocks stays.
//! Leaves out: the length and the checksum: a block ends at its mark, or with the text.
//! Sources: Microsoft, "Script Encoder"; the substitution was read off clamscan 1.4.6 by decoding every character at
//! each of the 64 places.

use memchr::memmem;

/// Decodes every encoded block of a text.
pub(in crate::text) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = memmem::find(rest, MARK) {
        let (before, block) = rest.split_at_checked(start).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        let body = block.get(HEAD_LEN..).unwrap_or_default();
        let end = memmem::find(body, END);
        let encoded = body.get(..end.unwrap_or(body.len())).unwrap_or_default();
        let behind = end.map_or(body.len(), |end| end.saturating_add(END.len()));
        let sum_len = if end.is_some() { SUM_LEN } else { 0 };
        let encoded = encoded.get(..encoded.len().saturating_sub(sum_len)).unwrap_or_default();
        decode_block(encoded, &mut out);
        rest = body.get(behind..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

const MARK: &[u8] = b"#@~^";
const END: &[u8] = b"==^#~@";
/// The mark, six digits of the length and `==`.
const HEAD_LEN: usize = 12;
const SUM_LEN: usize = 6;

fn decode_block(encoded: &[u8], out: &mut Vec<u8>) {
    let mut rest = encoded;
    let mut place = 0_usize;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let table = PLACES.get(place % PLACES.len()).copied().unwrap_or(0);
        let byte = match (*first, behind.first()) {
            (0 | b'\r' | b'\n', _) => continue,
            // Bytes above 7f start a pair, which is not encoded and takes no place.
            (0x80.., next) => {
                out.push(*first);
                out.extend(next);
                rest = behind.get(1..).unwrap_or_default();
                continue;
            }
            (b'@', Some(next)) => {
                rest = behind.get(1..).unwrap_or_default();
                match next {
                    b'!' => b'<',
                    b'#' => b'\r',
                    b'$' => b'@',
                    b'&' => b'\n',
                    b'*' => b'>',
                    _ => 0xff,
                }
            }
            (byte, _) => substitute(byte, table),
        };
        out.push(byte);
        place = place.wrapping_add(1);
    }
}

fn substitute(byte: u8, table: u8) -> u8 {
    let at = match byte {
        b'\t' => 0,
        0x20..=0x7f => usize::from(byte.wrapping_sub(0x1f)),
        _ => return byte,
    };
    TABLES.get(usize::from(table)).and_then(|table| table.get(at)).copied().unwrap_or(byte)
}

/// Which table decodes the character at this place, in turns of 64.
#[rustfmt::skip]
const PLACES: [u8; 64] = [
    0, 1, 2, 0, 1, 2, 1, 2, 2, 1, 2, 1, 0, 2, 1, 2, 0, 2, 1, 2, 0, 0, 1, 2, 2, 1, 0, 2, 1, 2, 2, 1,
    0, 0, 2, 1, 2, 1, 2, 0, 2, 0, 0, 1, 2, 0, 2, 1, 0, 2, 1, 2, 0, 0, 1, 2, 2, 0, 0, 1, 2, 0, 2, 1,
];

/// What tab and the characters from 20 to 7f become.
const TABLES: [&[u8; 97]; 3] = [
    b"W.GzVBj/&IA42[vrC89pEhqO\tbD#u<~>^@wJa]\"KoN;LPg*}tT+-,0nkf5%!dMRc?{x)(sY3\x7fmUS|:_eFX1ilZH'\\=$y7`Q 6",
    b"n-uR`q^I\\b})6 |z\x7fkc3+hQfv1dTC<:>~@E,*t'7DyY/o&rj9{?8wgSG4x]0#Z[lHUpi.L!$NP\tVs5aKX;W\"mM%(FJ2A=_OBe",
    b"{20!)[83=X:5e9\\VsfNEkbYx^}Jmq<`>S@B'Hru17MR\"TjGd- \x7f.L]~loytC&v%$+(#A4\t*D?w;UiacPgQIOFh|6pnz/_KZ,W",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The encoder, from the same tables.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut out = b"#@~^AAAAAA==".to_vec();
        for (place, byte) in text.iter().enumerate() {
            match byte {
                b'<' => out.extend_from_slice(b"@!"),
                b'\r' => out.extend_from_slice(b"@#"),
                b'@' => out.extend_from_slice(b"@$"),
                b'\n' => out.extend_from_slice(b"@&"),
                b'>' => out.extend_from_slice(b"@*"),
                _ => {
                    let table = PLACES[place % 64];
                    let code = (0..=255).find(|code| substitute(*code, table) == *byte);
                    out.push(code.expect("every character has a code"));
                }
            }
        }
        out.extend_from_slice(b"AAAAAA==^#~@");
        out
    }

    #[test]
    fn blocks_are_decoded() {
        let text =
            b"var a = \"<b>x@y</b>\";\r\nalert(a);// and more than sixty-four characters in all";
        let page = [b"x ".as_slice(), &encode(text), b" y ", &encode(b"z"), b" w"].concat();
        let want = [b"x ".as_slice(), text, b" y z w"].concat();
        assert_eq!(decode(&page).escape_ascii().to_string(), want.escape_ascii().to_string());
        // Read off clamscan.
        assert_eq!(decode(b"#@~^DgAAAA==@!@#@$@&@*AAAAAA==^#~@"), b"<\r@\n>");
        assert_eq!(decode(b"#@~^FgAAAA==aa@!bb\r\ncc\x80dd\x01ee"), b"xp<)i4.\x80d\t\x01!*");
        assert_eq!(decode(b"#@~^"), b"");
    }
}
