//! Hash tables against a plain list, and altered tables.

use std::io::Cursor;
use std::sync::Arc;

use hf_core::signature::HashOf;
use hf_pack::{Pack, PackMeta, PackWriter};
use proptest::prelude::*;

use super::{DigestSet, HashHit, HashTables, HashTablesBuilder};

#[derive(Debug, Clone)]
struct Sig {
    of: HashOf,
    digest: Vec<u8>,
    size: Option<u32>,
    name: String,
    file: String,
    line: u32,
    pua: bool,
}

fn sig(of: HashOf, digest: &[u8], size: impl Into<Option<u32>>, name: &str) -> Sig {
    let (digest, size, name) = (digest.to_vec(), size.into(), name.to_owned());
    Sig { of, digest, size, name, file: "a.hdb".into(), line: 1, pua: false }
}

fn bytes(sigs: &[Sig]) -> Vec<u8> {
    let mut builder = HashTablesBuilder::new();
    for s in sigs {
        builder.push(s.of, &s.digest, s.size, &s.name, &s.file, s.line, s.pua);
    }
    let mut writer = PackWriter::new(Cursor::new(Vec::new()));
    builder.write(&mut writer).unwrap();
    writer.finish(&PackMeta::default()).unwrap().into_inner()
}

fn open(sigs: &[Sig]) -> HashTables {
    HashTables::open(&Pack::from_bytes(&bytes(sigs)).unwrap())
}

/// The same answers, from the list itself.
fn expected(sigs: &[Sig], of: HashOf, digest: &[u8], size: u64) -> Vec<HashHit> {
    let fits = |s: &&Sig| s.of == of && s.digest == digest;
    let hit = |s: &Sig| HashHit {
        name: s.name.clone(),
        file: s.file.clone(),
        line: s.line,
        pua: s.pua,
        any_size: s.size.is_none(),
    };
    let sized = sigs.iter().filter(fits).filter(|s| s.size.map(u64::from) == Some(size));
    let any = sigs.iter().filter(fits).filter(|s| s.size.is_none());
    sized.chain(any).map(hit).collect()
}

#[track_caller]
fn check(sigs: &[Sig]) {
    assert_eq!(bytes(sigs), bytes(sigs));
    let tables = open(sigs);
    for s in sigs {
        for size in [s.size.map_or(77, u64::from), 78, u64::MAX] {
            let found = tables.find(s.of, &s.digest, size);
            assert_eq!(found, expected(sigs, s.of, &s.digest, size));
            let needs = tables.needs(s.of, size);
            let needed = [needs.md5, needs.sha1, needs.sha256];
            for (len, needed) in [16, 20, 32].into_iter().zip(needed) {
                let want = sigs.iter().any(|s2| {
                    s2.of == s.of
                        && s2.digest.len() == len
                        && s2.size.is_none_or(|wanted| u64::from(wanted) == size)
                });
                assert_eq!(needed, want, "{:?} {len} {size}", s.of);
            }
        }
    }
}

#[test]
fn nothing() {
    let tables = open(&[]);
    assert_eq!(tables.needs(HashOf::Object, 0), DigestSet::NONE);
    assert_eq!(tables.find(HashOf::Object, &[0; 16], 0), []);
}

#[test]
fn kinds_sizes_and_duplicates() {
    let mut sigs = vec![
        sig(HashOf::Object, &[1; 16], 68, "A.B-1"),
        sig(HashOf::Object, &[1; 16], 68, "A.B-2"),
        sig(HashOf::Object, &[1; 16], None, "A.B-3-0"),
        sig(HashOf::Object, &[1; 16], 69, "Other"),
        sig(HashOf::Object, &[1; 32], 1, "A.B"),
        sig(HashOf::Section, &[0xff; 20], None, "Sec-4294967295"),
        sig(HashOf::Section, &[0xff; 16], 4096, "Sec-007"),
        sig(HashOf::Allowed, &[0; 16], 0xffff_fffe, ""),
        sig(HashOf::Imports, &[9; 20], None, "1.2_3-4"),
    ];
    check(&sigs);
    sigs[1].file = "b.hdu".into();
    sigs[1].pua = true;
    sigs[2].line = 700;
    sigs[3].line = 701;
    check(&sigs);
    let tables = open(&sigs);
    assert_eq!(tables.find(HashOf::Object, &[1; 16], 68).len(), 3);
    assert_eq!(tables.find(HashOf::Object, &[1; 15], 68), []);
    assert_eq!(tables.find(HashOf::Object, &[2; 16], 68), []);
    assert_eq!(tables.needs(HashOf::Allowed, 1), DigestSet::NONE);
    assert_eq!(tables.needs(HashOf::Allowed, 1 << 40), DigestSet::NONE);
}

