//! The kinds of sources, each in a file of its own.

mod archive;
mod clamav;
mod csv;
mod folder;
mod git;
mod list;
mod misp;
mod stix;
mod yara;

use std::fs;
use std::path::Path;

use crate::channel::Channel;
use crate::config::SourceConfig;
use crate::fetch::{Download, Downloaded, FetchError, FetchErrorKind, Reply};
use crate::provenance::Provenance;
use crate::source::{Context, Source, SourceError};

pub use archive::{Entry, entries};
pub use csv::indicators as csv_indicators;
pub use list::{Indicator, Indicators, Written, write};
pub use misp::indicators as misp_indicators;
pub use stix::indicators as stix_indicators;

/// Makes the source that a configuration describes; `used_for` is what the owner uses this machine for.
///
/// # Errors
/// The configuration of a channel makes no sense, or a file that it names cannot be read.
pub fn build(
    config: &SourceConfig,
    used_for: Option<&str>,
    certificates: Vec<Vec<u8>>,
) -> Result<Box<dyn Source>, String> {
    let config = config.clone();
    Ok(match config.kind.as_str() {
        "clamav" => Box::new(clamav::ClamavSource { config, certificates }),
        "yara" => Box::new(yara::YaraSource { config }),
        "csv" | "misp" | "stix" => Box::new(list::ListSource { config }),
        "folder" => Box::new(folder::FolderSource { config }),
        "channel" => {
            let table = config.channel.clone().unwrap_or_default();
            let uses: Vec<String> = used_for.iter().map(|used| (*used).to_owned()).collect();
            let channel = Channel::configured(&config.name, &config.mirrors, &table, &uses);
            Box::new(channel.map_err(|err| err.to_string())?)
        }
        kind => return Err(format!("kind {kind} is not known")),
    })
}

/// Returns what a configuration says of where things come from.
fn provenance(config: &SourceConfig, url: &str, now: u64) -> Provenance {
    Provenance {
        url: url.to_owned(),
        author: config.author.clone(),
        publisher: config.publisher.clone(),
        licence: config.licence.clone(),
        fetched_at: now,
        ..Provenance::default()
    }
}

/// What a source remembers of a file that it fetched.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Seen {
    url: String,
    etag: Option<String>,
    last_modified: Option<String>,
    /// What was made of it is in use: BLAKE3 over the names and digests of the source's files then.
    made: Option<String>,
    /// Nobody is asked before, in seconds since 1970.
    retry_after: u64,
}

impl Seen {
    fn read(memory: &Path) -> Self {
        let bytes = fs::read(memory.join("seen.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn write(&self, memory: &Path) -> Result<(), SourceError> {
        let path = memory.join("seen.json");
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        crate::store::write_whole(&path, &bytes).map_err(|err| SourceError::io(path, err))
    }
}

/// What became of fetching one file.
enum Fetched {
    /// It is in the source's memory.
    File,
    Same,
    /// The server wants to be left alone until then.
    Later(u64),
}

/// Fetches one file into the source's memory as `fetched`, if it changed.
fn fetch(context: &Context<'_>, url: &str, max: u64) -> Result<Fetched, SourceError> {
    let mut seen = Seen::read(context.memory);
    if seen.retry_after > context.now {
        return Ok(Fetched::Later(seen.retry_after));
    }
    let in_use = seen.url == url && seen.made.is_some() && seen.made == Some(made_of(context));
    let to = context.memory.join("fetched");
    let download = Download {
        url,
        to: &to,
        max,
        if_none_match: seen.etag.as_deref().filter(|_| in_use),
        if_modified_since: seen.last_modified.as_deref().filter(|_| in_use),
    };
    match context.fetcher.download(&download)? {
        Downloaded::NotModified => Ok(Fetched::Same),
        Downloaded::File { etag, last_modified, .. } => {
            seen = Seen { url: url.to_owned(), etag, last_modified, ..Seen::default() };
            seen.write(context.memory)?;
            Ok(Fetched::File)
        }
        Downloaded::Other(reply) => match left_alone(context, &reply)? {
            Some(until) => Ok(Fetched::Later(until)),
            None => {
                let kind = FetchErrorKind::Status(reply.status);
                Err(FetchError { url: url.to_owned(), kind }.into())
            }
        },
    }
}

/// Remembers until when a server wants to be left alone, when it says so.
fn left_alone(context: &Context<'_>, reply: &Reply) -> Result<Option<u64>, SourceError> {
    let usual = match reply.status {
        403 => 86_400,
        429 => 4 * 3600,
        _ => return Ok(None),
    };
    let seconds = reply.retry_after(context.now).unwrap_or(usual).min(7 * 86_400);
    let mut seen = Seen::read(context.memory);
    seen.retry_after = context.now.saturating_add(seconds);
    seen.write(context.memory)?;
    Ok(Some(seen.retry_after))
}

/// Returns what tells the source's files in use from others.
fn made_of(context: &Context<'_>) -> String {
    digest_of(context.current_files.iter().map(|file| (file.name.as_str(), file.blake3.as_str())))
}

fn digest_of<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, digest) in files {
        hasher.update(format!("{name}\0{digest}\n").as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Remembers that these files were made of what was fetched last, so that it is not fetched again while they are in use.
fn remember(context: &Context<'_>, offers: &[crate::source::Offer]) -> Result<(), SourceError> {
    let mut seen = Seen::read(context.memory);
    let mut files = Vec::new();
    for offer in offers {
        let bytes = fs::read(&offer.path).map_err(|err| SourceError::io(&offer.path, err))?;
        files.push((offer.name.clone(), blake3::hash(&bytes).to_hex().to_string()));
    }
    files.sort();
    seen.made =
        Some(digest_of(files.iter().map(|(name, digest)| (name.as_str(), digest.as_str()))));
    seen.write(context.memory)
}

/// Returns a name for a database that cannot lead anywhere, made of a path in an archive or folder.
fn plain_name(path: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '_' };
    let name: String = path.chars().map(plain).collect();
    let name = name.trim_start_matches(['.', '_']).to_owned();
    if name.len() <= 120 && name == path {
        return name;
    }
    // Two paths must not become one name.
    let digest = blake3::hash(path.as_bytes()).to_hex();
    let tail = name.get(name.len().saturating_sub(100)..).unwrap_or(&name);
    format!("{}-{tail}", digest.get(..8).unwrap_or_default())
}
