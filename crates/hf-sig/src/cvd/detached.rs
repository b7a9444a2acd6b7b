//! Detached signatures: files `*.sign` that hold CMS signatures over a whole file.
//!
//! The first line is `#clamsign-1.0`; others are `MINFL:MAXFL:pkcs7-pem:BASE64`, comments or empty. The first line
//! that verifies wins; if a line for this engine does not verify and none does, the file is refused.
//! Promises: RSA with PKCS #1 v1.5 and SHA-256, SHA-384 or SHA-512 only; a chain has at most [`CHAIN_MAX`] certificates,
//! ends in a root given by the caller, and every issuer in it is allowed to issue.
//! Leaves out: revocation, policies, and names of use (`openssl smime -verify -purpose any` leaves them out, too).
//! Sources: ClamAV's documentation of `.sign` files; RFC 5652 §5.4 and §5.6; RFC 8017 §8.2.2; RFC 5280 §6.1.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cms::{
    cert::CertificateChoices,
    content_info::ContentInfo,
    signed_data::{SignedData, SignerIdentifier, SignerInfo},
};
use num_bigint::BigUint;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::{
    Certificate,
    der::{
        Decode as _, Encode as _, Reader as _, SliceReader,
        asn1::{ObjectIdentifier, OctetString, UintRef},
    },
    ext::pkix::{BasicConstraints, SubjectKeyIdentifier},
    time::Time,
};

use super::keys::{RsaKey, TrustKeys};
use crate::text::atoi;

/// What a detached signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetachedOutcome {
    /// A trusted signer signed the file.
    Valid {
        /// Common name in the signer's certificate.
        signer: String,
    },
    /// A signature is there and is not valid: the file must not be used.
    Invalid {
        /// Why.
        reason: String,
    },
    /// There is no signature that this engine could verify.
    Unusable {
        /// Why.
        reason: String,
    },
}

/// Most certificates of a chain; ours.
const CHAIN_MAX: usize = 8;
/// Most certificates of a message, and most signature lines; ours.
const MANY: usize = 64;
/// Largest signature file in bytes; ours.
const SIGN_MAX: usize = 1 << 20;

/// Verifies the signature file `sign` of a file.
///
/// `flevel` is the engine's functionality level; `at` the time (seconds since 1970) at which certificates must be
/// valid: none for the time of signing, as far as the signature says it.
#[must_use]
pub fn verify_detached(
    signed: &[u8],
    sign: &[u8],
    keys: &TrustKeys,
    flevel: u32,
    at: Option<u64>,
) -> DetachedOutcome {
    let unusable = |reason: &str| DetachedOutcome::Unusable { reason: reason.to_owned() };
    if sign.len() > SIGN_MAX {
        return unusable("the signature file is too large");
    }
    let roots = certificates_of(&keys.roots);
    if roots.is_empty() {
        return unusable("no root certificate is trusted");
    }
    let mut lines = sign.split(|b| *b == b'\n').map(|line| line.trim_ascii());
    if lines.next() != Some(b"#clamsign-1.0".as_slice()) {
        return unusable("the signature file does not start with `#clamsign-1.0`");
    }
    let mut outcome = unusable("no signature is for this engine");
    for line in lines.filter(|line| !line.is_empty() && line[0] != b'#').take(MANY) {
        let Some(message) = message_of(line, i64::from(flevel)) else { continue };
        let verified = STANDARD
            .decode(message)
            .map_err(|_| "the signature is not base64".to_owned())
            .and_then(|der| verify_message(signed, &der, &roots, at));
        match verified {
            Ok(signer) => return DetachedOutcome::Valid { signer },
            Err(reason) => outcome = DetachedOutcome::Invalid { reason },
        }
    }
    outcome
}

/// Returns the message of a line that is for this engine.
fn message_of(line: &[u8], flevel: i64) -> Option<&[u8]> {
    let mut fields = line.splitn(4, |b| *b == b':');
    let (min, max, kind, message) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let in_range =
        (min.is_empty() || atoi(min) <= flevel) && (max.is_empty() || flevel <= atoi(max));
    (in_range && kind == b"pkcs7-pem").then_some(message)
}

