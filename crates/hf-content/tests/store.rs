//! Content opened from files, with a cache that is fresh, stale, altered, cut off, or not ours.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hf_content::{
    ContentErrorKind, ContentOptions, ContentStore, OpenedContent, PackOrigin, compile_in_memory,
};
use hf_core::signature::HashOf;
use hf_match::HashTables;
use tempfile::TempDir;

const A: &str = "0123456789abcdef0123456789abcdef:68:Test.A-1\n";
const B: &str = "1123456789abcdef0123456789abcdef:69:Test.B-1\n";

struct Bench {
    dir: TempDir,
}

impl Bench {
    /// Databases old enough for their stamps.
    fn new(databases: &[(&str, &str)]) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.db()).unwrap();
        for (name, text) in databases {
            bench.write(name, text);
        }
        bench.settle();
        bench
    }

    fn db(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.db().join(name), text).unwrap();
    }

    /// Waits until the kernel's clock for files has moved on, as it does between real updates.
    fn settle(&self) {
        let changed = SystemTime::now();
        while changed.elapsed().is_ok_and(|age| age < Duration::from_millis(60)) {
            std::hint::spin_loop();
        }
    }

    fn open(&self) -> OpenedContent {
        ContentStore::new(self.cache()).open(&[self.db()], &ContentOptions::default()).unwrap()
    }

    /// `Verified` stands for either way out of the cache: on a slow disk, a pack is old enough for
    /// its stamp as soon as it is written.
    #[track_caller]
    fn check(&self, want: &[PackOrigin], signatures: u64) -> OpenedContent {
        let content = self.open();
        for (opened, want) in content.packs.iter().zip(want) {
            let got = opened.origin;
            let cached = *want == Verified && got == Stamped;
            assert!(got == *want || cached, "{got:?}, not {want:?}: {:?}", content.warnings);
        }
        assert_eq!(content.packs.len(), want.len());
        assert_eq!(content.signatures(), signatures);
        for opened in &content.packs {
            opened.pack.verify().unwrap();
        }
        content
    }

    fn files(&self, suffix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
        files.sort();
        files
    }
}

fn names(content: &OpenedContent, digest: u8, size: u64) -> Vec<String> {
    let mut wanted: Vec<u8> =
        (0..16).map(|n| [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef][n % 8]).collect();
    wanted[0] = digest;
    let hits = content
        .packs
        .iter()
        .flat_map(|opened| HashTables::open(&opened.pack).find(HashOf::Object, &wanted, size));
    hits.map(|hit| hit.name).collect()
}

use PackOrigin::{Built, InMemory, Stamped, Verified};

#[test]
fn built_once_then_stamped() {
    let bench = Bench::new(&[("a.hdb", A), ("b.hdb", B)]);
    let content = bench.check(&[Built], 2);
    assert_eq!(names(&content, 0x01, 68), ["Test.A-1"]);
    assert_eq!(names(&content, 0x11, 69), ["Test.B-1"]);
    bench.settle();
    // A small pack's stamp is believed from the second start on.
    bench.check(&[Verified], 2);
    bench.check(&[Stamped], 2);
    assert_eq!(bench.files(".pack").len(), 1);
    assert_eq!(bench.files(".lock"), [] as [PathBuf; 0]);
}

#[test]
fn same_input_same_bytes() {
    let packs = [0, 1].map(|_| {
        let bench = Bench::new(&[("a.hdb", A), ("b.hdb", B)]);
        bench.check(&[Built], 2).packs[0].pack.as_bytes().to_vec()
    });
    assert_eq!(packs[0], packs[1]);
}

#[test]
fn a_touched_source_is_read_but_not_compiled() {
    let bench = Bench::new(&[("a.hdb", A)]);
    bench.check(&[Built], 1);
    bench.write("a.hdb", A);
    bench.check(&[Verified], 1);
    bench.write("a.hdb", B);
    let content = bench.check(&[Built], 1);
    assert_eq!(names(&content, 0x11, 69), ["Test.B-1"]);
    bench.write("a.hdb", A);
    let content = bench.check(&[Verified], 1);
    assert_eq!(names(&content, 0x01, 68), ["Test.A-1"]);
    assert_eq!(bench.files(".pack").len(), 2, "the predecessor stays for roll-back");
}

#[test]
fn an_altered_pack_is_refused_and_built_again() {
    for alter in [
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1),
        |bytes: &mut Vec<u8>| bytes.truncate(10),
        |bytes: &mut Vec<u8>| bytes.clear(),
        |bytes: &mut Vec<u8>| bytes[100] ^= 1,
        |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 0x80,
        |bytes: &mut Vec<u8>| bytes[0] = b'X',
    ] {
        let bench = Bench::new(&[("a.hdb", A)]);
        bench.check(&[Built], 1);
        bench.settle();
        bench.check(&[Verified], 1);
        bench.check(&[Stamped], 1);
        let [pack] = &bench.files(".pack")[..] else { panic!("one pack") };
        let good = fs::read(pack).unwrap();
        let mut bytes = good.clone();
        alter(&mut bytes);
        fs::write(pack, bytes).unwrap();
        let content = bench.check(&[Built], 1);
        assert!(
            content.warnings[0].contains("in the cache is not used: "),
            "{:?}",
            content.warnings
        );
        assert_eq!(fs::read(pack).unwrap(), good);
    }
}

