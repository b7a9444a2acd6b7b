//! Patches against what they must give.

use proptest::prelude::*;

use super::*;
use crate::Digest;

fn noise(len: usize, mut state: u64) -> Vec<u8> {
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn patched(old: &[u8], new: &[u8], tables: &[Table]) -> Vec<u8> {
    patched_seen(old, new, tables, &[])
}

fn patched_seen(old: &[u8], new: &[u8], tables: &[Table], seen: &[Seen]) -> Vec<u8> {
    let (old_digest, new_digest) = (Digest::of(old), Digest::of(new));
    let patch = make((old, &old_digest), (new, &new_digest), tables, seen);
    let mut out = Vec::new();
    apply(&patch, old, &old_digest, (&new_digest, new.len() as u64), &mut out).unwrap();
    assert_eq!(out, new);
    patch
}

#[test]
fn small_changes_make_small_patches() {
    let old = noise(400_000, 1);
    let mut new = old.clone();
    new.splice(1000..1003, *b"another text");
    new.splice(200_000..260_000, []);
    let moved: Vec<u8> = new.splice(5000..9000, []).collect();
    new.extend(moved);
    let patch = patched(&old, &new, &[]);
    assert!(patch.len() < 400, "{}", patch.len());
    assert!(patched(&old, &old, &[]).len() < 200);
    patched(&[], &old[..100], &[]);
    patched(&old, &[], &[]);
}

/// A sorted column of digests and the ordinals beside it, of which every 97th row goes and comes.
fn table(version: u64) -> Vec<u8> {
    let rows = 20_000u64;
    let mut digests: Vec<(Vec<u8>, u32)> = Vec::new();
    for row in 0..rows {
        if row % 97 == version {
            continue;
        }
        digests.push((noise(16, row * 7919 + 3), digests.len() as u32));
        if row % 89 == version {
            digests.push((noise(16, row * 104_729 + version), digests.len() as u32));
        }
    }
    digests.sort();
    let mut bytes: Vec<u8> = digests.iter().flat_map(|(digest, _)| digest.clone()).collect();
    bytes.extend(digests.iter().flat_map(|(_, ordinal)| ordinal.to_le_bytes()));
    bytes
}

#[test]
fn numbers_that_move_cost_little() {
    let (old, new) = (table(1), table(2));
    let (o, n) = (old.len() / 20 * 16, new.len() / 20 * 16);
    let tables = [
        Table { old: 0..o, new: 0..n, kind: TableKind::Sorted { width: 16 } },
        Table { old: o..old.len(), new: n..new.len(), kind: TableKind::Beside { width: 4, of: 0 } },
    ];
    let seen = [Seen {
        old: o..old.len(),
        kind: SeenKind::Words { row: 4, at: 0, shift: 0, bits: 32 },
        by: Moves::Learned { of: 0, new: n..new.len() },
    }];
    let known = patched_seen(&old, &new, &tables, &seen).len();
    let unknown = patched(&old, &new, &[]).len();
    assert!(known * 5 < unknown * 4 && known < 13_000, "{known}, {unknown}");
}

#[test]
fn words_that_move_cost_little() {
    let ends = |gone: u64| {
        let mut end = 0u64;
        let ends = (0..30_000u64).filter(|row| *row != gone).map(|row| {
            end += 20 + (row * row) % 50;
            end
        });
        ends.flat_map(u64::to_le_bytes).collect::<Vec<u8>>()
    };
    let (old, new) = (ends(100), ends(20_000));
    let kind = TableKind::Words { word: 8, row: 8 };
    let table = Table { old: 0..old.len(), new: 0..new.len(), kind };
    let patch = patched(&old, &new, &[table]);
    assert!(patch.len() < 1500, "{}", patch.len());
}

/// Records of names over stems, with where each sixteenth begins; and varints that number stems.
fn names(stems: &[&str], rows: usize) -> (Vec<u8>, [std::ops::Range<usize>; 5]) {
    let (mut records, mut blocks, mut text) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ends, mut tokens) = (Vec::new(), Vec::new());
    for row in 0..rows {
        if row % 16 == 0 {
            blocks.extend((records.len() as u64).to_le_bytes());
        }
        let stem = (row * 31) % stems.len();
        varint::put(&mut records, (stem as u64) << 2 | 2);
        varint::put(&mut records, (row * row) as u64);
        varint::put(&mut records, 20_000 + row as u64);
        varint::put(&mut tokens, 20_000 + stem as u64);
    }
    for stem in stems {
        text.extend(stem.bytes());
        ends.extend((text.len() as u32).to_le_bytes());
    }
    let mut bytes = Vec::new();
    let parts = [records, blocks, ends, text, tokens].map(|part| {
        let start = bytes.len();
        bytes.extend(part);
        start..bytes.len()
    });
    (bytes, parts)
}