/// Verifies a CMS message over detached content; returns the signer's name.
fn verify_message(
    signed: &[u8],
    der: &[u8],
    roots: &[Certificate],
    at: Option<u64>,
) -> Result<String, String> {
    let message = ContentInfo::from_der(der).map_err(|_| "the signature is not CMS")?;
    let data: SignedData =
        message.content.decode_as().map_err(|_| "the signature is not CMS signed data")?;
    let known: Vec<Certificate> = data
        .certificates
        .iter()
        .flat_map(|set| set.0.iter())
        .filter_map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => Some(certificate.clone()),
            CertificateChoices::Other(_) => None,
        })
        .take(MANY)
        .chain(roots.iter().cloned())
        .collect();
    let mut reason = "the signature names no signer".to_owned();
    for signer in data.signer_infos.0.iter().take(MANY) {
        match verify_signer(signed, signer, &known, roots, at) {
            Ok(name) => return Ok(name),
            Err(why) => reason = why,
        }
    }
    Err(reason)
}

fn verify_signer(
    signed: &[u8],
    signer: &SignerInfo,
    known: &[Certificate],
    roots: &[Certificate],
    at: Option<u64>,
) -> Result<String, String> {
    let certificate = known
        .iter()
        .find(|certificate| identifies(&signer.sid, certificate))
        .ok_or("the signer's certificate is missing")?;
    let hash = Hash::of(&signer.digest_alg.oid).ok_or("the digest algorithm is not supported")?;
    let signature_oid = signer.signature_algorithm.oid;
    if signature_oid != RSA && Hash::of_signature(&signature_oid) != Some(hash) {
        return Err("the signature algorithm is not supported".to_owned());
    }
    let mut at = at;
    let content_digest = hash.digest(signed);
    let to_verify = match &signer.signed_attrs {
        None => content_digest,
        Some(attributes) => {
            // RFC 5652 §5.4: the digest is over the DER encoding of the attributes as a SET OF.
            let attribute = |oid: ObjectIdentifier| {
                attributes.iter().find(|a| a.oid == oid).and_then(|a| a.values.get(0))
            };
            let digest: Option<OctetString> =
                attribute(MESSAGE_DIGEST).and_then(|value| value.decode_as().ok());
            if digest.as_ref().map(OctetString::as_bytes) != Some(&content_digest[..]) {
                return Err("the content is not what was signed".to_owned());
            }
            let kind: Option<ObjectIdentifier> =
                attribute(CONTENT_TYPE).and_then(|value| value.decode_as().ok());
            if kind != Some(DATA) {
                return Err("the signature is not over plain data".to_owned());
            }
            let time = attribute(SIGNING_TIME).and_then(|value| value.to_der().ok());
            let time = time.and_then(|der| Time::from_der(&der).ok());
            at = at.or_else(|| Some(time?.to_unix_duration().as_secs()));
            let encoded = attributes.to_der().map_err(|_| "the signature cannot be encoded")?;
            hash.digest(&encoded)
        }
    };
    let key = key_of(certificate).ok_or("the signer's key is not RSA of a bearable size")?;
    if !pkcs1_holds(&key, signer.signature.as_bytes(), hash, &to_verify) {
        return Err("the signature does not verify".to_owned());
    }
    check_chain(certificate, known, roots, at)?;
    Ok(common_name(certificate))
}

fn identifies(sid: &SignerIdentifier, certificate: &Certificate) -> bool {
    match sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            id.issuer == certificate.tbs_certificate.issuer
                && id.serial_number == certificate.tbs_certificate.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            let found = certificate.tbs_certificate.get::<SubjectKeyIdentifier>();
            matches!(found, Ok(Some((_, own))) if own == *id)
        }
    }
}

/// Follows issuers from a certificate to a root.
fn check_chain(
    leaf: &Certificate,
    known: &[Certificate],
    roots: &[Certificate],
    at: Option<u64>,
) -> Result<(), String> {
    let mut current = leaf;
    for _ in 0..CHAIN_MAX {
        if at.is_some_and(|at| !is_valid_at(current, at)) {
            return Err(format!("the certificate of {} was not valid then", common_name(current)));
        }
        if roots.contains(current) {
            return Ok(());
        }
        let issuer = known.iter().find(|candidate| {
            *candidate != current
                && candidate.tbs_certificate.subject == current.tbs_certificate.issuer
                && (is_authority(candidate) || roots.contains(candidate))
                && issued(candidate, current)
        });
        current = issuer.ok_or("the signer's certificate does not lead to a trusted root")?;
    }
    Err("the chain of certificates is too long".to_owned())
}

fn is_valid_at(certificate: &Certificate, at: u64) -> bool {
    let validity = &certificate.tbs_certificate.validity;
    (validity.not_before.to_unix_duration().as_secs()
        ..=validity.not_after.to_unix_duration().as_secs())
        .contains(&at)
}

