//! Completions and manual pages, generated from the table of options.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::options;
use crate::clamav::option::{Fate, Takes};
use crate::clamav::parse::Table;

/// `holdfast completions SHELL`.
pub(crate) fn completions(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let shell = matches.get_one::<String>("shell").map_or("bash", String::as_str);
    let shell: Shell = shell.parse().map_err(anyhow::Error::msg)?;
    // The generator panics when it cannot write.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut options::command(), "holdfast", &mut text);
    crate::output::bytes(&text);
    Ok(ExitCode::SUCCESS)
}

/// `holdfast manual FOLDER`.
pub(crate) fn manual(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let folder = matches.get_one::<PathBuf>("folder").context("a folder is required")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut root = options::command();
    root.build();
    page(folder, "holdfast", &root)?;
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("holdfast-{}", command.get_name());
        page(folder, &name, command)?;
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            page(folder, &format!("{name}-{}", below.get_name()), below)?;
        }
    }
    for (name, text) in drop_in_pages() {
        let path = folder.join(format!("{name}.1"));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Pages of the names that stand in for ClamAV's, from their tables of options.
fn drop_in_pages() -> [(&'static str, String); 2] {
    [
        (
            "clamdscan",
            drop_in_page(
                &crate::clamdscan::TABLE,
                "have files scanned by a daemon",
                "A client of Holdfast's daemon, and of every other that speaks clamd's protocol. The daemon \
                 is found by LocalSocket, or TCPSocket and TCPAddr, in /etc/clamav/clamd.conf. Without that \
                 file it is the one at /run/holdfast/clamd.sock.",
            ),
        ),
        (
            "clamscan",
            drop_in_page(
                &crate::clamscan::TABLE,
                "scan files and folders",
                "Uses the databases in /var/lib/clamav, or the built-in ones if there are none there.",
            ),
        ),
    ]
}

fn drop_in_page(table: &Table, does: &str, text: &str) -> String {
    let program = table.program;
    let mut page = format!(
        ".TH {program} 1 \"\" \"holdfast {}\"\n.SH NAME\n{program} \\- {does}\n.SH SYNOPSIS\n\
         \\fB{program}\\fR [\\fIOPTION\\fR]... [\\fIFILE\\fR|\\fIFOLDER\\fR|\\-]...\n.SH DESCRIPTION\n\
         Holdfast under the name that scripts know. {}\n.SH OPTIONS\n",
        env!("CARGO_PKG_VERSION"),
        escaped(text)
    );
    for opt in table.options.iter().filter(|opt| !opt.doc.is_empty()) {
        let short = opt.short.map(|c| format!("\\fB\\-{c}\\fR, ")).unwrap_or_default();
        let value = match opt.takes {
            Takes::Bool(true) => "[=yes|no]",
            Takes::Bool(false) => "",
            Takes::Number(_) | Takes::Size(_) => "=N",
            Takes::Text | Takes::Texts | Takes::OneOf(_) => "=VALUE",
        };
        let why = match opt.fate {
            Fate::NotHonoured(why) => format!(" ({why})"),
            Fate::Honoured | Fate::Deprecated => String::new(),
        };
        let (name, doc) = (escaped(opt.name), escaped(&format!("{}{why}", opt.doc)));
        page.push_str(&format!(".TP\n{short}\\fB\\-\\-{name}\\fR{value}\n{doc}\n"));
    }
    page.push_str(
        ".SH EXIT STATUS\n0: nothing was found. 1: something was found. 2: something failed.\n\
         .SH SEE ALSO\n\\fBholdfast\\fR(1)\n",
    );
    page
}

/// Takes the meaning out of what is one to the formatter.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace("\n.", "\n\\&.").replace('\'', "\\(aq")
}

fn page(folder: &Path, name: &str, command: &Command) -> anyhow::Result<()> {
    let mut page = Vec::new();
    Man::new(command.clone().name(name.to_owned())).render(&mut page)?;
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}