#[test]
fn names_whose_stems_move_cost_little() {
    let all: Vec<String> = (0..2000).map(|at| format!("Stem.{at}")).collect();
    let old: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut new = old.clone();
    // One stem in front of all others: every record changes, and nothing else does.
    new.rotate_right(1);
    let (old, was) = names(&old, 4000);
    let (_, _) = names(&new, 1);
    let moved: Vec<u8> = {
        // The same records, with the numbers that the stems have now.
        let mut records = Vec::new();
        for row in 0..4000usize {
            let stem = ((row * 31) % 2000 + 1) % 2000;
            varint::put(&mut records, (stem as u64) << 2 | 2);
            varint::put(&mut records, (row * row) as u64);
            varint::put(&mut records, 20_000 + row as u64);
        }
        records
    };
    let (template, is) = names(&new, 4000);
    let mut bytes = template;
    bytes.splice(is[0].clone(), moved.iter().copied());
    let shift = moved.len() as i64 - is[0].len() as i64;
    let at = |range: &std::ops::Range<usize>| {
        (range.start as i64 + shift) as usize..(range.end as i64 + shift) as usize
    };
    let seen = [Seen {
        old: was[0].clone(),
        kind: SeenKind::Names { blocks: was[1].clone() },
        by: Moves::Texts { old: (was[2].clone(), was[3].clone()), new: (at(&is[2]), at(&is[3])) },
    }];
    let known = patched_seen(&old, &bytes, &[], &seen).len();
    let unknown = patched(&old, &bytes, &[]).len();
    assert!(known * 3 < unknown, "{known}, {unknown}");
}

#[test]
fn views_show_the_same_from_every_place() {
    let (old, parts) = names(&["a", "b", "c", "d", "e"], 200);
    let map: view::Map = vec![(0, 1), (3, 2), (20_001, 7), (20_003, 0)];
    let kinds = [
        (view::Kind::Words { row: 12, at: 4, shift: 2, bits: 20 }, parts[0].clone()),
        (view::Kind::Varints, parts[4].clone()),
        (view::Kind::Names { blocks: parts[1].clone() }, parts[0].clone()),
    ];
    for (kind, range) in kinds {
        let view = view::View { kind, range, map: 0 };
        let mut whole = old.clone();
        view.show(&old, 0, &mut whole, &map);
        assert_ne!(whole, old);
        for len in [1, 3, 7, 64] {
            let mut pieces = Vec::new();
            for (nth, piece) in old.chunks(len).enumerate() {
                let mut piece = piece.to_vec();
                view.show(&old, nth * len, &mut piece, &map);
                pieces.extend(piece);
            }
            assert_eq!(pieces, whole, "{len}: {:?}", view.kind);
        }
    }
}

#[test]
fn wrong_knowledge_makes_no_wrong_patch() {
    let (old, new) = (noise(4000, 5), noise(4400, 6));
    for kind in [
        TableKind::Sorted { width: 16 },
        TableKind::Words { word: 4, row: 32 },
        TableKind::Words { word: 3, row: 32 },
        TableKind::Beside { width: 4, of: 9 },
    ] {
        patched(&old, &new, &[Table { old: 100..4000, new: 80..4400, kind }]);
        patched(&old, &new, &[Table { old: 100..9000, new: 80..4400, kind }]);
    }
}

#[test]
fn what_is_wrong_is_refused() {
    let (old, new) = (noise(50_000, 1), noise(60_000, 1));
    let (old_digest, new_digest) = (Digest::of(&old), Digest::of(&new));
    let patch = make((&old, &old_digest), (&new, &new_digest), &[], &[]);
    let run = |patch: &[u8], old: &[u8], old_digest: &Digest, wanted: (&Digest, u64)| {
        apply(patch, old, old_digest, wanted, std::io::sink())
    };
    let wanted = (&new_digest, new.len() as u64);
    run(&patch, &old, &old_digest, wanted).unwrap();
    let other = run(&patch, &new, &new_digest, wanted);
    assert!(matches!(other, Err(ApplyError::OtherOld)), "{other:?}");
    let other = run(&patch, &old, &old_digest, (&old_digest, 50_000));
    assert!(matches!(other, Err(ApplyError::OtherNew)), "{other:?}");
    for len in 0..patch.len().min(300) {
        assert!(run(&patch[..len], &old, &old_digest, wanted).is_err());
    }
    for at in 0..patch.len().min(600) {
        let mut damaged = patch.clone();
        damaged[at] ^= 1 << (at % 8);
        // Either the damage is seen, or it is where it changes nothing (a checksum of zlib).
        let mut out = Vec::new();
        if apply(&damaged, &old, &old_digest, wanted, &mut out).is_ok() {
            assert_eq!(out, new);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_two_files(old in proptest::collection::vec(0u8..3, 0..2000),
                     cuts in proptest::collection::vec((0usize..2000, 0usize..300, 0usize..40), 0..6)) {
        let mut new = old.clone();
        for (at, gone, come) in cuts {
            let at = at.min(new.len());
            let end = (at + gone).min(new.len());
            new.splice(at..end, vec![9; come]);
        }
        patched(&old, &new, &[]);
    }
}
