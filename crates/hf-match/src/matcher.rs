//! The matcher: packs in, hits out.
//!
//! Promises: opening reads only what is small; all tables stay in the maps. A scan asks `poll` at
//! least once per MiB of work. Hits come as ClamAV tells them: body signatures by position, then the
//! logical ones of the object's target, then those for every target, each in load order.
//! Leaves out: what a hit means for the object (`hf-engine`), YARA rules (`hf-yara`).

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use hf_core::signature::{
    CertificateSig, ConfigSig, IconSig, IgnoreSig, MagicSig, PasswordSig, PhishingSig,
};
use hf_core::{Facts, FileType, HitKind, Limits, MatchSpan, Member, ScanOptions, Stop, Target};
use hf_literal::Opening;
use hf_pack::Pack;

use crate::anchor::Check;
use crate::candidates::{Candidate, Candidates};
use crate::evaluate::{Evaluator, Memo};
use crate::filter::{Bits, CLASSES, Places, Points, Tables, for_each_survivor};
use crate::hash::HashTables;
use crate::magic::{MagicHit, MagicPatterns};
use crate::member::CompiledContainer;
use crate::pattern::Work;
use crate::phishing::{LinkChecks, Phishing};
use crate::small::{Named, Small};
use crate::store::Store;
use crate::stored::{self, Head};
use crate::traits::Traits;

/// Content that cannot be matched with.
#[derive(Debug, thiserror::Error)]
pub enum OpenMatcherError {
    /// More packs than can be told apart.
    #[error("too many packs")]
    TooManyPacks,
}

/// All packs in use. Shared between threads; each brings its own [`Scratch`].
#[derive(Debug)]
pub struct Matcher {
    stores: Vec<Store>,
    hashes: Vec<HashTables>,
    small: Small,
    containers: Vec<CompiledContainer>,
    /// Where the container signatures of each pack end in `small`.
    container_ends: Vec<usize>,
    magics: MagicPatterns,
    phishing: Phishing,
    ignored: HashSet<String>,
    traits: Vec<Traits>,
    /// Where the tables of each target are in each pack.
    places: Vec<[Places; Target::COUNT as usize]>,
    /// Tells this matcher from others that use the same [`Scratch`].
    identity: Arc<()>,
    /// The joined bit tables of each target with those of [`Target::ANY`], made when first used.
    plans: [OnceLock<Vec<Bits>>; Target::COUNT as usize],
}

/// Which signatures meet an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Those of the object's target and those for every target.
    #[default]
    TargetAndAny,
    /// Only those of the object's target.
    TargetOnly,
    /// Only those for every target.
    AnyOnly,
    /// Only those that are matched before the object is opened (`sdb`).
    SelfProtect,
}

/// An object as the matcher sees it.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Subject<'a> {
    /// Its content.
    pub bytes: &'a [u8],
    /// The target whose signatures meet it besides those for every target.
    pub target: Option<Target>,
    /// Which of the two.
    pub scope: Scope,
    /// Type of the object; a request to look at it as this same type again is left out.
    pub file_type: FileType,
    /// What may be asked about it.
    pub facts: &'a dyn Facts,
    /// Tell where every member matched.
    pub explain: bool,
    /// Follow the visible quirks of ClamAV.
    pub clamav_quirks: bool,
    /// Use the `HTML.Phishing` and `Email.Phishing` signatures.
    pub phishing_signatures: bool,
    /// Use signatures of potentially unwanted applications.
    pub pua: bool,
    /// Largest object on which regular expressions run.
    pub pcre_max_bytes: u64,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Subject");
        out.field("len", &self.bytes.len()).field("target", &self.target);
        out.field("file_type", &self.file_type).finish_non_exhaustive()
    }
}

impl<'a> Subject<'a> {
    /// Returns the size that signatures are told, in bytes.
    pub(crate) fn told_size(&self) -> u64 {
        self.facts.told_size().unwrap_or(self.bytes.len() as u64)
    }

