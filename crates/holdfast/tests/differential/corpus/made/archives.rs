//! Archives of made and real objects: zip, tar, cpio, gzip, and one in the other.

use super::chunk;
use crate::corpus::{Corpus, Entry};
use crate::rng::Rng;

pub(super) fn build(corpus: &mut Corpus, rng: &mut Rng) {
    for idx in 0..4 {
        let members = members(corpus, rng);
        let stored = zip(&members);
        record(corpus, "CL_TYPE_ZIP", &members);
        corpus.add(&format!("made-{idx}.zip"), &stored);
        inside(corpus, &members, &["CL_TYPE_ZIP"]);
    }
    for idx in 0..2 {
        let members = members(corpus, rng);
        let file = tar(&members);
        record(corpus, "CL_TYPE_POSIX_TAR", &members);
        corpus.add(&format!("made-{idx}.tar"), &file);
        inside(corpus, &members, &["CL_TYPE_POSIX_TAR"]);
    }
    let inner = members(corpus, rng);
    record(corpus, "CL_TYPE_ZIP", &inner);
    let nested = tar(&[("inner.zip".to_owned(), zip(&inner))]);
    corpus.add("made.tar.gz", &gzip(&nested));
    corpus.piece(&nested, &["CL_TYPE_GZ"]);
    inside(corpus, &inner, &["CL_TYPE_GZ", "CL_TYPE_POSIX_TAR", "CL_TYPE_ZIP"]);
    let packed = members(corpus, rng);
    record(corpus, "CL_TYPE_CPIO_NEWC", &packed);
    corpus.add("made-own.cpio", &cpio(&packed));
    inside(corpus, &packed, &["CL_TYPE_CPIO_NEWC"]);
    let packed = members(corpus, rng);
    record(corpus, "CL_TYPE_ZIP", &packed);
    let deflated = zip_with(&packed, Method::Deflated);
    corpus.add("made-own-deflate.zip", &deflated);
    inside(corpus, &packed, &["CL_TYPE_ZIP"]);
    let locked = members(corpus, rng);
    record(corpus, "CL_TYPE_ZIP", &locked);
    corpus.add("made-own-encrypted.zip", &zip_with(&locked, Method::Encrypted(PASSWORD)));
    inside(corpus, &locked, &["CL_TYPE_ZIP"]);
    corpus.passwords.push(PASSWORD.to_owned());
}

pub(super) fn members(corpus: &Corpus, rng: &mut Rng) -> Vec<(String, Vec<u8>)> {
    let count = rng.range(1, 4);
    (0..count)
        .map(|nr| {
            let ends = ["txt", "exe", "jpg.scr", "bin", "JS"];
            let name =
                format!("dir{}/file-{nr}-{}.{}", rng.below(3), rng.below(99), rng.pick(&ends));
            let small: Vec<_> =
                corpus.files.iter().filter(|f| (48..20_000).contains(&f.len())).collect();
            let data = if rng.percent(60) && !small.is_empty() {
                rng.pick(&small).to_vec()
            } else {
                chunk(corpus, rng, 2000)
            };
            (name, data)
        })
        .collect()
}

pub(super) fn inside(corpus: &mut Corpus, members: &[(String, Vec<u8>)], around: &[&'static str]) {
    for (_, data) in members {
        corpus.piece(data, around);
    }
}

pub(super) fn record(corpus: &mut Corpus, container: &'static str, members: &[(String, Vec<u8>)]) {
    for (name, data) in members {
        let (name, size, crc32) = (name.clone(), data.len(), crc32(data));
        corpus.entries.push(Entry { container, name, size, crc32 });
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    file.extend(deflated(data));
    file.extend(crc32(data).to_le_bytes());
    file.extend(len32(data.len()).to_le_bytes());
    file
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

/// How a zip holds its members.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method<'p> {
    Stored,
    /// With fixed codes and no repetitions: the same bytes from every compressor.
    Deflated,
    /// Stored, and ZipCrypto with a password.
    Encrypted(&'p str),
}

/// The password of encrypted archives.
pub(super) const PASSWORD: &str = "pass word";

/// Returns a zip whose members are stored.
pub(crate) fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    zip_with(members, Method::Stored)
}

fn zip_with(members: &[(String, Vec<u8>)], method: Method<'_>) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, plain) in members {
        let off = len32(file.len());
        let (flags, number, data) = match method {
            Method::Stored => (0, 0, plain.clone()),
            Method::Deflated => (0, 8, deflated(plain)),
            Method::Encrypted(password) => (1, 0, encrypted(plain, password)),
        };
        let mut fields = vec![10, 0, flags, 0, number, 0, 0, 0, 0x21, 0x58];
        for value in [crc32(plain), len32(data.len()), len32(plain.len())] {
            fields.extend(value.to_le_bytes());
        }
        fields.extend(len32(name.len()).to_le_bytes());
        file.extend([b"PK\x03\x04", fields.as_slice(), name.as_bytes(), &data].concat());
        directory.extend([b"PK\x01\x02\x14\0", fields.as_slice(), &[0; 10]].concat());
        directory.extend(off.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, len) = (len32(file.len()), len32(directory.len()));
    file.extend(directory);
    let count = u16::try_from(members.len()).unwrap_or(0).to_le_bytes();
    file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count].concat());
    file.extend([len.to_le_bytes(), start.to_le_bytes()].concat());
    file.extend([0, 0]);
    file
}

