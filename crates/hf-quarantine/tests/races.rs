//! Somebody who owns the folder swaps files while they are taken: nobody else's file goes.

use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, Ordering};

use hf_quarantine::vault::Provenance;
use hf_quarantine::{Identity, Place, Vault};

#[test]
fn a_swap_never_takes_another_file() {
    let temp = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(temp.path()).unwrap();
    let vault = Vault::create(&folder.join("vault")).unwrap();
    let files = folder.join("files");
    fs::create_dir(&files).unwrap();
    let (bad, victim) = (files.join("bad"), files.join("victim"));
    fs::write(&victim, "victim").unwrap();
    let victim_inode = Identity::of(File::open(&victim).unwrap()).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for round in 0..300 {
        fs::write(&bad, "bad").unwrap();
        let file = File::open(&bad).unwrap();
        let seen = Identity::of(&file).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (bad, victim, stop) = (&bad, &victim, &stop);
            scope.spawn(move || {
                let from = rustix::fs::CWD;
                while !stop.load(Ordering::Relaxed) {
                    let exchange = rustix::fs::RenameFlags::EXCHANGE;
                    // Fails while one of them is being looked at.
                    let _ = rustix::fs::renameat_with(from, bad, from, victim, exchange);
                }
            });
            // With the check beforehand left out, and with it.
            let place = Place::exactly(bad).unwrap();
            let done = if round % 2 == 0 {
                place.remove(&file, &seen).map(|_| ())
            } else {
                vault.take(bad, &file, &seen, Provenance::default()).map(|_| ())
            };
            stop.store(true, Ordering::Relaxed);
            if done.is_ok() { taken += 1 } else { refused += 1 }
        });
        let names: Vec<_> =
            fs::read_dir(&files).unwrap().map(|entry| entry.unwrap().path()).collect();
        let inodes: Vec<_> =
            names.iter().map(|path| Identity::of(File::open(path).unwrap()).unwrap()).collect();
        let kept = inodes.iter().position(|inode| inode.same_inode(&victim_inode));
        let kept = kept.unwrap_or_else(|| panic!("round {round}: the victim is gone: {names:?}"));
        assert_eq!(fs::read(&names[kept]).unwrap(), b"victim");
        assert!(names.len() <= 2, "{names:?}");
        for (path, inode) in names.iter().zip(&inodes) {
            if !inode.same_inode(&victim_inode) {
                fs::remove_file(path).unwrap();
            }
        }
        if names[kept] != victim {
            fs::rename(&names[kept], &victim).unwrap();
        }
    }
    assert!(taken + refused == 300 && refused > 0, "{taken} taken, {refused} refused");
}
