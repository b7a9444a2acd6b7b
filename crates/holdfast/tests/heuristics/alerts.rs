//! Broken executables and images, encrypted documents, macros, structured data and limits, on files that are made by
//! altering good ones, and on the fixtures of all formats.

use std::fs;
use std::path::Path;

use hf_formats::testing;
use hf_formats::testing_exe::{tiny_elf, tiny_macho, tiny_pe};

use crate::known;
use crate::run::{Group, available, both};

/// Compares, and tells what is not in the list of known differences.
#[track_caller]
fn check(what: &str, groups: Vec<Group>) {
    if !available() {
        return;
    }
    let mut lines = Vec::new();
    let mut compared = 0;
    for group in &groups {
        let (theirs, ours) = both(group);
        for (name, theirs) in theirs {
            compared += 1;
            let ours = ours.get(&name).cloned().unwrap_or_default();
            let is_known = known::KNOWN.iter().any(|(start, _)| name.starts_with(start));
            if theirs != ours && !is_known {
                lines.push(format!(
                    "{:?} {name}: clamscan {theirs:?}, ours {ours:?}",
                    group.options
                ));
            }
        }
    }
    println!("{what}: {compared} files compared");
    assert!(lines.is_empty(), "{} differ:\n{}", lines.len(), lines.join("\n"));
}

fn group(options: &[&'static str], files: Vec<(String, Vec<u8>)>) -> Group {
    Group { options: options.to_vec(), databases: Vec::new(), files }
}

/// Returns a file cut at many places, and with each of its first bytes altered in several ways.
fn altered(name: &str, object: &[u8], altered_len: usize) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![(format!("{name}-whole"), object.to_vec())];
    let step = (object.len() / 64).max(1);
    for len in (0..object.len()).step_by(step) {
        files.push((format!("{name}-cut-{len:04}"), object[..len].to_vec()));
    }
    for at in 0..altered_len.min(object.len()) {
        for value in [0, 1, 0x7f, 0xff, object[at].wrapping_add(1), object[at] ^ 0x80] {
            if value != object[at] {
                let mut file = object.to_vec();
                file[at] = value;
                files.push((format!("{name}-{at:04}-{value:02x}"), file));
            }
        }
    }
    files
}

#[test]
fn broken_executables() {
    let code = [0xc3; 64];
    let mut files = altered("pe", &tiny_pe(&[&[0x90; 512], b"data"], 0x1000), 0x1b0);
    for (name, is_64, is_big_endian) in [
        ("elf32", false, false),
        ("elf64", true, false),
        ("elf32be", false, true),
        ("elf64be", true, true),
    ] {
        files.extend(altered(name, &tiny_elf(is_64, is_big_endian, &code), 0x100));
    }
    files.extend(altered("macho", &tiny_macho(&code), 0x100));
    check("broken executables", vec![group(&["--alert-broken"], files)]);
}

/// A JPEG of four segments: JFIF, a comment, a frame, a scan.
fn jpeg() -> Vec<u8> {
    let mut out = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
    out.extend_from_slice(b"\xff\xfe\0\x06text\xff\xdb\0\x43\0");
    out.extend_from_slice(&[1; 64]);
    out.extend_from_slice(b"\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0");
    out.extend_from_slice(b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\x7f\xff\xd9");
    out
}

fn exif() -> Vec<u8> {
    let mut out = b"\xff\xd8\xff\xe1\0\x12Exif\0\0II*\0\x08\0\0\0\0\0".to_vec();
    out.extend_from_slice(&jpeg()[2..]);
    out
}

/// A GIF with a colour table, an extension and an image.
fn gif() -> Vec<u8> {
    let mut out = b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    out.extend_from_slice(b"\x21\xf9\x04\0\0\0\0\0\x21\xfe\x03abc\0");
    out.extend_from_slice(b"\x2c\0\0\0\0\x02\0\x02\0\0\x02\x03\x84\x51\x01\0\x3b");
    out
}

fn png() -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [
        (b"IHDR", b"\0\0\0\x01\0\0\0\x01\x08\0\0\0\0".as_slice()),
        (b"tEXt", b"Comment\0text"),
        (b"IDAT", b"\x78\x9c\x63\0\0\0\x02\0\x01"),
        (b"IEND", b""),
    ] {
        out.extend_from_slice(&u32::try_from(data.len()).expect("it is small").to_be_bytes());
        let start = out.len();
        out.extend_from_slice(kind);
        out.extend_from_slice(data);
        let mut hasher = flate2::Crc::new();
        hasher.update(&out[start..]);
        out.extend_from_slice(&hasher.sum().to_be_bytes());
    }
    out
}

