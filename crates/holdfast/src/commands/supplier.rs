//! `holdfast supplier` and `holdfast inventory`: who stands behind what, and what is on this machine of whom.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_update::SetStore;
use hf_update::config::Config;
use hf_update::inventory::inventory as take_inventory;
use hf_update::store::time;
use hf_update::supplier::{Status, Suppliers};

use super::{exit, update};

/// Runs `holdfast supplier`.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match matches.subcommand() {
        Some(("status", matches)) => status(matches),
        _ => Ok(ExitCode::from(exit::ERROR)),
    }
}

fn suppliers(matches: &ArgMatches, config: &Config) -> anyhow::Result<Suppliers> {
    let named = matches.get_one::<PathBuf>("rules");
    if let Some(path) = named.filter(|path| !path.exists()) {
        anyhow::bail!("{}: there is no such file", crate::display::safe_path(path));
    }
    let path = named.unwrap_or(&config.update.suppliers);
    Suppliers::with_owners(path).map_err(anyhow::Error::msg)
}

fn status(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, _) = update::configuration(matches)?;
    let suppliers = suppliers(matches, &config)?;
    let today = i64::try_from(time::now() / 86_400).unwrap_or(0);
    let day = match matches.get_one::<String>("at") {
        Some(text) => time::from_day(text)
            .with_context(|| format!("'{text}' is no day: write it as 2024-09-29"))?,
        None => today,
    };
    let root = SetStore::default_root();
    let set = match &root {
        Some(root) => SetStore::active(root)?,
        None => None,
    };
    let status = Status::at(&suppliers, &config, set.as_ref(), day);
    if matches.get_flag("json") {
        outln!("{}", serde_json::to_string(&status)?);
        return Ok(ExitCode::SUCCESS);
    }
    outln!("Suppliers on {}", status.at);
    for row in &status.suppliers {
        let used = match (row.sources.is_empty(), row.share.signatures) {
            (true, _) => "not in use".to_owned(),
            (false, 0) => format!("sources {}: no signatures yet", row.sources.join(", ")),
            (false, count) => format!(
                "sources {}: {count} signatures, {} found nowhere else ({} % of all)",
                row.sources.join(", "),
                row.share.only_here,
                row.only_here_percent
            ),
        };
        outln!("");
        outln!("{} [{}]  {}", row.name, row.jurisdiction.join(", "), row.licence);
        outln!("  in use      {used}");
        row.holding.iter().for_each(|text| outln!("  holds       {text}"));
        row.coming.iter().for_each(|text| outln!("  to come     {text}"));
        if let Some(why) = &row.refused {
            outln!("  REFUSED     {why}");
        } else if !row.holding.is_empty() && !row.enforced {
            outln!("  enforced    no: facts only, as the owner has not said otherwise");
        }
        let concerned = !row.holding.is_empty() || !row.coming.is_empty();
        if concerned && !row.replaced_by.is_empty() {
            outln!("  instead     {}", row.replaced_by.join(", "));
        }
        if !row.note.is_empty() {
            outln!("  note        {}", row.note);
        }
    }
    outln!("");
    outln!("Time line");
    for row in &status.timeline {
        let used = if row.in_use { "  IN USE" } else { "" };
        outln!(
            "  {}  {:<6}  {}: {}{used}  ({}; {})",
            row.from,
            row.when,
            row.supplier,
            row.what,
            row.by,
            row.source
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `holdfast inventory`.
pub(crate) fn inventory(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, _) = update::configuration(matches)?;
    let suppliers = suppliers(matches, &config)?;
    let root = matches.get_one::<PathBuf>("root").cloned().unwrap_or_else(|| PathBuf::from("/"));
    let root = root
        .canonicalize()
        .with_context(|| format!("cannot look at {}", crate::display::safe_path(&root)))?;
    let told = take_inventory(Path::new(&root), &suppliers);
    if matches.get_flag("json") {
        outln!("{}", serde_json::to_string(&told)?);
    } else {
        for one in &told.found {
            let detail =
                if one.detail.is_empty() { String::new() } else { format!("  ({})", one.detail) };
            outln!("{:<12} {:<8} {}{detail}", one.supplier, one.kind, one.what);
        }
        told.not_looked_at.iter().for_each(|text| outln!("not looked at: {text}"));
        outln!("{} found among {} files and folders", told.found.len(), told.entries);
    }
    Ok(ExitCode::from(match (told.found.is_empty(), told.not_looked_at.is_empty()) {
        (false, _) => exit::DETECTED,
        (true, false) => exit::INCOMPLETE,
        (true, true) => exit::CLEAN,
    }))
}
