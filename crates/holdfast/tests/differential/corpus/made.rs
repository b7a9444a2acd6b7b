//! Objects made here, out of pieces of the real ones: executables, mails, archives, documents.

mod archives;
mod executables;
mod texts;
mod tools;

use hf_formats::testing_docs::{CfbBuilder, PdfBuilder, ole10_native, vba_document, zlib_stored};

use super::{Corpus, From, target_of};
use crate::rng::Rng;

pub(super) fn build(corpus: &mut Corpus, from: From, rng: &mut Rng) {
    executables::build(corpus, rng);
    texts::build(corpus, rng);
    documents(corpus, rng);
    others(corpus, rng);
    archives::build(corpus, rng);
    if from == From::Machine {
        tools::build(corpus, rng);
    }
}

/// Returns some bytes of a real file, but not of an archive: members that are cut off are opened by us in more cases
/// (`docs/compatibility.md`).
fn chunk(corpus: &Corpus, rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut file = rng.pick(&corpus.files);
    while file.starts_with(b"PK") || file.starts_with(&[0x1f, 0x8b]) {
        file = rng.pick(&corpus.files);
    }
    let len = len.min(file.len());
    let at = rng.below(file.len() - len + 1);
    file[at..at + len].to_vec()
}

/// Returns words, for places that need text.
fn words(corpus: &Corpus, rng: &mut Rng, len: usize) -> String {
    let texts: Vec<_> = corpus.pieces.iter().filter(|piece| piece.target == 7).collect();
    if texts.is_empty() {
        return "the quick brown fox jumps over the lazy dog ".repeat(len / 44 + 1);
    }
    let text = &rng.pick(&texts).bytes;
    let len = len.min(text.len());
    let at = rng.below(text.len() - len + 1);
    let text = String::from_utf8_lossy(&text[at..at + len]).into_owned();
    text.replace(['<', '>', '&', '=', '%', '(', ')', '\\', '"', '\''], " ")
}

fn documents(corpus: &mut Corpus, rng: &mut Rng) {
    for idx in 0..3 {
        let (one, two) = (chunk(corpus, rng, 900), chunk(corpus, rng, 6000));
        let file = CfbBuilder::new()
            .stream("WordDocument", &one)
            .stream("Data", &two)
            .stream("Pool/\u{1}Ole10Native", &ole10_native("a.bin", &two[..two.len() / 2]))
            .build();
        corpus.add(&format!("made-{idx}.ole"), &file);
        corpus.piece(&one, &["CL_TYPE_MSOLE2"]);
        corpus.piece(&two, &["CL_TYPE_MSOLE2"]);
    }
    for idx in 0..2 {
        let (one, two) = (words(corpus, rng, 400), words(corpus, rng, 300));
        let first =
            format!("Attribute VB_Name = \"One\"\r\nSub  AutoOpen()\r\n\t' {one}\r\nEnd Sub\r\n");
        let second = format!("X = \"{two}\" & _\r\n  Chr(65)\r\n");
        let file = vba_document(&[("One", &first), ("Two", &second)]).build();
        corpus.add(&format!("made-vba-{idx}.doc"), &file);
        corpus.piece(one.as_bytes(), &["CL_TYPE_MSOLE2"]);
        corpus.piece(two.as_bytes(), &["CL_TYPE_MSOLE2"]);
    }
    for idx in 0..2 {
        let (text, data) = (words(corpus, rng, 500), chunk(corpus, rng, 3000));
        let file = PdfBuilder::new()
            .object(1, "<< /Type /Catalog /Names 4 0 R >>")
            .stream(2, "/Filter /FlateDecode", &zlib_stored(text.as_bytes()))
            .stream(3, "/Type /EmbeddedFile /Filter /FlateDecode", &zlib_stored(&data))
            .object(4, "<< /S /JavaScript /JS (app.alert 1) >>")
            .build();
        corpus.add(&format!("made-{idx}.pdf"), &file);
        corpus.piece(text.as_bytes(), &["CL_TYPE_PDF"]);
        corpus.piece(&data, &["CL_TYPE_PDF"]);
    }
}

/// Objects of the remaining targets, and sizes at the edges.
fn others(corpus: &mut Corpus, rng: &mut Rng) {
    let junk = rng.bytes(5000);
    corpus.add("made-junk.bin", &[&[0, 1, 2, 3][..], &junk].concat());
    let flash = [b"FWS\x08".as_slice(), &3000u32.to_le_bytes(), &chunk(corpus, rng, 3000)].concat();
    corpus.add("made.swf", &flash);
    let class = [&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0x34][..], &chunk(corpus, rng, 2000)].concat();
    corpus.add("made.class", &class);
    for len in [0usize, 1, 5, 6, 7, 8] {
        corpus.write(&format!("made-{len}-bytes"), &b"ABCDEFGH"[..len]);
    }
    let large = [chunk(corpus, rng, 70_000), rng.bytes(131_072), chunk(corpus, rng, 70_000)];
    let large = large.concat();
    // Pages and mails far behind the start are found by other rules (`docs/compatibility.md`).
    let lower = large.to_ascii_lowercase();
    let has = |word: &[u8]| lower.windows(word.len()).any(|at| at == word);
    if target_of(&large) == 14 && !has(b"<html") && !has(b"<head") && !has(b"mime-version") {
        corpus.add("made-large.bin", &large);
    }
}
