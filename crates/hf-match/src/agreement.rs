//! Random signatures over random objects of few letters: the matcher and the oracle must agree.

use std::ops::ControlFlow;
use std::sync::Arc;

use hf_core::signature::{
    Body, BodySig, ByteCompare, ByteEncoding, Collector, Compare, CompareOp, Edge, EdgeKind, Expr,
    Gap, Item, LogicalSig, Offset, OffsetBase, Part, Reach, SigMeta, Sub, TargetDesc,
};
use hf_core::{
    ExeKind, ExeSection, ExeView, Facts, FileType, IconMetrics, Limits, ScanOptions, Target,
};
use hf_pack::{Pack, PackMeta, PackWriter};

use crate::oracle::{AnySig, matching};
use crate::{Matcher, PackBuilder, Scratch, Subject};

/// A small generator of numbers, the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    fn byte(&mut self) -> u8 {
        b"aaabbbABc0 \n\r.-\0"[self.roll(16)]
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }
}

struct Known {
    exe: Option<ExeView>,
    image_hash: Option<[u8; 8]>,
    ancestors: Vec<FileType>,
}

impl Facts for Known {
    fn exe(&self) -> Option<&ExeView> {
        self.exe.as_ref()
    }
    fn icons(&self) -> &[IconMetrics] {
        &[]
    }
    fn image_hash(&self) -> Option<[u8; 8]> {
        self.image_hash
    }
    fn ancestors(&self) -> &[FileType] {
        &self.ancestors
    }
}

fn edge(dice: &mut Dice) -> Edge {
    let kind = [EdgeKind::Word, EdgeKind::Line, EdgeKind::NonAlphanumeric][dice.roll(3)];
    Edge { kind, negated: dice.one_in(3) }
}

fn item(dice: &mut Dice, depth: usize) -> Item {
    match dice.roll(12) {
        0 => Item::Byte { value: 0, mask: 0 },
        1 => Item::Byte { value: dice.byte() & 0xf0, mask: 0xf0 },
        2 => Item::Byte { value: dice.byte() & 0x0f, mask: 0x0f },
        3 => {
            let len = 1 + dice.roll(2);
            let alternatives = (0..=dice.roll(3)).map(|_| dice.bytes(len)).collect();
            Item::Set { alternatives, negated: dice.one_in(3) }
        }
        4 if depth < 3 => {
            let alternatives = (0..=dice.roll(3)).map(|_| items(dice, depth + 1, 3)).collect();
            Item::Any { alternatives }
        }
        5 if dice.one_in(2) => Item::Edge(edge(dice)),
        _ => Item::Byte { value: dice.byte(), mask: 0xff },
    }
}

fn items(dice: &mut Dice, depth: usize, most: usize) -> Vec<Item> {
    (0..=dice.roll(most)).map(|_| item(dice, depth)).collect()
}

fn part(dice: &mut Dice) -> Part {
    let most = [3, 6, 14][dice.roll(3)];
    let mut part = if dice.one_in(2) {
        let bytes = dice.bytes(1 + most);
        let items = bytes.into_iter().map(|value| Item::Byte { value, mask: 0xff });
        Part { items: items.collect(), ..Part::default() }
    } else {
        Part { items: items(dice, 0, most), ..Part::default() }
    };
    if dice.one_in(6) {
        part.lead.push(edge(dice));
    }
    if dice.one_in(6) {
        part.trail.push(edge(dice));
    }
    let reach = |dice: &mut Dice| {
        let min = dice.roll(3) as u8;
        let mask = if dice.one_in(4) { 0xf0 } else { 0xff };
        Reach { value: dice.byte() & mask, mask, min, max: min + dice.roll(3) as u8 }
    };
    if dice.one_in(8) {
        part.left = Some(reach(dice));
    }
    if dice.one_in(8) {
        part.right = Some(reach(dice));
    }
    part
}

fn body(dice: &mut Dice, object: &[u8]) -> Body {
    let parts: Vec<Part> = if dice.one_in(3) {
        // Cut out of the object, so that long literals are found as well.
        let from = dice.roll(object.len().max(1)).min(object.len());
        let len = (1 + dice.roll(30)).min(object.len() - from);
        let bytes = if len == 0 { dice.bytes(4) } else { object[from..from + len].to_vec() };
        let items = bytes.into_iter().map(|value| Item::Byte { value, mask: 0xff }).collect();
        vec![Part { items, ..Part::default() }]
    } else {
        (0..=[0, 0, 0, 1, 2, 3][dice.roll(6)]).map(|_| part(dice)).collect()
    };
    let gap = |dice: &mut Dice| {
        let min = if dice.one_in(2) { 0 } else { dice.roll(6) as u32 };
        Gap { min, max: (!dice.one_in(2)).then(|| min + dice.roll(8) as u32) }
    };
    let gaps = (1..parts.len()).map(|_| gap(dice)).collect();
    Body { parts, gaps, nocase: dice.one_in(4), wide: dice.one_in(8) }
}

