//! Documents: fixtures are what their builders make, real test files give their payload, damage is harmless.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hf_formats::testing::{Event, Recorder, bytes_of_hex};
use hf_formats::testing_docs::{
    CfbBuilder, PdfBuilder, ole1_object, ole10_native, package, vba_document, zlib_stored,
};
use hf_formats::{FORMATS, Format};

/// Every document fixture: folder, case, how it was made.
fn fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut all = ole2_fixtures();
    all.extend(pdf_fixtures());
    all.extend(rtf_fixtures());
    all.extend(excel_fixtures());
    all.extend(small_fixtures());
    all.extend(part_fixtures());
    all.extend(cms_fixtures());
    all.extend(encrypted_fixtures());
    all.extend(script_fixtures());
    all.sort();
    all
}

fn ole2_fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let vba = vba_document(&[
        ("Module1", "Attribute VB_Name = \"Module1\"\r\nSub AutoOpen()\r\n  X = 1\r\nEnd Sub\r\n"),
        ("Module2", "Attribute VB_Name = \"Module2\"\r\nY = \"Two\"\r\n"),
    ]);
    let plain = CfbBuilder::new()
        .stream("Small", b"less than the cutoff")
        .stream("Folder/Inner/Deep", b"three levels")
        .stream("Large", &[b'L'; 5000])
        .stream("ObjectPool/_1/\u{1}Ole10Native", &ole10_native("inner.bin", b"packed payload"));
    let mut looped = CfbBuilder::new().stream("Large", &[b'L'; 9000]).build();
    // The third sector of the stream points back to its first.
    let fat_off = looped.len() - 512;
    looped[fat_off + 8..fat_off + 12].copy_from_slice(&0_u32.to_le_bytes());
    let no_dir = CfbBuilder::new()
        .stream("VBA/Module1", &{
            let mut stream = b"cache".to_vec();
            stream
                .extend(hf_formats::testing_docs::ovba_compress(b"Attribute VB_Name = \"M\"\r\n"));
            stream
        })
        .stream("VBA/dir", b"\x01damaged");
    let mut hwp_header = b"HWP Document File".to_vec();
    hwp_header.resize(36, 0);
    hwp_header.extend_from_slice(&[1, 0, 0, 0]);
    let hwp = CfbBuilder::new()
        .stream("FileHeader", &hwp_header)
        .stream("BodyText/Section0", &[0x4b, 0xcc, 0x55, 0xc8, 0x48, 0x4d, 0x4c, 0x49, 0x2d, 2, 0]);
    let mut prefixed = vec![0, 0, 0, 0];
    prefixed.extend(CfbBuilder::new().stream("S", b"stream").build());
    vec![
        ("ole2", "streams", plain.build()),
        ("ole2", "vba", vba.build()),
        ("ole2", "vba-damaged-dir", no_dir.build()),
        ("ole2", "loop", looped),
        ("ole2", "no-directory", {
            let mut bytes = CfbBuilder::new().stream("S", b"lost").build();
            bytes.truncate(512 + 64);
            bytes
        }),
        ("ole2", "hwp5", hwp.build()),
        ("hwpole2", "length-in-front", prefixed),
    ]
}

