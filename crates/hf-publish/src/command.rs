//! The command line.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hf_channel::layout;
use hf_channel::layout::is_plain_name;
use hf_trust::Time;

use crate::build::{self, Built};
use crate::home::{
    Expiry, Home, LogConfig, Operator, Part, SourceConfig, WitnessAddress, read_verifiers,
};
use crate::keys::Passphrase;
use crate::repository::{self, Repository};
use crate::witness::Witness;
use crate::{attest, clamav, delegate, files, http, log, mirror, source};

/// Why nothing, or not all, was done.
pub(crate) enum Failed {
    /// The command line is wrong, or help was asked for.
    Usage(clap::Error),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// Runs a command line.
pub(crate) fn run(args: Vec<OsString>) -> std::result::Result<(), Failed> {
    let matches = command().try_get_matches_from(args).map_err(Failed::Usage)?;
    let now = Time::from_unix(unix_seconds());
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    match name {
        "init" => init(matches, now),
        "add-source" => add_source(matches),
        "build" => build_command(matches, now),
        "delegate" => delegate_command(matches),
        "attest" => attest_command(matches, now),
        "log" => log_command(matches, now),
        "witness" => witness_command(matches),
        "serve" => serve(matches),
        "sign-source" => sign_source(matches, now),
        "rotate" => rotate(matches, now),
        _ => mirror_command(matches, now),
    }
    .map_err(Failed::Other)
}

/// Returns the seconds since 1970.
pub(crate) fn unix_seconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0)
}

fn command() -> Command {
    served(delegated(built()))
}

/// Commands about sources that their own maintainers sign.
fn delegated(command: Command) -> Command {
    command
        .subcommand(
            with_home(
                Command::new("delegate").about(
                    "Let the maintainers of a source sign its files, from the next build on",
                ),
            )
            .arg(texts(
                "key",
                "A maintainer's public key, or a file with it (one --key for each maintainer)",
            ))
            .arg(
                Arg::new("threshold")
                    .long("threshold")
                    .value_name("K")
                    .value_parser(value_parser!(u64))
                    .default_value("1")
                    .help("How many maintainers have to sign"),
            )
            .arg(switch("remove", "Take the delegation back: the channel's keeper signs again"))
            .arg(Arg::new("source").required(true).help("Name of the source")),
        )
        .subcommand(
            with_home(
                Command::new("sign-source")
                    .about("Sign the files of a source as its maintainer, and hand them in"),
            )
            .arg(text("channel", "The channel: a folder or an address").required(true))
            .arg(text("id", "Name of the source").required(true))
            .arg(path("out", "Folder for what is signed; without it the channel's"))
            .arg(
                Arg::new("path")
                    .required(true)
                    .value_parser(value_parser!(PathBuf))
                    .help("A database, or a folder of databases"),
            ),
        )
}

/// Commands of those who build releases and vouch for them.
fn built() -> Command {
    Command::new("holdfast-publish")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Publish content for Holdfast: a channel, attestations, a log, a witness")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(init_args())
        .subcommand(
            with_home(Command::new("add-source").about("Add a source to the set, or change it"))
                .arg(text("id", "Name of the source").required(true))
                .arg(text("title", "For people"))
                .arg(text("author", "Who wrote the signatures").required(true))
                .arg(text("licence", "SPDX expression, or words").required(true))
                .arg(texts("forbids", "A use that the licence forbids, such as commercial"))
                .arg(text("url", "Where it was fetched"))
                .arg(switch("remove", "Remove the source"))
                .arg(
                    Arg::new("path")
                        .value_parser(value_parser!(PathBuf))
                        .help("A database, or a folder of databases"),
                ),
        )
        .subcommand(
            with_home(
                Command::new("build").about("Build a release and sign the channel's metadata"),
            )
            .arg(texts("reason", "NAME=REASON: why a signature was removed"))
            .arg(path("reasons", "File with such lines"))
            .arg(switch("refresh", "Only renew the metadata before they expire")),
        )
        .subcommand(
            with_home(
                Command::new("attest")
                    .about("Rebuild the current release, and sign if it comes out the same"),
            )
            .arg(text("channel", "The channel: a folder or an address").required(true))
            .arg(path("sources", "Folder with the sources, fetched by oneself"))
            .arg(path("out", "Folder for the attestation; without it the channel's")),
        )
        .subcommand(
            with_home(
                Command::new("log")
                    .about("Take statements into the log, ask witnesses, hand out proofs"),
            )
            .arg(path("channel", "Folder of a channel"))
            .arg(texts("publisher", "Public key of a publisher, or a file of keys; remembered"))
            .arg(texts("witness", "URL=KEY of a witness, or URL=FILE of its keys; remembered")),
        )
}

