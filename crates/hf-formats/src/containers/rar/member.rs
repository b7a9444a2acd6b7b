//! What both generations of headers lead to: a member with its data.

use hf_core::{Child, ChildRole, Defect, FileType, Member, Reason, Sink, Stop};

use super::keys::{Crypt, Keys};
use crate::bounded::Ended;
use crate::codec::rar::{Algorithm, Packed, Result as Unpacked, Unrar};

/// One member as its header tells.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    /// Offset of the header.
    pub(super) off: usize,
    pub(super) name: Vec<u8>,
    /// Its data, as far as it is there.
    pub(super) data: &'a [u8],
    pub(super) packed_len: u64,
    pub(super) unpacked_len: Option<u64>,
    pub(super) crc32: Option<u32>,
    pub(super) method: Method,
    pub(super) solid: bool,
    pub(super) crypt: Crypt,
    /// It started in another volume.
    pub(super) split_before: bool,
    /// It goes on in another volume.
    pub(super) split_after: bool,
    pub(super) directory: bool,
    /// No file, but something that belongs to one or to the archive.
    pub(super) service: bool,
}

/// How a member is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Packed(Algorithm),
    Unknown(String),
}

/// An archive that is being walked.
pub(super) struct Archive<'a, 's> {
    pub(super) object: &'a [u8],
    pub(super) sink: &'s mut dyn Sink,
    pub(super) keys: Keys,
    pub(super) position: u32,
    /// Bytes read to find headers.
    pub(super) searched: usize,
    /// Files of the archive share a dictionary.
    pub(super) solid: bool,
    passwords: Option<Vec<Vec<u8>>>,
    /// The password that worked last.
    pub(super) worked: Option<usize>,
    unrar: Unrar,
    /// A member of the solid group was not unpacked to its end.
    broken: bool,
    encrypted_told: bool,
    volume_told: bool,
    damage_told: bool,
}

/// Ours: bytes read to find headers behind damage.
pub(super) const SEARCH_MAX: usize = 64 << 20;

impl<'a, 's> Archive<'a, 's> {
    pub(super) fn new(object: &'a [u8], sink: &'s mut dyn Sink) -> Self {
        Self {
            object,
            sink,
            keys: Keys::default(),
            position: 0,
            searched: 0,
            solid: false,
            passwords: None,
            worked: None,
            unrar: Unrar::default(),
            broken: false,
            encrypted_told: false,
            volume_told: false,
            damage_told: false,
        }
    }

    pub(super) fn passwords(&mut self) -> &[Vec<u8>] {
        let sink = &*self.sink;
        self.passwords.get_or_insert_with(|| sink.passwords(FileType::Rar))
    }

    /// Returns the numbers of passwords, the one that worked last first.
    pub(super) fn password_idxs(&mut self) -> Vec<usize> {
        let worked = self.worked;
        let all = 0..self.passwords().len();
        worked.into_iter().chain(all.filter(|idx| Some(*idx) != worked)).collect()
    }

