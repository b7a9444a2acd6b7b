//! The one table of options: parsing, help, manual pages and completions come from it.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

/// What an option takes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Switch,
    Number,
    Size,
    Text,
    Texts,
    Path,
    Paths,
    OneOf(&'static [&'static str]),
}

/// One option of one or more commands.
#[derive(Debug, Clone, Copy)]
struct Opt {
    name: &'static str,
    short: Option<char>,
    kind: Kind,
    default: Option<&'static str>,
    heading: &'static str,
    doc: &'static str,
}

const fn opt(name: &'static str, kind: Kind, heading: &'static str, doc: &'static str) -> Opt {
    Opt { name, short: None, kind, default: None, heading, doc }
}

impl Opt {
    const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    fn arg(&self) -> Arg {
        let mut arg = Arg::new(self.name).long(self.name).help(self.doc).help_heading(self.heading);
        if let Some(short) = self.short {
            arg = arg.short(short);
        }
        if let Some(default) = self.default {
            arg = arg.default_value(default);
        }
        match self.kind {
            Kind::Switch => arg.action(ArgAction::SetTrue),
            Kind::Number => arg.value_name("N").value_parser(value_parser!(u64)),
            Kind::Size => arg.value_name("SIZE").value_parser(parse_size),
            Kind::Text => arg.value_name("TEXT"),
            Kind::Texts => arg.value_name("TEXT").action(ArgAction::Append),
            Kind::Path => path(arg),
            Kind::Paths => path(arg).action(ArgAction::Append),
            Kind::OneOf(words) => {
                arg.value_name("WORD").value_parser(PossibleValuesParser::new(words))
            }
        }
    }
}

fn path(arg: Arg) -> Arg {
    arg.value_name("PATH")
        .value_parser(value_parser!(std::path::PathBuf))
        .value_hint(ValueHint::AnyPath)
}

/// Reads `400M`, `2G`, `unlimited` or a number of bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    if text == "unlimited" {
        return Ok(u64::MAX);
    }
    let bad = || format!("'{text}' is no size: write a number with K, M, G or T, or 'unlimited'");
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let factor: u64 = match unit.to_ascii_lowercase().trim_end_matches("ib") {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(bad()),
    };
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(bad)
}

use Kind::{Number, OneOf, Path, Paths, Size, Switch, Text, Texts};

const ACT: &str = "What is done";
const CONTENT: &str = "Content";
const WALK: &str = "Which files";
const LOOK: &str = "What is looked for";
const TELL: &str = "What is told";
const LIMIT: &str = "Limits";

const CERTIFICATES: Opt = opt(
    "certificates",
    Path,
    CONTENT,
    "Folder of certificates (*.pem, *.crt) in which detached signatures (*.sign) of databases may end; \
     without it $CVD_CERTS_DIR, else /etc/clamav/certs",
);

static CONTENT_OPTIONS: &[Opt] = &[
    opt(
        "database",
        Paths,
        CONTENT,
        "Signatures: a file, or a folder of databases (repeatable); without it the built-in ones",
    )
    .short('d'),
    opt("with-builtin", Switch, CONTENT, "Use the built-in signatures besides those of --database"),
    opt(
        "keep-going",
        Switch,
        CONTENT,
        "Skip malformed signatures and say so, instead of refusing their file",
    ),
    opt("official-only", Switch, CONTENT, "Use only signed databases"),
    CERTIFICATES,
    opt("yara", OneOf(&["yes", "no", "only"]), CONTENT, "Use YARA rules").default("yes"),
];