/// Returns raw deflate data: one block with fixed codes, literals only (RFC 1951, 3.2.6).
fn deflated(data: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0u32);
    let mut put = |value: u32, len: u32| {
        bits |= value << count;
        count += len;
        while count >= 8 {
            out.push(bits.to_le_bytes()[0]);
            (bits, count) = (bits >> 8, count - 8);
        }
    };
    put(0b011, 3);
    for byte in data {
        let value = u32::from(*byte);
        let (code, len) = if value < 144 { (0x30 + value, 8) } else { (0x190 + value - 144, 9) };
        put(code.reverse_bits() >> (32 - len), len);
    }
    // The end of the block, and zeros up to a whole byte.
    put(0, 7);
    put(0, 7);
    out
}

/// Returns a member's data as ZipCrypto has it (APPNOTE 6.1).
fn encrypted(data: &[u8], password: &str) -> Vec<u8> {
    let mut keys = [0x1234_5678u32, 0x2345_6789, 0x3456_7890];
    let update = |byte: u8, keys: &mut [u32; 3]| {
        keys[0] = crc32_step(keys[0], byte);
        keys[1] = keys[1].wrapping_add(keys[0] & 0xff).wrapping_mul(134_775_813).wrapping_add(1);
        keys[2] = crc32_step(keys[2], keys[1].to_le_bytes()[3]);
    };
    password.bytes().for_each(|byte| update(byte, &mut keys));
    // clamscan checks two bytes of the checksum at the end, as few packers write them.
    let mut head = *b"ten bytes.\0\0";
    head[10..].copy_from_slice(&crc32(data).to_le_bytes()[2..]);
    head.iter()
        .chain(data)
        .map(|byte| {
            let mix = (keys[2] | 2) & 0xffff;
            let mask = (mix * (mix ^ 1)).to_le_bytes()[1];
            update(*byte, &mut keys);
            byte ^ mask
        })
        .collect()
}

/// Takes one byte into a CRC-32 without its inversions.
fn crc32_step(crc: u32, byte: u8) -> u32 {
    (0..8).fold(crc ^ u32::from(byte), |crc, _| {
        if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
    })
}

/// Returns a cpio archive with "new ASCII" headers.
fn cpio(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let end = ("TRAILER!!!".to_owned(), Vec::new());
    for (idx, (name, data)) in members.iter().chain([&end]).enumerate() {
        file.extend(b"070701");
        let fields = [idx + 1, 0o100_644, 0, 0, 1, 0x6592_0080, data.len(), 8, 1, 0, 0];
        for field in fields.into_iter().chain([name.len() + 1, 0]) {
            file.extend(format!("{field:08x}").bytes());
        }
        file.extend(name.bytes());
        file.push(0);
        file.resize(file.len().next_multiple_of(4), 0);
        file.extend(data);
        file.resize(file.len().next_multiple_of(4), 0);
    }
    file
}

fn len32(len: usize) -> u32 {
    u32::try_from(len).expect("objects are small")
}

/// Returns a tar.
fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for (name, data) in members {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..124].copy_from_slice(b"0000000\x000000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
        header[136..148].copy_from_slice(b"14000000000\0");
        header[148..156].copy_from_slice(b"        ");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        file.extend(header);
        file.extend(data);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file.resize(file.len() + 1024, 0);
    file
}