/// Commands of those who keep a log, and of those who hand content out.
fn served(command: Command) -> Command {
    command
        .subcommand(
            with_home(Command::new("witness").about("Cosign logs that only grew"))
                .arg(texts("log", "Public key of a log, or a file of keys; remembered"))
                .arg(text("listen", "Address and port").default_value("127.0.0.1:8081")),
        )
        .subcommand(
            Command::new("serve")
                .about("Serve a folder by HTTP")
                .arg(path("dir", "The folder"))
                .arg(path(
                    "clamav",
                    "Serve copies of the .cvd, .cdiff and .sign files in this folder to freshclam",
                ))
                .arg(text("listen", "Address and port").default_value("127.0.0.1:8080")),
        )
        .subcommand(with_home(Command::new("rotate").about("Replace a key")).arg(
            Arg::new("role").required(true).value_parser([
                "root",
                "targets",
                "snapshot",
                "timestamp",
                "publisher",
                "log",
                "source",
                "witness",
            ]),
        ))
        .subcommand(
            Command::new("mirror")
                .about("Make a full copy of a channel, and check every byte of it")
                .arg(text("from", "The channel: a folder or an address").required(true))
                .arg(
                    path("to", "The copy; with the same folder as --from it is only checked")
                        .required(true),
                )
                .arg(path("root", "The root.json that is trusted").required(true))
                .arg(texts("set", "Only these sets; without it all that the channel names")),
        )
}

fn init_args() -> Command {
    with_home(Command::new("init").about("Make an operator's folder, with its keys"))
        .arg(text("name", "Name in keys, such as alice.example").required(true))
        .arg(text("set", "Name of the set of content").default_value("main"))
        .arg(
            Arg::new("part")
                .long("part")
                .action(ArgAction::Append)
                .value_parser(["channel", "publisher", "log", "source", "witness"])
                .help("What the operator is (repeatable); without it channel and publisher"),
        )
        .arg(path("root", "For a publisher or a source: the channel's root.json"))
        .arg(path("root-keys", "Folder for the root's keys, to be kept offline"))
        .arg(switch("post-quantum", "Sign with ML-DSA-44 besides"))
        .arg(texts("publisher", "For a log: public key of a publisher, or a file of keys"))
        .arg(texts("log", "For a witness: public key of a log, or a file of keys"))
        .arg(
            Arg::new("patches")
                .long("patches")
                .value_name("N")
                .value_parser(value_parser!(u64).range(0..=64))
                .default_value("8")
                .help("Make patches from so many releases before"),
        )
}

fn with_home(command: Command) -> Command {
    command.arg(path("home", "The operator's folder").required(true)).arg(path(
        "passphrase-file",
        "File (mode 0600) whose first line is the passphrase of the keys; without it they are plain",
    ))
}

fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TEXT").help(help)
}

fn texts(name: &'static str, help: &'static str) -> Arg {
    text(name, help).action(ArgAction::Append)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("PATH").value_parser(value_parser!(PathBuf)).help(help)
}

fn one<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

