//! `holdfast daemon`: the service under its own name.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_daemon::Config;
use hf_daemon::clamd_conf::{ClamdConf, Refused, convert};

/// Where the configuration is looked for.
const CONFIG: &str = "/etc/holdfast/holdfast.toml";

/// Where the local socket is without a configuration.
const SOCKET: &str = "/run/holdfast/clamd.sock";

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let mut config = match matches.get_one::<PathBuf>("config") {
        Some(path) => {
            let read = read(path)?;
            read.not_honoured.iter().for_each(|line| errln!("holdfast: warning: {line}"));
            read.config
        }
        None if Path::new(CONFIG).exists() => Config::read(Path::new(CONFIG))?,
        None => Config::default(),
    };
    if let Some(databases) = matches.get_many::<PathBuf>("database") {
        config.content.databases = databases.cloned().collect();
    }
    if let Some(socket) = matches.get_one::<PathBuf>("socket") {
        config.clamd.local_socket = Some(socket.clone());
    }
    if let Some(file) = matches.get_one::<PathBuf>("log") {
        config.log.file = Some(file.clone());
    }
    config.log.verbose |= matches.get_flag("verbose");
    let clamd = config.clamd.local_socket.is_some() || config.clamd.tcp_port.is_some();
    let others = [&config.http.listen, &config.icap.listen, &config.milter.listen];
    let door = clamd || others.iter().any(|listen| !listen.is_empty());
    if !door && std::env::var_os("LISTEN_FDS").is_none() {
        config.clamd.local_socket = Some(PathBuf::from(SOCKET));
    }
    Ok(crate::daemon::run(config, "holdfast"))
}

/// A configuration that was read.
pub(super) struct Read {
    pub(super) config: Config,
    /// Options that are not honoured, with place and reason.
    pub(super) not_honoured: Vec<String>,
}

/// Reads `holdfast.toml` or `clamd.conf`, told apart by their names.
///
/// # Errors
/// It cannot be read or is wrong; the text names file and line.
pub(super) fn read(path: &Path) -> anyhow::Result<Read> {
    if path.extension().is_some_and(|suffix| suffix == "toml") {
        let config = Config::read(path)?;
        return Ok(Read { config, not_honoured: Vec::new() });
    }
    let conf = ClamdConf::read(path)
        .map_err(|Refused(lines)| anyhow::anyhow!(lines.join("\n")))
        .with_context(|| format!("{}", path.display()))?;
    let config = convert(&conf).map_err(|line| anyhow::anyhow!(line))?;
    let mut not_honoured = conf.warnings.clone();
    not_honoured.extend(conf.not_honoured.iter().cloned());
    Ok(Read { config, not_honoured })
}