    /// Returns an object with the switches of a scan.
    #[must_use]
    pub fn new(
        bytes: &'a [u8],
        target: Option<Target>,
        file_type: FileType,
        facts: &'a dyn Facts,
        options: &ScanOptions,
        limits: &Limits,
    ) -> Self {
        Self {
            bytes,
            target,
            scope: Scope::TargetAndAny,
            file_type,
            facts,
            explain: options.explain,
            clamav_quirks: options.clamav_quirks,
            phishing_signatures: options.phishing_signatures,
            pua: options.detect_pua,
            pcre_max_bytes: limits.pcre_max_bytes,
        }
    }

    /// Returns the target whose tables it meets; [`Target::ANY`] for none.
    fn own_target(&self) -> Target {
        let target = self.target.filter(|_| self.scope != Scope::AnyOnly);
        target.filter(|target| target.0 < Target::COUNT).unwrap_or(Target::ANY)
    }
}

/// A signature that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchHit {
    /// Name as written, without `.UNOFFICIAL`.
    pub name: String,
    /// Language.
    pub kind: HitKind,
    /// From a database of potentially unwanted applications.
    pub pua: bool,
    /// From a signed database: the name is told without `.UNOFFICIAL`.
    pub official: bool,
    /// Database file and line.
    pub origin: String,
    /// No alert: the object is to be looked at as this type as well.
    pub handler: Option<FileType>,
    /// Where it matched.
    pub spans: Vec<MatchSpan>,
}

/// Where a member of a signature matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) sub: u8,
    pub(crate) start: usize,
    pub(crate) last: usize,
    pub(crate) end: usize,
}

/// Memory that a thread keeps between objects.
#[derive(Debug, Default)]
pub struct Scratch {
    memo: Memo,
    candidates: Candidates,
    statistics: Statistics,
}

/// What scans with one [`Scratch`] did, for those who measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Windows that passed the bit tables.
    pub survivors: u64,
    /// Signatures that were evaluated.
    pub candidates: u64,
    /// Signatures that matched.
    pub hits: u64,
}

impl std::fmt::Display for Statistics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { survivors, candidates, hits } = self;
        write!(f, "{survivors} windows passed, {candidates} candidates, {hits} hits")
    }
}

impl Scratch {
    /// Returns empty memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// True when a regular expression was given up in the last object, at the bound on its steps.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.memo.gave_up
    }

    /// Returns what scans with it did.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }
}

impl Matcher {
    /// Takes packs into use, in load order.
    ///
    /// # Errors
    /// There are too many.
    pub fn open(packs: Vec<Arc<Pack>>) -> Result<Self, OpenMatcherError> {
        if packs.len() > PACKS_MAX {
            return Err(OpenMatcherError::TooManyPacks);
        }
        let mut small = Small::default();
        let mut container_ends = Vec::new();
        for pack in &packs {
            small.append(Small::read(pack));
            container_ends.push(small.containers.len());
        }
        let containers = small.containers.iter().map(|sig| CompiledContainer::new(&sig.sig));
        let containers = containers.collect();
        let ignored = ignored_names(&small.ignored);
        let magics = MagicPatterns::new(&small.magics);
        let phishing = Phishing::new(&small.phishing);
        let hashes = packs.iter().map(HashTables::open).collect();
        let stores: Vec<Store> = packs.into_iter().map(Store::open).collect();
        let traits = stores.iter().map(|store| Traits::read(&store.pack)).collect();
        let places = |store: &Store| {
            std::array::from_fn(|target| {
                let target = u8::try_from(target).unwrap_or(u8::MAX);
                Places::find(&store.pack, target)
            })
        };
        let places = stores.iter().map(places).collect();
        Ok(Self {
            stores,
            hashes,
            small,
            containers,
            container_ends,
            magics,
            phishing,
            ignored,
            traits,
            places,
            identity: Arc::new(()),
            plans: Default::default(),
        })
    }

