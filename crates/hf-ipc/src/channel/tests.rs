//! Both directions, whole and cut, right and wrong.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use hf_core::{Limits, Report, ScanOptions};

use super::*;
use crate::{Confinement, FromWorker, Pack, Probe, Protection, ScanRequest, Setup, ToWorker};

type Parent = Channel<ToWorker, FromWorker>;
type Child = Channel<FromWorker, ToWorker>;

fn channels() -> (Parent, Child) {
    let (ours, theirs) = pair().unwrap();
    (Channel::new(ours), Channel::new(theirs))
}

fn soon() -> Option<Instant> {
    Instant::now().checked_add(Duration::from_secs(10))
}

fn setup(packs: usize) -> ToWorker {
    ToWorker::Setup(Box::new(Setup {
        limits: Limits::clamav(),
        options: ScanOptions::default(),
        packs: vec![Pack { label: "main".to_owned() }; packs],
        memory_bytes: 1 << 30,
        confinement: Confinement::Required,
        extra: vec![1, 2, 3],
    }))
}

fn requests(count: u64) -> ToWorker {
    let request = |id| ScanRequest { id, name: b"\xff name".to_vec(), ..ScanRequest::default() };
    ToWorker::Scan((0..count).map(request).collect())
}

fn answer(id: u64, error_len: usize) -> FromWorker {
    FromWorker::Report { id, report: Box::new(Report::failed("e".repeat(error_len))) }
}

/// Files whose content tells them apart.
fn files(count: usize) -> Vec<std::fs::File> {
    (0..count)
        .map(|number| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(number.to_string().as_bytes()).unwrap();
            file
        })
        .collect()
}

#[track_caller]
fn to_worker(message: &ToWorker, count: usize) {
    let (mut parent, mut child) = channels();
    let files = files(count);
    let descriptors: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    parent.send(message, &descriptors, soon()).unwrap();
    let (got, descriptors) = child.receive(soon()).unwrap();
    assert_eq!(&got, message);
    assert_eq!(descriptors.len(), count);
    for (number, descriptor) in descriptors.into_iter().enumerate() {
        let mut bytes = [0; 8];
        let len = rustix::io::pread(&descriptor, &mut bytes, 0).unwrap();
        assert_eq!(&bytes[..len], number.to_string().as_bytes());
    }
}

#[test]
fn everything_a_parent_says_arrives() {
    to_worker(&setup(0), 0);
    to_worker(&setup(100), 100);
    to_worker(&requests(1), 1);
    to_worker(&requests(16), 16);
    to_worker(&ToWorker::Probe(Probe::CreateFile("/x".into())), 0);
    to_worker(&ToWorker::Quit, 0);
}

#[test]
fn everything_a_worker_says_arrives() {
    let protection =
        Protection { name: "seccomp".to_owned(), active: true, detail: "all".to_owned() };
    let messages = [
        FromWorker::Ready { protections: vec![protection], warnings: vec!["w".to_owned()] },
        FromWorker::Refused("no".to_owned()),
        FromWorker::Probed(Err("no".to_owned())),
        answer(7, 0),
        answer(u64::MAX, 300_000),
    ];
    let (mut parent, mut child) = channels();
    assert_eq!(parent.try_receive().unwrap().map(|got| got.0), None);
    let sender = std::thread::spawn(move || {
        for message in &messages {
            child.send(message, &[], soon()).unwrap();
        }
        (child, messages)
    });
    let got: Vec<_> = (0..5).map(|_| parent.receive(soon()).unwrap().0).collect();
    let (child, messages) = sender.join().unwrap();
    assert_eq!(got, messages);
    drop(child);
    assert_eq!(parent.receive(None).unwrap_err(), IpcError::Closed);
}

#[test]
fn descriptors_stay_with_their_messages() {
    let (mut parent, mut child) = channels();
    let files = files(16);
    for count in [1, 16, 3] {
        let descriptors: Vec<_> = files.iter().take(count).map(AsFd::as_fd).collect();
        parent.send(&requests(u64::try_from(count).unwrap()), &descriptors, soon()).unwrap();
        parent.send(&ToWorker::Quit, &[], soon()).unwrap();
    }
    for count in [1, 16, 3] {
        assert_eq!(child.receive(soon()).unwrap().1.len(), count);
        assert_eq!(child.receive(soon()).unwrap().0, ToWorker::Quit);
    }
}

#[test]
fn two_full_buffers_do_not_block_each_other() {
    let (mut parent, mut child) = channels();
    let talker = std::thread::spawn(move || {
        for id in 0..20 {
            child.send(&answer(id, 100_000), &[], soon()).unwrap();
        }
        for _ in 0..20 {
            child.receive(soon()).unwrap();
        }
    });
    let Setup { limits, options, .. } = match setup(0) {
        ToWorker::Setup(setup) => *setup,
        _ => unreachable!("it is a set-up"),
    };
    let long = Setup {
        limits,
        options,
        packs: Vec::new(),
        memory_bytes: 0,
        confinement: Confinement::Off,
        extra: vec![0; 200_000],
    };
    let long = ToWorker::Setup(Box::new(long));
    for _ in 0..20 {
        parent.send(&long, &[], soon()).unwrap();
    }
    for id in 0..20 {
        assert_eq!(parent.receive(soon()).unwrap().0, answer(id, 100_000));
    }
    talker.join().unwrap();
}

#[test]
fn deadlines_hold_in_both_directions() {
    let (mut parent, child) = channels();
    let now = Some(Instant::now());
    assert_eq!(parent.receive(now).unwrap_err(), IpcError::Deadline);
    let error = loop {
        match parent.send(&setup(0), &[], now) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error, IpcError::Deadline);
    drop(child);
    assert_eq!(parent.send(&setup(0), &[], now).unwrap_err(), IpcError::Closed);
}

