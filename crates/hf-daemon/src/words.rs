//! Times in words, as C's `ctime` writes them.

/// Returns a number of seconds since 1970 as local time in words (`Wed Feb 22 21:33:21 2023`).
#[must_use]
pub fn ctime(epoch: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = i64::try_from(epoch).unwrap_or(0);
    let time = hf_sys::local_time(seconds);
    let local = seconds.saturating_add(time.utc_offset);
    let day = usize::try_from(local.div_euclid(86_400).rem_euclid(7)).unwrap_or(0);
    let month = usize::try_from(time.month.saturating_sub(1)).unwrap_or(0);
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {}",
        DAYS.get(day).unwrap_or(&"???"),
        MONTHS.get(month).unwrap_or(&"???"),
        time.day,
        time.hour,
        time.minute,
        time.second,
        time.year
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_names() {
        let noon = |epoch: u64| ctime(epoch + 12 * 3600);
        assert!(noon(0).starts_with("Thu Jan  1 "), "{}", noon(0));
        assert!(noon(1_677_024_000).starts_with("Wed Feb 22 "), "{}", noon(1_677_024_000));
    }
}
