//! The perceptual hash of an image, as `fuzzy_img` signatures compare it.
//!
//! Promises: the same eight bytes as `sigtool --fuzzy-img`; bounded: at most [`SIDE_MAX`] pixels a side,
//! [`PIXELS_MAX`] pixels and [`MEMORY_MAX`] bytes while decoding.
//! Leaves out: animation (the first frame counts) and alpha (dropped).
//! Sources: ClamAV's published documentation of image fuzzy hashing; compared with sigtool 1.4.6 on generated
//! images of every format and colour type.

use std::io::Cursor;

use hf_core::FileType;
use image::{
    DynamicImage, GrayImage, ImageDecoder as _, ImageFormat, ImageReader, Luma,
    imageops::FilterType,
};
use rustdct::DctPlanner;

/// Pixels of a side; ours: far above any picture sent to deceive.
const SIDE_MAX: u32 = 16_384;
/// Pixels; ours: with three bytes each they still fit beside the decoder.
const PIXELS_MAX: u64 = 32 << 20;
/// Bytes while decoding; ours.
const MEMORY_MAX: u64 = 128 << 20;
/// Side of the picture that is transformed.
const SIDE: usize = 32;
/// Side of the low frequencies that are kept.
const KEPT: usize = 8;

/// Returns the perceptual hash of an image of this type.
///
/// # Errors
/// A text for people: the image cannot be decoded within the limits.
pub fn image_hash(bytes: &[u8], file_type: FileType) -> Result<[u8; 8], String> {
    let image = decode(bytes, file_type)?;
    let gray = gray(image);
    let side = u32::try_from(SIDE).unwrap_or(u32::MAX);
    let small = image::imageops::resize(&gray, side, side, FilterType::Lanczos3);
    let samples: Vec<f32> = small.pixels().map(|pixel| f32::from(pixel.0[0])).collect();
    Ok(bits(&low_frequencies(&samples)))
}

fn decode(bytes: &[u8], file_type: FileType) -> Result<DynamicImage, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    if reader.format().is_none() {
        reader.set_format(match file_type {
            FileType::Png => ImageFormat::Png,
            FileType::Gif => ImageFormat::Gif,
            FileType::Jpeg => ImageFormat::Jpeg,
            FileType::Tiff => ImageFormat::Tiff,
            _ => return Err("unknown image format".to_owned()),
        });
    }
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(MEMORY_MAX);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if u64::from(width).saturating_mul(u64::from(height)) > PIXELS_MAX {
        return Err("too many pixels".to_owned());
    }
    DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())
}

fn gray(image: DynamicImage) -> GrayImage {
    let colour = image.into_rgb8();
    let mut gray = GrayImage::new(colour.width(), colour.height());
    for (to, from) in gray.pixels_mut().zip(colour.pixels()) {
        let [red, green, blue] = from.0.map(f32::from);
        *to = Luma([rounded(0.299 * red + 0.587 * green + 0.114 * blue)]);
    }
    gray
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is in 0..=255"
)]
fn rounded(value: f32) -> u8 {
    value.round() as u8
}

/// Returns the 8 × 8 lowest frequencies, row by row.
///
/// In flat pictures most of them are nothing but rounding noise, and the noise is part of the hash:
/// the transform must be the very one that ClamAV uses, in `f32`.
fn low_frequencies(samples: &[f32]) -> Vec<f32> {
    let transform = DctPlanner::new().plan_dct2(SIDE);
    let mut columns = vec![0f32; SIDE * SIDE];
    for (x, column) in (0..SIDE).zip(columns.chunks_exact_mut(SIDE)) {
        for (to, from) in column.iter_mut().zip(samples.iter().skip(x).step_by(SIDE)) {
            *to = *from;
        }
        transform.process_dct2(column);
        column.iter_mut().for_each(|value| *value *= 2.0);
    }
    // `columns` holds a column in each row; what is wanted are the first rows of the transform.
    let mut kept = Vec::with_capacity(KEPT * KEPT);
    for y in 0..KEPT {
        let mut row: Vec<f32> = columns.iter().skip(y).step_by(SIDE).copied().collect();
        transform.process_dct2(&mut row);
        kept.extend(row.iter().take(KEPT).map(|value| value * 2.0));
    }
    kept
}

fn bits(kept: &[f32]) -> [u8; 8] {
    let mut sorted = kept.to_vec();
    sorted.sort_by(f32::total_cmp);
    let middle = |at: usize| sorted.get(at).copied().unwrap_or_default();
    let median = f32::midpoint(middle(31), middle(32));
    let mut hash = [0u8; 8];
    for (byte, row) in hash.iter_mut().zip(kept.chunks_exact(KEPT)) {
        *byte = row.iter().fold(0, |bits, value| (bits << 1) | u8::from(*value > median));
    }
    hash
}
