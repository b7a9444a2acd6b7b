//! Digests that programs are signed with.

use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};

/// A digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Returns the digest of an object identifier, alone or with RSA.
    pub(super) fn of(oid: &[u8]) -> Option<Self> {
        Some(match oid {
            b"\x2a\x86\x48\x86\xf7\x0d\x02\x05" | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04" => {
                Self::Md5
            }
            b"\x2b\x0e\x03\x02\x1a"
            | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
            | b"\x2b\x0e\x03\x02\x1d" => Self::Sha1,
            b"\x60\x86\x48\x01\x65\x03\x04\x02\x01" | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b" => {
                Self::Sha256
            }
            b"\x60\x86\x48\x01\x65\x03\x04\x02\x02" | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c" => {
                Self::Sha384
            }
            b"\x60\x86\x48\x01\x65\x03\x04\x02\x03" | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d" => {
                Self::Sha512
            }
            _ => return None,
        })
    }

    /// Returns the digest of parts, one after the other.
    pub(super) fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Md5 => of::<Md5>(parts),
            Self::Sha1 => of::<Sha1>(parts),
            Self::Sha256 => of::<Sha256>(parts),
            Self::Sha384 => of::<Sha384>(parts),
            Self::Sha512 => of::<Sha512>(parts),
        }
    }

    /// Returns what stands in front of a digest that is signed (RFC 8017 §9.2, notes).
    pub(super) fn prefix(self) -> &'static [u8] {
        match self {
            Self::Md5 => {
                b"\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10"
            }
            Self::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
            Self::Sha256 => {
                b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
            }
            Self::Sha384 => {
                b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
            }
            Self::Sha512 => {
                b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
            }
        }
    }
}

fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().to_vec()
}