static SCAN_OPTIONS: &[Opt] = &[
    opt("exclude", Texts, WALK, "Leave out files whose full path matches this regular expression"),
    opt("exclude-dir", Texts, WALK, "Leave out folders whose full path matches"),
    opt("include", Texts, WALK, "Only files whose full path matches"),
    opt("one-file-system", Switch, WALK, "Stay on the file system of each named path").short('x'),
    opt(
        "follow-links",
        OneOf(&["never", "named", "always"]),
        WALK,
        "Follow symbolic links never, only those named, or always",
    )
    .default("named"),
    opt("max-dir-depth", Number, WALK, "Deepest folder below a named one").default("255"),
    opt(
        "file-list",
        Path,
        WALK,
        "Scan the paths in this file, one on each line; - reads the list from standard input",
    )
    .short('f'),
    opt("null", Switch, WALK, "The file list is separated by NUL bytes").short('0'),
    opt("all-match", Switch, LOOK, "Report every match instead of the first").short('z'),
    opt("detect-pua", Switch, LOOK, "Report potentially unwanted applications"),
    opt("include-pua", Texts, LOOK, "Only these classes of unwanted applications"),
    opt("exclude-pua", Texts, LOOK, "Not these classes of unwanted applications"),
    opt("no-heuristics", Switch, LOOK, "Report signatures only"),
    opt("alert-encrypted", Switch, LOOK, "Report encrypted archives and documents as findings"),
    opt("alert-macros", Switch, LOOK, "Report documents with macros as findings"),
    opt("alert-broken", Switch, LOOK, "Report broken executables and images as findings"),
    opt("alert-exceeds-max", Switch, LOOK, "Report exceeded limits as findings"),
    opt(
        "alert-phishing",
        Switch,
        LOOK,
        "Report links in mails that hide where they lead as findings",
    ),
    opt("detect-structured", Switch, LOOK, "Report card and social security numbers"),
    opt("like-clamav", Switch, LOOK, "Follow ClamAV's visible quirks (docs/compatibility.md)"),
    opt("json", Switch, TELL, "One JSON object on each line, for every file (docs/json.md)"),
    opt("contents", Switch, TELL, "With --json: every object in a file, with digests and facts"),
    opt("explain", Switch, TELL, "Say why a file matched: signature, offsets, bytes"),
    opt(
        "only-findings",
        Switch,
        TELL,
        "Do not list what is incomplete or was skipped; errors are always told",
    )
    .short('i'),
    opt("verbose", Switch, TELL, "List clean files and everything left out").short('v'),
    opt("no-progress", Switch, TELL, "No progress line on a terminal"),
    opt("no-summary", Switch, TELL, "No summary at the end"),
];

const VAULT: Opt = opt(
    "vault",
    Path,
    ACT,
    "Folder of the quarantine; without it /var/lib/holdfast/quarantine, for others than root \
     ~/.local/share/holdfast/quarantine",
);

const DRY_RUN: Opt = opt("dry-run", Switch, ACT, "Say what would be done, and do nothing");

static ACTION_OPTIONS: &[Opt] = &[
    opt(
        "action",
        OneOf(&["report", "quarantine", "remove"]),
        ACT,
        "What is done with a detected file (docs/quarantine.md)",
    )
    .default("report"),
    opt(
        "touch-system-files",
        Switch,
        ACT,
        "Act on files of the distribution's packages too, though they are as the packages made them",
    ),
    VAULT,
    DRY_RUN,
];

const SETTINGS: Opt =
    opt("config", Path, TELL, "The configuration; without it /etc/holdfast/holdfast.toml");

static EVENT_OPTIONS: &[Opt] = &[
    opt(
        "events",
        Switch,
        TELL,
        "Tell events as [events] of the configuration says (docs/events.md)",
    ),
    SETTINGS,
];

static THREAD_OPTIONS: &[Opt] =
    &[opt("threads", Number, LIMIT, "Workers at once; 0 means one for each core")
        .short('t')
        .default("0")];

static LIMIT_OPTIONS: &[Opt] = &[
    opt("max-scan-size", Size, LIMIT, "Bytes of one file with all that is in it").default("8G"),
    opt("max-object-size", Size, LIMIT, "Bytes of one object").default("8G"),
    opt("max-depth", Number, LIMIT, "Levels of nesting").default("17"),
    opt("max-objects", Number, LIMIT, "Objects in one file").default("50000"),
    opt("deadline", Number, LIMIT, "Seconds for one file").default("120"),
    opt("worker-memory", Size, LIMIT, "Memory of one worker beyond its content").default("2G"),
];

