//! Standard output and standard error, whose readers may go away at any time.
//!
//! Promises: a closed pipe ends the program quietly (`holdfast … | head -1`), without a panic and without a
//! word; not with success, because not everything was told.

use std::fmt::Arguments;
use std::io::{self, Write as _};

/// Prints a line, as `println!` does.
macro_rules! outln {
    ($($words:tt)*) => {
        $crate::output::text(format_args!("{}\n", format_args!($($words)*)))
    };
}

/// Prints a line to standard error, as `eprintln!` does.
macro_rules! errln {
    ($($words:tt)*) => {
        $crate::output::error(format_args!($($words)*))
    };
}

/// Prints text; ends the program when nobody reads any more.
pub(crate) fn text(text: Arguments<'_>) {
    bytes(text.to_string().as_bytes());
}

/// Prints bytes; ends the program when nobody reads any more.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(i32::from(crate::commands::exit::ERROR));
    }
}

/// Prints lines to standard error; that nobody reads them changes nothing. They may name what strangers
/// named, so that they are escaped.
pub(crate) fn error(line: Arguments<'_>) {
    let line = crate::display::safe_lines(&line.to_string());
    let _ = writeln!(io::stderr().lock(), "{line}");
}
