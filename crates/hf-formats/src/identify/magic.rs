//! Magic bytes at fixed offsets, in the order in which they are tried: the first that fits decides.
//!
//! Promises: looks at the first [`super::HEAD_LEN`] bytes only. Where two magics fit one object the order of the
//! table gives the type that clamscan 1.4.6 gives (its table is unordered for people, so this was measured).
//! Leaves out: what is only a magic inside a partition.
//! Sources: ClamAV's published signature documentation ("file types"); clamscan 1.4.6 as an oracle; the
//! formats' own specifications for types that ClamAV has not.

use std::io::{ErrorKind, Read};

use hf_core::FileType;

use crate::codec::Inflate;
use crate::containers::unopened::DAR;

/// Returns the type of the first magic that fits.
pub(super) fn at_offset(head: &[u8]) -> Option<FileType> {
    STRONG
        .iter()
        .chain(PLAIN)
        .find(|magic| has_at(head, magic.0, magic.1))
        .map(|magic| magic.2)
        .or_else(|| computed(head))
}

/// True when these bytes stand at this offset.
pub(super) fn has_at(head: &[u8], off: usize, bytes: &[u8]) -> bool {
    // Nearly all are told apart by their first byte.
    head.get(off) == bytes.first() && head.get(off..).is_some_and(|rest| rest.starts_with(bytes))
}

/// Returns a type that ClamAV does not know; asked only when nothing else fits.
pub(super) fn ours(head: &[u8]) -> Option<FileType> {
    if let Some(disk) = DISKS.iter().find(|magic| has_at(head, magic.0, magic.1)) {
        return Some(disk.2);
    }
    if head.starts_with(b"!<arch>\n") {
        return Some(FileType::Ar);
    }
    if head.starts_with(&[0x1f, 0x9d]) {
        return Some(FileType::Compress);
    }
    if head.starts_with(&[0x04, 0x22, 0x4d, 0x18]) || head.starts_with(&[0x02, 0x21, 0x4c, 0x18]) {
        return Some(FileType::Lz4);
    }
    if let Some((_, _, kind)) = OURS.iter().find(|magic| has_at(head, magic.0, magic.1)) {
        return Some(*kind);
    }
    if head.starts_with(&[4, 0, 0, 0]) && has_at(head, 16, b"{\"files\":") {
        return Some(FileType::Asar);
    }
    if is_cms(head) {
        return Some(FileType::Cms);
    }
    if crate::containers::openpgp::is_message(head) {
        return Some(FileType::OpenPgp);
    }
    if is_mac_binary(head) {
        return Some(FileType::MacBinary);
    }
    // A first slice of an archive: its label, and the end mark of a header without options.
    if head.starts_with(DAR) && matches!(head.get(14), Some(b'N' | b'E' | b'T')) {
        return Some(FileType::Dar);
    }
    if crate::containers::arc::is_archive(head) {
        return Some(FileType::Arc);
    }
    // Version and method of the first entry stand behind the number of entries.
    if head.starts_with(b"HA") && matches!(head.get(4), Some(0x20..=0x22 | 0x2e | 0x2f)) {
        return Some(FileType::Ha);
    }
    if let Some(kind) = super::filesystem::at_start(head) {
        return Some(kind);
    }
    if is_zlib(head) {
        return Some(FileType::Zlib);
    }
    is_lzma(head).then_some(FileType::Lzma)
}

