//! Files that are the same on every machine: the project's inert fixtures and samples, and generated ones.
//!
//! They stand for the files of a machine (`real.rs`) where a run must not depend on what is installed. They are
//! named one by one, so that a new fixture or sample does not change the rounds.

use std::path::Path;

use super::Corpus;
use crate::rng::Rng;

/// Inert fixtures of formats, but not those in which we find more (`docs/compatibility.md`), nor executables that
/// clamscan gives up on: there it takes offsets from the object before.
const FIXTURES: &[&str] = &[
    "binhex/forks",
    "cpio/odc",
    "elf/tiny-32-be",
    "elf/tiny-64-le",
    "gzip/two-members",
    "html/page",
    "html/utf16",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/tiff-be",
    "macho/tiny-32-be",
    "macho/tiny-64",
    "macho_universal/two-slices",
    "ole2/streams",
    "pdf/revisions",
    "pe/imports-64",
    "pe/one-section",
    "pe/overlay",
    "rtf/package",
    "swf/plain",
    "swf/zlib",
    "tar/ustar",
    "text/utf16",
    "xz/two-streams-padded",
    "zip/method-bzip2",
    "zip/method-deflate64",
    "zip/plain",
];

/// Inert samples of the built-in content, of which a round takes some.
const SAMPLES: &[&str] = &[
    "Holdfast.Aspx.Webshell.ProcessStart-1",
    "Holdfast.Bat.Downloader.Bitsadmin-1",
    "Holdfast.Hta.Downloader.WshRun-1",
    "Holdfast.Html.Ransom.Note-1",
    "Holdfast.Js.Npm.EnvExfil-1",
    "Holdfast.Jsp.Webshell.ClassLoader-1",
    "Holdfast.Linux.Botnet.PerlIrc-1",
    "Holdfast.Linux.Dropper.ManyArchs-1",
    "benign/html-login-form",
    "benign/js-payment-form",
    "benign/linux-installer",
    "benign/php-shell-article",
    "benign/pypi-setup",
    "benign/python-ssh-deploy",
    "benign/shell-cheat-sheet",
    "benign/text-ransom-article",
];

pub(super) fn collect(corpus: &mut Corpus, rng: &mut Rng) {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in FIXTURES {
        let path = crates.join("hf-formats/tests/fixtures").join(format!("{name}.in.hex"));
        let text = std::fs::read_to_string(&path).expect("each fixture is there");
        let bytes = hf_formats::testing::bytes_of_hex(&text);
        corpus.add(&format!("fixture-{}", name.replace('/', "-")), &bytes);
    }
    for name in SAMPLES {
        if rng.percent(50) {
            let path = crates.join("../content/samples").join(format!("{name}.txt"));
            let text = std::fs::read_to_string(&path).expect("each sample is there");
            let (_, body) = text.split_once("\n\n").expect("a sample has a header");
            let mut bytes = hf_formats::testing::bytes_of_hex(body);
            bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
            corpus.add(&format!("sample-{}", name.replace('/', "-")), &bytes);
        }
    }
    generated(corpus, rng);
}

fn generated(corpus: &mut Corpus, rng: &mut Rng) {
    for idx in 0..6 {
        let len = rng.range(400, 20_000);
        let text = prose(rng, len);
        corpus.add(&format!("own-{idx}.txt"), text.as_bytes());
    }
    for idx in 0..3 {
        let len = rng.range(600, 9000);
        let text = source(rng, len);
        corpus.add(&format!("own-{idx}.py"), text.as_bytes());
    }
    for idx in 0..3 {
        let page = page(rng);
        corpus.add(&format!("own-{idx}.html"), page.as_bytes());
    }
    for idx in 0..5usize {
        let len = rng.range(500, 30_000);
        let code = code(rng, len);
        let (is_64, is_big_endian) = (idx % 2 == 0, idx == 3);
        let file = hf_formats::testing_exe::tiny_elf(is_64, is_big_endian, &code);
        corpus.add(&format!("own-{idx}.elf"), &file);
    }
    for idx in 0..4 {
        let image = png(rng);
        corpus.add(&format!("own-{idx}.png"), &image);
    }
    for idx in 0..3 {
        let len = rng.range(200, 8000);
        let table = records(rng, len);
        corpus.add(&format!("own-{idx}.dat"), &table);
    }
}

/// Words of which texts are made.
const WORDS: &[&str] = &[
    "the",
    "a",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "file",
    "files",
    "system",
    "license",
    "copyright",
    "software",
    "library",
    "under",
    "version",
    "program",
    "source",
    "code",
    "you",
    "may",
    "not",
    "use",
    "without",
    "warranty",
    "any",
    "kind",
    "either",
    "express",
    "implied",
    "http",
    "www.example.org",
    "option",
    "options",
    "value",
    "values",
    "default",
    "number",
    "list",
    "directory",
    "network",
    "server",
    "client",
    "memory",
    "process",
    "signal",
    "window",
    "kernel",
    "output",
    "input",
    "string",
    "pattern",
    "match",
    "matches",
    "object",
    "returns",
    "called",
    "should",
    "must",
    "when",
    "where",
    "which",
    "there",
    "this",
    "these",
    "with",
    "from",
    "between",
    "MERCHANTABILITY",
    "GNU",
    "README",
    "2019",
    "2024",
    "x86_64",
    "0x1f",
    "e.g.",
    "foo",
    "bar",
    "underscore_name",
    "CamelCase",
    "it's",
    "don't",
    "(optional)",
    "\"quoted\"",
    "--verbose",
    "-f",
];

