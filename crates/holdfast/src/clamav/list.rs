//! `--file-list`: the paths in a file, one on each line.

use std::io::{self, BufRead};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Returns the paths; empty lines are none, and lines may end in CR LF.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read_lines(mut from: impl BufRead) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let mut line = Vec::new();
    while from.by_ref().read_until(b'\n', &mut line)? > 0 {
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        if !line.is_empty() {
            paths.push(PathBuf::from(std::ffi::OsString::from_vec(std::mem::take(&mut line))));
        }
    }
    Ok(paths)
}