fn offset(dice: &mut Dice, target: Target) -> Offset {
    let number = dice.roll(24) as u32;
    let base = match dice.roll(24) {
        0 => OffsetBase::Absolute(number),
        1 => OffsetBase::End(number),
        2 if target.is_executable() => OffsetBase::Entry(i64::from(number) - 8),
        3 if target.is_executable() => OffsetBase::Section { idx: number % 3, add: number / 3 },
        4 if target.is_executable() => OffsetBase::LastSection { add: number },
        5 if target.is_executable() => OffsetBase::InSection { idx: number % 3 },
        6 if target.is_executable() => OffsetBase::VersionInfo,
        _ => OffsetBase::Any,
    };
    let max_shift = if dice.one_in(2) { 0 } else { dice.roll(12) as u32 };
    match base {
        OffsetBase::Any | OffsetBase::VersionInfo => Offset { base, max_shift: 0 },
        _ => Offset { base, max_shift },
    }
}

fn compare(dice: &mut Dice) -> Option<Compare> {
    dice.one_in(3).then(|| {
        let op = [CompareOp::Equal, CompareOp::Less, CompareOp::Greater][dice.roll(3)];
        let distinct = dice.one_in(3).then(|| dice.roll(4) as u32);
        Compare { op, count: dice.roll(5) as u32, distinct }
    })
}

fn expr(dice: &mut Dice, subs: usize, depth: usize) -> Expr {
    let two =
        |dice: &mut Dice| [expr(dice, subs, depth + 1), expr(dice, subs, depth + 1)].map(Box::new);
    match dice.roll(if depth < 3 { 8 } else { 2 }) {
        2..=4 => {
            let [left, right] = two(dice);
            Expr::And(left, right)
        }
        5 | 6 => {
            let [left, right] = two(dice);
            Expr::Or(left, right)
        }
        7 => {
            let inner = Box::new(expr(dice, subs, depth + 1));
            Expr::Block { inner, cmp: compare(dice) }
        }
        _ => Expr::Sub { idx: dice.roll(subs) as u8, cmp: compare(dice) },
    }
}

fn sub(dice: &mut Dice, idx: usize, target: Target, object: &[u8]) -> Sub {
    match dice.roll(14) {
        0 if idx > 0 => {
            let min = dice.roll(8) as u32;
            Sub::Macro { min, max: min + dice.roll(20) as u32, group: dice.roll(3) as u8 }
        }
        1 if idx > 0 => Sub::ByteCompare(ByteCompare {
            reference: dice.roll(idx) as u8,
            offset: dice.roll(9) as i64 - 4,
            encoding: [ByteEncoding::Binary, ByteEncoding::HexText][dice.roll(2)],
            little_endian: dice.one_in(2),
            exact: dice.one_in(2),
            len: [1, 2, 4][dice.roll(3)],
            compares: vec![(
                [CompareOp::Less, CompareOp::Greater][dice.roll(2)],
                dice.roll(0x6200) as i64,
            )],
        }),
        2 if dice.one_in(3) => Sub::ImageHash([dice.roll(2) as u8; 8]),
        _ => {
            let forms = (0..=usize::from(dice.one_in(6))).map(|_| body(dice, object)).collect();
            Sub::Body { offset: offset(dice, target), forms }
        }
    }
}

fn logical(dice: &mut Dice, target: Target, object: &[u8]) -> LogicalSig {
    let count = 1 + dice.roll(4);
    let subs = (0..count).map(|idx| sub(dice, idx, target, object)).collect();
    let range = |dice: &mut Dice, most: usize| {
        dice.one_in(12).then(|| {
            let min = dice.roll(most) as u32;
            (min, min + dice.roll(most) as u32)
        })
    };
    let executable = target.is_executable();
    let tdb = TargetDesc {
        target,
        file_size: range(dice, 80),
        entry_point: range(dice, 20).filter(|_| executable),
        sections: range(dice, 3).filter(|_| executable),
        container: dice.one_in(16).then_some([FileType::Any, FileType::Zip][dice.roll(2)]),
        intermediates: Vec::new(),
        icon_group1: None,
        icon_group2: None,
        handler: None,
    };
    LogicalSig { tdb, expr: expr(dice, count, 0), subs }
}

fn signature(dice: &mut Dice, object: &[u8]) -> AnySig {
    let target = [Target::ANY, Target::PE, Target::HTML][dice.roll(3)];
    if dice.one_in(3) {
        let mut offset = offset(dice, target);
        if dice.one_in(4) {
            offset = Offset { base: OffsetBase::Macro(dice.roll(3) as u8), max_shift: 0 };
        }
        let body = body(dice, object);
        return AnySig::Body(BodySig { target, offset, body, self_protect: false });
    }
    AnySig::Logical(logical(dice, target, object))
}

