//! The drop-in name `clamonacc`: its options, over our own guard.
//!
//! Leaves out: talking to a clamd. The guard scans itself, so that what was about that changes nothing:
//! `--fdpass`, `--stream`, `--multiscan`, `--allmatch`, `--wait`.
//! Sources: clamonacc(8) of ClamAV 1.4.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::commands::onaccess::guard::{Orders, supervise};
use crate::commands::onaccess::{CONFIG, usual_socket};

#[derive(Debug, Default)]
struct Options {
    orders: Orders,
    help: bool,
    version: bool,
    ping: bool,
    foreground: bool,
}

/// Runs under the name.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let options = match parse(&args) {
        Ok(options) => options,
        Err(why) => {
            errln!("ERROR: Clamonacc: {why}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        outln!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if options.version {
        outln!("Holdfast {} (clamonacc)", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    if options.ping {
        let answered =
            usual_socket().is_ok_and(|socket| hf_onaccess::ask(&socket, "status").is_ok());
        outln!("{}", if answered { "PONG" } else { "no guard answers" });
        return ExitCode::from(if answered { 0 } else { 21 });
    }
    if let Err(why) = options.orders.settings() {
        errln!("ERROR: Clamonacc: {why}");
        return ExitCode::from(2);
    }
    if options.foreground {
        return supervise(&options.orders).unwrap_or_else(|error| {
            errln!("ERROR: Clamonacc: {error:#}");
            ExitCode::from(2)
        });
    }
    detach(&args)
}

/// Goes on in the background.
fn detach(args: &[OsString]) -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        errln!("ERROR: Clamonacc: guarding files takes root");
        return ExitCode::from(2);
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg0("clamonacc").args(args).arg("--foreground").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            errln!("ERROR: Clamonacc: cannot go into the background: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: &[OsString]) -> Result<Options, String> {
    let mut options = Options::default();
    options.orders.config = PathBuf::from(CONFIG);
    options.orders.clamd_conf = Some(PathBuf::from("/etc/clamav/clamd.conf"));
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let text = arg.to_str().ok_or_else(|| format!("not understood: {}", arg.display()))?;
        let (name, mut value) = match text.strip_prefix("--") {
            Some(long) => match long.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (long, None),
            },
            None => (text, None),
        };
        let mut taken = || {
            let value = value.take().or_else(|| args.next().cloned());
            value.ok_or_else(|| format!("option '{text}' requires an argument"))
        };
        match name {
            "help" | "-h" => options.help = true,
            "version" | "-V" => options.version = true,
            "foreground" | "-F" => options.foreground = true,
            "config-file" | "-c" => options.orders.clamd_conf = Some(taken()?.into()),
            "log" | "-l" => options.orders.log = Some(taken()?.into()),
            "watch-list" | "-W" => options.orders.watch_list = Some(taken()?.into()),
            "exclude-list" | "-e" => options.orders.exclude_list = Some(taken()?.into()),
            "move" => options.orders.move_to = Some(taken()?.into()),
            "copy" => options.orders.copy_to = Some(taken()?.into()),
            "remove" => options.orders.remove = true,
            // How often a clamd is asked: ours is asked once.
            "ping" | "-p" => options.ping = taken().map(|_| true)?,
            "wait" | "-w" | "fdpass" | "stream" | "multiscan" | "-m" | "allmatch" | "-z"
            | "verbose" | "-v" | "quiet" | "stdout" | "infected" | "-i" | "fips-limits" => {}
            _ => return Err(format!("unknown option '{text}'")),
        }
        if value.is_some() {
            return Err(format!("option '{text}' takes no argument"));
        }
    }
    let actions =
        [options.orders.remove, options.orders.move_to.is_some(), options.orders.copy_to.is_some()];
    if actions.iter().filter(|one| **one).count() > 1 {
        return Err("--move, --copy and --remove exclude each other".to_owned());
    }
    Ok(options)
}

const HELP: &str = "\
                       Holdfast: On Access Scanning Application
    clamonacc [options]

    --help                 -h          Show this help
    --version              -V          Print version number
    --config-file=FILE     -c FILE     Read the OnAccess options of this clamd.conf
    --foreground           -F          Stay in the foreground
    --log=FILE             -l FILE     Write findings to FILE
    --watch-list=FILE      -W FILE     Protect what the lines of FILE name, too
    --exclude-list=FILE    -e FILE     Exclude what the lines of FILE name, too
    --move=DIRECTORY                   Move infected files into DIRECTORY
    --copy=DIRECTORY                   Copy infected files into DIRECTORY
    --remove                           Remove infected files
    --ping=A[:I]           -p A[:I]    Exit with 0 when a guard answers, else with 21
    --fdpass --stream --multiscan --allmatch --wait --verbose --quiet --stdout --infected
                                       Accepted: scanning needs no clamd";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options, String> {
        parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn its_options() {
        let options = parsed(&[
            "-c",
            "/c",
            "--log=/l",
            "--fdpass",
            "-F",
            "-e",
            "/e",
            "--watch-list",
            "/w",
            "--move=/m",
            "-z",
        ])
        .unwrap();
        assert!(options.foreground);
        assert_eq!(options.orders.clamd_conf, Some(PathBuf::from("/c")));
        assert_eq!(options.orders.log, Some(PathBuf::from("/l")));
        assert_eq!(options.orders.watch_list, Some(PathBuf::from("/w")));
        assert_eq!(options.orders.exclude_list, Some(PathBuf::from("/e")));
        assert_eq!(options.orders.move_to, Some(PathBuf::from("/m")));
        assert!(parsed(&["--ping", "3:1"]).unwrap().ping);
    }

    #[test]
    fn what_is_refused() {
        for args in [&["--nonsense"][..], &["-c"], &["--remove=yes"], &["--remove", "--copy=/x"]] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }
}