#[test]
fn what_is_too_long_is_not_sent() {
    let (mut parent, mut child) = channels();
    let too_long = answer(0, FromWorker::MAX_PAYLOAD_BYTES);
    assert_eq!(child.send(&too_long, &[], soon()).unwrap_err(), IpcError::TooLong);
    child.send(&answer(1, 0), &[], soon()).unwrap();
    assert_eq!(parent.receive(soon()).unwrap().0, answer(1, 0));
}

/// Returns what a message looks like on the wire.
fn bytes_of(message: &FromWorker) -> Vec<u8> {
    let (ours, theirs) = pair().unwrap();
    Child::new(theirs).send(message, &[], soon()).unwrap();
    let mut bytes = Vec::new();
    UnixStream::from(ours).read_to_end(&mut bytes).unwrap();
    bytes
}

fn hear(bytes: &[u8]) -> Result<FromWorker, IpcError> {
    let (ours, theirs) = pair().unwrap();
    let mut parent = Parent::new(ours);
    UnixStream::from(theirs).write_all(bytes).unwrap();
    parent.receive(None).map(|got| got.0)
}

#[test]
fn wrong_frames_are_refused() {
    let good = bytes_of(&FromWorker::Refused("x".to_owned()));
    assert!(hear(&good).is_ok());
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        hear(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 0), IpcError::Malformed("magic"));
    assert_eq!(with(3, b'2'), IpcError::Malformed("magic"));
    assert_eq!(with(4, 1), IpcError::Malformed("kind"));
    assert_eq!(with(5, 1), IpcError::Malformed("kind"));
    assert_eq!(with(6, 1), IpcError::Malformed("descriptors"));
    assert_eq!(with(11, 0x40), IpcError::Malformed("payload_len"));
    assert_eq!(with(12, 99), IpcError::Malformed("payload"));
    let mut longer = good.clone();
    longer[8] += 1;
    longer.push(0);
    assert_eq!(hear(&longer).unwrap_err(), IpcError::Malformed("bytes behind the payload"));
}

#[test]
fn reports_that_contradict_themselves_are_refused() {
    let node = |parent| hf_core::ObjectNode {
        parent,
        name: Vec::new(),
        file_type: hf_core::FileType::Zip,
        normalised: false,
        embedded_off: None,
        size: 0,
        digests: None,
        facts: Vec::new(),
        defects: Vec::new(),
    };
    let unscanned = |object| hf_core::Unscanned {
        object,
        name: Vec::new(),
        reason: hf_core::Reason::Encrypted,
    };
    let report = |parents: &[Option<u32>], part: Option<u32>| Report {
        objects: parents.iter().copied().map(node).collect(),
        unscanned: part.map(unscanned).into_iter().collect(),
        ..Report::default()
    };
    let hear = |report| {
        hear(&bytes_of(&FromWorker::Report { id: 1, report: Box::new(report) })).map(|_| ())
    };
    assert_eq!(hear(report(&[None, Some(0), Some(1), Some(0)], Some(3))), Ok(()));
    assert_eq!(hear(report(&[], Some(0))), Ok(()));
    for (bad, what) in [
        (report(&[None, Some(2), Some(0)], None), "order of objects"),
        (report(&[None, Some(1)], None), "order of objects"),
        (report(&[None, None], None), "order of objects"),
        (report(&[None], Some(1)), "object of an unscanned part"),
        (report(&[], Some(1)), "object of an unscanned part"),
    ] {
        assert_eq!(hear(bad), Err(IpcError::Malformed(what)));
    }
}

/// However a frame is cut, nothing is believed; however it is changed, nothing breaks.
#[test]
fn cut_and_changed_frames() {
    let hit = hf_core::Hit {
        object: 0,
        name: "Test.Name".to_owned(),
        kind: hf_core::HitKind::Logical,
        strength: hf_core::Strength::Weak,
        origin: "a:1".to_owned(),
        spans: vec![hf_core::MatchSpan { part: "0".to_owned(), off: 9, len: 3, bytes: vec![7; 3] }],
    };
    let report = Report { hits: vec![hit], ..Report::failed("text") };
    let good = bytes_of(&FromWorker::Report { id: 5, report: Box::new(report) });
    for len in 0..good.len() {
        assert_eq!(hear(&good[..len]).unwrap_err(), IpcError::Closed, "{len}");
    }
    for at in 0..good.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at] ^ 0x10] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            // Either an error, or a report that passed every check.
            if let Ok(message) = hear(&bytes) {
                assert_eq!(message.check(0), Ok(()));
            }
        }
    }
}

#[test]
fn descriptors_that_were_not_announced() {
    let (ours, theirs) = pair().unwrap();
    let mut child = Child::new(theirs);
    let files = files(1);
    let quit = {
        let (a, b) = pair().unwrap();
        Parent::new(a).send(&ToWorker::Quit, &[], soon()).unwrap();
        let mut bytes = Vec::new();
        UnixStream::from(b).read_to_end(&mut bytes).unwrap();
        bytes
    };
    send_some(ours.as_fd(), &quit, &[files[0].as_fd()]).unwrap();
    let error = child.receive(soon()).unwrap_err();
    assert_eq!(error, IpcError::Malformed("descriptors without a message"));
    // And the other way round: announced, but not there.
    let (ours, theirs) = pair().unwrap();
    let mut child = Child::new(theirs);
    let mut scan = quit.clone();
    scan[6] = 1;
    send_some(ours.as_fd(), &scan, &[]).unwrap();
    assert_eq!(child.receive(soon()).unwrap_err(), IpcError::Malformed("number of descriptors"));
}
