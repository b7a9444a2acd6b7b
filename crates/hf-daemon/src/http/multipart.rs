//! `multipart/form-data`, taken apart as it comes.
//!
//! Promises: pure; takes pieces of any size and holds back at most a header or a boundary; a part's
//! header is at most [`HEADER_MAX`] bytes, and there are at most [`PARTS_MAX`] parts.
//! Leaves out: transfer encodings, which RFC 7578 §4.7 forbids here, and parts within parts.
//! Sources: RFC 2046 §5.1; RFC 7578; RFC 5987 for `filename*`.

use memchr::memmem;

/// Takes a body apart.
#[derive(Debug)]
pub struct Multipart {
    /// Line end, two hyphens, boundary.
    delimiter: Vec<u8>,
    held: Vec<u8>,
    state: State,
    parts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    /// Directly behind a boundary.
    Boundary,
    Header,
    Data,
    End,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins: the name of its field, and its file's name if it has one.
    Part {
        /// The field's name.
        field: String,
        /// The file's name as the client states it.
        file: Option<String>,
    },
    /// Bytes of the part.
    Data(Vec<u8>),
    /// The part ends.
    PartEnd,
}

/// Why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMultipart {
    /// No usable boundary.
    #[error("the content type has no usable boundary")]
    Boundary,
    /// Something else than a line end or two hyphens follows a boundary.
    #[error("a malformed line with a boundary")]
    Line,
    /// A part's header is too long or malformed.
    #[error("a part with a malformed header, or one of more than {HEADER_MAX} bytes")]
    Header,
    /// Too many.
    #[error("more than {PARTS_MAX} parts")]
    Parts,
    /// The body ends before its last boundary.
    #[error("the body ends before its last boundary")]
    Truncated,
}

impl Multipart {
    /// Begins, with the boundary of a content type. None when it is of another type.
    ///
    /// # Errors
    /// [`BadMultipart::Boundary`].
    pub fn of_content_type(content_type: &str) -> Result<Option<Self>, BadMultipart> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("multipart/form-data") {
            return Ok(None);
        }
        let boundary = parameter(content_type, "boundary").ok_or(BadMultipart::Boundary)?;
        // RFC 2046 §5.1.1: 1 to 70 characters.
        let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        if !(1..=70).contains(&boundary.len()) || !boundary.as_bytes().iter().all(printable) {
            return Err(BadMultipart::Boundary);
        }
        Ok(Some(Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            // The first boundary may be the first bytes.
            held: b"\r\n".to_vec(),
            state: State::Preamble,
            parts: 0,
        }))
    }

    /// Takes bytes; what came out is added to `events`.
    ///
    /// # Errors
    /// See [`BadMultipart`].
    pub fn push(&mut self, input: &[u8], events: &mut Vec<Event>) -> Result<(), BadMultipart> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(input);
        let mut at = 0;
        while let Some(used) = self.step(held.get(at..).unwrap_or_default(), events)? {
            at += used;
        }
        held.drain(..at.min(held.len()));
        self.held = held;
        Ok(())
    }

    /// Says that no more comes.
    ///
    /// # Errors
    /// [`BadMultipart::Truncated`].
    pub fn finish(&self) -> Result<(), BadMultipart> {
        if self.state == State::End { Ok(()) } else { Err(BadMultipart::Truncated) }
    }

    /// Does one step; none when more bytes are needed.
    fn step(
        &mut self,
        rest: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<Option<usize>, BadMultipart> {
        match self.state {
            State::Preamble | State::Data => Ok(self.until_delimiter(rest, events)),
            State::Boundary => self.boundary(rest),
            State::Header => self.header(rest, events),
            // What follows the last boundary is to be ignored.
            State::End => Ok((!rest.is_empty()).then_some(rest.len())),
        }
    }

    fn until_delimiter(&mut self, rest: &[u8], events: &mut Vec<Event>) -> Option<usize> {
        let found = memmem::find(rest, &self.delimiter);
        let keep = self.delimiter.len().saturating_sub(1);
        let data = found.unwrap_or(rest.len().saturating_sub(keep));
        if self.state == State::Data && data > 0 {
            events.push(Event::Data(rest.get(..data).unwrap_or_default().to_vec()));
        }
        if found.is_some() {
            if self.state == State::Data {
                events.push(Event::PartEnd);
            }
            self.state = State::Boundary;
            return Some(data + self.delimiter.len());
        }
        (data > 0).then_some(data)
    }

    fn boundary(&mut self, rest: &[u8]) -> Result<Option<usize>, BadMultipart> {
        if rest.starts_with(b"--") {
            self.state = State::End;
            return Ok(Some(2));
        }
        // Spaces may stand before the line end.
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match rest.get(blanks..).unwrap_or_default() {
            [b'\r', b'\n', ..] => {
                self.parts += 1;
                if self.parts > PARTS_MAX {
                    return Err(BadMultipart::Parts);
                }
                self.state = State::Header;
                // The line end stays: an empty header is two of them.
                Ok(Some(blanks))
            }
            [] | [b'\r'] | [b'-'] if blanks < HEADER_MAX => Ok(None),
            _ => Err(BadMultipart::Line),
        }
    }

    fn header(
        &mut self,
        rest: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<Option<usize>, BadMultipart> {
        let within = rest.get(..HEADER_MAX.min(rest.len())).unwrap_or_default();
        let Some(end) = memmem::find(within, b"\r\n\r\n") else {
            return if rest.len() < HEADER_MAX { Ok(None) } else { Err(BadMultipart::Header) };
        };
        let text = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        let mut disposition = "";
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(BadMultipart::Header)?;
            if name.trim().eq_ignore_ascii_case("content-disposition") {
                disposition = value;
            }
        }
        let field = parameter(disposition, "name").ok_or(BadMultipart::Header)?;
        let file = extended(disposition).or_else(|| parameter(disposition, "filename"));
        events.push(Event::Part { field, file });
        self.state = State::Data;
        Ok(Some(end + 4))
    }
}

