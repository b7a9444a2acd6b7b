//! Types of a table of inputs, compared with clamscan when it is there.

use std::process::Command;

use hf_core::{FileType, Limits};

use super::{embedded, identify};

/// Bytes, our type, and what clamscan says of it.
struct Case {
    bytes: Vec<u8>,
    want: FileType,
    says: &'static str,
}

fn case(bytes: impl Into<Vec<u8>>, want: FileType, says: &'static str) -> Case {
    Case { bytes: bytes.into(), want, says }
}

fn at(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![2; 1200];
    for (off, part) in parts {
        bytes[*off..off + part.len()].copy_from_slice(part);
    }
    bytes
}

fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A zip of empty members.
fn zip(names: &[&str]) -> Vec<u8> {
    let len = |name: &str| u16::try_from(name.len()).expect("short").to_le_bytes();
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for name in names {
        let off = u32::try_from(bytes.len()).expect("small").to_le_bytes();
        let local: [&[u8]; 5] =
            [b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0", &[0; 12], &len(name), &[0, 0], name.as_bytes()];
        bytes.extend(local.concat());
        let entry: [&[u8]; 6] = [
            b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0",
            &[0; 12],
            &len(name),
            &[0; 12],
            &off,
            name.as_bytes(),
        ];
        directory.extend(entry.concat());
    }
    let count = u16::try_from(names.len()).expect("few").to_le_bytes();
    let off = u32::try_from(bytes.len()).expect("small").to_le_bytes();
    let size = u32::try_from(directory.len()).expect("small").to_le_bytes();
    let end: [&[u8]; 6] = [b"PK\x05\x06\0\0\0\0", &count, &count, &size, &off, &[0, 0]];
    [bytes, directory, end.concat()].concat()
}

const TEXT: &str = "Recognized ASCII text";
const HTML: &str = "file type HTML data";
const MAIL: &str = "file type Mail file";
const MHTML: &str = "file type MHTML file";

#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn cases() -> Vec<Case> {
    let ustar: (usize, &[u8]) = (257, b"ustar");
    let ole4: (usize, &[u8]) = (4, &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]);
    let long = "hello world ".repeat(100);
    let mut tar = vec![0_u8; 1024];
    tar[..5].copy_from_slice(b"a.txt");
    tar[148..156].copy_from_slice(b"001357\0 ");
    let mut disk = vec![1_u8; 2048];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    vec![
        case("just some words\n", FileType::TextAscii, TEXT),
        case("caf\u{e9} \u{6f22}\n", FileType::TextAscii, TEXT),
        case(vec![0, 1, 0, 3, 4, 5, 6, 7], FileType::BinaryData, "Recognized binary data"),
        case(utf16le("\u{feff}hello"), FileType::TextUtf16Le, "Recognized UTF-16LE"),
        case(vec![1, 2, 3, 4, 5, 6, 7], FileType::TextUtf16Be, "Recognized UTF-16BE"),
        case(at(&[(0, b"MZ")]), FileType::Msexe, "Recognized MS-EXE"),
        case(at(&[(0, b"MZ"), ustar]), FileType::PosixTar, "Recognized TAR-POSIX"),
        case(at(&[(0, b"GIF89a"), ustar]), FileType::Gif, "Recognized GIF"),
        case(at(&[(0, b"%PDF-"), ustar]), FileType::Pdf, "Recognized PDF"),
        case(at(&[(0, b"{\\rtf"), ustar]), FileType::Rtf, "Recognized RTF"),
        case(at(&[(0, b"PK\x03\x04"), ole4]), FileType::HwpOle2, "Recognized HWP embedded OLE2"),
        case(at(&[(0, b"MM"), ole4]), FileType::Tiff, "Recognized TIFF"),
        case(at(&[(0, b"From "), ustar]), FileType::PosixTar, "Recognized TAR-POSIX"),
        case("[aliases]\nx", FileType::PosixTar, "Recognized TAR-POSIX-CVE"),
        case(tar, FileType::OldTar, "Recognized old fashioned tar"),
        case(at(&[(2, b"-lh5-")]), FileType::LhaLzh, "file type LHA"),
        case(at(&[(8, &[0x19, 4, 0, 0x10])]), FileType::Sis, "file type SIS"),
        case(at(&[(0, &[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0x34])]), FileType::Java, "file type Java"),
        case(at(&[(0, &[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2])]), FileType::MachoUnibin, "file type Universal"),
        case(at(&[(0, &[0x42, 0x0d, 0x0d, 0x0a])]), FileType::PythonCompiled, "file type Python"),
        case(at(&[(0, &[3, 0xf3, 0x0d, 0x0a])]), FileType::PythonCompiled, "Recognized Python 2.7"),
        case(at(&[(0, b"MZ\r\n")]), FileType::Msexe, "Recognized MS-EXE"),
        case(at(&[(0, b"\x7fELF")]), FileType::Elf, "Recognized ELF"),
        case(at(&[(0, b"Rar!")]), FileType::Rar, "Recognized RAR"),
        case(at(&[(0, b"ITSF")]), FileType::Mschm, "Recognized MS CHM"),
        case(at(&[(0, b"RIFF")]), FileType::Riff, "Recognized RIFF"),
        case(at(&[(0, b"OggS")]), FileType::Ignored, "Recognized Ogg"),
        case(at(&[(0, &[0, 0, 1, 0xba])]), FileType::BinaryData, "Recognized MPEG"),
        case(disk, FileType::Mbr, "file type Disk Image - Master Boot Record"),
        case(&zip(&["word/a"])[..36], FileType::Zip, "Recognized ZIP"),
        case("begin 644 a\n", FileType::Uuencoded, "Recognized UUencoded"),
        case("#@~^AAAAAA==abc", FileType::Screnc, "Recognized SCRENC"),
        case("From: a\nTo: b\n\nhi\n", FileType::Mail, "mail file"),
        case(format!("{}<html>x", "hello ".repeat(20)), FileType::Html, HTML),
        case(format!("{long}<html>x"), FileType::TextAscii, TEXT),
        case("hello <hTml>", FileType::TextAscii, TEXT),
        case("hello <head >", FileType::TextAscii, TEXT),
        case("hello <img=x", FileType::Html, HTML),
        case("hello <iFrame >", FileType::TextAscii, TEXT),
        case("hello <Table >", FileType::TextAscii, TEXT),
        case("hello <a x=1 hREF=y>", FileType::Html, HTML),
        case("hello <a x=1 hrEf=y>", FileType::TextAscii, TEXT),
        case("hello <A\thref=y>", FileType::TextAscii, TEXT),
        case("<%@ LANGUAGE = x %>", FileType::Html, HTML),
        case([b"\xef\xbb\xbf".as_slice(), b"<html>"].concat(), FileType::Html, HTML),
        case(utf16le("hello world <html><a href=x>"), FileType::HtmlUtf16, "in cli_scanhtml_utf16()"),
        case(utf16le("\u{feff}hello <html>"), FileType::HtmlUtf16, "in cli_scanhtml_utf16()"),
        case("\u{feff}hello <html>".encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>(), FileType::Html, HTML),
        case("x\n\nFrom: a\nMIME-Version: 1.0\nContent-Type: text/plain\n\nhi", FileType::Mhtml, MHTML),
        case("x\nMessage-Id: 3\nContent-Type: a/b\n", FileType::Mail, MAIL),
        case("x <html>\nMessage-Id: 3\nContent-Type: a/b\n", FileType::Mail, MAIL),
        case("xDelivered-To: a\nReceived: b", FileType::Mail, MAIL),
        case("mimE-version: 1.0\nContent-Type: text/html\n\nhi", FileType::Mhtml, MHTML),
        case("Content-Type: text/html\nMIME-Version: 1.0\n\nhi", FileType::TextAscii, TEXT),
        case("<?xml version=\"1.0\"?><w:wordDocument>aaaaaa", FileType::XmlWord, "Word 2003"),
        case(" <?xml version=\"1.0\"?><w:wordDocument>aaaaaa", FileType::TextAscii, TEXT),
        case("<?xml version=\"1.0\"?>\n<Workbook>aaaaaa", FileType::XmlXl, "Excel 2003"),
        case("\u{feff}<?xml version=\"1.0\" ?>\n<HWPML>aaa", FileType::XmlHwp, "HWPML"),
        case("x <xdp:xdp >", FileType::Xdp, "file type Adobe XDP"),
        case(zip(&["a", "b"]), FileType::Zip, "Recognized ZIP"),
        case(zip(&["a", "word/document.xml"]), FileType::OoxmlWord, "Recognized OOXML WORD"),
        case(zip(&["[Content_Types].xml", "ppt/x"]), FileType::OoxmlPpt, "Recognized OOXML PPT"),
        case(zip(&["Contents/content.hpf"]), FileType::OoxmlHwp, "Recognized OOXML HWP"),
    ]
}