fn prose(rng: &mut Rng, len: usize) -> String {
    let (mut text, mut column) = (String::new(), 0);
    while text.len() < len {
        let word = *rng.pick(WORDS);
        text.push_str(word);
        let end: &str = rng.pick::<&str>(&["", "", "", "", "", "", ",", ".", ":", ";"]);
        text.push_str(end);
        column += word.len() + 1;
        if column > 68 {
            let end: &str = rng.pick::<&str>(&["\n", "\n", "\n    ", "\n\n", "\r\n", " \n\t"]);
            text.push_str(end);
            column = 0;
        } else {
            let end: &str = rng.pick::<&str>(&[" ", " ", " ", " ", " ", "  "]);
            text.push_str(end);
        }
    }
    text
}

fn source(rng: &mut Rng, len: usize) -> String {
    let mut text = String::from("#!/usr/bin/python3\n# -*- coding: utf-8 -*-\n");
    while text.len() < len {
        let (one, two, three) = (name(rng), name(rng), name(rng));
        let number = rng.below(5000);
        text.push_str(&match rng.below(6) {
            0 => format!("import {one}\nfrom {two} import {three} as {one}\n\n"),
            1 => format!("def {one}({two}, {three}={number}):\n    return {two} + {three}\n\n"),
            2 => format!("    if {one} == '{two}':\n        {three}.append({number:#x})\n"),
            3 => format!("{one} = [{number}, \"{two}\", None]  # {three}\n"),
            4 => format!("    for {one} in range({number}):\n        print({two}[{one}])\n"),
            _ => format!("class {one}({two}):\n    \"\"\"{}\"\"\"\n", prose(rng, 120)),
        });
    }
    text
}

fn name(rng: &mut Rng) -> String {
    let plain = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let words: Vec<_> = WORDS.iter().filter(plain).collect();
    format!("{}_{}", rng.pick(&words), rng.pick(&words))
}

fn page(rng: &mut Rng) -> String {
    let mut text =
        format!("<!DOCTYPE html>\n<html><head><title>{}</title></head><body>\n", name(rng));
    for _ in 0..rng.range(3, 12) {
        let len = rng.range(80, 700);
        // Words of plain letters only: what the copies of HTML make of others is tested elsewhere.
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { ' ' };
        let words: String = prose(rng, len).chars().map(plain).collect();
        let tag = *rng.pick(&["p", "div", "H2", "li", "td"]);
        text.push_str(&format!("<{tag} class=\"{}\">{words}</{tag}>\n", name(rng)));
    }
    text + "</body></html>\n"
}

/// Returns what looks like machine code with strings and tables between.
fn code(rng: &mut Rng, len: usize) -> Vec<u8> {
    const OPCODES: &[&[u8]] = &[
        &[0x55, 0x48, 0x89, 0xe5],
        &[0x48, 0x83, 0xec],
        &[0xe8],
        &[0x0f, 0x84],
        &[0x0f, 0x1f, 0x44, 0, 0],
        &[0x48, 0x8b, 0x05],
        &[0x48, 0x8d, 0x3d],
        &[0x31, 0xc0],
        &[0xc3, 0x90, 0x90, 0x90],
        &[0x8b, 0x45],
        &[0xff, 0x15],
        &[0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc],
    ];
    let mut code = Vec::new();
    while code.len() < len {
        match rng.below(40) {
            0 => code.extend(prose(rng, 60).bytes()),
            1 => code.resize(code.len() + rng.below(60), 0),
            2 => {
                for word in 0..rng.below(20) {
                    code.extend(u32::try_from(0x40_1000 + word * 0x24).unwrap_or(0).to_le_bytes());
                }
            }
            3 => {
                let wide = format!("{}.dll\0", name(rng));
                code.extend(wide.bytes().flat_map(|byte| [byte, 0]));
            }
            _ => {
                code.extend_from_slice(rng.pick::<&[u8]>(OPCODES));
                let len = rng.below(5);
                code.extend(rng.bytes(len));
            }
        }
    }
    code.truncate(len);
    code
}

/// Returns records of fixed length, as in tables of data.
fn records(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut table = vec![0xde, 0x12, 0x04, 0x95, 0, 0, 0, 0];
    while table.len() < len {
        let id = u32::try_from(table.len()).unwrap_or(0);
        table.extend(id.to_le_bytes());
        table.extend(name(rng).bytes());
        table.extend([0, rng.byte(), rng.byte(), 0xff, 0xff]);
    }
    table
}

/// Returns a grey picture of soft slopes.
fn png(rng: &mut Rng) -> Vec<u8> {
    let (width, height) = (rng.range(20, 90), rng.range(20, 90));
    let (right, down, bend) = (rng.range(1, 9), rng.range(1, 9), rng.range(3, 40));
    let mut rows = Vec::new();
    for y in 0..height {
        rows.push(0);
        for x in 0..width {
            let level = x * right + y * down + (x * y) / bend;
            rows.push(level.to_le_bytes()[0]);
        }
    }
    let side = |len: usize| u32::try_from(len).unwrap_or(0).to_be_bytes();
    let head = [&side(width)[..], &side(height), &[8, 0, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let data = hf_formats::testing_docs::zlib_stored(&rows);
    for (kind, body) in [(b"IHDR", head), (b"IDAT", data), (b"IEND", Vec::new())] {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(&body);
        file.extend([&side(body.len())[..], kind, &body, &crc.sum().to_be_bytes()].concat());
    }
    file
}
