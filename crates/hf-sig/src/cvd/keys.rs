//! The two ways in which ClamAV signs with bare RSA: an MD5 without padding, and RSASSA-PSS with SHA-256.
//!
//! A signature is written as a number in base 64 with the digits `a-z A-Z 0-9 + /`, least significant digit first.
//! Sources: ClamAV's published keys; RFC 8017 §8.1.2 and §9.1.2, whose steps are quoted.

use num_bigint::BigUint;
use sha2::{Digest as _, Sha256};

/// Whose signatures on containers are trusted.
#[derive(Debug, Clone)]
pub struct TrustKeys {
    /// Of the MD5 in the header of a CVD.
    pub header: RsaKey,
    /// Of the list of members.
    pub info: RsaKey,
    /// Of scripts that patch a container.
    pub script: RsaKey,
    /// Certificates (DER, or PEM with any number of them) in which chains of detached signatures may end.
    pub roots: Vec<Vec<u8>>,
}

impl Default for TrustKeys {
    /// Returns ClamAV's keys and no root certificates.
    fn default() -> Self {
        Self {
            header: RsaKey::from_decimal(HEADER_MODULUS, 100_001_027),
            info: RsaKey::from_decimal(INFO_MODULUS, 100_002_049),
            script: RsaKey::from_decimal(SCRIPT_MODULUS, 100_002_053),
            roots: Vec::new(),
        }
    }
}

/// A public RSA key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsaKey {
    modulus: BigUint,
    exponent: BigUint,
}

/// Longest modulus in bits; ours, so that a hostile certificate cannot make the arithmetic slow.
const MODULUS_BITS_MAX: u64 = 8192;
/// Longest exponent in bits; ours.
const EXPONENT_BITS_MAX: u64 = 64;
/// Length of a digest and of a salt.
const HASH_LEN: usize = 32;

impl RsaKey {
    /// Makes a key from a modulus in decimal digits; one that is no number makes a key that verifies nothing.
    #[must_use]
    pub fn from_decimal(modulus: &str, exponent: u64) -> Self {
        let modulus = modulus.parse().unwrap_or_default();
        Self { modulus, exponent: BigUint::from(exponent) }
    }

    /// Makes a key from big-endian bytes; none when its size is out of bounds.
    #[must_use]
    pub fn from_bytes(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let key = Self {
            modulus: BigUint::from_bytes_be(modulus),
            exponent: BigUint::from_bytes_be(exponent),
        };
        let bits = key.modulus.bits();
        let fits = (1024..=MODULUS_BITS_MAX).contains(&bits)
            && (2..=EXPONENT_BITS_MAX).contains(&key.exponent.bits());
        fits.then_some(key)
    }

    /// Returns the length of the modulus in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.modulus.bits().div_ceil(8)).unwrap_or(0)
    }

    /// True for a key that verifies nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.modulus.bits() == 0
    }

    /// Raises a signature to the exponent; the result is as long as the modulus.
    pub(super) fn recover(&self, signature: &BigUint) -> Option<Vec<u8>> {
        if self.is_empty() || *signature >= self.modulus {
            return None;
        }
        Some(padded(&signature.modpow(&self.exponent, &self.modulus), self.len()))
    }

    /// Returns the MD5 in a signature without padding; none when there is more in it.
    pub(super) fn recover_md5(&self, text: &[u8]) -> Option<[u8; 16]> {
        let recovered = self.recover(&number_of(text)?)?;
        let (zeros, md5) = recovered.split_last_chunk::<16>()?;
        zeros.iter().all(|byte| *byte == 0).then_some(*md5)
    }

    /// True when the text is this key's RSASSA-PSS signature of the bytes (SHA-256, MGF1 with SHA-256, 32 bytes of salt).
    #[must_use]
    pub fn verify_pss(&self, signed: &[u8], text: &[u8]) -> bool {
        let Some(encoded) = number_of(text).and_then(|number| self.recover(&number)) else {
            return false;
        };
        pss_holds(&encoded, &Sha256::digest(signed).into())
    }
}

/// EMSA-PSS-VERIFY of RFC 8017 §9.1.2.
///
/// Off-spec: emBits is always one less than whole bytes have, also for ClamAV's keys of 2047 bits.
fn pss_holds(encoded: &[u8], message_hash: &[u8; HASH_LEN]) -> bool {
    // "3. If emLen < hLen + sLen + 2, output "inconsistent" and stop."
    if encoded.len() < 2 * HASH_LEN + 2 {
        return false;
    }
    // "4. If the rightmost octet of EM does not have hexadecimal value 0xbc, output "inconsistent"."
    let Some((0xbc, rest)) = encoded.split_last() else { return false };
    // "5. Let maskedDB be the leftmost emLen - hLen - 1 octets of EM, and let H be the next hLen octets."
    let Some((masked, hash)) = rest.split_last_chunk::<HASH_LEN>() else { return false };
    // "6. If the leftmost 8emLen - emBits bits of the leftmost octet in maskedDB are not all equal to zero …"
    if masked.first().is_none_or(|byte| byte & 0x80 != 0) {
        return false;
    }
    // "7. Let dbMask = MGF(H, emLen - hLen - 1). 8. Let DB = maskedDB \xor dbMask."
    let mut block: Vec<u8> =
        masked.iter().zip(mgf1(hash, masked.len())).map(|(byte, mask)| byte ^ mask).collect();
    // "9. Set the leftmost 8emLen - emBits bits of the leftmost octet in DB to zero."
    if let Some(first) = block.first_mut() {
        *first &= 0x7f;
    }
    // "10. If the emLen - hLen - sLen - 2 leftmost octets of DB are not zero or if the octet at position
    //  emLen - hLen - sLen - 1 does not have hexadecimal value 0x01 … 11. Let salt be the last sLen octets."
    let Some((front, salt)) = block.split_last_chunk::<HASH_LEN>() else { return false };
    let Some((0x01, zeros)) = front.split_last() else { return false };
    if zeros.iter().any(|byte| *byte != 0) {
        return false;
    }
    // "12. M' = (0x)00 00 00 00 00 00 00 00 || mHash || salt. 13. H' = Hash(M'). 14. If H = H' …"
    let mut hasher = Sha256::new();
    hasher.update([0; 8]);
    hasher.update(message_hash);
    hasher.update(salt);
    hasher.finalize()[..] == hash[..]
}

