//! Ignore lists across packs: what the lists inside one pack say must hold for packs read after it,
//! even when that pack comes from the cache and its lists are not read again.

use std::fmt::Write as _;

use hf_core::signature::{IgnoreSig, SigMeta};
use hf_pack::{Pack, SectionId};
use hf_sig::IgnoreSet;

/// The rules so far, as a set and as the text that stands for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ignores {
    pub(crate) set: IgnoreSet,
    hasher: blake3::Hasher,
}

impl Ignores {
    /// Adds the rules that a pack has collected.
    pub(crate) fn add_pack(&mut self, pack: &Pack) {
        let text = pack.section(SECTION);
        self.hasher.update(text);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let (md5, name) = line.split_at_checked(MD5_LEN + 1).unwrap_or_default();
            self.set.insert(name, hex_md5(md5));
        }
    }

    /// Returns a digest of all rules.
    pub(crate) fn digest(&self) -> blake3::Hash {
        self.hasher.finalize()
    }
}

/// Rules on their way into a pack: one line each, the MD5 in digits or spaces, a space, the name.
#[derive(Debug, Default)]
pub(crate) struct IgnoreLines(String);

impl IgnoreLines {
    pub(crate) fn push(&mut self, meta: SigMeta<'_>, sig: IgnoreSig) {
        match sig.line_md5 {
            Some(md5) => md5.iter().for_each(|byte| {
                let _ = write!(self.0, "{byte:02x}");
            }),
            None => self.0.push_str(&" ".repeat(MD5_LEN)),
        }
        let _ = writeln!(self.0, " {}", meta.name);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn hex_md5(text: &[u8]) -> Option<[u8; 16]> {
    let mut md5 = [0; 16];
    for (byte, pair) in md5.iter_mut().zip(text.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(md5)
}

const MD5_LEN: usize = 32;

/// The rules in a pack.
pub(crate) const SECTION: SectionId = SectionId::CONTENT_BASE;
