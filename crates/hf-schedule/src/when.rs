//! When a task is due, in local time.
//!
//! Where summer time begins or ends, an hour is missing or there twice: a moment that is missing comes an hour later, one
//! that is there twice comes once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Only when somebody asks.
    OnDemand,
    /// Every day at this hour and minute.
    Daily(u8, u8),
    /// Every week on this day at this hour and minute.
    Weekly(Day, u8, u8),
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

const DAYS: [(Day, &str); 7] = [
    (Day::Mon, "mon"),
    (Day::Tue, "tue"),
    (Day::Wed, "wed"),
    (Day::Thu, "thu"),
    (Day::Fri, "fri"),
    (Day::Sat, "sat"),
    (Day::Sun, "sun"),
];

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnDemand => f.write_str("on-demand"),
            Self::Daily(hour, minute) => write!(f, "daily {hour:02}:{minute:02}"),
            Self::Weekly(day, hour, minute) => {
                write!(f, "weekly {} {hour:02}:{minute:02}", day.word())
            }
        }
    }
}

impl Day {
    /// Returns its first three letters.
    #[must_use]
    pub fn word(self) -> &'static str {
        DAYS.iter().find(|(day, _)| *day == self).map_or("mon", |(_, word)| word)
    }

    /// Returns days since Monday.
    fn number(self) -> i64 {
        let idx = DAYS.iter().position(|(day, _)| *day == self).unwrap_or(0);
        i64::try_from(idx).unwrap_or(0)
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            format!("'{text}' is no time: write 'daily 03:00', 'weekly sun 03:00' or 'on-demand'")
        };
        let mut words = text.split_ascii_whitespace();
        let time = |word: Option<&str>| {
            let (hour, minute) = word.unwrap_or("03:00").split_once(':')?;
            let two = |digits: &str| {
                let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
                digits.parse::<u8>().ok().filter(|_| plain)
            };
            let hour = two(hour).filter(|hour| *hour < 24)?;
            Some((hour, two(minute).filter(|minute| *minute < 60)?))
        };
        let when = match words.next() {
            Some("on-demand") => Some(Self::OnDemand),
            Some("daily") => time(words.next()).map(|(hour, minute)| Self::Daily(hour, minute)),
            Some("weekly") => {
                let word = words.next().unwrap_or("sun").to_ascii_lowercase();
                let day = DAYS.iter().find(|(_, name)| *name == word).map(|(day, _)| *day);
                day.zip(time(words.next()))
                    .map(|(day, (hour, minute))| Self::Weekly(day, hour, minute))
            }
            _ => None,
        };
        when.filter(|_| words.next().is_none()).ok_or_else(bad)
    }
}

impl Serialize for When {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl When {
    /// Returns the last moment that was due, at `now` or before; both in seconds since 1970.
    #[must_use]
    pub fn last(self, now: i64) -> Option<i64> {
        self.near(now).filter(|due| *due <= now).max()
    }

    /// Returns the next moment that is due, after `now`.
    #[must_use]
    pub fn next(self, now: i64) -> Option<i64> {
        self.near(now).filter(|due| *due > now).min()
    }

    /// Returns the moments of the days around.
    fn near(self, now: i64) -> impl Iterator<Item = i64> {
        let today = local_day(now);
        let (wanted, hour, minute) = match self {
            Self::OnDemand => (None, None, 0),
            Self::Daily(hour, minute) => (None, Some(hour), minute),
            Self::Weekly(day, hour, minute) => (Some(day), Some(hour), minute),
        };
        let days = (-8..=8).map(move |step| today.saturating_add(step));
        let days =
            days.filter(move |day| wanted.is_none_or(|wanted| weekday(*day) == wanted.number()));
        days.filter_map(move |day| {
            let second = i64::from(hour?) * 3600 + i64::from(minute) * 60;
            Some(from_local(day.checked_mul(86_400)?.checked_add(second)?))
        })
    }

    /// Returns the `OnCalendar=` of a systemd timer. Source: systemd.time(7).
    #[must_use]
    pub fn on_calendar(self) -> Option<String> {
        match self {
            Self::OnDemand => None,
            Self::Daily(hour, minute) => Some(format!("*-*-* {hour:02}:{minute:02}:00")),
            Self::Weekly(day, hour, minute) => {
                let word = day.word();
                let (first, rest) = word.split_at(1);
                let day = first.to_ascii_uppercase() + rest;
                Some(format!("{day} *-*-* {hour:02}:{minute:02}:00"))
            }
        }
    }
}

/// Returns days since 1970 of the local date.
fn local_day(now: i64) -> i64 {
    let offset = hf_sys::local_time(now).utc_offset;
    now.saturating_add(offset).div_euclid(86_400)
}

/// 1 January 1970 was a Thursday.
fn weekday(day: i64) -> i64 {
    day.saturating_add(3).rem_euclid(7)
}

/// Returns the moment of a local time, given as if it were UTC.
fn from_local(local: i64) -> i64 {
    let offset = |at: i64| hf_sys::local_time(at).utc_offset;
    let first = local.saturating_sub(offset(local));
    local.saturating_sub(offset(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for text in ["on-demand", "daily 03:00", "weekly sun 23:59", "weekly mon 00:00"] {
            assert_eq!(text.parse::<When>().unwrap().to_string(), text);
        }
        assert_eq!("daily".parse(), Ok(When::Daily(3, 0)));
        assert_eq!("weekly".parse(), Ok(When::Weekly(Day::Sun, 3, 0)));
        for text in
            ["", "daily 3:00", "daily 24:00", "daily 03:60", "weekly 03:00", "daily 03:00 x"]
        {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }

    #[test]
    fn moments() {
        // 2023-11-14 22:13:20 UTC, a Tuesday, wherever this runs.
        let now = 1_700_000_000;
        let local = |at: i64| {
            let time = hf_sys::local_time(at);
            (weekday(local_day(at)), time.hour, time.minute, time.second)
        };
        for day in DAYS.map(|(day, _)| day) {
            let when = When::Weekly(day, 7, 45);
            let (last, next) = (when.last(now).unwrap(), when.next(now).unwrap());
            assert!(last <= now && next > now && next - last <= 7 * 86_400 + 3600);
            for due in [last, next] {
                assert_eq!(local(due), (day.number(), 7, 45, 0));
                assert_eq!(when.last(due), Some(due));
                assert!(when.next(due).unwrap() > due);
            }
        }
        let daily = When::Daily(22, 13);
        assert!(daily.next(now).unwrap() - daily.last(now).unwrap() <= 90_000);
        assert_eq!((When::OnDemand.last(now), When::OnDemand.next(now)), (None, None));
    }
}