fn pdf_fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    const FLATE: &str = "/Filter /FlateDecode";
    let streams = PdfBuilder::new()
        .object(1, "<< /Type /Catalog >>")
        .stream(2, FLATE, &zlib_stored(b"inflated"))
        .stream(3, "/Filter [/AHx /Fl]", b"78 01 01 02 00 fd ff 61 62 01 26 00 c4>")
        .stream(4, "/F /A85", b"87cURD]i,\"Ebo80~>")
        .stream(5, "/Filter /RunLengthDecode", &[2, b'a', b'b', b'c', 128])
        .stream(6, "/Filter /LZW", &[0x80, 0x0b, 0x60, 0x50, 0x22, 0x0c, 0x0c, 0x85, 0x01])
        .stream(7, "/Subtype /Image /Filter /DCTDecode", b"\xff\xd8\xff\xe0")
        .stream(8, "/Filter /NobodyKnows", b"as it is")
        .stream(9, FLATE, &zlib_stored(b"cut short")[..11])
        .object(10, "<< /Filter /FlateDecode /Length 3 >>\nstream\nwrong length\nendstream");
    let actions = PdfBuilder::new()
        .object(
            1,
            "<< /Type /Catalog /OpenAction << /S /JavaScript /JS (app.alert\\(\\101\\)) >> >>",
        )
        .object(2, "<< /S /J#61vaScript /JS 3 0 R >>")
        .stream(3, "", b"\xfe\xff\0w\0i\0d\0e")
        .object(4, "<< /Type /Filespec /F (C:/a/payload.exe) /EF << /F 5 0 R >> >>")
        .stream(5, "/Type /EmbeddedFile", b"embedded file")
        .object(
            6,
            "<< /Type /Page /Contents [7 0 R] /A << /S /URI /URI (http://example.org/) >> >>",
        )
        .stream(7, "", b"\x80\x81\x82\x83 BT \x84\x85 (Text) \x90\x91\x92 Tj")
        .stream(8, "/Type /ObjStm /N 2 /First 9", b"9 0 10 4 1 2 << /S /Launch /F (cmd.exe) >>")
        .object(11, "<< /Producer (A tool) /Title <feff0054> >>");
    let twice = [PdfBuilder::new().stream(1, "", b"first revision").build(), {
        PdfBuilder::new().stream(1, "", b"second revision").build()
    }]
    .concat();
    vec![
        ("pdf", "filters", streams.build()),
        ("pdf", "references", {
            PdfBuilder::new()
                .object(1, "<< /Type /Catalog /OpenAction 2 0 R /AcroForm << /XFA [(a) 7 0 R (b) 8 0 R] >> >>")
                .object(2, "<< /S /JavaScript /JS 3 0 R >>")
                .object(3, "(var one = 'A' + 'B'; alert\\(one\\))")
                .stream(4, "/Filter 5 0 R /DecodeParms [6 0 R]", &zlib_stored(b"\x02abc\x02\x01\x01\x01"))
                .object(5, "[/Fl]")
                .object(6, "<< /Predictor 12 /Columns 3 >>")
                .stream(7, FLATE, &zlib_stored(b"<xdp:xdp><scr"))
                .stream(8, "", b"ipt>x</script></xdp:xdp>")
                .object(9, "<< /S /Launch /Win << /F (cmd.exe) /P (/c start) >> >>")
                .object(10, "<< /S /GoToR /F << /UF (other.pdf) >> /D [0] >>")
                .stream(11, "/Type /ObjStm /N 2 /First 10", b"12 0 13 15 << /JS 13 0 R >> (app.beep\\(0\\))")
                .build()
        }),
        ("pdf", "actions", actions.build()),
        ("pdf", "revisions", twice),
        ("pdf", "locked", {
            let entries =
                format!("/Filter /Standard /V 2 /R 3 /P -4 /O <{0}> /U <{0}>", "41".repeat(32));
            PdfBuilder::new()
                .object(1, &format!("<< {entries} >>"))
                .stream(2, FLATE, b"no zlib")
                .trailer("/Encrypt 1 0 R")
                .build()
        }),
        (
            "pdf",
            "unclosed",
            b"%PDF-1.7\n1 0 obj << /A [ (( \n2 0 obj << /Length 3 stream\nabc".to_vec(),
        ),
    ]
}

