//! The parts of a mail as ClamAV's metadata has them: `Body` and, in it, `Multipart`.
//!
//! Promises: parts beyond the first message's stay what they are, facts; depth is bounded by the facts themselves.
//! Leaves out: `ContainedObjectsIndex` and `ClamAVFileType`; the part without a type that clamscan sees behind the
//! last boundary.
//! Sources: clamscan 1.4.6 `--gen-json`.

use super::{Json, text};

/// One part: depth, type, encoding, disposition and name, as the fact says them.
struct Part<'a> {
    depth: u32,
    kind: &'a str,
    encoding: &'a str,
    disposition: &'a str,
    name: &'a str,
}

impl<'a> Part<'a> {
    fn read(value: &'a str) -> Option<Self> {
        let mut words = value.splitn(5, ' ').map(|word| if word == "-" { "" } else { word });
        Some(Self {
            depth: words.next()?.parse().ok()?,
            kind: words.next()?,
            encoding: words.next()?,
            disposition: words.next()?,
            name: words.next()?,
        })
    }

    fn members(&self) -> Vec<(String, Json)> {
        let (top, subtype) = self.kind.split_once('/').unwrap_or((self.kind, ""));
        let top = if top.is_empty() { "NOMIME".to_owned() } else { top.to_ascii_uppercase() };
        let encoding = match self.encoding {
            "" | "7bit" => "NOENCODING",
            "8bit" => "EIGHTBIT",
            "quoted-printable" => "QUOTEDPRINTABLE",
            "base64" => "BASE64",
            "binary" => "BINARY",
            "x-uuencode" | "uuencode" => "UUENCODE",
            "x-yencode" => "YENCODE",
            "x-binhex" | "binhex" => "BINHEX",
            _ => "NOENCODING",
        };
        let name = if self.name.is_empty() { "(inline)" } else { self.name };
        let member = |key: &str, value: &str| (key.to_owned(), text(value));
        vec![
            member("MimeType", &top),
            member("MimeSubtype", subtype),
            member("EncodingType", encoding),
            member("Disposition", self.disposition),
            member("Filename", name),
        ]
    }
}

/// Returns the body of the first message, and the facts of parts that are not in it.
pub(super) fn body(facts: &[(String, String)]) -> (Option<Json>, Vec<&str>) {
    let all: Vec<&str> = values(facts, "mail.part").collect();
    let first = all.iter().skip(1).position(|value| value.starts_with("0 "));
    let (own, others) =
        all.split_at(first.map_or(all.len(), |at| at.saturating_add(1)).min(all.len()));
    let mut boundaries = values(facts, "mail.boundary");
    let parts: Option<Vec<Part<'_>>> = own.iter().map(|value| Part::read(value)).collect();
    let Some(parts) = parts else { return (None, all) };
    let mut rest = parts.as_slice();
    (one(&mut rest, &mut boundaries, true), others.to_vec())
}

fn values<'a>(
    facts: &'a [(String, String)],
    key: &'static str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    facts.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
}

/// Writes the first part, and those that are in it; a multipart in another is written twice, as ClamAV does.
fn one<'a>(
    rest: &mut &[Part<'a>],
    boundaries: &mut impl Iterator<Item = &'a str>,
    is_body: bool,
) -> Option<Json> {
    let (part, behind) = rest.split_first()?;
    *rest = behind;
    let mut members = part.members();
    if !part.kind.starts_with("multipart") {
        return Some(Json::Object(members));
    }
    let mut inside = members.clone();
    let boundary = boundaries.next().unwrap_or_default();
    inside.push(("Boundary".to_owned(), text(boundary)));
    let mut parts = Vec::new();
    while rest.first().is_some_and(|next| next.depth > part.depth) {
        parts.extend(one(rest, boundaries, false));
    }
    inside.push(("Multipart".to_owned(), Json::List(parts)));
    if is_body {
        return Some(Json::Object(inside));
    }
    members.push(("Body".to_owned(), Json::Object(inside)));
    Some(Json::Object(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_parts() {
        let fact = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let facts = [
            fact("mail.part", "0 multipart/mixed - - -"),
            fact("mail.boundary", "A"),
            fact("mail.part", "1 multipart/alternative - - -"),
            fact("mail.boundary", "B b"),
            fact("mail.part", "2 text/html quoted-printable - -"),
            fact("mail.part", "1 application/pdf 8bit attachment a b.pdf"),
            fact("mail.part", "0 - - - -"),
        ];
        let (body, others) = body(&facts);
        let mut out = String::new();
        body.expect("a body").write(0, &mut out);
        let order =
            ["MULTIPART", "\"A\"", "\"Body\":{", "\"B b\"", "QUOTEDPRINTABLE", "\"a b.pdf\""];
        let places: Vec<_> = order.iter().map(|word| out.find(word)).collect();
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{out}");
        assert_eq!(out.matches("\"Multipart\":[").count(), 2, "{out}");
        assert_eq!(others, ["0 - - - -"]);
    }
}
