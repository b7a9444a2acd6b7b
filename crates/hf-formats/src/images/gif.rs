//! The structure of GIF: screen, extensions, images.
//!
//! Leaves out: the compressed pixels.
//! Source: CompuServe, "GIF89a Specification"; ends as clamscan 1.4.6 does.

use super::{Fault, Walk};
use crate::reader::Reader;

const SIGNATURE_LEN: usize = 6;
const IMAGE: u8 = 0x2c;
const EXTENSION: u8 = 0x21;
const TRAILER: u8 = 0x3b;
const GRAPHIC_CONTROL: u8 = 0xf9;
/// Bytes of a graphic control block behind its label.
const GRAPHIC_CONTROL_LEN: usize = 6;

/// Walks over the blocks.
pub(super) fn walk(object: &[u8]) -> Walk {
    let mut walk = Walk::default();
    let mut reader = Reader::at(object, SIGNATURE_LEN);
    walk.fault = blocks(&mut reader, &mut walk.size).err();
    walk
}

fn blocks(reader: &mut Reader<'_>, pixels: &mut Option<(u32, u32)>) -> Result<(), Fault> {
    let fault = |reader: &Reader<'_>, rule| Fault::broken(reader.off(), rule);
    let screen = reader.take(7).map_err(|_| fault(reader, "TruncatedScreenDescriptor"))?;
    let mut fields = Reader::new(screen);
    let side = |side: Result<u16, _>| side.ok().map(u32::from);
    *pixels = side(fields.u16_le()).zip(side(fields.u16_le()));
    let flags = fields.u8().unwrap_or(0);
    reader.skip(color_table_len(flags)).map_err(|_| fault(reader, "TruncatedGlobalColorTable"))?;
    let mut has_image = false;
    loop {
        let Ok(label) = reader.u8() else {
            return if has_image { Ok(()) } else { Err(fault(reader, "MissingImageData")) };
        };
        match label {
            TRAILER => return Ok(()),
            EXTENSION => extension(reader)?,
            IMAGE => {
                image(reader)?;
                has_image = true;
            }
            _ => return Err(fault(reader, "UnknownBlockLabel")),
        }
    }
}

fn extension(reader: &mut Reader<'_>) -> Result<(), Fault> {
    let fault = |reader: &Reader<'_>, rule| Fault::broken(reader.off(), rule);
    if reader.u8().map_err(|_| fault(reader, "TruncatedExtension"))? == GRAPHIC_CONTROL {
        // Passed over unread: a cut one shows in what follows.
        reader.seek(reader.off().saturating_add(GRAPHIC_CONTROL_LEN));
        return Ok(());
    }
    loop {
        let len = reader.u8().map_err(|_| fault(reader, "TruncatedExtension"))?;
        if len == 0 {
            return Ok(());
        }
        reader.skip(usize::from(len)).map_err(|_| fault(reader, "TruncatedExtensionSubBlock"))?;
    }
}

fn image(reader: &mut Reader<'_>) -> Result<(), Fault> {
    let fault = |reader: &Reader<'_>, rule| Fault::broken(reader.off(), rule);
    let descriptor = reader.take(9).map_err(|_| fault(reader, "TruncatedImageDescriptor"))?;
    let flags = descriptor.last().copied().unwrap_or(0);
    let code_size_len = 1;
    reader.seek(reader.off().saturating_add(color_table_len(flags)).saturating_add(code_size_len));
    loop {
        let len = reader.u8().map_err(|_| fault(reader, "TruncatedImageDataBlock"))?;
        if len == 0 {
            return Ok(());
        }
        reader.skip(usize::from(len)).map_err(|_| fault(reader, "TruncatedImageDataBlock"))?;
    }
}

/// Returns the bytes of a colour table, of which the flags say whether it is there and how large.
fn color_table_len(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << (usize::from(flags & 7) + 1) }
}
