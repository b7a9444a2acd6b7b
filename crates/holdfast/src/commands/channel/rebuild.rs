//! `holdfast content rebuild --verify`: what a publisher does, for anybody.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_channel::{Digest, Manifest};
use hf_update::SetStore;
use hf_update::channel::{At, rebuild};
use serde_json::json;

use super::super::exit;

/// Rebuilds the release that was accepted last.
pub(in super::super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, followed) = super::one(matches)?;
    let fetcher = super::fetcher(&config)?;
    let kept = followed.memory.last()?.context("no release was accepted yet: holdfast update")?;
    let manifest = Manifest::parse(&kept.manifest)?;
    let root = SetStore::default_root().context("there is no place for content")?;
    let work = root.join("rebuild");
    let _ = std::fs::remove_dir_all(&work);
    let parts = work.join("parts");
    std::fs::create_dir_all(&parts).with_context(|| format!("cannot make {}", parts.display()))?;
    let before = followed.memory.offered();
    let at = At {
        mirrors: &followed.channel.mirrors,
        fetcher: &fetcher,
        current: followed.current.as_deref(),
        before: before.as_ref(),
        parts: &parts,
    };
    let own = matches.get_one::<PathBuf>("sources");
    let done = rebuild(&manifest, &at, own.map(PathBuf::as_path), &work);
    let _ = std::fs::remove_dir_all(&work);
    let digest = Digest::of(&kept.manifest);
    if matches.get_flag("json") {
        let why = done.as_ref().err().map(ToString::to_string);
        outln!(
            "{}",
            json!({
                "type": "rebuild", "set": manifest.set, "release": manifest.release,
                "manifest": digest.to_string(), "same": why.is_none(), "reason": why,
            })
        );
        return Ok(ExitCode::from(if done.is_ok() { exit::CLEAN } else { exit::ERROR }));
    }
    done?;
    outln!("release {} of {} rebuilt: every digest is the same", manifest.release, manifest.set);
    for pack in &manifest.packs {
        outln!("  {}  {}", pack.blob.sha256, pack.blob.name);
    }
    outln!("manifest {digest}");
    Ok(ExitCode::SUCCESS)
}
