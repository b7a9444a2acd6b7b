//! The help text, from the table of options.

use std::fmt::Write as _;

use crate::clamav::CLAMAV_VERSION;
use crate::clamav::option::{Fate, Opt, Takes};

/// Returns the help text.
pub(crate) fn text(options: &[Opt]) -> String {
    let mut text = format!(
        "\n                       Clam AntiVirus: Scanner {}\n           \
         Holdfast {} under the name clamscan\n\n    clamscan [options] [file/directory/-]\n\n",
        CLAMAV_VERSION,
        env!("CARGO_PKG_VERSION")
    );
    for opt in options.iter().filter(|opt| !opt.doc.is_empty()) {
        let value = match opt.takes {
            Takes::Bool(true) => "[=yes(*)/no]",
            Takes::Bool(false) => "",
            Takes::Number(_) | Takes::Size(_) => "=#n",
            Takes::Text | Takes::Texts | Takes::OneOf(_) => "=VALUE",
        };
        let long = format!("--{}{value}", opt.name);
        let short = opt.short.map(|c| format!("-{c}")).unwrap_or_default();
        let told = match opt.fate {
            Fate::NotHonoured(why) => format!(" ({why})"),
            _ => String::new(),
        };
        let _ = writeln!(text, "    {long:<37}{short:<4}{}{told}", opt.doc);
    }
    text.push_str("\nPass in - as the filename for stdin.\n\n(*) Default scan settings\n");
    text
}
