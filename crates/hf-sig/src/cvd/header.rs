//! The header of a container, and the list of its members.

use std::collections::HashMap;

use md5::{Digest as _, Md5};

use super::keys::RsaKey;

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 512;
/// Most members of a container; ours.
const MEMBERS_MAX: usize = 100_000;

/// What a container says of itself: `ClamAV-VDB:time:version:signatures:level:MD5:signature:builder:epoch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// When it was built, as written (`22 Feb 2023 16-33 -0500`).
    pub build_time: String,
    /// Version.
    pub version: u32,
    /// Number of signatures.
    pub signatures: u32,
    /// Functionality level it asks for.
    pub flevel: u32,
    /// MD5 of everything behind the header.
    pub md5: Option<[u8; 16]>,
    /// Signature of the MD5, as written.
    pub signature: String,
    /// Who built it.
    pub builder: String,
    /// When it was built, in seconds since 1970.
    pub epoch: Option<u64>,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let header = bytes.get(..HEADER_LEN).ok_or("the file is shorter than a header")?;
        let text = std::str::from_utf8(header).map_err(|_| "the header is not text")?;
        Self::from_text(text.trim_end_matches([' ', '\0', '\n', '\r']))
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        let fields: Vec<&str> = text.split(':').collect();
        let [magic, build_time, version, signatures, flevel, md5, signature, builder, rest @ ..] =
            &fields[..]
        else {
            return Err("the header has too few fields");
        };
        if *magic != "ClamAV-VDB" {
            return Err("the file does not start with `ClamAV-VDB:`");
        }
        let number = |text: &str| text.parse::<u32>().ok();
        Ok(Self {
            build_time: (*build_time).to_owned(),
            version: number(version).ok_or("the version is not a number")?,
            signatures: number(signatures).ok_or("the number of signatures is not a number")?,
            flevel: number(flevel).ok_or("the functionality level is not a number")?,
            md5: hex(md5),
            signature: (*signature).to_owned(),
            builder: (*builder).to_owned(),
            epoch: rest.first().and_then(|text| text.trim().parse().ok()),
        })
    }

    /// Verifies the MD5 of the payload and its signature.
    pub(super) fn verify(&self, bytes: &[u8], key: &RsaKey) -> Result<(), String> {
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        let md5: [u8; 16] = Md5::digest(payload).into();
        if self.md5 != Some(md5) {
            return Err("the content does not have the MD5 in the header".to_owned());
        }
        if key.recover_md5(self.signature.as_bytes()) != Some(md5) {
            return Err("the signature in the header is not valid".to_owned());
        }
        Ok(())
    }
}

/// The list of a container's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) members: HashMap<String, Listed>,
    signature: Option<String>,
    /// Bytes in front of the signature's line.
    signed_len: usize,
}

/// A member as the list has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

impl Listing {
    /// Reads a list that must agree with the container's header.
    pub(super) fn parse(info: &[u8], header: &Header) -> Result<Self, String> {
        let mut listing = Self { members: HashMap::new(), signature: None, signed_len: info.len() };
        let mut start = 0;
        for (idx, line) in info.split_inclusive(|b| *b == b'\n').enumerate() {
            let text = std::str::from_utf8(line).map_err(|_| "the list is not text")?;
            let text = text.trim_end_matches(['\n', '\r']);
            if idx == 0 {
                listing.check_head(text, header)?;
            } else if let Some(signature) = text.strip_prefix("DSIG:") {
                listing.signature = Some(signature.to_owned());
                listing.signed_len = start;
                return Ok(listing);
            } else {
                listing
                    .add(text)
                    .ok_or_else(|| format!("line {} of the list is malformed", idx + 1))?;
            }
            start += line.len();
        }
        if start == 0 { Err("the list is empty".to_owned()) } else { Ok(listing) }
    }

    fn check_head(&self, text: &str, header: &Header) -> Result<(), String> {
        let own = Header::from_text(text)?;
        let same = own.version == header.version
            && own.signatures == header.signatures
            && own.flevel == header.flevel
            && own.epoch == header.epoch;
        if same { Ok(()) } else { Err("the list does not agree with the header".to_owned()) }
    }

    fn add(&mut self, text: &str) -> Option<()> {
        let (rest, sha256) = text.rsplit_once(':')?;
        let (name, size) = rest.rsplit_once(':')?;
        let listed = Listed { size: size.parse().ok()?, sha256: hex(sha256)? };
        if self.members.len() >= MEMBERS_MAX {
            return None;
        }
        self.members.insert(name.to_owned(), listed);
        Some(())
    }

    /// True when the list carries a valid signature.
    pub(super) fn is_signed_by(&self, info: &[u8], key: &RsaKey) -> bool {
        let signed = info.get(..self.signed_len).unwrap_or_default();
        self.signature.as_ref().is_some_and(|text| key.verify_pss(signed, text.as_bytes()))
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = crate::text::Text::line(text.as_bytes()).hex().ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(HEADER_LEN, b' ');
        bytes
    }

    #[test]
    fn headers() {
        let text = "ClamAV-VDB:22 Feb 2023 16-33 -0500:334:91:90:0464067a252b1e937012ad34e811065f:ab:me:16";
        let header = Header::parse(&padded(text)).unwrap();
        assert_eq!((header.version, header.signatures, header.flevel), (334, 91, 90));
        assert_eq!(header.build_time, "22 Feb 2023 16-33 -0500");
        assert_eq!((header.builder.as_str(), header.epoch), ("me", Some(16)));
        assert_eq!(header.md5.unwrap()[..2], [4, 0x64]);
        let header = Header::parse(&padded("ClamAV-VDB:t:1:2:3:X:X:me")).unwrap();
        assert_eq!((header.md5, header.epoch), (None, None));
        for bad in ["ClamAV-VDB:t:1:1", "XlamAV-VDB:t:1:1:1:X:X:me", "ClamAV-VDB:t:x:1:1:X:X:me"] {
            assert!(Header::parse(&padded(bad)).is_err(), "{bad}");
        }
        assert!(Header::parse(b"ClamAV-VDB:t:1:1:1:X:X:me").is_err());
    }

    #[test]
    fn lists() {
        let header = Header::parse(&padded("ClamAV-VDB:t:1:2:3:X:X:me:4")).unwrap();
        let sha = "00".repeat(32);
        let good = format!("ClamAV-VDB:t:1:2:3:X:X:you:4\na.ndb:5:{sha}\nDSIG:abc\n");
        let listing = Listing::parse(good.as_bytes(), &header).unwrap();
        assert_eq!(listing.members["a.ndb"], Listed { size: 5, sha256: [0; 32] });
        assert_eq!(listing.signed_len, good.len() - 9);
        for bad in [
            String::new(),
            good.replacen(":1:", ":7:", 1),
            good.replacen(":you:4", ":you:5", 1),
            good.replacen(":5:", ":x:", 1),
            good.replacen(&sha, &sha[2..], 1),
            good.replacen("DSIG", "XSIG", 1),
        ] {
            assert!(Listing::parse(bad.as_bytes(), &header).is_err(), "{bad}");
        }
    }
}