fn small_fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    // "film film film film" as xz-utils packs it, without the length in front.
    const LZMA: &str = "5d0000800000331a49d773b7bcb32797fffff44e8000";
    let flash = |magic: &[u8], body: &[u8]| [magic, &[10, 27, 0, 0, 0], body].concat();
    let store = |len: u64, data: &[u8]| {
        let head = bytes_of_hex("e716e3bd65261145a4c48d4d0b7a9eac");
        [&head[..], &len.to_le_bytes(), &[0; 12], data].concat()
    };
    let mut section = bytes_of_hex("e4525c7b8cd8a74daeb15378d02996d3");
    section.extend(store(8, b"a script"));
    section.extend(store(1 << 40, b"cut"));
    let mut mime =
        b"ActiveMime\0\0\x01\xf0\x04\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x04\0".to_vec();
    mime.resize(50, 0);
    mime.extend(zlib_stored(b"compound file"));
    let word = format!(
        "<?xml version=\"1.0\"?><w:wordDocument><w:binData w:name=\"editdata.mso\">{}</w:binData></w:wordDocument>",
        base64(&mime)
    );
    let hancom = "<HWPML><BINDATA Compress=\"true\" Id=\"1\">S8xVyEhNTEktAgA=</BINDATA></HWPML>";
    let package = format!(
        "<xdp:xdp><pdf><document><chunk>\n{}\n</chunk></document></pdf></xdp:xdp>",
        base64(b"%PDF-1.7 and so on")
    );
    vec![
        ("swf", "zlib", flash(b"CWS", &zlib_stored(b"film"))),
        ("swf", "zlib-cut", flash(b"CWS", &zlib_stored(b"film")[..9])),
        ("swf", "lzma", flash(b"ZWS", &[&[20, 0, 0, 0][..], &bytes_of_hex(LZMA)].concat())),
        ("swf", "plain", flash(b"FWS", b"film")),
        ("onenote", "files", section),
        ("xdp", "chunk", package.into_bytes()),
        ("msxml", "word", word.into_bytes()),
        ("msxml", "hancom", hancom.as_bytes().to_vec()),
    ]
}

/// Parts of documents that are objects of their own.
fn part_fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut mime =
        b"ActiveMime\0\0\x01\xf0\x04\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x04\0".to_vec();
    mime.resize(50, 0);
    let packed = zlib_stored(b"compound file");
    let moved = [&mime[..30], &[0xff, 0x7f], &[0; 40], &packed].concat();
    let cut = [&mime[..], &packed[..12]].concat();
    mime.extend(&packed);
    let wide = |text: &str| -> Vec<u8> {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        u32::try_from(text.len()).expect("short").to_le_bytes().into_iter().chain(units).collect()
    };
    let row = [&[0x81, 1, 0, 0x93, 1, 0, 0, 4][..], &2u32.to_le_bytes()].concat();
    let tokens = b"\x17\x04\0c\0a\0l\0c\0\x42\x01\x6e\0";
    let formula = [
        &[2, 0, 0, 0, 0, 0, 0, 0][..],
        &wide("shown"),
        &[0, 0],
        &u32::try_from(tokens.len()).expect("short").to_le_bytes(),
        tokens,
    ]
    .concat();
    let sheet = [&row[..], &[8, u8::try_from(formula.len()).expect("short")], &formula].concat();
    let lying = [&row[..], &[6, 0xff, 0xff, 0xff, 0x7f], &[0; 8], &wide("cell")].concat();
    let hwp = |compressed: u8, body: &[u8]| {
        let mut object = b"HWP Document File V3.00 \x1a\x01\x02\x03\x04\x05".to_vec();
        object.resize(30 + 124, 0);
        object.extend([compressed, 0, 4, 0]);
        object.resize(30 + 128 + 1008, 0);
        [&object[..], b"info", body].concat()
    };
    let text: Vec<u8> = "text in units".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let body = zlib_stored(
        &[&text[..], &[0, 0], &CfbBuilder::new().stream("S", b"x").build()[..64]].concat(),
    );
    let field = |kind: &str| format!("<w:fldChar w:fldCharType=\"{kind}\"/>");
    let code = |text: &str| format!("<w:instrText>{text}</w:instrText>");
    let fields = [
        "<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\">"
            .to_owned(),
        field("begin"),
        code("DDE"),
        code("AUTO c:\\\\x &quot;y&quot;"),
        field("end"),
        "<w:docVar w:name=\"a\" w:val=\"value\"/></w:document>".to_owned(),
    ];
    vec![
        ("activemime", "usual", mime),
        ("activemime", "moved", moved),
        ("activemime", "cut", cut),
        ("xlsb", "sheet", sheet),
        ("xlsb", "lying-length", lying),
        ("hwp3", "compressed", hwp(1, &body[2..])),
        ("hwp3", "cut", hwp(1, &body[2..40])),
        ("hwp3", "open", hwp(0, b"\xff\xff not compressed")),
        ("office_xml", "links", b"<?xml version=\"1.0\"?><Relationships><Relationship Type=\"http://s/oleObject\" \
            Target=\"mhtml:http://example.org/a.html!x\" TargetMode=\"External\"/><Relationship Target=".to_vec()),
        ("office_xml", "fields", fields.concat().into_bytes()),
        ("office_xml", "locked", b"<manifest:manifest xmlns:manifest=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\">\
            <manifest:file-entry><manifest:encryption-data/></manifest:file-entry>".to_vec()),
        ("office_xml", "flat", b"<pkg:package><pkg:part pkg:name=\"/a.bin\"><pkg:binaryData>QUJDREVG\n".to_vec()),
    ]
}

