//! Times as HTTP and people write them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the time now, in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Returns year, month (from 1) and day of a number of days since 1970.
#[must_use]
pub fn civil(days: i64) -> (i64, u32, u32) {
    // Years that begin in March; eras of 400 years. Source: the proleptic Gregorian calendar.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, more) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let number = |n: i64| u32::try_from(n).unwrap_or(0);
    (year + era * 400 + more, number(month), number(day))
}

/// Returns the number of a day since 1970; none when there is no such day.
#[must_use]
pub fn days_of(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    let (month, day) = (i64::from(month), i64::from(day));
    let (year, shifted) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    // The 31st of a month of 30 days is the first of the next.
    let (_, back, _) = civil(days);
    (i64::from(back) == month).then_some(days)
}

/// Writes a time as HTTP does (`Tue, 15 Nov 1994 12:45:26 GMT`).
#[must_use]
pub fn to_http(at: u64) -> String {
    let seconds = i64::try_from(at).unwrap_or(0);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let weekday = name(DAYS, days.rem_euclid(7));
    let month = name(MONTHS, i64::from(month) - 1);
    format!(
        "{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// Reads a time as HTTP writes it; none for another form.
#[must_use]
pub fn from_http(text: &str) -> Option<u64> {
    let (_, rest) = text.trim().split_once(", ")?;
    let mut words = rest.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next() != Some("GMT") || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_of(year, u32::try_from(month).ok()?.checked_add(1)?, day)?;
    let seconds = days.checked_mul(86_400)?.checked_add(hour * 3600 + minute * 60 + second)?;
    u64::try_from(seconds).ok()
}

/// Writes a time for people and programs (`2026-12-01T09:30:00Z`).
#[must_use]
pub fn to_iso(at: u64) -> String {
    let seconds = i64::try_from(at).unwrap_or(0);
    let rest = seconds.rem_euclid(86_400);
    let day = to_day(seconds.div_euclid(86_400));
    format!("{day}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Writes a day (`2026-12-01`).
#[must_use]
pub fn to_day(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Reads a day (`2026-12-01`); returns its number since 1970.
#[must_use]
pub fn from_day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    days_of(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

fn name(names: &[&'static str], idx: i64) -> &'static str {
    usize::try_from(idx).ok().and_then(|idx| names.get(idx).copied()).unwrap_or("???")
}

const DAYS: &[&str] = &["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: &[&str] =
    &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(to_http(784_903_526), "Tue, 15 Nov 1994 12:45:26 GMT");
        assert_eq!(from_http("Tue, 15 Nov 1994 12:45:26 GMT"), Some(784_903_526));
        assert_eq!(from_http("Tue, 31 Feb 1994 12:45:26 GMT"), None);
        assert_eq!(from_http("tomorrow"), None);
        for days in [-1, 0, 59, 60, 11_016, 19_782, 20_000] {
            assert_eq!(from_day(&to_day(days)), Some(days));
        }
        assert_eq!(to_day(19_898), "2024-06-24");
        for bad in ["2024-02-30", "2024-6-1", "x", "2024-13-01", "2024-06-24-1"] {
            assert_eq!(from_day(bad), None, "{bad}");
        }
        assert_eq!(to_iso(1_796_031_000), "2026-11-30T09:30:00Z");
    }
}