    /// Finds the signatures that match an object.
    ///
    /// # Errors
    /// `poll` said so, or [`Stop::Found`] when `on_hit` broke off.
    pub fn scan(
        &self,
        subject: &Subject<'_>,
        scratch: &mut Scratch,
        on_hit: &mut dyn FnMut(MatchHit) -> ControlFlow<()>,
        poll: &mut dyn FnMut() -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        scratch.memo.next_object(&self.identity);
        let mut work = Work::new(poll);
        let statistics = &mut scratch.statistics;
        let tables = self.tables(subject);
        let candidates = &mut scratch.candidates;
        let memo = &mut scratch.memo;
        let survivors = &mut statistics.survivors;
        self.find_candidates(subject, &tables, candidates, memo, survivors, &mut work)?;
        let candidates = candidates.list();
        statistics.candidates = statistics.candidates.wrapping_add(candidates.len() as u64);
        let mut counted = |hit| {
            statistics.hits = statistics.hits.wrapping_add(1);
            on_hit(hit)
        };
        let scanning = Scanning { matcher: self, subject, tables: &tables };
        scanning.judge(candidates, &mut scratch.memo, &mut counted, &mut work)
    }

    /// Returns the tables that an object meets.
    fn tables(&self, subject: &Subject<'_>) -> Vec<Source<'_>> {
        let mut tables = Vec::new();
        for (pack, store) in (0u32..).zip(&self.stores).filter(|(_, store)| store.count > 0) {
            let places = usize::try_from(pack).ok().and_then(|pack| self.places.get(pack));
            let mut open = |target: Target| {
                let Some(places) = places.and_then(|of| of.get(usize::from(target.0))) else {
                    return;
                };
                let tables_of = Tables::at(&store.pack, places);
                tables.push(Source { pack, target: target.0, tables: tables_of });
            };
            let target = subject.own_target();
            if target != Target::ANY {
                open(target);
            }
            if subject.scope != Scope::TargetOnly {
                open(Target::ANY);
            }
        }
        tables
    }

    /// Finds the signatures whose anchors are in an object.
    fn find_candidates(
        &self,
        subject: &Subject<'_>,
        sources: &[Source<'_>],
        candidates: &mut Candidates,
        memo: &mut Memo,
        survivors: &mut u64,
        work: &mut Work<'_>,
    ) -> Result<(), Stop> {
        candidates.reset(sources.iter().map(|source| &source.tables));
        let points = Points::new(subject.bytes, subject.facts);
        for source in sources {
            let image = || subject.facts.image_hash();
            let mut add = |lead| candidates.add(source.pack, lead);
            source.tables.look_elsewhere(&points, image, &mut add);
        }
        let bytes = subject.bytes;
        let bits = self.bits(subject.own_target()).unwrap_or_default();
        let (hits, seen, mut add) = candidates.split();
        for_each_survivor(
            bits,
            bytes,
            hits,
            |len| work.spend(len),
            |class, passed| {
                *survivors = survivors.wrapping_add(passed.len() as u64);
                for (source, seen) in sources.iter().zip(seen.iter_mut()) {
                    let mut add = |lead| add(source.pack, lead);
                    let store = self.store(source.pack);
                    let mut verify = |check: Check, start: usize| {
                        store.is_none_or(|store| {
                            memo.part_at(store, source.pack, check, bytes, start)
                        })
                    };
                    source.tables.look(class, passed, bytes, seen, &mut verify, &mut add);
                }
            },
        )
    }

    /// Returns the bit tables for a target.
    fn bits(&self, target: Target) -> Option<&[Bits]> {
        let plan = self.plans.get(usize::from(target.0))?;
        let joined = plan.get_or_init(|| {
            let targets = [Target::ANY, target];
            let targets = &targets[..if target == Target::ANY { 1 } else { 2 }];
            let packs = || {
                targets.iter().flat_map(|of| self.stores.iter().map(move |in_| (of.0, &in_.pack)))
            };
            let tables = packs().map(|(target, pack)| Tables::open(pack, target));
            let openings: Vec<Opening<'_>> = tables.flat_map(|tables| tables.openings()).collect();
            let join = |class: usize| {
                let stored = packs().map(|(target, pack)| Tables::stored_bits(pack, target, class));
                Bits::join(class, &stored.collect::<Vec<_>>(), &openings)
            };
            (0..CLASSES.len()).filter_map(join).collect()
        });
        Some(joined)
    }

    /// Returns the container-metadata signatures that match a member.
    #[must_use]
    pub fn member(
        &self,
        container: FileType,
        container_len: u64,
        member: &Member<'_>,
    ) -> Vec<MatchHit> {
        let compiled = self.containers.iter().zip(&self.small.containers).enumerate();
        let hits = compiled.filter(|(_, (compiled, sig))| {
            compiled.matches(&sig.sig, container, container_len, member)
                && !self.ignored.contains(&sig.name)
        });
        let hits = hits.map(|(idx, (_, sig))| {
            let pack = self.container_ends.partition_point(|end| *end <= idx);
            MatchHit {
                name: sig.name.clone(),
                kind: HitKind::Container,
                pua: sig.pua,
                official: self.stores.get(pack).is_some_and(|store| store.official),
                origin: format!("{}:{}", sig.file, sig.line),
                handler: None,
                spans: Vec::new(),
            }
        });
        hits.collect()
    }

    /// Returns the types whose magic patterns are found, with their offsets, ascending.
    ///
    /// # Errors
    /// `poll` said so.
    pub fn find_magics(
        &self,
        bytes: &[u8],
        poll: &mut dyn FnMut() -> Result<(), Stop>,
    ) -> Result<Vec<MagicHit>, Stop> {
        self.magics.find(bytes, &mut Work::new(poll))
    }
}

/// One target's tables in one pack.
#[derive(Debug)]
struct Source<'a> {
    pack: u32,
    target: u8,
    tables: Tables<'a>,
}

/// A scan of one object.
struct Scanning<'a> {
    matcher: &'a Matcher,
    subject: &'a Subject<'a>,
    tables: &'a [Source<'a>],
}

