//! Literals sorted into sixteen groups by the halves of their first bytes.
//!
//! Promises: each literal is in a group whose halves it has; groups are joined so that few places pass.
//! Source of the idea: Langdale's "Teddy" in Hyperscan, as the documentation of the aho-corasick crate
//! describes it.

/// The bytes of a literal from where it is looked at; those behind the first [`OPENING_LEN`] do not count.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Bytes, of which there is one at least.
    pub bytes: &'a [u8],
    /// Found in lower and in upper case.
    pub nocase: bool,
}

/// Which halves the first bytes of some literals have: bit `h` of a number for half `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group(pub(crate) [u16; HALVES]);

impl Group {
    fn of(opening: &Opening<'_>) -> Self {
        let mut group = Self([0; HALVES]);
        for (halves, at) in group.0.as_chunks_mut::<2>().0.iter_mut().zip(0..) {
            let Some(byte) = opening.bytes.get(at) else {
                *halves = [u16::MAX; 2];
                continue;
            };
            for byte in opening.cases(*byte) {
                halves[0] |= 1 << (byte & 15);
                halves[1] |= 1 << (byte >> 4);
            }
        }
        group
    }

    fn with(self, other: Self) -> Self {
        let mut both = self;
        both.0.iter_mut().zip(other.0).for_each(|(one, two)| *one |= two);
        both
    }

    /// About how many of all places pass, of 2^24.
    pub(crate) fn passing(self) -> u64 {
        let share = |halves: &[u16; 2]| {
            let [low, mut high] = *halves;
            let mut passing = 0;
            while high != 0 {
                let half = usize::try_from(high.trailing_zeros()).unwrap_or(0);
                passing += UPPER_HALVES.get(half).copied().unwrap_or(0);
                high &= high.wrapping_sub(1);
            }
            u64::from(low.count_ones().wrapping_mul(passing))
        };
        let pairs = self.0.as_chunks::<2>().0.iter();
        pairs.fold(1 << 24, |passing: u64, halves| passing.wrapping_mul(share(halves)) >> 12)
    }
}

impl Opening<'_> {
    /// The forms in which a byte of it is found.
    pub(crate) fn cases(&self, byte: u8) -> [u8; 2] {
        match self.nocase {
            true => [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()],
            false => [byte; 2],
        }
    }

    /// About how many of 2^24 places of texts and programs begin like it.
    #[must_use]
    pub fn passing(&self) -> u64 {
        Group::of(self).passing()
    }
}

/// Sorts literals into at most [`GROUPS`] groups; none when there are more than can be sorted in time.
pub(crate) fn sort<'a>(openings: impl Iterator<Item = Opening<'a>>) -> Option<Vec<Group>> {
    let mut groups: Vec<Group> = openings.map(|opening| Group::of(&opening)).collect();
    groups.sort_unstable();
    groups.dedup();
    if groups.len() > OPENINGS_MAX { None } else { join(groups) }
}

/// Joins those two groups of which both together let the fewest more places pass, until there are
/// few enough. What each pair would cost is kept, since one of them changes little.
fn join(mut groups: Vec<Group>) -> Option<Vec<Group>> {
    let growth = |one: Group, two: Group| {
        one.with(two).passing().saturating_sub(one.passing().max(two.passing()))
    };
    let row = |groups: &[Group], two: usize| -> Vec<u64> {
        let (before, rest) = groups.split_at(two);
        let Some(own) = rest.first() else { return Vec::new() };
        before.iter().map(|one| growth(*one, *own)).collect()
    };
    let least = |row: &[u64]| row.iter().copied().zip(0usize..).min();
    // The row of a group has one number for each group in front of it, and the least of them.
    let rows = (0..groups.len()).map(|two| row(&groups, two));
    let mut rows: Vec<_> = rows.map(|row| (least(&row), row)).collect();
    while groups.len() > GROUPS {
        let each = rows.iter().zip(0usize..);
        let (_, one, two) =
            each.filter_map(|((least, _), two)| least.map(|(cost, one)| (cost, one, two))).min()?;
        let gone = groups.remove(two);
        rows.remove(two);
        let grown = groups.get_mut(one)?;
        *grown = grown.with(gone);
        let grown = *grown;
        let own = row(&groups, one);
        *rows.get_mut(one)? = (least(&own), own);
        for (later, (known, row)) in rows.iter_mut().enumerate().skip(one.saturating_add(1)) {
            if later >= two {
                row.remove(two);
            }
            let cost = growth(grown, *groups.get(later)?);
            *row.get_mut(one)? = cost;
            *known = match *known {
                Some((least, at)) if at != one && at != two => {
                    let at = if at > two { at.saturating_sub(1) } else { at };
                    Some((least, at).min((cost, one)))
                }
                _ => least(row),
            };
        }
    }
    Some(groups)
}

/// Bytes of a literal that are looked at.
pub const OPENING_LEN: usize = 4;
/// Lower and upper half of each.
pub(crate) const HALVES: usize = 2 * OPENING_LEN;
/// Groups that are told apart: two bytes of a bit each.
pub(crate) const GROUPS: usize = 16;
/// Ours: of 256 bytes of texts, about so many have this upper half.
const UPPER_HALVES: [u32; 16] = [12, 2, 48, 16, 12, 12, 88, 48, 3, 2, 2, 2, 2, 2, 2, 3];
/// Ours: sorting takes time that grows with the cube of their number.
const OPENINGS_MAX: usize = 256;
