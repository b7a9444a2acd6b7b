//! Addresses as they stand in links: what is read over, which part is the host, and which host belongs to which domain.
//!
//! Sources: clamscan 1.4.6 as an oracle, but for letter case and alphabets of schemes, which do not matter here.

/// Ours: browsers take more, people do not read it.
pub(crate) const ADDRESS_LEN_MAX: usize = 1024;

/// Scheme and host of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Scheme and host, the host in lower case.
    pub(super) text: Vec<u8>,
    /// Where spaces were taken out.
    gaps: Vec<usize>,
}

impl Address {
    /// Reads where a link leads to.
    pub(super) fn target(raw: &[u8]) -> Self {
        Self::read(raw.trim_ascii())
    }

    /// Reads what a link shows.
    pub(super) fn shown(raw: &[u8]) -> Self {
        // A path is no address.
        if matches!(raw.trim_ascii().first(), Some(b'/' | b'\\')) {
            return Self { text: Vec::new(), gaps: Vec::new() };
        }
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
        let start = raw.iter().position(is_word).unwrap_or(raw.len());
        let end = raw.iter().rposition(is_word).map_or(start, |at| at + 1);
        let raw = raw.get(start..end).unwrap_or_default();
        // Names of products that look like addresses.
        let product = [b"asp.net", b"ado.net"];
        if raw.get(..7).is_some_and(|front| product.iter().any(|p| front.eq_ignore_ascii_case(*p)))
        {
            return Self { text: Vec::new(), gaps: Vec::new() };
        }
        Self::read(raw)
    }

    fn read(raw: &[u8]) -> Self {
        let mut text = Vec::with_capacity(raw.len());
        let mut gaps = Vec::new();
        for byte in raw {
            match byte {
                b' ' | b'\t' | 0xa0 => gaps.push(text.len()),
                0..=0x1f | 0x7f | b'"' | b';' => {}
                _ => text.push(*byte),
            }
        }
        let host_off = scheme_len(&text).unwrap_or(0);
        let has_scheme = host_off > 0;
        let is_end =
            |byte: &u8| matches!(byte, b'/' | b'\\' | b'?' | b'#') || has_scheme && *byte == b':';
        let host = text.get(host_off..).unwrap_or_default();
        let host_len = host.iter().position(is_end).unwrap_or(host.len());
        let host = unescape(host.get(..host_len).unwrap_or_default()).to_ascii_lowercase();
        text.truncate(host_off);
        text.extend_from_slice(&host);
        gaps.retain(|gap| *gap < text.len());
        Self { text, gaps }
    }

    fn scheme(&self) -> &[u8] {
        let end = self.text.iter().position(|byte| *byte == b':').unwrap_or(0);
        self.text.get(..end).unwrap_or_default()
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme().eq_ignore_ascii_case(b"https")
    }

    fn host_off(&self) -> usize {
        let host_off = scheme_len(&self.text).unwrap_or(0);
        let host = self.text.get(host_off..).unwrap_or_default();
        host_off + memchr::memrchr(b'@', host).map_or(0, |at| at + 1)
    }

    pub(super) fn host(&self) -> &[u8] {
        let host = self.text.get(self.host_off()..).unwrap_or_default();
        let end = memchr::memchr2(b'/', b':', host).unwrap_or(host.len());
        host.get(..end).unwrap_or_default()
    }

    /// Returns where spaces were taken out of the host.
    pub(super) fn gaps_in_host(&self) -> Vec<usize> {
        let host_off = self.host_off();
        self.gaps.iter().filter_map(|gap| gap.checked_sub(host_off)).take(64).collect()
    }

    pub(super) fn has_user(&self) -> bool {
        self.text.contains(&b'@')
    }

    /// True for the host `1.2.3.4`, and for the same as one number.
    pub(super) fn is_number(&self) -> bool {
        let host = self.host();
        let is_number = |part: &[u8]| {
            let digits = part.strip_prefix(b"0x").unwrap_or(part);
            !digits.is_empty()
                && digits.iter().all(u8::is_ascii_hexdigit)
                && (digits.len() < part.len() || digits.iter().all(u8::is_ascii_digit))
        };
        host.split(|byte| *byte == b'.').all(is_number)
    }

