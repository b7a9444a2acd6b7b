//! A process that is killed at any instant loses nothing: the original is there, or its entry is complete.
//!
//! The test starts itself under `strace`, which kills it at the entry of its first system call of those that change
//! something, then at the second, until it comes to its end. The thread that works is the only one.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up is to fail")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use hf_quarantine::vault::Provenance;
use hf_quarantine::{Identity, Target, Vault};

const CHANGES: &str = "write,pwrite64,fsync,fdatasync,openat,mkdir,mkdirat,rename,renameat,renameat2,\
                       link,linkat,unlink,unlinkat,rmdir,fchown,fchmod,fsetxattr,utimensat,ftruncate,flock";

const BYTES: &[u8] = b"the only copy of something";

/// What the child does; nothing unless it is the child.
#[test]
fn child() {
    let Some(work) = std::env::var_os("HF_QUARANTINE_CHILD") else { return };
    let folder = std::path::PathBuf::from(std::env::var_os("HF_QUARANTINE_FOLDER").unwrap());
    let vault = Vault::create(&folder.join("vault")).unwrap();
    match work.to_str().unwrap() {
        "take" => take(&vault, &folder.join("files/bad")),
        "restore" => {
            vault.restore(vault.ids().unwrap()[0], &Target::default()).unwrap();
        }
        _ => vault.delete(vault.ids().unwrap()[0]).unwrap(),
    }
}

fn take(vault: &Vault, path: &Path) {
    let file = File::open(path).unwrap();
    let seen = Identity::of(&file).unwrap();
    vault.take(path, &file, &seen, Provenance::default()).unwrap();
}

fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).output();
    let can = traced.is_ok_and(|output| output.status.success());
    if !can {
        assert!(std::env::var_os("CI").is_none(), "strace is missing or may not trace");
        eprintln!("skipped: strace is missing or may not trace");
    }
    can
}

/// Runs the child, killed at its `n`th change; returns whether it was killed.
fn killed(work: &str, folder: &Path, n: u32) -> bool {
    let inject = format!("inject={CHANGES}:signal=KILL:when={n}");
    let trace = format!("trace={CHANGES}");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
        .arg(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--test-threads=1"])
        .env("HF_QUARANTINE_CHILD", work)
        .env("HF_QUARANTINE_FOLDER", folder)
        .output()
        .unwrap();
    if status.status.success() {
        return false;
    }
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(!text.contains("panicked") && !text.contains("FAILED"), "{work} {n}: {text}");
    true
}

fn complete(vault: &Vault) -> usize {
    let ids = vault.ids().unwrap();
    for id in &ids {
        let mut bytes = Vec::new();
        let reader = vault.reader(*id).unwrap();
        reader
            .body(&mut |chunk| {
                bytes.extend_from_slice(chunk);
                Ok(())
            })
            .unwrap();
        assert_eq!(bytes, BYTES);
    }
    ids.len()
}

/// Kills `work` everywhere; returns how often.
fn everywhere(work: &str, prepare: &dyn Fn(&Vault, &Path)) -> u32 {
    for n in 1..400 {
        let temp = tempfile::tempdir().unwrap();
        let folder = fs::canonicalize(temp.path()).unwrap();
        fs::create_dir(folder.join("files")).unwrap();
        let original = folder.join("files/bad");
        fs::write(&original, BYTES).unwrap();
        if work != "take" {
            let vault = Vault::create(&folder.join("vault")).unwrap();
            prepare(&vault, &original);
        }
        let was_killed = killed(work, &folder, n);
        let before = fs::read(&original).ok();
        assert!(before.as_deref().is_none_or(|bytes| bytes == BYTES), "{work} {n}: half a file");
        // The next to come puts things in order.
        let vault = Vault::create(&folder.join("vault")).unwrap();
        let original = fs::read(&original).ok();
        assert!(original.as_deref().is_none_or(|bytes| bytes == BYTES), "{work} {n}: half a file");
        let entries = complete(&vault);
        if work != "delete" {
            assert!(original.is_some() || entries == 1, "{work} {n}: lost");
        }
        let around = fs::read_dir(folder.join("files")).unwrap().count();
        assert_eq!(around, usize::from(original.is_some()), "{work} {n}: something lies around");
        let new = fs::read_dir(folder.join("vault/entries")).unwrap().count();
        let pending = fs::read_dir(folder.join("vault/pending")).unwrap().count();
        assert_eq!((new, pending), (entries, 0), "{work} {n}: left in the vault");
        if !was_killed {
            let want =
                if work == "restore" { (true, 0) } else { (false, usize::from(work == "take")) };
            assert_eq!((original.is_some(), entries), want, "{work}: the end");
            return n - 1;
        }
    }
    panic!("{work} never ends");
}

#[test]
fn nothing_is_lost() {
    if !can_trace() {
        return;
    }
    // Fewer would mean that the wrong process was killed.
    assert!(everywhere("take", &|_, _| {}) >= 20);
    assert!(everywhere("restore", &take) >= 20);
    assert!(everywhere("delete", &take) >= 2);
}
