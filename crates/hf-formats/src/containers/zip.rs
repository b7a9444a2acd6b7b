//! zip archives, and everything that is one: Office Open XML, JAR, APK, self-extracting programs.
//!
//! Yields: one child per entry and per way in which its headers can be read. Tools disagree on what a
//! zip holds, so this is the union: the entries of the last central directory, and every local
//! header outside their data (of streaming tools, of archives in front, of what was cut or hidden);
//! where central and local header differ in method, encryption or size, both readings. Entries that the manifest
//! of an OpenDocument package calls encrypted come out once as they are and once opened.
//! Leaves out: entries whose data is inside another entry's data (they are in that child); methods 7, 10,
//! 16, 18, 19, 94, 96, 97 and PKWARE's strong encryption, which are reported; archive comments.
//! Limits: through `Sink`; at most 2^20 records of a directory; of entries that overlap others by more
//! than two bytes only five are opened.
//! Hostile input: no size, count or offset is believed; what came out of a damaged stream is a child;
//! disagreements and wrong checksums are defects; an entry that no reading opens is reported.
//! Sources: APPNOTE.TXT 6.3.10; WinZip's "AES Encryption Information" 1.04; OpenDocument 1.3 part 2.

mod crypto;
mod entry;
mod header;
mod method;
mod odf;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};
use memchr::memmem;

use crate::bounded::{Ended, Unpacked, hand_over, unpack};
use crate::codec::Inflate;
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};
pub(in crate::containers) use crypto::{Traditional, winzip_aes};
use entry::{Checks, Fate, Passwords, Reading, readings};
use header::{CENTRAL, Central, Claims, Directory, END, LOCAL, Local};
use method::Content;

pub(super) const FORMAT: Format = Format {
    name: "zip",
    // ClamAV opens the members of Office documents as archives too, whatever `--scan-xmldocs` says
    // (verified with 1.4.6).
    types: &[
        FileType::Zip,
        FileType::ZipSfx,
        FileType::OoxmlWord,
        FileType::OoxmlPpt,
        FileType::OoxmlXl,
        FileType::OoxmlHwp,
    ],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x2 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`PK 03 04` at the start, or anywhere in a program",
        yields: "one child per entry and reading: central directory, local headers outside of it, and both \
             where they differ; methods stored, shrink, reduce, implode, deflate, deflate64, bzip2, \
             LZMA, Zstandard, xz, PPMd; ZipCrypto, WinZip AES and encrypted OpenDocument (Blowfish, \
             AES; PBKDF2, Argon2id) with the passwords of the content",
        leaves_out: "methods 7, 10, 16, 18, 19, 94, 96, 97 and strong encryption (reported); comments",
        limits: "2^20 directory records; five entries that overlap others; 128 MiB per decoder; 2^23 rounds \
             of key derivation and 128 MiB of memory for OpenDocument",
        sources: "APPNOTE.TXT 6.3.10, WinZip AES 1.04, OpenDocument 1.3",
    },
};

/// Ours: records of all directories of one archive.
const RECORDS_MAX: u32 = 1 << 20;
/// ClamAV's: entries that may overlap, and bytes that are no overlap (verified with 1.4.6).
const OVERLAPS_MAX: usize = 5;
const OVERLAP_SLACK: usize = 2;
/// Ours: bytes of a document's manifest, and entries of one name that it may mean.
const MANIFEST_LEN_MAX: usize = 16 << 20;
const SAME_NAME_MAX: usize = 4;
/// Ours: entries of one object that are named when their data is not there.
const LOST_MAX: usize = 100;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut archive = Archive {
        object,
        sink,
        passwords: Passwords::default(),
        entries: BTreeMap::new(),
        covered: BTreeMap::new(),
        lost: Vec::new(),
        stored: Vec::new(),
        manifest: None,
        position: 0,
        records: 0,
        encrypted_told: false,
    };
    archive.walk_directory()?;
    archive.walk_rest()?;
    archive.open_locked()?;
    archive.tell_lost();
    if Directory::find(object).is_none() {
        sink.defect(Defect::new(
            u64::try_from(object.len()).unwrap_or(u64::MAX),
            "end of central directory",
        ));
    }
    Ok(())
}

