//! Compiled content that its writer did not make: opening it, and matching with it.

use std::io::Cursor;
use std::ops::ControlFlow;

use hf_core::signature::HashOf;
use hf_core::{ExeView, Facts, FileType, IconMetrics, Limits, Member, ScanOptions, Stop, Target};
use hf_match::{Matcher, Scope, Scratch, Subject};
use hf_pack::{Pack, PackMeta, PackWriter, SectionId};

/// Opens a pack and matches with it. After a first byte of zero comes the file, whose header is put right;
/// after any other come sections: id and length in four bytes each, little endian, and content.
/// The section [`OBJECT`] is what is scanned.
pub fn pack_open(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let (file, object) = if first == 0 {
        (repaired(rest), OBJECT_DEFAULT.to_vec())
    } else {
        let Some((file, object)) = written(rest) else { return };
        (file, object)
    };
    let Ok(pack) = Pack::from_bytes(&file) else { return };
    let _ = pack.verify();
    if let Ok(matcher) = Matcher::open(vec![pack]) {
        scan_all(&matcher, &object);
    }
}

/// Returns a file whose header states what is there, with a good checksum.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    let Some((header, body)) = file.split_first_chunk_mut::<HEADER_LEN>() else { return file };
    let end = HEADER_LEN + body.len();
    let count = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
    let table_len = usize::try_from(count).unwrap_or(0).saturating_mul(ENTRY_LEN).min(body.len());
    let table_len = table_len - table_len % ENTRY_LEN;
    header[..8].copy_from_slice(&hf_pack::MAGIC);
    header[8..12].copy_from_slice(&hf_pack::FORMAT_VERSION.to_le_bytes());
    let count = u32::try_from(table_len / ENTRY_LEN).unwrap_or(0);
    header[12..16].copy_from_slice(&count.to_le_bytes());
    header[16..24].copy_from_slice(&((end - table_len) as u64).to_le_bytes());
    header[24..32].copy_from_slice(&(end as u64).to_le_bytes());
    header[32..].fill(0);
    let table = &body[body.len() - table_len..];
    let digest = blake3::Hasher::new().update(header).update(table).finalize();
    header[32..].copy_from_slice(digest.as_bytes());
    file
}

/// Returns a pack of the sections in an input, and the object.
fn written(mut rest: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut writer = PackWriter::new(Cursor::new(Vec::new()));
    let mut object = OBJECT_DEFAULT.to_vec();
    while let Some((head, behind)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, e, f, g, h] = *head;
        let len = usize::try_from(u32::from_le_bytes([e, f, g, h])).unwrap_or(usize::MAX);
        let (section, behind) = behind.split_at(len.min(behind.len()));
        match SectionId(u32::from_le_bytes([a, b, c, d])) {
            OBJECT => object = section.to_vec(),
            id => writer.write_section(id, section).ok()?,
        }
        rest = behind;
    }
    let file = writer.finish(&PackMeta::default()).ok()?;
    Some((file.into_inner(), object))
}

/// Matches an object in every scope, for every target, and asks for all the rest.
pub(crate) fn scan_all(matcher: &Matcher, object: &[u8]) {
    let limits = Limits::clamav();
    let options = ScanOptions { explain: true, detect_pua: true, ..ScanOptions::default() };
    let mut scratch = Scratch::new();
    let file_type = hf_formats::identify(object, None);
    let known =
        Known { exe: hf_formats::exe_view(object, file_type).ok(), ancestors: vec![FileType::Zip] };
    for target in 0..Target::COUNT {
        let target = Some(Target(target));
        let mut subject = Subject::new(object, target, file_type, &known, &options, &limits);
        for scope in [Scope::TargetAndAny, Scope::SelfProtect] {
            subject.scope = scope;
            let mut polls = POLLS;
            let mut poll = || {
                polls = u64::checked_sub(polls, 1).ok_or(Stop::Deadline)?;
                Ok(())
            };
            let mut on_hit = |_| ControlFlow::Continue(());
            let _ = matcher.scan(&subject, &mut scratch, &mut on_hit, &mut poll);
        }
    }
    let mut polls = POLLS;
    let mut poll = || {
        polls = u64::checked_sub(polls, 1).ok_or(Stop::Deadline)?;
        Ok(())
    };
    let _ = matcher.find_magics(object, &mut poll);
    ask_hashes(matcher, object);
    let name = object.get(..object.len().min(64)).unwrap_or_default();
    let member =
        Member { name, packed_len: 10, unpacked_len: 20, position: 1, ..Member::default() };
    let _ = matcher.member(FileType::Zip, 100, &member);
    let _ = (matcher.needs_icons(), matcher.has_self_protection(), matcher.signature_count());
}

/// Asks for the digests at the object's start, whatever is hashed.
fn ask_hashes(matcher: &Matcher, object: &[u8]) {
    let size = object.len() as u64;
    for (tables, _) in matcher.hashes() {
        for of in [HashOf::Object, HashOf::Section, HashOf::Imports, HashOf::Allowed] {
            let _ = tables.needs(of, size);
            for len in [16, 20, 32] {
                let hits = tables.find(of, object.get(..len).unwrap_or_default(), size);
                assert!(hits.len() <= hf_match::HITS_MAX, "{} hits", hits.len());
            }
        }
    }
}

/// What is known of the object.
struct Known {
    exe: Option<ExeView>,
    ancestors: Vec<FileType>,
}

impl Facts for Known {
    fn exe(&self) -> Option<&ExeView> {
        self.exe.as_ref()
    }

    fn icons(&self) -> &[IconMetrics] {
        &[]
    }

    fn image_hash(&self) -> Option<[u8; 8]> {
        Some([0xaf; 8])
    }

    fn ancestors(&self) -> &[FileType] {
        &self.ancestors
    }
}

/// The section that is no section but what is scanned.
pub(crate) const OBJECT: SectionId = SectionId(u32::MAX);

/// Scanned when an input brings no object.
const OBJECT_DEFAULT: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz 0123456789";

/// Calls that may stop a scan; each is about a MiB of work.
const POLLS: u64 = 32;

/// Of a pack's header and of a line of its table.
const HEADER_LEN: usize = 64;
const ENTRY_LEN: usize = 64;