#[test]
fn types_are_as_expected() {
    for (idx, case) in cases().iter().enumerate() {
        assert_eq!(identify(&case.bytes, None), case.want, "case {idx}");
    }
}

/// Returns what clamscan says while it scans each file, by the file's number.
fn clamscan_says(inputs: &[&[u8]]) -> Option<Vec<String>> {
    if Command::new("clamscan").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "clamscan is missing");
        println!("skipped: clamscan is missing");
        return None;
    }
    let folder = std::env::temp_dir().join(format!("hf-identify-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("in")).expect("a folder");
    std::fs::write(folder.join("x.ndb"), "X:0:*:7a7a7a7a5a5a5a5a5a5a\n").expect("a database");
    for (idx, bytes) in inputs.iter().enumerate() {
        std::fs::write(folder.join(format!("in/{idx}.bin")), bytes).expect("an input");
    }
    let mut said = Vec::new();
    let output = Command::new("clamscan")
        .args(["--no-summary", "--debug", "-d"])
        .arg(folder.join("x.ndb"))
        .arg(folder.join("in"))
        .output()
        .expect("clamscan runs");
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    // Findings go to stdout and words to stderr, which names the file before it is scanned.
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for idx in 0..inputs.len() {
        let mark = format!("/in/{idx}.bin\n");
        let part = text.split("Checking realpath of ").find_map(|part| {
            let (first, rest) = part.split_once('\n')?;
            format!("{first}\n").ends_with(&mark).then(|| rest.to_owned())
        });
        said.push(part.unwrap_or_default());
    }
    Some(said)
}

#[test]
fn clamscan_agrees_on_types() {
    let cases = cases();
    let inputs: Vec<&[u8]> = cases.iter().map(|case| case.bytes.as_slice()).collect();
    let Some(said) = clamscan_says(&inputs) else { return };
    for (idx, (case, said)) in cases.iter().zip(&said).enumerate() {
        assert!(said.contains(case.says), "{idx} {:?} {}\n{said}", case.want, case.says);
        if case.says == TEXT {
            let first: String = said.lines().take(3).collect();
            assert!(!first.contains("Matched signature"), "{idx} {first}");
        }
    }
}

#[test]
fn types_of_ours_come_last() {
    for (bytes, want) in [
        (b"!<arch>\n\x01\x02".as_slice(), FileType::Ar),
        (&[0x1f, 0x9d, 0x90, 0, 1], FileType::Compress),
        (b"SZ \x88\xf0\x27\x33\xd1\x01\0\0\0", FileType::Msszdd),
        (b"KWAJ\x88\xf0\x27\xd1\0\0", FileType::Kwaj),
        (b"ISc(\0\x95\0\x01\0\0\0\0", FileType::IshieldCab),
        (&[4, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7], FileType::Lz4),
        (&[0x5d, 0, 0, 0x80, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 1], FileType::Lzma),
    ] {
        assert_eq!(identify(bytes, None), want);
    }
}

#[test]
fn loaded_magics_replace_the_table_and_the_newest_wins() {
    use hf_core::signature::{MagicRule, MagicSig};
    let magic = |bytes: &[u8], file_type| MagicSig {
        rule: MagicRule::At { off: 0, bytes: bytes.to_vec(), partition: false },
        required: FileType::Any,
        file_type,
    };
    let magics = [magic(b"MZ", FileType::Msexe), magic(b"MZx", FileType::Elf)];
    assert_eq!(identify(b"MZx.....", Some(&magics)), FileType::Elf);
    assert_eq!(identify(b"MZy.....", Some(&magics)), FileType::Msexe);
    assert_eq!(identify(b"Rar!....", Some(&magics)), FileType::TextAscii);
}

#[track_caller]
fn check_embedded(bytes: &[u8], own: FileType, want: &[(usize, FileType)]) {
    assert_eq!(embedded(bytes, own, &Limits::clamav()), want);
}

#[test]
fn embedded_objects_are_found() {
    let mut pe = vec![0_u8; 200];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3c] = 0x80;
    pe[0x80..0x84].copy_from_slice(b"PE\0\0");
    let pad = [7_u8; 33];
    let object = [pad.as_slice(), &pe, &pad, b"%PDF-1.4", &zip(&["a", "b"])].concat();
    let want = [(33, FileType::Msexe), (266, FileType::Pdf), (274, FileType::ZipSfx)];
    check_embedded(&object, FileType::BinaryData, &want);
    check_embedded(&object, FileType::Gz, &[]);
    check_embedded(&pe, FileType::Msexe, &[]);
    let small = Limits { max_embedded_pe_bytes: 10, ..Limits::clamav() };
    assert_eq!(embedded(&object, FileType::BinaryData, &small), want[1..]);
    let many = [b"x".as_slice(), &b"%PDF-1.4".repeat(30)].concat();
    assert_eq!(embedded(&many, FileType::BinaryData, &small).len(), 10);
    let text = format!("{}<html>\nMIME-Version: 1\nContent-Type: a/b\n", "words ".repeat(400));
    let want = [(0, FileType::Html), (0, FileType::Mhtml)];
    check_embedded(text.as_bytes(), FileType::TextAscii, &want);
    check_embedded(text.as_bytes(), FileType::BinaryData, &want[1..]);
    let iso =
        [vec![0_u8; 32_768], b"\x01CD001".to_vec(), vec![0; 2043], b"CD001".to_vec()].concat();
    check_embedded(&iso, FileType::BinaryData, &[(0, FileType::Iso9660)]);
}

#[test]
fn nothing_panics_on_damaged_input() {
    let mut state = 1_u32;
    for case in cases() {
        for _ in 0..50 {
            let mut bytes = case.bytes.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let place = usize::try_from(state >> 8).unwrap_or(0) % bytes.len();
                bytes[place] = u8::try_from(state >> 24).unwrap_or(0);
            }
            let kind = identify(&bytes, None);
            let _ = embedded(&bytes, kind, &Limits::clamav());
        }
    }
}
