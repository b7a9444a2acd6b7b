//! The program `freshclam`: its command line, its configuration file, its lines and its exit codes.
//!
//! Leaves out: the `main` of the program, which gives what this crate cannot do itself ([`Program`]).
//! Sources: ClamAV's published manual pages; black-box runs of freshclam 1.4.6.

mod conf;
mod daemon;
mod journal;
mod notify;
mod options;
mod privileges;
mod round;

use std::ffi::OsString;
use std::path::Path;

pub use conf::{ConfError, parse as parse_conf};
pub use options::Settings;

use crate::clamav::{Code, Level, VERSION, Voice as _};
use journal::Journal;

/// What the program around gives.
#[derive(Clone, Copy)]
pub struct Program<'a> {
    /// Tries a database in a process of its own; returns the number of signatures.
    pub tester: &'a dyn Fn(&Path) -> Result<u64, String>,
    /// `/VERSION/TIME` of the daily database in a folder.
    pub version_suffix: &'a dyn Fn(&Path) -> String,
    /// Writes a time as `ctime` does.
    pub ctime: &'a dyn Fn(u64) -> String,
    /// Certificates in which detached signatures may end, from this folder or the usual places.
    pub certificates: &'a dyn Fn(Option<&Path>) -> Vec<Vec<u8>>,
}

impl std::fmt::Debug for Program<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Program")
    }
}

/// Where the configuration is unless an option says otherwise.
const CONFIGURATION: &str = "/etc/clamav/freshclam.conf";

/// Runs a command line without the program's name; returns the exit code.
pub fn run(arguments: Vec<OsString>, program: Program<'_>) -> u8 {
    let mut settings = Settings::default();
    if let Err(lines) = options::read(&arguments, &mut settings) {
        lines.iter().for_each(|line| eprintln!("{line}"));
        return 2;
    }
    if settings.on("help") {
        print!("{}", options::help());
        return 0;
    }
    let path = settings.text("config-file").unwrap_or(CONFIGURATION).to_owned();
    let read = std::fs::read(&path).map_err(|_| Vec::new());
    let read = read.and_then(|bytes| conf::apply(&path, &bytes, &mut settings));
    if settings.on("version") {
        // Without a readable configuration the version is still told.
        let folder = settings.text("DatabaseDirectory").unwrap_or(options::DATABASES).to_owned();
        println!("ClamAV {VERSION}{}", (program.version_suffix)(Path::new(&folder)));
        return 0;
    }
    match read {
        // They were told before privileges were given up, or before going to the background.
        Ok(_) if privileges::are_given_up() || daemon::is_background() => {}
        Ok(warnings) => warnings.iter().for_each(|line| eprintln!("{line}")),
        Err(lines) => {
            lines.iter().for_each(|line| eprintln!("{line}"));
            eprintln!("ERROR: Can't open/parse the config file {path}");
            return 2;
        }
    }
    if settings.on("list-mirrors") {
        eprintln!(
            "WARNING: Deprecated option --list-mirrors. Individual mirrors are no longer tracked, as official \
             signature distribution is now done through the CloudFlare CDN."
        );
        return 0;
    }
    configured(&arguments, &settings, program)
}

fn configured(arguments: &[OsString], settings: &Settings, program: Program<'_>) -> u8 {
    let mut journal = match Journal::open(settings, program.ctime) {
        Ok(journal) => journal,
        Err(why) => {
            eprintln!("ERROR: {why}");
            return Code::Logging.number();
        }
    };
    if settings.on("daemon") && !settings.on("Foreground") && !daemon::is_background() {
        return daemon::to_background(arguments, &mut journal);
    }
    match privileges::give_up(arguments, settings, &mut journal) {
        Ok(()) => {}
        Err(code) => return code,
    }
    if settings.texts("DatabaseMirror").is_empty() && settings.texts("PrivateMirror").is_empty() {
        journal.say(
            Level::Error,
            "No DatabaseMirror or PrivateMirror servers set in freshclam config file.",
        );
        journal.say(
            Level::Error,
            "Unable to find DatabaseMirror or PrivateMirror option(s) that specify database server FQDNs.",
        );
        return Code::Configuration.number();
    }
    match settings.on("daemon") {
        true => daemon::run(settings, program, &mut journal),
        false => round::run(settings, program, &mut journal).exit_code(),
    }
}
