//! One entry of a zip: the readings that its headers allow, and what each of them gives.

use hf_core::{FileType, Reason, Sink, Stop};
use memchr::memmem;

use super::crypto::{
    AesCounter, AesField, Cipher, Decrypting, TRADITIONAL_HEADER_LEN, Traditional,
};
use super::header::{CENTRAL, Claims, DESCRIPTOR, LOCAL, field};
use super::method::{self, AES, Content, DEFLATE, STORED};
use crate::bounded::Ended;
use crate::reader::{Reader, size};

/// One way to read an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    method: u16,
    flags: u16,
    encrypted: bool,
    aes: Option<AesField>,
    packed_len: Option<u64>,
    unpacked_len: Option<u64>,
    /// A guess: its failure says nothing.
    pub(super) guess: bool,
    /// A guess about a stored entry whose lengths differ.
    repair: bool,
}

/// What a reading gave.
#[derive(Debug)]
pub(super) enum Fate<'a> {
    /// Content, as far as it came.
    Content(Content<'a>),
    /// Nothing, for this reason.
    Closed(Reason),
}

/// Returns the readings that the headers of an entry allow, each once.
pub(super) fn readings(central: Option<&Claims<'_>>, local: &Claims<'_>) -> Vec<Reading> {
    let mut all: Vec<Reading> = Vec::new();
    let mut add = |reading: Reading| {
        if !all.iter().any(|other| {
            Reading { guess: reading.guess, repair: reading.repair, ..*other } == reading
        }) {
            all.push(reading);
        }
    };
    let claims = central.into_iter().chain([local]);
    let pairs: Vec<_> = claims.map(|claims| (claims, central.unwrap_or(local))).collect();
    for (claims, other) in &pairs {
        add(reading_of(claims, other));
    }
    for (claims, other) in &pairs {
        let plain = reading_of(claims, other);
        if plain.encrypted {
            let method = plain.aes.map_or(plain.method, |aes| aes.method);
            add(Reading { encrypted: false, aes: None, method, guess: true, ..plain }.normalised());
        }
        let (packed_len, unpacked_len) = (claims.packed_len, claims.unpacked_len);
        if plain.method == STORED && packed_len < unpacked_len {
            let guess = Reading { guess: true, repair: true, ..plain };
            add(Reading { method: DEFLATE, ..guess }.normalised());
            add(Reading { packed_len: unpacked_len, ..guess });
        }
    }
    all
}

fn reading_of(claims: &Claims<'_>, other: &Claims<'_>) -> Reading {
    let aes = (claims.method == AES)
        .then(|| field(claims.extra, 0x9901).or_else(|| field(other.extra, 0x9901)))
        .flatten()
        .and_then(AesField::read);
    Reading {
        method: aes.map_or(claims.method, |aes| aes.method),
        flags: claims.flags,
        encrypted: claims.encrypted() || aes.is_some(),
        aes,
        packed_len: claims.packed_len.or(other.packed_len),
        unpacked_len: claims.unpacked_len.or(other.unpacked_len),
        guess: false,
        repair: false,
    }
    .normalised()
}

impl Reading {
    /// Returns how many bytes of the object it needs, as far as that matters to it.
    pub(super) fn claimed_len(&self) -> usize {
        self.packed_len.map_or(0, size)
    }

    /// True for guesses that ClamAV makes and that cost nothing: a stored entry whose two lengths differ.
    pub(super) fn is_repair(&self) -> bool {
        self.guess && self.repair
    }

    /// Drops what does not change the result, so that equal readings compare equal.
    fn normalised(mut self) -> Self {
        self.flags &= match self.method {
            6 => 0x46,
            14 => 0x42,
            _ => 0x40,
        } | 0x2000;
        if method::ends_itself(self.method, self.flags) {
            self.unpacked_len = None;
            if !self.encrypted {
                self.packed_len = None;
            }
        }
        if self.method == STORED {
            self.unpacked_len = None;
        }
        self
    }

    /// Reads an entry whose data starts at the start of `rest`.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn open<'a>(
        &self,
        rest: &'a [u8],
        checks: &Checks,
        passwords: &mut Passwords,
        sink: &mut dyn Sink,
    ) -> Result<Fate<'a>, Stop> {
        if self.encrypted {
            return self.open_encrypted(rest, checks, passwords, sink);
        }
        if !method::known(self.method) {
            return Ok(Fate::Closed(Reason::UnknownMethod(method::name(self.method))));
        }
        if self.method == STORED {
            let len = self.packed_len.or_else(|| Some(stored_len(rest)));
            return Ok(Fate::Content(method::stored(rest, len, sink)));
        }
        let input = match self.packed_len {
            Some(len) => rest.get(..size(len)).unwrap_or(rest),
            None => rest,
        };
        method::unpack_by(self.method, self.flags, input, self.unpacked_len, sink)
            .map(Fate::Content)
    }

    fn open_encrypted<'a>(
        &self,
        rest: &'a [u8],
        checks: &Checks,
        passwords: &mut Passwords,
        sink: &mut dyn Sink,
    ) -> Result<Fate<'a>, Stop> {
        let closed = Fate::Closed(Reason::Encrypted);
        if self.flags & 0x2040 != 0 {
            return Ok(closed);
        }
        let len = self.packed_len.map_or(rest.len(), size);
        let input = rest.get(..len).unwrap_or(rest);
        for idx in 0..passwords.list(sink).len() {
            sink.poll()?;
            let Some(password) = passwords.list(sink).get(idx).cloned() else { break };
            let content = match self.aes {
                Some(aes) => match AesCounter::with_password(&password, input, aes, sink)? {
                    Some((data, cipher)) => Some(self.decrypt(data, cipher, sink)?),
                    None => None,
                },
                None => {
                    let body = input.get(TRADITIONAL_HEADER_LEN..).unwrap_or_default();
                    match Traditional::with_password(&password, input, &checks.bytes) {
                        Some(cipher) => {
                            let content = self.decrypt(body, cipher, sink)?;
                            let fits = |content: &Content<'_>| {
                                checks.fit(content) || checks.plausible(content, self.method)
                            };
                            match content {
                                Some(content) => fits(&content).then_some(Some(content)),
                                None => Some(None),
                            }
                        }
                        None => None,
                    }
                }
            };
            if let Some(content) = content {
                passwords.worked(idx);
                return Ok(match content {
                    Some(mut content) => {
                        content.used = input.len();
                        content.authentic = self.aes.is_some();
                        Fate::Content(content)
                    }
                    None => Fate::Closed(Reason::UnknownMethod(method::name(self.method))),
                });
            }
        }
        Ok(closed)
    }

    /// Unpacks what a cipher gives; none when the method is unknown.
    fn decrypt<'a>(
        &self,
        input: &[u8],
        cipher: impl Cipher,
        sink: &mut dyn Sink,
    ) -> Result<Option<Content<'a>>, Stop> {
        if !method::known(self.method) {
            return Ok(None);
        }
        let input = Decrypting::new(input, cipher);
        method::unpack_by(self.method, self.flags, input, self.unpacked_len, sink).map(Some)
    }
}

