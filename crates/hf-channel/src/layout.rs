//! Where things lie in a channel, as paths with `/` below its folder.
//!
//! ```text
//! metadata/…                      TUF metadata, as its specification names the files
//! metadata/now.json               what is current, in one file
//! targets/SET/DIGEST.manifest.json  manifests, as TUF names targets of a consistent snapshot
//! targets/SET/sources/ID/DIGEST.NAME  files of a source that its own maintainers sign
//! incoming/…                      what such maintainers hand in, until a build takes it
//! objects/ab/abcdef…              everything else, by SHA-256
//! attestations/DIGEST/NAME.note   what a publisher signed for the manifest with this digest
//! proofs/DIGEST.json              these statements with the proofs that logs hold them
//! log/ORIGIN/…                    copies of logs (C2SP tlog-tiles)
//! candidate.json                  the manifest that waits for attestations
//! ```

use crate::Digest;

/// Folder of TUF metadata.
pub const METADATA: &str = "metadata";
/// What is current, in one file.
pub const NOW: &str = "metadata/now.json";
/// Folder of TUF targets.
pub const TARGETS: &str = "targets";
/// Folder of objects by digest.
pub const OBJECTS: &str = "objects";
/// Folder of attestations.
pub const ATTESTATIONS: &str = "attestations";
/// Folder of proofs.
pub const PROOFS: &str = "proofs";
/// Folder of what maintainers of sources hand in.
pub const INCOMING: &str = "incoming";
/// Folder of copies of logs.
pub const LOG: &str = "log";

/// Returns where an object lies.
#[must_use]
pub fn object(digest: &Digest) -> String {
    let text = digest.to_string();
    format!("{OBJECTS}/{}/{text}", text.get(..2).unwrap_or_default())
}

/// Returns the TUF name of a set's manifest.
#[must_use]
pub fn manifest_target(set: &str) -> String {
    format!("{set}/manifest.json")
}

/// Returns where the manifest of a set with this digest lies.
#[must_use]
pub fn manifest(set: &str, digest: &Digest) -> String {
    format!("{TARGETS}/{set}/{digest}.manifest.json")
}

/// Returns the TUF name of a file of a source whose maintainers sign it.
#[must_use]
pub fn source_target(set: &str, source: &str, name: &str) -> String {
    format!("{set}/sources/{source}/{name}")
}

/// Returns the TUF role that signs for the files of a source, when they are delegated.
#[must_use]
pub fn source_role(source: &str) -> String {
    format!("source-{source}")
}

/// Returns where maintainers hand in what they signed for a source; its files lie in the folder of the
/// same name without `.json`, as `DIGEST.NAME`.
#[must_use]
pub fn incoming(source: &str) -> String {
    format!("{INCOMING}/{}.json", source_role(source))
}

/// Returns where a publisher's attestation of a manifest lies.
#[must_use]
pub fn attestation(manifest: &Digest, publisher: &str) -> String {
    format!("{ATTESTATIONS}/{manifest}/{}.note", file_name(publisher))
}

/// Returns where the statements on a manifest lie with their proofs.
#[must_use]
pub fn proofs(manifest: &Digest) -> String {
    format!("{PROOFS}/{manifest}.json")
}

/// Returns a key name as the name of a file: what is not a letter, digit, dot or hyphen becomes `_`
/// with its code.
#[must_use]
pub fn file_name(key_name: &str) -> String {
    let mut name = String::new();
    for byte in key_name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name.push_str(&format!("_{byte:02x}")),
        }
    }
    name
}

/// True for a name that is good for a set, source or file: 1 to 100 letters, digits, `.`, `-` and `_`,
/// not beginning with a dot.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=100).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

/// True for a path that stays below the folder it is joined to: plain names with `/` between.
#[must_use]
pub fn is_plain_path(path: &str) -> bool {
    path.len() <= 1000
        && path.split('/').all(|part| {
            let plain = |byte: u8| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'@')
            };
            (1..=200).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(plain)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_apart_and_inside() {
        assert_eq!(file_name("example.com/a"), "example.com_2fa");
        assert_ne!(file_name("a/b"), file_name("a_b"));
        assert_eq!(file_name("../x"), "_2e._2fx");
        assert!(is_plain_name("daily-1.ndb") && !is_plain_name("../x") && !is_plain_name(""));
        assert!(is_plain_path("objects/ab/abcd") && !is_plain_path("a//b"));
        assert!(!is_plain_path("/a") && !is_plain_path("a/../b") && !is_plain_path("a/./b"));
    }
}
