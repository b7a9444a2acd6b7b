//! `holdfast onaccess`: guards files as they are opened, and says whether it does.

pub(crate) mod check;
mod findings;
pub(crate) mod guard;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

use super::exit;
use crate::display::safe_path;

use guard::Orders;

/// Where settings are unless somebody says otherwise.
pub(crate) const CONFIG: &str = "/etc/holdfast/holdfast.toml";

/// Returns the command line.
pub(crate) fn command() -> Command {
    let run = orders(
        Command::new("run")
            .about("Scan files when they are opened, and deny infected ones (as root)")
            .after_help(
                "Runs until SIGTERM; SIGHUP reads settings and content again. Exit codes: 0 ended in order, \
                 2 could not start.",
            ),
    );
    let guard = orders(Command::new("guard").about("What `run` starts and watches").hide(true));
    let asking = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).arg(config()).arg(
            Arg::new("socket")
                .long("socket")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .help("The guard's socket, if not that of the configuration"),
        )
    };
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("One JSON object");
    Command::new("onaccess")
        .about("Guard files as they are opened (docs/onaccess.md)")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(run)
        .subcommand(guard)
        .subcommand(
            asking("check", "Try with a test file whether an infected file is really denied")
                .arg(json())
                .after_help(
                    "Exit codes: 0 every mount that could be tried is guarded, 2 one is not or no guard runs, \
                     3 none could be tried.",
                ),
        )
        .subcommand(asking("status", "Say what the guard protects, and what it did").arg(json()))
        .subcommand(asking("reload", "Have the guard read settings and content again"))
}

fn config() -> Arg {
    Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .default_value(CONFIG)
        .help("Configuration; section [onaccess]")
}

fn orders(command: Command) -> Command {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("PATH").value_parser(value_parser!(PathBuf)).help(help)
    };
    command
        .arg(config())
        .arg(path("clamd-conf", "Take the OnAccess options of this clamd.conf instead"))
        .arg(path("watch-list", "Protect what the lines of this file name, too"))
        .arg(path("exclude-list", "Exclude what the lines of this file name, too"))
        .arg(path("log", "Write to this file instead of standard error"))
        .arg(
            path("move", "Move infected files into this folder")
                .conflicts_with_all(["copy", "remove"]),
        )
        .arg(path("copy", "Copy infected files into this folder").conflicts_with("remove"))
        .arg(
            Arg::new("remove")
                .long("remove")
                .action(ArgAction::SetTrue)
                .help("Remove infected files"),
        )
}

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(exit::ERROR.into()) };
    match name {
        "run" => guard::supervise(&orders_of(matches)),
        "guard" => guard::run(orders_of(matches)),
        "check" => {
            let told = check::check(&socket(matches)?);
            check::print(&told, matches.get_flag("json"));
            Ok(ExitCode::from(told.exit()))
        }
        "reload" => {
            ask(&socket(matches)?, "reload")?;
            Ok(ExitCode::from(exit::CLEAN))
        }
        _ => status(&ask(&socket(matches)?, "status")?, matches.get_flag("json")),
    }
}

fn orders_of(matches: &ArgMatches) -> Orders {
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    Orders {
        config: path("config").unwrap_or_default(),
        clamd_conf: path("clamd-conf"),
        watch_list: path("watch-list"),
        exclude_list: path("exclude-list"),
        log: path("log"),
        move_to: path("move"),
        copy_to: path("copy"),
        remove: matches.get_flag("remove"),
    }
}

/// Returns the guard's socket.
fn socket(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    if let Some(path) = matches.get_one::<PathBuf>("socket") {
        return Ok(path.clone());
    }
    let config = matches.get_one::<PathBuf>("config").cloned().unwrap_or_default();
    socket_of(&config)
}

/// Returns the socket that a configuration names.
pub(crate) fn socket_of(config: &Path) -> anyhow::Result<PathBuf> {
    Ok(hf_onaccess::Settings::read(config)?.socket)
}

/// Returns the socket of the usual configuration.
pub(crate) fn usual_socket() -> anyhow::Result<PathBuf> {
    socket_of(Path::new(CONFIG))
}

fn ask(socket: &Path, word: &str) -> anyhow::Result<Value> {
    let answer = hf_onaccess::ask(socket, word)
        .with_context(|| format!("no guard answers on {}", safe_path(socket)))?;
    match answer.get("error").and_then(Value::as_str) {
        Some(why) => anyhow::bail!("the guard says: {why}"),
        None => Ok(answer),
    }
}

fn status(answer: &Value, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        outln!("{answer}");
        return Ok(ExitCode::from(exit::CLEAN));
    }
    let number = |path: &str| answer.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let text = |value: &Value, key: &str| {
        crate::display::safe(value.get(key).and_then(Value::as_str).unwrap_or("").as_bytes())
    };
    outln!("process               {}, up {} s", number("/pid"), number("/up_s"));
    let prevention = answer.get("prevention").and_then(Value::as_bool).unwrap_or(false);
    outln!("infected files        {}", if prevention { "denied" } else { "only told" });
    outln!("signatures            {}", number("/content/signatures"));
    for mount in answer.get("mounts").and_then(Value::as_array).into_iter().flatten() {
        let error = mount.get("error").and_then(Value::as_str);
        let (path, fstype) = (text(mount, "path"), text(mount, "fstype"));
        match error {
            None => outln!("guarded               {path} ({fstype}, {})", text(mount, "scope")),
            Some(_) => outln!("NOT GUARDED           {path} ({fstype}): {}", text(mount, "error")),
        }
    }
    outln!("known files           {}", number("/cached"));
    outln!("waiting               {}", number("/waiting"));
    let counts = answer.pointer("/metrics/counts").and_then(Value::as_object);
    for (name, count) in counts.into_iter().flatten() {
        let words = name.replace('_', " ");
        outln!("{words:<21} {count}");
    }
    for pair in
        answer.pointer("/metrics/latency_us").and_then(Value::as_array).into_iter().flatten()
    {
        let at = |idx: usize| pair.get(idx).and_then(Value::as_u64).unwrap_or(0);
        outln!("answered in < {:>7} us {}", at(0), at(1));
    }
    Ok(ExitCode::from(exit::CLEAN))
}
