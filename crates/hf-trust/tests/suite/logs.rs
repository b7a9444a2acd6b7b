//! Logs against independent implementations: `vectors/` tells how each vector was made.

use crate::actors::{Key, Tree};
use std::collections::BTreeSet;

use hf_trust::Time;
use hf_trust::log::merkle::{self, Hash, Nodes};
use hf_trust::log::tile::{BadTile, TileNodes, TileSource};
use hf_trust::log::verifier::SignatureError;
use hf_trust::log::{AddCheckpoint, Checkpoint, LogProof, Note, Tile, Verifier, VerifierKind};
use hf_trust::text::{from_base64, hash_from_hex, to_hex};
use sha2::{Digest as _, Sha256};

const VECTORS: &str = include_str!("vectors/vectors.txt");
const COSIGNATURES: &str = include_str!("vectors/cosignatures.txt");

fn tree() -> Tree {
    let mut tree = Tree::default();
    for number in 0..66_000 {
        tree.push(format!("entry {number}").as_bytes());
    }
    tree
}

/// Reads tiles out of a tree, and remembers what was asked for.
#[derive(Clone)]
struct Tiles(Tree);

impl TileSource for Tiles {
    type Error = BadTile;

    fn tile(&mut self, tile: Tile) -> Result<Vec<u8>, BadTile> {
        let first = tile.index * 256;
        let hashes = (first..first + u64::from(tile.width))
            .map(|index| self.0.node(tile.level * 8, index).map_err(|()| BadTile));
        Ok(hashes.collect::<Result<Vec<Hash>, _>>()?.concat())
    }
}

fn hashes(words: &[&str]) -> Vec<Hash> {
    let words = words.iter().filter(|word| !word.is_empty());
    words.map(|word| hash_from_hex(word).expect("a hash")).collect()
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

#[test]
fn trees_and_proofs_are_those_of_go() {
    let mut tree = tree();
    let mut tiles = TileNodes { source: Tiles(tree.clone()), size: 0 };
    let mut seen = 0;
    for line in VECTORS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["root", size, root] => {
                assert_eq!(to_hex(&tree.root(number(size))), *root, "{line}");
            }
            ["inclusion", size, index, proof @ ..] => {
                let (size, index, proof) = (number(size), number(index), hashes(proof));
                assert_eq!(merkle::prove_inclusion(&mut tree, index, size), Ok(proof.clone()));
                tiles.size = size;
                assert_eq!(merkle::prove_inclusion(&mut tiles, index, size), Ok(proof.clone()));
                let leaf = merkle::leaf_hash(format!("entry {index}").as_bytes());
                let root = tree.root(size);
                let check = |index, size, root, proof: &[Hash]| {
                    merkle::verify_inclusion(&leaf, index, size, root, proof)
                };
                assert_eq!(check(index, size, &root, &proof), Ok(()), "{line}");
                assert!(check(index + 1, size, &root, &proof).is_err());
                assert!(check(index, size, &[0; 32], &proof).is_err());
                let longer = [proof.clone(), vec![[0; 32]]].concat();
                assert!(check(index, size, &root, &longer).is_err());
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(check(index, size, &root, shorter).is_err());
                }
            }
            ["consistency", old, new, proof @ ..] => {
                let (old, new, proof) = (number(old), number(new), hashes(proof));
                assert_eq!(merkle::prove_consistency(&mut tree, old, new), Ok(proof.clone()));
                tiles.size = new;
                assert_eq!(merkle::prove_consistency(&mut tiles, old, new), Ok(proof.clone()));
                let (one, two) = (tree.root(old), tree.root(new));
                let check = |old, new, proof: &[Hash]| merkle::verify_consistency(old, new, proof);
                assert_eq!(check((old, &one), (new, &two), &proof), Ok(()), "{line}");
                assert!(check((old, &two), (new, &two), &proof).is_err());
                assert!(check((old, &one), (new, &one), &proof).is_err());
                assert!(check((new, &one), (old, &two), &proof).is_err());
                let longer = [proof.clone(), vec![[0; 32]]].concat();
                assert!(check((old, &one), (new, &two), &longer).is_err());
                let shorter = proof.get(1..).unwrap_or_default();
                assert!(check((old, &one), (new, &two), shorter).is_err());
            }
            ["tile", level, index, width, sha256] => {
                let level = level.parse().expect("a level");
                let tile = Tile::of_log(level, number(index), 66_000).expect("a tile");
                assert_eq!(tile.width.to_string(), *width);
                let bytes = Tiles(tree.clone()).tile(tile).expect("its bytes");
                assert_eq!(to_hex(&Sha256::digest(bytes)), *sha256, "{line}");
            }
            ["tilepath", index, path] => {
                let tile = Tile { level: 0, index: number(index), width: 256 };
                assert_eq!(tile.path(), *path);
            }
            _ => continue,
        }
        seen += 1;
    }
    assert!(seen > 350, "{seen}");
}

