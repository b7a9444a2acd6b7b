//! Compiles the model of signatures to the sections of a pack.
//!
//! Promises: the same signatures in the same order give the same bytes; what cannot be run is said
//! in [`PackMeta::warnings`]. Memory is that of the sections: every signature is encoded as it comes.

use std::collections::HashMap;
use std::io::{Seek, Write};
use std::rc::Rc;

use hf_core::Target;
use hf_core::signature::{
    BodySig, CertificateSig, Collector, ConfigSig, ContainerSig, HashSig, IconSig, IgnoreSig,
    LogicalSig, MagicSig, NotRun, OffsetBase, PasswordSig, PhishingSig, SigMeta, Sub,
};
use hf_pack::{NotRunCount, PackMeta, PackWriter, SourceMeta, WritePackError};

use crate::anchor::{self, Member};
use crate::filter::{FilterBuilder, Lead};
use crate::hash::HashTablesBuilder;
use crate::logic::Logic;
use crate::pcre::check_pcre;
use crate::rarity::Common;
use crate::small::{Named, Small};
use crate::stored::{self, Head, StoredLogical, StoredSub};
use crate::traits::Traits;

/// Takes signatures and writes them as sections.
#[derive(Debug, Default)]
pub struct PackBuilder {
    hashes: HashTablesBuilder,
    small: Small,
    heads: Vec<Head>,
    records: Vec<u8>,
    names: Vec<u8>,
    files: Vec<String>,
    subs: SubPool,
    traits: Traits,
    signatures: u64,
    sources: Vec<SourceMeta>,
    not_run: Vec<NotRunCount>,
    warnings: Vec<String>,
    warnings_more: u64,
}

/// Sub-signatures, each once.
#[derive(Debug, Default)]
pub(crate) struct SubPool {
    known: HashMap<[u8; 16], u32>,
    pub(crate) ends: Vec<u64>,
    pub(crate) bytes: Vec<u8>,
    /// How many signatures use each.
    pub(crate) uses: Vec<u32>,
}

impl SubPool {
    fn put(&mut self, sub: &StoredSub) -> Option<u32> {
        let record = postcard::to_stdvec(sub).ok()?;
        let mut key = [0; 16];
        blake3::Hasher::new().update(&record).finalize_xof().fill(&mut key);
        let next = u32::try_from(self.ends.len()).ok()?;
        let id = *self.known.entry(key).or_insert(next);
        if id == next {
            self.bytes.extend_from_slice(&record);
            self.ends.push(self.bytes.len() as u64);
            self.uses.push(0);
        }
        if let Some(uses) = usize::try_from(id).ok().and_then(|id| self.uses.get_mut(id)) {
            *uses = uses.saturating_add(1);
        }
        Some(id)
    }

    fn get(&self, id: u32) -> Option<StoredSub> {
        let id = usize::try_from(id).ok()?;
        let start = if id == 0 { 0 } else { *self.ends.get(id - 1)? };
        let range = usize::try_from(start).ok()?..usize::try_from(*self.ends.get(id)?).ok()?;
        postcard::from_bytes(self.bytes.get(range)?).ok()
    }
}

impl PackBuilder {
    /// Starts with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how many signatures were taken, counted as ClamAV counts "known viruses".
    #[must_use]
    pub fn signature_count(&self) -> u64 {
        self.signatures
    }

    /// Returns the warnings so far.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Compiles, and writes the pack. Of `meta` the counts and warnings are filled in, and sources
    /// when there are none.
    ///
    /// # Errors
    /// The pack cannot be written.
    pub fn finish<W: Write + Seek>(
        mut self,
        mut pack: PackWriter<W>,
        mut meta: PackMeta,
    ) -> Result<W, WritePackError> {
        let hashes = std::mem::take(&mut self.hashes);
        hashes.write(&mut pack)?;
        self.small.write(&mut pack)?;
        self.write_signatures(&mut pack)?;
        // The language knows better which of its lines ClamAV counts.
        if meta.signatures == 0 {
            meta.signatures = self.signatures;
        }
        if meta.sources.is_empty() {
            meta.sources = self.sources;
        }
        meta.not_run = self.not_run;
        meta.not_run.sort_by_key(|count| count.what);
        meta.warnings.append(&mut self.warnings);
        if self.warnings_more > 0 {
            meta.warnings.push(format!("{} more warnings", self.warnings_more));
        }
        pack.finish(&meta)
    }

