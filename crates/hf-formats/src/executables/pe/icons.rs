//! Icons of a PE: their measures, and how alike two icons are.
//!
//! Promises: for icons of 16, 24 and 32 pixels with colours, the same colour, grey, bright and dark areas and
//! the same shares of colours as clamscan 1.4.6 prints them (`--debug`, "IDB SIGNATURE").
//! Leaves out: the areas with most and fewest edges — their filter has no public description and was not
//! derived; they are zero here, and [`icon_matches`] judges by the rest. Icons without colours therefore
//! never match: too little is known of them. Icons stored as PNG and other sizes are passed over, as by ClamAV.
//! Bounded: icons by the caller, pixels by the three sizes.
//! Sources: ClamAV's published layout of icon signatures; Microsoft, `BITMAPINFOHEADER` and icon resources; all
//! numbers from black-box runs over generated icons.

use hf_core::{Defect, ExeKind, ExeView, IconMetrics};

use super::{
    headers::Headers,
    resources::{self, Id, Resource},
};
use crate::reader::{Reader, size};

type Area = (u32, u32, u32);
type Pixel = [u32; 3];

/// Entries of one icon group that are looked at; ours.
const GROUP_LEN_MAX: u16 = 256;
/// Entries of all icon groups together; ours.
const MEMBERS_MAX: usize = 1024;
/// A pixel counts as coloured above this saturation and this value.
const COLOURED_ABOVE: u32 = 85;
/// An icon counts as coloured above this share of such pixels, in percent.
const COLOURED_SHARE_ABOVE: u32 = 5;
/// Least likeness of two icons, in percent.
const LIKENESS_MIN: u32 = 64;
/// Areas differ beyond a fifth of the range of their values.
const COLOR_TOLERANCE: u32 = 4072 / 5;
const LIGHT_TOLERANCE: u32 = 255 / 5;

/// Returns the measures of at most so many icons, in the order of the groups.
#[must_use]
pub fn icons(bytes: &[u8], view: &ExeView, max_icons: usize) -> Vec<IconMetrics> {
    if view.kind != ExeKind::Pe {
        return Vec::new();
    }
    let Ok(headers) = Headers::read(bytes) else { return Vec::new() };
    let all = resources::resources(bytes, &headers);
    let groups = all.iter().filter(|resource| resource.kind == resources::GROUP_ICON);
    let mut found = Vec::new();
    let mut members_left = MEMBERS_MAX;
    for group in groups {
        for id in group_members(data(bytes, group)).unwrap_or_default() {
            if found.len() >= max_icons || members_left == 0 {
                return found;
            }
            members_left -= 1;
            let icon = all
                .iter()
                .find(|icon| icon.kind == resources::ICON && icon.id == Id::Number(u32::from(id)));
            let picture = icon.and_then(|icon| Picture::read(data(bytes, icon)).ok().flatten());
            found.extend(picture.map(|picture| picture.metrics()));
        }
    }
    found
}

/// True when an icon is as alike to that of a signature as ClamAV wants, judged without edges.
#[must_use]
pub fn icon_matches(signature: &IconMetrics, icon: &IconMetrics) -> bool {
    if signature.size != icon.size {
        return false;
    }
    let share = |metrics: &IconMetrics| metrics.rgb_sums.last().copied().unwrap_or(0);
    let group = |of: fn(&IconMetrics) -> &[Area; 3], tolerance| {
        likeness(of(signature), of(icon), icon.size, tolerance)
    };
    let bright = group(|metrics| &metrics.bright, LIGHT_TOLERANCE);
    let dark = group(|metrics| &metrics.dark, LIGHT_TOLERANCE);
    let sums = signature.rgb_sums.iter().zip(&icon.rgb_sums);
    let spread: u32 =
        sums.map(|(a, b)| 100u32.saturating_sub(a.abs_diff(*b) * 10)).sum::<u32>() / 4;
    // Weights in 36ths; what edges would weigh is left out of the total as well.
    let (likeness, possible, known) = match (share(signature) > 0, share(icon) > 0) {
        (true, true) => {
            let color = group(|metrics| &metrics.color, COLOR_TOLERANCE);
            let gray = group(|metrics| &metrics.gray, COLOR_TOLERANCE);
            (6 * color + 4 * gray + 4 * bright + 6 * dark + 6 * spread, 36, 26)
        }
        (false, false) => return false,
        _ => (4 * bright + 6 * dark + 6 * spread, 26, 16),
    };
    likeness * possible >= LIKENESS_MIN * 36 * known
}

