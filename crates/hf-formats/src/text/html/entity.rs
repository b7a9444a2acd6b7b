//! Character references: `&#65;`, `&#x41;` and the named ones of HTML 4.
//!
//! Promises: reads at most a name's length ahead; returns how many bytes were read.
//! Sources: HTML 4.01 §24 (the names); `sigtool --html-normalise` of ClamAV 1.4.6 for what a reference becomes.

/// What a reference becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Bytes read, `&` included.
    pub(super) len: usize,
    /// Bytes for the copy.
    pub(super) bytes: Vec<u8>,
    /// The character, when it is below 0x80 and so part of a URL as it is.
    pub(super) ascii: Option<u8>,
}

/// Reads the reference that starts at a `&`; none when it is not one.
pub(super) fn decode(text: &[u8]) -> Option<Decoded> {
    match text {
        [b'&', b'#', b'x' | b'X', rest @ ..] => numeric(rest, 16, 3),
        [b'&', b'#', rest @ ..] => numeric(rest, 10, 2),
        [b'&', rest @ ..] => named(rest),
        _ => None,
    }
}

/// A number as ClamAV reads it: it wraps at 32 bits and ends at the first other character.
fn numeric(digits: &[u8], radix: u32, prefix_len: usize) -> Option<Decoded> {
    let mut value = 0_u32;
    let mut digit_count = 0_usize;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(radix) else { break };
        value = value.wrapping_mul(radix).wrapping_add(digit);
        digit_count = digit_count.saturating_add(1);
    }
    let semicolon = digits.get(digit_count) == Some(&b';');
    let len = prefix_len.saturating_add(digit_count).saturating_add(usize::from(semicolon));
    if digits.is_empty() {
        return None;
    }
    let mut decoded = char_of(value, len);
    if !semicolon && let Ok(byte @ 0..0x80) = u8::try_from(value) {
        decoded.bytes = vec![byte];
    }
    Some(decoded)
}

fn named(rest: &[u8]) -> Option<Decoded> {
    let end = rest.iter().take(NAME_LEN_MAX).position(|byte| !byte.is_ascii_alphanumeric());
    let name_len = match end {
        Some(end) if rest.get(end) == Some(&b';') => end,
        // At the very end of the object the `;` may be missing.
        None if rest.len() < NAME_LEN_MAX => rest.len(),
        _ => return None,
    };
    let name = rest.get(..name_len)?;
    let at = NAMES.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    let (_, code) = NAMES.get(at)?;
    let semicolon = usize::from(end.is_some());
    Some(char_of(*code, name_len.saturating_add(1).saturating_add(semicolon)))
}

const NAME_LEN_MAX: usize = 16;

fn char_of(value: u32, len: usize) -> Decoded {
    let low = value & 0xffff;
    let byte = u8::try_from(value).ok();
    let ascii = byte.filter(u8::is_ascii).map(|byte| byte.to_ascii_lowercase());
    let bytes = match (byte, low) {
        (Some(byte), _) if byte < 0xff => vec![byte.to_ascii_lowercase()],
        (_, 0x3002 | 0xff0e | 0xfe52) => b".".to_vec(),
        (_, 0) => Vec::new(),
        _ => format!("&#x{low:04x};").into_bytes(),
    };
    Decoded { len, bytes, ascii }
}

