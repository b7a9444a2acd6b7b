//! State on disk, power, and units, as they are on real machines and as they should not be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hf_schedule::seen::Devices;
use hf_schedule::{FileState, Power, Progress, Seen, State, Status, Task, units};

fn file(ino: u64) -> FileState {
    FileState { dev: 7, ino, size: 3, mtime: (100, 5), ctime: (200, 6) }
}

#[test]
fn only_the_very_same_state_is_known() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("seen");
    let depends_on = [1; 32];
    let mut seen = Seen::load(&path, depends_on);
    assert!(!seen.knows(&file(1)));
    seen.remember(&file(1), 202);
    seen.remember(&file(2), 1000);
    // Too fresh: a change in the same tick of the clock would not show.
    seen.remember(&file(3), 201);
    seen.save(&path, true).unwrap();
    let seen = Seen::load(&path, depends_on);
    assert_eq!([1, 2, 3].map(|ino| seen.knows(&file(ino))), [true, true, false]);
    let changed: [fn(&mut FileState); 8] = [
        |file| file.dev += 1,
        |file| file.ino += 10,
        |file| file.size += 1,
        |file| file.mtime.0 += 1,
        |file| file.mtime.1 += 1,
        |file| file.ctime.0 += 1,
        |file| file.ctime.1 += 1,
        |file| std::mem::swap(&mut file.mtime, &mut file.ctime),
    ];
    for change in changed {
        let mut file = file(1);
        change(&mut file);
        assert!(!seen.knows(&file), "{file:?}");
    }
    // Other content: nothing is known.
    assert!(!Seen::load(&path, [2; 32]).knows(&file(1)));
}

#[test]
fn runs_forget_what_is_gone_and_keep_what_they_did_not_reach() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("seen");
    let mut seen = Seen::load(&path, [0; 32]);
    seen.remember(&file(1), 1000);
    seen.save(&path, true).unwrap();
    let mut seen = Seen::load(&path, [0; 32]);
    seen.remember(&file(2), 1000);
    // Stopped in the middle: what it did not reach may be as it was.
    seen.save(&path, false).unwrap();
    let partial = Seen::load(&path, [0; 32]);
    assert!(partial.knows(&file(1)) && partial.knows(&file(2)));
    seen.save(&path, true).unwrap();
    let whole = Seen::load(&path, [0; 32]);
    assert!(!whole.knows(&file(1)) && whole.knows(&file(2)));
}

#[test]
fn a_file_that_is_not_what_was_written_knows_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("seen");
    let mut seen = Seen::load(&path, [0; 32]);
    (0..5).for_each(|ino| seen.remember(&file(ino), 1000));
    seen.save(&path, true).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(Seen::parse(&bytes, [0; 32]).is_some_and(|rows| rows.len() == 5));
    for idx in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[idx] ^= 1;
        assert_eq!(Seen::parse(&changed, [0; 32]), None, "byte {idx}");
        assert_eq!(Seen::parse(&bytes[..idx], [0; 32]), None, "cut to {idx}");
    }
    fs::write(&path, b"garbage").unwrap();
    assert!(!Seen::load(&path, [0; 32]).knows(&file(1)));
}

#[test]
fn devices_that_others_can_change_are_not_believed() {
    let text = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                23 1 8:17 / /media/stick rw shared:1 - ext4 /dev/sdb1 rw\n\
                24 1 0:30 / /net rw - nfs4 server:/x rw\n\
                25 1 0:31 / /home/u/sshfs rw - fuse.sshfs u@h: rw\n\
                26 1 8:2 / /boot/efi rw - vfat /dev/sda2 rw\n\
                27 1 0:40 / /data rw,relatime shared:3 master:2 - btrfs /dev/sda3 rw\n\
                28 1 0:41 / /tmp rw - tmpfs tmpfs rw\n\
                garbage\n29 1 x:y / / rw - ext4 /dev/sda rw\n";
    let devices = Devices::parse(text, &|source| source == "/dev/sdb1");
    let trusts = |major, minor| devices.trusts(rustix::fs::makedev(major, minor));
    let told = [(8, 1), (8, 17), (0, 30), (0, 31), (8, 2), (0, 40), (0, 41), (9, 9)]
        .map(|(major, minor)| trusts(major, minor));
    assert_eq!(told, [true, false, false, false, false, true, true, false]);
    // The file system on which tests run is a local one, unless it is not.
    let temp = tempfile::tempdir().unwrap();
    let dev = rustix::fs::stat(temp.path()).unwrap().st_dev;
    let kind = Command::new("stat").args(["-f", "-c", "%T"]).arg(temp.path()).output().unwrap();
    if kind.stdout.starts_with(b"ext2/ext3") {
        assert!(Devices::mounted().trusts(dev));
    }
}

fn task(text: &str) -> Result<Task, String> {
    let task: Task = toml::from_str(text).map_err(|error| error.to_string())?;
    task.check().map_err(|error| error.to_string())?;
    Ok(task)
}