/// Magics of types that ClamAV does not know.
const OURS: &[Magic] = &[
    (20, &[0xdc, 0xa7, 0xc4, 0xfd], FileType::Zoo),
    (7, b"**ACE**", FileType::Ace),
    (0, b"dex\n0", FileType::Dex),
    // A module of version 1, and a component.
    (0, b"\0asm\x01\0\0\0", FileType::Wasm),
    (0, b"\0asm\x0d\0\x01\0", FileType::Wasm),
    (0, &[0xce, 0xca, 0xef, 0xbe, 1, 0, 0, 0], FileType::Resources),
    (0, &[0xce, 0xca, 0xef, 0xbe, 2, 0, 0, 0], FileType::Resources),
    (0, b"LZIP\0", FileType::Lzip),
    (0, b"LZIP\x01", FileType::Lzip),
    (0, b"\x89LZO\0\r\n\x1a\n", FileType::Lzop),
    (0, &[0xed, 0xab, 0xee, 0xdb], FileType::Rpm),
    (0, b"SZ \x88\xf0\x27\x33\xd1", FileType::Msszdd),
    (0, b"KWAJ\x88\xf0\x27\xd1", FileType::Kwaj),
    (0, b"ISc(", FileType::IshieldCab),
    (0, b"\x13\x5d\x65\x8c", FileType::IshieldZ),
    (0, b"idska32\x1a", FileType::InnoSlice),
    (0, b"ActiveMime", FileType::ActiveMime),
    // Parts of binary workbooks start with the record that begins a sheet, a book or the strings.
    (0, &[0x81, 0x01, 0x00, 0x93, 0x01], FileType::Biff12),
    (0, &[0x81, 0x01, 0x00, 0x94, 0x01], FileType::Biff12),
    (0, &[0x83, 0x01, 0x00, 0x80, 0x01], FileType::Biff12),
    (0, &[0x9f, 0x01, 0x08], FileType::Biff12),
    (0, b"!BDN", FileType::Pst),
    (0, b"bvx2", FileType::Lzfse),
    (0, b"bvx-", FileType::Lzfse),
    (0, b"bvxn", FileType::Lzfse),
    (0, b"PACK\0\0\0", FileType::GitPack),
    (0, b"# v2 git bundle\n", FileType::GitPack),
    (0, b"# v3 git bundle\n", FileType::GitPack),
    (0, b"LRZI\0", FileType::Lrzip),
    (0, b"RZIP\x02", FileType::Rzip),
    (0, b"7kSt\xa0", FileType::Zpaq),
    (0, b"zPQ", FileType::Zpaq),
    (0, b"EVF\x09\x0d\x0a\xff\0", FileType::Ewf),
    (0, b"Salted__", FileType::OpensslSalted),
    (0, b"=ybegin ", FileType::Yenc),
];

/// Returns a type that ClamAV takes for plain text.
pub(super) fn ours_in_text(head: &[u8]) -> Option<FileType> {
    if head.starts_with(b"begin-base64 ") {
        return Some(FileType::Uuencoded);
    }
    // Programs that read it pass over white space in front.
    if head.trim_ascii_start().starts_with(b"{\\rtf1") {
        return Some(FileType::Rtf);
    }
    head.starts_with(b"=ybegin ").then_some(FileType::Yenc)
}

/// A sequence with any length, and an object identifier of PKCS #7 or of compressed data first.
fn is_cms(head: &[u8]) -> bool {
    const ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01];
    let len_len = match head {
        [0x30, len @ 0..=0x7f, ..] if *len > 11 => 0usize,
        [0x30, len @ 0x80..=0x84, ..] => usize::from(len & 0x7f),
        _ => return false,
    };
    let behind = head.get(len_len.saturating_add(2)..).unwrap_or_default();
    match behind {
        [6, 9, id @ ..] => id.strip_prefix(ID).is_some_and(|id| matches!(id, [7, 1..=6, ..])),
        [6, 11, id @ ..] => {
            id.strip_prefix(ID).is_some_and(|id| matches!(id, [9, 16, 1, 9 | 23, ..]))
        }
        _ => false,
    }
}

/// A header of 128 bytes: zeros where they must be, a name, a version, and its checksum.
fn is_mac_binary(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<128>() else { return false };
    let zero = |at: usize| header.get(at) == Some(&0);
    let name = matches!(header.get(1), Some(1..=63)) && header.get(2).is_some_and(|c| *c >= b' ');
    let version = matches!(header.get(122), Some(129 | 130));
    if !(zero(0) && zero(74) && zero(82) && name && version) {
        return false;
    }
    let sum = header.get(..124).unwrap_or_default().iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    header.get(124..126) == Some(&sum.to_be_bytes())
}