#[test]
fn names_come_back_as_written() {
    let names = [
        "",
        "0",
        "00",
        "-",
        "-1",
        "--1",
        "a-01",
        "a-0",
        "a.1.2.3.4",
        "a_12-999999999",
        "a123",
        "a-1000000000",
        "sid25347313-1",
        "Win.Trojan.Agent-6298372-0",
        "é-5",
        "1-2-3",
        "x\0-7",
        "Win.Trojan.Agent-6298372-1",
        "a.-3",
    ];
    let sigs: Vec<Sig> = names
        .iter()
        .enumerate()
        .map(|(idx, name)| sig(HashOf::Object, &[u8::try_from(idx).unwrap(); 16], 5, name))
        .collect();
    check(&sigs);
}

#[test]
fn many_rows_in_many_buckets() {
    let mut state = 1u64;
    let mut digest = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (u128::from(state) << 64 | u128::from(state)).to_be_bytes()
    };
    let sigs: Vec<Sig> = (0..3000)
        .map(|n| Sig {
            line: n,
            ..sig(HashOf::Section, &digest(), 512 * (n % 9), &format!("Win.{}-{n}", n % 50))
        })
        .collect();
    let tables = open(&sigs);
    for s in &sigs {
        let size = u64::from(s.size.unwrap());
        let found = tables.find(s.of, &s.digest, size);
        assert_eq!(found, expected(&sigs, s.of, &s.digest, size));
    }
    assert!(tables.needs(HashOf::Section, 512).md5);
    assert_eq!(tables.needs(HashOf::Section, 513), DigestSet::NONE);
}

#[test]
fn altered_tables_do_not_panic() {
    let sigs: Vec<Sig> = (0..40u8)
        .map(|n| sig(HashOf::Object, &[n / 2 * 13; 16], Some(7), &format!("N{}-{n}", n / 5)))
        .collect();
    let plain = bytes(&sigs);
    let pack = Pack::from_bytes(&plain).unwrap();
    let ids: Vec<_> = pack.sections().map(|(id, _)| id).collect();
    for id in ids {
        for value in [0, 0x7f, 0xff] {
            for stride in [1, 3] {
                let mut writer = PackWriter::new(Cursor::new(Vec::new()));
                for (other, _) in pack.sections().filter(|(id, _)| id.0 > 1) {
                    let mut section = pack.section(other).to_vec();
                    if other == id {
                        section.iter_mut().step_by(stride).for_each(|byte| *byte = value);
                        section.truncate(section.len() * 2 / 3);
                    }
                    writer.write_section(other, &section).unwrap();
                }
                let altered = writer.finish(&PackMeta::default()).unwrap().into_inner();
                let tables = HashTables::open(&Pack::from_bytes(&altered).unwrap());
                for s in &sigs {
                    let found = tables.find(s.of, &s.digest, 7);
                    assert!(found.len() <= super::HITS_MAX);
                    let _ = tables.needs(s.of, 7);
                }
            }
        }
    }
}

fn any_sig() -> impl Strategy<Value = Sig> {
    let of = prop::sample::select(vec![
        HashOf::Object,
        HashOf::Section,
        HashOf::Imports,
        HashOf::Allowed,
    ]);
    let digest = (0..3usize, 0..4u8, any::<u8>())
        .prop_map(|(kind, a, b)| [vec![a * 60], vec![b % 4; [15, 19, 31][kind]]].concat());
    let size = prop::option::of(0..6u32);
    (of, digest, size, "[A-C]{0,2}[-._]?[0-9]{0,4}", 0..3u8, 0..5u32, any::<bool>()).prop_map(
        |(of, digest, size, name, file, line, pua)| Sig {
            of,
            digest,
            size,
            name,
            file: format!("{file}.hdb"),
            line,
            pua,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn finds_what_a_list_finds(sigs in prop::collection::vec(any_sig(), 0..80)) {
        check(&sigs);
    }
}

#[test]
fn cloned_views_share_the_pack() {
    let tables = open(&[sig(HashOf::Object, &[1; 16], 3, "A")]);
    let other = tables.clone();
    drop(tables);
    let hits: Arc<[HashHit]> = other.find(HashOf::Object, &[1; 16], 3).into();
    assert_eq!(hits[0].name, "A");
}
