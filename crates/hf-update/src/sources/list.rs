//! Lists of indicators — hashes of files, addresses — and what signature languages can say of them.
//!
//! Hashes become `hdb` and `hsb` lines for any size. Addresses of the web become lines for mails and HTML, where a reader
//! would follow them; names of hosts, addresses of networks and all else have no language, are counted, and said.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;

use super::folder::settle;
use super::{Fetched, csv, fetch, left_alone, misp, provenance, remember, stix};
use crate::config::SourceConfig;
use crate::source::{Context, Note, Offer, Outcome, Source, SourceError};

/// One thing to look for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Indicator {
    /// MD5 of a file, as 32 hexadecimal digits in lower case.
    Md5(String),
    /// SHA-1, 40 digits.
    Sha1(String),
    /// SHA-256, 64 digits.
    Sha256(String),
    /// An address of the web.
    Url(String),
}

impl Indicator {
    /// Returns the hash that a text is, by its length.
    #[must_use]
    pub fn hash(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        match text.len() {
            32 => Some(Self::Md5(text)),
            40 => Some(Self::Sha1(text)),
            64 => Some(Self::Sha256(text)),
            _ => None,
        }
    }

    /// Returns the address that a text is.
    #[must_use]
    pub fn url(text: &str) -> Option<Self> {
        let text = text.trim();
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let web = lower.starts_with("http://") || lower.starts_with("https://");
        (web && text.len() <= 2048 && text.is_ascii()).then(|| Self::Url(text.to_owned()))
    }
}

/// What a list holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indicators {
    /// Indicators with names.
    pub found: Vec<(Indicator, String)>,
    /// What else was there, by kind.
    pub left_out: std::collections::BTreeMap<String, u64>,
}

impl Indicators {
    /// Counts something that cannot be expressed.
    pub fn leave_out(&mut self, kind: &str) {
        let kind: String = kind.chars().filter(|c| !c.is_control()).take(60).collect();
        // A stranger's list has as many kinds as he likes.
        let kind = if self.left_out.len() >= 200 { "others".to_owned() } else { kind };
        let count = self.left_out.entry(kind).or_default();
        *count = count.saturating_add(1);
    }

    /// Adds an indicator.
    pub fn push(&mut self, indicator: Indicator, name: &str) {
        if self.found.len() >= FOUND_MAX {
            return self.leave_out("beyond the bound of 20 million");
        }
        self.found.push((indicator, name.to_owned()));
    }
}

/// The databases that a list becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// MD5 (`hdb`).
    pub hdb: String,
    /// SHA-1 and SHA-256 (`hsb`).
    pub hsb: String,
    /// Addresses (`ndb`).
    pub ndb: String,
    /// What could not be expressed, in words.
    pub left_out: Vec<String>,
}

/// Writes a list as signatures; `source` begins every name.
#[must_use]
pub fn write(source: &str, list: &Indicators) -> Written {
    let mut written = Written::default();
    let mut seen = BTreeSet::new();
    let mut short = 0u64;
    for (indicator, name) in &list.found {
        if !seen.insert(indicator) {
            continue;
        }
        let name =
            format!("{}.{}", word(source), word(if name.is_empty() { "listed" } else { name }));
        match indicator {
            // The level is that from which a size may be left open.
            Indicator::Md5(hash) => written.hdb += &format!("{hash}:*:{name}:73\n"),
            Indicator::Sha1(hash) | Indicator::Sha256(hash) => {
                written.hsb += &format!("{hash}:*:{name}:73\n");
            }
            Indicator::Url(url) if url.len() < URL_MIN => short = short.saturating_add(1),
            Indicator::Url(url) => {
                let hex = hf_core::hex::to_hex(url.as_bytes());
                // HTML is matched in small letters.
                let small = hf_core::hex::to_hex(url.to_ascii_lowercase().as_bytes());
                written.ndb += &format!("{name}.url:4:*:{hex}\n{name}.url:3:*:{small}\n");
            }
        }
    }
    if short > 0 {
        written
            .left_out
            .push(format!("{short} addresses that are too short to be told from others"));
    }
    let said = list
        .left_out
        .iter()
        .map(|(kind, count)| format!("{count} of kind {kind}: no signature language has them"));
    written.left_out.extend(said);
    written
}

