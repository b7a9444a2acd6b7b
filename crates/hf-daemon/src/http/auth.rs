//! Who may ask: bearer tokens from a file that only its owner reads.
//!
//! Promises: how long a comparison takes tells nothing about tokens; tokens are never shown.
//! A browser sends the token as the password of `Basic`, whatever the user name.
//! Sources: RFC 6750 §2.1; RFC 7617.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::{fmt, io};

use subtle::{Choice, ConstantTimeEq as _};

/// The tokens that are accepted, as digests.
pub struct Tokens(Vec<[u8; 32]>);

impl fmt::Debug for Tokens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// Reads a file with one token on each line; empty lines and lines with `#` first are skipped.
    ///
    /// # Errors
    /// It cannot be read, others than its owner can read it, or a token is too short; the text says
    /// where.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |why: String| format!("{}: {why}", path.display());
        let failed = |error: io::Error| told(error.to_string());
        let mut file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(told("it is no regular file".to_owned()));
        }
        if meta.mode() & 0o077 != 0 {
            let mode = meta.mode() & 0o777;
            return Err(told(format!("its mode is {mode:o}, so others can read it: chmod 600")));
        }
        let mut text = String::new();
        (&mut file).take(FILE_MAX).read_to_string(&mut text).map_err(failed)?;
        let mut tokens = Vec::new();
        for (idx, line) in text.lines().enumerate() {
            let token = line.trim();
            if token.is_empty() || token.starts_with('#') {
                continue;
            }
            if token.len() < TOKEN_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                let number = idx + 1;
                let path = path.display();
                return Err(format!(
                    "{path}:{number}: a token has at least {TOKEN_MIN} visible ASCII characters"
                ));
            }
            tokens.push(digest(token.as_bytes()));
        }
        if tokens.is_empty() {
            return Err(told("there is no token in it".to_owned()));
        }
        Ok(Self(tokens))
    }

    /// True when the value of an `Authorization` field has one of the tokens.
    #[must_use]
    pub fn accept(&self, authorization: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(authorization) else { return false };
        let Some((scheme, rest)) = text.trim().split_once(' ') else { return false };
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.has(rest.trim().as_bytes());
        }
        let basic = scheme.eq_ignore_ascii_case("basic");
        let decoded = basic.then(|| base64(rest.trim())).flatten();
        let password = decoded.as_deref().and_then(|pair| {
            let colon = memchr::memchr(b':', pair)?;
            pair.get(colon + 1..)
        });
        password.is_some_and(|password| self.has(password))
    }

    fn has(&self, token: &[u8]) -> bool {
        // Digests have one length, and every one is looked at.
        let given = digest(token);
        let found = self.0.iter().fold(Choice::from(0), |found, one| found | one.ct_eq(&given));
        found.into()
    }
}

fn digest(token: &[u8]) -> [u8; 32] {
    *blake3::hash(token).as_bytes()
}

/// Decodes base64; none for what is not.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits = text.trim_end_matches('=').bytes().map(digit).collect::<Option<Vec<u8>>>()?;
    let mut out = Vec::with_capacity(digits.len());
    for group in digits.chunks(4) {
        let word = (0..4)
            .fold(0_u32, |word, idx| (word << 6) | u32::from(group.get(idx).copied().unwrap_or(0)));
        let [_, bytes @ ..] = word.to_be_bytes();
        out.extend(bytes.iter().take(group.len().checked_sub(1).filter(|len| *len > 0)?));
    }
    Some(out)
}

/// Ours: shorter ones can be guessed.
const TOKEN_MIN: usize = 16;

/// Ours: bytes of the file that are read.
const FILE_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn read(text: &str, mode: u32) -> Result<Tokens, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        Tokens::read(&path).map_err(|why| why.replace(&folder.path().display().to_string(), ""))
    }

    #[test]
    fn tokens_are_accepted() {
        let tokens = read("# mine\n0123456789abcdef\n\nfedcba9876543210\n", 0o600).expect("tokens");
        assert_eq!(format!("{tokens:?}"), "2 tokens");
        for value in [
            "Bearer 0123456789abcdef",
            "bearer  fedcba9876543210",
            "Basic eDowMTIzNDU2Nzg5YWJjZGVm",
            "Basic OjAxMjM0NTY3ODlhYmNkZWY=",
        ] {
            assert!(tokens.accept(value.as_bytes()), "{value}");
        }
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "0123456789abcdef",
            "Basic",
            "Basic !",
            "Basic MDEyMzQ1Njc4OWFiY2RlZg==",
            "Digest x",
            "Bearer # mine",
        ] {
            assert!(!tokens.accept(value.as_bytes()), "{value}");
        }
        assert!(!tokens.accept(b"Bearer \xff"));
    }

    #[test]
    fn careless_files_are_refused() {
        let why = |text, mode| read(text, mode).expect_err("refused");
        let mode = why("0123456789abcdef\n", 0o640);
        assert_eq!(mode, "/token: its mode is 640, so others can read it: chmod 600");
        assert!(why("0123456789abcdef\nshort\n", 0o600).starts_with("/token:2: "));
        assert_eq!(why("# none\n", 0o600), "/token: there is no token in it");
        assert!(Tokens::read(Path::new("/")).expect_err("a folder").contains("regular"));
    }
}