/// Returns how alike three areas are, in percent: each counts with the icon's area that fits it best.
fn likeness(signature: &[Area; 3], icon: &[Area; 3], side: u32, tolerance: u32) -> u32 {
    let distance_max = (side * 3 / 16).max(1);
    let pair = |a: &Area, b: &Area| {
        let (dx, dy) = (a.1.abs_diff(b.1), a.2.abs_diff(b.2));
        let distance = (dx.saturating_mul(dx)).saturating_add(dy.saturating_mul(dy)).isqrt();
        if a.0.abs_diff(b.0) > tolerance || distance > distance_max {
            return 0;
        }
        100 - distance * 60 / distance_max
    };
    let best = |a| icon.iter().map(|b| pair(a, b)).max().unwrap_or(0);
    signature.iter().map(best).sum::<u32>() / 3
}

fn data<'a>(bytes: &'a [u8], resource: &Resource) -> &'a [u8] {
    bytes.get(resource.off..resource.off.saturating_add(resource.len)).unwrap_or_default()
}

fn group_members(group: &[u8]) -> Result<Vec<u16>, Defect> {
    let mut reader = Reader::at(group, 4);
    let count = reader.u16_le()?.min(GROUP_LEN_MAX);
    let mut ids = Vec::new();
    for _ in 0..count {
        reader.skip(12)?;
        ids.push(reader.u16_le()?);
    }
    Ok(ids)
}

/// The pixels of an icon on a white ground, row by row from the top.
struct Picture {
    side: usize,
    pixels: Vec<Pixel>,
}

impl Picture {
    /// Reads an icon; none when it is of a kind that is passed over.
    fn read(icon: &[u8]) -> Result<Option<Self>, Defect> {
        let mut header = Reader::new(icon);
        let header_len = size(u64::from(header.u32_le()?));
        let side = size(u64::from(header.u32_le()?));
        let double_height = size(u64::from(header.u32_le()?));
        header.skip(2)?;
        let bits = usize::from(header.u16_le()?);
        let compression = header.u32_le()?;
        header.skip(12)?;
        let palette_len = match header.u32_le()? {
            _ if bits > 8 => 0,
            0 => 1usize.checked_shl(u32::try_from(bits).unwrap_or(0)).unwrap_or(0),
            stored => size(u64::from(stored)).min(256),
        };
        let known = matches!(side, 16 | 24 | 32)
            && double_height == side * 2
            && header_len == 40
            && compression == 0
            && matches!(bits, 1 | 4 | 8 | 24 | 32);
        if !known {
            return Ok(None);
        }
        let mut reader = Reader::at(icon, header_len);
        let palette = reader.take(palette_len * 4)?;
        let row_len = (side * bits).div_ceil(32) * 4;
        let rows = reader.take(row_len * side)?;
        let mask_len = side.div_ceil(32) * 4;
        let mask = reader.take_up_to(mask_len * side);
        let has_alpha = bits == 32 && rows.iter().skip(3).step_by(4).any(|alpha| *alpha != 0);
        let mut pixels = Vec::with_capacity(side * side);
        for y in (0..side).rev() {
            let row = rows.get(y * row_len..).unwrap_or_default();
            let masks = mask.get(y * mask_len..).unwrap_or_default();
            for x in 0..side {
                let (colour, alpha) = pixel(row, x, bits, palette);
                let alpha = if has_alpha {
                    alpha
                } else if masks.get(x / 8).is_some_and(|byte| byte >> (7 - x % 8) & 1 == 1) {
                    0
                } else {
                    255
                };
                pixels.push(colour.map(|value| (value * alpha + 255 * (255 - alpha)) / 255));
            }
        }
        Ok(Some(Self { side, pixels }))
    }

    fn metrics(&self) -> IconMetrics {
        let lights: Vec<u32> = self.pixels.iter().map(|pixel| sorted(pixel)[2]).collect();
        let colors: Vec<u32> = self.pixels.iter().map(strength).collect();
        IconMetrics {
            size: u32::try_from(self.side).unwrap_or(0),
            color: self.most(&colors),
            gray: self.least(&colors),
            bright: self.most(&lights),
            dark: self.least(&lights),
            rgb_sums: self.shares(),
            ..IconMetrics::default()
        }
    }

    /// Returns the shares of red, green, blue and of coloured pixels, in percent.
    fn shares(&self) -> [u32; 4] {
        let coloured: Vec<&Pixel> = self.pixels.iter().filter(|pixel| is_coloured(pixel)).collect();
        let count = u32::try_from(coloured.len()).unwrap_or(0);
        let share = count * 100 / u32::try_from(self.pixels.len()).unwrap_or(1).max(1);
        if share <= COLOURED_SHARE_ABOVE {
            return [0; 4];
        }
        let mut sums = [0; 3];
        for pixel in coloured {
            let [min, middle, max] = sorted(pixel);
            // What is above the middle belongs to the strongest channel, what is below counts
            // for the weakest: yellow is told as the absence of blue.
            let parts = [(max, max - middle), (min, middle - min)];
            for (value, part) in parts {
                let channel = pixel.iter().position(|channel| *channel == value);
                if let Some(sum) = channel.and_then(|channel| sums.get_mut(channel)) {
                    *sum += (part * 100).div_ceil((max - min).max(1));
                }
            }
        }
        let [red, green, blue] = sums.map(|sum: u32| sum / count);
        [red, green, blue, share]
    }