/// Returns a parameter of a header field's value: a token, or a quoted string.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (text, left) = one_value(after);
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = left.trim_start().strip_prefix(';')?;
    }
}

/// Returns the value at the start of a text, and what is behind it.
fn one_value(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (token, left) = text.split_at(end);
        return (token.trim().to_owned(), left);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((off, c)) = chars.next() {
        match c {
            '"' => return (value, quoted.get(off + 1..).unwrap_or_default()),
            // Browsers send a backslash of a name as it is, and a quotation mark as %22: only
            // these two are taken for escaped.
            '\\' => match quoted.get(off + 1..).and_then(|rest| rest.chars().next()) {
                Some(escaped @ ('"' | '\\')) => {
                    value.push(escaped);
                    chars.next();
                }
                _ => value.push(c),
            },
            _ => value.push(c),
        }
    }
    (value, "")
}

/// Returns `filename*=UTF-8''…`.
fn extended(disposition: &str) -> Option<String> {
    let text = parameter(disposition, "filename*")?;
    let (charset, rest) = text.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    charset.eq_ignore_ascii_case("utf-8").then(|| percent_decoded(encoded))
}

/// Decodes `%xx`; what is not of that form stays, and what is not UTF-8 becomes U+FFFD.
#[must_use]
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = pair
            .filter(|two| *first == b'%' && two.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Ours: browsers send some hundred bytes.
pub const HEADER_MAX: usize = 16 << 10;

/// Ours: files in one request, other fields included.
pub const PARTS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a body apart in pieces; joins data.
    fn run(body: &[u8], piece: usize) -> Result<Vec<Event>, BadMultipart> {
        let kind = "multipart/form-data; boundary=\"b x\"";
        let mut multipart = Multipart::of_content_type(kind)?.expect("multipart");
        let mut events = Vec::new();
        for part in body.chunks(piece) {
            multipart.push(part, &mut events)?;
        }
        multipart.finish()?;
        let mut joined: Vec<Event> = Vec::new();
        for event in events {
            match (joined.last_mut(), event) {
                (Some(Event::Data(all)), Event::Data(more)) => all.extend(more),
                (_, event) => joined.push(event),
            }
        }
        Ok(joined)
    }

    #[track_caller]
    fn check(body: &[u8], want: Result<&[Event], BadMultipart>) {
        for piece in [1, 2, 3, 5, 64, 4096] {
            assert_eq!(run(body, piece).as_deref(), want.as_ref().map(|all| *all), "by {piece}");
        }
    }

    fn part(field: &str, file: Option<&str>) -> Event {
        Event::Part { field: field.to_owned(), file: file.map(ToOwned::to_owned) }
    }

    #[test]
    fn bodies() {
        check(b"--b x--\r\n", Ok(&[]));
        check(b"preamble\r\n--b x--epilogue", Ok(&[]));
        check(
            b"--b x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a;\\\"b\"\r\n\
              Content-Type: text/plain\r\n\r\none\r\n--b\r\ntwo\r\n--b x \r\n\
              content-disposition: form-data; name=g\r\n\r\n\r\n--b x--",
            Ok(&[
                part("f", Some("a;\"b")),
                Event::Data(b"one\r\n--b\r\ntwo".to_vec()),
                Event::PartEnd,
                part("g", None),
                Event::PartEnd,
            ]),
        );
    }

    #[test]
    fn bad_bodies() {
        let head = "--b x\r\nContent-Disposition: form-data; name=f\r\n\r\n";
        check(b"", Err(BadMultipart::Truncated));
        check(format!("{head}data").as_bytes(), Err(BadMultipart::Truncated));
        check(format!("{head}data\r\n--b x").as_bytes(), Err(BadMultipart::Truncated));
        check(b"--b xy\r\n", Err(BadMultipart::Line));
        check(b"--b x\r\n\r\ndata", Err(BadMultipart::Header));
        check(b"--b x\r\nno colon\r\n\r\n", Err(BadMultipart::Header));
        let long = [b"--b x\r\nA: ".as_slice(), &[b'a'; HEADER_MAX]].concat();
        check(&long, Err(BadMultipart::Header));
        let many = format!("{head}\r\n").repeat(PARTS_MAX + 1);
        check(many.as_bytes(), Err(BadMultipart::Parts));
    }

    #[test]
    fn content_types() {
        let of = |text: &str| Multipart::of_content_type(text).map(|multipart| multipart.is_some());
        assert_eq!(of("application/octet-stream"), Ok(false));
        assert_eq!(of("Multipart/Form-Data; charset=x; BOUNDARY=abc"), Ok(true));
        for text in ["multipart/form-data", "multipart/form-data; boundary=\"\""] {
            assert_eq!(of(text), Err(BadMultipart::Boundary));
        }
        let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
        assert_eq!(of(&long), Err(BadMultipart::Boundary));
    }

    #[test]
    fn names_of_files() {
        let name = |text: &str| extended(text).or_else(|| parameter(text, "filename"));
        assert_eq!(
            name("form-data; filename*=UTF-8''%e2%82%ac%2; name=x").as_deref(),
            Some("\u{20ac}%2")
        );
        assert_eq!(name("form-data; filename=\"C:\\x\"").as_deref(), Some("C:\\x"));
        assert_eq!(name("form-data; name=x"), None);
        assert_eq!(name("form-data; filename=\"unended").as_deref(), Some("unended"));
    }
}