    fn write_signatures<W: Write + Seek>(
        &self,
        pack: &mut PackWriter<W>,
    ) -> Result<(), WritePackError> {
        if self.heads.is_empty() {
            return Ok(());
        }
        let heads: Vec<u8> = self.heads.iter().flat_map(Head::encode).collect();
        pack.write_section(stored::HEADS, &heads)?;
        pack.write_section(stored::RECORDS, &self.records)?;
        pack.write_section(stored::NAMES, &self.names)?;
        let files = postcard::to_stdvec(&self.files).map_err(|_| WritePackError::Meta)?;
        pack.write_section(stored::FILES, &files)?;
        let ends: Vec<u8> = self.subs.ends.iter().flat_map(|end| end.to_le_bytes()).collect();
        pack.write_section(stored::SUB_ENDS, &ends)?;
        pack.write_section(stored::SUBS, &self.subs.bytes)?;
        self.traits.write(pack)?;
        let bit = |head: &Head| 1_u16.checked_shl(u32::from(head.target)).unwrap_or(0);
        let targets = self.heads.iter().fold(0, |targets, head| targets | bit(head));
        pack.write_section(stored::TARGETS, &targets.to_le_bytes())?;
        self.write_filters(pack)
    }

    /// Chooses anchors and writes the filter of every target.
    fn write_filters<W: Write + Seek>(
        &self,
        pack: &mut PackWriter<W>,
    ) -> Result<(), WritePackError> {
        let mut targets: Vec<FilterBuilder> = Vec::new();
        targets.resize_with(usize::from(Target::COUNT), FilterBuilder::default);
        let common = Common::new();
        let mut known: HashMap<(u32, u8), Option<Rc<Member>>> = HashMap::new();
        for (sig, head) in (0u32..).zip(&self.heads) {
            if head.is(Head::MACRO) {
                continue;
            }
            let Some((logic, subs)) = self.members_of(head) else { continue };
            let member = |idx: u8| {
                let id = *subs.get(usize::from(idx))?;
                let uses = self.subs.uses.get(usize::try_from(id).ok()?).copied().unwrap_or(1);
                Some((id, uses))
            };
            for idx in (0u8..).take(subs.len()) {
                let Some((id, uses)) = member(idx) else { continue };
                known.entry((id, idx)).or_insert_with(|| {
                    anchor::of_sub(&self.subs.get(id)?, (id, idx), uses, &common).map(Rc::new)
                });
            }
            let lookup = |idx: u8| known.get(&(member(idx)?.0, idx)).cloned().flatten();
            let trigger = anchor::of_logic(&logic, &lookup);
            if let Some(filter) = targets.get_mut(usize::from(head.target)) {
                filter.add(sig, trigger);
            }
        }
        (0u8..).zip(targets).try_for_each(|(target, filter)| filter.write(target, pack))
    }

    fn members_of(&self, head: &Head) -> Option<(Logic, Vec<u32>)> {
        if !head.is(Head::LOGICAL) {
            return Some((Logic::Sub { idx: 0, cmp: None }, vec![head.record]));
        }
        let off = usize::try_from(head.record).ok()?;
        let len = usize::try_from(head.record_len).ok()?;
        let stored: StoredLogical =
            postcard::from_bytes(self.records.get(off..)?.get(..len)?).ok()?;
        Some((Logic::read(&stored.ops)?, stored.subs))
    }

    fn count(&mut self, meta: SigMeta<'_>) {
        self.signatures += 1;
        match self.sources.last_mut().filter(|source| source.name == meta.file) {
            Some(source) => source.signatures += 1,
            None => {
                let name = meta.file.to_owned();
                self.sources.push(SourceMeta { name, signatures: 1, ..SourceMeta::default() });
            }
        }
    }