/// RC4, for documents that are encrypted here.
fn rc4(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut state: Vec<u8> = (0..=255).collect();
    let mut j = 0usize;
    for i in 0..256 {
        j = (j + usize::from(state[i]) + usize::from(key[i % key.len()])) & 255;
        state.swap(i, j);
    }
    let (mut i, mut j) = (0usize, 0usize);
    data.iter()
        .map(|byte| {
            i = (i + 1) & 255;
            j = (j + usize::from(state[i])) & 255;
            state.swap(i, j);
            byte ^ state[(usize::from(state[i]) + usize::from(state[j])) & 255]
        })
        .collect()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Word's text under RC4 (MS-OFFCRYPTO §2.3.6) and a presentation under CryptoAPI (§2.3.5), both with the
/// password `infected`.
fn encrypted_fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    use md5::{Digest as _, Md5};
    let salt = [0x11u8; 16];
    let first = Md5::digest(wide("infected"));
    let base = Md5::digest([&first[..5], &salt].concat().repeat(16));
    let key = |block: u32| Md5::digest([&base[..5], &block.to_le_bytes()].concat()).to_vec();
    let check = rc4(&key(0), &[&[0x22; 16][..], &Md5::digest([0x22u8; 16])].concat());
    let open = [&[1, 0, 1, 0][..], &salt, &check].concat();
    let stream = |plain: &[u8], open_len: usize| -> Vec<u8> {
        let mut packed: Vec<u8> = Vec::new();
        for (number, block) in (0u32..).zip(plain.chunks(512)) {
            packed.extend(rc4(&key(number), block));
        }
        packed[..open_len].copy_from_slice(&plain[..open_len]);
        packed
    };
    let mut text = vec![0u8; 68];
    text[..12].copy_from_slice(&[0xec, 0xa5, 0xc1, 0, 0, 0, 9, 4, 0, 0, 0, 0x13]);
    text[14] = u8::try_from(open.len()).expect("short");
    text.extend_from_slice(b"\x13 DDEAUTO c:\\\\needle \x14x\x15 a text behind");
    text.resize(1100, b'.');
    let table = [&open[..], b"a table"].concat();
    let word = CfbBuilder::new()
        .stream("WordDocument", &stream(&text, 68))
        .stream("1Table", &stream(&table, open.len()));
    vec![("ole2", "word-rc4", word.build()), ("ole2", "slides-rc4", presentation().build())]
}

