//! The structure of JPEG: segments up to the first scan.
//!
//! Leaves out: the compressed pixels and everything behind the first `SOS` or JPEG-LS frame; quantisation and Huffman tables
//! are not read. The JPEG thumbnails of Photoshop are walked as well.
//! Sources: [1] ITU-T T.81 annex B and T.84 annex F; [2] JFIF 1.02; [3] Exif 2.3; [4] Adobe, "Photoshop File
//! Formats", image resources; [5] black-box runs of clamscan 1.4.6 for which order it calls broken.

use super::{Fault, Walk};
use crate::reader::{Reader, size};

/// Bytes in which a marker must be found [5].
const MARKER_WITHIN: usize = 16;
/// Bytes that an application header has at least, its identifier included [5].
const HEADER_LEN_MIN: usize = 14;
/// Segments between JFIF and Exif, comments and `APP13` left out [5].
const BETWEEN_JFIF_AND_EXIF_MAX: u32 = 1;
/// Thumbnails in thumbnails; ours.
const DEPTH_MAX: u32 = 3;

const SOS: u8 = 0xda;
const EOI: u8 = 0xd9;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP8: u8 = 0xe8;
const APP13: u8 = 0xed;
const COM: u8 = 0xfe;
const DTI: u8 = 0xf1;
const DTT: u8 = 0xf2;
const JPG7: u8 = 0xf7;

/// Walks over the segments.
pub(super) fn walk(object: &[u8]) -> Walk {
    let mut walk = Walk::default();
    walk.fault = segments(object, 0, &mut walk.size).err();
    walk
}

/// What was seen before a segment.
#[derive(Default)]
struct Seen {
    jfif: bool,
    exif: bool,
    spiff: bool,
    /// The segment just before was `DTI`.
    dti: bool,
    /// Segments behind JFIF, comments and `APP13` left out.
    behind_jfif: u32,
    /// One comment or `APP13`, which may stand in front of an application header.
    prefix: bool,
    /// Something that an application header must not follow.
    other: bool,
}

fn segments(object: &[u8], depth: u32, pixels: &mut Option<(u32, u32)>) -> Result<(), Fault> {
    let mut reader = Reader::at(object, 2);
    let mut seen = Seen::default();
    loop {
        let marker = marker(&mut reader)?;
        let size_off = reader.off();
        let fault = |rule| Fault::broken(size_off, rule);
        let len = reader.u16_be().map_err(|_| fault("CantReadSegmentSize"))?;
        let Some(data_len) = usize::from(len).checked_sub(2) else {
            return Err(if marker == COM {
                Fault::CommentLength(u64::try_from(size_off).unwrap_or(u64::MAX))
            } else {
                fault("InvalidSegmentSize")
            });
        };
        // One byte may be missing at the end of the file [5].
        if reader.left().saturating_add(1) < data_len {
            return Err(fault("SegmentDataOutOfFile"));
        }
        let data = reader.take_up_to(data_len);
        match marker {
            SOS => return Ok(()),
            EOI => return Err(fault("NoImages")),
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let mut frame = Reader::at(data, 1);
                let height = frame.u16_be().ok().map(u32::from);
                *pixels = frame.u16_be().ok().map(u32::from).zip(height);
            }
            APP13 if depth < DEPTH_MAX => thumbnails(data, depth)?,
            _ => {}
        }
        seen.check(marker, data, data_len).map_err(fault)?;
        seen.dti = marker == DTI;
        // JPEG-LS has no segments that are known here [5].
        if marker == JPG7 {
            return Ok(());
        }
    }
}

/// Moves behind the next marker and returns it.
fn marker(reader: &mut Reader<'_>) -> Result<u8, Fault> {
    let start = reader.off();
    let mut after_ff = false;
    for _ in 0..MARKER_WITHIN {
        let Ok(byte) = reader.u8() else {
            return Err(Fault::broken(start, "CantReadSegmentSize"));
        };
        if after_ff && byte != 0xff {
            return Ok(byte);
        }
        after_ff = byte == 0xff;
    }
    Err(Fault::broken(start, "SpuriousBytesBeforeSegment"))
}

impl Seen {
    /// Judges the order of segments, and takes note of one.
    fn check(&mut self, marker: u8, data: &[u8], data_len: usize) -> Result<(), &'static str> {
        match marker {
            APP0 if data.starts_with(b"JFIF\0") => {
                if self.jfif {
                    return Err("JFIFdupAppMarker");
                }
                if self.spiff || self.other {
                    return Err("JFIFmarkerBadPosition");
                }
                self.jfif = true;
                long_enough(data_len, "JFIFheaderTooShort")
            }
            APP1 if data.starts_with(b"Exif\0\0") => {
                if self.exif || self.spiff {
                    return Err("ExifDupAppMarker");
                }
                if self.behind_jfif > BETWEEN_JFIF_AND_EXIF_MAX {
                    return Err("ExifHeaderBadPosition");
                }
                self.exif = true;
                long_enough(data_len, "ExifHeaderTooShort")
            }
            APP8 if data.starts_with(b"SPIFF\0") => {
                if self.jfif || self.exif || self.spiff {
                    return Err("SPIFFdupAppMarker");
                }
                if self.other {
                    return Err("SPIFFmarkerBadPosition");
                }
                self.spiff = true;
                long_enough(data_len, "SPIFFheaderTooShort")
            }
            JPG7 => {
                let behind_header = self.jfif || self.exif || self.spiff;
                if behind_header { Err("AppMarkerBeforeJPG7") } else { Ok(()) }
            }
            DTT if !self.dti => Err("DTTMissingDTISegment"),
            COM | APP13 => {
                self.other |= self.prefix;
                self.prefix = true;
                Ok(())
            }
            _ => {
                self.behind_jfif = self.behind_jfif.saturating_add(u32::from(self.jfif));
                self.other = true;
                Ok(())
            }
        }
    }
}

fn long_enough(data_len: usize, rule: &'static str) -> Result<(), &'static str> {
    if data_len < HEADER_LEN_MIN { Err(rule) } else { Ok(()) }
}

/// Walks over the JPEG thumbnails in the image resources of Photoshop [4].
fn thumbnails(data: &[u8], depth: u32) -> Result<(), Fault> {
    let Some(resources) = data.strip_prefix(b"Photoshop 3.0\0") else { return Ok(()) };
    let mut reader = Reader::new(resources);
    while let Ok(resource) = image_resource(&mut reader) {
        if let Some(thumbnail) = resource
            && thumbnail.starts_with(b"\xff\xd8")
        {
            segments(thumbnail, depth.saturating_add(1), &mut None)?;
        }
    }
    Ok(())
}

fn image_resource<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, hf_core::Defect> {
    let signature_off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
    if reader.take(4)? != b"8BIM" {
        return Err(hf_core::Defect::new(signature_off, "8BIM"));
    }
    let id = reader.u16_be()?;
    let name_len = usize::from(reader.u8()?);
    // The name with its length, and the data, are padded to an even length.
    reader.skip(name_len | 1)?;
    let len = size(u64::from(reader.u32_be()?));
    let data = reader.take_up_to(len);
    let _ = reader.take_up_to(len & 1);
    let header_len = 28;
    Ok(data.get(header_len..).filter(|_| matches!(id, 0x0409 | 0x040c)))
}
