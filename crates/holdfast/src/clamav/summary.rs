//! The closing summaries of `clamscan` and `clamdscan`, line by line as they print them.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is counted during a run.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) signatures: u64,
    pub(crate) directories: u64,
    pub(crate) files: u64,
    pub(crate) infected: u64,
    pub(crate) errors: u64,
    pub(crate) not_acted: u64,
    pub(crate) scanned_bytes: u64,
    pub(crate) read_bytes: u64,
    pub(crate) started: SystemTime,
    pub(crate) ended: SystemTime,
}

impl Summary {
    /// Returns a summary of nothing that begins now.
    pub(crate) fn start(signatures: u64) -> Self {
        let now = SystemTime::now();
        Self {
            signatures,
            directories: 0,
            files: 0,
            infected: 0,
            errors: 0,
            not_acted: 0,
            scanned_bytes: 0,
            read_bytes: 0,
            started: now,
            ended: now,
        }
    }

    /// Returns the block as text; `action` is the word for what could not be done (`removed`).
    pub(crate) fn render(&self, version: &str, action: &str) -> String {
        let mut text = String::from(HEAD);
        let mut line = |text_line: String| {
            let _ = writeln!(text, "{text_line}");
        };
        line(format!("Known viruses: {}", self.signatures));
        line(format!("Engine version: {version}"));
        line(format!("Scanned directories: {}", self.directories));
        line(format!("Scanned files: {}", self.files));
        line(format!("Infected files: {}", self.infected));
        if self.errors > 0 {
            line(format!("Total errors: {}", self.errors));
        }
        if self.not_acted > 0 {
            line(format!("Not {action}: {}", self.not_acted));
        }
        let (data, read) = (mebibytes(self.scanned_bytes), mebibytes(self.read_bytes));
        let ratio = if read > 0.0 { data / read } else { 0.0 };
        line(format!("Data scanned: {data:.2} MB"));
        line(format!("Data read: {read:.2} MB (ratio {ratio:.2}:1)"));
        text.push_str(&times(self.started, self.ended));
        text
    }
}

/// Returns `clamdscan`'s summary; the scan ends now. `not_acted` is what could not be done, as `removed`,
/// and how many times.
pub(crate) fn render_short(
    infected: u64,
    errors: u64,
    not_acted: Option<(&str, u64)>,
    started: SystemTime,
) -> String {
    let mut text = format!("{HEAD}Infected files: {infected}\n");
    if errors > 0 {
        let _ = writeln!(text, "Total errors: {errors}");
    }
    if let Some((word, count)) = not_acted {
        let _ = writeln!(text, "Not {word}: {count}");
    }
    text.push_str(&times(started, SystemTime::now()));
    text
}

fn times(started: SystemTime, ended: SystemTime) -> String {
    let took = ended.duration_since(started).unwrap_or(Duration::ZERO);
    let seconds = took.as_secs();
    format!(
        "Time: {:.3} sec ({} m {} s)\nStart Date: {}\nEnd Date:   {}\n",
        took.as_secs_f64(),
        seconds / 60,
        seconds % 60,
        date(started),
        date(ended)
    )
}

const HEAD: &str = "\n----------- SCAN SUMMARY -----------\n";

/// ClamAV counts in units of 4 KiB and prints 0.00 for less.
fn mebibytes(bytes: u64) -> f64 {
    let pages = bytes / 4096;
    f64::from(u32::try_from(pages).unwrap_or(u32::MAX)) / 256.0
}

fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let local = hf_sys::local_time(i64::try_from(seconds).unwrap_or(0));
    let hf_sys::LocalTime { year, month, day, hour, minute, second, .. } = local;
    format!("{year:04}:{month:02}:{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_clamscan() {
        let mut summary = Summary::start(7);
        summary.ended = summary.started + Duration::from_millis(61_006);
        summary.errors = 1;
        summary.read_bytes = 1 << 20;
        summary.scanned_bytes = 2 << 20;
        let text = summary.render("1.4.6", "removed");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["", "----------- SCAN SUMMARY -----------"]);
        assert_eq!(lines[2], "Known viruses: 7");
        assert_eq!(lines[7], "Total errors: 1");
        assert_eq!(lines[8], "Data scanned: 2.00 MB");
        assert_eq!(lines[9], "Data read: 1.00 MB (ratio 2.00:1)");
        assert_eq!(lines[10], "Time: 61.006 sec (1 m 1 s)");
        assert!(lines[11].starts_with("Start Date: ") && lines[12].starts_with("End Date:   "));
    }
}
