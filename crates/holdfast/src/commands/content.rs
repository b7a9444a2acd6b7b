//! `holdfast content`: check, compile, list, describe and explain signatures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_core::signature::{
    BodySig, CertificateSig, Collector, ConfigSig, ContainerSig, HashSig, IconSig, IgnoreSig,
    LogicalSig, MagicSig, NotRun, PasswordSig, PhishingSig, SigMeta,
};
use hf_pack::Pack;
use hf_sig::{Diagnostic, IgnoreSet, LoadOptions, Severity};
use serde_json::json;

use super::{exit, scan};
use crate::content;
use crate::display::{self, safe_path};

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match matches.subcommand() {
        Some(("lint", matches)) => lint(matches),
        Some(("build", matches)) => build(matches),
        Some(("list", matches)) => list(matches),
        Some(("info", matches)) => info(matches),
        Some(("explain", matches)) => explain(matches),
        Some(("rebuild", matches)) => super::channel::rebuild::run(matches),
        Some(("log", matches)) => super::channel::history::log(matches),
        Some(("why", matches)) => super::channel::history::why(matches),
        Some(("keep", matches)) => super::channel::keep::run(matches),
        _ => Ok(ExitCode::from(exit::ERROR)),
    }
}

/// Takes note of regular expressions that cannot be compiled, and of nothing else.
#[derive(Default)]
struct Checker {
    complaints: Vec<String>,
    /// Signatures of kinds that nothing runs yet.
    not_run: BTreeMap<NotRun, u64>,
}

impl Checker {
    /// Returns lines that say what is not run.
    fn not_run_lines(&self) -> impl Iterator<Item = String> {
        self.not_run
            .iter()
            .map(|(what, count)| format!("{count} {what:?}: read and counted, not run yet"))
    }
}