struct Archive<'a, 's> {
    object: &'a [u8],
    sink: &'s mut dyn Sink,
    passwords: Passwords,
    /// Lengths and CRC-32s of the children of each entry, by the offset of its local header.
    entries: BTreeMap<usize, BTreeSet<(usize, u32)>>,
    /// Parts of the object that are understood: start and end.
    covered: BTreeMap<usize, usize>,
    /// Names of entries whose local header was not found.
    lost: Vec<(&'a [u8], Reason)>,
    /// Stored entries and their names, in their order: a document's manifest may call them encrypted.
    stored: Vec<(&'a [u8], &'a [u8])>,
    /// The manifest of a document with encrypted entries.
    manifest: Option<Vec<u8>>,
    position: u32,
    records: u32,
    encrypted_told: bool,
}

impl<'a> Archive<'a, '_> {
    /// Opens the entries of the last central directory.
    fn walk_directory(&mut self) -> Result<(), Stop> {
        let Some(directory) = Directory::find(self.object) else { return Ok(()) };
        let refused = self.overlapping(directory)?;
        let mut off = directory.off;
        while let Some(record) = self.next_record(&mut off)? {
            let found = self.local_of(&record, directory.base);
            let Some((local_off, local)) = found else {
                let reason = if directory.other_volumes {
                    Reason::OtherVolume
                } else {
                    Reason::Damaged("no local header".into())
                };
                self.lose(record.claims.name, reason);
                continue;
            };
            if refused.contains(&local_off) {
                if self.entries.insert(local_off, BTreeSet::new()).is_none() {
                    self.announce(local_off, &local.claims, Some(&record.claims))?;
                }
            } else if !self.entries.contains_key(&local_off) {
                self.open(local_off, &local, Some(&record.claims))?;
            }
        }
        self.cover(directory.off, off);
        Ok(())
    }

