//! Archives of made and real objects: zip, tar, cpio, gzip, bzip2, and one in the other.

use std::io::Write as _;
use std::process::{Command, Stdio};

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
    with_tools(corpus, rng);
}

fn members(corpus: &Corpus, rng: &mut Rng) -> Vec<(String, Vec<u8>)> {
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

fn inside(corpus: &mut Corpus, members: &[(String, Vec<u8>)], around: &[&'static str]) {
    for (_, data) in members {
        corpus.piece(data, around);
    }
}

fn record(corpus: &mut Corpus, container: &'static str, members: &[(String, Vec<u8>)]) {
    for (name, data) in members {
        let (name, size, crc32) = (name.clone(), data.len(), crc32(data));
        corpus.entries.push(Entry { container, name, size, crc32 });
    }
}

/// Archives that need a program; the machine may lack it.
fn with_tools(corpus: &mut Corpus, rng: &mut Rng) {
    let made_in = tempfile::tempdir().expect("a folder can be made");
    let work = made_in.path().join("members");
    std::fs::create_dir(&work).expect("a folder can be made");
    let members = members(corpus, rng);
    for (name, data) in &members {
        let path = work.join(name.replace('/', "-"));
        std::fs::write(path, data).expect("a member can be written");
    }
    let packed = |args: &[&str], made: &str| {
        let mut command = Command::new(args[0]);
        run(command.args(&args[1..]).current_dir(&work))
            .then(|| std::fs::read(work.join(made)).ok())
            .flatten()
    };
    let flat: Vec<_> =
        members.iter().map(|(name, data)| (name.replace('/', "-"), data.clone())).collect();
    let mut add = |made: Option<Vec<u8>>, name: &str, container: &'static str| {
        if let Some(file) = made {
            record(corpus, container, &flat);
            corpus.add(name, &file);
            inside(corpus, &flat, &[container]);
        }
    };
    add(
        packed(&["zip", "-q", "-r", "-9", "../d.zip", "."], "../d.zip"),
        "made-deflate.zip",
        "CL_TYPE_ZIP",
    );
    let secret = packed(&["zip", "-q", "-r", "-P", "pass word", "../e.zip", "."], "../e.zip");
    add(secret, "made-encrypted.zip", "CL_TYPE_ZIP");
    let names: Vec<&str> = flat.iter().map(|(name, _)| name.as_str()).collect();
    let cpio = ["sh", "-c", "ls | cpio -o -H newc --quiet > ../c.cpio"];
    add(packed(&cpio, "../c.cpio"), "made.cpio", "CL_TYPE_CPIO_NEWC");
    let first = names.first().copied().unwrap_or_default();
    add(
        packed(&["sh", "-c", &format!("bzip2 -c '{first}' > ../b.bz2")], "../b.bz2"),
        "made.bz2",
        "CL_TYPE_BZ",
    );
    add(
        packed(&["sh", "-c", &format!("xz -c '{first}' > ../b.xz")], "../b.xz"),
        "made.xz",
        "CL_TYPE_XZ",
    );
    corpus.passwords.push("pass word".to_owned());
}

fn run(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

/// Returns a zip whose members are stored.
pub(crate) fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let off = len32(file.len());
        let mut fields = vec![10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x58];
        for value in [crc32(data), len32(data.len()), len32(data.len())] {
            fields.extend(value.to_le_bytes());
        }
        fields.extend(len32(name.len()).to_le_bytes());
        file.extend([b"PK\x03\x04", fields.as_slice(), name.as_bytes(), data].concat());
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
