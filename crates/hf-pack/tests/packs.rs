//! Packs written, read, altered and cut off.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::io::{Cursor, Seek, SeekFrom, Write};

use hf_pack::{
    FORMAT_VERSION, MAX_ALIGN, OpenPackError, Pack, PackMeta, PackWriter, SectionId, SourceMeta,
    WritePackError, anonymous_file, seal,
};

const A: SectionId = SectionId::HASH_BASE;
const B: SectionId = SectionId::BODY_BASE;
const C: SectionId = SectionId::FILTER_BASE.plus(7);

fn meta() -> PackMeta {
    let source = SourceMeta { name: "a.hdb".into(), signatures: 3, ..SourceMeta::default() };
    PackMeta { sources: vec![source], signatures: 3, ..PackMeta::default() }
}

fn small() -> Vec<u8> {
    let mut writer = PackWriter::new(Cursor::new(Vec::new()));
    writer.write_section(C, b"last id, written first").unwrap();
    let mut section = writer.section(A, 64);
    section.write_all(b"one").unwrap();
    section.write_all(b"two").unwrap();
    assert_eq!(section.written(), 6);
    drop(section);
    drop(writer.section(B, 4));
    writer.finish(&meta()).unwrap().into_inner()
}

#[test]
fn what_is_written_is_read() {
    let bytes = small();
    assert_eq!(bytes, small(), "same input, same bytes");
    let pack = Pack::from_bytes(&bytes).unwrap();
    assert_eq!(pack.section(A), b"onetwo");
    assert_eq!(pack.section(A).as_ptr().addr() % 64, 0);
    assert_eq!(pack.section(B), b"");
    assert_eq!(pack.section(C), b"last id, written first");
    assert_eq!(pack.section(SectionId(99)), b"");
    assert_eq!(pack.meta(), &meta());
    assert_eq!(pack.sections().map(|(id, _)| id).collect::<Vec<_>>(), [SectionId::META, A, B, C]);
    assert_eq!(pack.as_bytes(), bytes);
    pack.verify().unwrap();
}

#[test]
fn files_and_sealed_memory() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&small()).unwrap();
    let on_disk = Pack::open(file).unwrap();
    let file = PackWriter::new(anonymous_file("test").unwrap());
    let mut file = file.finish(&meta()).unwrap();
    seal(&file).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    assert!(file.write_all(b"x").is_err());
    let sealed = Pack::open(file).unwrap();
    assert_eq!(on_disk.section(A), b"onetwo");
    assert_eq!(sealed.meta(), &meta());
    assert!(sealed.file().is_some());
    sealed.verify().unwrap();
    assert_ne!(sealed.digest(), on_disk.digest());
}

#[test]
fn large_sections_and_all_alignments() {
    let large: Vec<u8> = (0..300_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let mut writer = PackWriter::new(Cursor::new(Vec::new()));
    for (idx, align) in [0, 1, 2, 3, 64, MAX_ALIGN, u32::MAX].into_iter().enumerate() {
        let id = SectionId(100 + u32::try_from(idx).unwrap());
        let mut section = writer.section(id, align);
        section.write_all(&large[idx..large.len() - idx * 1000]).unwrap();
    }
    let pack = Pack::from_bytes(&writer.finish(&meta()).unwrap().into_inner()).unwrap();
    pack.verify().unwrap();
    assert_eq!(pack.section(SectionId(105)), &large[5..large.len() - 5000]);
    assert_eq!(pack.section(SectionId(105)).as_ptr().addr() % 4096, 0);
}

#[test]
fn every_altered_byte_is_noticed() {
    let bytes = small();
    for off in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut altered = bytes.clone();
            altered[off] ^= flip;
            let Ok(pack) = Pack::from_bytes(&altered) else { continue };
            assert!(pack.verify().is_err(), "byte {off} ^ {flip:#x}");
            for (id, len) in pack.sections() {
                assert_eq!(pack.section(id).len() as u64, len);
            }
        }
    }
}

#[test]
fn every_cut_is_refused() {
    let mut bytes = small();
    for len in 0..bytes.len() {
        let refused = Pack::from_bytes(&bytes[..len]).unwrap_err();
        let want = if len < 64 { "not a pack" } else { "instead of" };
        assert!(refused.to_string().contains(want), "{len}: {refused}");
    }
    bytes.push(0);
    assert!(matches!(Pack::from_bytes(&bytes), Err(OpenPackError::Length { .. })));
}

