//! Sets of YARA rules: a file, a zip or tar archive by HTTP, a folder, a git repository.
//!
//! Each file becomes a database of its own, under a plain name made of its path. Files that only include others name
//! paths that are not there any more, and are left out with their includes by whoever loads them.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{self, Entry};
use super::folder::{DATABASES_MAX, settle};
use super::{Fetched, fetch, git, plain_name, provenance, remember};
use crate::config::SourceConfig;
use crate::source::{Context, Note, Offer, Outcome, Source, SourceError};

pub(super) struct YaraSource {
    pub(super) config: SourceConfig,
}

/// Largest archive in bytes, unless the configuration says otherwise; ours.
const ARCHIVE_MAX: u64 = 256 << 20;
/// Largest file of rules in bytes; ours.
const RULES_MAX: u64 = 64 << 20;
/// Deepest folder; ours.
const DEPTH_MAX: usize = 16;

impl Source for YaraSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn update(&mut self, context: &mut Context<'_>) -> Result<Outcome, SourceError> {
        let max = self.config.max_bytes.unwrap_or(ARCHIVE_MAX);
        let mut left_out = Vec::new();
        let mut version = String::new();
        let (origin, entries) = if let Some(url) = &self.config.url {
            match fetch(context, url, max)? {
                Fetched::Same => return Ok(Outcome::UpToDate),
                Fetched::Later(until) => {
                    let reason = "the server asked to be left alone".to_owned();
                    return Ok(Outcome::CoolingDown { until, reason });
                }
                Fetched::File => {}
            }
            let path = context.memory.join("fetched");
            let bytes = fs::read(&path).map_err(|err| SourceError::io(&path, err))?;
            let _ = fs::remove_file(&path);
            let name = crate::fetch::Url::parse(url)
                .map(|url| url.file_name().to_owned())
                .unwrap_or_default();
            if is_rules(&name) {
                (url.clone(), vec![Entry { path: name, data: bytes }])
            } else {
                let (entries, more) = archive::entries(&bytes, &is_rules)
                    .map_err(|why| SourceError::refused(url, why))?;
                left_out = more;
                (url.clone(), entries)
            }
        } else if let Some(url) = &self.config.git {
            let folder = context.memory.join("checkout");
            version = git::checkout(url, self.config.branch.as_deref(), &folder, max)
                .map_err(|why| SourceError::refused(url, why))?;
            (url.clone(), of_folder(&folder)?)
        } else {
            let folder = self.config.path.clone().unwrap_or_default();
            (format!("file://{}", folder.display()), of_folder(&folder)?)
        };
        if entries.is_empty() {
            return Err(SourceError::refused(
                origin,
                "there are no files of rules (*.yar, *.yara)",
            ));
        }
        let offers = self.offers(context, &origin, &version, entries, &left_out)?;
        if self.config.url.is_some() {
            remember(context, &offers)?;
        }
        for text in left_out {
            (context.tell)(Note::Warning(format!("left out: {text}")));
        }
        settle(context, offers)
    }
}

impl YaraSource {
    fn offers(
        &self,
        context: &Context<'_>,
        origin: &str,
        version: &str,
        entries: Vec<Entry>,
        left_out: &[String],
    ) -> Result<Vec<Offer>, SourceError> {
        let mut offers = Vec::new();
        for entry in entries {
            let name = plain_name(&entry.path);
            let path = context.staging.join(&name);
            fs::write(&path, &entry.data).map_err(|err| SourceError::io(&path, err))?;
            let mut provenance = provenance(&self.config, origin, context.now);
            version.clone_into(&mut provenance.version);
            let (authors, licence) = said_in(&entry.data);
            if provenance.author.is_empty() {
                provenance.author = authors;
            }
            if provenance.licence.is_empty() {
                provenance.licence = licence;
            }
            if offers.is_empty() {
                provenance.left_out = left_out.iter().take(100).cloned().collect();
            }
            offers.push(Offer { name, path, provenance });
        }
        Ok(offers)
    }
}

fn is_rules(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix.to_ascii_lowercase());
    matches!(suffix.as_deref(), Some("yar" | "yara")) && !name.starts_with('.')
}

/// Returns authors and the licence as far as rules say them in their `meta`.
fn said_in(rules: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(rules);
    let mut authors: Vec<&str> = Vec::new();
    let mut licence = "";
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        match key.trim() {
            "author" if authors.len() < 8 && !authors.contains(&value) && value.len() < 200 => {
                authors.push(value)
            }
            "license" | "licence" | "license_url" if licence.is_empty() && value.len() < 300 => {
                licence = value
            }
            _ => {}
        }
    }
    (authors.join(", "), licence.to_owned())
}

/// Reads all files of rules below a folder; links are not followed.
fn of_folder(top: &Path) -> Result<Vec<Entry>, SourceError> {
    let mut entries = Vec::new();
    let mut folders: Vec<(PathBuf, usize)> = vec![(top.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let list = fs::read_dir(&folder).map_err(|err| SourceError::io(&folder, err))?;
        for item in list.flatten() {
            let path = item.path();
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() && depth < DEPTH_MAX && item.file_name() != ".git" {
                folders.push((path, depth.saturating_add(1)));
                continue;
            }
            let name = path.strip_prefix(top).unwrap_or(&path).to_string_lossy().into_owned();
            if !meta.is_file() || !is_rules(&name) {
                continue;
            }
            if meta.len() > RULES_MAX || entries.len() >= DATABASES_MAX {
                return Err(SourceError::refused(
                    path.display().to_string(),
                    "there are too many or too large rules",
                ));
            }
            let data = fs::read(&path).map_err(|err| SourceError::io(&path, err))?;
            entries.push(Entry { path: name, data });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}