    /// Reads a directory record and moves behind it; none when there is no more.
    fn next_record(&mut self, off: &mut usize) -> Result<Option<Central<'a>>, Stop> {
        if self.records.is_multiple_of(1024) {
            self.sink.poll()?;
        }
        if self.records >= RECORDS_MAX {
            if self.records == RECORDS_MAX {
                self.records = self.records.saturating_add(1);
                self.sink.unscanned(b"", Reason::FormatLimit("directory records".into()));
            }
            return Ok(None);
        }
        let record = Central::read(self.object, *off);
        if let Some(record) = &record {
            self.records = self.records.saturating_add(1);
            *off = record.end_off;
        }
        Ok(record)
    }

    /// Finds the local header that a record means: at the offset counted from where the archive seems
    /// to start, or from the start of the object; failing both, whatever is at the former place.
    fn local_of(&self, record: &Central<'a>, base: u64) -> Option<(usize, Local<'a>)> {
        let offs = [size(record.local_off.wrapping_add(base)), size(record.local_off)];
        let signed = offs.iter().find_map(|off| Some((*off, Local::read(self.object, *off)?)));
        signed.or_else(|| {
            let [off, _] = offs;
            Local::read_unsigned(self.object, off).map(|local| (off, local))
        })
    }

    /// Returns the local headers of entries that overlap the one before them, past the fifth.
    fn overlapping(&mut self, directory: Directory) -> Result<BTreeSet<usize>, Stop> {
        let records = self.records;
        let mut spans = BTreeMap::new();
        let mut off = directory.off;
        while let Some(record) = self.next_record(&mut off)? {
            if let Some((local_off, local)) = self.local_of(&record, directory.base) {
                let len = size(record.claims.packed_len.unwrap_or(0));
                spans.entry(local_off).or_insert(local.data_off.saturating_add(len));
            }
        }
        self.records = records;
        let pairs = spans.iter().zip(spans.iter().skip(1));
        let overlaps =
            pairs.filter(|((_, end), (start, _))| end.saturating_sub(**start) > OVERLAP_SLACK);
        let refused: BTreeSet<_> =
            overlaps.map(|(_, (start, _))| *start).skip(OVERLAPS_MAX).collect();
        if !refused.is_empty() {
            self.sink.unscanned(b"", Reason::FormatLimit("overlapping entries".into()));
            if self.sink.options().heuristic_alerts {
                self.sink.heuristic("Heuristics.Zip.OverlappingFiles")?;
            }
        }
        Ok(refused)
    }

    /// Opens every local header outside the parts that are understood, and compares the directories
    /// that are there with what was opened.
    fn walk_rest(&mut self) -> Result<(), Stop> {
        let mut off = 0usize;
        // Ends of the understood parts that start before `seen_to` count in `reach`.
        let (mut seen_to, mut reach) = (0usize, 0usize);
        while off < self.object.len() {
            let ends = self.covered.range(seen_to..=off).map(|(_, end)| *end);
            reach = ends.fold(reach, usize::max);
            seen_to = off;
            if reach > off {
                off = reach;
                continue;
            }
            let next_covered = self.covered.range(off..).next().map(|(start, _)| *start);
            let gap_end = next_covered.unwrap_or(self.object.len());
            let Some(at) = self.next_signature(off, gap_end)? else {
                off = gap_end.max(off.saturating_add(1));
                continue;
            };
            off = at.saturating_add(LOCAL.len());
            let rest = self.object.get(at..).unwrap_or_default();
            if rest.starts_with(&CENTRAL) {
                off = self.walk_other_directory(at)?.max(off);
            } else if let Some(local) = Local::read(self.object, at)
                && !self.entries.contains_key(&at)
            {
                self.open(at, &local, None)?;
            }
        }
        Ok(())
    }

    /// Returns the next place in a range where a local header or a directory record starts.
    fn next_signature(&mut self, from: usize, end: usize) -> Result<Option<usize>, Stop> {
        let mut from = from;
        while from < end {
            self.sink.poll()?;
            let window_end = from.saturating_add(1 << 20).min(self.object.len());
            let window = self.object.get(from..window_end).unwrap_or_default();
            let found = memmem::find_iter(window, b"PK").find(|at| {
                let rest = window.get(*at..).unwrap_or_default();
                rest.starts_with(&LOCAL) || rest.starts_with(&CENTRAL)
            });
            if let Some(at) = found.and_then(|at| from.checked_add(at)) {
                return Ok(Some(at).filter(|at| *at < end));
            }
            if window_end == self.object.len() {
                return Ok(None);
            }
            from = window_end.saturating_sub(LOCAL.len() - 1);
        }
        Ok(None)
    }

    /// Reads a directory outside the understood parts and returns where it ends.
    fn walk_other_directory(&mut self, start: usize) -> Result<usize, Stop> {
        let records = self.records;
        let mut end = start;
        while self.next_record(&mut end)?.is_some() {}
        self.records = records;
        let tail = self.object.get(end..).unwrap_or_default();
        let directory = tail
            .starts_with(&END)
            .then(|| Directory::of_end(self.object, end))
            .flatten()
            .filter(|directory| directory.off == start);
        let base = directory.map_or(0, |directory| directory.base);
        let mut off = start;
        while let Some(record) = self.next_record(&mut off)? {
            match self.local_of(&record, base) {
                Some((at, local)) => self.open_or_reopen(at, &local, &record.claims)?,
                None => self.lose(record.claims.name, Reason::Damaged("no local header".into())),
            }
        }
        Ok(off)
    }

    /// Opens an entry, or reads it again where this record allows what its local header does not.
    fn open_or_reopen(
        &mut self,
        off: usize,
        local: &Local<'a>,
        central: &Claims<'a>,
    ) -> Result<(), Stop> {
        if self.entries.contains_key(&off) {
            let known = readings(None, &local.claims);
            let more = readings(Some(central), &local.claims);
            if more.iter().all(|reading| known.contains(reading)) {
                return Ok(());
            }
        }
        self.open(off, local, Some(central))
    }

    fn open(
        &mut self,
        off: usize,
        local: &Local<'a>,
        central: Option<&Claims<'a>>,
    ) -> Result<(), Stop> {
        self.sink.poll()?;
        self.announce(off, &local.claims, central)?;
        let claims = central.unwrap_or(&local.claims);
        let rest = self.object.get(local.data_off..).unwrap_or_default();
        let mut checks = Checks::of([&local.claims].into_iter().chain(central));
        let mut told = self.entries.remove(&off).unwrap_or_default();
        let mut seen = Seen::default();
        for reading in readings(central, &local.claims) {
            let content = match reading.open(rest, &checks, &mut self.passwords, self.sink)? {
                Fate::Content(content) => content,
                Fate::Closed(reason) => {
                    seen.miss(&reading, Some(reason));
                    continue;
                }
            };
            checks.add_descriptor(rest.get(content.used..).unwrap_or_default());
            let fits = checks.fit(&content);
            if fits {
                seen.proven = seen.proven.max(Some(content.used));
            } else if content.ended == Ended::Whole && !reading.guess {
                seen.whole = seen.whole.max(Some(content.used));
                let at = u64::try_from(off).unwrap_or(u64::MAX);
                if !checks.crc_fits(&content) {
                    self.sink.defect(Defect::new(at, "crc-32"));
                }
            }
            seen.miss(&reading, content.ended.reason(self.sink));
            self.hand_over(claims.name, &content, &reading, fits, &mut told)?;
            if fits && !reading.guess && central.is_none_or(|central| agree(central, &local.claims))
            {
                break;
            }
        }
        let cap_reason = self.sink.cap_reason();
        for reason in seen.unseen(&cap_reason) {
            self.sink.unscanned(claims.name, reason);
        }
        self.entries.insert(off, told);
        let used = seen.proven.max(seen.whole).unwrap_or(0);
        self.cover(off, local.data_off.saturating_add(used));
        Ok(())
    }

    /// Makes a child of content that was not one before. A guess is one when it fits, or under
    /// ClamAV's rules, which scan whatever comes out.
    fn hand_over(
        &mut self,
        name: &'a [u8],
        content: &Content<'a>,
        reading: &Reading,
        fits: bool,
        told: &mut BTreeSet<(usize, u32)>,
    ) -> Result<(), Stop> {
        let data = content.bytes.as_ref();
        let wanted =
            !reading.guess || fits || reading.is_repair() || self.sink.options().clamav_quirks;
        if data.is_empty() || !wanted || !told.insert((data.len(), content.crc32)) {
            return Ok(());
        }
        self.remember(name, content);
        self.sink.child(Child { name, data, role: ChildRole::Member })
    }

    /// Keeps what a document with encrypted entries needs.
    fn remember(&mut self, name: &'a [u8], content: &Content<'a>) {
        let bytes = &content.bytes;
        if name == odf::MANIFEST && memmem::find(bytes, b"encryption-data").is_some() {
            if bytes.len() <= MANIFEST_LEN_MAX {
                self.manifest = Some(bytes.to_vec());
            } else {
                self.sink.unscanned(name, Reason::FormatLimit("manifest of a document".into()));
            }
        } else if let Cow::Borrowed(bytes) = bytes {
            self.stored.push((name, bytes));
        }
    }

    /// Opens the entries that a document's manifest calls encrypted.
    fn open_locked(&mut self) -> Result<(), Stop> {
        let Some(manifest) = self.manifest.take() else { return Ok(()) };
        let mut budget = odf::Budget::default();
        let mut stored: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        for (name, bytes) in std::mem::take(&mut self.stored) {
            let same = stored.entry(name).or_default();
            if same.len() < SAME_NAME_MAX {
                same.push(bytes);
            }
        }
        let (all, is_more) = odf::locked(&manifest);
        if is_more {
            self.sink.unscanned(b"", Reason::FormatLimit("encrypted members".into()));
        }
        let mut tried: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for locked in all {
            self.sink.poll()?;
            let locked = match locked {
                Ok(locked) => locked,
                Err(name) => {
                    self.sink.unscanned(&name, Reason::Encrypted);
                    continue;
                }
            };
            let times = tried.entry(locked.name.clone()).or_default();
            *times = times.saturating_add(1);
            let Some(all) = stored.get(locked.name.as_slice()).filter(|_| *times <= SAME_NAME_MAX)
            else {
                self.sink.unscanned(&locked.name, Reason::Encrypted);
                continue;
            };
            for data in all {
                self.open_one(&locked, data, &mut budget)?;
            }
        }
        Ok(())
    }

    fn open_one(
        &mut self,
        locked: &odf::Locked,
        data: &[u8],
        budget: &mut odf::Budget,
    ) -> Result<(), Stop> {
        for idx in 0..self.passwords.list(self.sink).len() {
            self.sink.poll()?;
            let password = self.passwords.list(self.sink).get(idx).cloned().unwrap_or_default();
            let (plain, proven) = match locked.open(data, &password, budget) {
                odf::Opened::Proven(plain) => (plain, true),
                odf::Opened::Unproven(plain) => (plain, false),
                odf::Opened::Wrong => continue,
                odf::Opened::TooCostly => {
                    let reason = Reason::FormatLimit("rounds of key derivation".into());
                    self.sink.unscanned(&locked.name, reason);
                    return Ok(());
                }
            };
            let is_plain = plain.starts_with(&LOCAL);
            let unpacked = if is_plain {
                Unpacked { bytes: plain, ended: Ended::Whole }
            } else {
                unpack(Inflate::raw(plain.as_slice()), 0, self.sink)?
            };
            if proven || unpacked.ended == Ended::Whole {
                self.passwords.worked(idx);
                return hand_over(&unpacked, &locked.name, ChildRole::Member, self.sink);
            }
        }
        self.sink.unscanned(&locked.name, Reason::Encrypted);
        Ok(())
    }

    /// Tells what the headers say of an entry; both, when they do not say the same.
    fn announce(
        &mut self,
        off: usize,
        local: &Claims<'a>,
        central: Option<&Claims<'a>>,
    ) -> Result<(), Stop> {
        self.position = self.position.saturating_add(1);
        self.lost.retain(|(name, _)| *name != local.name);
        let encrypted = local.encrypted() || central.is_some_and(Claims::encrypted);
        let differ = central.is_some_and(|central| !agree(central, local));
        if differ {
            let at = u64::try_from(off).unwrap_or(u64::MAX);
            self.sink.defect(Defect::new(at, "local header and central directory differ"));
        }
        let position = self.position;
        for claims in central.into_iter().chain((differ || central.is_none()).then_some(local)) {
            self.sink.member(&Member {
                name: claims.name,
                packed_len: claims.packed_len.unwrap_or(0),
                unpacked_len: claims.unpacked_len.unwrap_or(0),
                encrypted,
                crc32: claims.crc32,
                position,
            })?;
        }
        let options = self.sink.options();
        let wanted = options.alert_encrypted_archive;
        if encrypted && wanted && !std::mem::replace(&mut self.encrypted_told, true) {
            self.sink.heuristic("Heuristics.Encrypted.Zip")?;
        }
        Ok(())
    }

    fn cover(&mut self, start: usize, end: usize) {
        let covered = self.covered.entry(start).or_insert(end);
        *covered = end.max(*covered);
    }

    fn lose(&mut self, name: &'a [u8], reason: Reason) {
        if self.lost.len() < LOST_MAX {
            self.lost.push((name, reason));
        }
    }

    fn tell_lost(&mut self) {
        for (name, reason) in std::mem::take(&mut self.lost) {
            self.sink.unscanned(name, reason);
        }
    }
}

