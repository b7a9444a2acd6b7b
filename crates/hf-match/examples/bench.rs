//! Measures the matcher with real signatures on the files of a machine.
//!
//! `HOLDFAST_REAL_DATA=DIR cargo run --release -p hf-match --example bench -- [--target N]
//! [--copies N] [--rounds N] [--tiny] PATH…`: DIR holds databases, gzipped or plain. `--target` takes every file
//! as an object of this target; `--copies` varies every pattern database so many times, for the
//! size of a full set; `BENCH_PACK=FILE` keeps the pack for the next run; `--tiny` scans 2,000 small PE objects instead of files.
#![expect(clippy::unwrap_used, reason = "a tool for developers")]

use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hf_core::{
    ExeKind, ExeSection, ExeView, Facts, FileType, IconMetrics, Limits, ScanOptions, Target,
};
use hf_match::{Matcher, PackBuilder, Scratch, Subject};
use hf_pack::{Pack, PackMeta, PackWriter};
use hf_sig::{IgnoreSet, LoadOptions};

/// Processor time of this thread: others on the machine do not count.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Known(Option<ExeView>);

impl Facts for Known {
    fn exe(&self) -> Option<&ExeView> {
        self.0.as_ref()
    }
    fn icons(&self) -> &[IconMetrics] {
        &[]
    }
    fn image_hash(&self) -> Option<[u8; 8]> {
        None
    }
    fn ancestors(&self) -> &[FileType] {
        &[]
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut target, mut copies, mut rounds, mut tiny) = (None, 1, 1, false);
    let mut paths = Vec::new();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--target" => target = Some(Target(args.next().unwrap().parse().unwrap())),
            "--copies" => copies = args.next().unwrap().parse().unwrap(),
            "--rounds" => rounds = args.next().unwrap().parse().unwrap(),
            "--tiny" => tiny = true,
            _ => paths.push(PathBuf::from(arg)),
        }
    }
    let pack = match std::env::var_os("BENCH_PACK") {
        Some(made) if Path::new(&made).exists() => {
            Pack::open(std::fs::File::open(made).unwrap()).unwrap()
        }
        made => {
            let data = std::env::var("HOLDFAST_REAL_DATA").expect("it names a directory");
            build(Path::new(&data), copies, made.as_ref().map(Path::new))
        }
    };
    let started = Instant::now();
    let matcher = Matcher::open(vec![pack]).unwrap();
    println!("open {:?}, {} signatures", started.elapsed(), matcher.signature_count());
    if tiny {
        return scan_tiny(&matcher);
    }
    let mut files = Vec::new();
    paths.iter().for_each(|path| walk(path, &mut files));
    scan(&matcher, &files, target, rounds);
}

fn build(dir: &Path, copies: u32, made: Option<&Path>) -> std::sync::Arc<Pack> {
    let started = Instant::now();
    let mut builder = PackBuilder::new();
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names {
        let mut bytes = std::fs::read(&path).unwrap();
        let mut name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some(plain) = name.strip_suffix(".gz") {
            let mut out = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut out).unwrap();
            (name, bytes) = (plain.to_owned(), out);
        }
        if !(name.ends_with(".ldb") || name.ends_with(".ndb")) {
            continue;
        }
        for copy in 0..copies {
            let varied = if copy == 0 { bytes.clone() } else { vary(&bytes, copy) };
            let options = LoadOptions { keep_going: true, ..LoadOptions::default() };
            let mut ignore = IgnoreSet::default();
            hf_sig::load(&name, &varied, &options, &mut ignore, &mut builder).unwrap();
        }
    }
    println!("read {:?}, {} signatures", started.elapsed(), builder.signature_count());
    for warning in builder.warnings() {
        println!("  {warning}");
    }
    let writer = PackWriter::new(std::io::Cursor::new(Vec::new()));
    let bytes = builder.finish(writer, PackMeta::default()).unwrap().into_inner();
    println!("built {:?}, {} KiB", started.elapsed(), bytes.len() >> 10);
    if let Some(made) = made {
        std::fs::write(made, &bytes).unwrap();
    }
    Pack::from_bytes(&bytes).unwrap()
}