/// Returns a text as a part of a signature's name.
fn word(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    text.chars().take(80).map(plain).collect()
}

/// Ours: `http://a/` in a text says nothing.
const URL_MIN: usize = 14;
/// Ours.
const FOUND_MAX: usize = 20_000_000;
/// Largest list in bytes, unless the configuration says otherwise; ours.
const LIST_MAX: u64 = 512 << 20;
/// Most events of a feed; ours.
const EVENTS_MAX: usize = 5000;

pub(super) struct ListSource {
    pub(super) config: SourceConfig,
}

impl Source for ListSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn update(&mut self, context: &mut Context<'_>) -> Result<Outcome, SourceError> {
        let max = self.config.max_bytes.unwrap_or(LIST_MAX);
        let (origin, bytes) = match (&self.config.url, &self.config.path) {
            (Some(url), _) => {
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
                (url.clone(), bytes)
            }
            (None, path) => {
                let path = path.clone().unwrap_or_default();
                let len = fs::metadata(&path).map_err(|err| SourceError::io(&path, err))?.len();
                if len > max {
                    return Err(SourceError::refused(
                        path.display().to_string(),
                        "it is too large",
                    ));
                }
                let bytes = fs::read(&path).map_err(|err| SourceError::io(&path, err))?;
                (format!("file://{}", path.display()), bytes)
            }
        };
        let list = match self.read(context, &origin, &bytes, max)? {
            Parsed::List(list) => list,
            Parsed::Later(until) => {
                let reason = "the server asked to be left alone".to_owned();
                return Ok(Outcome::CoolingDown { until, reason });
            }
        };
        let written = write(&self.config.name, &list);
        let mut offers = Vec::new();
        let files = [("hdb", &written.hdb), ("hsb", &written.hsb), ("ndb", &written.ndb)];
        for (suffix, text) in files.into_iter().filter(|(_, text)| !text.is_empty()) {
            let name = format!("{}.{suffix}", self.config.name);
            let path = context.staging.join(&name);
            fs::write(&path, text).map_err(|err| SourceError::io(&path, err))?;
            let mut provenance = provenance(&self.config, &origin, context.now);
            provenance.left_out.clone_from(&written.left_out);
            offers.push(Offer { name, path, provenance });
        }
        for text in &written.left_out {
            (context.tell)(Note::Info(format!("left out: {text}")));
        }
        if offers.is_empty() {
            return Err(SourceError::refused(
                origin,
                "there is nothing in it that signatures could look for",
            ));
        }
        if self.config.url.is_some() {
            remember(context, &offers)?;
        }
        settle(context, offers)
    }
}

impl ListSource {
    fn read(
        &self,
        context: &mut Context<'_>,
        origin: &str,
        bytes: &[u8],
        max: u64,
    ) -> Result<Parsed, SourceError> {
        let list = match self.config.kind.as_str() {
            "csv" => csv::indicators(bytes, self.config.name_column.as_deref()),
            "stix" => stix::indicators(bytes),
            _ => match misp::events(bytes) {
                None => misp::indicators(bytes),
                Some(events) => {
                    let left = max.saturating_sub(bytes.len() as u64);
                    return feed(context, origin, &events, left);
                }
            },
        };
        list.map(Parsed::List).map_err(|why| SourceError::refused(origin, why))
    }
}

/// What became of reading a list.
enum Parsed {
    List(Indicators),
    /// The server of its parts wants to be left alone until then.
    Later(u64),
}

