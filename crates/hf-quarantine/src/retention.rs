//! How long and how much the vault keeps. Nothing goes unless the owner asked for a limit, and nothing goes unsaid.

use crate::entry::EntryError;
use crate::record::{Id, Record};
use crate::vault::{Vault, VaultError};

/// Limits of the vault; none means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Seconds that an entry is kept.
    pub max_age_s: Option<u64>,
    /// Bytes of all entries on disk; the oldest go first.
    pub max_bytes: Option<u64>,
}

/// Why an entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is older than the limit.
    Age,
    /// All together are larger than the limit.
    Size,
}

/// An entry beyond the limits.
#[derive(Debug)]
pub struct Expiry {
    /// The entry.
    pub id: Id,
    /// Its record, if it can be read.
    pub record: Option<Record>,
    /// Why it goes.
    pub why: Why,
}

impl Vault {
    /// Returns the entries beyond the limits, oldest first; `now` in seconds since 1970. The caller tells them and
    /// deletes them.
    ///
    /// # Errors
    /// The vault cannot be read.
    pub fn expired(&self, limits: &Retention, now: u64) -> Result<Vec<Expiry>, VaultError> {
        let ids = self.ids()?;
        let lens: Vec<u64> = ids.iter().map(|id| self.stored_len(*id)).collect();
        let mut left = lens.iter().fold(0u64, |sum, len| sum.saturating_add(*len));
        let mut expired = Vec::new();
        for (id, len) in ids.into_iter().zip(lens) {
            // The name tells the second in which it was taken.
            let age = now.saturating_sub(id.0 >> 32);
            let why = if limits.max_age_s.is_some_and(|max| age > max) {
                Why::Age
            } else if limits.max_bytes.is_some_and(|max| left > max) {
                Why::Size
            } else {
                continue;
            };
            left = left.saturating_sub(len);
            let record = self.reader(id).map(|reader| reader.record).ok();
            expired.push(Expiry { id, record, why });
        }
        Ok(expired)
    }

    /// Deletes an entry that [`Vault::expired`] named; one that is gone already is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn expire(&self, expiry: &Expiry) -> Result<(), EntryError> {
        match self.delete(expiry.id) {
            Err(EntryError::NotFound) => Ok(()),
            done => done,
        }
    }
}
