//! How a program under a name of ClamAV's starts: its options, and where its lines go.

use std::ffi::OsString;
use std::process::ExitCode;

use super::output::Output;
use super::parse::{Parsed, Refused, Table, parse};

/// Code of an end without a scan.
const FAILED: u8 = 2;

/// Reads the options behind the program's name.
///
/// # Errors
/// They are refused; that has been said, and the program ends with this code.
pub(crate) fn options(
    table: &'static Table,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Parsed, ExitCode> {
    parse(table, args).map_err(|Refused(lines)| {
        for line in lines {
            errln!("{line}");
        }
        ExitCode::from(FAILED)
    })
}

/// Opens what is written to, the log included.
///
/// # Errors
/// The log cannot be opened; that has been said, and the program ends with this code.
pub(crate) fn output(parsed: &Parsed) -> Result<Output, ExitCode> {
    Output::open(parsed).map_err(|line| {
        Output::plain().line(line.as_bytes());
        errln!("ERROR: Problem with internal logger.");
        ExitCode::from(FAILED)
    })
}