/// Reads the events that a feed lists, beside its list: at most `left` bytes all together.
fn feed(
    context: &mut Context<'_>,
    origin: &str,
    events: &[String],
    mut left: u64,
) -> Result<Parsed, SourceError> {
    let mut all = Indicators::default();
    let base = origin.rsplit_once('/').map_or("", |(base, _)| base);
    for event in events.iter().take(EVENTS_MAX) {
        let url = format!("{base}/{event}.json");
        let bytes = match base.strip_prefix("file://") {
            Some(folder) => {
                let path = format!("{folder}/{event}.json");
                let mut bytes = Vec::new();
                let read = fs::File::open(&path)
                    .and_then(|file| file.take(left.saturating_add(1)).read_to_end(&mut bytes));
                read.map_err(|err| SourceError::io(&path, err))?;
                bytes
            }
            None => {
                let reply = context.fetcher.get(&crate::fetch::Request::new(&url))?;
                if let Some(until) = left_alone(context, &reply)? {
                    return Ok(Parsed::Later(until));
                }
                if reply.status != 200 {
                    let kind = crate::fetch::FetchErrorKind::Status(reply.status);
                    return Err(crate::fetch::FetchError { url, kind }.into());
                }
                reply.bytes(left)?
            }
        };
        let rest = left.checked_sub(bytes.len() as u64);
        left = rest.ok_or_else(|| SourceError::refused(&url, "the feed is too large"))?;
        let more = misp::indicators(&bytes).map_err(|why| SourceError::refused(&url, why))?;
        for (indicator, name) in more.found {
            all.push(indicator, &name);
        }
        for (kind, count) in more.left_out {
            let sum = all.left_out.entry(kind).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    if events.len() > EVENTS_MAX {
        all.leave_out("events beyond the bound of 5000");
    }
    Ok(Parsed::List(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_signatures() {
        let mut list = Indicators::default();
        list.push(Indicator::hash(&"A".repeat(32)).unwrap(), "Bad Thing:1");
        list.push(Indicator::hash(&"a".repeat(32)).unwrap(), "again");
        list.push(Indicator::hash(&"b".repeat(64)).unwrap(), "");
        list.push(Indicator::url("http://evil.example/X").unwrap(), "u");
        list.push(Indicator::url("http://a/").unwrap(), "u");
        list.leave_out("domain");
        let written = write("feed", &list);
        assert_eq!(written.hdb, format!("{}:*:feed.Bad_Thing_1:73\n", "a".repeat(32)));
        assert_eq!(written.hsb, format!("{}:*:feed.listed:73\n", "b".repeat(64)));
        assert_eq!(written.ndb.lines().count(), 2);
        assert_eq!(written.left_out.len(), 2);
        let load = |name: &str, text: &str| {
            let options = hf_sig::LoadOptions::default();
            let mut ignore = hf_sig::IgnoreSet::default();
            let mut builder = Nobody;
            hf_sig::load(name, text.as_bytes(), &options, &mut ignore, &mut builder)
                .unwrap()
                .signatures
        };
        assert_eq!(
            (load("f.hdb", &written.hdb), load("f.hsb", &written.hsb), load("f.ndb", &written.ndb)),
            (1, 1, 2)
        );
        assert_eq!(Indicator::hash("xyz"), None);
        assert_eq!(Indicator::url("ftp://evil.example/"), None);
    }

    /// Takes no notice.
    struct Nobody;

    macro_rules! nothing {
        ($($name:ident: $sig:ty),*) => {$(
            fn $name(&mut self, _: hf_core::signature::SigMeta<'_>, _: $sig) {}
        )*};
    }

    impl hf_core::signature::Collector for Nobody {
        nothing! {
            hash: hf_core::signature::HashSig<'_>, body: hf_core::signature::BodySig,
            logical: hf_core::signature::LogicalSig, container: hf_core::signature::ContainerSig,
            icon: hf_core::signature::IconSig, magic: hf_core::signature::MagicSig,
            password: hf_core::signature::PasswordSig, phishing: hf_core::signature::PhishingSig,
            certificate: hf_core::signature::CertificateSig, ignore: hf_core::signature::IgnoreSig,
            config: hf_core::signature::ConfigSig, yara: &str, not_run: hf_core::signature::NotRun
        }
    }
}
