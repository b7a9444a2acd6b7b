//! ClamAV's databases from its mirrors, as a source.

use std::fs;
use std::time::Duration;

use hf_sig::LoadOptions;

use super::provenance;
use crate::clamav::dns::{self, Versions};
use crate::clamav::{Code, Level, Memory, Mirrors, Voice};
use crate::config::SourceConfig;
use crate::source::{Context, Note, Offer, Outcome, Source, SourceError};

pub(super) struct ClamavSource {
    pub(super) config: SourceConfig,
    pub(super) certificates: Vec<Vec<u8>>,
}

/// Passes lines on.
struct Teller<'a, 'b> {
    tell: &'a mut (dyn FnMut(Note) + 'b),
    /// The last thing that failed.
    why: String,
}

impl Voice for Teller<'_, '_> {
    fn say(&mut self, level: Level, text: &str) {
        let text = text.to_owned();
        if level >= Level::Warning {
            self.why.clone_from(&text);
        }
        (self.tell)(match level {
            Level::Verbose | Level::Info => Note::Detail(text),
            Level::Warning | Level::Error => Note::Warning(text),
        });
    }
}

impl Source for ClamavSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn update(&mut self, context: &mut Context<'_>) -> Result<Outcome, SourceError> {
        let mut memory = Memory::read(context.memory);
        if let Some(until) = memory.cooling_down(context.now) {
            let reason = "the mirrors asked to be left alone".to_owned();
            return Ok(Outcome::CoolingDown { until, reason });
        }
        memory.write().map_err(|err| SourceError::io(context.memory, err))?;
        stage_current(context)?;
        let (servers, versions) = self.servers_and_versions();
        let mut options = LoadOptions::default();
        options.containers.keys.roots.clone_from(&self.certificates);
        let mut teller = Teller { tell: &mut *context.tell, why: String::new() };
        let mut mirrors = Mirrors {
            fetcher: context.fetcher,
            servers,
            private: self.config.private,
            attempts: 2,
            pause: Duration::from_secs(1),
            scripted: !self.config.whole,
            compress: false,
            folder: context.staging,
            partial: context.memory,
            options,
            tester: None,
            memory: &mut memory,
            voice: &mut teller,
            check_only: context.check_only,
        };
        let standard = ["main", "daily", "bytecode"].map(str::to_owned);
        let names =
            if self.config.databases.is_empty() { &standard[..] } else { &self.config.databases };
        let mut changed = Vec::new();
        let mut failed = None;
        for name in names {
            let advertised = versions.as_ref().and_then(|versions| versions.of(name));
            match mirrors.update(name, advertised) {
                Ok(updated) if updated.changed => changed.push(updated.file_name),
                Ok(_) => {}
                Err(code @ (Code::Forbidden | Code::Later)) => {
                    failed = Some(code);
                    break;
                }
                Err(code) => failed = Some(code),
            }
        }
        mirrors.tidy();
        let why = teller.why;
        if changed.is_empty() {
            return match failed {
                None => Ok(Outcome::UpToDate),
                Some(Code::Forbidden | Code::Later) => Ok(Outcome::CoolingDown {
                    until: memory.retry_after,
                    reason: "the mirrors asked to be left alone".to_owned(),
                }),
                Some(code) => {
                    Err(SourceError::refused(format!("{} ({why})", self.config.name), code.text()))
                }
            };
        }
        if context.check_only {
            return Ok(Outcome::Available(changed.join(", ")));
        }
        self.offers(context, &changed).map(Outcome::New)
    }
}

/// Puts what is in use into the staging folder, where it is brought up to date.
fn stage_current(context: &Context<'_>) -> Result<(), SourceError> {
    let Some(current) = context.current else { return Ok(()) };
    for file in context.current_files {
        let to = context.staging.join(&file.name);
        let from = current.join(&file.name);
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).map_err(|err| SourceError::io(&from, err))?;
        }
    }
    Ok(())
}

impl ClamavSource {
    /// Returns the mirrors as addresses, and what the public ones announce.
    fn servers_and_versions(&self) -> (Vec<String>, Option<Versions>) {
        let with_scheme = |mirror: &String| match mirror.contains("://") {
            true => mirror.trim_end_matches('/').to_owned(),
            false => format!("https://{}", mirror.trim_end_matches('/')),
        };
        let servers: Vec<String> = self.config.mirrors.iter().map(with_scheme).collect();
        let public = servers.iter().any(|server| server.ends_with("clamav.net"));
        let asked = public && !self.config.private;
        let text = asked.then(|| dns::txt("current.cvd.clamav.net").ok()).flatten();
        (servers, text.and_then(|text| Versions::read(&text)))
    }

    /// Offers what is in the staging folder.
    fn offers(&self, context: &Context<'_>, changed: &[String]) -> Result<Vec<Offer>, SourceError> {
        let mut offers = Vec::new();
        let entries =
            fs::read_dir(context.staging).map_err(|err| SourceError::io(context.staging, err))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.path().is_file() {
                continue;
            }
            let known = context.current_files.iter().find(|file| file.name == name);
            let known =
                known.filter(|_| !changed.contains(&name)).map(|file| file.provenance.clone());
            let provenance = known.unwrap_or_else(|| {
                let url =
                    format!("{}/{name}", self.config.mirrors.first().map_or("", String::as_str));
                let mut provenance = provenance(&self.config, &url, context.now);
                if let Some(header) = crate::clamav::container::header_of(&entry.path()) {
                    provenance.version = header.version.to_string();
                    provenance.proof = "signed by ClamAV".to_owned();
                    if provenance.author.is_empty() {
                        provenance.author = header.builder;
                    }
                }
                provenance
            });
            offers.push(Offer { name, path: entry.path(), provenance });
        }
        Ok(offers)
    }
}
