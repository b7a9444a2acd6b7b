//! `holdfast update export` and `import`: content for machines without a network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ArgMatches;
use hf_update::SetStore;
use hf_update::channel::{ExportOptions, export as export_to, from_oci, is_oci, to_oci};
use serde_json::json;

use super::super::channel;
use super::{configuration, with_config};
use crate::display::safe_path;

/// Writes what a machine without a network needs.
pub(super) fn export(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, followed) = channel::one(matches)?;
    let fetcher = channel::fetcher(&config)?;
    let to = matches.get_one::<String>("to").map_or("", String::as_str);
    let options = ExportOptions { since: matches.get_one::<u64>("since").copied() };
    let (oci, folder) = match to.strip_prefix("oci:") {
        Some(folder) => (true, PathBuf::from(folder)),
        None => (false, PathBuf::from(to)),
    };
    if folder.as_os_str().is_empty() {
        bail!("name a folder with --to");
    }
    // An image is made of a folder beside it, which is removed in any case.
    let work = if oci { folder.join(".files") } else { folder.clone() };
    std::fs::create_dir_all(&work).with_context(|| format!("cannot make {}", safe_path(&work)))?;
    let now = channel::now();
    let done = export_to(&followed.channel, &followed.memory, &fetcher, &work, options, now)
        .and_then(|exported| {
            if oci {
                to_oci(&work, &folder)?;
            }
            Ok(exported)
        });
    if oci {
        let _ = std::fs::remove_dir_all(&work);
    }
    let exported = done?;
    if matches.get_flag("json") {
        outln!(
            "{}",
            json!({
                "type": "export", "to": safe_path(&folder), "release": exported.release,
                "files": exported.files, "bytes": exported.bytes,
            })
        );
    } else {
        outln!(
            "release {} in {}: {} files, {} bytes",
            exported.release,
            safe_path(&folder),
            exported.files,
            exported.bytes
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Updates from a folder as from any mirror.
pub(super) fn import(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (mut config, place) = configuration(matches)?;
    let from = matches.get_one::<PathBuf>("from").context("a folder is needed")?;
    let named = from.to_string_lossy();
    let from = named.strip_prefix("oci:").map_or(from.clone(), PathBuf::from);
    let from = std::path::absolute(&from)?;
    if !from.is_dir() {
        bail!("{} is not a folder", safe_path(&from));
    }
    let only: Vec<&String> = matches.get_many::<String>("source").into_iter().flatten().collect();
    config.sources.retain(|source| {
        source.kind != "channel" || only.is_empty() || only.contains(&&source.name)
    });
    let count = config.sources.iter().filter(|source| source.kind == "channel").count();
    if count != 1 {
        bail!("{count} channels are meant: name one with --source");
    }
    let laid_out = if is_oci(&from) { Some(lay_out(&from)?) } else { None };
    let folder = laid_out.clone().unwrap_or(from);
    for source in &mut config.sources {
        match source.kind.as_str() {
            "channel" => source.mirrors = vec![folder.to_string_lossy().into_owned()],
            // What the others gave stays in use; they are not asked.
            _ => source.disabled = true,
        }
    }
    let done = with_config(matches, config, place);
    if let Some(folder) = laid_out {
        let _ = std::fs::remove_dir_all(folder);
    }
    done
}

fn lay_out(image: &Path) -> anyhow::Result<PathBuf> {
    let root = SetStore::default_root().context("there is no place for content")?;
    let folder = root.join("import");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", safe_path(&folder)))?;
    from_oci(image, &folder)?;
    Ok(folder)
}
