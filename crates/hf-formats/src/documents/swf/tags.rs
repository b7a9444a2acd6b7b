//! The tags of an uncompressed film: what they carry that is no film.
//!
//! Yields: the data of `DefineBinaryData`, byte code of `DoABC`, pictures in their own format.
//! Limits: [`TAGS_MAX`] tags, [`CHILDREN_MAX`] children, each byte handed over once.
//! Hostile input: a tag that claims more than there is gives what there is.
//! Sources: [1] SWF file format specification, version 19.

use hf_core::{Child, ChildRole, Reason, Sink, Stop};

use crate::reader::{Reader, size};

/// Ours.
const TAGS_MAX: usize = 1 << 20;
const CHILDREN_MAX: usize = 1024;
/// Smaller ones are not worth an object of their own; ours.
const CHILD_LEN_MIN: usize = 32;

const JPEG_2: u16 = 21;
const JPEG_3: u16 = 35;
const DO_ABC: u16 = 82;
const BINARY_DATA: u16 = 87;
const JPEG_4: u16 = 90;

/// Hands over what the tags of a film carry.
///
/// # Errors
/// The scan ends here.
pub(super) fn children(film: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    // The frame's rectangle has four numbers of as many bits as its first five bits say [1].
    let Some(first) = film.get(8) else { return Ok(()) };
    let rectangle_len = (5 + 4 * usize::from(first >> 3)).div_ceil(8);
    let mut reader = Reader::at(film, 8usize.saturating_add(rectangle_len).saturating_add(4));
    let mut children = 0usize;
    for number in 0..TAGS_MAX {
        if number.is_multiple_of(1 << 12) {
            sink.poll()?;
        }
        let Ok(header) = reader.u16_le() else { return Ok(()) };
        let mut len = usize::from(header & 0x3f);
        if len == 0x3f {
            let Ok(long) = reader.u32_le() else { return Ok(()) };
            len = size(u64::from(long));
        }
        let body = reader.take_up_to(len);
        let Some((name, data)) = carried(header >> 6, body) else { continue };
        if data.len() < CHILD_LEN_MIN {
            continue;
        }
        if children >= CHILDREN_MAX {
            sink.unscanned(b"", Reason::FormatLimit("data in tags".into()));
            return Ok(());
        }
        children = children.saturating_add(1);
        sink.child(Child { name, data, role: ChildRole::Member })?;
    }
    Ok(())
}

/// Returns what a tag carries behind its own fields.
fn carried(code: u16, body: &[u8]) -> Option<(&'static [u8], &[u8])> {
    match code {
        BINARY_DATA => Some((b"binary_data", body.get(6..)?)),
        JPEG_2 => Some((b"image", body.get(2..)?)),
        JPEG_3 => Some((b"image", body.get(6..)?)),
        JPEG_4 => Some((b"image", body.get(8..)?)),
        DO_ABC => {
            let rest = body.get(4..)?;
            let name_end = rest.iter().position(|byte| *byte == 0)?;
            Some((b"abc", rest.get(name_end.checked_add(1)?..)?))
        }
        _ => None,
    }
}
