//! `signed.base64` is a program that does nothing, signed by `osslsigncode sign -h sha256` with a chain of three
//! certificates that openssl made: root, middle, signer.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

/// Within the signer's dates.
const NOW: u64 = 1_798_761_600;
const AFTER: u64 = 2_500_000_000;

fn signed() -> Vec<u8> {
    let text: String = include_str!("signed.base64").split_whitespace().collect();
    STANDARD.decode(text).unwrap()
}

/// Returns a rule on the certificate at `idx` of the message.
fn rule(idx: usize, trusted: bool) -> CertificateSig {
    let object = signed();
    let places = Places::read(&object).unwrap();
    let message = Message::read(places.message).unwrap();
    message.certificates[idx].rule(trusted)
}

/// Returns the index of the certificate that this many others lead to.
fn by_height(height: usize) -> usize {
    let object = signed();
    let places = Places::read(&object).unwrap();
    let message = Message::read(places.message).unwrap();
    let mut idx = message
        .certificates
        .iter()
        .position(|certificate| certificate.serial == message.signer.serial)
        .unwrap();
    for _ in 0..height {
        let issuer = message.certificates[idx].issuer;
        let is_it = |other: &Certificate<'_>| {
            other.subject_sha1() == <[u8; 20]>::from(Sha1::digest(issuer))
        };
        idx = message.certificates.iter().position(is_it).unwrap();
    }
    idx
}

const UNKNOWN: Signed = Signed { blocked: None, trusted: false };
const TRUSTED: Signed = Signed { blocked: None, trusted: true };

#[track_caller]
fn check(object: &[u8], rules: &[CertificateSig], now: u64, want: Signed) {
    assert_eq!(check_signature(object, rules, now), want);
}

#[test]
fn chains_end_in_rules() {
    let object = signed();
    check(&object, &[], NOW, UNKNOWN);
    for height in 0..3 {
        let trust = rule(by_height(height), true);
        check(&object, std::slice::from_ref(&trust), NOW, TRUSTED);
        check(&object, std::slice::from_ref(&trust), AFTER, UNKNOWN);
        check(&object, &[CertificateSig { code_sign: false, ..trust.clone() }], NOW, UNKNOWN);
        check(&object, &[CertificateSig { time_sign: false, ..trust.clone() }], NOW, TRUSTED);
        let block = rule(by_height(height), false);
        check(
            &object,
            &[trust.clone(), block.clone()],
            NOW,
            Signed { blocked: Some(1), trusted: true },
        );
        check(
            &object,
            std::slice::from_ref(&block),
            AFTER,
            Signed { blocked: Some(0), trusted: false },
        );
        let other = CertificateSig { serial: Some([0; 20]), ..block.clone() };
        check(&object, &[other], NOW, UNKNOWN);
        check(&object, &[CertificateSig { subject: [0; 20], ..block }], NOW, UNKNOWN);
    }
    let issues_nothing = CertificateSig { cert_sign: false, ..rule(by_height(2), true) };
    check(&object, &[issues_nothing], NOW, UNKNOWN);
}

#[test]
fn altered_programs_are_not_trusted() {
    let object = signed();
    let rules = [rule(by_height(2), true)];
    let checksum = 0x40 + 24 + 64;
    let entry = 0x40 + 24 + 96 + 32;
    let table = 0x400;
    for at in (0..object.len()).step_by(7) {
        let mut altered = object.clone();
        altered[at] ^= 1;
        // The checksum, the entry and what stands in front of the message are not signed.
        let outside = (checksum..checksum + 4).contains(&at)
            || (entry..entry + 8).contains(&at)
            || (table..table + 8).contains(&at);
        let got = check_signature(&altered, &rules, NOW);
        assert!(at >= table || outside || got == UNKNOWN, "{at}");
    }
    let mut longer = object.clone();
    longer.extend_from_slice(b"more");
    check(&longer, &rules, NOW, UNKNOWN);
    for len in (0..object.len()).step_by(13) {
        check(&object[..len], &rules, NOW, UNKNOWN);
    }
}

#[test]
fn every_bit_of_the_signature_counts() {
    let object = signed();
    let rules = [rule(by_height(2), true)];
    let places = Places::read(&object).unwrap();
    let message = Message::read(places.message).unwrap();
    let signature = message.signer.signature;
    let start = memchr::memmem::find(&object, signature).unwrap();
    for at in start..start + signature.len() {
        let mut altered = object.clone();
        altered[at] ^= 0x10;
        check(&altered, &rules, NOW, UNKNOWN);
    }
}

#[test]
fn a_key_with_another_exponent_is_not_the_rules_key() {
    let trust = rule(by_height(0), true);
    assert_eq!(Key::of_rule(&trust).unwrap().exponent(), 65_537);
    assert!(Key::of_rule(&CertificateSig { modulus: vec![0xff; 64], ..trust.clone() }).is_none());
    assert!(Key::of_rule(&CertificateSig { modulus: vec![0xfe; 256], ..trust }).is_none());
}