    pub(super) fn defect(&mut self, off: usize, what: &'static str) {
        self.sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), what));
    }

    /// Tells once that something is encrypted.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn tell_encrypted(&mut self) -> Result<(), Stop> {
        let wanted = self.sink.options().alert_encrypted_archive;
        if wanted && !std::mem::replace(&mut self.encrypted_told, true) {
            self.sink.heuristic("Heuristics.Encrypted.RAR")?;
        }
        Ok(())
    }

    /// Tells that the archive goes on elsewhere, unless a member has.
    pub(super) fn tell_volume(&mut self) {
        if !std::mem::replace(&mut self.volume_told, true) {
            self.sink.unscanned(b"", Reason::OtherVolume);
        }
    }

    /// Tells once that headers are damaged, so that what they told of is not seen.
    pub(super) fn tell_damage(&mut self) {
        if !std::mem::replace(&mut self.damage_told, true) {
            self.sink.unscanned(b"", Reason::Damaged("header".into()));
        }
    }

    /// Announces a member and hands over what is in it.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn open(&mut self, entry: &Entry<'a>) -> Result<(), Stop> {
        if !entry.service {
            self.position = self.position.saturating_add(1);
            self.sink.member(&Member {
                name: &entry.name,
                packed_len: entry.packed_len,
                unpacked_len: entry.unpacked_len.unwrap_or(0),
                encrypted: entry.crypt != Crypt::None,
                crc32: entry.crc32,
                position: self.position,
            })?;
        }
        if entry.crypt != Crypt::None {
            self.tell_encrypted()?;
        }
        if entry.data.is_empty() && (entry.directory || entry.unpacked_len == Some(0)) {
            return Ok(());
        }
        let short = u64::try_from(entry.data.len()).unwrap_or(u64::MAX) < entry.packed_len;
        match self.unpack(entry)? {
            Some(content) => self.hand_over(entry, content, short),
            None => Ok(()),
        }
    }

    /// Unpacks a member; none when it was told why not.
    fn unpack(&mut self, entry: &Entry<'a>) -> Result<Option<Content>, Stop> {
        if let Method::Unknown(name) = &entry.method {
            self.sink.unscanned(&entry.name, Reason::UnknownMethod(name.clone().into()));
            self.broken = true;
            return Ok(None);
        }
        if entry.crypt == Crypt::None {
            return self.decode(entry, entry.data).map(Some);
        }
        let cap = usize::try_from(self.sink.child_cap()).unwrap_or(usize::MAX);
        let room = cap.saturating_add(cap / 8).saturating_add(1 << 16);
        let data = entry.data.get(..room & !15).unwrap_or(entry.data);
        for idx in self.password_idxs() {
            self.sink.poll()?;
            let surer = matches!(entry.crypt, Crypt::V50(crypt) if crypt.check.is_some());
            // A wrong try would spoil the dictionary.
            let ruins = entry.solid && entry.method != Method::Stored && !self.broken;
            if ruins && !surer && self.worked.is_some_and(|worked| worked != idx) {
                continue;
            }
            let Some(plain) = self.decrypt(idx, entry.crypt, data)? else { continue };
            let mut content = self.decode(entry, &plain)?;
            if let Crypt::V50(crypt) = entry.crypt
                && crypt.tweaked
                && let Some(key) = self.key5(idx, crypt.rounds_log, crypt.salt)?
            {
                content.fits = entry.crc32.map(|crc32| crc32 == key.tweak(content.crc32));
            }
            if surer || content.fits == Some(true) {
                self.worked = Some(idx);
                return Ok(Some(content));
            }
        }
        self.sink.unscanned(&entry.name, Reason::Encrypted);
        self.broken = true;
        Ok(None)
    }

    fn decode(&mut self, entry: &Entry<'a>, data: &[u8]) -> Result<Content, Stop> {
        let Method::Packed(algorithm) = entry.method else {
            return Ok(self.stored(entry, data));
        };
        let packed = Packed {
            input: data,
            unpacked_len: entry.unpacked_len,
            algorithm,
            solid: entry.solid,
            whole: self.solid || entry.solid,
        };
        let unpacked = self.unrar.unpack(packed, self.sink)?;
        let content = Content::of(unpacked, entry.crc32);
        let fits = content.fits != Some(false) && content.ended == Ended::Whole;
        if !entry.service {
            self.broken = if entry.solid { self.broken || !fits } else { !fits };
        }
        if entry.solid && !fits && self.broken {
            let alone = Packed { solid: false, whole: false, ..packed };
            let unpacked = Unrar::default().unpack(alone, self.sink)?;
            let alone = Content::of(unpacked, entry.crc32);
            if alone.fits == Some(true) || content.bytes.is_empty() {
                return Ok(alone);
            }
        }
        Ok(content)
    }

    fn stored(&mut self, entry: &Entry<'_>, data: &[u8]) -> Content {
        let claimed = entry.unpacked_len.and_then(|len| usize::try_from(len).ok());
        let all = match claimed {
            Some(len) if entry.crypt != Crypt::None => data.get(..len).unwrap_or(data),
            _ => data,
        };
        let cap = usize::try_from(self.sink.child_cap()).unwrap_or(usize::MAX);
        let kept = all.get(..cap).unwrap_or(all);
        let ended = if kept.len() < all.len() { Ended::Capped } else { Ended::Whole };
        let crc32 = crc32fast::hash(kept);
        let fits = entry.crc32.filter(|_| ended == Ended::Whole).map(|wanted| wanted == crc32);
        Content { bytes: kept.to_vec(), crc32, fits, ended, wrong: false }
    }

    fn hand_over(&mut self, entry: &Entry<'_>, content: Content, short: bool) -> Result<(), Stop> {
        let split = entry.split_before || entry.split_after;
        let stored = entry.method == Method::Stored;
        let whole = content.ended == Ended::Whole;
        let proven = whole && content.fits == Some(true);
        if split && !proven {
            self.volume_told = true;
            self.sink.unscanned(&entry.name, Reason::OtherVolume);
            if entry.split_before && !stored {
                return Ok(());
            }
        } else if short && !proven {
            self.sink.unscanned(&entry.name, Reason::Truncated);
        } else if let Some(reason) = content.ended.reason(self.sink) {
            self.sink.unscanned(&entry.name, reason);
        }
        if whole && content.fits == Some(false) && !split {
            self.defect(entry.off, "rar: checksum of a member");
        }
        if content.wrong && !proven && !split {
            self.sink.unscanned(&entry.name, Reason::Damaged("rar: data".into()));
        }
        if content.bytes.is_empty() {
            return Ok(());
        }
        let role = ChildRole::Member;
        self.sink.child(Child { name: &entry.name, data: &content.bytes, role })
    }
}

/// What came out of a member.
struct Content {
    bytes: Vec<u8>,
    crc32: u32,
    /// The checksum is right; none when there is none.
    fits: Option<bool>,
    ended: Ended,
    /// The decoder went on over something that cannot be.
    wrong: bool,
}

impl Content {
    fn of(unpacked: Unpacked, wanted: Option<u32>) -> Self {
        Self {
            fits: wanted.map(|wanted| wanted == unpacked.crc32),
            crc32: unpacked.crc32,
            bytes: unpacked.bytes,
            ended: unpacked.ended,
            wrong: unpacked.wrong.is_some(),
        }
    }
}
