//! Damage does nothing but harm to the object: no panic, no hang, whatever bytes change.

use std::path::Path;

use hf_core::Halt;
use hf_formats::testing::{Recorder, bytes_of_hex};

use super::Random;

const FORMATS: &[&str] = &[
    "zip",
    "rar",
    "arj",
    "lha",
    "alz",
    "egg",
    "arc",
    "zoo",
    "ace",
    "sis",
    "sevenzip",
    "xar",
    "rpm",
    "lzip",
    "lzop",
    "zlib",
    "asar",
    "pyinstaller",
    "squashfs",
    "cramfs",
    "romfs",
    "ext",
    "fat",
    "ntfs",
    "gzip",
    "bzip2",
    "xz",
    "lzma",
    "zstd",
    "lz4",
    "compress",
    "tar",
    "cpio",
    "ar",
    "cryptff",
    "unopened",
    "cab",
    "szdd",
    "kwaj",
    "chm",
    "ishield_cab",
    "ishield_setup",
    "ishield_msi",
    "inno_slice",
    "nsis",
    "autoit",
    "inno",
    "mbr",
    "gpt",
    "apm",
    "iso9660",
    "udf",
    "dmg",
    "hfsplus",
    "hfs",
    "lnk",
    "pyc",
    "java",
    "dex",
    "dotnet",
    "swf",
    "vhd",
    "vhdx",
    "vmdk",
    "qcow",
    "vdi",
    "wim",
];
const MUTANTS: usize = 2000;

#[test]
fn mutants_do_no_harm() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in FORMATS.iter().copied() {
        let format =
            hf_formats::FORMATS.iter().copied().flatten().find(|format| format.name == name);
        let format = format.unwrap_or_else(|| panic!("no format {name}"));
        let seeds = seeds(&root.join(name));
        let began = std::time::Instant::now();
        let mut random = Random(0x9e37_79b9 + u64::try_from(name.len()).unwrap());
        for round in 0..MUTANTS {
            let mut object = seeds[round % seeds.len()].clone();
            mutate(&mut object, &seeds, &mut random);
            let mut recorder = Recorder::default();
            recorder.passwords = vec![b"infected".to_vec()];
            recorder.cap = 1 << 20;
            recorder.polls_left = 20_000;
            let ended = recorder.run(format, &object);
            assert!(!matches!(ended, Err(Halt::Stop(_))), "{name}: mutant {round} took too long");
        }
        println!("{name}: {} ms", began.elapsed().as_millis());
    }
}

fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".in.hex"))
        .collect();
    cases.sort();
    cases.iter().map(|case| bytes_of_hex(&std::fs::read_to_string(case).unwrap())).collect()
}

fn mutate(object: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xfe, 0xff, b'0', b'P'];
    for _ in 0..=random.below(4) {
        let at = random.below(object.len());
        match random.below(7) {
            0 | 1 => object[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            2 => object[at..].iter_mut().take(1).for_each(|byte| *byte = EDGES[random.below(8)]),
            3 => {
                let edge = EDGES[random.below(8)];
                object[at..].iter_mut().take(4).for_each(|byte| *byte = edge);
            }
            4 => object.truncate(at),
            5 => {
                let end = at + random.below(40).min(object.len() - at);
                let part = object[at..end].to_vec();
                let to = random.below(object.len());
                object.splice(to..to, part);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                object.extend_from_slice(&other[from..]);
            }
        }
        if object.is_empty() {
            object.push(0);
        }
    }
}
