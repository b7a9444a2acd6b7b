//! Card and social-security numbers in text ("structured data").
//!
//! Promises: counts what ClamAV counts; a number at the very end counts too.
//! Leaves out: what the numbers are: only findings are told, never digits.
//! Sources: ISO/IEC 7812-1 (Luhn check); the issuers' published ranges; clamscan 1.4.6 as an oracle.

use hf_core::{Sink, Stop};

/// Tells when an object holds as many numbers as the options ask for.
///
/// # Errors
/// The scan ends here.
pub(super) fn look(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let options = sink.options();
    let (cc_only, ssn_format) = (options.structured_cc_only, options.structured_ssn_format);
    let (cc_min, ssn_min) =
        (options.structured_cc_count.max(1), options.structured_ssn_count.max(1));
    // ClamAV misses numbers across the borders of its blocks.
    let block_len = if options.clamav_quirks { 8191 } else { object.len().max(1) };
    // Behind a card number it goes on at the seventeenth byte, over the start of what follows a short one.
    let step = if options.clamav_quirks { DIGITS_MAX } else { 0 };
    let (mut cards, mut ssns) = (0_u32, 0_u32);
    for block in object.chunks(block_len) {
        sink.poll()?;
        cards = cards.saturating_add(count(block, |at| Some(card(block, at, cc_only)?.max(step))));
        ssns = ssns.saturating_add(count(block, |at| ssn(block, at, ssn_format)));
    }
    if cards >= cc_min {
        sink.heuristic("Heuristics.Structured.CreditCardNumber")?;
    }
    if ssns >= ssn_min {
        sink.heuristic("Heuristics.Structured.SSN")?;
    }
    Ok(())
}

/// Counts places where a number starts: a digit behind something else than a digit.
fn count(text: &[u8], mut number_len: impl FnMut(usize) -> Option<usize>) -> u32 {
    let mut found = 0_u32;
    let mut before = b' ';
    let mut behind = 0;
    for (at, byte) in text.iter().enumerate() {
        let starts = byte.is_ascii_digit() && !before.is_ascii_digit() && at >= behind;
        before = *byte;
        if starts && let Some(len) = number_len(at) {
            found = found.saturating_add(1);
            behind = at.saturating_add(len);
        }
    }
    found
}

/// Returns how many bytes a card number here takes.
fn card(text: &[u8], at: usize, only_credit: bool) -> Option<usize> {
    let rest = text.get(at..)?;
    if !matches!(rest.first(), Some(b'1'..=b'6')) {
        return None;
    }
    let mut digits = [0_u8; DIGITS_MAX];
    let (mut digit_count, mut separators, mut len) = (0_usize, 0_u32, 0_usize);
    let mut max = DIGITS_MAX;
    for byte in rest {
        match byte {
            b'0'..=b'9' if digit_count < max => {
                *digits.get_mut(digit_count)? = byte.wrapping_sub(b'0');
                digit_count = digit_count.saturating_add(1);
                if digit_count == 6 {
                    max = range(&digits, only_credit)?.max;
                }
            }
            b' ' | b'-' if digit_count < max => {
                separators = separators.saturating_add(1);
                if separators > SEPARATORS_MAX {
                    break;
                }
            }
            _ => break,
        }
        len = len.saturating_add(1);
    }
    let digits_read = digits.get(..digit_count)?;
    let fits = (range(&digits, only_credit)?.min..=max).contains(&digit_count);
    let ends = !rest.get(len).is_some_and(u8::is_ascii_digit);
    (digit_count >= 6 && fits && ends && luhn(digits_read)).then_some(len)
}

const DIGITS_MAX: usize = 16;
const SEPARATORS_MAX: u32 = 8;

struct Range {
    first: u32,
    last: u32,
    min: usize,
    max: usize,
    credit: bool,
}

const fn range_of(first: u32, last: u32, min: usize, max: usize, credit: bool) -> Range {
    Range { first, last, min, max, credit }
}

/// Issuers by the first six digits, with the number of digits.
const RANGES: &[Range] = &[
    range_of(100_000, 199_999, 14, 15, false), // UATP
    range_of(222_100, 272_099, 16, 16, true),  // Mastercard
    range_of(300_000, 305_999, 14, 16, true),  // Diners Club
    range_of(309_500, 309_599, 14, 16, true),
    range_of(340_000, 349_999, 15, 15, true), // American Express
    range_of(352_800, 358_999, 16, 16, true), // JCB
    range_of(360_000, 369_999, 14, 16, true), // Diners Club
    range_of(370_000, 379_999, 15, 15, true), // American Express
    range_of(380_000, 399_999, 16, 16, true),
    range_of(400_000, 499_999, 16, 16, true),  // Visa
    range_of(500_000, 509_999, 16, 16, false), // Maestro
    range_of(510_000, 559_999, 16, 16, true),  // Mastercard
    range_of(601_100, 601_199, 16, 16, true),  // Discover
    range_of(622_126, 622_926, 16, 16, true),
    range_of(624_000, 626_999, 16, 16, true),
    range_of(628_200, 628_899, 16, 16, true), // China UnionPay
    range_of(644_000, 659_999, 16, 16, true), // Discover
];