/// Returns the whole command line.
pub(crate) fn command() -> Command {
    Command::new("holdfast")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An antivirus that nobody can silently turn against its users or switch off")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(scan())
        .subcommand(inspect())
        .subcommand(config())
        .subcommand(of_channels(content()))
        .subcommand(daemon())
        .subcommand(verify())
        .subcommand(monitor())
        .subcommand(super::onaccess::command())
        .subcommand(quarantine())
        .subcommand(schedule())
        .subcommand(
            Command::new("status")
                .about(
                    "Say which protections of the worker this machine has, and which limits hold",
                )
                .after_help(
                    "Exit codes: 0 all are active, 2 no worker can run, 3 some are missing.",
                )
                .arg(opt("json", Switch, TELL, "One JSON object").arg()),
        )
        .subcommand(
            Command::new("selftest")
                .about("Prove that a worker can do nothing but compute")
                .arg(opt("json", Switch, TELL, "One JSON object on each line").arg()),
        )
        .subcommand(update())
        .subcommand(supplier())
        .subcommand(inventory())
        .subcommand(
            Command::new("completions").about("Print the completions of a shell").arg(
                Arg::new("shell")
                    .required(true)
                    .value_parser(PossibleValuesParser::new(["bash", "elvish", "fish", "zsh"])),
            ),
        )
        .subcommand(
            Command::new("manual")
                .about("Write the manual pages into a folder")
                .arg(path(Arg::new("folder")).required(true)),
        )
}

fn with(command: Command, options: &[Opt]) -> Command {
    command.args(options.iter().map(Opt::arg))
}

fn scan() -> Command {
    let command = Command::new("scan")
        .about("Scan files and folders")
        .after_help("Exit codes: 0 clean, 1 detected, 2 error, 3 incomplete.")
        .arg(
            path(Arg::new("paths"))
                .num_args(0..)
                .help("Files and folders; - is standard input; without any, this folder"),
        );
    let command = with(with(command, CONTENT_OPTIONS), SCAN_OPTIONS);
    let command = with(with(command, ACTION_OPTIONS), EVENT_OPTIONS);
    with(with(command, THREAD_OPTIONS), LIMIT_OPTIONS)
}

fn inspect() -> Command {
    let command = Command::new("inspect")
        .about("Draw the tree of objects in a file, with types, sizes, digests and defects")
        .arg(path(Arg::new("paths")).num_args(1..).required(true))
        .arg(opt("json", Switch, TELL, "One JSON object on each line (docs/json.md)").arg());
    with(with(command, CONTENT_OPTIONS), LIMIT_OPTIONS)
}

fn config() -> Command {
    let file = || path(Arg::new("file")).required(true);
    Command::new("config")
        .about("Check a configuration, or import another program's")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("check")
                .about(
                    "Say whether a holdfast.toml or clamd.conf is right, and what is not honoured",
                )
                .after_help("Exit codes: 0 right, 2 wrong, 3 right, but something is not honoured.")
                .arg(file()),
        )
        .subcommand(
            Command::new("import")
                .about("Turn clamd.conf or Defender's mdatp_managed.json into holdfast.toml")
                .after_help(
                    "The file goes to standard output, what has no equal to standard error.\n\
                     Exit codes: 0 all of it, 2 wrong, 3 something has no equal.",
                )
                .arg(file()),
        )
}

fn daemon() -> Command {
    Command::new("daemon")
        .about("Serve other programs: the clamd protocol (docs/daemon.md)")
        .arg(opt("config", Path, CONTENT, "holdfast.toml or clamd.conf").short('c').arg())
        .arg(
            opt(
                "database",
                Paths,
                CONTENT,
                "Signatures: a file or a folder, instead of the configured ones",
            )
            .short('d')
            .arg(),
        )
        .arg(opt("socket", Path, TELL, "Local socket, instead of the configured one").arg())
        .arg(opt("log", Path, TELL, "Log file, instead of the configured one").short('l').arg())
        .arg(opt("verbose", Switch, TELL, "Say more of what happens").short('v').arg())
}

fn content() -> Command {
    let files = || path(Arg::new("paths")).num_args(1..).required(true);
    Command::new("content")
        .about("Work with signatures")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("lint")
                .about("Check databases and say where each is wrong")
                .arg(files())
                .arg(opt("json", Switch, TELL, "One JSON object on each line").arg()),
        )
        .subcommand(with(
            Command::new("build").about("Compile databases into the cache"),
            CONTENT_OPTIONS,
        ))
        .subcommand(with(
            Command::new("list").about("List the content in use and where it is from"),
            CONTENT_OPTIONS,
        ))
        .subcommand(
            Command::new("info")
                .about("Describe a database, a signed container or a compiled pack")
                .arg(files())
                .arg(CERTIFICATES.arg()),
        )
        .subcommand(
            Command::new("explain")
                .about("Say in words what signatures look for")
                .arg(
                    path(Arg::new("file"))
                        .required(true)
                        .help("A database; its name tells the language"),
                )
                .arg(opt("name", Text, TELL, "Only lines that contain this").arg())
                .arg(opt("line", Text, TELL, "Explain this line instead of the file's").arg()),
        )
}

