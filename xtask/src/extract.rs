//! Opens one file with the formats of its type and tells how many bytes came out: what `bench formats` measures.

use std::fs;

use anyhow::{Context, Result, bail};
use hf_core::{
    Child, Defect, FileType, Halt, Limits, Link, Member, Reason, ScanOptions, Sink, Stop,
};

use crate::arguments::Arguments;

/// Runs `extract FILE`.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let words = arguments.words();
    arguments.finish()?;
    let [path] = words.as_slice() else { bail!("extract takes one file") };
    let object = fs::read(path).with_context(|| path.clone())?;
    let mut counter =
        Counter { limits: Limits::holdfast(), options: ScanOptions::default(), bytes: 0 };
    let kind = hf_formats::identify(&object, None);
    open(&object, kind, &mut counter);
    for (off, kind) in hf_formats::embedded(&object, kind, &Limits::holdfast()) {
        open(object.get(off..).unwrap_or_default(), kind, &mut counter);
    }
    println!("{}", counter.bytes);
    Ok(())
}

fn open(object: &[u8], kind: FileType, counter: &mut Counter) {
    for format in hf_formats::format_for(kind) {
        if let Err(Halt::Defect(defect)) = (format.extract)(object, counter) {
            eprintln!("{}: {defect}", format.name);
        }
    }
}

/// Counts the bytes of children.
#[derive(Debug)]
struct Counter {
    limits: Limits,
    options: ScanOptions,
    bytes: u64,
}

impl Sink for Counter {
    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn options(&self) -> &ScanOptions {
        &self.options
    }

    fn child_cap(&self) -> u64 {
        Limits::MAX_LIVE_CHILD_BYTES
    }

    fn cap_reason(&self) -> Reason {
        Reason::Memory
    }

    fn member(&mut self, _: &Member<'_>) -> Result<(), Stop> {
        Ok(())
    }

    fn child(&mut self, child: Child<'_>) -> Result<(), Stop> {
        self.bytes += child.data.len() as u64;
        Ok(())
    }

    fn defect(&mut self, defect: Defect) {
        eprintln!("{defect}");
    }

    fn unscanned(&mut self, _: &[u8], reason: Reason) {
        eprintln!("{reason}");
    }

    fn heuristic(&mut self, _: &str) -> Result<(), Stop> {
        Ok(())
    }

    fn fact(&mut self, _: &str, _: &str) {}

    fn poll(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn link(&mut self, _: &Link<'_>) -> Result<(), Stop> {
        Ok(())
    }

    fn passwords(&self, _: FileType) -> Vec<Vec<u8>> {
        Vec::new()
    }
}
