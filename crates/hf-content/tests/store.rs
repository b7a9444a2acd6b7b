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
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const A: &str = "0123456789abcdef0123456789abcdef:68:Test.A-1\n";
const B: &str = "1123456789abcdef0123456789abcdef:69:Test.B-1\n";

/// An unsigned container of version 8 with one database.
fn container(member: &str, text: &str) -> Vec<u8> {
    let header = "ClamAV-VDB:1 Jan 2021 00-00 +0000:8:1:1:X:X:test:1609459200";
    let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    let info = format!("{header}\n{member}:{}:{digest}\n", text.len());
    let mut bytes = format!("{header:512}").into_bytes();
    for (name, text) in [("COPYING", "free"), ("test.info", &info), (member, text)] {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
        block[148..156].fill(b' ');
        block[156] = b'0';
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend(block);
        bytes.extend(text.bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

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
fn every_container_is_its_own_pack() {
    let bench = Bench::new(&[("b.hdb", B)]);
    bench.write("daily.cud", container("daily.hdb", A));
    bench.check(&[Built, Built], 2);
    bench.write("b.hdb", B.to_owned() + A);
    let content = bench.check(&[Verified, Built], 3);
    let source = &content.packs[0].pack.meta().sources[0];
    assert_eq!((source.version, source.built_at.as_str()), (Some(8), "1 Jan 2021 00-00 +0000"));
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
fn a_lost_bit_is_noticed_within_a_day() {
    let bench = Bench::new(&[("a.hdb", A)]);
    bench.check(&[Built], 1);
    bench.settle();
    bench.check(&[Verified], 1);
    bench.check(&[Stamped], 1);
    let [record] = &bench.files(".json")[..] else { panic!("one record") };
    let yesterday = SystemTime::now() - Duration::from_secs(25 * 3600);
    fs::File::open(record).unwrap().set_modified(yesterday).unwrap();
    bench.check(&[Verified], 1);
    bench.check(&[Stamped], 1);
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
    let bench = Bench::new(&[("b.hdb", B), ("x.ign2", "Test.B-1\n")]);
    bench.write("daily.cud", container("daily.hdb", A));
    bench.settle();
    bench.check(&[Built, Built], 1);
    bench.settle();
    bench.check(&[Verified, Verified], 1);
    bench.check(&[Stamped, Stamped], 1);
    bench.write("x.ign2", "Test.A-1\n");
    bench.check(&[Built, Built], 1);
    bench.write("x.ign2", "Test.B-1\n");
    let content = bench.check(&[Verified, Verified], 1);
    assert_eq!(names(&content, 0x01, 68), ["Test.A-1"]);
}

#[test]
fn lists_inside_a_cached_container_hold_for_what_is_read_after_it() {
    let bench = Bench::new(&[("b.hdb", &(A.to_owned() + B))]);
    bench.write("daily.cud", container("daily.ign2", "Test.B-1\n"));
    bench.settle();
    bench.check(&[Built, Built], 1);
    bench.settle();
    bench.check(&[Verified, Verified], 1);
    bench.write("b.hdb", B.to_owned() + A);
    let content = bench.check(&[Stamped, Built], 1);
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

/// The test key of `hf-sig` that signed the lists of members in its fixtures.
const INFO_MODULUS: &str = "\
    20659016031752706235486032121522863316924743068096350422801771836583926799283884\
    41701150190986732123906677902304168069882448242728251006664318222881188111371693\
    18319481266162204359172209181576034700468055286130495497081719206434957215362479\
    86062638949854722386676209896620022993749405026447125120226622461971969960526606\
    30470814029014864055181754537869032607337209715638269479597474962241511627441703\
    31538903540543768850261779877356048401324050231544092145265420440104773001621535\
    75071793614587120767373207066356008652687715102923717869462767089758497082491301\
    810498531194978928246222878818328267244166832177839599647";

fn fixture(name: &str) -> Vec<u8> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../hf-sig/tests/fixtures/sign/");
    fs::read(format!("{dir}{name}")).unwrap()
}

/// Opens the databases; returns the proof of the first, or the reason why it is refused.
fn open_signed(bench: &Bench, with_root: bool) -> Result<String, String> {
    let mut options = ContentOptions::default();
    let keys = &mut options.load.containers.keys;
    keys.info = hf_sig::cvd::RsaKey::from_decimal(INFO_MODULUS, 65_537);
    if with_root {
        keys.roots = hf_content::certificates(bench.dir.path()).unwrap();
        assert_eq!(keys.roots.len(), 1);
    }
    let opened = ContentStore::new(bench.cache()).open(&[bench.db()], &options);
    match opened {
        Ok(content) => Ok(content.packs[0].pack.meta().sources[0].proof.clone()),
        Err(error) => match error.kind {
            ContentErrorKind::Rejected(rejected) => Err(rejected.diagnostic.reason),
            ContentErrorKind::Read(_) => Err(error.path.display().to_string()),
            kind => Err(kind.to_string()),
        },
    }
}

#[test]
fn detached_signatures_are_looked_for() {
    let bench = Bench::new(&[]);
    fs::write(bench.dir.path().join("root.pem"), fixture("root.pem")).unwrap();
    fs::write(bench.dir.path().join("README"), "no certificate").unwrap();
    // The signature in its header is not valid: only the detached one counts. Its version is 7.
    bench.write("t.cvd", fixture("t.cvd"));
    let header = Err("the signature in the header is not valid".to_owned());
    assert_eq!(open_signed(&bench, true), header);
    bench.write("t-6.cvd.sign", fixture("t-7.cvd.sign"));
    assert_eq!(open_signed(&bench, true), header, "the signature of another version");
    bench.write("t-7.cvd.sign", fixture("t-7.cvd.sign"));
    let by_signer = Ok("detached signature by Holdfast test signer".to_owned());
    assert_eq!(open_signed(&bench, true), by_signer);
    assert_eq!(open_signed(&bench, true), by_signer, "from the cache");
    assert_eq!(open_signed(&bench, false), header, "without a certificate");
    bench.write("t-7.cvd.sign", fixture("good.sign"));
    let other = open_signed(&bench, true).unwrap_err();
    assert!(other != *header.as_ref().unwrap_err(), "another file's signature: {other}");
    fs::remove_file(bench.db().join("t-7.cvd.sign")).unwrap();
    fs::create_dir(bench.db().join("t-7.cvd.sign")).unwrap();
    let located = open_signed(&bench, true).unwrap_err();
    assert!(located.ends_with("t-7.cvd.sign"), "{located}");
}

#[test]
fn packs_that_were_compiled_elsewhere_are_opened_as_they_are() {
    let bench = Bench::new(&[("a.hdb", A), ("b.hdb", B), ("x.ign2", "Test.B-1\n")]);
    fs::write(bench.db().join("own.cud"), container("c.hdb", B)).unwrap();
    let made = |name: &str| {
        let to = bench.dir.path().join(name);
        fs::create_dir(&to).unwrap();
        let packs = hf_content::compile_folder(&bench.db(), &to).unwrap();
        let names: Vec<String> = packs.iter().map(|pack| pack.name.clone()).collect();
        let digests: Vec<_> = names.iter().map(|name| fs::read(to.join(name)).unwrap()).collect();
        (to, names, digests)
    };
    let (to, names, digests) = made("one");
    assert_eq!(names, ["own.pack", "loose.pack"]);
    assert_eq!(made("two").2, digests, "the same bytes in every folder");
    let store = ContentStore::in_memory();
    let opened = store.open(std::slice::from_ref(&to), &ContentOptions::default()).unwrap();
    let origins: Vec<PackOrigin> = opened.packs.iter().map(|pack| pack.origin).collect();
    assert_eq!(origins, [PackOrigin::Given; 2]);
    assert!(opened.warnings.is_empty(), "{:?}", opened.warnings);
    fs::write(to.join("loose.pack"), b"not a pack").unwrap();
    let error = store.open(&[to], &ContentOptions::default()).unwrap_err();
    assert!(matches!(error.kind, ContentErrorKind::Open(_)), "{error}");
}

#[test]
fn packs_of_whoever_owns_the_databases_are_used() {
    let bench = Bench::new(&[("a.hdb", A)]);
    let shared = bench.dir.path().join("shared");
    let make = || {
        let _ = fs::remove_dir_all(&shared);
        let options = ContentOptions::default();
        ContentStore::new(&shared).open(&[bench.db()], &options).unwrap();
    };
    // With a cache of its own each time.
    let mut number = 0;
    let mut origins = |rounds: usize| {
        number += 1;
        let cache = bench.dir.path().join(format!("own{number}"));
        let store = ContentStore::new(&cache).with_shared(Some(shared.clone()));
        let opened = (0..rounds).map(|_| {
            let content = store.open(&[bench.db()], &ContentOptions::default()).unwrap();
            (content.packs[0].origin, content.warnings)
        });
        let opened: Vec<_> = opened.collect();
        let own = fs::read_dir(&cache).unwrap().flatten();
        let packs = own.filter(|entry| entry.path().extension().is_some_and(|e| e == "pack"));
        (opened, packs.count())
    };
    make();
    bench.settle();
    let (opened, packs) = origins(2);
    assert_eq!((&opened[0].0, packs), (&Verified, 0), "{opened:?}");
    assert_eq!(opened[1].0, Stamped, "{opened:?}");
    // Not from a folder that others can write to.
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    let (opened, packs) = origins(1);
    assert_eq!((&opened[0].0, packs), (&Built, 1), "{opened:?}");
    // An altered one is told, and left where it is.
    make();
    let mut paths = fs::read_dir(&shared).unwrap().flatten().map(|entry| entry.path());
    let pack = paths.find(|path| path.extension().is_some_and(|e| e == "pack")).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&pack, &bytes).unwrap();
    let (opened, packs) = origins(1);
    assert_eq!((&opened[0].0, packs), (&Built, 1), "{opened:?}");
    assert!(opened[0].1.iter().any(|text| text.contains("is not used")), "{opened:?}");
    assert_eq!(fs::read(&pack).unwrap(), bytes);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Nobody's packs are believed for databases of root, but for nobody's own.
    make();
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).unwrap();
    give(&shared);
    fs::read_dir(&shared).unwrap().flatten().for_each(|entry| give(&entry.path()));
    assert_eq!(origins(1).0[0].0, Built);
    give(&bench.db().join("a.hdb"));
    bench.settle();
    // Copied: who could write to it under the map is neither root nor we.
    let (opened, packs) = origins(2);
    assert_eq!((&opened[0].0, packs), (&Verified, 1), "{opened:?}");
    bench.settle();
    let (opened, _) = origins(2);
    assert_eq!(opened[0].0, Verified, "{opened:?}");
}
