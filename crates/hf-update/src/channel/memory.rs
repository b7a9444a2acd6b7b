//! What a channel's source remembers: trusted metadata, what quorum and logs have shown, and the last
//! manifest with its proofs, so that everything can be verified again without a network.
//!
//! Each file is replaced as a whole. A damaged one is an error that says so, never taken for a missing one
//! where that would lose protection; TUF metadata alone are fetched again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hf_channel::{Changes, Digest, Manifest};
use hf_trust::Time;
use hf_trust::quorum::{Accepted, Offer, State, verify};
use hf_trust::tuf::{Envelope, Role, Stored, Targets, Trusted};

use super::{Channel, Refusal};
use crate::store::write_whole;

/// The folder in which a channel's source remembers things.
#[derive(Debug, Clone)]
pub struct Memory {
    dir: PathBuf,
}

/// A manifest with its proofs; both as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The manifest.
    pub manifest: Vec<u8>,
    /// Statements and proofs.
    pub proofs: Vec<u8>,
}

/// What is remembered cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct MemoryError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: std::io::Error,
}

/// Ours: no file here is longer.
const LEN_MAX: u64 = 64 << 20;

impl Memory {
    /// Opens the folder, which is made if it is missing.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(dir: &Path) -> Result<Self, MemoryError> {
        let memory = Self { dir: dir.to_owned() };
        for folder in ["tuf/roots", "parts", "releases"] {
            let path = dir.join(folder);
            fs::create_dir_all(&path).map_err(|kind| MemoryError { path, kind })?;
        }
        Ok(memory)
    }

    /// Returns what TUF trusted last; the owner's root at first.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn trusted(&self, first_root: &[u8]) -> Result<Trusted, MemoryError> {
        let root = self.read("tuf/root.json")?.unwrap_or_else(|| first_root.to_vec());
        let mut local = BTreeMap::new();
        for role in ["timestamp", "snapshot", "targets"] {
            if let Some(bytes) = self.read(&format!("tuf/{role}.json"))? {
                local.insert(role.to_owned(), bytes);
            }
        }
        let targets =
            local.get("targets").map(|bytes| Envelope::<Targets>::parse(&Role::Targets, bytes));
        let delegations = targets.and_then(|file| file.ok()?.signed.delegations);
        for role in delegations.into_iter().flat_map(|delegations| delegations.roles) {
            if let Some(bytes) = self.trusted_role(&role.name)? {
                local.insert(role.name, bytes);
            }
        }
        Ok(Trusted { root, local })
    }

    /// Remembers a metadata file that TUF trusts.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set_trusted(&self, stored: &Stored) -> Result<(), MemoryError> {
        let (role, bytes) = (stored.role.name(), &stored.bytes);
        if stored.role == Role::Root {
            self.write(&format!("tuf/roots/{}.json", stored.version), bytes)?;
        }
        self.write(&format!("tuf/{}.json", hf_channel::layout::file_name(role)), bytes)
    }

    /// Returns a root of this version, when it was trusted once.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn root(&self, version: u64) -> Result<Option<Vec<u8>>, MemoryError> {
        self.read(&format!("tuf/roots/{version}.json"))
    }

    /// Returns the metadata of a role that was trusted last.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn trusted_role(&self, role: &str) -> Result<Option<Vec<u8>>, MemoryError> {
        self.read(&format!("tuf/{}.json", hf_channel::layout::file_name(role)))
    }

    /// Returns when a release was accepted last.
    #[must_use]
    pub fn accepted_at(&self) -> Option<Time> {
        let bytes = self.read("accepted_at").ok().flatten()?;
        Time::parse(std::str::from_utf8(&bytes).ok()?)
    }

    /// Returns what quorum and logs have shown.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn state(&self) -> Result<State, MemoryError> {
        let name = "quorum.json";
        let Some(bytes) = self.read(name)? else { return Ok(State::default()) };
        State::parse(&bytes).map_err(|err| self.error(name, std::io::Error::other(err.to_string())))
    }

    /// Remembers a release that was accepted: first its proofs, then what follows from them.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn accept(
        &self,
        accepted: &Accepted,
        manifest: &[u8],
        bundle: &[u8],
        timestamp: &Digest,
        now: Time,
    ) -> Result<(), MemoryError> {
        let release = accepted.statement.release;
        self.write(&format!("releases/{release}.manifest.json"), manifest)?;
        self.write(&format!("releases/{release}.proofs.json"), bundle)?;
        self.write("manifest.json", manifest)?;
        self.write("proofs.json", bundle)?;
        self.write("quorum.json", &accepted.state.to_bytes())?;
        self.write("fresh_until", accepted.fresh_until.to_string().as_bytes())?;
        self.write("accepted_at", now.to_string().as_bytes())?;
        self.write("accepted", timestamp.to_string().as_bytes())?;
        self.forget_old(release);
        Ok(())
    }

    /// Returns the digest of the `timestamp.json` under which a release was accepted last.
    #[must_use]
    pub fn accepted_under(&self) -> Option<Digest> {
        let bytes = self.read("accepted").ok().flatten()?;
        std::str::from_utf8(&bytes).ok()?.parse().ok()
    }

    /// Keeps the proofs of the last releases only.
    fn forget_old(&self, newest: u64) {
        for entry in fs::read_dir(self.dir.join("releases")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.split('.').next()?.parse::<u64>().ok());
            if number.is_none_or(|number| number.saturating_add(RELEASES_KEPT) <= newest) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Returns up to when somebody vouches for what was accepted last.
    #[must_use]
    pub fn fresh_until(&self) -> Option<Time> {
        let bytes = self.read("fresh_until").ok().flatten()?;
        Time::parse(std::str::from_utf8(&bytes).ok()?)
    }

    /// Returns the manifest that was accepted last, and its proofs.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn last(&self) -> Result<Option<Kept>, MemoryError> {
        let (manifest, proofs) = (self.read("manifest.json")?, self.read("proofs.json")?);
        Ok(manifest.zip(proofs).map(|(manifest, proofs)| Kept { manifest, proofs }))
    }

    /// Returns the digest of the manifest that was accepted last.
    #[must_use]
    pub fn last_digest(&self) -> Option<Digest> {
        let bytes = self.read("manifest.json").ok().flatten()?;
        Some(Digest::of(&bytes))
    }

    /// Returns the manifests that are still here with their proofs, oldest first.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn releases(&self) -> Result<Vec<Kept>, MemoryError> {
        let folder = self.dir.join("releases");
        let mut numbers: Vec<u64> = fs::read_dir(&folder)
            .map_err(|kind| MemoryError { path: folder, kind })?
            .flatten()
            .filter_map(|entry| {
                entry.file_name().to_str()?.strip_suffix(".manifest.json")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        let mut found = Vec::new();
        for number in numbers {
            let manifest = self.read(&format!("releases/{number}.manifest.json"))?;
            let proofs = self.read(&format!("releases/{number}.proofs.json"))?;
            found.extend(manifest.zip(proofs).map(|(manifest, proofs)| Kept { manifest, proofs }));
        }
        Ok(found)
    }

    /// Remembers what a release changed.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set_changes(&self, release: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        self.write(&format!("releases/{release}.changes.jsonl"), bytes)
    }

    /// Returns what a release changed, if it is remembered and readable.
    #[must_use]
    pub fn changes(&self, release: u64) -> Option<Changes> {
        let bytes = self.read(&format!("releases/{release}.changes.jsonl")).ok()??;
        Changes::read(&bytes[..]).ok()
    }

    /// Returns the manifest whose files were offered last.
    #[must_use]
    pub fn offered(&self) -> Option<Manifest> {
        Manifest::parse(&self.read("offered.json").ok().flatten()?).ok()
    }

    /// Remembers the manifest whose files are offered.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set_offered(&self, manifest: &[u8]) -> Result<(), MemoryError> {
        self.write("offered.json", manifest)
    }

    /// Returns the folder for parts of downloads.
    #[must_use]
    pub fn parts(&self) -> PathBuf {
        self.dir.join("parts")
    }

    /// Verifies what was accepted last once more, without a network; none when nothing was.
    ///
    /// # Errors
    /// It is not believed any more: the owner's policy may have changed.
    pub fn recheck(
        &self,
        channel: &Channel,
        now: Time,
    ) -> Result<Option<(Accepted, Vec<u8>)>, Refusal> {
        let Some(Kept { manifest, proofs }) = self.last()? else { return Ok(None) };
        let digest = Digest::of(&manifest);
        let offer = Offer {
            set: &channel.set,
            manifest: Some(digest.0),
            bundle: &proofs,
            consistency: &[],
        };
        let accepted = verify(&channel.policy, &self.state()?, &offer, now)?;
        Ok(Some((accepted, manifest)))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, MemoryError> {
        let path = self.dir.join(name);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(kind) => return Err(MemoryError { path, kind }),
        };
        let mut bytes = Vec::new();
        match file.take(LEN_MAX).read_to_end(&mut bytes) {
            Ok(_) => Ok(Some(bytes)),
            Err(kind) => Err(MemoryError { path, kind }),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), MemoryError> {
        let path = self.dir.join(name);
        write_whole(&path, bytes).map_err(|kind| MemoryError { path, kind })
    }

    fn error(&self, name: &str, kind: std::io::Error) -> MemoryError {
        MemoryError { path: self.dir.join(name), kind }
    }
}

/// Ours: a year of days.
const RELEASES_KEPT: u64 = 400;
