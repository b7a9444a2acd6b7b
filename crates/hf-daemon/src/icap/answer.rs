//! What an ICAP client is answered: status lines, header fields, and the page instead of what is blocked.
//!
//! Promises: nothing that a stranger named gets into a header or a page unescaped.
//! Sources: RFC 3507 §4.3.3, §4.7 and §4.10.2; the fields `X-Infection-Found`, `X-Violations-Found` and
//! `X-Virus-ID` as draft-stecher-icap-subid-00 and other ICAP services have them.

use std::fmt::Write as _;
use std::time::SystemTime;

use super::chunked;

/// What all answers have in common.
#[derive(Debug, Clone)]
pub struct Common {
    /// Changes with the content, so that caches of proxies do not outlive it; at most 32 bytes.
    pub istag: String,
    /// The connection ends after this answer.
    pub close: bool,
}

/// Why something does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// Something was found: its name.
    Found(String),
    /// It could not be scanned, or not wholly, and policy says to block that: why.
    NotScanned(String),
}

/// What an answer to `OPTIONS` tells.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of a preview.
    pub preview_bytes: u64,
    /// Connections that are served at once.
    pub connections_max: usize,
    /// Seconds after which a client asks again.
    pub ttl_s: u64,
}

impl Common {
    fn head(&self, status: u16) -> String {
        let mut text = format!("ICAP/1.0 {status} {}\r\n", reason(status));
        self.field(&mut text, "ISTag", &format!("\"{}\"", self.istag));
        self.field(&mut text, "Date", &httpdate::fmt_http_date(SystemTime::now()));
        self.field(&mut text, "Server", SERVER);
        if self.close {
            self.field(&mut text, "Connection", "close");
        }
        text
    }

    fn field(&self, text: &mut String, name: &str, value: &str) {
        let _ = write!(text, "{name}: {}\r\n", one_line(value));
    }

    /// Returns an answer without any body: an error, or `204`.
    #[must_use]
    pub fn plain(&self, status: u16) -> Vec<u8> {
        let mut text = self.head(status);
        // §4.4.1: required wherever there could be a body.
        self.field(&mut text, "Encapsulated", "null-body=0");
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// Returns the answer to `OPTIONS`.
    #[must_use]
    pub fn options(&self, options: &Options) -> Vec<u8> {
        let mut text = self.head(200);
        let fields = [
            ("Methods", "RESPMOD, REQMOD".to_owned()),
            ("Service", SERVICE.to_owned()),
            ("Service-ID", "avscan".to_owned()),
            ("Max-Connections", options.connections_max.to_string()),
            ("Options-TTL", options.ttl_s.to_string()),
            ("Allow", "204".to_owned()),
            ("Preview", options.preview_bytes.to_string()),
            ("Transfer-Preview", "*".to_owned()),
            ("X-Include", "X-Client-IP".to_owned()),
            ("Encapsulated", "null-body=0".to_owned()),
        ];
        fields.iter().for_each(|(name, value)| self.field(&mut text, name, value));
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// Returns the head of an answer that gives back what came, whose body, if there is one, follows in
    /// chunks.
    #[must_use]
    pub fn unchanged(&self, part: &str, head: &[u8], body: bool) -> Vec<u8> {
        let mut text = self.head(200);
        let kind = if part == "req" { "req-body" } else { "res-body" };
        let kind = if body { kind } else { "null-body" };
        let parts = if head.is_empty() {
            format!("{kind}=0")
        } else {
            format!("{part}-hdr=0, {kind}={}", head.len())
        };
        self.field(&mut text, "Encapsulated", &parts);
        text.push_str("\r\n");
        [text.as_bytes(), head].concat()
    }

    /// Returns the whole answer with a page instead of what came.
    #[must_use]
    pub fn blocked(&self, blocked: &Blocked, page: &str) -> Vec<u8> {
        let mut text = self.head(200);
        let threat = match blocked {
            Blocked::Found(name) => token(name),
            Blocked::NotScanned(_) => "Not.Scanned".to_owned(),
        };
        let found = format!("Type=0; Resolution=2; Threat={threat};");
        if matches!(blocked, Blocked::Found(_)) {
            self.field(&mut text, "X-Infection-Found", &found);
            self.field(&mut text, "X-Virus-ID", &threat);
        }
        // The number, then four lines for each: what, its name, its number, what was done.
        let _ = write!(text, "X-Violations-Found: 1\r\n\t-\r\n\t{threat}\r\n\t0\r\n\t0\r\n");
        let head = format!(
            "HTTP/1.1 403 Forbidden\r\nDate: {}\r\nServer: {SERVER}\r\n\
             Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
             Connection: close\r\n\r\n",
            httpdate::fmt_http_date(SystemTime::now()),
            page.len(),
        );
        self.field(&mut text, "Encapsulated", &format!("res-hdr=0, res-body={}", head.len()));
        text.push_str("\r\n");
        let mut out = [text.as_bytes(), head.as_bytes()].concat();
        chunked::put(page.as_bytes(), &mut out);
        out.extend_from_slice(chunked::LAST);
        out
    }
}

/// Fills a page's `{{url}}`, `{{threat}}`, `{{reason}}` and `{{client}}`, all escaped for HTML.
#[must_use]
pub fn page(template: &str, blocked: &Blocked, url: &str, client: &str) -> String {
    let (threat, reason) = match blocked {
        Blocked::Found(name) => (name.as_str(), "It contains something harmful."),
        Blocked::NotScanned(why) => ("-", why.as_str()),
    };
    let values = [("url", url), ("threat", threat), ("reason", reason), ("client", client)];
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    // One pass, so that nothing that was put in is taken for a place again.
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let known = after.split_once("}}").and_then(|(name, left)| {
            let value = values.iter().find(|(key, _)| *key == name.trim())?.1;
            Some((value, left))
        });
        rest = match known {
            Some((value, left)) => {
                out.push_str(&escaped(value));
                left
            }
            None => {
                out.push_str("{{");
                after
            }
        };
    }
    out.push_str(rest);
    out
}

/// Returns text that is only text in HTML, attributes included.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(' '),
            // Control characters, and those that turn text around.
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns a name as a word: other characters than visible ASCII, and those that end a field's part,
/// become underscores.
fn token(name: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, ';' | ',' | '"');
    name.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "ICAP Service not found",
        405 => "Method not allowed for service",
        408 => "Request timeout",
        413 => "Request Entity Too Large",
        501 => "Method not implemented",
        503 => "Service overloaded",
        505 => "ICAP version not supported by server",
        _ => "Server error",
    }
}