fn facts(dice: &mut Dice, len: usize) -> Known {
    let section = |dice: &mut Dice| ExeSection {
        raw_off: dice.roll(len + 4) as u64,
        raw_len: dice.roll(20) as u64,
        ..ExeSection::default()
    };
    let exe = (!dice.one_in(4)).then(|| ExeView {
        kind: ExeKind::Pe,
        is_64: false,
        entry_off: (!dice.one_in(4)).then(|| dice.roll(len + 2) as u64),
        sections: (0..dice.roll(3)).map(|_| section(dice)).collect(),
        version_key_offs: (0..dice.roll(6)).map(|_| dice.roll(len + 1) as u64).collect(),
        overlay_off: None,
        import_string: None,
    });
    let image_hash = dice.one_in(2).then(|| [dice.roll(2) as u8; 8]);
    let ancestors = if dice.one_in(2) { vec![FileType::Zip] } else { Vec::new() };
    Known { exe, image_hash, ancestors }
}

fn pack(sigs: &[AnySig], first: usize) -> Arc<Pack> {
    Pack::from_bytes(&pack_bytes(sigs, first)).unwrap()
}

fn pack_bytes(sigs: &[AnySig], first: usize) -> Vec<u8> {
    let mut builder = PackBuilder::new();
    for (idx, sig) in sigs.iter().enumerate() {
        let name = (first + idx).to_string();
        let meta = SigMeta { name: &name, file: "test.ldb", line: 1, pua: false };
        match sig {
            AnySig::Body(sig) => builder.body(meta, sig.clone()),
            AnySig::Logical(sig) => builder.logical(meta, sig.clone()),
        }
    }
    let writer = PackWriter::new(std::io::Cursor::new(Vec::new()));
    builder.finish(writer, PackMeta::default()).unwrap().into_inner()
}

#[test]
fn matcher_and_oracle_agree() {
    let (mut scans, mut hits) = (0, 0);
    for seed in 1..=CASES {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let lens = [0, 1, 3, 20, 60, 120];
        let objects: Vec<Vec<u8>> = (0..4)
            .map(|_| {
                let len = lens[dice.roll(lens.len())];
                dice.bytes(len)
            })
            .collect();
        let sigs: Vec<AnySig> = (0..6)
            .map(|_| {
                let object = dice.roll(objects.len());
                signature(&mut dice, &objects[object])
            })
            .collect();
        // Two packs must do what one does; macros see the bodies of both.
        let cut = dice.roll(sigs.len() + 1);
        let matcher = Matcher::open(vec![pack(&sigs[..cut], 0), pack(&sigs[cut..], cut)]).unwrap();
        let mut scratch = Scratch::new();
        for object in &objects {
            let facts = facts(&mut dice, object.len());
            let target = [None, Some(Target::PE), Some(Target::HTML)][dice.roll(3)];
            let want = matching(&sigs, object, target, &facts);
            let (options, limits) = (ScanOptions::default(), Limits::default());
            let subject = Subject::new(object, target, FileType::Any, &facts, &options, &limits);
            let mut found = Vec::new();
            let mut on_hit = |hit: crate::MatchHit| {
                found.push(hit.name);
                ControlFlow::Continue(())
            };
            matcher.scan(&subject, &mut scratch, &mut on_hit, &mut || Ok(())).unwrap();
            let mut names: Vec<usize> = found.iter().map(|name| name.parse().unwrap()).collect();
            names.sort_unstable();
            let want: Vec<usize> = want.into_iter().collect();
            assert_eq!(names, want, "seed {seed} target {target:?}\n{object:?}\n{sigs:#?}");
            scans += 1;
            hits += want.len();
        }
    }
    assert!(hits * 3 > scans, "{hits} hits in {scans} scans do not say much");
}

/// A pack whose header is whole and whose sections are damaged gives wrong answers at worst.
#[test]
fn damaged_packs_do_no_harm() {
    let mut dice = Dice(42);
    let object = dice.bytes(400);
    let sigs: Vec<AnySig> = (0..40).map(|_| signature(&mut dice, &object)).collect();
    let good = pack_bytes(&sigs, 0);
    let table_off = u64::from_le_bytes(*good[16..].first_chunk().unwrap()) as usize;
    let facts = facts(&mut dice, object.len());
    let (options, limits) = (ScanOptions::default(), Limits::default());
    for _ in 0..DAMAGES {
        let mut bytes = good.clone();
        for _ in 0..=dice.roll(12) {
            let at = 64 + dice.roll(table_off - 64);
            bytes[at] = [0, 1, 0xff, 0x7f, dice.byte()][dice.roll(5)];
        }
        let Ok(pack) = Pack::from_bytes(&bytes) else { continue };
        let matcher = Matcher::open(vec![pack]).unwrap();
        let mut scratch = Scratch::new();
        for target in [None, Some(Target::PE), Some(Target::HTML)] {
            let subject = Subject::new(&object, target, FileType::Any, &facts, &options, &limits);
            let subject = Subject { explain: true, ..subject };
            let mut on_hit = |_| ControlFlow::Continue(());
            matcher.scan(&subject, &mut scratch, &mut on_hit, &mut || Ok(())).unwrap();
        }
    }
}

const DAMAGES: u64 = 400;
const CASES: u64 = 1200;