/// MGF1 of RFC 8017 appendix B.2.1 with SHA-256.
pub(super) fn mgf1(seed: &[u8], len: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(len + HASH_LEN);
    for counter in 0u32.. {
        if mask.len() >= len {
            break;
        }
        let mut hasher = Sha256::new();
        hasher.update(seed);
        hasher.update(counter.to_be_bytes());
        mask.extend_from_slice(&hasher.finalize());
    }
    mask.truncate(len);
    mask
}

/// Returns a number as big-endian bytes of a fixed length.
pub(super) fn padded(number: &BigUint, len: usize) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    let mut padded = vec![0; len.saturating_sub(bytes.len())];
    padded.extend_from_slice(&bytes);
    padded
}

/// Digits of a signature's number, by value.
pub(super) const DIGITS: &[u8; 64] =
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
/// Longest signature in digits; ours, twice what the longest key needs.
const DIGITS_MAX: usize = 4096;

/// Reads the number of a signature.
fn number_of(text: &[u8]) -> Option<BigUint> {
    let text = text.trim_ascii();
    if text.len() < 2 || text.len() > DIGITS_MAX {
        return None;
    }
    let values: Option<Vec<u8>> = text
        .iter()
        .map(|byte| DIGITS.iter().position(|d| d == byte).and_then(|v| u8::try_from(v).ok()))
        .collect();
    BigUint::from_radix_le(&values?, 64)
}

/// ClamAV's modulus for headers.
const HEADER_MODULUS: &str = "\
    11864099555164534260307000165845318975152777441202774374659940574324314260746414\
    47673610606406558447497607888900222834249227624889175655510024677711096695981894\
    10434699034532232228621591089508178591428456220796841621637175567590476666928698\
    770143328137383952820383197532047771780196576957695822641224262693037";
/// ClamAV's modulus for lists of members.
const INFO_MODULUS: &str = "\
    11088894983048545473659556106627194923928941791795047620591658697413581043322715\
    91217249680652538105588096452061840022433332053466029923398375534174067950286682\
    99096799557343913926683783612215242053966310901051516412708572770803107343209516\
    53700508941717419168723942507890702904702707587451621691050754307850383399865346\
    48720379846417853739221140278648135982446119723110289541509377039421666632448459\
    39357624084685168266331921408266679234948220458053478099328484548458869717064243\
    60558667862775876072059437703365380209101697738577515476935085469455279994113145\
    977994084618328482151013142393373316337519977244732747977";
/// ClamAV's modulus for scripts.
const SCRIPT_MODULUS: &str = "\
    14783905874077467090262228516557917570254599638376203532031989214105552847269687\
    48977197579212344218581728769495194980090879152754201711560050130339477861853586\
    48452357000415900563182301024496122174585490160893133065913885907907965158196541\
    02320725712300822356348724011232654837503241736177907784198700834440681124727060\
    54003575469965810589505009657622675300859688169882818565242490192166875832657846\
    20032479064709820922981067896572119054889862810783463614695244848295595608862271\
    98091995498440676639639830463593211386055065360288422394053998134458623712540683\
    294034953818412458362198117811990006021989844180721010947";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number_of(b"ba"), Some(BigUint::from(1u32)));
        assert_eq!(number_of(b"ab"), Some(BigUint::from(64u32)));
        assert_eq!(number_of(b"//"), Some(BigUint::from(4095u32)));
        assert_eq!(number_of(b"a"), None);
        assert_eq!(number_of(b"a=b"), None);
    }

    #[test]
    fn published_keys() {
        let keys = TrustKeys::default();
        assert_eq!((keys.header.len(), keys.info.len(), keys.script.len()), (128, 256, 256));
        assert!(RsaKey::from_decimal("x", 3).is_empty());
        assert!(!RsaKey::from_decimal("x", 3).verify_pss(b"", b"abc"));
        assert!(RsaKey::from_bytes(&[1; 2000], &[3]).is_none());
    }

    #[test]
    fn masks() {
        assert_eq!(mgf1(b"seed", 70).len(), 70);
        assert_eq!(mgf1(b"seed", 40)[..32], mgf1(b"seed", 70)[..32]);
    }
}