/// What a client sends more after.
pub const CONTINUE: &[u8] = b"ICAP/1.0 100 Continue\r\n\r\n";

const SERVER: &str = concat!("Holdfast/", env!("CARGO_PKG_VERSION"));
const SERVICE: &str = concat!("Holdfast ", env!("CARGO_PKG_VERSION"), " antivirus");

/// The page when none is configured.
pub const PAGE: &str = include_str!("block.html");

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> Common {
        Common { istag: "abc".to_owned(), close: false }
    }

    #[test]
    fn options_has_what_the_rfc_requires() {
        let options = Options { preview_bytes: 4096, connections_max: 100, ttl_s: 3600 };
        let text = String::from_utf8(common().options(&options)).expect("text");
        assert!(text.starts_with("ICAP/1.0 200 OK\r\n") && text.ends_with("\r\n\r\n"));
        let wanted = [
            "ISTag: \"abc\"",
            "Methods: RESPMOD, REQMOD",
            "Service: ",
            "Max-Connections: 100",
            "Options-TTL: 3600",
            "Allow: 204",
            "Preview: 4096",
            "Transfer-Preview: *",
            "Encapsulated: null-body=0",
            "Date: ",
        ];
        for field in wanted {
            assert!(text.contains(&format!("\r\n{field}")), "{field}");
        }
    }

    #[test]
    fn a_page_is_only_text() {
        let blocked = Blocked::Found("<b>'\"&{{url}}".to_owned());
        let page =
            page("{{ url }}|{{threat}}|{{client}}|{{x}}|{{", &blocked, "http://h/<s>\u{202e}", "c");
        let want = "http://h/&lt;s&gt;\u{fffd}|&lt;b&gt;&#39;&quot;&amp;{{url}}|c|{{x}}|{{";
        assert_eq!(page, want);
    }

    #[test]
    fn names_forge_no_fields() {
        let blocked = Blocked::Found("A;\r\nX: y".to_owned());
        let text = String::from_utf8(common().blocked(&blocked, "page")).expect("text");
        assert!(text.contains("\r\nX-Virus-ID: A___X:_y\r\n"), "{text}");
        assert!(!text.contains("\nX: y"));
        let head = text.split("\r\n\r\n").nth(1).expect("a head");
        let off = text.split("res-body=").nth(1).and_then(|rest| rest.split("\r\n").next());
        assert_eq!(off.and_then(|off| off.parse().ok()), Some(head.len() + 4));
        assert!(text.ends_with("\r\n\r\n4\r\npage\r\n0\r\n\r\n"));
    }

    #[test]
    fn what_came_is_given_back() {
        let text = |part, head: &[u8], body| {
            String::from_utf8(common().unchanged(part, head, body)).expect("text")
        };
        assert!(
            text("res", b"HEAD", true).ends_with("Encapsulated: res-hdr=0, res-body=4\r\n\r\nHEAD")
        );
        assert!(text("req", b"HEAD", false).ends_with("req-hdr=0, null-body=4\r\n\r\nHEAD"));
        assert!(text("res", b"", true).ends_with("Encapsulated: res-body=0\r\n\r\n"));
    }
}