fn many(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

fn given_path<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a PathBuf> {
    matches.get_one::<PathBuf>(name)
}

fn home_dir(matches: &ArgMatches) -> &Path {
    given_path(matches, "home").map_or(Path::new("."), PathBuf::as_path)
}

fn open(matches: &ArgMatches) -> Result<Home> {
    let passphrase = Passphrase::from_file(given_path(matches, "passphrase-file"))?;
    Home::open(home_dir(matches), passphrase)
}

fn init(matches: &ArgMatches, now: Time) -> Result<()> {
    let named = many(matches, "part");
    let mut parts: Vec<Part> = named
        .iter()
        .filter_map(|name| match name.as_str() {
            "channel" => Some(Part::Channel),
            "publisher" => Some(Part::Publisher),
            "log" => Some(Part::Log),
            "source" => Some(Part::Source),
            "witness" => Some(Part::Witness),
            _ => None,
        })
        .collect();
    if parts.is_empty() {
        parts = vec![Part::Channel, Part::Publisher];
    }
    parts.sort();
    parts.dedup();
    let operator = Operator {
        name: one(matches, "name").to_owned(),
        set: one(matches, "set").to_owned(),
        parts,
        post_quantum: matches.get_flag("post-quantum"),
        expiry_days: Expiry::default(),
        patches: matches.get_one::<u64>("patches").map_or(Ok(8), |n| usize::try_from(*n))?,
        root_keys: given_path(matches, "root-keys").map(std::path::absolute).transpose()?,
    };
    // What a wrong key would spoil is read before anything is made.
    let publishers = many(matches, "publisher");
    let logs = many(matches, "log");
    let publisher_keys = verifier_lines(&publishers)?;
    let log_keys = verifier_lines(&logs)?;
    let root = given_path(matches, "root").map(|path| files::read(path, 512_000)).transpose()?;
    let passphrase = Passphrase::from_file(given_path(matches, "passphrase-file"))?;
    let home = Home::create(home_dir(matches), operator, passphrase)?;
    if home.operator.parts.contains(&Part::Channel) {
        Repository::new(&home, now).create()?;
        let root = files::read(&home.channel().join("metadata/1.root.json"), 512_000)?;
        files::write(&home.dir.join("root.json"), &root)?;
        println!("channel: {}", home.channel().display());
        println!("root to give to others: {}", home.dir.join("root.json").display());
    }
    if let Some(root) = root {
        files::write(&home.dir.join("root.json"), &root)?;
    }
    if home.operator.parts.contains(&Part::Log) {
        home.set_log_config(&LogConfig { publishers: publisher_keys, witness: Vec::new() })?;
    }
    if home.operator.parts.contains(&Part::Witness) {
        let mut config = home.witness_config()?;
        config.logs = log_keys;
        home.set_witness_config(&config)?;
    }
    for role in ["publisher", "log", "source", "witness"] {
        if home.roles().contains(&role) {
            for verifier in home.verifiers(role)? {
                println!("{role}: {verifier}");
            }
        }
    }
    Ok(())
}

fn verifier_lines(arguments: &[String]) -> Result<Vec<String>> {
    Ok(read_verifiers(arguments)?.iter().map(ToString::to_string).collect())
}

fn add_source(matches: &ArgMatches) -> Result<()> {
    let home = open(matches)?;
    home.needs(Part::Channel)?;
    let id = one(matches, "id");
    ensure!(is_plain_name(id), "{id:?} is no name for a source: letters, digits, . - _");
    let mut sources = home.sources()?;
    let known = sources.source.iter().position(|source| source.id == id);
    if matches.get_flag("remove") {
        let at = known.with_context(|| format!("there is no source {id}"))?;
        sources.source.remove(at);
        return home.set_sources(&sources);
    }
    let path = given_path(matches, "path").context("a database or a folder is needed")?;
    ensure!(path.exists(), "{} is not there", path.display());
    let title = one(matches, "title");
    let source = SourceConfig {
        id: id.to_owned(),
        title: if title.is_empty() { id.to_owned() } else { title.to_owned() },
        author: one(matches, "author").to_owned(),
        licence: one(matches, "licence").to_owned(),
        forbids: many(matches, "forbids"),
        url: one(matches, "url").to_owned(),
        path: std::path::absolute(path)?,
        maintainers: known.and_then(|at| sources.source[at].maintainers.clone()),
    };
    match known {
        Some(at) => sources.source[at] = source,
        None => sources.source.push(source),
    }
    home.set_sources(&sources)
}

fn delegate_command(matches: &ArgMatches) -> Result<()> {
    let home = open(matches)?;
    home.needs(Part::Channel)?;
    let id = one(matches, "source");
    let mut sources = home.sources()?;
    let source = sources.source.iter_mut().find(|source| source.id == id);
    let source = source.with_context(|| format!("there is no source {id}: use add-source"))?;
    if matches.get_flag("remove") {
        ensure!(source.maintainers.take().is_some(), "the source {id} is not delegated");
        let path = source.path.display().to_string();
        home.set_sources(&sources)?;
        println!("{id}: from the next build on, its files are those in {path}");
        return Ok(());
    }
    let keys: Result<Vec<_>> =
        many(matches, "key").into_iter().map(|key| read_verifiers(&[key])).collect();
    let threshold = matches.get_one::<u64>("threshold").copied().unwrap_or(1);
    let maintainers = delegate::maintainers(&keys?, threshold)?;
    let number = maintainers.keys.len();
    source.maintainers = Some(maintainers);
    home.set_sources(&sources)?;
    println!("{id}: from the next build on, its files are those that {threshold} of {number} sign");
    Ok(())
}

fn sign_source(matches: &ArgMatches, now: Time) -> Result<()> {
    let home = open(matches)?;
    home.needs(Part::Source)?;
    let path = given_path(matches, "path").context("a database or a folder is needed")?;
    let out = given_path(matches, "out").map(PathBuf::as_path);
    let (channel, id) = (one(matches, "channel"), one(matches, "id"));
    let signed = source::sign(&home, channel, id, path, out, now)?;
    println!(
        "{id}: version {} with {} files, signed by {} keys: {}",
        signed.version,
        signed.files,
        signed.signatures,
        signed.path.display()
    );
    Ok(())
}

fn build_command(matches: &ArgMatches, now: Time) -> Result<()> {
    let home = open(matches)?;
    home.needs(Part::Channel)?;
    if matches.get_flag("refresh") {
        let _lock = files::lock(&home.dir.join("state"))?;
        Repository::new(&home, now).refresh_timestamp()?;
        println!("renewed until in {} days", home.operator.expiry_days.timestamp);
        return Ok(());
    }
    let reasons = build::reasons(&many(matches, "reason"), given_path(matches, "reasons"))?;
    match build::build(&home, &reasons, now)? {
        Built::Unchanged(release) => println!("nothing changed since release {release}; renewed"),
        Built::Release(manifest, digest) => {
            println!("release {} of {}: manifest {digest}", manifest.release, manifest.set);
            for pack in &manifest.packs {
                let patch = pack.blob.patches.first().map(|patch| patch.size);
                let patch = patch.map(|size| format!(", patch {size} bytes")).unwrap_or_default();
                println!(
                    "  {}: {} signatures, {} bytes, {} to fetch{patch}",
                    pack.blob.name, pack.signatures, pack.blob.size, pack.blob.data.size
                );
            }
        }
    }
    Ok(())
}

fn attest_command(matches: &ArgMatches, now: Time) -> Result<()> {
    let home = open(matches)?;
    home.needs(Part::Publisher)?;
    let (own, out) = (given_path(matches, "sources"), given_path(matches, "out"));
    let (rebuilt, path) = attest::attest(
        &home,
        one(matches, "channel"),
        own.map(PathBuf::as_path),
        out.map(PathBuf::as_path),
        now,
    )?;
    println!(
        "release {} of {} rebuilt, all digests are the same: {}",
        rebuilt.manifest.release, rebuilt.manifest.set, rebuilt.digest
    );
    println!("attestation: {}", path.display());
    Ok(())
}

fn log_command(matches: &ArgMatches, now: Time) -> Result<()> {
    let home = open(matches)?;
    home.needs(Part::Log)?;
    let mut config = home.log_config()?;
    let publishers = verifier_lines(&many(matches, "publisher"))?;
    for key in publishers {
        if !config.publishers.contains(&key) {
            config.publishers.push(key);
        }
    }
    for witness in many(matches, "witness") {
        let (url, keys) = witness.split_once('=').context("a witness is URL=KEY")?;
        ensure!(url.starts_with("http://"), "the address of a witness begins with http://");
        let keys = verifier_lines(&[keys.to_owned()])?;
        config.witness.retain(|known| known.url != url);
        config.witness.push(WitnessAddress { url: url.to_owned(), keys });
    }
    home.set_log_config(&config)?;
    let outcome = log::run(&home, given_path(matches, "channel").map(PathBuf::as_path), now)?;
    println!(
        "{}: {} entries, {} new; cosigned by {} of {} witnesses",
        home.key_name("log"),
        outcome.size,
        outcome.added,
        outcome.cosigned.len(),
        config.witness.len()
    );
    for line in outcome.missing {
        eprintln!("holdfast-publish: witness {line}");
    }
    for line in &outcome.refused {
        eprintln!("holdfast-publish: not taken: {line}");
    }
    Ok(())
}

fn witness_command(matches: &ArgMatches) -> Result<()> {
    let home = open(matches)?;
    home.needs(Part::Witness)?;
    let mut config = home.witness_config()?;
    for key in verifier_lines(&many(matches, "log"))? {
        if !config.logs.contains(&key) {
            config.logs.push(key);
        }
    }
    home.set_witness_config(&config)?;
    let name = home.key_name("witness");
    let witness = Witness::open(
        &home.dir.join("state"),
        &name,
        home.note_keys("witness")?,
        read_verifiers(&config.logs)?,
    )?;
    let listener = listen(one(matches, "listen"))?;
    println!("witness {name} at http://{}", listener.local_addr()?);
    witness.run(&listener)
}

fn listen(address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))
}

