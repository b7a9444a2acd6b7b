//! Authenticode signatures of PE files against rules on certificates (`crb`).
//!
//! Promises: a file is trusted only when its own bytes are what was signed, the signer's chain ends in a rule that
//! trusts it for code, and the signer was valid at the time of a countersignature, else is valid now. A certificate
//! that a rule blocks is told whether or not the signature holds.
//! Leaves out: revocation; time stamps of RFC 3161, which count as none; catalogues; keys other than RSA.
//! Limits: [`CERTIFICATES_MAX`] certificates, [`TABLE_LEN_MAX`] bytes; keys of 8192 bits.
//! Hostile input: what cannot be read is no signature.
//! Off-spec: a rule's exponent is not asked, it is 65537 as in ClamAV. The table of certificates has to end the file,
//! else what stands behind it would be trusted too.
//! Sources: [1] Microsoft, "Windows Authenticode Portable Executable Signature Format"; [2] RFC 2315; [3] RFC 5280;
//! [4] ClamAV's documentation of `.crb`; clamscan 1.4.6 as an oracle.

mod certificate;
mod der;
mod hash;

use hf_core::Sink;
use hf_core::signature::CertificateSig;
use sha1::{Digest as _, Sha1};

use self::certificate::{Certificate, Key, Purpose};
use self::der::{Der, Value};
use self::hash::Hash;
use crate::reader::size;

/// What rules on certificates say of a PE file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signed {
    /// It carries a certificate that the rule of this index blocks.
    pub blocked: Option<usize>,
    /// It is signed, and the signer's chain ends in a rule that trusts it.
    pub trusted: bool,
}

/// Checks the signature of a PE file; `now` is in seconds since 1970.
#[must_use]
pub fn check_signature(object: &[u8], rules: &[CertificateSig], now: u64) -> Signed {
    let Some(places) = Places::read(object) else { return Signed::default() };
    let Some(message) = Message::read(places.message) else { return Signed::default() };
    let named = |rule: &CertificateSig| {
        !rule.trusted && message.certificates.iter().any(|found| found.is_named_by(rule))
    };
    let trusts: Vec<&CertificateSig> = rules.iter().filter(|rule| rule.trusted).collect();
    Signed {
        blocked: rules.iter().position(named),
        trusted: message.holds(&places, &trusts, now).is_some(),
    }
}

/// Tells the certificates in the signature of a PE file as facts, in the words of rules (`crb`).
pub(crate) fn tell(object: &[u8], sink: &mut dyn Sink) {
    if !sink.wants_facts() {
        return;
    }
    let message = Places::read(object).and_then(|places| Message::read(places.message));
    for certificate in message.iter().flat_map(|message| &message.certificates) {
        sink.fact("pe.certificate", &certificate.in_words());
    }
}

/// Parts of a file that a signature is about.
struct Places<'a> {
    /// All but the checksum, the directory's entry and the table.
    signed: [&'a [u8]; 3],
    message: &'a [u8],
}

impl<'a> Places<'a> {
    fn read(object: &'a [u8]) -> Option<Self> {
        let u16_at = |off: usize| Some(u16::from_le_bytes(*object.get(off..)?.first_chunk()?));
        let u32_at = |off: usize| {
            Some(size(u64::from(u32::from_le_bytes(*object.get(off..)?.first_chunk()?))))
        };
        let pe_off = u32_at(0x3c)?;
        let optional = pe_off.checked_add(24)?;
        if !object.starts_with(b"MZ") || object.get(pe_off..)?.get(..4)? != b"PE\0\0" {
            return None;
        }
        let directories = optional.checked_add(match u16_at(optional)? {
            0x10b => 96,
            0x20b => 112,
            _ => return None,
        })?;
        if u32_at(directories.checked_sub(4)?)? <= SECURITY_DIRECTORY {
            return None;
        }
        let checksum = optional.checked_add(64)?;
        let entry = directories.checked_add(SECURITY_DIRECTORY.checked_mul(8)?)?;
        let (table_off, table_len) = (u32_at(entry)?, u32_at(entry.checked_add(4)?)?);
        if table_off.checked_add(table_len)? != object.len() || table_len > TABLE_LEN_MAX {
            return None;
        }
        // `WIN_CERTIFICATE`: its length, revision 2.0, kind 2.
        let len = u32_at(table_off)?.min(table_len);
        if u16_at(table_off.checked_add(6)?)? != 2 {
            return None;
        }
        let message = object.get(table_off..)?.get(8..len)?;
        let signed = [
            object.get(..checksum)?,
            object.get(checksum.checked_add(4)?..entry)?,
            object.get(entry.checked_add(8)?..table_off)?,
        ];
        Some(Self { signed, message })
    }
}