fn tiff(is_big_endian: bool) -> Vec<u8> {
    let u16_of = |n: u16| if is_big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let u32_of = |n: u32| if is_big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut out = if is_big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    out.extend_from_slice(&u32_of(8));
    let entries: [(u16, u16, u32, u32); 6] = [
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, 1, 8),
        (270, 2, 8, 100),
        (273, 4, 1, 108),
        (279, 4, 1, 4),
    ];
    out.extend_from_slice(&u16_of(6));
    for (tag, kind, count, value) in entries {
        out.extend_from_slice(&u16_of(tag));
        out.extend_from_slice(&u16_of(kind));
        out.extend_from_slice(&u32_of(count));
        if kind == 3 {
            out.extend_from_slice(&u16_of(u16::try_from(value).expect("it is small")));
            out.extend_from_slice(&[0, 0]);
        } else {
            out.extend_from_slice(&u32_of(value));
        }
    }
    out.extend_from_slice(&u32_of(0));
    out.resize(100, 0);
    out.extend_from_slice(b"a text\0\0\x01\x02\x03\x04");
    out
}

/// An animated cursor: RIFF `ACON` with a header.
fn cursor() -> Vec<u8> {
    let mut out = b"RIFF\x3c\0\0\0ACONanih\x24\0\0\0\x24\0\0\0".to_vec();
    out.resize(20 + 36, 1);
    out.extend_from_slice(b"LIST\x04\0\0\0fram");
    out
}

#[test]
fn broken_images() {
    let images = [
        ("jpeg", jpeg()),
        ("exif", exif()),
        ("gif", gif()),
        ("png", png()),
        ("tiff-le", tiff(false)),
        ("tiff-be", tiff(true)),
        ("cursor", cursor()),
    ];
    let mut groups = Vec::new();
    for options in [&["--alert-broken-media"][..], &[], &["--heuristic-alerts=no"]] {
        let mut files = Vec::new();
        for (name, image) in &images {
            files.extend(altered(name, image, 120));
        }
        groups.push(group(options, files));
    }
    check("broken images", groups);
}

/// Numbers that pass the check of ISO/IEC 7812-1, of every issuer, without being anybody's.
fn card(start: &str, len: usize) -> String {
    let mut digits: Vec<u32> = start.chars().filter_map(|c| c.to_digit(10)).collect();
    digits.resize(len - 1, 0);
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(idx, digit)| match (idx % 2, digit * 2) {
            (0, twice @ 10..) => twice - 9,
            (0, twice) => twice,
            _ => *digit,
        })
        .sum();
    digits.push((10 - sum % 10) % 10);
    digits.iter().map(u32::to_string).collect()
}

#[test]
fn structured_data() {
    let mut files = Vec::new();
    let mut add = |text: String| {
        let name = format!("text-{:03}", files.len());
        files.push((
            name,
            format!("A text that is long enough to be one.\n{text}\nAnd its end.\n").into_bytes(),
        ));
    };
    #[rustfmt::skip]
    let starts = [
        "100000", "199999", "200000", "222099", "222100", "272099", "272100", "300000", "305999", "306000", "309500",
        "309599", "309600", "339999", "340000", "349999", "350000", "352799", "352800", "358999", "359000", "360000",
        "369999", "370000", "379999", "380000", "399999", "400000", "499999", "500000", "509999", "510000", "559999",
        "560000", "601099", "601100", "601199", "601200", "622125", "622126", "622926", "622927", "624000", "626999",
        "627000", "628199", "628200", "628899", "628900", "643999", "644000", "659999", "660000", "700000",
    ];
    for start in starts {
        for len in 12..=19 {
            add([card(start, len).as_str(); 3].join("\n"));
        }
    }
    let visa = card("400000", 16);
    let spaced = |by: &str| {
        let groups: Vec<&str> = [0, 4, 8, 12].map(|at| &visa[at..at + 4]).to_vec();
        groups.join(by)
    };
    for by in [" ", "-", "  ", "---", " - ", ".", "\t", "/"] {
        add(vec![spaced(by); 3].join("\n"));
    }
    for count in 1..5 {
        add(vec![visa.clone(); count].join(", "));
        add(vec!["078-05-1120"; count].join(" "));
        add(vec!["078051120"; count].join(" "));
    }
    for around in ["a{}b", "1{}", "{}1", "-{}-", "({})", "x{}", "{}x", ".{}.", "_{}_"] {
        add(vec![around.replace("{}", &visa); 3].join("\n"));
        add(vec![around.replace("{}", "078-05-1120"); 3].join("\n"));
        add(vec![around.replace("{}", "078051120"); 3].join("\n"));
    }
    for number in [
        "000-12-3456",
        "001-01-0001",
        "666-12-3456",
        "665-12-3456",
        "772-12-3456",
        "773-12-3456",
        "899-12-3456",
        "123-00-4567",
        "123-45-0000",
        "12-345-6789",
        "123 45 6789",
        "123-456789",
        "12345-6789",
    ] {
        add([number; 3].join("\n"));
        add(vec![number.replace('-', ""); 3].join("\n"));
    }
    let mut groups = Vec::new();
    for options in [
        &["--detect-structured"][..],
        &["--detect-structured", "--structured-ssn-format=1"],
        &["--detect-structured", "--structured-ssn-format=2", "--structured-ssn-count=1"],
        &["--detect-structured", "--structured-cc-mode=1", "--structured-cc-count=2"],
        &["--detect-structured", "--heuristic-alerts=no"],
        &[],
    ] {
        groups.push(group(options, files.clone()));
    }
    check("structured data", groups);
}

