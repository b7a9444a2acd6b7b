//! Whether an icon looks like one of a signature.
//!
//! The measures are compared one by one with a tolerance that is ours: no description of how near
//! they must be is published.

use hf_core::IconMetrics;
use hf_core::signature::IconSig;

/// True when a signature is of the groups asked for; `*` stands for any.
pub(super) fn in_groups(sig: &IconSig, groups: (Option<&str>, Option<&str>)) -> bool {
    let fits = |wanted: Option<&str>, group: &str| {
        wanted.is_none_or(|wanted| wanted == "*" || wanted == group)
    };
    fits(groups.0, &sig.group1) && fits(groups.1, &sig.group2)
}

/// True when two icons of the same size look alike: of the points of each kind at least two lie
/// near one of the other's with nearly the same value, and the shares of colours are nearly equal.
pub(super) fn alike(one: &IconMetrics, two: &IconMetrics) -> bool {
    let kinds = [
        (&one.color, &two.color, WIDE_RANGE),
        (&one.gray, &two.gray, WIDE_RANGE),
        (&one.bright, &two.bright, BYTE_RANGE),
        (&one.dark, &two.dark, BYTE_RANGE),
        (&one.edge, &two.edge, BYTE_RANGE),
        (&one.noedge, &two.noedge, BYTE_RANGE),
    ];
    let near_kinds = kinds.iter().filter(|(one, two, range)| near_points(one, two, *range)).count();
    let sums = one.rgb_sums.iter().zip(&two.rgb_sums);
    one.size == two.size
        && near_kinds >= KINDS_MIN
        && sums.into_iter().all(|(one, two)| one.abs_diff(*two) <= SUM_SLACK)
}

type Points = [(u32, u32, u32); 3];

fn near_points(one: &Points, two: &Points, range: u32) -> bool {
    let near = |point: &&(u32, u32, u32)| {
        two.iter().any(|other| {
            point.0.abs_diff(other.0) <= range / 10
                && point.1.abs_diff(other.1) <= PLACE_SLACK
                && point.2.abs_diff(other.2) <= PLACE_SLACK
        })
    };
    one.iter().filter(near).count() >= 2
}

/// The format's: averages of colour and grey squares go up to 4072.
const WIDE_RANGE: u32 = 4072;
/// The format's: other averages are bytes.
const BYTE_RANGE: u32 = 255;
/// Ours: kinds of points, of six, that must agree.
const KINDS_MIN: usize = 5;
/// Ours: percent.
const SUM_SLACK: u32 = 10;
/// Ours: pixels.
const PLACE_SLACK: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_the_same_is_alike() {
        let points = [(200, 4, 4), (180, 10, 12), (90, 2, 14)];
        let icon = IconMetrics {
            size: 32,
            color: points,
            gray: points,
            bright: points,
            dark: points,
            edge: points,
            noedge: points,
            rgb_sums: [30, 30, 40, 80],
        };
        let nearly = IconMetrics { rgb_sums: [31, 29, 40, 84], ..icon.clone() };
        assert!(alike(&icon, &icon) && alike(&icon, &nearly));
        assert!(!alike(&icon, &IconMetrics { size: 16, ..icon.clone() }));
        assert!(!alike(&icon, &IconMetrics { rgb_sums: [90, 5, 5, 80], ..icon.clone() }));
        let elsewhere = [(20, 30, 30), (10, 28, 1), (1, 20, 3)];
        let other = IconMetrics { color: elsewhere, gray: elsewhere, ..icon.clone() };
        assert!(!alike(&icon, &other));
    }
}
