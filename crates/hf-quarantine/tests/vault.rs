//! The vault end to end: what goes in comes out, whatever it is, and nothing else is touched.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up is to fail")]

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use hf_core::Verdict;
use hf_quarantine::vault::Provenance;
use hf_quarantine::{
    Action, By, Content, EntryError, Finding, Form, Guard, Identity, OsPackages, Outcome,
    QuarantineSink as _, Raw, Retention, Seen, TakeError, Target, Vault, VaultError, Why,
};
use rustix::fs::{Timespec, Timestamps, XattrFlags};

fn provenance() -> Provenance {
    Provenance {
        findings: vec![Finding {
            name: "Test.Bad".to_owned(),
            place: vec![Raw(b"in\xffner".to_vec())],
            origin: "test.ndb:1".to_owned(),
        }],
        content: vec![Content::new("test.ndb", Some(7), "aa")],
        by: By::this_process("test"),
    }
}

struct Setup {
    folder: tempfile::TempDir,
    vault: Vault,
}

fn setup() -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::create(&folder.path().join("vault")).unwrap();
    Setup { folder, vault }
}

impl Setup {
    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn take(&self, path: &Path) -> Result<hf_quarantine::Record, TakeError> {
        let file = File::open(path).unwrap();
        let seen = Identity::of(&file).unwrap();
        self.vault.take(path, &file, &seen, provenance()).map(|taken| taken.record)
    }

    /// Returns the names of all that lies around in the folder of the files.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn entries(&self) -> usize {
        fs::read_dir(self.vault.path().join("entries")).unwrap().count()
    }
}

fn bytes_of(len: usize) -> Vec<u8> {
    let mut state = 7u32;
    let next = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next(&mut state)).collect()
}

#[test]
fn every_size_comes_back() {
    let setup = setup();
    for len in [0, 1, 65_535, 65_536, 65_537, 131_072, 300_001] {
        let bytes = bytes_of(len);
        let path = setup.write("bad", &bytes);
        let record = setup.take(&path).unwrap();
        assert!(!path.exists(), "{len}");
        assert_eq!(setup.names(), ["vault"]);
        // Nothing of it can be seen in the vault.
        if len > 64 {
            let entry = setup.vault.path().join("entries").join(record.id.to_string());
            let stored = fs::read(entry).unwrap();
            assert!(!stored.windows(32).any(|window| window == &bytes[..32]));
        }
        setup.vault.restore(record.id, &Target::default()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "{len}");
        assert_eq!((setup.entries(), setup.names()), (0, vec!["bad".into(), "vault".into()]));
    }
}