fn serve(matches: &ArgMatches) -> Result<()> {
    let (dir, clamav) = (given_path(matches, "dir"), given_path(matches, "clamav"));
    let folder = match (dir, clamav) {
        (Some(dir), None) => dir.clone(),
        (dir, Some(from)) => {
            let to = dir.context("--clamav needs --dir, the folder for the copies")?;
            for line in clamav::lay_out(from, to)? {
                println!("{line}");
            }
            to.clone()
        }
        (None, None) => bail!("name the folder with --dir"),
    };
    ensure!(folder.is_dir(), "{} is not a folder", folder.display());
    let listener = listen(one(matches, "listen"))?;
    println!("serving {} at http://{}", folder.display(), listener.local_addr()?);
    http::serve(&listener, move |request| http::file_of(&folder, request))
}

fn rotate(matches: &ArgMatches, now: Time) -> Result<()> {
    let home = open(matches)?;
    let role = one(matches, "role");
    let _lock = files::lock(&home.dir.join("state"))?;
    if let Some(role) = repository::ROLES.iter().find(|known| **known == role) {
        home.needs(Part::Channel)?;
        let repository = Repository::new(&home, now);
        repository.rotate(role)?;
        let version = repository.root()?.signed.header.version;
        println!("the key of {role} is new; root is of version {version} now");
        let newest = home.channel().join(layout::METADATA).join(format!("{version}.root.json"));
        println!("clients follow by themselves; new ones may start from {}", newest.display());
        return Ok(());
    }
    home.needs(match role {
        "publisher" => Part::Publisher,
        "log" => Part::Log,
        "source" => Part::Source,
        _ => Part::Witness,
    })?;
    repository::set_aside(&home, role, u64::try_from(now.unix()).unwrap_or_default())?;
    home.new_key(role)?;
    let who = if role == "source" {
        "the channel's keeper has to delegate to it"
    } else {
        "owners have to put it into their policies"
    };
    println!("the key of {role} is new; {who}:");
    for verifier in home.verifiers(role)? {
        println!("{verifier}");
    }
    Ok(())
}

fn mirror_command(matches: &ArgMatches, now: Time) -> Result<()> {
    let (to, root) = (given_path(matches, "to"), given_path(matches, "root"));
    let (to, root) = (to.context("--to is needed")?, root.context("--root is needed")?);
    let root = files::read(root, 512_000)?;
    let copied = mirror::mirror(one(matches, "from"), to, root, &many(matches, "set"), now)?;
    println!(
        "{} files, {} bytes; {} of them were there already; every digest is right",
        copied.files, copied.bytes, copied.here
    );
    Ok(())
}