/// Changes hexadecimal digits of long literals, the same way everywhere, so that they stay equal
/// where they were equal.
fn vary(bytes: &[u8], copy: u32) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for line in out.split_mut(|byte| *byte == b'\n') {
        let mut fields = 0;
        let (mut run, mut hash) = (0u32, 0u32);
        for byte in line {
            fields += u32::from(*byte == b';' || *byte == b':');
            if !byte.is_ascii_hexdigit() {
                (run, hash) = (0, 0);
                continue;
            }
            run += 1;
            hash = hash.wrapping_mul(31).wrapping_add(u32::from(*byte));
            if fields >= 3 && run > 12 && run % 5 == 0 {
                let mixed = (hash ^ copy.wrapping_mul(0x9e37_79b9)) >> 7 & 15;
                *byte = b"0123456789abcdef"[mixed as usize];
            }
        }
    }
    out
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return };
    if meta.is_dir() {
        let Ok(entries) = std::fs::read_dir(path) else { return };
        let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| walk(entry, files));
    } else if meta.is_file() {
        files.push(path.to_owned());
    }
}

fn scan(matcher: &Matcher, files: &[PathBuf], forced: Option<Target>, rounds: u32) {
    let mut scratch = Scratch::new();
    let (mut bytes, mut nanos, mut hits) = (0u64, 0u128, 0);
    let mut slow: Vec<(u128, usize, &Path)> = Vec::new();
    for path in files {
        let Ok(object) = std::fs::read(path) else { continue };
        let elf = object.starts_with(b"\x7fELF");
        let target = forced.or(elf.then_some(Target::ELF));
        let facts = Known(target.map(|_| view(object.len() as u64)));
        let (options, limits) = (ScanOptions::default(), Limits::default());
        let subject = Subject::new(&object, target, FileType::Any, &facts, &options, &limits);
        let mut took = u128::MAX;
        // The best of some runs: others use the machine's caches as well.
        for round in 0..rounds {
            let started = now();
            let mut on_hit = |hit: hf_match::MatchHit| {
                if round == 0 {
                    println!("  {}: {} ({})", path.display(), hit.name, hit.origin);
                    hits += 1;
                }
                ControlFlow::Continue(())
            };
            matcher.scan(&subject, &mut scratch, &mut on_hit, &mut || Ok(())).unwrap();
            took = took.min((now() - started).as_nanos());
        }
        nanos += took;
        bytes += object.len() as u64;
        slow.push((took, object.len(), path));
    }
    let each = nanos as f64 / bytes.max(1) as f64;
    println!("{} files, {} MB, {} hits", files.len(), bytes / 1_000_000, hits);
    println!("{each:.2} ns/byte, {:.0} MB/s", 1000.0 / each);
    slow.sort_unstable();
    for (took, len, path) in slow.iter().rev().take(8) {
        let each = *took as f64 / *len as f64;
        println!("  {:.1} ms, {each:.2} ns/byte {}", *took as f64 / 1e6, path.display());
    }
    println!("{}", scratch.statistics());
}

fn view(len: u64) -> ExeView {
    let section = ExeSection { raw_off: 0x400.min(len), raw_len: len / 2, ..ExeSection::default() };
    ExeView {
        kind: ExeKind::Pe,
        is_64: false,
        entry_off: Some(0x400.min(len)),
        sections: vec![section],
        version_key_offs: Vec::new(),
        overlay_off: None,
        import_string: None,
    }
}

/// Scans small objects that all differ.
fn scan_tiny(matcher: &Matcher) {
    let mut scratch = Scratch::new();
    let (options, limits) = (ScanOptions::default(), Limits::default());
    let mut state = 1u64;
    let objects: Vec<Vec<u8>> = (0..2000)
        .map(|_| {
            let mut object = b"MZ".to_vec();
            object.resize(744, 0);
            for byte in object.iter_mut().skip(200).take(300) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            object
        })
        .collect();
    let facts = Known(Some(view(744)));
    for round in 0..3 {
        let started = now();
        for object in &objects {
            let subject =
                Subject::new(object, Some(Target::PE), FileType::Msexe, &facts, &options, &limits);
            let mut on_hit = |_| ControlFlow::Continue(());
            matcher.scan(&subject, &mut scratch, &mut on_hit, &mut || Ok(())).unwrap();
        }
        println!("round {round}: {:?} for each object", (now() - started) / 2000);
    }
    println!("{}", scratch.statistics());
}
