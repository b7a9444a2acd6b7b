//! Addresses, as far as they are needed: `http` and `https`, a host, a port, a path with its query.

use std::fmt;

/// An address of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// By TLS.
    pub https: bool,
    /// Name or address; of IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query, at least `/`.
    pub target: String,
}

/// Longest address in bytes; ours.
const URL_MAX: usize = 4096;

impl Url {
    /// Reads an address.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > URL_MAX {
            return Err("the address is too long");
        }
        // Whatever splits lines in a request's header is no part of an address.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the address holds a blank, a control character or a letter beyond ASCII");
        }
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let (https, rest) = if lower.starts_with("https://") {
            (true, &text[8..])
        } else if lower.starts_with("http://") {
            (false, &text[7..])
        } else {
            return Err("the address starts neither with http:// nor with https://");
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("the address holds a name or password");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("the address lacks a bracket")?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) {
            return Err("the address names no host");
        }
        let port = match port {
            Some(text) => text.parse().map_err(|_| "the port is not a number")?,
            None if https => 443,
            None => 80,
        };
        let target = target.split('#').next().unwrap_or_default();
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { https, host: host.to_owned(), port, target: format!("{slash}{target}") })
    }

    /// Reads an address that may be relative to this one.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn join(&self, text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.contains("://") && !text.starts_with(['/', '?', '.']) {
            return Self::parse(text);
        }
        let scheme = if self.https { "https" } else { "http" };
        if let Some(rest) = text.strip_prefix("//") {
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let folder = path.rfind('/').and_then(|end| path.get(..=end)).unwrap_or("/");
        let target = match text.chars().next() {
            Some('/') => text.to_owned(),
            Some('?') => format!("{path}{text}"),
            _ => format!("{folder}{text}"),
        };
        Self::parse(&format!("{scheme}://{}{target}", self.authority()))
    }

    /// Returns host and port as in `Host`: without the usual port.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// Returns the last part of the path: a file's name; empty when there is none.
    #[must_use]
    pub fn file_name(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(out, "{scheme}://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, want) in [
            ("http://a", Some("http://a/")),
            ("HTTPS://a:443/x?y#z", Some("https://a/x?y")),
            ("https://a:80/x", Some("https://a:80/x")),
            ("http://[::1]:8080", Some("http://[::1]:8080/")),
            ("http://a?b", Some("http://a/?b")),
            ("ftp://a", None),
            ("http://", None),
            ("http://u:p@a", None),
            ("http://a:x", None),
            ("http://a/\r\nX: y", None),
            ("http://a b/", None),
        ] {
            assert_eq!(Url::parse(text).ok().map(|url| url.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn relative_addresses() {
        let base = Url::parse("https://a:8443/x/y?z").unwrap();
        for (text, want) in [
            ("/p", "https://a:8443/p"),
            ("p", "https://a:8443/x/p"),
            ("?q", "https://a:8443/x/y?q"),
            ("//b/c", "https://b/c"),
            ("http://b/c", "http://b/c"),
        ] {
            assert_eq!(base.join(text).unwrap().to_string(), want);
        }
    }
}