impl Scanning<'_> {
    /// Evaluates candidates and tells hits in their order.
    fn judge(
        &self,
        candidates: &[Candidate],
        memo: &mut Memo,
        on_hit: &mut dyn FnMut(MatchHit) -> ControlFlow<()>,
        work: &mut Work<'_>,
    ) -> Result<(), Stop> {
        let (mut bodies, mut specific, mut generic) = (Vec::new(), Vec::new(), Vec::new());
        for candidate in candidates.iter().copied() {
            let Some(store) = self.matcher.store(candidate.pack) else { continue };
            let Some(head) = store.head(candidate.sig) else { continue };
            if !self.meets(store, &head) {
                continue;
            }
            if head.is(Head::LOGICAL) {
                let list = if head.target == Target::ANY.0 { &mut generic } else { &mut specific };
                list.push((candidate, head));
            } else if let Some(spans) = self.evaluate(candidate, &head, memo, work)? {
                let at = spans.first().map_or(0, |span| span.last);
                bodies.push((at, candidate, head, spans));
            }
        }
        bodies.sort_by_key(|(at, candidate, ..)| (*at, candidate.pack, candidate.sig));
        for (_, candidate, head, spans) in bodies {
            self.tell(candidate.pack, &head, spans, None, on_hit)?;
        }
        for (candidate, head) in specific.into_iter().chain(generic) {
            let Some(spans) = self.evaluate(candidate, &head, memo, work)? else { continue };
            let Some(store) = self.matcher.store(candidate.pack) else { continue };
            let handler = store.unit(&head).and_then(|unit| unit.tdb?.handler);
            if handler != Some(self.subject.file_type) || handler.is_none() {
                self.tell(candidate.pack, &head, spans, handler, on_hit)?;
            }
        }
        Ok(())
    }

    fn evaluate(
        &self,
        candidate: Candidate,
        head: &Head,
        memo: &mut Memo,
        work: &mut Work<'_>,
    ) -> Result<Option<Vec<Span>>, Stop> {
        let Candidate { pack, sig, found } = candidate;
        let (matcher, subject) = (self.matcher, self.subject);
        let Some(store) = matcher.store(pack) else { return Ok(None) };
        let of = |source: &&Source<'_>| (source.pack, source.target) == (pack, head.target);
        let members = self.tables.iter().find(of).and_then(|source| source.tables.members(sig));
        // What has anchors in the filter and none in the object does not match.
        let absent = members.map_or(0, |members| members & !found);
        let mut evaluator = Evaluator { matcher, store, pack, subject, memo, work };
        evaluator.matches(sig, head.target, absent)
    }

    /// Tests what a head says of the object.
    fn meets(&self, store: &Store, head: &Head) -> bool {
        let (matcher, subject) = (self.matcher, self.subject);
        let len = subject.told_size();
        let own = subject.target.is_some_and(|target| target.0 == head.target);
        let any = head.target == Target::ANY.0;
        let in_scope = match subject.scope {
            Scope::TargetAndAny | Scope::SelfProtect => own || any,
            Scope::TargetOnly => own,
            Scope::AnyOnly => any,
        };
        in_scope
            && head.is(Head::SELF_PROTECT) == (subject.scope == Scope::SelfProtect)
            && !head.is(Head::MACRO)
            && (subject.pua || !head.is(Head::PUA))
            && (subject.phishing_signatures || !head.is(Head::PHISHING))
            && u64::from(head.size_min) <= len
            && (len <= u64::from(head.size_max) || head.size_max == u32::MAX)
            && (matcher.ignored.is_empty() || !matcher.ignored.contains(store.name(head)))
    }

    fn tell(
        &self,
        pack: u32,
        head: &Head,
        spans: Vec<Span>,
        handler: Option<FileType>,
        on_hit: &mut dyn FnMut(MatchHit) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        let subject = self.subject;
        let Some(store) = self.matcher.store(pack) else { return Ok(()) };
        let span = |span: Span| MatchSpan {
            part: span.sub.to_string(),
            off: span.start as u64,
            len: span.end.saturating_sub(span.start) as u64,
            bytes: subject
                .bytes
                .get(span.start..span.end.min(span.start.saturating_add(64)))
                .map_or_else(Vec::new, <[u8]>::to_vec),
        };
        let hit = MatchHit {
            name: store.name(head).to_owned(),
            kind: if head.is(Head::LOGICAL) { HitKind::Logical } else { HitKind::Body },
            pua: head.is(Head::PUA),
            official: store.official,
            origin: store.origin(head),
            handler,
            spans: spans.into_iter().map(span).collect(),
        };
        match on_hit(hit) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Found),
        }
    }
}