impl Collector for Checker {
    fn hash(&mut self, _: SigMeta<'_>, _: HashSig<'_>) {}
    fn body(&mut self, _: SigMeta<'_>, _: BodySig) {}
    fn logical(&mut self, meta: SigMeta<'_>, sig: LogicalSig) {
        for (idx, sub) in sig.subs.iter().enumerate() {
            if let hf_core::signature::Sub::Pcre { pattern, flags, .. } = sub
                && let Err(why) = hf_match::check_pcre(pattern, *flags)
            {
                self.complaints.push(format!(
                    "{}:{}: sub-signature {idx} of {}: {why}",
                    meta.file, meta.line, meta.name
                ));
            }
        }
    }
    fn container(&mut self, _: SigMeta<'_>, _: ContainerSig) {}
    fn icon(&mut self, _: SigMeta<'_>, _: IconSig) {}
    fn magic(&mut self, _: SigMeta<'_>, _: MagicSig) {}
    fn password(&mut self, _: SigMeta<'_>, _: PasswordSig) {}
    fn phishing(&mut self, _: SigMeta<'_>, _: PhishingSig) {}
    fn certificate(&mut self, _: SigMeta<'_>, _: CertificateSig) {}
    fn ignore(&mut self, _: SigMeta<'_>, _: IgnoreSig) {}
    fn config(&mut self, _: SigMeta<'_>, _: ConfigSig) {}
    fn yara(&mut self, meta: SigMeta<'_>, text: &str) {
        let source = hf_yara::Source { file: meta.file, text };
        let (_, warnings) = hf_yara::RuleSet::compile([source]);
        self.complaints.extend(warnings.into_iter().map(|warning| warning.text));
    }
    fn not_run(&mut self, _: SigMeta<'_>, what: NotRun) {
        let count = self.not_run.entry(what).or_default();
        *count = count.saturating_add(1);
    }
}

fn lint(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let json = matches.get_flag("json");
    let mut bad = false;
    for path in databases(matches)? {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", safe_path(&path)))?;
        let name = base_name(&path);
        let options = LoadOptions { keep_going: true, ..LoadOptions::default() };
        let mut checker = Checker::default();
        let loaded = hf_sig::load(&name, &bytes, &options, &mut IgnoreSet::default(), &mut checker);
        let (signatures, diagnostics) = match loaded {
            Ok(summary) => (summary.signatures, summary.warnings),
            Err(rejected) => (0, vec![*rejected.diagnostic]),
        };
        bad |= diagnostics.iter().any(|d| d.severity == Severity::Error);
        bad |= !checker.complaints.is_empty();
        for diagnostic in &diagnostics {
            tell(diagnostic, json);
        }
        for complaint in &checker.complaints {
            if json {
                outln!("{}", json!({"type": "diagnostic", "file": name, "reason": complaint}));
            } else {
                outln!("{complaint}");
            }
        }
        if !json {
            let complaints = diagnostics.len().saturating_add(checker.complaints.len());
            outln!("{}: {signatures} signatures, {complaints} complaints", safe_path(&path));
            checker.not_run_lines().for_each(|line| outln!("  {line}"));
        }
    }
    Ok(ExitCode::from(if bad { exit::ERROR } else { exit::CLEAN }))
}

fn tell(diagnostic: &Diagnostic, json: bool) {
    if json {
        let line = json!({
            "type": "diagnostic", "code": diagnostic.code.id, "file": diagnostic.file,
            "severity": format!("{:?}", diagnostic.severity).to_lowercase(),
            "line": diagnostic.line, "column": diagnostic.column, "reason": diagnostic.reason,
        });
        outln!("{line}");
    } else {
        outln!("{}", diagnostic.render());
    }
}

/// Returns the named files, and of named folders the databases in them.
fn databases(matches: &ArgMatches) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in matches.get_many::<PathBuf>("paths").into_iter().flatten() {
        if !path.is_dir() {
            paths.push(path.clone());
            continue;
        }
        let entries =
            fs::read_dir(path).with_context(|| format!("cannot list {}", safe_path(path)))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| hf_sig::recognised(&base_name(path)).is_some())
            .collect();
        found.sort();
        paths.extend(found);
    }
    Ok(paths)
}

fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn build(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let content = content::open(&scan::wanted(matches))?;
    for warning in &content.warnings {
        errln!("holdfast: warning: {warning}");
    }
    for opened in &content.packs {
        let bytes = u64::try_from(opened.pack.as_bytes().len()).unwrap_or(u64::MAX);
        let sources: Vec<&str> =
            opened.pack.meta().sources.iter().map(|source| source.name.as_str()).collect();
        outln!(
            "{:?}: {} signatures, {}: {}",
            opened.origin,
            opened.pack.meta().signatures,
            display::bytes(bytes),
            sources.join(" ")
        );
    }
    outln!("{} signatures in {:.2} s", content.signatures, started.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

fn list(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let content = content::open(&scan::wanted(matches))?;
    for warning in &content.warnings {
        errln!("holdfast: warning: {warning}");
    }
    for opened in &content.packs {
        let meta = opened.pack.meta();
        for source in &meta.sources {
            let version = source.version.map(|v| format!(" version {v}")).unwrap_or_default();
            let signed = match (source.proof.as_str(), meta.official) {
                ("", true) => "built in",
                ("", false) => "unsigned",
                (proof, _) => proof,
            };
            outln!(
                "{:<28} {:>9} signatures  {signed}{version}{}{}  blake3:{}",
                source.name,
                source.signatures,
                if source.built_at.is_empty() { "" } else { " of " },
                source.built_at,
                display::hex(source.digest.get(..8).unwrap_or_default()),
            );
        }
        for not_run in &meta.not_run {
            outln!(
                "{:<28} {:>9} {:?}: read and counted, not run yet",
                "",
                not_run.count,
                not_run.what
            );
        }
    }
    outln!("{:<28} {:>9} signatures", "together", content.signatures);
    if matches.get_many::<PathBuf>("database").is_none() {
        provenance();
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells where each database of the set in use came from.
fn provenance() {
    let root = hf_update::SetStore::default_root();
    let set = root.and_then(|root| hf_update::SetStore::active(&root).ok().flatten());
    for file in set.iter().flat_map(|set| &set.manifest.files) {
        let from = &file.provenance;
        let plain = |text: &str| {
            text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>()
        };
        let or =
            |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { plain(text) };
        outln!("");
        outln!("{}/{}", file.source, file.name);
        outln!("  from        {}", plain(&from.url));
        outln!("  author      {}", or(&from.author, "not said"));
        outln!("  publisher   {}", or(&from.publisher, "not said"));
        outln!("  licence     {}", or(&from.licence, "not said"));
        outln!("  version     {}", or(&from.version, "none"));
        outln!("  verified    {}", or(&from.proof, "by nothing"));
        outln!("  fetched     {}", hf_update::store::time::to_iso(from.fetched_at));
        from.left_out.iter().for_each(|text| outln!("  left out    {}", plain(text)));
    }
}

fn info(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    for path in matches.get_many::<PathBuf>("paths").into_iter().flatten() {
        let shown = safe_path(path);
        let file = fs::File::open(path).with_context(|| format!("cannot open {shown}"))?;
        if let Ok(pack) = Pack::open(file) {
            pack_info(&shown, &pack);
            continue;
        }
        let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let name = base_name(path);
        let mut checker = Checker::default();
        let options = verified_as_in_use(matches, path)?;
        let ignored = &mut IgnoreSet::default();
        let loaded = hf_sig::load(&name, &bytes, &options, ignored, &mut checker);
        match loaded {
            Ok(summary) => {
                let language =
                    summary.language.map_or_else(|| "unknown".to_owned(), |l| format!("{l:?}"));
                outln!("{shown}: {language}, {} signatures", summary.signatures);
                outln!("  verified: {}", if summary.official { "yes" } else { "no" });
                outln!("  left out: {}, ignored: {}", summary.skipped, summary.ignored);
                checker.not_run_lines().for_each(|line| outln!("  {line}"));
                for warning in &summary.warnings {
                    outln!("{}", warning.render());
                }
                if let Some(container) = &summary.container {
                    let header = &container.header;
                    outln!("  build time: {}", header.build_time);
                    outln!("  version: {}, builder: {}", header.version, header.builder);
                    outln!("  functionality level: {}", header.flevel);
                    outln!("  proof: {:?}", container.proof);
                }
            }
            Err(rejected) => {
                outln!("{}", rejected.diagnostic.render());
                return Ok(ExitCode::from(exit::ERROR));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns options with the certificates in use and the detached signature beside a container.
fn verified_as_in_use(matches: &ArgMatches, path: &Path) -> anyhow::Result<LoadOptions> {
    let mut options = LoadOptions::default();
    let mut warnings = Vec::new();
    let given = matches.get_one::<PathBuf>("certificates");
    options.containers.keys.roots = content::roots(given.map(PathBuf::as_path), &mut warnings);
    options.containers.detached = hf_content::signature_beside(path)?;
    for warning in warnings {
        errln!("holdfast: warning: {warning}");
    }
    Ok(options)
}

fn pack_info(shown: &str, pack: &Pack) {
    let meta = pack.meta();
    outln!(
        "{shown}: compiled pack, format {}, compiler {}",
        meta.format_version,
        meta.compiler_version
    );
    outln!("  signatures: {}, signed or built in: {}", meta.signatures, meta.official);
    outln!("  blake3: {}", display::hex(pack.digest()));
    outln!(
        "  verified: {}",
        match pack.verify() {
            Ok(()) => "yes".to_owned(),
            Err(error) => format!("NO: {error}"),
        }
    );
    for source in &meta.sources {
        outln!("  source {}: {} signatures", source.name, source.signatures);
    }
    for not_run in &meta.not_run {
        outln!("  {} {:?}: read and counted, not run yet", not_run.count, not_run.what);
    }
    for (section, len) in pack.sections() {
        outln!("  section {:#010x}: {}", section.0, display::bytes(len));
    }
}

fn explain(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let path = matches.get_one::<PathBuf>("file").context("a file is required")?;
    let name = base_name(path);
    let text = match matches.get_one::<String>("line") {
        Some(line) => line.clone(),
        None => {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", safe_path(path)))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    let only = matches.get_one::<String>("name");
    let mut shown = 0u64;
    let mut bad = false;
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if only.is_some_and(|only| !line.contains(only.as_str())) {
            continue;
        }
        match hf_sig::explain(&name, line) {
            Ok(words) => outln!("{words}\n"),
            Err(diagnostic) => {
                bad = true;
                outln!("{}\n", diagnostic.render());
            }
        }
        shown = shown.saturating_add(1);
    }
    if shown == 0 {
        anyhow::bail!("no signature in {} fits", safe_path(path));
    }
    Ok(ExitCode::from(if bad { exit::ERROR } else { exit::CLEAN }))
}