/// What was written for the old size and what is new make up all tiles of the new size.
#[test]
fn new_tiles_are_all_that_is_missing() {
    let sizes = [0, 1, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, 70_000, 16_777_216];
    for (idx, old) in sizes.iter().enumerate() {
        for new in &sizes[idx..] {
            let (before, more) = (Tile::new_in(0, *old), Tile::new_in(*old, *new));
            assert!(more.iter().all(|tile| !before.contains(tile)), "{old} {new}");
            let both: BTreeSet<Tile> = before.into_iter().chain(more).collect();
            assert!(Tile::new_in(0, *new).iter().all(|tile| both.contains(tile)), "{old} {new}");
        }
    }
    let paths: Vec<String> = Tile::new_in(256, 70_000).iter().map(|tile| tile.path()).collect();
    assert_eq!(paths.len(), 272 + 1 + 2 + 1);
    for path in
        ["tile/0/001", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]
    {
        assert!(paths.iter().any(|got| got == path), "{path}");
    }
}

#[test]
fn notes_are_those_of_go() {
    let keys: Vec<Verifier> = VECTORS
        .lines()
        .filter_map(|line| line.strip_prefix("vkey "))
        .map(|vkey| {
            let key = Verifier::parse(vkey).expect("a key");
            assert_eq!(key.to_string(), vkey);
            key
        })
        .collect();
    let notes = VECTORS.lines().filter_map(|line| line.strip_prefix("note "));
    let mut seen = 0;
    for bytes in notes.map(|note| from_base64(note).expect("base64")) {
        seen += 1;
        let note = Note::parse(&bytes).expect("a note");
        assert_eq!(note.to_string().into_bytes(), bytes);
        assert!(keys[0].verify(&note).is_ok() && keys[1].verify(&note).is_ok());
        assert_eq!(keys[2].verify(&note), Err(SignatureError::Absent));
        let spoilt = format!("x{note}");
        let spoilt = Note::parse(spoilt.as_bytes()).expect("a note");
        assert_eq!(keys[0].verify(&spoilt), Err(SignatureError::Bad));
    }
    assert_eq!(seen, 3);
}

#[test]
fn cosignatures_are_those_of_the_specification() {
    let mut key = None;
    let mut seen = 0;
    for line in COSIGNATURES.lines() {
        let (word, rest) = line.split_once(' ').expect("two words");
        if word == "vkey" {
            let verifier = Verifier::parse(rest).expect("a key");
            assert_eq!(verifier.to_string(), rest);
            key = Some(verifier);
            continue;
        }
        seen += 1;
        let key = key.as_ref().expect("a key before");
        let bytes = from_base64(rest).expect("base64");
        let note = Note::parse(&bytes).expect("a note");
        let time = (word == "cosigned").then_some(Time::from_unix(1_796_000_000));
        assert_eq!(key.verify(&note).map(|verified| verified.time), Ok(time), "{line}");
        let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
        assert_eq!(checkpoint.to_string(), note.text());
        for (from, to) in [("1234567", "1234568"), ("log.example", "log.exampl3")] {
            let spoilt = note.to_string().replacen(from, to, 1);
            let spoilt = Note::parse(spoilt.as_bytes()).expect("a note");
            assert_eq!(key.verify(&spoilt), Err(SignatureError::Bad), "{line}");
        }
    }
    assert_eq!(seen, 6);
}

/// The examples of `signed-note`, `tlog-cosignature` and `tlog-witness` are read and written back.
#[test]
fn examples_of_the_specifications() {
    let note = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\n\
        ed è subito sera.\n\n— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITL\
        lC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let parsed = Note::parse(note.as_bytes()).expect("a note");
    assert!(parsed.text().ends_with("ed è subito sera.\n"));
    assert_eq!(parsed.to_string(), note);
    let request = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\nexample.com/behind-the-sofa\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS\
        8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let parsed = AddCheckpoint::parse(request.as_bytes()).expect("a request");
    assert_eq!((parsed.old_size, parsed.hashes.len()), (20_852_014, 2));
    assert_eq!(parsed.to_string(), request);
    let proof = "c2sp.org/tlog-proof@v1\nextra AAEC\nindex 7\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\nexample.com/behind-the-sofa\n8\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS\
        8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let parsed = LogProof::parse(proof.as_bytes()).expect("a proof");
    assert_eq!(parsed.extra.as_deref(), Some([0, 1, 2].as_slice()));
    assert_eq!(parsed.to_string(), proof);
    for (from, to) in [
        ("@v1", "@v2"),
        ("index 7", "index 07"),
        ("index 7\n", ""),
        ("extra AAEC", "extra AAE"),
        ("PlRN", "PlR"),
        ("\n\nexample", "\nexample"),
        ("sofa\n8\n", "sofa\n08\n"),
    ] {
        let spoilt = proof.replacen(from, to, 1);
        assert!(LogProof::parse(spoilt.as_bytes()).is_err(), "{from:?} → {to:?}");
    }
}

