//! The objects that are scanned: files, and files made of their pieces.
//!
//! The files are those of this machine where a seed was asked for. Without one they are the project's own, so that
//! the rounds are the same everywhere.
//!
//! Each object comes with the buffers that a scanner sees inside it ("pieces"), for signatures to be cut
//! from. Pieces only steer the choice of signatures: what is right is what `clamscan` says.

mod made;
mod own;
mod real;

use std::path::{Path, PathBuf};

use crate::rng::Rng;

/// A buffer that is matched somewhere inside an object.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// The target whose signatures meet it, besides 0.
    pub(crate) target: u8,
    /// Words for the objects around it, outermost first (`CL_TYPE_ZIP`).
    pub(crate) around: Vec<&'static str>,
}

/// Something inside an archive.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) container: &'static str,
    pub(crate) name: String,
    pub(crate) size: usize,
    pub(crate) crc32: u32,
}

/// Where files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// This machine's own, and what its programs make of them.
    Machine,
    /// This project: the same everywhere.
    Project,
}

/// What signatures are cut from.
#[derive(Debug, Default)]
pub(crate) struct Corpus {
    pub(crate) root: PathBuf,
    /// Whole files.
    pub(crate) files: Vec<Vec<u8>>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) entries: Vec<Entry>,
    /// Passwords of encrypted archives.
    pub(crate) passwords: Vec<String>,
}

impl Corpus {
    /// Writes all objects below `root`.
    pub(crate) fn build(root: &Path, from: From, rng: &mut Rng) -> Self {
        let mut corpus = Self { root: root.to_owned(), ..Self::default() };
        match from {
            From::Machine => real::collect(&mut corpus, rng),
            From::Project => own::collect(&mut corpus, rng),
        }
        made::build(&mut corpus, from, rng);
        corpus
    }

    fn write(&mut self, name: &str, bytes: &[u8]) {
        std::fs::write(self.root.join(name), bytes).expect("the corpus can be written");
        self.files.push(bytes.to_vec());
    }

    /// Adds a file whose raw bytes are matched.
    fn add(&mut self, name: &str, bytes: &[u8]) {
        self.write(name, bytes);
        self.piece(bytes, &[]);
    }

    /// Adds a buffer, and its normalised form when it is text.
    fn piece(&mut self, bytes: &[u8], around: &[&'static str]) {
        if bytes.len() < 48 {
            return;
        }
        let target = target_of(bytes);
        let around = around.to_vec();
        if target == TEXT {
            let text = normalised(bytes);
            if text.len() >= 48 {
                self.pieces.push(Piece { bytes: text, target: TEXT, around: around.clone() });
            }
        }
        let target = if target == TEXT { 0 } else { target };
        if target == HTML {
            self.words_of_html(bytes, &around);
            return;
        }
        self.pieces.push(Piece { bytes: bytes.to_vec(), target, around });
    }

    /// Plain words between tags look the same in every normalised copy.
    fn words_of_html(&mut self, bytes: &[u8], around: &[&'static str]) {
        let lower: Vec<u8> = bytes.to_ascii_lowercase();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b' ';
        for run in lower.split(|byte| !plain(byte)) {
            let run = String::from_utf8_lossy(run);
            let words = run.split(' ').filter(|word| !word.is_empty());
            let words = words.collect::<Vec<_>>().join(" ").into_bytes();
            if words.len() >= 48 {
                self.pieces.push(Piece { bytes: words, target: HTML, around: around.to_vec() });
            }
        }
    }
}

pub(crate) const HTML: u8 = 3;
pub(crate) const TEXT: u8 = 7;

/// Returns the target of an object by its first bytes (roughly: only for choosing).
pub(crate) fn target_of(bytes: &[u8]) -> u8 {
    let lower = bytes[..bytes.len().min(1024)].to_ascii_lowercase();
    let has = |word: &[u8]| lower.windows(word.len()).any(|at| at == word);
    let table: &[(&[u8], u8)] = &[
        (b"MZ", 1),
        (&[0xd0, 0xcf, 0x11, 0xe0], 2),
        (b"\x89PNG", 5),
        (b"GIF8", 5),
        (&[0xff, 0xd8, 0xff], 5),
        (b"BM", 5),
        (b"\x7fELF", 6),
        (&[0xcf, 0xfa, 0xed, 0xfe], 9),
        (&[0xce, 0xfa, 0xed, 0xfe], 9),
        (b"%PDF-", 10),
        (b"FWS", 11),
        (&[0xca, 0xfe, 0xba, 0xbe], 12),
        (b"From ", 4),
        (b"Received: ", 4),
        (b"PK\x03\x04", 0),
        (&[0x1f, 0x8b], 0),
        (b"BZh", 0),
    ];
    if let Some((_, target)) = table.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return *target;
    }
    if has(b"<html") || has(b"<head") {
        return HTML;
    }
    let control = |byte: &u8| *byte < 7 || *byte == 0x0b || (0x0e..0x1b).contains(byte);
    if lower.iter().any(|byte| control(byte) || *byte == 0x7f) { 14 } else { TEXT }
}

/// Returns text as signatures for target 7 see it.
pub(crate) fn normalised(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in bytes {
        match byte {
            0..=8 | 0x0e..=0x1f | 0x80..=0xff => {}
            9..=13 | b' ' if text.last() == Some(&b' ') => {}
            9..=13 | b' ' => text.push(b' '),
            byte => text.push(byte.to_ascii_lowercase()),
        }
    }
    text
}
