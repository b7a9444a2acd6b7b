//! What lies packed inside single streams: PowerPoint's objects, zlib with a length, Hancom's sections.
//!
//! Sources: [1] MS-PPT §2.10.34-36 (ExOleObjStg), [2] Hancom HWP 5.0 document file format, §3 (FileHeader).

use hf_core::{Child, ChildRole, Sink, Stop};

use crate::bounded::{hand_over, unpack, unpack_child};
use crate::codec::Inflate;
use crate::documents::le::{find_from, part, u16_at, u32_at};
use crate::reader::size;

/// Magic of the `FileHeader` stream ([2] §3.2.1).
pub(crate) const HWP_MAGIC: &[u8] = b"HWP Document File";

const OBJECTS_MAX: usize = 4096;

/// Hands over the objects in a `PowerPoint Document` stream: found by the record's type wherever it is,
/// so that broken records before it do not matter.
///
/// # Errors
/// The scan ends here.
pub(crate) fn powerpoint(stream: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    // [1] §2.10.34: RT_ExternalOleObjectStg, the instance says whether it is compressed.
    const RECORD: &[u8] = &[0x11, 0x10];
    let mut off = 0usize;
    let mut count = 0usize;
    while let Some(found) = find_from(stream, RECORD, off) {
        off = found.saturating_add(1);
        let Some(header_off) = found.checked_sub(2) else { continue };
        let instance = u16_at(stream, header_off);
        let Some(len) = u32_at(stream, found.saturating_add(2)) else { break };
        let data = part(stream, found.saturating_add(6), size(u64::from(len)));
        let name = format!("object{}", count.saturating_add(1));
        match instance {
            Some(0x0010) if is_zlib(data.get(4..)) => {
                let claimed = u32_at(data, 0).unwrap_or(0);
                let packed = data.get(4..).unwrap_or_default();
                let decoder = Inflate::zlib(packed);
                unpack_child(decoder, claimed.into(), name.as_bytes(), ChildRole::Member, sink)?;
            }
            Some(0x0000) if data.starts_with(&super::cfb::MAGIC) => {
                sink.child(Child { name: name.as_bytes(), data, role: ChildRole::Member })?;
            }
            _ => continue,
        }
        off = found.saturating_add(6).saturating_add(data.len());
        count = count.saturating_add(1);
        if count >= OBJECTS_MAX {
            break;
        }
    }
    Ok(())
}

/// Hands over what a length and zlib data unpack to.
///
/// # Errors
/// The scan ends here.
pub(crate) fn length_and_zlib(name: &str, stream: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let Some(packed) = stream.get(4..).filter(|packed| is_zlib(Some(packed))) else {
        return Ok(());
    };
    let claimed = u32_at(stream, 0).unwrap_or(0);
    let unpacked = unpack(Inflate::zlib(packed), claimed.into(), sink)?;
    if unpacked.bytes.is_empty() {
        return Ok(());
    }
    hand_over(&unpacked, format!("{name}/inflated").as_bytes(), ChildRole::Member, sink)
}

/// True when a `FileHeader` stream says that sections are compressed ([2] §3.2.1, properties bit 0).
pub(crate) fn hwp_compressed(file_header: &[u8]) -> bool {
    file_header.starts_with(HWP_MAGIC) && u32_at(file_header, 36).is_some_and(|p| p & 1 != 0)
}

/// True when a `FileHeader` stream says that the document is encrypted (properties bit 1).
pub(crate) fn hwp_encrypted(file_header: &[u8]) -> bool {
    file_header.starts_with(HWP_MAGIC) && u32_at(file_header, 36).is_some_and(|p| p & 2 != 0)
}

/// Hands over an inflated section of a Hancom document; other streams are left alone.
///
/// # Errors
/// The scan ends here.
pub(crate) fn hwp_section(path: &str, stream: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    const FOLDERS: [&str; 5] = ["DocInfo", "BodyText/", "ViewText/", "BinData/", "Scripts/"];
    if !FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        return Ok(());
    }
    let unpacked = unpack(Inflate::raw(stream), 0, sink)?;
    if unpacked.bytes.is_empty() {
        return Ok(());
    }
    hand_over(&unpacked, format!("{path}/inflated").as_bytes(), ChildRole::Member, sink)?;
    if path.starts_with("Scripts/") {
        super::texts::hwp_script(path, &unpacked.bytes, sink)?;
    }
    Ok(())
}

fn is_zlib(packed: Option<&[u8]>) -> bool {
    // RFC 1950 §2.2: method 8, window of at most 32 KiB, header divisible by 31.
    packed.and_then(|packed| packed.first_chunk::<2>()).is_some_and(|header| {
        let [method, _] = *header;
        method & 0x0f == 8 && method < 0x80 && u16::from_be_bytes(*header).is_multiple_of(31)
    })
}