#[test]
fn a_damaged_record_costs_only_time() {
    let bench = Bench::new(&[("a.hdb", A)]);
    bench.check(&[Built], 1);
    for text in ["", "{}", "null", "[[[["] {
        fs::write(&bench.files(".json")[0], text).unwrap();
        bench.check(&[Verified], 1);
    }
    fs::remove_file(&bench.files(".pack")[0]).unwrap();
    bench.check(&[Built], 1);
}

#[test]
fn ignore_lists_hold_for_every_pack() {
    let bench = Bench::new(&[("a.hdb", A), ("b.hdb", B), ("x.ign2", "Test.B-1\n")]);
    bench.check(&[Built], 1);
    bench.settle();
    bench.check(&[Verified], 1);
    bench.check(&[Stamped], 1);
    bench.write("x.ign2", "Test.A-1\n");
    bench.check(&[Built], 1);
    bench.write("x.ign2", "Test.B-1\n");
    let content = bench.check(&[Verified], 1);
    assert_eq!(names(&content, 0x01, 68), ["Test.A-1"]);
}

#[test]
fn a_malformed_database_leaves_nothing_behind() {
    let bench = Bench::new(&[("a.hdb", A), ("bad.hdb", "no digest\n")]);
    let refused = ContentStore::new(bench.cache())
        .open(&[bench.db()], &ContentOptions::default())
        .unwrap_err();
    assert_eq!(refused.path, bench.db().join("bad.hdb"));
    assert!(matches!(refused.kind, ContentErrorKind::Rejected(_)));
    assert_eq!(fs::read_dir(bench.cache()).unwrap().count(), 0);
}

#[test]
fn a_cut_off_build_leaves_the_old_pack() {
    let bench = Bench::new(&[("a.hdb", A)]);
    bench.check(&[Built], 1);
    // What a killed builder leaves: a draft without its lock, and a lock file that nobody holds.
    let draft = bench.cache().join("draft-1-0");
    fs::write(&draft, "HFPACK").unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(&draft).unwrap().set_modified(hour_ago).unwrap();
    fs::write(bench.files(".pack")[0].with_extension("lock"), "").unwrap();
    bench.check(&[Verified], 1);
    bench.write("b.hdb", B);
    bench.check(&[Built], 2);
    assert!(!draft.exists(), "removed by the next build");
}

#[test]
fn unused_packs_are_removed_and_the_newest_kept() {
    let bench = Bench::new(&[]);
    for n in 0..20 {
        bench.write("a.hdb", A.replace("A-1", &format!("A-{n}")));
        bench.check(&[Built], 1);
    }
    assert_eq!(bench.files(".pack").len(), 17, "16 others and the one in use");
    let long_ago = SystemTime::now() - Duration::from_secs(60 * 24 * 3600);
    for path in bench.files("") {
        fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }
    bench.write("a.hdb", B);
    bench.check(&[Built], 1);
    assert_eq!(bench.files(".pack").len(), 1);
}

#[test]
fn without_a_cache_of_our_own_packs_live_in_memory() {
    let bench = Bench::new(&[("a.hdb", A)]);
    fs::create_dir(bench.cache()).unwrap();
    fs::set_permissions(bench.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    let content = bench.check(&[InMemory], 1);
    assert!(content.warnings[0].contains("others can write"), "{:?}", content.warnings);
    assert!(content.packs[0].pack.file().is_some(), "a worker can be given its descriptor");
    fs::remove_dir(bench.cache()).unwrap();
    fs::write(bench.cache(), "a file in its place").unwrap();
    bench.check(&[InMemory], 1);
    let content = ContentStore::in_memory().open(&[bench.db()], &ContentOptions::default());
    assert_eq!(content.unwrap().warnings, [] as [String; 0]);
}

#[test]
fn a_pack_that_others_could_write_is_not_believed() {
    let bench = Bench::new(&[("a.hdb", A)]);
    bench.check(&[Built], 1);
    let pack = &bench.files(".pack")[0];
    fs::set_permissions(pack, fs::Permissions::from_mode(0o666)).unwrap();
    bench.check(&[Built], 1);
    fs::remove_file(pack).unwrap();
    std::os::unix::fs::symlink("/dev/zero", pack).unwrap();
    bench.check(&[Built], 1);
    assert!(pack.symlink_metadata().unwrap().is_file());
}

#[test]
fn many_builders_at_once() {
    let bench = Bench::new(&[("a.hdb", A), ("b.hdb", B)]);
    let origins: Vec<PackOrigin> = std::thread::scope(|scope| {
        let builders: Vec<_> =
            (0..8).map(|_| scope.spawn(|| bench.open().packs[0].origin)).collect();
        builders.into_iter().map(|builder| builder.join().unwrap()).collect()
    });
    assert_eq!(origins.iter().filter(|origin| **origin == Built).count(), 1, "{origins:?}");
    bench.check(&[Verified], 2);
}

#[test]
fn built_in_content() {
    let pack = compile_in_memory(&[("a.hdb", A.as_bytes())], &ContentOptions::default()).unwrap();
    assert_eq!(pack.meta().signatures, 1);
    let bad = compile_in_memory(&[("a.hdb", b"x")], &ContentOptions::default()).unwrap_err();
    assert_eq!(bad.path, Path::new("a.hdb"));
}