/// A PKCS #7 message over the digest of a file.
struct Message<'a> {
    /// What the signer's digest is of.
    content: &'a [u8],
    file_hash: Hash,
    file_digest: &'a [u8],
    certificates: Vec<Certificate<'a>>,
    signer: Signer<'a>,
}

/// `SignerInfo` of [2] §9.2.
struct Signer<'a> {
    issuer: &'a [u8],
    serial: &'a [u8],
    hash: Hash,
    /// Authenticated attributes, with their tag, and without.
    attributes: Option<(&'a [u8], &'a [u8])>,
    signature: &'a [u8],
    unsigned: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut info = Der(Der(bytes).expect(0x30)?);
        if info.expect(0x06)? != SIGNED_DATA {
            return None;
        }
        let mut data = Der(Der(info.expect(0xa0)?).expect(0x30)?);
        data.expect(0x02)?;
        data.expect(0x31)?;
        let mut content = Der(data.expect(0x30)?);
        if content.expect(0x06)? != INDIRECT_DATA {
            return None;
        }
        let content = Der(content.expect(0xa0)?).expect(0x30)?;
        let mut indirect = Der(content);
        indirect.expect(0x30)?;
        let mut digest = Der(indirect.expect(0x30)?);
        let file_hash = Hash::of(Der(digest.expect(0x30)?).expect(0x06)?)?;
        let file_digest = digest.expect(0x04)?;
        let mut certificates = Vec::new();
        let mut next = data.next()?;
        if next.tag == 0xa0 {
            let mut set = Der(next.content);
            while certificates.len() < CERTIFICATES_MAX
                && let Some(value) = set.next()
            {
                certificates.extend(Certificate::read(value));
            }
            next = data.next()?;
        }
        if next.tag == 0xa1 {
            next = data.next()?;
        }
        let signer = Der(next.content).next().and_then(Signer::read)?;
        Some(Self { content, file_hash, file_digest, certificates, signer })
    }

    /// Some when the signature holds and is trusted.
    fn holds(&self, places: &Places<'_>, rules: &[&CertificateSig], now: u64) -> Option<()> {
        let trusted = self.trusted(rules);
        let signer = self.signed_by(&self.signer, self.content, &trusted, Purpose::Code)?;
        let at = match self.countersigned_at(&trusted) {
            Some(at) => at,
            None => now,
        };
        if !signer.is_valid_at(at) || self.file_hash.digest(&places.signed) != self.file_digest {
            return None;
        }
        Some(())
    }

    /// Returns the certificates that rules trust, each with what for.
    fn trusted<'t>(&'t self, rules: &[&'t CertificateSig]) -> Vec<Trust<'t>> {
        let mut trusted: Vec<Trust<'t>> = Vec::new();
        let mut keys: Vec<(Issuer, Key)> = rules
            .iter()
            .filter(|rule| rule.cert_sign)
            .filter_map(|rule| Some((Issuer::of_rule(rule), Key::of_rule(rule)?)))
            .collect();
        let mut left: Vec<&Certificate<'_>> = self.certificates.iter().collect();
        // Each round takes one link of a chain; a chain is no longer than there are certificates.
        while !left.is_empty() {
            let before = left.len();
            left.retain(|certificate| {
                let Some(trust) = trust_of(certificate, rules, &keys) else { return true };
                if trust.issues
                    && let Some(key) = trust.key()
                {
                    let subject = certificate.subject_sha1();
                    keys.push((Issuer { subject, code: trust.code, time: trust.time }, key));
                }
                trusted.push(trust);
                false
            });
            if left.len() == before {
                break;
            }
        }
        trusted
    }

    /// Returns the certificate of a signer whose signature over `content` holds.
    fn signed_by<'t>(
        &self,
        signer: &Signer<'_>,
        content: &[u8],
        trusted: &[Trust<'t>],
        purpose: Purpose,
    ) -> Option<&'t Certificate<'t>> {
        let trust = trusted.iter().find(|trust| {
            trust.certificate.issuer == signer.issuer
                && trust.certificate.serial == signer.serial
                && match purpose {
                    Purpose::Code => trust.code,
                    Purpose::Time => trust.time,
                }
        })?;
        let certificate = trust.certificate;
        if !certificate.may_be_used_for(purpose) {
            return None;
        }
        let digest = signer.hash.digest(&[content]);
        let signed = match signer.attributes {
            None => digest,
            Some((whole, attributes)) => {
                let stated = attribute(attributes, MESSAGE_DIGEST)?;
                if Der(stated).expect(0x04)? != digest {
                    return None;
                }
                // [2] §9.3: the digest is over the attributes as a SET OF.
                signer.hash.digest(&[&[0x31], whole.get(1..)?])
            }
        };
        trust.key()?.holds(signer.signature, signer.hash, &signed).then_some(certificate)
    }

    /// Returns when a trusted clock countersigned ([1], "Timestamping").
    fn countersigned_at(&self, trusted: &[Trust<'_>]) -> Option<u64> {
        let stamp = Signer::read(Der(attribute(self.signer.unsigned, COUNTERSIGNATURE)?).next()?)?;
        let certificate = self.signed_by(&stamp, self.signer.signature, trusted, Purpose::Time)?;
        let (_, attributes) = stamp.attributes?;
        let at = der::time(Der(attribute(attributes, SIGNING_TIME)?).next()?)?;
        certificate.is_valid_at(at).then_some(at)
    }
}

impl<'a> Signer<'a> {
    fn read(value: Value<'a>) -> Option<Self> {
        let mut info = Der(value.content);
        info.expect(0x02)?;
        let mut id = Der(info.expect(0x30)?);
        let issuer = id.expect(0x30)?;
        let serial = id.expect(0x02)?;
        let hash = Hash::of(Der(info.expect(0x30)?).expect(0x06)?)?;
        let mut next = info.next()?;
        let mut attributes = None;
        if next.tag == 0xa0 {
            attributes = Some((next.whole, next.content));
            next = info.next()?;
        }
        // The signature's algorithm is that of the key.
        if next.tag != 0x30 {
            return None;
        }
        let signature = info.expect(0x04)?;
        let unsigned = info.next().map_or(b"".as_slice(), |value| value.content);
        Some(Self { issuer, serial, hash, attributes, signature, unsigned })
    }
}

/// Returns the content of the set of an attribute's values.
fn attribute<'a>(attributes: &'a [u8], oid: &[u8]) -> Option<&'a [u8]> {
    let mut list = Der(attributes);
    while let Some(value) = list.next() {
        let mut attribute = Der(value.content);
        if attribute.expect(0x06) == Some(oid) {
            return attribute.expect(0x31);
        }
    }
    None
}

