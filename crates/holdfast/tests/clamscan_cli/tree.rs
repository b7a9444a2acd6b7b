//! The folder in which each case runs: small databases, files on which options have an effect, and
//! everything else that a command line can name.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use hf_formats::testing_docs::{PdfBuilder, vba_document};
use hf_formats::testing_exe::{tiny_elf, tiny_pe};

/// The files of the database folder `db`.
const DATABASES: &[(&str, &str)] = &[
    // `some marked byte`; in PE, HTML, mail, ELF, PDF, Flash and normalised text.
    (
        "a.ndb",
        "Test.Any:0:*:736f6d65206d61726b65642062797465\n\
         Test.Second:0:*:6d61726b65642062797465\n\
         Test.Pe:1:*:70652d6d61726b6572\n\
         Test.Html:3:*:6c6f756420776f726473\n\
         Test.Mail:4:*:6d61696c2d6d61726b6572\n\
         Test.Elf:6:*:656c662d6d61726b6572\n\
         Test.Text:7:*:6c6f75642074657874\n\
         Test.Pdf:0:*:7064662d6d61726b6572\n\
         Test.Swf:0:*:7377662d6d61726b6572\n",
    ),
    ("b.ndu", "PUA.Tool.Test:0:*:756e77616e74656420746f6f6c\n"),
    ("c.ldb", "Test.Pcre;Engine:81-255,Target:0;0&1;7063726520;0/pcre [0-9]{3} end/\n"),
    ("d.yara", "rule test_yara { strings: $a = \"yara words\" condition: $a }\n"),
    ("e.ign2", "Test.Ignored\n"),
];

/// Makes the folder with all that is in it.
pub(crate) fn fill(root: &Path) {
    fs::create_dir(root).expect("a folder can be made");
    let dir = |name: &str| fs::create_dir(root.join(name)).expect("a folder can be made");
    ["db", "empty", "tree", "tree/sub", "tree/sub/deep", "kinds", "vault", "taken"]
        .iter()
        .for_each(|name| dir(name));
    for (name, text) in DATABASES {
        write(root, &format!("db/{name}"), text.as_bytes());
    }
    write(root, "bad.ndb", b"Good:0:*:616263646566\nBad:0:*:zz\n");
    write(root, "unknown.txt", b"no database\n");
    write(root, "tree/marked.txt", b"here is some marked byte");
    write(root, "tree/clean.txt", b"nothing to see");
    write(root, "tree/empty", b"");
    write(root, "tree/sub/marked.txt", b"here is some marked byte");
    write(root, "tree/sub/deep/clean.log", b"nothing at all to see");
    write(root, "taken/marked.txt", b"another file of this name");
    write(root, "a space", b"nothing to see");
    write(root, "-dash", b"nothing to see");
    write(root, "list", b"tree/marked.txt\ntree/clean.txt\n");
    write(root, "list-crlf", b"tree/marked.txt\r\n\r\ntree/sub\r\n");
    write(root, "list-absent", b"tree/absent\ntree/clean.txt\n");
    write(root, "locked", b"nothing to see");
    mode(root, "locked", 0o000);
    write(root, "many.txt", &b"nothing to see ".repeat(100));
    symlink("tree/marked.txt", root.join("link")).expect("a link can be made");
    symlink("sub", root.join("tree/dir-link")).expect("a link can be made");
    symlink("marked.txt", root.join("tree/file-link")).expect("a link can be made");
    symlink("tree/sub", root.join("dir-link")).expect("a link can be made");
    symlink("nowhere", root.join("dangling")).expect("a link can be made");
    let owner = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), owner).expect("a pipe can be made");
    dir("closed");
    mode(root, "closed", 0o000);
    kinds(root);
}

/// Lets the folder be deleted by whoever made it.
pub(crate) fn unlock(root: &Path) {
    if root.join("closed").exists() {
        mode(root, "closed", 0o700);
    }
}

