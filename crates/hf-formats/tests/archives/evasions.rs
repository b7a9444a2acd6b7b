//! Ways in which a zip hides its payload from one reader or another: every one must reach the scan, and
//! bombs must end.

use hf_core::{FileType, Halt, Stop};
use hf_formats::testing::{Event, Recorder};

use super::build::{Entry, Zip, deflate};
use super::{Random, open, prose};

const PAYLOAD: &[u8] = b"this inert sentence stands for what must be found, this inert sentence";

#[track_caller]
fn check(case: &str, object: &[u8]) {
    let recorder = open(FileType::Zip, object);
    let found = recorder.children().iter().any(|(_, data)| *data == PAYLOAD);
    assert!(found, "{case}: the payload is hidden\n{}", recorder.render());
}

/// Checks a change to the entry's headers, for a stored and for a deflated payload.
#[track_caller]
fn check_entry(case: &str, change: impl Fn(&mut Entry)) {
    for entry in [Entry::stored("p", PAYLOAD), Entry::deflated("p", PAYLOAD)] {
        let decoy = Entry::stored("decoy", b"nothing here");
        check(case, &Zip::of(vec![decoy, entry.with(&change)]).build());
    }
}

/// Checks a change to the archive, for a stored and for a deflated payload.
#[track_caller]
fn check_zip(case: &str, change: impl Fn(&mut Zip)) {
    for entry in [Entry::stored("p", PAYLOAD), Entry::deflated("p", PAYLOAD)] {
        let mut zip = Zip::of(vec![Entry::stored("decoy", b"nothing here"), entry]);
        change(&mut zip);
        check(case, &zip.build());
    }
}

#[test]
fn the_table_of_evasions() {
    check_zip("plain", |_| {});
    check_entry("two entries of one name", |entry| entry.name = b"decoy".to_vec());
    check_zip("truncated, no directory", |zip| zip.cut = true);
    check_zip("prefix of a program", |zip| zip.prefix = vec![b'M'; 5000]);
    check_zip("70 kB of junk behind", |zip| zip.suffix = vec![b'j'; 70_000]);
    check_entry("false encrypted bit in the directory", |entry| entry.central.flags = 1);
    check_entry("bogus method in the directory", |entry| entry.central.method = 77);
    check_entry("bad CRC in the directory", |entry| entry.central.crc32 = 1);
    check_zip("end record counts one of two", |zip| zip.count = Some(1));
    check_entry("packed size 3 in the directory", |entry| entry.central.packed_len = 3);
    check_entry("unpacked size 1 in the directory", |entry| entry.central.unpacked_len = 1);
    check_entry("absent from the directory", |entry| entry.listed = false);
    check_zip("volume numbers 9", |zip| zip.volume = 9);
    check_zip("directory offset garbage", |zip| zip.directory_off = Some(0x7fff_fff0));
    check_entry("folder with data", |entry| entry.name = b"p/".to_vec());
    let decoy = Zip::of(vec![Entry::stored("decoy", b"nothing here")]).build();
    let zip = Zip::of(vec![Entry::deflated("p", PAYLOAD)]).build();
    check("first of two archives", &[zip.clone(), decoy.clone()].concat());
    check("second of two archives", &[decoy, zip].concat());
}

#[test]
fn further_evasions() {
    check_entry("false encrypted bit in the local header", |entry| entry.local.flags = 1);
    check_entry("false encrypted bit in both", |entry| {
        (entry.local.flags, entry.central.flags) = (1, 1);
    });
    check_entry("bogus method in the local header", |entry| entry.local.method = 77);
    check_entry("no sizes in the local header", |entry| {
        (entry.local.packed_len, entry.local.unpacked_len) = (0, 0);
    });
    check_entry("huge sizes in the local header", |entry| {
        (entry.local.packed_len, entry.local.unpacked_len) = (u32::MAX, u32::MAX - 1);
    });
    check_entry("bad CRC in both", |entry| (entry.local.crc32, entry.central.crc32) = (1, 2));
    check_entry("another name in the directory", |entry| {
        entry.packed.extend_from_slice(b"PK\x01\x02");
    });
    check_zip("a false end record in the junk behind", |zip| {
        zip.suffix = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    });
    let signatures_changed = |with: [u8; 2]| {
        let mut object = Zip::of(vec![Entry::deflated("p", PAYLOAD)]).build();
        object[2..4].copy_from_slice(&with);
        object
    };
    check("signature of the local header gone", &signatures_changed([9, 9]));
    let packed = deflate(PAYLOAD);
    let stored_but_deflated = Entry::packed("p", 0, 0, PAYLOAD, packed);
    check("deflated, called stored", &Zip::of(vec![stored_but_deflated]).build());
}

