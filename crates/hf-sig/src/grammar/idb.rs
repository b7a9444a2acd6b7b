//! Icons: `idb`.
//!
//! `NAME:GROUP1:GROUP2:HASH`; the hash is 124 hexadecimal digits: the size, six channels of three squares each, then
//! shares of red, green, blue and of coloured pixels.
//! Sources: ClamAV's documentation of icon signatures; clamscan 1.4.6 for the bounds.

use hf_core::{IconMetrics, signature::IconSig};

use super::Lines;
use crate::{
    diagnostic::{Fault, codes},
    load::{Loading, Outcome},
    text::{Text, hex_digit},
};

pub(super) const LINES: Lines = Lines::new(read);

const DIGITS: usize = 124;
/// Largest average colour.
const AVERAGE_MAX: u32 = 4072;
/// Largest sum of the shares of red, green and blue.
const SUM_MAX: u32 = 103;
/// Largest share of coloured pixels.
const COLORED_MAX: u32 = 100;

fn read(loading: &mut Loading<'_>, line: Text<'_>) -> Result<Outcome, Fault> {
    let fields = line.split(b':');
    let [name, group1, group2, hash] = fields[..] else {
        let reason = format!("an icon signature has 4 fields, here are {}", fields.len());
        return Err(line.fault(&codes::FIELDS, reason));
    };
    if loading.is_ignored(name, line) {
        return Ok(Outcome::Ignored);
    }
    let sig = IconSig {
        group1: group1.lossy().into_owned(),
        group2: group2.lossy().into_owned(),
        metrics: read_metrics(hash)?,
    };
    // The name is never told: ClamAV takes an empty one too.
    let name = name.lossy();
    loading.out.icon(loading.place.meta(&name), sig);
    Ok(Outcome::Taken)
}

fn read_metrics(hash: Text<'_>) -> Result<IconMetrics, Fault> {
    if hash.len() != DIGITS {
        let reason = format!("an icon hash has {DIGITS} digits, here are {}", hash.len());
        return Err(hash.fault(&codes::ICON, reason));
    }
    let mut digits = Digits { text: hash, pos: 0 };
    let size = digits.number(2)?;
    if !matches!(size, 16 | 24 | 32) {
        return Err(digits.fault("the size is not 16, 24 or 32"));
    }
    let place_max = size - size / 8;
    let mut metrics = IconMetrics { size, ..IconMetrics::default() };
    for (channel, average_digits) in [
        (&mut metrics.color, 3),
        (&mut metrics.gray, 3),
        (&mut metrics.bright, 2),
        (&mut metrics.dark, 2),
        (&mut metrics.edge, 2),
        (&mut metrics.noedge, 2),
    ] {
        for square in channel {
            let average = digits.number(average_digits)?;
            if average > AVERAGE_MAX {
                return Err(digits.fault("the average is too large"));
            }
            let x = digits.number(2)?;
            let y = digits.number(2)?;
            if x > place_max || y > place_max {
                return Err(digits.fault("the square lies outside of the icon"));
            }
            *square = (average, x, y);
        }
    }
    for share in &mut metrics.rgb_sums {
        *share = digits.number(2)?;
    }
    let [red, green, blue, colored] = metrics.rgb_sums;
    if red + green + blue > SUM_MAX || colored > COLORED_MAX {
        return Err(digits.fault("the shares of colours are too large"));
    }
    Ok(metrics)
}

struct Digits<'a> {
    text: Text<'a>,
    pos: usize,
}

impl Digits<'_> {
    fn number(&mut self, count: usize) -> Result<u32, Fault> {
        let start = self.pos;
        self.pos += count;
        let mut value = 0;
        for byte in self.text.cut(start..self.pos).bytes() {
            let Some(digit) = hex_digit(*byte) else {
                return Err(self.fault("not a hexadecimal digit"));
            };
            value = value << 4 | u32::from(digit);
        }
        Ok(value)
    }

    /// Points at the last number.
    fn fault(&self, reason: &str) -> Fault {
        self.text.cut(self.pos.saturating_sub(2)..self.pos).fault(&codes::ICON, reason)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Got, check, take};

    /// Returns a hash of zeros with some digits replaced.
    fn hash(at: usize, digits: &str) -> String {
        let mut text = format!("20{}", "0".repeat(122));
        text.replace_range(at..at + digits.len(), digits);
        text
    }

    #[test]
    fn hashes() {
        let bad = Got::Refused("HF0402");
        for (hash, want) in [
            (hash(0, "20"), Got::Taken(1)),
            (hash(0, "10"), Got::Taken(1)),
            (hash(0, "18"), Got::Taken(1)),
            (hash(0, "21"), bad),
            (hash(0, "08"), bad),
            (hash(0, "x0"), bad),
            (hash(2, "fe8"), Got::Taken(1)),
            (hash(2, "fe9"), bad),
            (hash(5, "1c"), Got::Taken(1)),
            (hash(5, "1d"), bad),
            (hash(0, "100000e"), Got::Taken(1)),
            (hash(0, "100000f"), bad),
            (hash(116, "67000000"), Got::Taken(1)),
            (hash(116, "68000000"), bad),
            (hash(116, "00000064"), Got::Taken(1)),
            (hash(116, "00000065"), bad),
            (hash(0, "20") + "0", bad),
        ] {
            check("x.idb", &format!("A:G1:G2:{hash}"), want);
        }
        check("x.idb", &format!(":::{}", hash(0, "20")), Got::Taken(1));
        check("x.idb", "A:G1:G2", Got::Refused("HF0101"));
        check("x.idb", &format!("A:G1:G2:{}:10", hash(0, "20")), Got::Refused("HF0101"));
        check("x.idb", "", Got::Refused("HF0001"));
    }

    #[test]
    fn model() {
        let icon = &take("x.idb", &format!("A:G1:G2:{}", hash(2, "1230405"))).icons[0];
        assert_eq!(icon.metrics.size, 32);
        assert_eq!(icon.metrics.color[0], (0x123, 4, 5));
        assert_eq!((icon.group1.as_str(), icon.group2.as_str()), ("G1", "G2"));
    }
}
