use super::FORMAT;
use crate::testing::{Event, Recorder};

fn attribute(level: u8, id: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).expect("small").to_le_bytes();
    [&[level], id.to_le_bytes().as_slice(), &len, data, &[0, 0]].concat()
}

/// A set with one binary property.
fn property(id: u16, kind: u16, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).expect("small").to_le_bytes();
    let mut out = [
        1_u32.to_le_bytes().as_slice(),
        &kind.to_le_bytes(),
        &id.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &len,
        data,
    ]
    .concat();
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

pub(in crate::mail) fn sample() -> Vec<u8> {
    [
        vec![0x78, 0x9f, 0x3e, 0x22, 1, 0],
        attribute(1, 0x0002_800c, b"the text"),
        attribute(1, 0x0006_9003, &property(0x1013, 0x0102, b"<html>body</html>")),
        attribute(2, 0x0006_9002, &[0; 14]),
        attribute(2, 0x0001_8010, b"a.exe\0"),
        attribute(2, 0x0006_800f, b"MZ first"),
        attribute(2, 0x0006_9002, &[0; 14]),
        attribute(2, 0x0001_8010, b"B~1.EXE\0"),
        attribute(2, 0x0006_9005, &property(0x3701, 0x0102, b"MZ second")),
    ]
    .concat()
}

#[test]
fn attachments_and_bodies() {
    let mut recorder = Recorder::default();
    recorder.run(&FORMAT, &sample()).expect("it is whole");
    let want: [(&[u8], &[u8]); 4] = [
        (b"body", b"the text"),
        (b"body.html", b"<html>body</html>"),
        (b"a.exe", b"MZ first"),
        (b"B~1.EXE", b"MZ second"),
    ];
    assert_eq!(recorder.children(), want);
}

#[test]
fn what_is_there_is_given() {
    let sample = sample();
    for len in 0..sample.len() {
        let mut recorder = Recorder::default();
        recorder.run(&FORMAT, &sample[..len]).ok();
    }
    let mut damaged = sample.clone();
    damaged[25] = 9; // the level of the second attribute
    let mut recorder = Recorder::default();
    assert!(recorder.run(&FORMAT, &damaged).is_err());
    assert!(recorder.events.iter().any(|event| matches!(event, Event::Unscanned(..))));
}