#[rustfmt::skip]
const NAMES: &[(&[u8], u32)] = &[
    (b"AElig", 198),
    (b"Aacute", 193),
    (b"Acirc", 194),
    (b"Agrave", 192),
    (b"Alpha", 913),
    (b"Aring", 197),
    (b"Atilde", 195),
    (b"Auml", 196),
    (b"Beta", 914),
    (b"Ccedil", 199),
    (b"Chi", 935),
    (b"Dagger", 8225),
    (b"Delta", 916),
    (b"ETH", 208),
    (b"Eacute", 201),
    (b"Ecirc", 202),
    (b"Egrave", 200),
    (b"Epsilon", 917),
    (b"Eta", 919),
    (b"Euml", 203),
    (b"Gamma", 915),
    (b"Iacute", 205),
    (b"Icirc", 206),
    (b"Igrave", 204),
    (b"Iota", 921),
    (b"Iuml", 207),
    (b"Kappa", 922),
    (b"Lambda", 923),
    (b"Mu", 924),
    (b"Ntilde", 209),
    (b"Nu", 925),
    (b"OElig", 338),
    (b"Oacute", 211),
    (b"Ocirc", 212),
    (b"Ograve", 210),
    (b"Omega", 937),
    (b"Omicron", 927),
    (b"Oslash", 216),
    (b"Otilde", 213),
    (b"Ouml", 214),
    (b"Phi", 934),
    (b"Pi", 928),
    (b"Prime", 8243),
    (b"Psi", 936),
    (b"Rho", 929),
    (b"Scaron", 352),
    (b"Sigma", 931),
    (b"THORN", 222),
    (b"Tau", 932),
    (b"Theta", 920),
    (b"Uacute", 218),
    (b"Ucirc", 219),
    (b"Ugrave", 217),
    (b"Upsilon", 933),
    (b"Uuml", 220),
    (b"Xi", 926),
    (b"Yacute", 221),
    (b"Yuml", 376),
    (b"Zeta", 918),
    (b"aacute", 225),
    (b"acirc", 226),
    (b"acute", 180),
    (b"aelig", 230),
    (b"agrave", 224),
    (b"alefsym", 8501),
    (b"alpha", 945),
    (b"amp", 38),
    (b"and", 8743),
    (b"ang", 8736),
    (b"apos", 39),
    (b"aring", 229),
    (b"asymp", 8776),
    (b"atilde", 227),
    (b"auml", 228),
    (b"bdquo", 8222),
    (b"beta", 946),
    (b"brvbar", 166),
    (b"bull", 8226),
    (b"cap", 8745),
    (b"ccedil", 231),
    (b"cedil", 184),
    (b"cent", 162),
    (b"chi", 967),
    (b"circ", 710),
    (b"clubs", 9827),
    (b"cong", 8773),
    (b"copy", 169),
    (b"crarr", 8629),
    (b"cup", 8746),
    (b"curren", 164),
    (b"dArr", 8659),
    (b"dagger", 8224),
    (b"darr", 8595),
    (b"deg", 176),
    (b"delta", 948),
    (b"diams", 9830),
    (b"divide", 247),
    (b"eacute", 233),
    (b"ecirc", 234),
    (b"egrave", 232),
    (b"empty", 8709),
    (b"emsp", 8195),
    (b"ensp", 8194),
    (b"epsilon", 949),
    (b"equiv", 8801),
    (b"eta", 951),
    (b"eth", 240),
    (b"euml", 235),
    (b"euro", 8364),
    (b"exist", 8707),
    (b"fnof", 402),
    (b"forall", 8704),
    (b"frac12", 189),
    (b"frac14", 188),
    (b"frac34", 190),
    (b"frasl", 8260),
    (b"gamma", 947),
    (b"ge", 8805),
    (b"gt", 62),
    (b"hArr", 8660),
    (b"harr", 8596),
    (b"hearts", 9829),
    (b"hellip", 8230),
    (b"iacute", 237),
    (b"icirc", 238),
    (b"iexcl", 161),
    (b"igrave", 236),
    (b"image", 8465),
    (b"infin", 8734),
    (b"int", 8747),
    (b"iota", 953),
    (b"iquest", 191),
    (b"isin", 8712),
    (b"iuml", 239),
    (b"kappa", 954),
    (b"lArr", 8656),
    (b"lambda", 955),
    (b"lang", 9001),
    (b"laquo", 171),
    (b"larr", 8592),
    (b"lceil", 8968),
    (b"ldquo", 8220),
    (b"le", 8804),
    (b"lfloor", 8970),
    (b"lowast", 8727),
    (b"loz", 9674),
    (b"lrm", 8206),
    (b"lsaquo", 8249),
    (b"lsquo", 8216),
    (b"lt", 60),
    (b"macr", 175),
    (b"mdash", 8212),
    (b"micro", 181),
    (b"middot", 183),
    (b"minus", 8722),
    (b"mu", 956),
    (b"nabla", 8711),
    (b"nbsp", 160),
    (b"ndash", 8211),
    (b"ne", 8800),
    (b"ni", 8715),
    (b"not", 172),
    (b"notin", 8713),
    (b"nsub", 8836),
    (b"ntilde", 241),
    (b"nu", 957),
    (b"oacute", 243),
    (b"ocirc", 244),
    (b"oelig", 339),
    (b"ograve", 242),
    (b"oline", 8254),
    (b"omega", 969),
    (b"omicron", 959),
    (b"oplus", 8853),
    (b"or", 8744),
    (b"ordf", 170),
    (b"ordm", 186),
    (b"oslash", 248),
    (b"otilde", 245),
    (b"otimes", 8855),
    (b"ouml", 246),
    (b"para", 182),
    (b"part", 8706),
    (b"permil", 8240),
    (b"perp", 8869),
    (b"phi", 966),
    (b"pi", 960),
    (b"piv", 982),
    (b"plusmn", 177),
    (b"pound", 163),
    (b"prime", 8242),
    (b"prod", 8719),
    (b"prop", 8733),
    (b"psi", 968),
    (b"quot", 34),
    (b"rArr", 8658),
    (b"radic", 8730),
    (b"rang", 9002),
    (b"raquo", 187),
    (b"rarr", 8594),
    (b"rceil", 8969),
    (b"rdquo", 8221),
    (b"real", 8476),
    (b"reg", 174),
    (b"rfloor", 8971),
    (b"rho", 961),
    (b"rlm", 8207),
    (b"rsaquo", 8250),
    (b"rsquo", 8217),
    (b"sbquo", 8218),
    (b"scaron", 353),
    (b"sdot", 8901),
    (b"sect", 167),
    (b"shy", 173),
    (b"sigma", 963),
    (b"sigmaf", 962),
    (b"sim", 8764),
    (b"spades", 9824),
    (b"sub", 8834),
    (b"sube", 8838),
    (b"sum", 8721),
    (b"sup", 8835),
    (b"sup1", 185),
    (b"sup2", 178),
    (b"sup3", 179),
    (b"supe", 8839),
    (b"szlig", 223),
    (b"tau", 964),
    (b"there4", 8756),
    (b"theta", 952),
    (b"thetasym", 977),
    (b"thinsp", 8201),
    (b"thorn", 254),
    (b"tilde", 732),
    (b"times", 215),
    (b"trade", 8482),
    (b"uArr", 8657),
    (b"uacute", 250),
    (b"uarr", 8593),
    (b"ucirc", 251),
    (b"ugrave", 249),
    (b"uml", 168),
    (b"upsih", 978),
    (b"upsilon", 965),
    (b"uuml", 252),
    (b"weierp", 8472),
    (b"xi", 958),
    (b"yacute", 253),
    (b"yen", 165),
    (b"yuml", 255),
    (b"zeta", 950),
    (b"zwj", 8205),
    (b"zwnj", 8204),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, len: usize, want: &[u8]) {
        let decoded = decode(text.as_bytes()).expect("a reference");
        assert_eq!((decoded.len, decoded.bytes.as_slice()), (len, want), "{text}");
    }

    #[test]
    fn references() {
        check("&#65;b", 5, b"a");
        check("&#65b", 4, b"A");
        check("&#-1;", 2, b"\0");
        check("&#x41;", 6, b"a");
        check("&#128;", 6, b"\x80");
        check("&#255;", 6, b"&#x00ff;");
        check("&#300;", 6, b"&#x012c;");
        check("&#x3002;", 8, b".");
        check("&#65536;", 8, b"");
        check("&#99999999999;", 14, b"&#xe7ff;");
        check("&#;", 3, b"\0");
        check("&lt;", 4, b"<");
        check("&amp", 4, b"&");
        check("&euro;", 6, b"&#x20ac;");
        check("&Eacute;", 8, b"\xc9");
        for text in ["&", "&x;", "&amp b", "& amp;", "&EACUTE;", "&#"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
        assert!(NAMES.is_sorted_by_key(|(name, _)| *name));
    }
}