/// `system.posix_acl_access` with an entry for user 12 (read). Source: linux/posix_acl_xattr.h.
fn acl() -> Vec<u8> {
    let mut acl = 2u32.to_le_bytes().to_vec();
    let none = u32::MAX;
    for (tag, perm, id) in
        [(1u16, 6u16, none), (2, 4, 12), (4, 4, none), (0x10, 4, none), (0x20, 0, none)]
    {
        acl.extend(tag.to_le_bytes());
        acl.extend(perm.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

/// Folders on the file systems that this machine has.
fn file_systems() -> Vec<PathBuf> {
    let all = ["/tmp", "/dev/shm", "/var/tmp"];
    all.iter().map(PathBuf::from).filter(|path| path.is_dir()).collect()
}

#[test]
fn everything_about_it_comes_back() {
    let root = rustix::process::geteuid().is_root();
    let mut lists_tried = 0;
    for base in file_systems() {
        let setup = setup();
        let away = tempfile::tempdir_in(&base).unwrap();
        let folder = fs::canonicalize(away.path()).unwrap();
        let name = std::ffi::OsStr::from_bytes(b"na\xffme\n\x1b[31m");
        let path = folder.join(name);
        fs::write(&path, b"bytes").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let set = |name: &str, value: &[u8]| {
            rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty()).is_ok()
        };
        let mut wanted = vec![("user.holdfast", set("user.holdfast", b"\0\xff"))];
        if root {
            std::os::unix::fs::fchown(&file, Some(12), Some(34)).unwrap();
            wanted.push(("trusted.holdfast", set("trusted.holdfast", b"t")));
            // cap_net_raw+ep, version 2. Source: linux/capability.h.
            let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            wanted.push(("security.capability", set("security.capability", &capability)));
        }
        let mode = if root { 0o6640 } else { 0o640 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        wanted.push(("system.posix_acl_access", set("system.posix_acl_access", &acl())));
        lists_tried += usize::from(wanted.iter().all(|(_, set)| *set));
        let time = |s, ns| Timespec { tv_sec: s, tv_nsec: ns };
        let times =
            Timestamps { last_access: time(-5, 123_456_789), last_modification: time(99, 1) };
        rustix::fs::futimens(&file, &times).unwrap();
        drop(file);
        let mode_before = fs::metadata(&path).unwrap().mode();

        let file = File::from(
            rustix::fs::open(
                &path,
                rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOATIME,
                rustix::fs::Mode::empty(),
            )
            .unwrap(),
        );
        let seen = Identity::of(&file).unwrap();
        let record = setup.vault.take(&path, &file, &seen, provenance()).unwrap().record;
        assert!(fs::read_dir(&folder).unwrap().next().is_none());
        assert_eq!(record.path.0, path.as_os_str().as_bytes());
        assert_eq!(record.findings[0].place[0].0, b"in\xffner");
        assert_eq!((record.size, record.metadata.links, record.version), (5, 1, 1));
        let restored = setup.vault.restore(record.id, &Target::default()).unwrap();
        assert_eq!(restored.lost, Vec::<String>::new());

        let file = File::open(&path).unwrap();
        let meta = fs::metadata(&path).unwrap();
        // Before anything reads it.
        assert_eq!((meta.atime(), meta.atime_nsec()), (-5, 123_456_789), "{}", base.display());
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (99, 1));
        assert_eq!(meta.mode(), mode_before);
        if root {
            assert_eq!((meta.uid(), meta.gid()), (12, 34));
        }
        for (name, set) in wanted {
            let mut value = vec![0u8; 4096];
            let got = rustix::fs::fgetxattr(&file, name, &mut value[..]);
            assert_eq!(got.is_ok(), set, "{name} on {}", base.display());
            if set && name == "system.posix_acl_access" {
                assert_eq!(value[..got.unwrap()], acl());
            }
        }
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
    }
    assert!(lists_tried > 0 || !root, "no file system here has access control lists");
}

#[test]
fn what_is_not_the_scanned_file_stays() {
    type Change = fn(&Setup, &Path);
    type Wanted = fn(&TakeError) -> bool;
    let cases: &[(&str, Change, Wanted)] = &[
        (
            "replaced",
            |setup, path| {
                fs::rename(path, setup.path("old")).unwrap();
                fs::write(path, "another").unwrap();
            },
            // The rename changed the inode as well.
            |error| matches!(error, TakeError::Changed | TakeError::Replaced),
        ),
        (
            "written to",
            |_, path| fs::write(path, "longer than before").unwrap(),
            |error| matches!(error, TakeError::Changed),
        ),
        (
            "written to, with the old time",
            |_, path| {
                let before = fs::metadata(path).unwrap().modified().unwrap();
                fs::write(path, "BAD").unwrap();
                File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
            },
            |error| matches!(error, TakeError::Changed),
        ),
        (
            "a link in its place",
            |setup, path| {
                fs::rename(path, setup.path("old")).unwrap();
                symlink(setup.path("victim"), path).unwrap();
            },
            |error| matches!(error, TakeError::Changed | TakeError::Replaced),
        ),
        (
            "gone",
            |_, path| fs::remove_file(path).unwrap(),
            |error| matches!(error, TakeError::Io(_)),
        ),
    ];
    for (name, change, wanted) in cases {
        for action in ["quarantine", "remove"] {
            let setup = setup();
            let victim = setup.write("victim", b"victim");
            let path = setup.write("bad", b"bad");
            let file = File::open(&path).unwrap();
            let identity = Identity::of(&file).unwrap();
            change(&setup, &path);
            let before = (setup.names(), fs::read(&path).ok());
            let action = match action {
                "remove" => Action::Remove,
                _ => Action::Quarantine(Vault::open(setup.vault.path()).unwrap()),
            };
            let guard = Guard { action, packages: None, dry_run: false };
            let (verdict, provenance) = (Verdict::Detected, provenance());
            let seen = Seen { path: &path, file: &file, identity, verdict, provenance };
            match guard.act(seen) {
                Outcome::Failed(error) => assert!(wanted(&error), "{name}: {error:?}"),
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!((setup.names(), fs::read(&path).ok()), before, "{name}");
            assert_eq!(fs::read(victim).unwrap(), b"victim");
            assert_eq!(setup.entries(), 0, "{name}");
        }
    }
}

#[test]
fn only_a_detection_leads_to_an_action() {
    let setup = setup();
    let path = setup.write("bad", b"bad");
    let file = File::open(&path).unwrap();
    let identity = Identity::of(&file).unwrap();
    let seen =
        |verdict| Seen { path: &path, file: &file, identity, verdict, provenance: provenance() };
    let mut guard = Guard { action: Action::Remove, packages: None, dry_run: false };
    for verdict in [Verdict::Clean, Verdict::Error, Verdict::Incomplete] {
        assert!(matches!(guard.act(seen(verdict)), Outcome::Nothing));
    }
    guard.action = Action::Report;
    assert!(matches!(guard.act(seen(Verdict::Detected)), Outcome::Nothing));
    guard.dry_run = true;
    for action in [Action::Remove, Action::Quarantine(Vault::open(setup.vault.path()).unwrap())] {
        guard.action = action;
        assert!(matches!(guard.act(seen(Verdict::Detected)), Outcome::Would));
    }
    assert_eq!((setup.names(), setup.entries()), (vec!["bad".into(), "vault".into()], 0));
}

#[test]
fn what_packages_made_is_spared_until_it_changes() {
    let setup = setup();
    let dpkg = setup.path("dpkg");
    fs::create_dir_all(dpkg.join("info")).unwrap();
    let own = |name: &str| setup.path(name).to_str().unwrap()[1..].to_owned();
    let digest = {
        use md5::Digest as _;
        hf_core::hex::to_hex(&md5::Md5::digest(b"packaged"))
    };
    fs::write(dpkg.join("info/p.md5sums"), format!("{digest}  {}\n", own("tool"))).unwrap();
    let status = format!("Package: p\nConffiles:\n /{} {digest}\nX: y\n", own("conf"));
    fs::write(dpkg.join("status"), status).unwrap();
    let guard = |packages: bool| Guard {
        action: Action::Quarantine(Vault::open(setup.vault.path()).unwrap()),
        packages: packages.then(|| OsPackages::new(&dpkg)),
        dry_run: false,
    };
    let act = |guard: &Guard, path: &Path| {
        let file = File::open(path).unwrap();
        let identity = Identity::of(&file).unwrap();
        let (verdict, provenance) = (Verdict::Detected, provenance());
        guard.act(Seen { path, file: &file, identity, verdict, provenance })
    };
    for name in ["tool", "conf"] {
        let path = setup.write(name, b"packaged");
        assert!(matches!(act(&guard(true), &path), Outcome::Spared), "{name}");
        assert!(path.exists());
        assert!(matches!(act(&guard(false), &path), Outcome::Quarantined { .. }));
        let path = setup.write(name, b"infected");
        assert!(matches!(act(&guard(true), &path), Outcome::Quarantined { .. }), "{name}");
    }
    let copy = setup.write("copy", b"packaged");
    assert!(matches!(act(&guard(true), &copy), Outcome::Quarantined { .. }));
}

#[test]
fn this_distribution_is_known() {
    let path = fs::canonicalize("/bin/ls").unwrap();
    if !Path::new("/var/lib/dpkg/info/coreutils.md5sums").exists() {
        eprintln!("skipped: this is no Debian");
        return;
    }
    let packages = OsPackages::default();
    assert!(packages.vouch_for(&path, &File::open(&path).unwrap()).unwrap());
    let other = File::open("/bin/cat").unwrap();
    assert!(!packages.vouch_for(&path, &other).unwrap());
}

#[test]
fn other_names_of_the_same_file_are_told() {
    let setup = setup();
    let path = setup.write("bad", b"bad");
    fs::hard_link(&path, setup.path("second")).unwrap();
    let file = File::open(&path).unwrap();
    let seen = Identity::of(&file).unwrap();
    let taken = setup.vault.take(&path, &file, &seen, provenance()).unwrap();
    assert_eq!((taken.record.metadata.links, taken.links_left), (2, 1));
    assert_eq!(setup.names(), ["second", "vault"]);
}

#[test]
fn restoring_overwrites_only_when_told() {
    let setup = setup();
    let path = setup.write("bad", b"bad");
    let id = setup.take(&path).unwrap().id;
    let other = setup.write("bad", b"new");
    let exists = |target: &Target| {
        let error = setup.vault.restore(id, target).unwrap_err();
        assert!(matches!(error, hf_quarantine::RestoreError::Exists(_)), "{error}");
    };
    exists(&Target::default());
    // A link, even a dangling one, is something.
    symlink("nowhere", setup.path("link")).unwrap();
    let to = |name: &str| Target { to: Some(setup.path(name)), ..Target::default() };
    exists(&to("link"));
    fs::create_dir(setup.path("folder")).unwrap();
    let keep = Target { keep: true, ..to("folder") };
    assert_eq!(setup.vault.restore(id, &keep).unwrap().path, setup.path("folder/bad"));
    exists(&keep);
    assert!(setup.vault.restore(id, &to("none/bad")).is_err());
    assert_eq!(fs::read(&other).unwrap(), b"new");
    assert_eq!(setup.vault.ids().unwrap(), [id]);
    setup.vault.restore(id, &Target { overwrite: true, ..Target::default() }).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"bad");
    assert_eq!(setup.names(), ["bad", "folder", "link", "vault"]);
}

#[test]
fn a_folder_that_became_a_link_is_not_followed() {
    let setup = setup();
    fs::create_dir(setup.path("folder")).unwrap();
    fs::create_dir(setup.path("precious")).unwrap();
    let path = setup.write("folder/bad", b"bad");
    let id = setup.take(&path).unwrap().id;
    fs::remove_dir(setup.path("folder")).unwrap();
    symlink("precious", setup.path("folder")).unwrap();
    let error = setup.vault.restore(id, &Target::default()).unwrap_err();
    assert!(matches!(error, hf_quarantine::RestoreError::Folder { .. }), "{error}");
    assert!(fs::read_dir(setup.path("precious")).unwrap().next().is_none());
    assert_eq!(setup.vault.ids().unwrap(), [id]);
}

#[test]
fn any_changed_byte_is_noticed() {
    let setup = setup();
    let path = setup.write("bad", &bytes_of(70_000));
    let id = setup.take(&path).unwrap().id;
    let entry = setup.vault.path().join("entries").join(id.to_string());
    let stored = fs::read(&entry).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&entry, bytes).unwrap();
        let error = setup.vault.restore(id, &Target::default());
        let damaged =
            |error: &EntryError| matches!(error, EntryError::Damaged(_) | EntryError::Io(_));
        match error {
            Err(hf_quarantine::RestoreError::Entry(error)) if damaged(&error) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(setup.names(), ["vault"], "{what}");
    };
    let near_end = stored.len() - 700..stored.len();
    for off in (0..80).chain((80..stored.len()).step_by(7919)).chain(near_end) {
        let mut changed = stored.clone();
        changed[off] ^= 1;
        refused(&changed, &format!("byte {off}"));
    }
    for len in [0, 1, 55, 56, 1000, stored.len() - 1] {
        refused(&stored[..len], &format!("cut to {len}"));
    }
    // An entry under another's name.
    fs::write(&entry, &stored).unwrap();
    let other = hf_quarantine::Id(id.0 ^ 1);
    fs::copy(&entry, setup.vault.path().join("entries").join(other.to_string())).unwrap();
    assert!(matches!(setup.vault.reader(other), Err(EntryError::Damaged(_))));
    setup.vault.restore(id, &Target::default()).unwrap();
}

#[test]
fn a_vault_for_others_is_refused() {
    let setup = setup();
    let path = setup.vault.path().to_path_buf();
    let open = |want: fn(&VaultError) -> bool| {
        let error = Vault::open(&path).unwrap_err();
        assert!(want(&error), "{error}");
        assert!(Vault::create(&path).is_err());
    };
    let not_ours: fn(&VaultError) -> bool = |error| matches!(error, VaultError::NotOurs { .. });
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&path, 0o750);
    open(not_ours);
    mode(&path, 0o700);
    mode(&path.join("key"), 0o640);
    open(not_ours);
    mode(&path.join("key"), 0o600);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12), None).unwrap();
        open(not_ours);
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    }
    setup.take(&setup.write("bad", b"bad")).unwrap();
    fs::rename(path.join("key"), path.join("away")).unwrap();
    open(|error| matches!(error, VaultError::Key(_)));
    fs::rename(path.join("away"), path.join("key")).unwrap();
    fs::rename(&path, setup.path("real")).unwrap();
    symlink("real", &path).unwrap();
    open(not_ours);
}

