//! The drop-in name `clamd`: its command line and its configuration.
//!
//! Every option of the file that clamd takes on its command line is taken too, and comes before the
//! file's.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use hf_daemon::clamd_conf::{ClamdConf, OPTIONS, Opt, Refused, Takes, convert};

use crate::clamav::CLAMAV_VERSION;
use crate::{content, daemon};

/// Where clamd looks for its configuration.
const CONFIG: &str = "/etc/clamav/clamd.conf";

#[derive(Debug, Default)]
struct Parsed {
    help: bool,
    version: bool,
    config: Option<PathBuf>,
    /// Options of the file.
    given: Vec<(&'static Opt, Vec<u8>)>,
}

/// Runs clamd.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let parsed = match parse(args) {
        Ok(parsed) => parsed,
        Err(Refused(lines)) => return refuse(&lines),
    };
    if parsed.help {
        help();
        return ExitCode::SUCCESS;
    }
    let path = parsed.config.unwrap_or_else(|| PathBuf::from(CONFIG));
    let conf = match ClamdConf::read(&path) {
        Err(_) if parsed.version => ClamdConf::default(),
        Err(Refused(lines)) => return refuse(&lines),
        Ok(mut conf) => {
            for (opt, value) in parsed.given {
                if let Err(line) = conf.put_first(opt, &value) {
                    return refuse(&[line, LAST.to_owned()]);
                }
            }
            conf
        }
    };
    if parsed.version {
        let folder = conf.text("DatabaseDirectory").map(PathBuf::from);
        outln!("ClamAV {CLAMAV_VERSION}{}", content::version_suffix(folder.as_deref()));
        return ExitCode::SUCCESS;
    }
    conf.warnings.iter().for_each(|line| errln!("{line}"));
    conf.not_honoured.iter().for_each(|line| errln!("WARNING: {line}"));
    match convert(&conf) {
        Ok(config) => {
            let sockets = config.clamd.local_socket.is_some() || config.clamd.tcp_port.is_some();
            let passed = std::env::var_os("LISTEN_FDS").is_some();
            if !sockets && !passed {
                return refuse(
                    &["ERROR: Please define server type (local and/or TCP).".to_owned()],
                );
            }
            daemon::run(config, "clamd")
        }
        Err(line) => refuse(&[line]),
    }
}

fn refuse(lines: &[String]) -> ExitCode {
    lines.iter().for_each(|line| errln!("{line}"));
    ExitCode::FAILURE
}

fn parse(args: impl Iterator<Item = OsString>) -> Result<Parsed, Refused> {
    let mut parsed = Parsed::default();
    let mut args = args.map(OsString::into_vec);
    while let Some(arg) = args.next() {
        let (name, value) = match arg.as_slice() {
            b"--" => break,
            [b'-', b'-', long @ ..] => {
                let end = long.iter().position(|b| *b == b'=').unwrap_or(long.len());
                let (name, rest) = long.split_at(end);
                (find_long(name)?, rest.strip_prefix(b"=").map(<[u8]>::to_vec))
            }
            [b'-', letter, rest @ ..] => {
                let value = (!rest.is_empty()).then(|| rest.to_vec());
                (find_short(*letter)?, value)
            }
            // clamd ignores what is no option.
            _ => continue,
        };
        parsed.put(name, value, &mut args)?;
    }
    Ok(parsed)
}

/// An option of the command line.
#[derive(Debug, Clone, Copy)]
enum Name {
    Help,
    Version,
    Config,
    Of(&'static Opt),
}

impl Parsed {
    fn put(
        &mut self,
        name: Name,
        value: Option<Vec<u8>>,
        args: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), Refused> {
        let mut needed = |value: Option<Vec<u8>>, name: &str| {
            value.or_else(|| args.next()).ok_or_else(|| {
                Refused(vec![
                    format!("clamd: option `--{name}' requires an argument"),
                    "ERROR: Incomplete option passed (missing argument)".to_owned(),
                    LAST.to_owned(),
                ])
            })
        };
        match name {
            Name::Help => self.help = true,
            Name::Version => self.version = true,
            Name::Config => {
                let path = needed(value, "config-file")?;
                self.config = Some(PathBuf::from(OsString::from_vec(path)));
            }
            Name::Of(opt) => {
                let value = match opt.takes {
                    Takes::Bool(_) => value.unwrap_or_else(|| b"yes".to_vec()),
                    _ => needed(value, opt.long.unwrap_or(opt.name))?,
                };
                self.given.push((opt, value));
            }
        }
        Ok(())
    }
}

fn find_long(name: &[u8]) -> Result<Name, Refused> {
    let text = String::from_utf8_lossy(name);
    let own = [("help", Name::Help), ("version", Name::Version), ("config-file", Name::Config)];
    let all = || {
        let rows = OPTIONS.iter().filter_map(|opt| Some((opt.long?, Name::Of(opt))));
        own.into_iter().chain(rows)
    };
    if let Some((_, found)) = all().find(|(long, _)| *long == text) {
        return Ok(found);
    }
    let mut fits = all().filter(|(long, _)| !text.is_empty() && long.starts_with(&*text));
    let why = match (fits.next(), fits.next()) {
        (Some((_, found)), None) => return Ok(found),
        (Some(_), Some(_)) => format!("clamd: option `--{text}' is ambiguous"),
        _ => format!("clamd: unrecognized option `--{text}'"),
    };
    Err(unknown(why))
}

fn find_short(letter: u8) -> Result<Name, Refused> {
    let of = |name: &str| OPTIONS.iter().find(|opt| opt.name == name).map(Name::Of);
    let found = match letter {
        b'h' => Some(Name::Help),
        b'V' => Some(Name::Version),
        b'c' => Some(Name::Config),
        b'F' => of("Foreground"),
        b'l' => of("LogFile"),
        b'p' => of("PidFile"),
        _ => None,
    };
    found.ok_or_else(|| unknown(format!("clamd: illegal option -- {}", char::from(letter))))
}

fn unknown(why: String) -> Refused {
    Refused(vec![why, "ERROR: Unknown option passed".to_owned(), LAST.to_owned()])
}

fn help() {
    outln!(
        "
                      Clam AntiVirus: Daemon {CLAMAV_VERSION} (Holdfast {})

    clamd [options]

    --help                   -h             Show this help
    --version                -V             Show version number
    --foreground             -F             Run in foreground; do not daemonize
    --debug                                 Accepted for scripts; LogVerbose says more
    --log=FILE               -l FILE        Log into FILE
    --config-file=FILE       -c FILE        Read configuration from FILE
    --fail-if-cvd-older-than=days           Return with a nonzero error code if virus database outdated
    --datadir=DIRECTORY                     Load signatures from DIRECTORY
    --pid=FILE               -p FILE        Write the daemon's pid to FILE
",
        env!("CARGO_PKG_VERSION")
    );
}

const LAST: &str = "ERROR: Can't parse command line options";