/// What an entry's content must agree with.
#[derive(Debug, Default)]
pub(super) struct Checks {
    crcs: Vec<u32>,
    lens: Vec<u64>,
    /// Check bytes of traditional encryption.
    bytes: Vec<u8>,
    /// A data descriptor may say more.
    later: bool,
}

impl Checks {
    /// Collects what the headers say.
    pub(super) fn of<'c>(claims: impl Iterator<Item = &'c Claims<'c>>) -> Self {
        let mut checks = Self::default();
        for claims in claims {
            checks.crcs.extend(claims.crc32);
            checks.lens.extend(claims.unpacked_len);
            checks.bytes.extend(claims.crc32.map(|crc| crc.to_le_bytes()[3]));
            checks.later |= claims.flags & 8 != 0;
            checks.bytes.push(claims.time.to_le_bytes()[1]);
        }
        checks
    }

    /// Adds what the data descriptor behind the content says, when the headers leave it to one.
    pub(super) fn add_descriptor(&mut self, behind: &[u8]) {
        if !self.later {
            return;
        }
        let mut reader = Reader::new(behind);
        if reader.rest().starts_with(&DESCRIPTOR) {
            reader.seek(DESCRIPTOR.len());
        }
        self.crcs.extend(reader.u32_le());
    }

    /// True when the stream ended by itself and its CRC-32 is a known one. AE-2 has none; its code
    /// decides, and where there is only zero the length.
    pub(super) fn fit(&self, content: &Content<'_>) -> bool {
        let right = content.authentic || self.crc_fits(content) || self.no_crc_but_len(content);
        content.ended == Ended::Whole && right
    }

    /// True when a CRC-32 is known and is that of the content.
    pub(super) fn crc_fits(&self, content: &Content<'_>) -> bool {
        self.crcs.contains(&content.crc32)
    }

    /// True when a wrong password could hardly have given this, though the CRC-32 is not a known one: a
    /// stream with rules of its own broke none, and has the right length or was cut.
    fn plausible(&self, content: &Content<'_>, method: u16) -> bool {
        let len = u64::try_from(content.bytes.len()).unwrap_or(u64::MAX);
        let unbroken = match content.ended {
            Ended::Whole => self.lens.contains(&len),
            Ended::Truncated | Ended::Capped => len > 0,
            Ended::Memory | Ended::Damaged(_) => false,
        };
        unbroken && method::ends_itself(method, 0)
    }

    fn no_crc_but_len(&self, content: &Content<'_>) -> bool {
        let len = u64::try_from(content.bytes.len()).unwrap_or(u64::MAX);
        self.crcs.iter().all(|crc| *crc == 0) && self.lens.iter().all(|known| *known == len)
    }
}

/// The passwords to try, the one that worked last first.
#[derive(Debug, Default)]
pub(super) struct Passwords(Option<Vec<Vec<u8>>>);

impl Passwords {
    pub(super) fn list(&mut self, sink: &dyn Sink) -> &[Vec<u8>] {
        self.0.get_or_insert_with(|| sink.passwords(FileType::Zip))
    }

    pub(super) fn worked(&mut self, idx: usize) {
        if let Some(first) = self.0.as_mut().and_then(|list| list.get_mut(..=idx)) {
            first.rotate_right(1);
        }
    }
}

/// Returns the length of a stored member that no header tells: up to a data descriptor that says just
/// that, or to the next record.
fn stored_len(rest: &[u8]) -> u64 {
    let fits = |at: usize| {
        let mut descriptor = Reader::at(rest, at.saturating_add(8));
        descriptor.u32_le().is_ok_and(|len| size(u64::from(len)) == at)
    };
    let end = memmem::find_iter(rest, b"PK").find(|at| {
        let record = rest.get(*at..).unwrap_or_default();
        record.starts_with(&LOCAL)
            || record.starts_with(&CENTRAL)
            || (record.starts_with(&DESCRIPTOR) && fits(*at))
    });
    u64::try_from(end.unwrap_or(rest.len())).unwrap_or(u64::MAX)
}