    fn most(&self, values: &[u32]) -> [Area; 3] {
        self.areas(values, |sum, best| best.is_none_or(|best| sum > best) && sum > 0)
    }

    fn least(&self, values: &[u32]) -> [Area; 3] {
        self.areas(values, |sum, best| best.is_none_or(|best| sum < best))
    }

    /// Returns the average and place of the three best squares that do not overlap.
    fn areas(&self, values: &[u32], better: fn(u32, Option<u32>) -> bool) -> [Area; 3] {
        let edge = self.side / 4;
        let mut found = [(0, 0, 0); 3];
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for area in &mut found {
            let mut best: Option<(u32, usize, usize)> = None;
            // The last column of squares is never looked at.
            for (y, x) in (0..self.side - edge)
                .flat_map(|y| (0..self.side - edge - 1).map(move |x| (y, x)))
                .filter(|(y, x)| {
                    !taken.iter().any(|(ty, tx)| ty.abs_diff(*y) < edge && tx.abs_diff(*x) < edge)
                })
            {
                let rows = values.chunks(self.side).skip(y).take(edge);
                let sum = rows.map(|row| row.iter().skip(x).take(edge).sum::<u32>()).sum();
                if better(sum, best.map(|best| best.0)) {
                    best = Some((sum, y, x));
                }
            }
            let (sum, y, x) = best.unwrap_or_default();
            taken.push((y, x));
            let count = u32::try_from(edge * edge).unwrap_or(1).max(1);
            *area = (sum / count, u32::try_from(x).unwrap_or(0), u32::try_from(y).unwrap_or(0));
        }
        found
    }
}

/// Returns a pixel as red, green, blue, and its alpha.
fn pixel(row: &[u8], x: usize, bits: usize, palette: &[u8]) -> (Pixel, u32) {
    let byte = |off: usize| row.get(off).copied().unwrap_or(0);
    let bgra = match bits {
        32 => [byte(x * 4), byte(x * 4 + 1), byte(x * 4 + 2), byte(x * 4 + 3)],
        24 => [byte(x * 3), byte(x * 3 + 1), byte(x * 3 + 2), 255],
        _ => {
            let per_byte = 8 / bits;
            let shift = 8 - bits - (x % per_byte) * bits;
            let mask = (1usize << bits) - 1;
            let idx = usize::from(byte(x / per_byte)) >> shift & mask;
            let at = |channel: usize| palette.get(idx * 4 + channel).copied().unwrap_or(0);
            [at(0), at(1), at(2), 255]
        }
    };
    let [blue, green, red, alpha] = bgra.map(u32::from);
    ([red, green, blue], alpha)
}

fn sorted(pixel: &Pixel) -> Pixel {
    let mut pixel = *pixel;
    pixel.sort_unstable();
    pixel
}

fn saturation(pixel: &Pixel) -> u32 {
    let [min, _, max] = sorted(pixel);
    ((max - min) * 255).checked_div(max).unwrap_or(0)
}

/// Returns how strong a colour is: saturation times the root of the value.
fn strength(pixel: &Pixel) -> u32 {
    let [_, _, max] = sorted(pixel);
    let saturation = saturation(pixel);
    // The root of the product of squares is exact where the product of roots would not be.
    (max * saturation * saturation).isqrt()
}

fn is_coloured(pixel: &Pixel) -> bool {
    let [_, _, max] = sorted(pixel);
    saturation(pixel) > COLOURED_ABOVE && max > COLOURED_ABOVE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coloured() -> IconMetrics {
        IconMetrics {
            size: 32,
            color: [(3800, 4, 4), (3000, 4, 16), (2500, 16, 4)],
            gray: [(100, 20, 20), (200, 12, 20), (300, 20, 12)],
            bright: [(250, 4, 4), (240, 12, 4), (230, 4, 12)],
            dark: [(10, 20, 20), (20, 12, 20), (30, 20, 12)],
            rgb_sums: [60, 30, 10, 50],
            ..IconMetrics::default()
        }
    }

    #[track_caller]
    fn check(matches: bool, change: impl Fn(&mut IconMetrics)) {
        let mut icon = coloured();
        change(&mut icon);
        assert_eq!(icon_matches(&coloured(), &icon), matches);
    }

    #[test]
    fn alike_enough() {
        check(true, |_| {});
        check(false, |icon| icon.size = 24);
        check(true, |icon| icon.dark = [(255, 0, 0); 3]);
        check(true, |icon| icon.color.iter_mut().for_each(|area| area.1 += 6));
        check(true, |icon| icon.rgb_sums[3] = 0);
        check(false, |icon| icon.rgb_sums = [0; 4]);
        check(false, |icon| {
            icon.dark = [(255, 0, 0); 3];
            icon.color = [(0, 0, 0); 3];
            icon.bright = [(0, 0, 0); 3];
        });
    }
}
