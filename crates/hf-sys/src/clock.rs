//! Local time of day, as the C library knows it.

/// A moment in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Year.
    pub year: i32,
    /// Month, from 1.
    pub month: i32,
    /// Day of the month, from 1.
    pub day: i32,
    /// Hour.
    pub hour: i32,
    /// Minute.
    pub minute: i32,
    /// Second.
    pub second: i32,
    /// Seconds east of UTC.
    pub utc_offset: i64,
}

/// Returns the local time of a number of seconds since 1970 in UTC; UTC when the C library cannot say.
#[must_use]
pub fn local_time(seconds: i64) -> LocalTime {
    // SAFETY: `tm` is a plain C structure of integers and one pointer; all zeros is a valid value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values that live through the call, and `localtime_r` keeps neither.
    let filled = unsafe { libc::localtime_r(&raw const seconds, &raw mut tm) };
    if filled.is_null() {
        // SAFETY: as above.
        unsafe { libc::gmtime_r(&raw const seconds, &raw mut tm) };
    }
    LocalTime {
        year: tm.tm_year.saturating_add(1900),
        month: tm.tm_mon.saturating_add(1),
        day: tm.tm_mday,
        hour: tm.tm_hour,
        minute: tm.tm_min,
        second: tm.tm_sec,
        utc_offset: tm.tm_gmtoff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_moment() {
        let seconds = 1_700_000_000;
        let offset = local_time(seconds).utc_offset;
        let utc = local_time(seconds - offset);
        assert_eq!((utc.year, utc.month, utc.day), (2023, 11, 14));
        assert_eq!((utc.hour, utc.minute, utc.second), (22, 13, 20));
    }
}