/// Every fixture of every format, as it is.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hf-formats/tests/fixtures");
    let mut files = Vec::new();
    for folder in fs::read_dir(root).expect("there are fixtures").flatten() {
        let format = folder.file_name().to_string_lossy().into_owned();
        for case in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let name = case.file_name().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".in.hex") else { continue };
            let text = fs::read_to_string(case.path()).expect("a fixture is readable");
            files.push((format!("{format}-{name}"), testing::bytes_of_hex(&text)));
        }
    }
    files.sort();
    files
}

#[test]
fn fixtures_of_all_formats() {
    let mut groups = Vec::new();
    for options in [
        &[
            "--alert-broken",
            "--alert-broken-media",
            "--alert-encrypted",
            "--alert-macros",
            "--allmatch",
        ][..],
        &["--alert-encrypted-doc", "--alert-macros"],
        &["--alert-encrypted-archive"],
        &["--alert-encrypted", "--alert-macros", "--alert-broken", "--heuristic-alerts=no"],
        &[],
    ] {
        groups.push(group(options, fixtures()));
    }
    check("fixtures", groups);
}

#[test]
fn exceeded_limits() {
    let text = b"A text that is long enough to be one, and then some more of it.\n".repeat(64);
    let mut zip = Vec::new();
    for depth in 0..4 {
        zip = stored_zip(&[
            (format!("{depth}.txt"), text.clone()),
            (format!("{depth}.zip"), zip.clone()),
        ]);
    }
    let files = vec![("zip".to_owned(), zip), ("text".to_owned(), text)];
    let mut groups = Vec::new();
    for limit in [
        "--max-filesize=1K",
        "--max-filesize=5K",
        "--max-scansize=1K",
        "--max-scansize=20K",
        "--max-recursion=4",
        "--max-recursion=3",
        "--max-files=3",
        "--max-files=5",
    ] {
        groups.push(group(&["--alert-exceeds-max", limit], files.clone()));
        groups.push(group(&["--alert-exceeds-max", "--heuristic-alerts=no", limit], files.clone()));
        groups.push(group(&[limit], files.clone()));
    }
    check("limits", groups);
}

/// A zip whose members are not packed.
fn stored_zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    let u16_of = |n: usize| u16::try_from(n).expect("it is small").to_le_bytes();
    let u32_of = |n: usize| u32::try_from(n).expect("it is small").to_le_bytes();
    for (name, data) in members {
        let off = out.len();
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let mut common = b"\x0a\0\0\0\0\0\0\0\0\0".to_vec();
        common.extend_from_slice(&crc.sum().to_le_bytes());
        common.extend_from_slice(&u32_of(data.len()));
        common.extend_from_slice(&u32_of(data.len()));
        common.extend_from_slice(&u16_of(name.len()));
        common.extend_from_slice(&[0, 0]);
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&common);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(data);
        directory.extend_from_slice(b"PK\x01\x02\x14\0");
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&u32_of(off));
        directory.extend_from_slice(name.as_bytes());
    }
    let off = out.len();
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&u16_of(members.len()));
    out.extend_from_slice(&u16_of(members.len()));
    out.extend_from_slice(&u32_of(directory.len()));
    out.extend_from_slice(&u32_of(off));
    out.extend_from_slice(&[0, 0]);
    out
}