/// What the packs hold beside patterns.
impl Matcher {
    /// Returns the hash tables of each pack, with whether it is official.
    pub fn hashes(&self) -> impl Iterator<Item = (&HashTables, bool)> {
        self.hashes.iter().zip(self.stores.iter().map(|store| store.official))
    }

    /// Returns the packs in use.
    pub fn packs(&self) -> impl Iterator<Item = &Arc<Pack>> {
        self.stores.iter().map(|store| &store.pack)
    }

    /// Returns the type magics in load order.
    #[must_use]
    pub fn magics(&self) -> &[Named<MagicSig>] {
        &self.small.magics
    }

    /// Returns the passwords in load order.
    #[must_use]
    pub fn passwords(&self) -> &[Named<PasswordSig>] {
        &self.small.passwords
    }

    /// Returns the rules on certificates in load order.
    #[must_use]
    pub fn certificates(&self) -> &[Named<CertificateSig>] {
        &self.small.certificates
    }

    /// True when there is a list of phishing addresses.
    #[must_use]
    pub fn has_phishing_lists(&self) -> bool {
        self.phishing.has_lists()
    }

    /// Returns the name of what is wrong with a link that leads to `real` and shows `displayed`.
    #[must_use]
    pub fn link(&self, real: &[u8], displayed: &[u8], checks: LinkChecks) -> Option<&'static str> {
        self.phishing.check(real, displayed, checks)
    }

    /// Returns the lines of phishing lists.
    #[must_use]
    pub fn phishing(&self) -> &[Named<PhishingSig>] {
        &self.small.phishing
    }

    /// Returns the icon signatures.
    #[must_use]
    pub fn icon_signatures(&self) -> &[Named<IconSig>] {
        &self.small.icons
    }

    /// Returns the parser configuration, in load order.
    #[must_use]
    pub fn config(&self) -> &[Named<ConfigSig>] {
        &self.small.config
    }

    /// Returns the texts of YARA files.
    #[must_use]
    pub fn yara(&self) -> &[Named<String>] {
        &self.small.yara
    }

    /// Returns the lines of ignore lists. Those without a digest are followed by the matcher.
    #[must_use]
    pub fn ignored(&self) -> &[Named<IgnoreSig>] {
        &self.small.ignored
    }

    /// True when a name is on an ignore list without a digest.
    #[must_use]
    pub fn ignores(&self, name: &str) -> bool {
        self.ignored.contains(name)
    }

    /// True when perceptual hashes of images are asked for.
    #[must_use]
    pub fn has_image_hash_signatures(&self) -> bool {
        self.traits.iter().any(|traits| traits.image_hash)
    }

    /// True when icons are asked for.
    #[must_use]
    pub fn needs_icons(&self) -> bool {
        self.traits.iter().any(|traits| traits.icons) && !self.small.icons.is_empty()
    }

    /// True when there are signatures for [`Scope::SelfProtect`].
    #[must_use]
    pub fn has_self_protection(&self) -> bool {
        self.traits.iter().any(|traits| traits.self_protect)
    }

    /// Returns the number of signatures, counted as ClamAV counts "known viruses".
    #[must_use]
    pub fn signature_count(&self) -> u64 {
        self.stores.iter().map(|store| store.pack.meta().signatures).sum()
    }

    /// True when there is a signature with patterns for this target.
    #[must_use]
    pub fn has_target(&self, target: Target) -> bool {
        let bit = 1_u16.checked_shl(u32::from(target.0)).unwrap_or(0);
        self.stores.iter().any(|store| {
            let targets = store.pack.section(stored::TARGETS);
            stored::u16_at(targets, 0) & bit != 0
        })
    }

    /// True when a pattern for this target has an offset that counts from the end.
    #[must_use]
    pub fn counts_from_end(&self, target: Target) -> bool {
        let at = usize::from(target.0);
        self.traits.iter().any(|traits| traits.from_end.get(at) == Some(&true))
    }

    pub(crate) fn store(&self, pack: u32) -> Option<&Store> {
        self.stores.get(usize::try_from(pack).ok()?)
    }

    pub(crate) fn has_multi_part(&self, target: u8) -> bool {
        target == Target::ANY.0
            || self
                .traits
                .iter()
                .any(|traits| traits.multi_part.get(usize::from(target)) == Some(&true))
    }

    /// Returns the bodies of a macro group: pack and sub-signature.
    pub(crate) fn macro_bodies(&self, target: u8, group: u8) -> Vec<(u32, u32)> {
        let packs = (0u32..).zip(&self.traits);
        let all =
            packs.flat_map(|(pack, traits)| traits.macros.iter().map(move |body| (pack, body)));
        let own = all.filter(|(_, body)| (body.target, body.group) == (target, group));
        own.map(|(pack, body)| (pack, body.sub)).collect()
    }
}

/// Returns the names that are ignored whatever their lines are; the last rule for a name holds.
fn ignored_names(rules: &[Named<IgnoreSig>]) -> HashSet<String> {
    let mut names = HashSet::new();
    for rule in rules {
        if rule.sig.line_md5.is_none() {
            names.insert(rule.name.clone());
        } else {
            names.remove(&rule.name);
        }
    }
    names
}

/// Ours: more are a mistake.
const PACKS_MAX: usize = 4096;