#[test]
fn limits_take_the_oldest_first() {
    let setup = setup();
    let ids: Vec<_> = (0..3)
        .map(|n| setup.take(&setup.write(format!("bad{n}"), &bytes_of(1000))).unwrap().id)
        .collect();
    let mut sorted = ids.clone();
    sorted.sort();
    let whole: u64 = setup.vault.list().unwrap().iter().map(|row| row.stored_len).sum();
    let now = sorted[2].0 >> 32;
    let expired = |max_age_s, max_bytes, now| -> Vec<_> {
        let limits = Retention { max_age_s, max_bytes };
        let expired = setup.vault.expired(&limits, now).unwrap();
        expired.iter().map(|expiry| (expiry.id, expiry.why)).collect()
    };
    assert_eq!(expired(None, None, now + 10_000_000), []);
    assert_eq!(expired(Some(3600), Some(whole), now), []);
    assert_eq!(expired(None, Some(whole - 1), now), [(sorted[0], Why::Size)]);
    let all: Vec<_> = sorted.iter().map(|id| (*id, Why::Age)).collect();
    assert_eq!(expired(Some(3600), None, now + 3700), all);
    for expiry in
        setup.vault.expired(&Retention { max_age_s: None, max_bytes: Some(0) }, now).unwrap()
    {
        assert!(expiry.record.is_some());
        setup.vault.expire(&expiry).unwrap();
        setup.vault.expire(&expiry).unwrap();
    }
    assert_eq!(setup.vault.ids().unwrap(), []);
}