#[test]
fn encryption_is_an_alert_when_asked_for() {
    let locked = Entry::stored("p", PAYLOAD).with(|entry| {
        entry.packed.iter_mut().for_each(|byte| *byte ^= 0x55);
        (entry.local.flags, entry.central.flags) = (1, 1);
    });
    let object = Zip::of(vec![locked.clone(), locked]).build();
    let format = hf_formats::format_for(FileType::Zip).next().unwrap();
    for (alert, quirks) in [(false, false), (true, false), (true, true)] {
        let mut recorder = Recorder::default();
        recorder.options.alert_encrypted_archive = alert;
        recorder.options.clamav_quirks = quirks;
        recorder.run(format, &object).unwrap();
        let alerts = recorder.events.iter().filter(|event| matches!(event, Event::Heuristic(_)));
        assert_eq!(alerts.count(), usize::from(alert), "told once");
        assert_eq!(super::unscanned(&recorder), ["encrypted, no password matched"; 2]);
        // ClamAV scans what decryption would have been for; we only what proves to be content.
        assert_eq!(recorder.children().len(), if quirks { 2 } else { 0 });
    }
}

#[test]
fn a_payload_behind_a_damaged_entry_is_found() {
    let mut damaged = Entry::deflated("damaged", &prose(5000));
    damaged.packed[200..210].fill(0xff);
    let zip = Zip { cut: true, ..Zip::of(vec![damaged, Entry::deflated("p", PAYLOAD)]) };
    check("behind a damaged entry", &zip.build());
}

/// Runs with a budget of calls and returns how the scan ended and what it took.
fn budgeted(object: &[u8]) -> (Result<(), Halt>, Recorder) {
    let format = hf_formats::format_for(FileType::Zip).next().unwrap();
    let mut recorder = Recorder::default();
    recorder.cap = 4 << 20;
    recorder.polls_left = 300_000;
    let ended = recorder.run(format, object);
    (ended, recorder)
}

#[test]
fn overlapping_bombs_end() {
    // Every entry starts a little later in one long run of zeros.
    let kernel = deflate(&vec![0; 1 << 20]);
    let mut object = Vec::new();
    let entries = 500;
    let local = |object: &mut Vec<u8>, idx: u32| {
        object.extend_from_slice(b"PK\x03\x04\x14\x00\x00\x00\x08\x00\x00\x00\x00\x00");
        object.extend_from_slice(&idx.to_le_bytes());
        object.extend_from_slice(&u32::try_from(kernel.len()).unwrap().to_le_bytes());
        object.extend_from_slice(&(1u32 << 20).to_le_bytes());
        object.extend_from_slice(&[1, 0, 0, 0, b'f']);
    };
    let mut directory = Vec::new();
    for idx in 0..entries {
        let off = u32::try_from(object.len()).unwrap();
        local(&mut object, idx);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&object[object.len() - 27..object.len() - 1]);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&off.to_le_bytes());
        directory.push(b'f');
    }
    let directory_off = u32::try_from(object.len() + kernel.len()).unwrap();
    object.extend_from_slice(&kernel);
    object.extend_from_slice(&directory);
    object.extend_from_slice(b"PK\x05\x06\0\0\0\0\0\0\0\0");
    object.extend_from_slice(&u32::try_from(directory.len()).unwrap().to_le_bytes());
    object.extend_from_slice(&directory_off.to_le_bytes());
    object.extend_from_slice(&[0, 0]);
    let (ended, recorder) = budgeted(&object);
    assert_eq!(ended, Ok(()));
    assert!(recorder.children().len() < 20, "{} children", recorder.children().len());
    let alert = Event::Heuristic("Heuristics.Zip.OverlappingFiles".into());
    assert!(recorder.events.contains(&alert));
}

#[test]
fn sixty_thousand_entries_end() {
    let entries = (0..60_000).map(|idx| Entry::stored(&idx.to_string(), b"")).collect();
    let zip = Zip { count: Some(60_000), ..Zip::of(entries) };
    let (ended, recorder) = budgeted(&zip.build());
    assert_eq!(ended, Ok(()));
    let members = recorder.events.iter().filter(|event| matches!(event, Event::Member(..)));
    assert_eq!(members.count(), 60_000);
}

#[test]
fn a_spent_budget_stops_the_archive() {
    let zip = Zip::of(vec![Entry::stored("a", PAYLOAD), Entry::stored("b", PAYLOAD)]).build();
    let format = hf_formats::format_for(FileType::Zip).next().unwrap();
    let mut recorder = Recorder::default();
    recorder.polls_left = 4;
    assert_eq!(recorder.run(format, &zip), Err(Halt::Stop(Stop::Deadline)));
}

#[test]
fn headers_without_data_cost_little() {
    // Local headers on end whose deflated data is junk: each is tried, none may take the rest twice.
    let mut random = Random(3);
    let mut object = Vec::new();
    for _ in 0..2000 {
        object.extend_from_slice(b"PK\x03\x04\x14\x00\x00\x00\x08\x00");
        object.extend(random.bytes(30));
    }
    let (ended, _) = budgeted(&object);
    assert_eq!(ended, Ok(()));
}

#[test]
fn a_child_is_cut_at_the_cap() {
    let format = hf_formats::format_for(FileType::Zip).next().unwrap();
    for entry in [Entry::stored("a", &prose(5000)), Entry::deflated("a", &prose(5000))] {
        let mut recorder = Recorder::default();
        recorder.cap = 1000;
        recorder.run(format, &Zip::of(vec![entry]).build()).unwrap();
        assert_eq!(recorder.children(), [(b"a".as_slice(), prose(5000)[..1000].as_ref())]);
        assert_eq!(super::unscanned(&recorder), ["larger than the object size limit"]);
    }
}
