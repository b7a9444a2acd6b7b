//! Opens one file with the formats of its type and tells how many bytes came out: what `bench formats` measures.
//!
//! The file is mapped: a scan has an object in memory before any format sees it, and what of a disk nobody has
//! written to is not read by the tools either. What stands inside of it at an offset, such as a program in a disk, is
//! opened only when the file itself is nothing else, as the tools do.

use std::fs::File;

use anyhow::{Context, Result, bail};
use hf_core::{
    Child, Defect, FileType, Halt, Limits, Link, Member, Reason, ScanOptions, Sink, Stop,
};
use hf_sys::Map;

use crate::arguments::Arguments;

/// Runs `extract FILE`.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let layers = arguments.value("--layers")?.map_or(Ok(1), |text| text.parse::<u64>())?;
    let words = arguments.words();
    arguments.finish()?;
    let [path] = words.as_slice() else { bail!("extract takes one file") };
    let object = File::open(path).and_then(|file| Map::of(&file)).with_context(|| path.clone())?;
    let mut counter = Counter {
        limits: Limits::holdfast(),
        options: ScanOptions::default(),
        bytes: 0,
        more: layers.saturating_sub(1),
    };
    let kind = hf_formats::identify(&object, None);
    open(&object, kind, &mut counter);
    if counter.bytes == 0 || kind == FileType::Msexe {
        // Other forms of the whole file come first; a program is not what an installer's tool opens.
        for (off, kind) in hf_formats::embedded(&object, kind, &Limits::holdfast()) {
            open(object.get(off..).unwrap_or_default(), kind, &mut counter);
            if counter.bytes > 0 && kind != FileType::Msexe {
                break;
            }
        }
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

/// Counts the bytes of children; of those of the innermost layer when there are several.
#[derive(Debug)]
struct Counter {
    limits: Limits,
    options: ScanOptions,
    bytes: u64,
    /// Layers below the one that is being opened.
    more: u64,
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
        if self.more > 0 {
            self.more -= 1;
            open(child.data, hf_formats::identify(child.data, None), self);
            self.more += 1;
        } else {
            self.bytes += child.data.len() as u64;
        }
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