/// A header of zlib's usual settings, with deflate behind it that decodes as far as it is here.
fn is_zlib(head: &[u8]) -> bool {
    if !matches!(head, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]) {
        return false;
    }
    let mut out = [0u8; 256];
    let mut have = 0usize;
    let mut stream = Inflate::zlib(head);
    while let Some(rest) = out.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => return true,
            Ok(read) => have = have.saturating_add(read),
            Err(error) => return have > 0 && error.kind() == ErrorKind::UnexpectedEof,
        }
    }
    true
}

/// The 13-byte header of "LZMA alone": properties below 225, a dictionary of 2^n or 2^n + 2^(n-1), and a size
/// that is unknown or below 256 GiB.
fn is_lzma(head: &[u8]) -> bool {
    let Some((&[properties, d0, d1, d2, d3, ref size @ ..], rest)) = head.split_first_chunk::<13>()
    else {
        return false;
    };
    let dictionary = u32::from_le_bytes([d0, d1, d2, d3]);
    let power = dictionary.is_power_of_two()
        || (dictionary & dictionary.wrapping_sub(1)).is_power_of_two()
            && dictionary.count_ones() == 2
            && (dictionary >> dictionary.trailing_zeros()) == 3;
    let len = u64::from_le_bytes(*size);
    properties < 225
        && dictionary >= 1 << 12
        && (power || dictionary == u32::MAX)
        && (len == u64::MAX || len < 1 << 38 || power && properties == 0x5d)
        && rest.first() == Some(&0)
}

fn computed(head: &[u8]) -> Option<FileType> {
    if matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) {
        return Some(FileType::Zstd);
    }
    if let [0x08, _, 0x12, _, name @ ..] = head
        && ONNX_MAKERS.iter().any(|maker| name.starts_with(maker))
    {
        return Some(FileType::AiModel);
    }
    if let [low, high, 0x0d, 0x0a, ..] = head
        && PYTHON.contains(&u16::from_le_bytes([*low, *high]))
    {
        return Some(FileType::PythonCompiled);
    }
    None
}

type Magic = (usize, &'static [u8], FileType);

/// Virtual disks and images of disks.
const DISKS: &[Magic] = &[
    (0, b"conectix", FileType::Vhd),
    (0, b"vhdxfile", FileType::Vhdx),
    (0, b"KDMV", FileType::Vmdk),
    (0, b"COWD", FileType::Vmdk),
    (0, b"QFI\xfb", FileType::Qcow),
    (64, &[0x7f, 0x10, 0xda, 0xbe], FileType::Vdi),
    (0, b"MSWIM\0\0\0", FileType::Wim),
    (32, b"NXSB", FileType::Apfs),
    (0, b"LUKS\xba\xbe\0", FileType::Luks),
    (0, b"QED\0", FileType::Qed),
    (0, b"WithoutFreeSpace", FileType::Parallels),
    (0, b"WithouFreSpacExt", FileType::Parallels),
    (0, &[0x3a, 0xff, 0x26, 0xed, 1, 0], FileType::AndroidSparse),
    (0, b"CISO", FileType::Cso),
    (0, b"UBI#\x01\0\0\0", FileType::Ubifs),
    (0, &[0x31, 0x18, 0x10, 0x06], FileType::Ubifs),
    (0, b"XFSB\0\0", FileType::Xfs),
    (512, b"LABELONE", FileType::Lvm),
];

/// Magics that decide even when one of [`PLAIN`] also fits.
const STRONG: &[Magic] = &[
    (0, b"{\\rt", FileType::Rtf),
    (0, b"GIF", FileType::Gif),
    (0, b"MM", FileType::Tiff),
    (0, b"%PDF-", FileType::Pdf),
    (0, &[0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], FileType::SevenZip),
    (4, &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1], FileType::HwpOle2),
    (0, b"[aliases]", FileType::PosixTar),
    (257, b"ustar", FileType::PosixTar),
];