/// Alters bytes and makes the checksum right again, as a hostile author would.
fn forged(alter: impl FnOnce(&mut Vec<u8>)) -> Result<std::sync::Arc<Pack>, OpenPackError> {
    let mut bytes = small();
    alter(&mut bytes);
    let table_off = usize::try_from(u64::from_le_bytes(bytes[16..24].try_into().unwrap())).unwrap();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..32]).update(&[0; 32]);
    hasher.update(bytes.get(table_off..).unwrap_or_default());
    bytes[32..64].copy_from_slice(hasher.finalize().as_bytes());
    Pack::from_bytes(&bytes)
}

#[test]
fn forged_tables_are_refused() {
    let table = |bytes: &[u8]| bytes.len() - 4 * 64;
    assert!(forged(|_| ()).is_ok());
    let set = |entry: usize, field: usize, value: &[u8]| {
        let value = value.to_vec();
        forged(move |bytes| {
            let at = table(bytes) + entry * 64 + field;
            bytes[at..at + value.len()].copy_from_slice(&value);
        })
        .unwrap_err()
        .to_string()
    };
    let check = |entry, field, value: &[u8], want: &str| {
        let got = set(entry, field, value);
        assert!(got.contains(want), "entry {entry} field {field}: {got}");
    };
    check(1, 8, &u64::MAX.to_le_bytes(), "out of bounds");
    check(1, 8, &0u64.to_le_bytes(), "out of bounds");
    check(1, 16, &u64::MAX.to_le_bytes(), "out of bounds");
    check(1, 16, &(1u64 << 40).to_le_bytes(), "out of bounds");
    check(1, 4, &3u32.to_le_bytes(), "alignment");
    check(1, 4, &0u32.to_le_bytes(), "alignment");
    check(1, 4, &(1u32 << 30).to_le_bytes(), "alignment");
    check(1, 0, &1u32.to_le_bytes(), "order");
    check(0, 0, &2u32.to_le_bytes(), "meta data");
    check(0, 16, &3u64.to_le_bytes(), "meta data");
    let header = |off: usize, value: u64| {
        forged(move |bytes| bytes[off..off + 8].copy_from_slice(&value.to_le_bytes())).unwrap_err()
    };
    assert!(matches!(header(16, u64::MAX), OpenPackError::Layout(_)));
    assert!(matches!(header(16, 0), OpenPackError::Layout(_)));
    assert!(matches!(header(8, 2), OpenPackError::Version(2)));
    let count = u64::from(FORMAT_VERSION) | (u64::from(u32::MAX) << 32);
    assert!(matches!(header(8, count), OpenPackError::Layout(_)));
}

#[test]
fn overlapping_sections_do_not_verify() {
    let pack = forged(|bytes| {
        let table = bytes.len() - 4 * 64;
        let (off, digest) = (table + 8, table + 32);
        let meta: Vec<u8> = bytes[off..off + 16].to_vec();
        let sum: Vec<u8> = bytes[digest..digest + 32].to_vec();
        bytes[off + 192..off + 208].copy_from_slice(&meta);
        bytes[digest + 192..digest + 224].copy_from_slice(&sum);
    });
    assert!(pack.unwrap().verify().is_err());
}

#[test]
fn bad_input_to_the_writer_is_told() {
    let mut writer = PackWriter::new(Cursor::new(Vec::new()));
    writer.write_section(A, b"1").unwrap();
    writer.write_section(A, b"2").unwrap();
    assert!(matches!(writer.finish(&meta()), Err(WritePackError::Duplicate(id)) if id == A));
    let other = PackMeta { format_version: FORMAT_VERSION + 1, ..meta() };
    let writer = PackWriter::new(Cursor::new(Vec::new()));
    assert!(matches!(writer.finish(&other), Err(WritePackError::Meta)));
    let mut writer = PackWriter::new(std::fs::File::open("/dev/null").unwrap());
    drop(writer.section(A, 1));
    assert!(matches!(writer.finish(&meta()), Err(WritePackError::Io(_))));
}