    fn warn(&mut self, meta: SigMeta<'_>, what: &str) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(format!("{}:{}: {}: {what}", meta.file, meta.line, meta.name));
        } else {
            self.warnings_more += 1;
        }
    }

    /// Adds a head; false when there is no room for more.
    fn push_head(&mut self, meta: SigMeta<'_>, head: Head) -> bool {
        let file = match self.files.last().is_some_and(|last| last == meta.file) {
            true => self.files.len() - 1,
            false => self.files.iter().position(|file| file == meta.file).unwrap_or_else(|| {
                self.files.push(meta.file.to_owned());
                self.files.len() - 1
            }),
        };
        if self.heads.len() >= Lead::SIGS_MAX as usize {
            return false;
        }
        let name_len = u16::try_from(meta.name.len()).ok();
        let name_off = u32::try_from(self.names.len()).ok();
        let (Some(name_len), Some(name_off)) = (name_len, name_off) else { return false };
        let mut flags = head.flags;
        if meta.pua {
            flags |= Head::PUA;
        }
        if ["HTML.Phishing", "Email.Phishing"].iter().any(|start| meta.name.starts_with(start)) {
            flags |= Head::PHISHING;
        }
        self.names.extend_from_slice(meta.name.as_bytes());
        let file = u16::try_from(file).unwrap_or(u16::MAX);
        self.heads.push(Head { name_off, name_len, file, line: meta.line, flags, ..head });
        true
    }

    fn put_logical(&mut self, meta: SigMeta<'_>, sig: &LogicalSig) -> Result<(), &'static str> {
        let logic = Logic::of(&sig.expr).ok_or("expression is nested too deeply")?;
        let mut subs = Vec::with_capacity(sig.subs.len());
        for sub in &sig.subs {
            if let Sub::Pcre { pattern, flags, .. } = sub
                && let Err(why) = check_pcre(pattern, *flags)
            {
                self.warn(meta, &format!("pcre unsupported: {why}"));
            }
            let stored = StoredSub::of(sub).ok_or("alternatives are nested too deeply")?;
            self.traits.note_sub(sig.tdb.target.0, &stored);
            subs.push(self.subs.put(&stored).ok_or("too many sub-signatures")?);
        }
        let stored = StoredLogical { tdb: sig.tdb.clone(), ops: logic.ops(), subs };
        self.traits.note_logical(&stored);
        let record = postcard::to_stdvec(&stored).map_err(|_| "cannot be encoded")?;
        let (size_min, size_max) = sig.tdb.file_size.unwrap_or((0, u32::MAX));
        let head = Head {
            record: u32::try_from(self.records.len()).map_err(|_| "too many signatures")?,
            record_len: u32::try_from(record.len()).map_err(|_| "too long")?,
            target: sig.tdb.target.0,
            flags: Head::LOGICAL,
            size_min,
            size_max,
            ..Head::EMPTY
        };
        self.records.extend_from_slice(&record);
        self.push_head(meta, head).then_some(()).ok_or("too many signatures")
    }

    fn put_body(&mut self, meta: SigMeta<'_>, sig: BodySig) -> Result<(), &'static str> {
        let mut flags = 0;
        if sig.self_protect {
            flags |= Head::SELF_PROTECT;
        }
        if let OffsetBase::Macro(_) = sig.offset.base {
            flags |= Head::MACRO;
        }
        let base = sig.offset.base;
        let sub = Sub::Body { offset: sig.offset, forms: vec![sig.body] };
        let stored = StoredSub::of(&sub).ok_or("alternatives are nested too deeply")?;
        let record = self.subs.put(&stored).ok_or("too many sub-signatures")?;
        self.traits.note_sub(sig.target.0, &stored);
        let head = Head { record, target: sig.target.0, flags, ..Head::EMPTY };
        self.traits.note_body(&head, base);
        self.push_head(meta, head).then_some(()).ok_or("too many signatures")
    }
}

impl Collector for PackBuilder {
    fn hash(&mut self, meta: SigMeta<'_>, sig: HashSig<'_>) {
        self.count(meta);
        let SigMeta { name, file, line, pua } = meta;
        self.hashes.push(sig.of, sig.digest, sig.size, name, file, line, pua);
    }

    fn body(&mut self, meta: SigMeta<'_>, sig: BodySig) {
        self.count(meta);
        if let Err(why) = self.put_body(meta, sig) {
            self.warn(meta, why);
        }
    }

    fn logical(&mut self, meta: SigMeta<'_>, sig: LogicalSig) {
        self.count(meta);
        if let Err(why) = self.put_logical(meta, &sig) {
            self.warn(meta, why);
        }
    }

    fn container(&mut self, meta: SigMeta<'_>, sig: ContainerSig) {
        self.count(meta);
        if let Some(regex) = &sig.name_regex
            && let Err(why) = crate::member::name_regex(regex)
        {
            self.warn(meta, &why);
        }
        self.small.containers.push(named(meta, sig));
    }

    fn icon(&mut self, meta: SigMeta<'_>, sig: IconSig) {
        self.count(meta);
        self.small.icons.push(named(meta, sig));
    }

    fn magic(&mut self, meta: SigMeta<'_>, sig: MagicSig) {
        self.small.magics.push(named(meta, sig));
    }

    fn password(&mut self, meta: SigMeta<'_>, sig: PasswordSig) {
        self.small.passwords.push(named(meta, sig));
    }

    fn phishing(&mut self, meta: SigMeta<'_>, sig: PhishingSig) {
        if sig.list != hf_core::signature::PhishingList::Allowed {
            self.count(meta);
        }
        self.small.phishing.push(named(meta, sig));
    }

    fn certificate(&mut self, meta: SigMeta<'_>, sig: CertificateSig) {
        self.small.certificates.push(named(meta, sig));
    }

    fn ignore(&mut self, meta: SigMeta<'_>, sig: IgnoreSig) {
        self.small.ignored.push(named(meta, sig));
    }

    fn config(&mut self, meta: SigMeta<'_>, sig: ConfigSig) {
        self.small.config.push(named(meta, sig));
    }

    fn yara(&mut self, meta: SigMeta<'_>, text: &str) {
        self.small.yara.push(named(meta, text.to_owned()));
    }

    fn not_run(&mut self, meta: SigMeta<'_>, what: NotRun) {
        let _ = meta;
        match self.not_run.iter_mut().find(|count| count.what == what) {
            Some(count) => count.count += 1,
            None => self.not_run.push(NotRunCount { what, count: 1 }),
        }
    }
}

fn named<T>(meta: SigMeta<'_>, sig: T) -> Named<T> {
    let (name, file) = (meta.name.to_owned(), meta.file.to_owned());
    Named { name, file, line: meta.line, pua: meta.pua, sig }
}

/// Ours: warnings kept word for word.
const WARNINGS_MAX: usize = 1000;