fn quarantine() -> Command {
    let json = opt("json", Switch, TELL, "One JSON object on each line (docs/quarantine.md)");
    let of = move |name: &'static str, about: &'static str| {
        with(Command::new(name).about(about), &[VAULT, json, SETTINGS])
    };
    let ids = || {
        Arg::new("ids")
            .value_name("ID")
            .num_args(1..)
            .required(true)
            .help("Entries; the first digits of a name are enough, and 'all' means every entry")
    };
    let output = opt("output", Path, ACT, "File to write; it must not exist").short('o').arg();
    Command::new("quarantine")
        .about("Look into the quarantine, give files back, delete or export them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(of("list", "List the entries, oldest first"))
        .subcommand(of("show", "Tell all that is known of entries").arg(ids()))
        .subcommand(with(
            of("add", "Take files that no scan found, by your own judgement")
                .arg(path(Arg::new("paths")).num_args(1..).required(true))
                .arg(opt("reason", Text, ACT, "Kept as the finding").default("Manual").arg()),
            &[DRY_RUN],
        ))
        .subcommand(with(
            of("restore", "Put files back as they were, and take their entries away").arg(ids()),
            &[
                opt("to", Path, ACT, "Another place: a path, or a folder"),
                opt("overwrite", Switch, ACT, "Replace what is there"),
                opt("keep", Switch, ACT, "Keep the entry"),
                DRY_RUN,
            ],
        ))
        .subcommand(with(of("delete", "Delete entries for good").arg(ids()), &[DRY_RUN]))
        .subcommand(
            of("export", "Write an entry for analysts; the archive's password is 'infected'")
                .arg(ids().num_args(1))
                .arg(output.required(true))
                .arg(
                    opt("form", OneOf(&["zip", "plain"]), ACT, "A ZIP archive, or the bytes")
                        .default("zip")
                        .arg(),
                )
                .arg(DRY_RUN.arg()),
        )
        .subcommand(with(
            of("expire", "Delete what is beyond limits, the oldest first, and say so"),
            &[
                opt("max-age", Number, LIMIT, "Days that an entry is kept"),
                opt("max-size", Size, LIMIT, "Bytes of all entries together"),
                opt("if-limited", Switch, ACT, "Without limits do nothing, instead of failing"),
                DRY_RUN,
            ],
        ))
}

const CONFIG: Opt = opt(
    "config",
    Path,
    CONTENT,
    "Configuration; without it ~/.config/holdfast/update.toml, else /etc/holdfast/update.toml",
);
const RULES: Opt =
    opt("rules", Path, CONTENT, "The owner's file of suppliers; else the configuration says where");

fn update() -> Command {
    let reason = || Arg::new("reason").value_name("REASON").help("Why, for the record");
    let brake = |name: &'static str, about: &'static str| Command::new(name).about(about);
    Command::new("update")
        .about("Fetch content, try it, and bring it into use")
        .after_help(
            "Exit codes: 0 done, 1 with --check: there is news, 2 error, 3 a source failed or the content was refused.",
        )
        .arg(opt("check", Switch, CONTENT, "Only say whether there is news").arg())
        .arg(opt("source", Texts, CONTENT, "Only this source (repeatable)").arg())
        .arg(CONFIG.arg())
        .arg(opt("json", Switch, TELL, "One JSON object on each line").arg())
        .arg(opt("quiet", Switch, TELL, "Only tell what is wrong").short('q').arg())
        .arg(opt("verbose", Switch, TELL, "Tell every step").short('v').arg())
        .args_conflicts_with_subcommands(true)
        .subcommand(brake("hold", "Take nothing new into use").arg(reason()))
        .subcommand(brake("unhold", "Release hold and pin"))
        .subcommand(
            brake("pin", "Use this set and no other")
                .arg(Arg::new("digest").required(true).help("Its digest, at least the first 4 letters")),
        )
        .subcommand(
            brake("stage", "Take new content at once on a part of machines only")
                .arg(Arg::new("percent").required(true).value_parser(value_parser!(u64)))
                .arg(opt("delay", Number, LIMIT, "Hours that the others wait").default("24").arg()),
        )
        .subcommand(
            brake("rollback", "Go back to the set before, without a network").arg(reason()),
        )
        .subcommand(
            brake("status", "Say what is in use, what was before, and which brakes are pulled")
                .arg(opt("json", Switch, TELL, "One JSON object").arg()),
        )
        .subcommand(
            brake("watch", "Try the set in use again, and go back when it is not fit").arg(CONFIG.arg()),
        )
        .subcommand(
            brake("export", "Write what a machine without a network needs into a folder")
                .arg(Arg::new("to").long("to").value_name("PLACE").required(true)
                    .help("A folder, or oci:FOLDER for an OCI image layout"))
                .arg(opt("since", Number, CONTENT, "Only what a machine with this release lacks").arg())
                .arg(opt("source", Text, CONTENT, "The channel, when there are several").arg())
                .arg(CONFIG.arg())
                .arg(opt("json", Switch, TELL, "One JSON object").arg()),
        )
        .subcommand(
            brake("import", "Update from a folder or an OCI image layout that was carried here")
                .arg(path(Arg::new("from")).required(true).help("The folder; or oci:FOLDER"))
                .arg(opt("source", Texts, CONTENT, "The channel, when there are several").arg())
                .arg(CONFIG.arg())
                .arg(opt("json", Switch, TELL, "One JSON object on each line").arg())
                .arg(opt("quiet", Switch, TELL, "Only tell what is wrong").short('q').arg())
                .arg(opt("verbose", Switch, TELL, "Tell every step").short('v').arg()),
        )
        .subcommand(
            brake("try", "Try a set of content and print what came of it as JSON")
                .hide(true)
                .arg(opt("candidate", Path, CONTENT, "The set, or a database").arg())
                .arg(opt("current", Path, CONTENT, "The set in use").arg())
                .arg(opt("known-clean", Paths, CONTENT, "A file known to be clean").arg())
                .arg(opt("clean-files", Number, LIMIT, "Files of packages at most").arg()),
        )
}

/// Adds to `content` what is known of content that came from channels.
fn of_channels(command: Command) -> Command {
    let json = || opt("json", Switch, TELL, "One JSON object on each line").arg();
    let source = || opt("source", Text, CONTENT, "The channel, when there are several").arg();
    command
        .subcommand(
            Command::new("rebuild")
                .about("Build the release in use anew from its sources, and compare every digest")
                .arg(
                    opt("verify", Switch, CONTENT, "Compare with the release in use (always done)")
                        .arg(),
                )
                .arg(
                    opt("sources", Path, CONTENT, "Folder with the sources, fetched by oneself")
                        .arg(),
                )
                .arg(source())
                .arg(CONFIG.arg())
                .arg(json()),
        )
        .subcommand(
            Command::new("log")
                .about("Say what changed, when, by whom, with which proof")
                .arg(opt("changes", Switch, TELL, "Name every signature that came or went").arg())
                .arg(source())
                .arg(CONFIG.arg())
                .arg(json()),
        )
        .subcommand(
            Command::new("why")
                .about("Say where a signature comes from, and what became of it")
                .arg(Arg::new("name").required(true).help("Its name, as it is reported"))
                .arg(source())
                .arg(CONFIG.arg())
                .arg(json()),
        )
        .subcommand(
            Command::new("keep")
                .about("Keep withdrawn signatures on this machine, or stop keeping them")
                .arg(
                    Arg::new("names")
                        .num_args(0..)
                        .help("Their names; without any, list what is kept"),
                )
                .arg(opt("remove", Switch, CONTENT, "Stop keeping them").arg())
                .arg(source())
                .arg(CONFIG.arg()),
        )
}

fn verify() -> Command {
    Command::new("verify")
        .about("Verify content from channels from the root down, without a network")
        .after_help(
            "Exit codes: 0 all is right, 2 something is refused, 3 something is to be looked at.",
        )
        .arg(opt("source", Text, CONTENT, "Only this channel").arg())
        .arg(CONFIG.arg())
        .arg(opt("json", Switch, TELL, "One JSON object on each line").arg())
}

fn monitor() -> Command {
    Command::new("monitor")
        .about("Follow the logs of channels, and cry out at what should not be there")
        .after_help("Exit codes: 0 nothing, 1 alarms, 2 a log cannot be had or read.")
        .arg(
            opt(
                "log",
                Text,
                CONTENT,
                "Where the log is: an address or a folder; without it those of the policy",
            )
            .arg(),
        )
        .arg(
            opt("hook", Path, TELL, "A program that gets each alarm as JSON on its standard input")
                .arg(),
        )
        .arg(opt("source", Text, CONTENT, "Only this channel").arg())
        .arg(CONFIG.arg())
        .arg(opt("json", Switch, TELL, "One JSON object on each line").arg())
}

fn supplier() -> Command {
    Command::new("supplier")
        .about("Who stands behind content, and what is bound to them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("status")
                .about("A time line: what is in use, what stops when, and what would go with it")
                .arg(opt("at", Text, TELL, "The status on another day (2024-09-29)").arg())
                .arg(opt("json", Switch, TELL, "One JSON object").arg())
                .arg(CONFIG.arg())
                .arg(RULES.arg()),
        )
}

fn inventory() -> Command {
    Command::new("inventory")
        .about("Find products of suppliers on this machine")
        .after_help(
            "Exit codes: 0 none, 1 found, 2 error, 3 none, but not everything could be looked at.",
        )
        .arg(opt("root", Path, WALK, "Look at the machine whose files are below this folder").arg())
        .arg(opt("json", Switch, TELL, "One JSON object").arg())
        .arg(CONFIG.arg())
        .arg(RULES.arg())
}

fn schedule() -> Command {
    let root = opt("root", Path, WALK, "Configuration, units and state are below this folder");
    let of = move |name: &'static str, about: &'static str| {
        with(Command::new(name).about(about), &[SETTINGS, root])
    };
    let name = || Arg::new("name").value_name("NAME").required(true).help("The task");
    let json = opt("json", Switch, TELL, "One JSON object on each line");
    Command::new("schedule")
        .about("Scans that come again (docs/schedule.md)")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with(of("list", "List the tasks"), &[json]))
        .subcommand(with(of("status", "Say when each task ran and is due"), &[json]))
        .subcommand(with(
            of("add", "Add a task, with a timer where systemd runs")
                .arg(name())
                .arg(path(Arg::new("paths")).num_args(1..).required(true)),
            &[
                opt("when", Text, WALK, "'daily 03:00', 'weekly sun 03:00' or 'on-demand'")
                    .default("on-demand"),
                opt("exclude", Texts, WALK, "Leave out files whose full path matches"),
                opt("exclude-dir", Texts, WALK, "Leave out folders whose full path matches"),
                opt("action", OneOf(&["report", "quarantine", "remove"]), ACT, "What is done")
                    .default("report"),
                opt("changed-only", Switch, WALK, "Pass over clean files that have not changed"),
                opt("on-battery", OneOf(&["pause", "run"]), ACT, "While there is no mains")
                    .default("pause"),
                opt("no-idle", Switch, ACT, "Do not give way to everything else"),
                opt("option", Texts, LOOK, "One more option of scan, as --option=--json"),
                DRY_RUN,
            ],
        ))
        .subcommand(with(
            of("remove", "Remove a task, its timer and its state").arg(name()),
            &[DRY_RUN],
        ))
        .subcommand(with(
            of("apply", "Write the timers of all tasks, for those in the configuration"),
            &[DRY_RUN],
        ))
        .subcommand(with(
            of("run", "Run a task now, from where it stopped").arg(name()),
            &[
                opt("due", Switch, ACT, "Only if it is due or was stopped in the middle"),
                opt("restart", Switch, ACT, "From the beginning"),
                opt("dry-run", Switch, ACT, "Scan, and leave what is found where it is"),
            ],
        ))
        .subcommand(with(
            of("daemon", "Run tasks when they are due, where there is no systemd"),
            &[opt("once", Switch, ACT, "Run what is due now, and end")],
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("17"), Ok(17));
        assert_eq!(parse_size("4G"), Ok(4 << 30));
        assert_eq!(parse_size("4KiB"), Ok(4096));
        assert_eq!(parse_size("unlimited"), Ok(u64::MAX));
        assert!(parse_size("G").is_err() && parse_size("1X").is_err());
        assert!(parse_size("99999999999G").is_err());
    }
}