/// One file for each option that looks into, or at, something.
fn kinds(root: &Path) {
    let marked = b"here is some marked byte".as_slice();
    let zip = |members: &[(&str, &[u8])]| zip(members, false);
    write(root, "kinds/marked.zip", &zip(&[("clean", b"nothing"), ("in.txt", marked)]));
    let two = zip(&[("inner.zip", &zip(&[("in.txt", marked)]))]);
    write(root, "kinds/nested.zip", &zip(&[("outer.zip", &two)]));
    write(root, "kinds/encrypted.zip", &self::zip(&[("in.txt", b"0123456789abcdef")], true));
    let html = b"<html><body><p>LOUD <b>words</b></p><p>Loud   Words</p></body></html>\n";
    write(root, "kinds/page.html", html);
    write(root, "kinds/loud.txt", b"some plain words, then LOUD   TEXT, and more plain words\n");
    write(root, "kinds/pe.exe", &tiny_pe(&[b"pe-marker inside of a section"], 0x1000));
    write(root, "kinds/broken.exe", &broken_pe());
    write(root, "kinds/elf", &tiny_elf(true, false, b"elf-marker inside of code"));
    let mut elf = tiny_elf(true, false, b"code");
    elf.truncate(100);
    write(root, "kinds/broken.elf", &elf);
    let mail = "From: a@example.com\r\nTo: b@example.com\r\nSubject: mail-marker\r\n\
         MIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=\"x\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\naGVyZSBpcyBzb21lIG1hcmtlZCBieXRl\r\n";
    write(root, "kinds/mail.eml", mail.as_bytes());
    let pdf = PdfBuilder::new().object(1, "<< /Type /Catalog >>").stream(
        2,
        "/Filter /FlateDecode",
        &zlib(b"pdf-marker inside of a stream"),
    );
    write(root, "kinds/page.pdf", &pdf.build());
    let macros = vba_document(&[("Module1", "Sub Auto_Open()\n' some marked byte\nEnd Sub\n")]);
    write(root, "kinds/macros.doc", &macros.build());
    write(root, "kinds/flash.swf", &flash());
    let cards = "4111 1111 1111 1111\n5500 0000 0000 0004\n4012 8888 8888 1881\n";
    write(root, "kinds/cards.txt", cards.as_bytes());
    write(root, "kinds/ssn.txt", b"the numbers 123-45-6789 and 223-45-6789 and 323-45-6789.\n");
    write(root, "kinds/ssn-bare.txt", b"the numbers 123456789 and 223456789 and 323456789 end\n");
    write(root, "kinds/unwanted.txt", b"this is an unwanted tool");
    write(root, "kinds/pcre.txt", b"now a pcre 123 end");
    write(root, "kinds/yara.txt", b"now some yara words");
    write(root, "kinds/picture.png", &picture());
    let hash = hf_formats::image_hash(&picture(), hf_core::FileType::Png).expect("it is a PNG");
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("Test.Image;Engine:150-255,Target:0;0;fuzzy_img#{hash}\n");
    write(root, "db/f.ldb", line.as_bytes());
    let gif = b"GIF89a\x02\x00\x02\x00\xf1\x00\x00\x01\x02\x03\x04\x05\x06".as_slice();
    write(root, "kinds/broken.gif", gif);
}

/// A PNG of 32 by 32 gray dots.
fn picture() -> Vec<u8> {
    let rows = (0..32u32).flat_map(|y| {
        let dots = (0..32u32).map(move |x| u8::try_from((x * x + 3 * x * y) % 251).unwrap_or(0));
        std::iter::once(0).chain(dots)
    });
    let size = [0, 0, 0, 32, 0, 0, 0, 32, 8, 0, 0, 0, 0];
    let pixels = zlib(&rows.collect::<Vec<u8>>());
    let chunks: [(&[u8; 4], &[u8]); 3] = [(b"IHDR", &size), (b"IDAT", &pixels), (b"IEND", b"")];
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        let mut crc = flate2::Crc::new();
        crc.update(name);
        crc.update(data);
        file.extend(u32::try_from(data.len()).expect("it is small").to_be_bytes());
        file.extend([name.as_slice(), data, &crc.sum().to_be_bytes()].concat());
    }
    file
}

fn broken_pe() -> Vec<u8> {
    let mut file = tiny_pe(&[b"a section whose header says more than there is"], 0x1000);
    // The raw size in the only section header, behind an optional header of 224 bytes.
    let at = 0x40 + 4 + 20 + 224 + 16;
    file[at..at + 4].copy_from_slice(&0x7000_0000u32.to_le_bytes());
    file[at + 4..at + 8].copy_from_slice(&0x7000_0000u32.to_le_bytes());
    file
}

fn flash() -> Vec<u8> {
    let body = b"\x08\x00\x00\x00\x0c\x01\x00 swf-marker inside of a movie";
    let mut file = b"CWS\x06".to_vec();
    file.extend(u32::try_from(body.len() + 8).expect("it is short").to_le_bytes());
    file.extend(zlib(body));
    file
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(data).expect("memory takes it");
    out.finish().expect("memory takes it")
}

/// A zip archive of stored members; encrypted ones are only marked so.
fn zip(members: &[(&str, &[u8])], encrypted: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let off = u32::try_from(file.len()).expect("it is small");
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let mut fields = vec![20, 0, u8::from(encrypted), 0, 0, 0, 0, 0, 0x21, 0x28];
        fields.extend((crc.sum() ^ u32::from(encrypted)).to_le_bytes());
        let len = u32::try_from(data.len()).expect("it is small").to_le_bytes();
        fields.extend([len, len].concat());
        fields.extend(u32::try_from(name.len()).expect("it is small").to_le_bytes());
        file.extend([b"PK\x03\x04", fields.as_slice(), name.as_bytes(), data].concat());
        directory.extend([b"PK\x01\x02\x14\x00", fields.as_slice()].concat());
        directory.extend([0; 10]);
        directory.extend([&off.to_le_bytes(), name.as_bytes()].concat());
    }
    let count = u16::try_from(members.len()).expect("it is small").to_le_bytes();
    let off = u32::try_from(file.len()).expect("it is small").to_le_bytes();
    let len = u32::try_from(directory.len()).expect("it is small").to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &len, &off, &[0, 0]].concat();
    [file, directory, end].concat()
}

fn write(root: &Path, name: &str, data: &[u8]) {
    fs::write(root.join(name), data).expect("a file can be written");
}

fn mode(root: &Path, name: &str, bits: u32) {
    let permissions = fs::Permissions::from_mode(bits);
    fs::set_permissions(root.join(name), permissions).expect("a mode can be set");
}
