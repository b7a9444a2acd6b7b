//! A folder of databases on this machine.

use std::fs;
use std::path::PathBuf;

use super::{digest_of, made_of, provenance};
use crate::config::SourceConfig;
use crate::source::{Context, Note, Offer, Outcome, Source, SourceError};

pub(super) struct FolderSource {
    pub(super) config: SourceConfig,
}

/// Largest database in bytes; ours.
pub(super) const DATABASE_MAX: u64 = 4 << 30;
/// Most databases of a source; ours.
pub(super) const DATABASES_MAX: usize = 20_000;

impl Source for FolderSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn update(&mut self, context: &mut Context<'_>) -> Result<Outcome, SourceError> {
        let folder = self.config.path.clone().unwrap_or_default();
        let entries = fs::read_dir(&folder).map_err(|err| SourceError::io(&folder, err))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let mut offers = Vec::new();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !hf_content::is_database(&name) || name.starts_with('.') || !path.is_file() {
                continue;
            }
            if fs::metadata(&path).is_ok_and(|meta| meta.len() > DATABASE_MAX)
                || offers.len() >= DATABASES_MAX
            {
                (context.tell)(Note::Warning(format!(
                    "{}: left out, it is too much",
                    path.display()
                )));
                continue;
            }
            let url = format!("file://{}", path.display());
            let provenance = provenance(&self.config, &url, context.now);
            // Copied first: what stands in the owner's folder may change while it is read.
            let staged = context.staging.join(&name);
            fs::copy(&path, &staged).map_err(|err| SourceError::io(&path, err))?;
            offers.push(Offer { name, path: staged, provenance });
        }
        settle(context, offers)
    }
}

/// Compares offers with what is in use.
pub(super) fn settle(
    context: &mut Context<'_>,
    offers: Vec<Offer>,
) -> Result<Outcome, SourceError> {
    let mut files = Vec::new();
    for offer in &offers {
        let bytes = fs::read(&offer.path).map_err(|err| SourceError::io(&offer.path, err))?;
        files.push((offer.name.clone(), blake3::hash(&bytes).to_hex().to_string()));
    }
    files.sort();
    let made = digest_of(files.iter().map(|(name, digest)| (name.as_str(), digest.as_str())));
    if made == made_of(context) {
        return Ok(Outcome::UpToDate);
    }
    if context.check_only {
        return Ok(Outcome::Available(format!("{} databases", offers.len())));
    }
    Ok(Outcome::New(offers))
}