const PLAIN: &[Magic] = &[
    (0, b"MZ", FileType::Msexe),
    (0, b"\x7fELF", FileType::Elf),
    (0, &[0xce, 0xfa, 0xed, 0xfe], FileType::Macho),
    (0, &[0xcf, 0xfa, 0xed, 0xfe], FileType::Macho),
    (0, &[0xfe, 0xed, 0xfa, 0xce], FileType::Macho),
    (0, &[0xfe, 0xed, 0xfa, 0xcf], FileType::Macho),
    (0, b"PK\x03\x04", FileType::Zip),
    (0, b"PK00PK\x03\x04", FileType::Zip),
    (0, b"PK\x07\x08PK\x03\x04", FileType::Zip),
    (0, b"PK\x03\x03PK\x03\x04", FileType::Zip),
    (0, &[0x1f, 0x8b], FileType::Gz),
    (0, b"BZh", FileType::Bz),
    (0, &[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], FileType::Xz),
    (0, &[0x28, 0xb5, 0x2f, 0xfd], FileType::Zstd),
    (0, b"Rar!", FileType::Rar),
    (0, &[0x60, 0xea], FileType::Arj),
    (0, b"ALZ\x01", FileType::Alz),
    (0, b"EGGA", FileType::Egg),
    (0, b"MSCF\0\0\0\0", FileType::Mscab),
    (0, b"ITSF", FileType::Mschm),
    (0, b"SZDD", FileType::Msszdd),
    (0, b"xar!", FileType::Xar),
    (0, b"070701", FileType::CpioNewc),
    (0, b"070702", FileType::CpioCrc),
    (0, b"070707", FileType::CpioOdc),
    (0, &[0x71, 0xc7], FileType::CpioOld),
    (0, &[0xc7, 0x71], FileType::CpioOld),
    (0, &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1], FileType::Msole2),
    (0, b"HWP Document File V3.00 \x1a\x01\x02\x03\x04\x05", FileType::Hwp3),
    (0, b"%!PS-Adobe-", FileType::Ps),
    (0, b"FWS", FileType::Swf),
    (0, b"CWS", FileType::Swf),
    (0, b"ZWS", FileType::Swf),
    (
        0,
        &[
            0xe4, 0x52, 0x5c, 0x7b, 0x8c, 0xd8, 0xa7, 0x4d, 0xae, 0xb1, 0x53, 0x78, 0xd0, 0x29,
            0x96, 0xd3,
        ],
        FileType::OneNote,
    ),
    (0, b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46", FileType::Lnk),
    (0, &[0x78, 0x9f, 0x3e, 0x22], FileType::Tnef),
    (0, b"begin ", FileType::Uuencoded),
    (0, b"(This file must be converted with BinHex 4.0)", FileType::Binhex),
    (0, b"#@~^", FileType::Screnc),
    (0, &[0xb6, 0xb9, 0xac, 0xae, 0xfe, 0xff, 0xff, 0xff], FileType::Cryptff),
    (0, &[0x89, 0x50, 0x4e, 0x47], FileType::Png),
    (0, &[0xff, 0xd8, 0xff], FileType::Jpeg),
    (0, b"II*\0", FileType::Tiff),
    (0, b"BM", FileType::Graphics),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", FileType::Graphics),
    (0, b"RIFF", FileType::Riff),
    (0, b"RIFX", FileType::Riff),
    (0, b".RMF", FileType::Ignored),
    (0, b"ID3", FileType::Ignored),
    (0, &[0xff, 0xfb, 0x90], FileType::Ignored),
    (0, b"OggS", FileType::Ignored),
    (0, b"SQLite format 3\0", FileType::Ignored),
    (0, &[0x37, 0x7f, 0x06, 0x82, 0x00, 0x2d, 0xe2, 0x18], FileType::Ignored),
    (0, &[0x37, 0x7f, 0x06, 0x83, 0x00, 0x2d, 0xe2, 0x18], FileType::Ignored),
    (0, &[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7], FileType::Ignored),
    (0, b"SIP-H", FileType::Ignored),
    (0, b"SIP/H", FileType::Ignored),
    (0, b"SYMC\x01\0", FileType::Ignored),
    (0, &[0, 0, 1, 0xb3], FileType::BinaryData),
    (0, &[0, 0, 1, 0xba], FileType::BinaryData),
    (0, &[0x02, 0x09, 0x99, 0x00], FileType::PythonCompiled),
    (0, &[0x03, 0x09, 0x99, 0x00], FileType::PythonCompiled),
    (0, b"GGUF\x01\0\0\0", FileType::AiModel),
    (0, b"GGUF\x02\0\0\0", FileType::AiModel),
    (0, b"GGUF\x03\0\0\0", FileType::AiModel),
    (4, b"TFL3", FileType::AiModel),
    (0, b"{\n  \"Magic\":\"CLAMJSONv0\"", FileType::Internal),
    (512, b"EFI PART", FileType::Gpt),
    (0, b"From ", FileType::Mail),
    (0, b">From ", FileType::Mail),
    (0, b"From: ", FileType::Mail),
    (0, b"To: ", FileType::Mail),
    (0, b"For: ", FileType::Mail),
    (0, b"Date: ", FileType::Mail),
    (0, b"Subject: ", FileType::Mail),
    (0, b"Received: ", FileType::Mail),
    (0, b"Received-SPF: ", FileType::Mail),
    (0, b"Return-Path: ", FileType::Mail),
    (0, b"Return-path: ", FileType::Mail),
    (0, b"Delivered-To: ", FileType::Mail),
    (0, b"Delivery-date: ", FileType::Mail),
    (0, b"Envelope-to: ", FileType::Mail),
    (0, b"Message-ID: ", FileType::Mail),
    (0, b"Message-Id: ", FileType::Mail),
    (0, b"X-Apparently-To: ", FileType::Mail),
    (0, b"X-EVS", FileType::Mail),
    (0, b"X-Envelope-From: ", FileType::Mail),
    (0, b"X-Original-To: ", FileType::Mail),
    (0, b"X-Real-To: ", FileType::Mail),
    (0, b"X-Sieve: ", FileType::Mail),
    (0, b"X-Symantec-", FileType::Mail),
    (0, b"X-UIDL: ", FileType::Mail),
    (0, b"Hi. This is the qmail-send", FileType::Mail),
    (0, b"v:\nReceived: ", FileType::Mail),
    (0, b"v:\r\nReceived: ", FileType::Mail),
];

