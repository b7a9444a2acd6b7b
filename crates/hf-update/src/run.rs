//! One update: every source is asked, what is new becomes a set, the set is tried and brought into use.
//!
//! Promises: a source that fails, is refused or is not allowed keeps what it gave before; the others go on. All sources
//! together make one set, so that what is in use was tried as it is.

use std::collections::BTreeSet;
use std::fs;

use crate::config::{Config, SourceConfig};
use crate::fetch::Fetcher;
use crate::source::{Context, Note, Outcome, Source, SourceError};
use crate::store::{Activation, Judge, SetStore, StoreError, time};
use crate::supplier::Suppliers;

/// Makes sources, or says why one cannot be made.
pub type Maker<'a> = dyn Fn(&SourceConfig) -> Result<Box<dyn Source>, String> + 'a;

/// An update that is to be made.
pub struct Run<'a> {
    /// The owner's configuration.
    pub config: &'a Config,
    /// Whose rules are enforced.
    pub suppliers: &'a Suppliers,
    /// The store.
    pub store: &'a SetStore,
    /// Says whether a set is fit.
    pub judge: &'a dyn Judge,
    /// Makes sources.
    pub make: &'a Maker<'a>,
    /// Only these sources; all when it is empty.
    pub only: &'a [String],
    /// Only look.
    pub check_only: bool,
    /// Told what happens, with the source's name.
    pub tell: &'a mut dyn FnMut(&str, Note),
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Run").field("only", &self.only).finish_non_exhaustive()
    }
}

/// What became of one source.
#[derive(Debug)]
pub enum SourceEnd {
    /// Nothing new.
    UpToDate,
    /// There is news, which was only looked at.
    Available(String),
    /// So many files are new or changed as a whole.
    New(usize),
    /// It was left alone until then, for this reason.
    CoolingDown(u64, String),
    /// It was not asked, since the owner or a licence does not allow it.
    Forbidden(String),
    /// It failed.
    Failed(SourceError),
    /// It is not configured any more: what it gave is left out.
    Removed,
}

/// What became of an update.
#[derive(Debug)]
pub struct Ended {
    /// Sources, in order.
    pub sources: Vec<(String, SourceEnd)>,
    /// What became of the new set; none when there was nothing new.
    pub activation: Option<Activation>,
    /// The digest of the new set.
    pub digest: Option<String>,
}

impl Ended {
    /// True when some source failed, or the new set was refused.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        let failed = self.sources.iter().any(|(_, end)| matches!(end, SourceEnd::Failed(_)));
        failed || matches!(self.activation, Some(Activation::Refused(_)))
    }
}

impl Run<'_> {
    /// Makes the update.
    ///
    /// # Errors
    /// The store cannot be written; what is in use stays.
    pub fn run(mut self) -> Result<Ended, StoreError> {
        let now = time::now();
        let active = SetStore::active(self.store.root())?;
        let mut draft = self.store.draft()?;
        let mut ends = Vec::new();
        let mut changed = false;
        let options = self.config.update.fetch_options().unwrap_or_default();
        let fetcher = Fetcher::new(options);
        for config in &self.config.sources {
            let selected = self.only.is_empty() || self.only.contains(&config.name);
            if config.disabled || !selected {
                continue;
            }
            let staging = self.store.staging(&format!("new-{}", config.name))?;
            let memory = self.store.memory(&config.name)?;
            let files: Vec<_> =
                draft.files().iter().filter(|file| file.source == config.name).cloned().collect();
            let current = active
                .as_ref()
                .map(|active| active.dir.join(&config.name))
                .filter(|dir| dir.is_dir());
            let name = config.name.clone();
            let tell = &mut *self.tell;
            let mut told = |note: Note| tell(&name, note);
            let mut context = Context {
                fetcher: &fetcher,
                staging: &staging,
                memory: &memory,
                current: current.as_deref(),
                current_files: &files,
                now,
                check_only: self.check_only,
                tell: &mut told,
            };
            let end = match one(config, self.config, self.suppliers, self.make, &mut context) {
                Ok(Outcome::UpToDate) => SourceEnd::UpToDate,
                Ok(Outcome::Available(what)) => SourceEnd::Available(what),
                Ok(Outcome::CoolingDown { until, reason }) => SourceEnd::CoolingDown(until, reason),
                Ok(Outcome::New(offers)) => {
                    draft.replace(&config.name, &offers)?;
                    changed = true;
                    SourceEnd::New(offers.len())
                }
                Err(SourceError::Forbidden(why)) => SourceEnd::Forbidden(why),
                Err(err) => SourceEnd::Failed(err),
            };
            let _ = fs::remove_dir_all(&staging);
            ends.push((config.name.clone(), end));
        }
        if self.only.is_empty() && !self.check_only {
            changed |= self.leave_out(&mut draft, &mut ends)?;
        }
        let mut ended = Ended { sources: ends, activation: None, digest: None };
        if !changed || self.check_only {
            return Ok(ended);
        }
        let set = self.store.seal(draft)?;
        ended.digest = Some(set.digest.clone());
        ended.activation = Some(self.store.activate(&set, self.judge, now, "update")?);
        self.store.prune(self.config.update.keep, &[&set.digest])?;
        Ok(ended)
    }

    /// Leaves out what sources gave that are gone from the configuration, or that the owner does not want any more.
    fn leave_out(
        &mut self,
        draft: &mut crate::store::Draft,
        ends: &mut Vec<(String, SourceEnd)>,
    ) -> Result<bool, StoreError> {
        let there: BTreeSet<String> =
            draft.files().iter().map(|file| file.source.clone()).collect();
        let mut changed = false;
        for source in there {
            let config = self.config.sources.iter().find(|config| config.name == source);
            let unwanted = config.and_then(|config| {
                self.suppliers.unwanted(config.supplier.as_deref(), time::now())
            });
            if config.is_some() && unwanted.is_none() {
                continue;
            }
            draft.remove(&source)?;
            changed = true;
            if let Some(why) = unwanted {
                (self.tell)(&source, Note::Warning(format!("left out: {why}")));
            }
            ends.retain(|(name, _)| *name != source);
            ends.push((source, SourceEnd::Removed));
        }
        Ok(changed)
    }
}

/// Asks one source, if it may be asked.
fn one(
    config: &SourceConfig,
    all: &Config,
    suppliers: &Suppliers,
    make: &Maker<'_>,
    context: &mut Context<'_>,
) -> Result<Outcome, SourceError> {
    if let Some(why) = config.forbidden(all.update.used_for.as_deref()) {
        return Err(SourceError::Forbidden(why));
    }
    if let Some(why) = suppliers.no_updates(config.supplier.as_deref(), context.now) {
        return Err(SourceError::Forbidden(why));
    }
    let mut source = make(config).map_err(|why| SourceError::refused(&config.name, why))?;
    source.update(context)
}