fn presentation() -> CfbBuilder {
    use sha1::{Digest as _, Sha1};
    let salt = [0x33u8; 16];
    let base = Sha1::digest([&salt[..], &wide("infected")].concat());
    let key = |block: u32| Sha1::digest([&base[..], &block.to_le_bytes()].concat())[..16].to_vec();
    let check = rc4(&key(0), &[&[0x44; 16][..], &Sha1::digest([0x44u8; 16])].concat());
    let mut header = [0u8; 32];
    header[0] = 4;
    header[8..12].copy_from_slice(&0x6801u32.to_le_bytes());
    header[12..16].copy_from_slice(&0x8004u32.to_le_bytes());
    header[16] = 128;
    header[20] = 1;
    let info = [
        &[2, 0, 2, 0, 4, 0, 0, 0, 32, 0, 0, 0][..],
        &header,
        &[16, 0, 0, 0],
        &salt,
        &check[..16],
        &[20, 0, 0, 0],
        &check[16..],
    ]
    .concat();
    let atom = |instance: u16, kind: u16, data: &[u8]| {
        let len = u32::try_from(data.len()).expect("short").to_le_bytes();
        [&instance.to_le_bytes()[..], &kind.to_le_bytes(), &len, data].concat()
    };
    let embedded = CfbBuilder::new().stream("S", b"inside").build();
    let object = atom(0, 0x1011, &embedded);
    let mut stream = rc4(&key(1), &object);
    let session_off = u32::try_from(stream.len()).expect("short");
    stream.extend(atom(0xf, 0x2f14, &info));
    let directory_off = u32::try_from(stream.len()).expect("short");
    let entries = [0x0020_0001u32, 0, session_off];
    let words: Vec<u8> = entries.iter().flat_map(|word| word.to_le_bytes()).collect();
    stream.extend(atom(0, 0x1772, &words));
    let edit_off = u32::try_from(stream.len()).expect("short");
    let edit = [0u32, 0x0300_0000, 0, directory_off, 1, 3, 0, 2];
    let words: Vec<u8> = edit.iter().flat_map(|word| word.to_le_bytes()).collect();
    stream.extend(atom(0, 0x0ff5, &words));
    let user = [
        &20u32.to_le_bytes()[..],
        &0xf3d1_c4df_u32.to_le_bytes(),
        &edit_off.to_le_bytes(),
        &[0; 8],
    ];
    CfbBuilder::new()
        .stream("Current User", &atom(0, 0x0ff6, &user.concat()))
        .stream("PowerPoint Document", &stream)
}

/// A signed message, the same cut, and an encrypted one.
fn cms_fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let der = |tag: u8, parts: &[&[u8]]| -> Vec<u8> {
        let content = parts.concat();
        let len = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&[tag, 0x82][..], &len, &content].concat()
    };
    let id = |last: u8| [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, last];
    let text = b"Content-Type: text/plain\r\n\r\nsigned text\r\n";
    let content = der(0x30, &[&id(1), &der(0xa0, &[&der(4, &[text])])]);
    let data = der(0x30, &[&[2, 1, 1], &der(0x31, &[]), &content, &der(0x31, &[])]);
    let signed = der(0x30, &[&id(2), &der(0xa0, &[&data])]);
    let locked = der(0x30, &[&id(3), &der(0xa0, &[&der(0x30, &[&[2, 1, 0]])])]);
    let cut = signed[..signed.len() - 14].to_vec();
    vec![("cms", "signed", signed), ("cms", "cut", cut), ("cms", "locked", locked)]
}

fn script_fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let texts = [
        (
            "vb",
            "Dim s ' it's\r\ns = \"WScr\" & Chr(105) & \"pt.\"\r\ns = s & StrReverse(\"llehS\")\r\nCreateObject(s)\r\n",
        ),
        (
            "javascript",
            "eval(String.fromCharCode(97,108,101,114,116)+'(1)');var u=unescape('%41%42%43%44');",
        ),
        ("powershell", "powershell -nop -enc dwBoAG8AYQBtAGkA\niex (\"{1}{0}\" -f 'b','a'+'c')\n"),
        (
            "php",
            "<?php eval(gzinflate(base64_decode('S8xVyEhNTEktAgA='))); $a='base64'.'_decode'; $a('c3lzdGVtKCJpZCIpOw==');",
        ),
        ("batch", "@echo off\r\nset a=xcalc\r\n%a:~1,4%.^e^x^e ^&^ ^c^l^s^ ^x\r\n"),
        ("base64", "x = \"TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAA\" & rest"),
        ("unfinished", "eval(unescape('%41' + atob(\"QUJD"),
    ];
    texts.map(|(case, text)| ("hidden", case, text.as_bytes().to_vec())).to_vec()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut word = [0u8; 4];
        word[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(word);
        for idx in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * idx) & 63).expect("six bits");
            text.push(if idx <= three.len() { char::from(ALPHABET[digit]) } else { '=' });
        }
    }
    text
}

fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).expect("a record is small");
    [&kind.to_le_bytes(), &len.to_le_bytes(), data].concat()
}

/// A workbook with one macro sheet; the formulas go to cells of the first column.
fn workbook(file_pass: &[u8], formulas: &[&[u8]]) -> Vec<u8> {
    const BOF: [u8; 16] = [0, 6, 5, 0, 0xaa, 0x1f, 0xcd, 7, 0xc1, 0, 1, 0, 6, 4, 0, 0];
    let mut sheet_bof = BOF;
    sheet_bof[2] = 0x40;
    let mut globals = record(0x0809, &BOF);
    if !file_pass.is_empty() {
        globals.extend(record(0x2f, file_pass));
    }
    let mut name = vec![0x20, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    name.resize(16, 0);
    globals.extend(record(0x18, &name));
    let sheet_off = u32::try_from(globals.len() + 4 + 8 + 6 + 4).expect("small");
    let bound = [&sheet_off.to_le_bytes()[..], &[2, 1, 6, 0], b"Macro1"].concat();
    globals.extend(record(0x85, &bound));
    globals.extend(record(0x0a, b""));
    globals.extend(record(0x0809, &sheet_bof));
    for (row, formula) in (0u16..).zip(formulas) {
        let mut cell = [&row.to_le_bytes()[..], &[0; 18]].concat();
        cell.extend_from_slice(&u16::try_from(formula.len()).expect("small").to_le_bytes());
        cell.extend_from_slice(formula);
        globals.extend(record(0x06, &cell));
    }
    globals.extend(record(0x0a, b""));
    // Streams below the cutoff are fine, but real workbooks are longer.
    globals.resize(globals.len().max(4200), 0);
    globals
}

fn excel_fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let formulas: [&[u8]; 3] = [
        b"\x17\x08\0calc.exe\x42\x01\x6e\0",
        b"\x1e\x41\0\x41\x6f\0\x1e\x42\0\x41\x6f\0\x08",
        b"\x42\0\x36\0",
    ];
    let macros = CfbBuilder::new().stream("Workbook", &workbook(b"", &formulas));
    let locked = CfbBuilder::new().stream(
        "Workbook",
        &workbook(&[[1, 0, 1, 0, 1, 0].as_slice(), &[0x5a; 48]].concat(), &formulas),
    );
    let word = CfbBuilder::new()
        .stream("WordDocument", &[0xec, 0xa5, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    vec![
        ("ole2", "xlm", macros.build()),
        ("ole2", "excel-locked", locked.build()),
        ("ole2", "word-locked", word.build()),
    ]
}

fn rtf_fixtures() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let digits = hex(&ole1_object("Package", &package("inner.bin", b"packed payload")));
    let plain = format!(
        "{{\\rtf1 {{\\object\\objemb{{\\*\\objdata {digits}}}}}{{\\pict\\wmetafile8 d7cd c69a}}}}"
    );
    let mut disguised = b"{\\rt{\\object{\\*\\objdata\n".to_vec();
    for (idx, pair) in digits.replace('\n', "").as_bytes().chunks(2).enumerate() {
        match idx % 5 {
            0 => disguised.extend_from_slice(b"\\par1234 "),
            1 => disguised.extend_from_slice(b"{\\*\\nothing ab}"),
            2 => disguised.extend_from_slice(b"7\\'30"),
            3 => {
                disguised.extend_from_slice(b"\\bin1 ");
                disguised.extend(bytes_of_hex(std::str::from_utf8(pair).expect("digits")));
                continue;
            }
            _ => disguised.extend_from_slice(b" \r\n\t"),
        }
        disguised.push(pair[0]);
        disguised.extend_from_slice(b"{}\\~ ");
        disguised.push(pair[1]);
    }
    let native = hex(&ole1_object("Word.Document.8", &CfbBuilder::new().stream("S", b"x").build()));
    let link = "0105000001000000 05000000 4c696e6b00 04000000 613a6200 00000000";
    vec![
        ("rtf", "package", plain.into_bytes()),
        ("rtf", "disguised", disguised),
        ("rtf", "unclosed", format!("{{\\rt\\objdata {native}").into_bytes()),
        ("rtf", "link", format!("{{\\rt\\objdata {link}}}").into_bytes()),
        (
            "rtf",
            "no-header",
            format!("{{\\rt\\objdata 0102 {}}}", "d0cf11e0a1b11ae1 aa").into_bytes(),
        ),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn format(name: &str) -> &'static Format {
    FORMATS.iter().copied().flatten().find(|format| format.name == name).expect("a format")
}

/// Hexadecimal text, 32 bytes a line, runs of zero lines kept: fixtures are read by people.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

/// Every fixture of the formats that have one here, those by other programs too.
fn stored_fixtures() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut names: Vec<&'static str> = fixtures().into_iter().map(|(name, _, _)| name).collect();
    names.dedup();
    let mut all = Vec::new();
    for name in names {
        let folder = std::fs::read_dir(folder().join(name)).expect("a folder of fixtures");
        for path in folder.map(|entry| entry.expect("a fixture").path()) {
            let case = path.file_name().expect("a name").to_string_lossy().into_owned();
            if case.ends_with(".in.hex") {
                let text = std::fs::read_to_string(&path).expect("a fixture is readable");
                all.push((name, case, bytes_of_hex(&text)));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn fixtures_are_what_their_builders_make() {
    for (name, case, bytes) in fixtures() {
        let path = folder().join(name).join(format!("{case}.in.hex"));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if std::env::var_os("UPDATE").is_some() && text != hex(&bytes) {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, hex(&bytes)).expect("a fixture is writable");
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(bytes_of_hex(&text), bytes, "{}", path.display());
    }
}

/// The public test payload of ClamAV's own samples; harmless.
const PAYLOAD_LEN: usize = 544;

fn children(format: &Format, object: &[u8]) -> Vec<Vec<u8>> {
    let mut recorder = Recorder::default();
    let _ = recorder.run(format, object);
    recorder.children().into_iter().map(|(_, data)| data.to_vec()).collect()
}

/// Opens an object and what comes out of it, by magic, and looks for a payload.
fn gives(object: &[u8], payload: &[u8], depth: u32) -> bool {
    if object == payload {
        return true;
    }
    const MAGICS: [(&[u8], &str); 3] =
        [(b"\xd0\xcf\x11\xe0", "ole2"), (b"%PDF-", "pdf"), (b"{\\rt", "rtf")];
    let known = MAGICS.iter().find(|(magic, _)| object.starts_with(magic));
    let name = known.map(|(_, name)| *name);
    let Some(name) = name.filter(|_| depth > 0) else { return false };
    children(format(name), object).iter().any(|child| gives(child, payload, depth - 1))
}

#[test]
fn real_test_files_give_their_payload() {
    let folder = Path::new("/usr/share/clamav-testfiles");
    let Ok(payload) = std::fs::read(folder.join("clam.exe")) else {
        assert!(std::env::var_os("CI").is_none(), "clamav-testfiles is not installed");
        println!("skipped: clamav-testfiles is not installed");
        return;
    };
    assert_eq!(payload.len(), PAYLOAD_LEN);
    for name in ["clam.ole.doc", "clam.ppt", "clam.pdf", "clam.exe.rtf"] {
        let object = std::fs::read(folder.join(name)).expect("a test file");
        assert!(gives(&object, &payload, 4), "{name}");
    }
}

/// A small generator with a fixed seed: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end.max(1)
    }
}

#[test]
fn damage_is_harmless() {
    let mut random = Random(7);
    for (name, case, bytes) in stored_fixtures() {
        for _ in 0..150 {
            let mut object = bytes.clone();
            for _ in 0..=random.below(6) {
                let off = random.below(object.len());
                match random.below(4) {
                    0 => object.truncate(off.max(1)),
                    1 => object[off] = 0xff,
                    2 => object[off] ^= 1 << random.below(8),
                    _ => {
                        let by = random.below(3).min(object.len());
                        object.rotate_left(by);
                    }
                }
            }
            let mut recorder = Recorder::default();
            recorder.polls_left = 100_000;
            let _ = recorder.run(format(name), &object);
            let total: usize = recorder.children().iter().map(|(_, data)| data.len()).sum();
            assert!(total <= 64 << 20, "{name}/{case} gave {total} bytes");
            assert!(recorder.events.len() < 100_000, "{name}/{case}");
            assert!(
                !recorder.events.iter().any(|e| matches!(e, Event::Fact(k, _) if k.is_empty()))
            );
        }
    }
}

/// Runs clamscan with one body signature for target 0; none when it is not installed.
fn clamscan_finds(name: &str, object: &[u8], needle: &[u8]) -> Option<bool> {
    let folder = std::env::temp_dir().join(format!("documents-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (database, path) = (folder.join("needle.ndb"), folder.join("object"));
    let signature = format!("Needle:0:*:{}\n", hex(needle).replace('\n', ""));
    std::fs::write(&database, signature).expect("a database");
    std::fs::write(&path, object).expect("an object");
    let output = std::process::Command::new("clamscan")
        .args(["--no-summary", "-d"])
        .args([&database, &path])
        .output();
    std::fs::remove_dir_all(&folder).expect("the folder was made here");
    let output = output.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).contains("FOUND"))
}

/// True when a needle shows up in an object or in what comes out of it.
fn we_find(format_name: &str, object: &[u8], needle: &[u8]) -> bool {
    children(format(format_name), object)
        .iter()
        .any(|child| child.windows(needle.len()).any(|window| window == needle))
}

#[test]
fn what_clamscan_finds_inside_we_find_too() {
    const NEEDLE: &[u8] = b"needle_inside_of_it";
    let source = "Attribute VB_Name = \"M\"\r\nx = needle_inside_of_it\r\n";
    let packed = zlib_stored(NEEDLE);
    // Stored in two blocks, so that the needle is nowhere in the file itself.
    let split = [
        &[0x78, 1, 0, 5, 0, 0xfa, 0xff],
        &NEEDLE[..5],
        &[1, 14, 0, 0xf1, 0xff],
        &NEEDLE[5..],
        &packed[packed.len() - 4..],
    ]
    .concat();
    let script = format!("<< /S /JavaScript /JS <{}> >>", hex(NEEDLE).replace('\n', ""));
    let object = hex(&ole1_object("Package", &package("a.bin", NEEDLE))).replace("6e65", "6e\n65");
    let part = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<?mso-application progid=\"Word.Document\"?>\n\
         <w:wordDocument xmlns:w=\"http://schemas.microsoft.com/office/word/2003/wordml\">\
         <w:docSuppData><w:binData w:name=\"editdata.mso\">{}\n</w:binData></w:docSuppData>\
         </w:wordDocument>",
        base64(NEEDLE)
    );
    let cases: [(&str, &str, Vec<u8>); 6] = [
        ("vba", "ole2", vba_document(&[("M", source)]).build()),
        ("flate", "pdf", PdfBuilder::new().stream(1, "/Filter /FlateDecode", &split).build()),
        ("hexscript", "pdf", PdfBuilder::new().object(1, &script).build()),
        ("object", "rtf", format!("{{\\rtf1{{\\object{{\\*\\objdata {object}}}}}}}").into_bytes()),
        ("film", "swf", [b"CWS\x0a", &27_u32.to_le_bytes()[..], &split].concat()),
        ("part", "msxml", part.into_bytes()),
    ];
    for (name, format_name, object) in cases {
        assert!(!object.windows(NEEDLE.len()).any(|window| window == NEEDLE), "{name}");
        assert!(we_find(format_name, &object, NEEDLE), "{name}");
        match clamscan_finds(name, &object, NEEDLE) {
            Some(found) => assert!(found, "clamscan does not find {name}: the case tests nothing"),
            None => {
                assert!(std::env::var_os("CI").is_none(), "clamscan is not installed");
                println!("skipped: clamscan is not installed");
                return;
            }
        }
    }
}
