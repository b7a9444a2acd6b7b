//! Archives and streams: what hides a payload from other readers, what real tools make, what damage does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "archives/build.rs"]
mod build;
#[path = "archives/cabinets.rs"]
mod cabinets;
#[path = "archives/disks.rs"]
mod disks;
#[path = "archives/evasions.rs"]
mod evasions;
#[path = "archives/filesystems.rs"]
mod filesystems;
#[path = "archives/installers.rs"]
mod installers;
#[path = "archives/legacy.rs"]
mod legacy;
#[path = "archives/mutations.rs"]
mod mutations;
#[path = "archives/old.rs"]
mod old;
#[path = "archives/packages.rs"]
mod packages;
#[path = "archives/rar.rs"]
mod rar;
#[path = "archives/sevenzip.rs"]
mod sevenzip;
#[path = "archives/tools.rs"]
mod tools;

use hf_core::FileType;
use hf_formats::testing::{Event, Recorder};

/// Opens an object as a type and returns what was told.
#[track_caller]
fn open(file_type: FileType, object: &[u8]) -> Recorder {
    let format = hf_formats::format_for(file_type).next().expect("the type has a reader");
    let mut recorder = Recorder::default();
    recorder.passwords = vec![b"wrong".to_vec(), b"infected".to_vec()];
    recorder.cap = 64 << 20;
    recorder.run(format, object).expect("nothing stops the scan");
    recorder
}

/// Returns the reasons for which something was not looked at.
fn unscanned(recorder: &Recorder) -> Vec<String> {
    let reason = |event: &Event| match event {
        Event::Unscanned(_, reason) => Some(reason.to_string()),
        _ => None,
    };
    recorder.events.iter().filter_map(reason).collect()
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound.max(1)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[7]).collect()
    }
}

/// Returns text with some repetition, as compressors like it.
fn prose(len: usize) -> Vec<u8> {
    let words =
        ["anchor ", "of ", "the ", "seaweed ", "holds ", "fast\n", "\u{90}", "tide ", "rock, "];
    let mut random = Random(7);
    let mut text = Vec::new();
    while text.len() < len {
        text.extend_from_slice(words[random.below(words.len())].as_bytes());
    }
    text.truncate(len);
    text
}
