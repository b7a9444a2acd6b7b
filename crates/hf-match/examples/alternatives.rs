//! Measures ways to look for one literal of every real PE signature in the files of a machine.
//!
//! `HOLDFAST_REAL_DATA=DIR cargo run --release -p hf-match --example alternatives -- FILE…`: results
//! stand in `docs/performance.md`. Each signature gives its longest literal, cut to 16 bytes.
#![expect(clippy::unwrap_used, reason = "a tool for developers")]

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::time::Duration;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use hf_core::Target;
use hf_core::signature::{
    BodySig, CertificateSig, Collector, ConfigSig, ContainerSig, HashSig, IconSig, IgnoreSig, Item,
    LogicalSig, MagicSig, NotRun, PasswordSig, PhishingSig, SigMeta, Sub,
};
use hf_sig::{IgnoreSet, LoadOptions};

/// Processor time of this thread: others on the machine do not count.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[derive(Default)]
struct Literals(BTreeSet<Vec<u8>>);

impl Collector for Literals {
    fn logical(&mut self, _: SigMeta<'_>, sig: LogicalSig) {
        if sig.tdb.target != Target::PE {
            return;
        }
        let mut best: Vec<u8> = Vec::new();
        let forms = sig.subs.iter().filter_map(|sub| match sub {
            Sub::Body { forms, .. } => Some(forms),
            _ => None,
        });
        for part in forms.flatten().flat_map(|body| &body.parts) {
            let mut run = Vec::new();
            for item in part.items.iter().chain([&Item::Byte { value: 0, mask: 0 }]) {
                match item {
                    Item::Byte { value, mask: 0xff } => run.push(*value),
                    _ if run.len() > best.len() => best = std::mem::take(&mut run),
                    _ => run.clear(),
                }
            }
        }
        best.truncate(16);
        if best.len() >= 11 {
            self.0.insert(best);
        }
    }
    fn hash(&mut self, _: SigMeta<'_>, _: HashSig<'_>) {}
    fn body(&mut self, _: SigMeta<'_>, _: BodySig) {}
    fn container(&mut self, _: SigMeta<'_>, _: ContainerSig) {}
    fn icon(&mut self, _: SigMeta<'_>, _: IconSig) {}
    fn magic(&mut self, _: SigMeta<'_>, _: MagicSig) {}
    fn password(&mut self, _: SigMeta<'_>, _: PasswordSig) {}
    fn phishing(&mut self, _: SigMeta<'_>, _: PhishingSig) {}
    fn certificate(&mut self, _: SigMeta<'_>, _: CertificateSig) {}
    fn ignore(&mut self, _: SigMeta<'_>, _: IgnoreSig) {}
    fn config(&mut self, _: SigMeta<'_>, _: ConfigSig) {}
    fn yara(&mut self, _: SigMeta<'_>, _: &str) {}
    fn not_run(&mut self, _: SigMeta<'_>, _: NotRun) {}
}

fn main() {
    let data = std::env::var("HOLDFAST_REAL_DATA").expect("it names a directory");
    let packed = std::fs::read(std::path::Path::new(&data).join("main.ldb.gz")).unwrap();
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut text).unwrap();
    let mut literals = Literals::default();
    let options = LoadOptions { keep_going: true, ..LoadOptions::default() };
    hf_sig::load("main.ldb", &text, &options, &mut IgnoreSet::default(), &mut literals).unwrap();
    let literals: Vec<Vec<u8>> = literals.0.into_iter().collect();
    let mut object = Vec::new();
    for path in std::env::args_os().skip(1) {
        object.extend(std::fs::read(path).unwrap());
    }
    println!("{} literals, {} MB", literals.len(), object.len() / 1_000_000);

    let build = |kind| {
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::Standard).kind(Some(kind)).build(&literals).unwrap()
    };
    let machine = build(AhoCorasickKind::ContiguousNFA);
    println!("aho-corasick contiguous: {} KiB", machine.memory_usage() >> 10);
    measure("aho-corasick contiguous NFA", &object, |object| {
        machine.find_overlapping_iter(object).count()
    });
    let machine = build(AhoCorasickKind::NoncontiguousNFA);
    measure("aho-corasick noncontiguous NFA", &object, |object| {
        machine.find_overlapping_iter(object).count()
    });
    for (width, stride, bits) in [(4, 1, 1), (8, 1, 1), (8, 1, 2), (8, 2, 2), (8, 4, 1), (8, 4, 2)]
    {
        let filter = Filter::new(&literals, width, stride, bits);
        let name = format!("{width}-byte windows, every {stride}, {bits} bits");
        measure(&name, &object, |object| filter.survivors(object));
        measure(&format!("{name}, compared"), &object, |object| filter.found(object, &literals));
    }
}

fn measure(name: &str, object: &[u8], mut run: impl FnMut(&[u8]) -> usize) {
    let mut best = Duration::MAX;
    let mut count = 0;
    for _ in 0..3 {
        let started = now();
        count = run(object);
        best = best.min(now() - started);
    }
    let each = best.as_nanos() as f64 / object.len() as f64;
    println!("{name:45} {each:6.2} ns/byte {:6.0} MB/s  {count} found or passed", 1000.0 / each);
}

struct Filter {
    words: Vec<u64>,
    width: usize,
    stride: usize,
    bits: u32,
    table: HashMap<u64, Vec<(usize, usize)>>,
}

impl Filter {
    fn new(literals: &[Vec<u8>], width: usize, stride: usize, bits: u32) -> Self {
        let keys = literals.len() * stride;
        let words = (keys * 16 / 64).next_power_of_two();
        let mut filter = Self { words: vec![0; words], width, stride, bits, table: HashMap::new() };
        for (idx, literal) in literals.iter().enumerate() {
            for (shift, window) in literal.windows(width).take(stride).enumerate() {
                let hash = filter.hash(window);
                let (at, mask) = filter.place(hash);
                filter.words[at] |= mask;
                filter.table.entry(hash).or_default().push((idx, shift));
            }
        }
        filter
    }

    fn hash(&self, window: &[u8]) -> u64 {
        let mut bytes = [0; 8];
        bytes[..self.width].copy_from_slice(&window[..self.width]);
        let product = u128::from(u64::from_le_bytes(bytes)) * 0x9e37_79b9_7f4a_7c15;
        (product >> 64) as u64 ^ product as u64
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        let second = if self.bits == 2 { 1 << (hash >> 52 & 63) } else { 0 };
        (hash as u32 as usize & (self.words.len() - 1), 1 << (hash >> 58) | second)
    }

    fn each(&self, object: &[u8], mut on: impl FnMut(usize, u64)) {
        for (step, window) in object.windows(8).step_by(self.stride).enumerate() {
            let hash = self.hash(window);
            let (at, mask) = self.place(hash);
            if self.words[at] & mask == mask {
                on(step * self.stride, hash);
            }
        }
    }

    fn survivors(&self, object: &[u8]) -> usize {
        let mut count = 0;
        self.each(object, |_, _| count += 1);
        count
    }

    fn found(&self, object: &[u8], literals: &[Vec<u8>]) -> usize {
        let mut count = 0;
        self.each(object, |at, hash| {
            for (idx, shift) in self.table.get(&hash).into_iter().flatten() {
                let start = at.checked_sub(*shift);
                let literal = &literals[*idx];
                let end = start.map(|start| start + literal.len());
                let found = start.zip(end).and_then(|(start, end)| object.get(start..end));
                count += usize::from(found == Some(literal));
            }
        });
        count
    }
}