#[test]
fn notes_are_read_strictly() {
    let line = "— a.example AAAAAAE=\n";
    let good = format!("text\n\n{line}");
    assert!(Note::parse(good.as_bytes()).is_ok());
    for bad in [
        String::new(),
        "text\n".to_owned(),
        "text\n\n".to_owned(),
        format!("text\n{line}"),
        format!("text\n\n{line}\n"),
        format!("text\n\n{}", line.trim_end()),
        format!("te\txt\n\n{line}"),
        format!("te\r\n\n{line}"),
        format!("text\n\n{}", line.replace('—', "-")),
        format!("text\n\n{}", line.replace("a.e", "a+e")),
        format!("text\n\n{}", line.replace("a.e", "a\u{a0}e")),
        format!("text\n\n{}", line.replace("AAAAAAE=", "AAAAAA==")),
        format!("text\n\n{}", line.replace("AAAAAAE=", "AAAAAAF=")),
        format!("text\n\n{}", line.repeat(129)),
        format!("{}\n\n{line}", "x".repeat(1 << 20)),
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{:?}", bad.get(..60.min(bad.len())));
    }
    assert!(Note::parse(b"\xff\n\n\xe2\x80\x94 a AAAAAAE=\n").is_err());
    for bad in ["", "x\n1", "x\n01\n", "\n1\n", "x\n-1\nAA==\n", "x\n9223372036854775808\n"] {
        assert_eq!(Checkpoint::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn witness_policies() {
    use hf_trust::log::WitnessPolicy;
    let key = |idx: u8| {
        let kind = VerifierKind::Ed25519Cosignature;
        Key::new(&format!("w{idx}.example"), kind, idx).verifier.to_string()
    };
    let log = Key::new("log.example", VerifierKind::Ed25519, 9).verifier.to_string();
    let mut text = format!("# a comment\n  log {log} https://log.example\n\n");
    for idx in 1..=6 {
        text += &format!("witness\tX{idx}   {}\n", key(idx));
    }
    text += "group X 2 X1 X2 X3\ngroup Y any X4 X5 X6 \ngroup both all X Y\nquorum both\n";
    let policy = WitnessPolicy::parse(text.as_bytes()).expect("a policy");
    let quorum = |names: &[&str]| policy.quorum_of(&names.iter().copied().collect());
    assert!(quorum(&["X1", "X3", "X6"]));
    assert!(!quorum(&["X1", "X6"]) && !quorum(&["X1", "X2", "X3"]) && !quorum(&[]));
    let first = key(1);
    let double = format!("witness Z {}\nquorum Z\n", first.replace("w1.", "w2."));
    for bad in [
        "log x\n".to_owned(),
        format!("log {log}\n"),
        format!("log {log}\nlog {log}\nquorum none\n"),
        "quorum X\n".to_owned(),
        "quorum none\nquorum none\n".to_owned(),
        format!("witness none {first}\nquorum none\n"),
        format!("witness A {first}\nwitness A {}\nquorum A\n", key(2)),
        format!("witness A {first}\nwitness B {first}\nquorum A\n"),
        format!("witness A {log}\nquorum A\n"),
        format!("witness A {first}\ngroup G 2 A\nquorum G\n"),
        format!("witness A {first}\ngroup G 0 A\nquorum G\n"),
        format!("witness A {first}\ngroup G any A A\nquorum G\n"),
        format!("witness A {first}\ngroup G any A\ngroup H any A\nquorum G\n"),
        format!("witness A {first}\ngroup G any B\nquorum G\n"),
        format!("witness A {first}\ngroup G any\nquorum G\n"),
        "quorum none\u{7}\n".to_owned(),
        "quorum none extra\n".to_owned(),
        double,
    ] {
        assert!(WitnessPolicy::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(WitnessPolicy::parse(b"quorum none\n").is_ok());
    let error = WitnessPolicy::parse(b"\n# x\nquorum nobody\n").expect_err("an error");
    assert_eq!(error.to_string(), "line 3: \"nobody\" is not defined before");
}