#[test]
fn tasks_are_looked_at() {
    let good = task("name = 'daily'\nwhen = 'daily 03:00'\npaths = ['/home']\n").unwrap();
    assert!(good.idle && !good.changed_only);
    let args: Vec<_> =
        good.arguments().iter().map(|arg| arg.to_str().unwrap().to_owned()).collect();
    assert_eq!(args, ["holdfast", "scan", "--action=report", "--", "/home"]);
    for (text, why) in [
        ("name = '../x'\npaths = ['/']", "a-z"),
        ("name = 'A'\npaths = ['/']", "a-z"),
        ("name = 'a b'\npaths = ['/']", "a-z"),
        ("name = ''\npaths = ['/']", "a-z"),
        ("name = 'a'\npaths = []", "no paths"),
        ("name = 'a'\npaths = ['home']", "not absolute"),
        ("name = 'a'\npaths = ['/']\nwhen = 'soon'", "no time"),
        ("name = 'a'\npaths = ['/']\noptions = ['x']", "must begin with --"),
        ("name = 'a'\npaths = ['/']\nwhne = 'daily'", "unknown field"),
        ("name = 'a'\npaths = ['/']\naction = 'burn'", "unknown variant"),
    ] {
        let error = task(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
    // Another task is another fingerprint.
    let mut other = good.clone();
    other.exclude.push("x".to_owned());
    assert_ne!(good.fingerprint(), other.fingerprint());
}

#[test]
fn state_is_whole_or_the_old_one() {
    let temp = tempfile::tempdir().unwrap();
    let state = State::open(temp.path(), "daily").unwrap();
    assert_eq!((state.status(), state.progress("f")), (Status::default(), None));
    let status = Status { since: 1, started: Some(2), ended: Some(3), code: Some(1) };
    state.save_status(&status).unwrap();
    let progress = Progress::new("f", 2, (0, Path::new("a/b")), hf_schedule::Counts::default());
    state.save_progress(&progress).unwrap();
    let state = State::look(temp.path(), "daily");
    assert_eq!((state.status(), state.progress("f")), (status, Some(progress)));
    assert_eq!(state.progress("another task"), None);
    let lock = state.lock().unwrap();
    assert!(lock.is_some() && state.lock().unwrap().is_none() && state.is_locked());
    drop(lock);
    assert!(!state.is_locked());
    for name in ["progress", "status"] {
        fs::write(temp.path().join("daily").join(name), b"{\"since\":").unwrap();
    }
    assert_eq!((state.status(), state.progress("f")), (Status::default(), None));
    state.clear_progress();
    state.forget().unwrap();
    state.forget().unwrap();
    assert!(fs::read_dir(temp.path()).unwrap().next().is_none());
}

#[test]
fn batteries() {
    let supply = |kind: &str, state: &str, scope: &str| format!("{kind}|{state}|{scope}");
    let cases: &[(&[String], bool)] = &[
        (&[], false),
        (&[supply("Mains", "1", ""), supply("Battery", "Charging", "")], false),
        (&[supply("Mains", "0", ""), supply("Battery", "Discharging", "")], true),
        (&[supply("Battery", "Discharging", "")], true),
        (&[supply("Battery", "Full", "")], false),
        // Fed through one of two sockets.
        (
            &[supply("USB", "0", ""), supply("USB", "1", ""), supply("Battery", "Discharging", "")],
            false,
        ),
        // A mouse.
        (&[supply("Battery", "Discharging", "Device")], false),
    ];
    for (supplies, want) in cases {
        let temp = tempfile::tempdir().unwrap();
        for (idx, supply) in supplies.iter().enumerate() {
            let folder = temp.path().join(idx.to_string());
            fs::create_dir(&folder).unwrap();
            let mut words = supply.split('|');
            let kind = words.next().unwrap();
            fs::write(folder.join("type"), format!("{kind}\n")).unwrap();
            let name = if kind == "Battery" { "status" } else { "online" };
            fs::write(folder.join(name), format!("{}\n", words.next().unwrap())).unwrap();
            fs::write(folder.join("scope"), words.next().unwrap()).unwrap();
        }
        assert_eq!(Power::new(temp.path()).on_battery(), *want, "{supplies:?}");
    }
    assert!(!Power::new(Path::new("/nonexistent")).on_battery());
}

#[test]
fn systemd_takes_the_units() {
    let temp = tempfile::tempdir().unwrap();
    let program = PathBuf::from("/bin/true");
    let folder = temp.path().join("etc/systemd/system");
    for when in ["daily 03:05", "weekly sun 23:59"] {
        let task = task(&format!("name = 'a-1'\nwhen = '{when}'\npaths = ['/home']\n")).unwrap();
        units::install(&task, &program, temp.path()).unwrap();
        units::install(&task, &program, temp.path()).unwrap();
        let [service, timer] = units::names("a-1");
        assert!(
            folder.join("timers.target.wants").join(&timer).is_file(),
            "a link that leads to it"
        );
        let text = fs::read_to_string(folder.join(&timer)).unwrap();
        assert!(text.contains("\nPersistent=true\n"), "{text}");
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .args([folder.join(&service), folder.join(&timer)])
            .output();
        match verified {
            Ok(output) => {
                let told = String::from_utf8_lossy(&output.stderr);
                let ours: Vec<_> =
                    told.lines().filter(|line| line.contains("holdfast-scan")).collect();
                assert!(ours.is_empty(), "{told}");
            }
            Err(_) => eprintln!("skipped: systemd-analyze is missing"),
        }
        let calendar = task.when.on_calendar().unwrap();
        if let Ok(output) = Command::new("systemd-analyze").args(["calendar", &calendar]).output() {
            assert!(output.status.success(), "{calendar}");
        }
    }
    // A task that is on demand now has no timer.
    let task = task("name = 'a-1'\npaths = ['/home']\n").unwrap();
    units::install(&task, &program, temp.path()).unwrap();
    let left = fs::read_dir(&folder).unwrap().count();
    assert_eq!((left, fs::read_dir(folder.join("timers.target.wants")).unwrap().count()), (1, 0));
    units::remove("a-1", temp.path()).unwrap();
}