fn is_authority(certificate: &Certificate) -> bool {
    let constraints = certificate.tbs_certificate.get::<BasicConstraints>();
    matches!(constraints, Ok(Some((_, constraints))) if constraints.ca)
}

/// True when `issuer` signed `certificate`.
fn issued(issuer: &Certificate, certificate: &Certificate) -> bool {
    let Some(hash) = Hash::of_signature(&certificate.signature_algorithm.oid) else { return false };
    let (Some(key), Ok(tbs), Some(signature)) =
        (key_of(issuer), certificate.tbs_certificate.to_der(), certificate.signature.as_bytes())
    else {
        return false;
    };
    certificate.signature_algorithm == certificate.tbs_certificate.signature
        && pkcs1_holds(&key, signature, hash, &hash.digest(&tbs))
}

fn key_of(certificate: &Certificate) -> Option<RsaKey> {
    let info = &certificate.tbs_certificate.subject_public_key_info;
    if info.algorithm.oid != RSA {
        return None;
    }
    // `RSAPublicKey` of RFC 8017 appendix A.1.1: SEQUENCE of modulus and exponent.
    let mut reader = SliceReader::new(info.subject_public_key.as_bytes()?).ok()?;
    let (modulus, exponent) = reader
        .sequence(|reader| {
            let modulus = UintRef::decode(reader)?.as_bytes().to_vec();
            Ok((modulus, UintRef::decode(reader)?.as_bytes().to_vec()))
        })
        .ok()?;
    RsaKey::from_bytes(&modulus, &exponent)
}

/// RSASSA-PKCS1-v1_5 of RFC 8017 §8.2.2.
fn pkcs1_holds(key: &RsaKey, signature: &[u8], hash: Hash, digest: &[u8]) -> bool {
    if signature.len() != key.len() {
        return false;
    }
    let Some(encoded) = key.recover(&BigUint::from_bytes_be(signature)) else { return false };
    // §9.2: EM = 0x00 || 0x01 || PS || 0x00 || T, built anew and compared as a whole.
    let info = [hash.prefix(), digest].concat();
    let Some(filling) = encoded.len().checked_sub(info.len() + 3).filter(|len| *len >= 8) else {
        return false;
    };
    let mut wanted = vec![0, 1];
    wanted.resize(2 + filling, 0xff);
    wanted.push(0);
    wanted.extend_from_slice(&info);
    encoded == wanted
}

fn common_name(certificate: &Certificate) -> String {
    let names = certificate.tbs_certificate.subject.0.iter().flat_map(|set| set.0.iter());
    names
        .filter(|name| name.oid == COMMON_NAME)
        .map(|name| String::from_utf8_lossy(name.value.value()).into_owned())
        .next()
        .unwrap_or_default()
}

/// Reads certificates from DER or PEM; what cannot be read is left out.
fn certificates_of(files: &[Vec<u8>]) -> Vec<Certificate> {
    let mut found = Vec::new();
    for bytes in files {
        if let Ok(certificate) = Certificate::from_der(bytes) {
            found.push(certificate);
            continue;
        }
        let text = String::from_utf8_lossy(bytes);
        for block in text.split("-----BEGIN CERTIFICATE-----").skip(1).take(MANY) {
            let body = block.split("-----END").next().unwrap_or_default();
            let body: String = body.split_whitespace().collect();
            let der = STANDARD.decode(body).unwrap_or_default();
            found.extend(Certificate::from_der(&der));
        }
    }
    found
}