/// What the readings of one entry saw.
#[derive(Default)]
struct Seen {
    /// Bytes used by a reading whose content fits its checks.
    proven: Option<usize>,
    /// Bytes used by a reading that came to its end.
    whole: Option<usize>,
    /// Bytes that a failed reading claims, and why it failed.
    misses: Vec<(usize, Reason)>,
}

impl Seen {
    fn miss(&mut self, reading: &Reading, reason: Option<Reason>) {
        if let Some(reason) = reason.filter(|_| !reading.guess) {
            self.misses.push((reading.claimed_len(), reason));
        }
    }

    /// Returns why something was not seen: what failed, unless other readings proved to have used all
    /// that the failed ones claim.
    fn unseen(&mut self, cap_reason: &Reason) -> Vec<Reason> {
        let proven = self.proven;
        let misses = self.misses.drain(..).filter(|(claimed, reason)| {
            reason == cap_reason || proven.is_none_or(|proven| *claimed > proven)
        });
        let mut reasons: Vec<_> = misses.map(|(_, reason)| reason).collect();
        reasons.dedup();
        reasons
    }
}

/// True when two headers of one entry say the same, as far as both say anything.
fn agree(central: &Claims<'_>, local: &Claims<'_>) -> bool {
    fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
        a.is_none() || b.is_none() || a == b
    }
    central.name == local.name
        && central.method == local.method
        && central.flags & 0x2041 == local.flags & 0x2041
        && same(central.crc32, local.crc32)
        && same(central.packed_len, local.packed_len)
        && same(central.unpacked_len, local.unpacked_len)
}
