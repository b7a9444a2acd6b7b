//! Scan one object with content and limits, to a report.
