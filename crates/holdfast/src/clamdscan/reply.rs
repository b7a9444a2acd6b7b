//! What the daemon says about one file.

/// The kinds of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// `… OK`.
    Clean,
    /// `… NAME FOUND`.
    Found,
    /// `… ERROR`.
    Error,
    /// Anything else, such as `… Excluded`; the text behind the place.
    Other(&'a [u8]),
}

/// Reads an answer such as `/a/b: Name FOUND`; returns its kind and the text behind the place.
///
/// A place may hold `: ` itself, when it is a path: only for answers about descriptors and streams is the
/// text of use.
pub(crate) fn read(line: &[u8]) -> (Reply<'_>, &[u8]) {
    let text = line.windows(2).position(|pair| pair == b": ").and_then(|at| line.get(at + 2..));
    let text = text.unwrap_or(line);
    let reply = if line.ends_with(b" FOUND") {
        Reply::Found
    } else if line.ends_with(b" ERROR") {
        Reply::Error
    } else if line.ends_with(b": OK") {
        Reply::Clean
    } else {
        Reply::Other(text)
    };
    (reply, text)
}

/// Splits `12: fd[3]: OK` into the number of the command in a session and the answer to it.
pub(crate) fn numbered(line: &[u8]) -> Option<(u32, &[u8])> {
    let at = line.windows(2).position(|pair| pair == b": ")?;
    let (number, rest) = line.split_at(at);
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, rest.get(2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        assert_eq!(read(b"fd[7]: A.B FOUND"), (Reply::Found, b"A.B FOUND".as_slice()));
        assert_eq!(read(b"stream: OK"), (Reply::Clean, b"OK".as_slice()));
        assert_eq!(read(b"/a: b: OK").0, Reply::Clean);
        assert_eq!(read(b"/a: Access denied. ERROR").0, Reply::Error);
        assert_eq!(read(b"UNKNOWN COMMAND").0, Reply::Other(b"UNKNOWN COMMAND"));
    }

    #[test]
    fn numbers() {
        assert_eq!(numbered(b"12: fd[3]: OK"), Some((12, b"fd[3]: OK".as_slice())));
        assert_eq!(numbered(b"fd[3]: OK"), None);
    }
}