#[test]
fn analysts_can_open_what_is_exported() {
    let setup = setup();
    let bytes = bytes_of(200_000);
    let id = setup.take(&setup.write("some thing;.exe", &bytes)).unwrap().id;
    let mut plain = Vec::new();
    setup.vault.export(id, Form::Plain, &mut plain).unwrap();
    assert_eq!(plain, bytes);
    let archive = setup.path("export.zip");
    setup.vault.export(id, Form::Zip, &mut File::create(&archive).unwrap()).unwrap();
    let inside = format!("{id}/file-some_thing_.exe");
    let openers: &[(&str, &[&str])] = &[
        ("unzip", &["-P", "infected", "-p"]),
        ("7z", &["x", "-pinfected", "-so"]),
        ("bsdtar", &["--passphrase", "infected", "-xOf"]),
        (
            "python3",
            &[
                "-c",
                "import sys,zipfile as z; sys.stdout.buffer.write(z.ZipFile(sys.argv[1]).read(sys.argv[2],b'infected'))",
            ],
        ),
    ];
    for (program, args) in openers {
        let opened =
            std::process::Command::new(program).args(*args).arg(&archive).arg(&inside).output();
        match opened {
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{program}: {errors}");
                assert!(output.stdout == bytes, "{program}: other bytes; {errors}");
            }
            Err(_) if std::env::var_os("CI").is_some() => panic!("{program} is missing"),
            Err(_) => eprintln!("skipped: {program} is missing"),
        }
    }
    let mut all = Vec::new();
    File::open(&archive).unwrap().read_to_end(&mut all).unwrap();
    assert!(!all.windows(32).any(|window| window == &bytes[..32]));
}

#[test]
fn names_may_be_short() {
    let setup = setup();
    let id = setup.take(&setup.write("bad", b"bad")).unwrap().id.to_string();
    for len in [1, 8, 16] {
        assert_eq!(setup.vault.find(&id[..len]).unwrap().to_string(), id);
    }
    assert!(matches!(setup.vault.find(""), Err(EntryError::Ambiguous)));
    assert!(matches!(setup.vault.find("zz"), Err(EntryError::NotFound)));
}