fn range(digits: &[u8; DIGITS_MAX], only_credit: bool) -> Option<&'static Range> {
    let issuer = digits
        .iter()
        .take(6)
        .fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(*digit)));
    RANGES
        .iter()
        .find(|range| (range.first..=range.last).contains(&issuer))
        .filter(|range| range.credit || !only_credit)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(idx, digit)| {
            let value = u32::from(*digit);
            match (idx % 2, value) {
                (0, _) => value,
                (_, 0..=4) => value.saturating_mul(2),
                _ => value.saturating_mul(2).saturating_sub(9),
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Returns how many bytes a social-security number here takes.
fn ssn(text: &[u8], at: usize, format: u32) -> Option<usize> {
    let rest = text.get(at..)?;
    let hyphens = matches!(rest, [_, _, _, b'-', _, _, b'-', ..]);
    if hyphens && format == 1 || !hyphens && format == 0 {
        return None;
    }
    let len = if hyphens { 11 } else { 9 };
    let field = |off: usize, len: usize| {
        rest.get(off..off.saturating_add(len))?.iter().try_fold(0_u32, |sum, byte| {
            let digit = byte.is_ascii_digit().then(|| u32::from(byte.wrapping_sub(b'0')))?;
            Some(sum.saturating_mul(10).saturating_add(digit))
        })
    };
    let step = usize::from(hyphens);
    let area = field(0, 3)?;
    let group = field(3_usize.saturating_add(step), 2)?;
    let serial = field(5_usize.saturating_add(step).saturating_add(step), 4)?;
    let ends = !rest.get(len).is_some_and(u8::is_ascii_digit);
    let fits = (1..=772).contains(&area) && area != 666 && group >= 1 && serial >= 1;
    (fits && ends).then_some(len)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Event, Recorder};

    const VISA: &str = "4000001234567899";

    #[track_caller]
    fn check(text: &str, options: &[(&str, u32)], want: &[&str]) {
        let mut recorder = Recorder::default();
        recorder.options.detect_structured = true;
        for (name, value) in options {
            match *name {
                "cc-only" => recorder.options.structured_cc_only = *value == 1,
                "ssn-format" => recorder.options.structured_ssn_format = *value,
                "quirks" => recorder.options.clamav_quirks = *value == 1,
                _ => recorder.options.structured_cc_count = *value,
            }
        }
        recorder.run(&crate::text::plain::FORMAT, text.as_bytes()).expect("text is never broken");
        let got: Vec<&str> = recorder
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Heuristic(name) => name.strip_prefix("Heuristics.Structured."),
                _ => None,
            })
            .collect();
        assert_eq!(got, want, "{text}");
    }

    /// Completes digits with the check digit.
    fn number(prefix: &str, len: usize) -> String {
        let digits: String = prefix.chars().chain("123456789012".chars()).take(len - 1).collect();
        (0..10)
            .map(|check| format!("{digits}{check}"))
            .find(|number| {
                let digits: Vec<u8> = number.bytes().map(|byte| byte - b'0').collect();
                super::luhn(&digits)
            })
            .expect("one of ten fits")
    }

    fn three(number: &str) -> String {
        [number; 3].join("x,")
    }

    #[test]
    fn cards() {
        const CARD: &[&str] = &["CreditCardNumber"];
        check(&format!("{VISA} {VISA} {VISA}"), &[], CARD);
        check(&format!("{VISA} {VISA}"), &[], &[]);
        check(&format!("{VISA} {VISA}"), &[("cc-count", 2)], CARD);
        check(&three("4000 0012-3456 7899"), &[], CARD);
        check(&three("4-0-0-0-0-0-1-2-34567899"), &[], CARD);
        check(&three("4-0-0-0-0-0-1-2-3-4567899"), &[], &[]);
        check(&three("94000001234567899"), &[], &[]);
        check(&three("40000012345678990"), &[], &[]);
        check(&three("1-4000001234567899"), &[], CARD);
        check(&three("4000001234567890"), &[], &[]);
        for (prefix, len, found, found_credit) in [
            ("100000", 13, false, false),
            ("100000", 14, true, false),
            ("100000", 15, true, false),
            ("100000", 16, false, false),
            ("272099", 16, true, true),
            ("272100", 16, false, false),
            ("300000", 13, false, false),
            ("300000", 14, true, true),
            ("305999", 15, true, true),
            ("306000", 14, false, false),
            ("340000", 15, true, true),
            ("340000", 16, false, false),
            ("500000", 16, true, false),
            ("510000", 16, true, true),
            ("601200", 16, false, false),
            ("659999", 16, true, true),
        ] {
            let text = three(&number(prefix, len));
            check(&text, &[], if found { CARD } else { &[] });
            check(&text, &[("cc-only", 1)], if found_credit { CARD } else { &[] });
        }
        let across = format!("{VISA} {VISA} {}{VISA}", "x".repeat(8191 - 34 - 8));
        check(&across, &[("quirks", 1)], &[]);
        check(&across, &[], CARD);
    }

    #[test]
    fn social_security() {
        const SSN: &[&str] = &["SSN"];
        let hyphens = |first: &str| format!("{first} 234-56-7890 x345-67-8901y");
        for (first, found) in [
            ("123-45-6789", true),
            ("1123-45-6789", false),
            ("123-45-67891", false),
            ("000-45-6789", false),
            ("666-45-6789", false),
            ("772-45-6789", true),
            ("773-45-6789", false),
            ("123-00-6789", false),
            ("123-45-0000", false),
            ("123 45 6789", false),
        ] {
            check(&hyphens(first), &[], if found { SSN } else { &[] });
        }
        check(&hyphens("123-45-6789"), &[("ssn-format", 1)], &[]);
        check(&hyphens("123-45-6789"), &[("ssn-format", 2)], SSN);
        check("123456789 234567890 345678901", &[("ssn-format", 1)], SSN);
        check("123456789 234567890 345678901", &[("ssn-format", 0)], &[]);
        check("123-45-6789-234-56-7890-345-67-8901", &[], SSN);
    }
}