/// Digests that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(oid: &ObjectIdentifier) -> Option<Self> {
        Some(match oid.to_string().as_str() {
            "2.16.840.1.101.3.4.2.1" => Self::Sha256,
            "2.16.840.1.101.3.4.2.2" => Self::Sha384,
            "2.16.840.1.101.3.4.2.3" => Self::Sha512,
            _ => return None,
        })
    }

    fn of_signature(oid: &ObjectIdentifier) -> Option<Self> {
        Some(match oid.to_string().as_str() {
            "1.2.840.113549.1.1.11" => Self::Sha256,
            "1.2.840.113549.1.1.12" => Self::Sha384,
            "1.2.840.113549.1.1.13" => Self::Sha512,
            _ => return None,
        })
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// Returns what stands in front of the digest in a `DigestInfo` (RFC 8017 §9.2, notes).
    fn prefix(self) -> &'static [u8] {
        match self {
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

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sign/");
        std::fs::read(format!("{dir}{name}")).unwrap()
    }

    /// First second of 2027: within all fixtures' dates but one's.
    const IN_2027: u64 = 1_798_761_600;

    const IN_2099: u64 = 4_075_000_000;

    #[track_caller]
    fn check(sign: &[u8], content: &[u8], root: &str, at: Option<u64>, want: &str) {
        let keys = TrustKeys { roots: vec![fixture(root)], ..TrustKeys::default() };
        let got = match verify_detached(content, sign, &keys, 240, at) {
            DetachedOutcome::Valid { signer } => format!("valid: {signer}"),
            DetachedOutcome::Invalid { reason } => format!("invalid: {reason}"),
            DetachedOutcome::Unusable { reason } => format!("unusable: {reason}"),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn signatures_by_openssl() {
        let content = fixture("content");
        let good = "valid: Holdfast test signer";
        let no_root = "invalid: the signer's certificate does not lead to a trusted root";
        for (name, want) in [
            ("good.sign", good),
            ("sha512.sign", good),
            ("no-attributes.sign", good),
            ("key-id.sign", good),
            ("no-middle.sign", no_root),
            ("not-an-authority.sign", no_root),
            ("sha1.sign", "invalid: the digest algorithm is not supported"),
            ("old-engine.sign", "unusable: no signature is for this engine"),
        ] {
            check(&fixture(name), &content, "root.pem", None, want);
            check(&fixture(name), &content, "root.pem", Some(IN_2027), want);
        }
    }

    #[test]
    fn foreign_content_and_roots() {
        let content = fixture("content");
        let good = fixture("good.sign");
        check(&good, b"other", "root.pem", None, "invalid: the content is not what was signed");
        check(
            &fixture("no-attributes.sign"),
            b"other",
            "root.pem",
            None,
            "invalid: the signature does not verify",
        );
        let no_root = "invalid: the signer's certificate does not lead to a trusted root";
        check(&good, &content, "foreign.pem", None, no_root);
        check(&good, &content, "README.md", None, "unusable: no root certificate is trusted");
    }

    #[test]
    fn dates() {
        let content = fixture("content");
        let expired = fixture("expired.sign");
        check(&expired, &content, "root.pem", None, "valid: Holdfast test expired");
        let want = "invalid: the certificate of Holdfast test expired was not valid then";
        check(&expired, &content, "root.pem", Some(IN_2027), want);
        let early = fixture("early.sign");
        let want = "invalid: the certificate of Holdfast test early was not valid then";
        check(&early, &content, "early.pem", None, want);
        check(&early, &content, "early.pem", Some(IN_2099), "valid: Holdfast test early");
    }

    #[test]
    fn lines() {
        let content = fixture("content");
        let good = fixture("good.sign");
        let text = String::from_utf8(good).unwrap();
        let line = text.lines().nth(2).unwrap();
        let file = |lines: &str| format!("#clamsign-1.0\r\n\n# x\n{lines}\n").into_bytes();
        let valid = "valid: Holdfast test signer";
        check(&file(&format!("210::pkcs7-pem:AAAA\n{line}")), &content, "root.pem", None, valid);
        check(&file(&format!("::other:AAAA\n{line}")), &content, "root.pem", None, valid);
        for (lines, want) in [
            ("", "unusable: no signature is for this engine"),
            ("250::pkcs7-pem:AAAA", "unusable: no signature is for this engine"),
            ("210::pkcs7-pem:A*", "invalid: the signature is not base64"),
            ("210::pkcs7-pem:AAAA", "invalid: the signature is not CMS"),
        ] {
            check(&file(lines), &content, "root.pem", None, want);
        }
        let want = "unusable: the signature file does not start with `#clamsign-1.0`";
        check(line.as_bytes(), &content, "root.pem", None, want);
    }

    #[test]
    fn damaged_messages_never_verify() {
        let content = fixture("content");
        let text = String::from_utf8(fixture("good.sign")).unwrap();
        let body = text.lines().nth(2).unwrap().rsplit(':').next().unwrap();
        let der = STANDARD.decode(body).unwrap();
        let roots = certificates_of(&[fixture("root.pem")]);
        assert!(verify_message(&content, &der, &roots, None).is_ok());
        // The last bytes are the signature.
        for idx in (0..256).step_by(17) {
            let mut bad = der.clone();
            let at = bad.len() - 1 - idx;
            bad[at] ^= 0x10;
            assert!(verify_message(&content, &bad, &roots, None).is_err(), "{idx}");
        }
        for len in (0..der.len()).step_by(101) {
            assert!(verify_message(&content, &der[..len], &roots, None).is_err(), "{len}");
        }
    }
}