/// A certificate that is trusted, and what for.
struct Trust<'a> {
    certificate: &'a Certificate<'a>,
    /// The rule that names it; else an issuer's signature on it holds.
    rule: Option<&'a CertificateSig>,
    code: bool,
    time: bool,
    issues: bool,
}

impl Trust<'_> {
    /// Returns the key. Of a certificate that a rule names nobody signed the exponent: with another one, anything
    /// could be signed.
    fn key(&self) -> Option<Key> {
        self.rule.map_or_else(|| self.certificate.key(), Key::of_rule)
    }
}

/// Whose certificates are trusted, and what for.
struct Issuer {
    subject: [u8; 20],
    code: bool,
    time: bool,
}

impl Issuer {
    fn of_rule(rule: &CertificateSig) -> Self {
        Self { subject: rule.subject, code: rule.code_sign, time: rule.time_sign }
    }
}

fn trust_of<'a>(
    certificate: &'a Certificate<'a>,
    rules: &[&'a CertificateSig],
    keys: &[(Issuer, Key)],
) -> Option<Trust<'a>> {
    if let Some(rule) = rules.iter().copied().find(|rule| certificate.is_named_by(rule)) {
        let CertificateSig { code_sign: code, time_sign: time, cert_sign: issues, .. } = *rule;
        return Some(Trust { certificate, rule: Some(rule), code, time, issues });
    }
    let issuer: [u8; 20] = Sha1::digest(certificate.issuer).into();
    let (issuer, _) = keys
        .iter()
        .filter(|(key, _)| key.subject == issuer)
        .find(|(_, key)| certificate.is_signed_with(key))?;
    let (code, time) = (issuer.code, issuer.time);
    let issues = certificate.is_authority();
    Some(Trust { certificate, rule: None, code, time, issues })
}

const SECURITY_DIRECTORY: usize = 4;
/// Ours.
const CERTIFICATES_MAX: usize = 32;
/// Ours.
const TABLE_LEN_MAX: usize = 4 << 20;
/// 1.2.840.113549.1.7.2.
const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
/// 1.3.6.1.4.1.311.2.1.4, `SPC_INDIRECT_DATA_OBJID`.
const INDIRECT_DATA: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x04";
/// 1.2.840.113549.1.9.4.
const MESSAGE_DIGEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
/// 1.2.840.113549.1.9.5.
const SIGNING_TIME: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05";
/// 1.2.840.113549.1.9.6.
const COUNTERSIGNATURE: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x06";

#[cfg(test)]
mod tests;
