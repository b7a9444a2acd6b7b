//! The table that a run prints, in Markdown.

use std::fmt;
use std::time::Duration;

/// Rows of measured values.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<[String; COLUMNS]>,
}

/// A measured value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    None,
    Time(Duration),
    Bytes(u64),
}

impl Table {
    /// Adds a row.
    pub(super) fn row(&mut self, what: &str, clamscan: Value, holdfast: Value, yardstick: Value) {
        let ratio = |a: Value, b: Value| match a.number().zip(b.number()) {
            Some((a, b)) if b > 0.0 => format!("{:.2}", a / b),
            _ => String::new(),
        };
        self.rows.push([
            what.to_owned(),
            clamscan.to_string(),
            holdfast.to_string(),
            yardstick.to_string(),
            ratio(clamscan, holdfast),
            ratio(holdfast, yardstick),
        ]);
    }

    /// Adds a row that says why nothing was measured.
    pub(super) fn skipped(&mut self, what: &str, why: &str) {
        let mut row: [String; COLUMNS] = Default::default();
        row[0] = format!("{what}: skipped, {why}");
        self.rows.push(row);
    }
}

impl Value {
    fn number(self) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Time(time) => Some(time.as_secs_f64()),
            Self::Bytes(bytes) => Some(bytes as f64),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Time(time) if *time < Duration::from_millis(100) => {
                write!(f, "{:.2} ms", time.as_secs_f64() * 1e3)
            }
            Self::Time(time) => write!(f, "{:.2} s", time.as_secs_f64()),
            Self::Bytes(bytes) => write!(f, "{:.1} MiB", *bytes as f64 / f64::from(1 << 20)),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = HEAD.map(str::to_owned);
        let lines: Vec<&[String; COLUMNS]> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for (nth, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if nth == 0 {
                for width in widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

const COLUMNS: usize = 6;
const HEAD: [&str; COLUMNS] =
    ["what", "clamscan", "holdfast", "yardstick", "clamscan/holdfast", "holdfast/yardstick"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints() {
        let mut table = Table::default();
        let time = |ms| Value::Time(Duration::from_millis(ms));
        table.row("a", time(5000), time(50), time(25));
        table.row("b", Value::Bytes(3 << 20), Value::Bytes(2 << 20), Value::None);
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[2].starts_with("| a    | 5.00 s   | 50.00 ms | 25.00 ms  | 100.00 "),
            "{text}"
        );
        assert!(lines[3].starts_with("| b    | 3.0 MiB  | 2.0 MiB  |           | 1.50 "), "{text}");
    }
}