const ONNX_MAKERS: &[&[u8]] = &[
    b"onnx-tool",
    b"onnx_tool",
    b"tf2onnx",
    b"pytorch",
    b"caffe:",
    b"OnnxMLTools",
    b"CNTK",
    b"onnx-caffe2",
];

/// The 16-bit numbers in front of `\r\n` in compiled Python, by release. Releases from 3.5 have `??0d` and are
/// recognised by a pattern.
#[rustfmt::skip]
const PYTHON: &[u16] = &[
    0x2e89, 0x1704, 0x4e99, 0xc4fc, 0xc4fd, 0xc687, 0xc688, 0xeb2a, 0xeb2b, 0xed2d, 0xed2e, // 1.3 to 2.2
    0xf23b, 0xf23c, 0xf245, 0xf259, 0xf263, 0xf26d, 0xf26e, 0xf277, 0xf281, 0xf28b, 0xf28c, // 2.3 to 2.5
    0xf295, 0xf29f, 0xf2a9, 0xf2b3, 0xf2b4, 0xf2c7, 0xf2d1, 0xf2d2, 0xf2db, 0xf2e5, 0xf2ef, // 2.5 to 2.7
    0xf2f9, 0xf303, 0xf304, // 2.7
    0x0bb8, 0x0bc2, 0x0bcc, 0x0bd6, 0x0be0, 0x0bea, 0x0bf4, 0x0bf5, 0x0bff, 0x0c09, 0x0c13, // 3.0
    0x0c1d, 0x0c1f, 0x0c27, 0x0c3b, 0x0c45, 0x0c4f, 0x0c58, 0x0c62, 0x0c6c, 0x0c76, 0x0c80, // 3.0 to 3.3
    0x0c8a, 0x0c94, 0x0c9e, 0x0cb2, 0x0cbc, 0x0cc6, 0x0cd0, 0x0cda, 0x0ce4, 0x0cee, 0x0cf8, // 3.3 to 3.5
];
