//! 7z archives of 7-Zip's own making: each coder, each filter, encrypted, damaged, cut.

use hf_core::FileType;
use hf_formats::testing::Event;

use super::tools::{Folder, check_archive, files, missing, with_files};
use super::{open, unscanned};

const NAMES: [&str; 5] = ["a.txt", "b.bin", "c", "d", "g.exe"];

fn pack(folder: &Folder, setting: &str) -> Vec<u8> {
    let mut arguments = vec!["a", "-bd", "-mmt=1", "-mtm=off"];
    arguments.extend(setting.split_whitespace());
    arguments.push("out.7z");
    arguments.extend(NAMES);
    folder.run("7z", &arguments);
    let archive = folder.read("out.7z");
    folder.run("rm", &["out.7z"]);
    archive
}

#[test]
fn coders() {
    if missing("7z") {
        return;
    }
    let folder = with_files();
    let settings = [
        "-m0=copy",
        "-m0=lzma",
        "-m0=lzma:lc=8:lp=4:pb=0 -ms=off",
        "-m0=lzma:eos",
        "-m0=lzma2 -mx=9",
        "-m0=lzma2 -mx=1 -ms=off -mhc=off",
        "-m0=ppmd:o=32:mem=1m",
        "-m0=ppmd",
        "-m0=bzip2",
        "-m0=deflate",
        "-m0=deflate64",
        "-m0=bcj -m1=lzma",
        "-m0=bcj2 -m1=lzma2 -m2=lzma -m3=lzma -mb0:1 -mb0s1:2 -mb0s2:3",
        "-m0=delta:4 -m1=lzma",
        "-m0=arm -m1=lzma2",
        "-m0=armt -m1=lzma",
        "-m0=arm64 -m1=lzma2",
        "-m0=ppc -m1=bzip2",
        "-m0=sparc -m1=deflate",
        "-m0=ia64 -m1=lzma",
        "-m0=riscv -m1=lzma",
        "-mqs=on -ms=2f",
        "-pinfected",
        "-pinfected -mhe=on",
        "-pinfected -m0=copy",
        "-pinfected -m0=bcj2 -m1=lzma2",
    ];
    for setting in settings {
        check_archive(FileType::SevenZip, &pack(&folder, setting), setting);
    }
}

#[test]
fn locked() {
    if missing("7z") {
        return;
    }
    let folder = with_files();
    for setting in ["-punknown", "-punknown -mhe=on"] {
        let recorder = open(FileType::SevenZip, &pack(&folder, setting));
        assert!(recorder.children().is_empty(), "{setting}");
        assert!(unscanned(&recorder).iter().all(|why| why.contains("encrypted")), "{setting}");
        let named = recorder.events.iter().filter(|event| matches!(event, Event::Member(..)));
        let want = if setting.contains("mhe") { 0 } else { files().len() };
        assert_eq!(named.count(), want, "{setting}");
    }
}

#[test]
fn damaged_headers() {
    if missing("7z") {
        return;
    }
    let folder = with_files();
    for setting in ["-m0=lzma2", "-m0=lzma -mhc=off"] {
        let whole = pack(&folder, setting);
        let want = open(FileType::SevenZip, &whole).children().len();
        for (off, len) in [(8, 4), (12, 8), (12, 20), (20, 8), (28, 4), (8, 24)] {
            let mut archive = whole.clone();
            archive[off..off + len].fill(0xa5);
            let recorder = open(FileType::SevenZip, &archive);
            assert_eq!(recorder.children().len(), want, "{setting}: {off} {len}");
        }
        // The header is gone: what is packed comes out in one piece.
        let recorder = open(FileType::SevenZip, &whole[..whole.len() * 9 / 10]);
        assert!(!recorder.children().is_empty(), "{setting}");
        assert_eq!(unscanned(&recorder).first().map(String::as_str), Some("truncated"));
        let mut behind = whole.clone();
        behind.extend_from_slice(b"behind");
        let recorder = open(FileType::SevenZip, &behind);
        assert_eq!(recorder.children().last().map(|(_, data)| *data), Some(b"behind".as_slice()));
    }
}

#[test]
fn volumes() {
    if missing("7z") {
        return;
    }
    let folder = with_files();
    folder.run("7z", &["a", "-bd", "-v20k", "-m0=copy", "out.7z", "a.txt", "g.exe"]);
    let recorder = open(FileType::SevenZip, &folder.read("out.7z.001"));
    assert_eq!(unscanned(&recorder), ["continues in another volume"]);
}