    /// True when people would take it for an address.
    pub(super) fn is_like_an_address(&self) -> bool {
        let has = |scheme: &[u8]| self.scheme().eq_ignore_ascii_case(scheme);
        if has(b"http") || has(b"https") || has(b"ftp") || has(b"mailto") {
            return true;
        }
        let text = self.text.as_slice();
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_&#.@".contains(byte);
        let user_end = memchr::memchr(b'@', text);
        // `joe@example.org` is a person.
        let is_person =
            user_end.is_some_and(|end| !text.get(..end).unwrap_or_default().contains(&b'.'));
        text.iter().all(fits)
            && !is_person
            && memchr::memmem::find(text, b"..").is_none()
            && memchr::memrchr(b'.', text).is_some_and(|dot| {
                let last = text.get(dot + 1..).unwrap_or_default();
                dot > 0 && last.len() >= 2 && last.iter().all(u8::is_ascii_alphabetic)
            })
    }
}

/// Returns the length of a scheme with its `://`, or of `mailto:`.
fn scheme_len(text: &[u8]) -> Option<usize> {
    let colon = text.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
    let scheme = text.get(..colon)?;
    let rest = text.get(colon..)?;
    if rest.starts_with(b"://") {
        Some(colon + 3)
    } else if rest.starts_with(b":") && scheme.eq_ignore_ascii_case(b"mailto") {
        Some(colon + 1)
    } else {
        None
    }
}

/// True when a target is an address of its own, and not a place in the page or a script.
pub(super) fn leads_somewhere(real: &[u8]) -> bool {
    let starts = |scheme: &[u8]| {
        real.get(..scheme.len()).is_some_and(|front| front.eq_ignore_ascii_case(scheme))
    };
    if starts(b"http:") || starts(b"https:") || starts(b"ftp://") {
        return true;
    }
    let end = real.iter().position(|byte| *byte == b'/').unwrap_or(real.len());
    let host = real.get(..end).unwrap_or_default().to_ascii_lowercase();
    let is_plain = host.iter().all(|byte| !matches!(byte, b':' | b'?' | b'#' | b'&'));
    let last = memchr::memrchr(b'.', &host).and_then(|dot| host.get(dot + 1..));
    is_plain && last.is_some_and(is_top_level)
}

/// Replaces `%41`; a zero becomes a one, as in ClamAV.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        let value = (*byte == b'%').then(|| hex_byte(behind)).flatten();
        match value {
            Some(value) => {
                rest = behind.get(2..).unwrap_or_default();
                out.push(value.max(1));
            }
            None => out.push(*byte),
        }
    }
    out
}

/// Reads two hexadecimal digits.
pub(super) fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Returns the part of a host that somebody registered: two labels, or three below `co.uk` and its like.
pub(super) fn domain(host: &[u8]) -> &[u8] {
    let mut dots = memchr::memrchr_iter(b'.', host);
    let (Some(last), Some(second)) = (dots.next(), dots.next()) else { return host };
    let top = host.get(last + 1..).unwrap_or_default();
    let below = host.get(second + 1..last).unwrap_or_default();
    let start = if top.len() == 2 && SECOND_LEVEL.contains(&below) {
        dots.next().map_or(0, |dot| dot + 1)
    } else {
        second + 1
    };
    host.get(start..).unwrap_or_default()
}

const SECOND_LEVEL: &[&[u8]] = &[
    b"ac", b"co", b"com", b"edu", b"go", b"gob", b"gouv", b"gov", b"govt", b"gv", b"id", b"info",
    b"int", b"ltd", b"me", b"mil", b"ne", b"net", b"nhs", b"nom", b"or", b"org", b"plc", b"police",
    b"sch", b"web",
];

/// True for the end of a host that ClamAV takes for one: a page's own files end otherwise.
fn is_top_level(label: &[u8]) -> bool {
    match std::str::from_utf8(label) {
        Ok(label) => TOP_LEVEL.split_ascii_whitespace().any(|known| known == label),
        Err(_) => false,
    }
}

const TOP_LEVEL: &str = "ac ad ae aero af ag ai al am an ao aq ar arpa as asia at au aw ax az ba bb \
    bd be bf bg bh bi biz bj bm bn bo br bs bt bv bw by bz ca cat cc cd cf cg ch ci ck cl cm cn co com \
    coop cr cu cv cx cy cz de dj dk dm do dz ec edu ee eg er es et eu fi fj fk fm fo fr ga gb gd ge gf \
    gg gh gi gl gm gn gov gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in info int io iq ir is \
    it je jm jo jobs jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me \
    mg mh mil ml mm mn mo mobi mp mq mr ms mt mu museum mv mw mx my mz na name nc ne net nf ng ni nl no \
    np nr nu nz om org pa pe pf pg ph pk pl pm pn pr pro ps pt pw py qa re ro rs ru rw sa sb sc sd se \
    sg sh si sj sk sl sm sn so sr st su sv sy sz tc td tel tf tg th tj tk tl tm tn to tp tr travel tt \
    tv tw tz ua uk us uy uz va vc ve vg vi vn vu wf ws yt yu za zm zw";
