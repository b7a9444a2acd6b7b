//! The table of `clamdscan`'s options, and its help.
//!
//! Source: the options of clamdscan 1.4.6 as its help prints them. Like ClamAV's own, it takes every option
//! of `clamscan` too and says that it ignores them.

use std::fmt::Write as _;

use crate::clamav::CLAMAV_VERSION;
use crate::clamav::option::Takes::{self, Bool, Text};
use crate::clamav::option::{Opt, old, row};
use crate::clamav::parse::Table;

/// What `clamdscan` is given.
pub(crate) static TABLE: Table = Table {
    program: "clamdscan",
    options: OPTIONS,
    unsupported: crate::clamscan::OPTIONS,
    aliases: &[],
};

const OFF: Takes = Bool(false);

static OPTIONS: &[Opt] = &[
    row("help", 'h', OFF, "Show this help"),
    row("version", 'V', OFF, "Print version number and exit"),
    row("verbose", 'v', OFF, "Be verbose"),
    row("quiet", ' ', OFF, "Be quiet, only output error messages"),
    row("stdout", ' ', OFF, "Write to stdout instead of stderr"),
    row("log", 'l', Text, "Save scan report in FILE"),
    row("file-list", 'f', Text, "Scan files from FILE, - for standard input"),
    row("ping", 'p', Text, "A[:I]: ping up to A times, every I seconds, until there is an answer"),
    row("wait", 'w', OFF, "Wait up to 30 seconds, or as --ping says, for the daemon to start"),
    row("remove", ' ', OFF, "Remove infected files. Be careful!"),
    row("move", ' ', Text, "Move infected files into DIRECTORY"),
    row("copy", ' ', Text, "Copy infected files into DIRECTORY"),
    row("config-file", 'c', Text, "Read configuration from FILE"),
    row("allmatch", 'z', OFF, "Continue scanning within file after finding a match"),
    row("multiscan", 'm', OFF, "Scan many files at the same time"),
    row("infected", 'i', OFF, "Only print infected files"),
    row("no-summary", ' ', OFF, "Disable summary at end of scanning"),
    row("reload", ' ', OFF, "Request the daemon to reload its databases"),
    row("fdpass", ' ', OFF, "Pass open files to the daemon, which may not be allowed to open them"),
    row("stream", ' ', OFF, "Send the bytes of files to the daemon"),
    old("disable-summary"),
];

/// Returns the help text.
pub(crate) fn help() -> String {
    let mut text = format!(
        "\n                      Clam AntiVirus: Daemon Client {CLAMAV_VERSION}\n           \
         Holdfast {} under the name clamdscan\n\n    clamdscan [options] [file/directory/-]\n\n",
        env!("CARGO_PKG_VERSION")
    );
    for opt in OPTIONS.iter().filter(|opt| !opt.doc.is_empty()) {
        let value = if matches!(opt.takes, Bool(_)) { "" } else { "=VALUE" };
        let long = format!("--{}{value}", opt.name);
        let short = opt.short.map(|c| format!("-{c}")).unwrap_or_default();
        let _ = writeln!(text, "    {long:<22}{short:<6}{}", opt.doc);
    }
    text
}
