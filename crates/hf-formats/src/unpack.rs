//! Packed programs: runs the loader in an interpreter until the program has unpacked itself.
//!
//! Yields: the program as it is in memory when it begins, as a PE file again, and what was unpacked
//! outside of it. Facts: the packer, how the run ended.
//! Leaves out: virtualised code (VMProtect, Themida), programs for .NET, exceptions in 64-bit programs.
//! Limits: 150 million instructions, 64 MiB of memory, three images of one program.
//! Hostile input: nothing is executed but by the interpreter, whose memory is its own. Where a run fails, what there
//! is by then is handed over, and the reason told.
//! Sources: see the parts; the marks of packers are in `executables/pe/packers.rs`.

use hf_core::{Child, ChildRole, ExeSection, FileType, Halt, Reason, Sink, Stop};

use self::loader::Program;
use self::run::Ended;
use crate::executables::pe::{headers::Headers, packers};
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};

mod cpu;
mod decode;
mod loader;
mod memory;
mod rebuild;
mod run;
mod windows;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[FORMAT];

static FORMAT: Format = Format {
    name: "unpack",
    types: &[FileType::Msexe],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_pe,
    extract,
    doc: FormatDoc {
        recognised_by: "marks of packers, entry points in sections that can be written, sections that are empty in the file",
        yields: "the program that a packed PE unpacks in memory, as a PE; memory that it filled elsewhere",
        leaves_out: "virtualised code, .NET, exceptions in 64-bit programs",
        limits: "150 million instructions, 64 MiB, three images",
        sources: "Intel, Software Developer's Manual; Microsoft, PE Format; clamscan 1.4.6 (layout)",
    },
};

const WRITABLE: u64 = 0x8000_0000;
const EXECUTABLE: u64 = 0x2000_0000;
const CLR_DIRECTORY: usize = 14;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let Ok(headers) = Headers::read(object) else { return Ok(()) };
    let packer = packers::packer(object, &headers);
    if packer.is_none() && !looks_packed(&headers) {
        return Ok(());
    }
    if let Some(packer) = packer {
        sink.fact("pe.packer", packer);
    }
    let is_x86 = matches!((headers.machine, headers.is_64), (0x14c, false) | (0x8664, true));
    let loaded = if is_x86 { loader::load(object, &headers) } else { None };
    let Some(program) = loaded else {
        untold(packer, Reason::NoReader(packer.unwrap_or_default().into()), sink);
        return Ok(());
    };
    let unpacked = unpack(object, &headers, program, sink)?;
    if !unpacked.is_whole {
        let reason = match unpacked.ended {
            Ended::Steps => Reason::FormatLimit("instructions of an interpreted program".into()),
            Ended::Program => Reason::NoReader(packer.unwrap_or_default().into()),
            Ended::Failed(why) => Reason::Damaged(why.into()),
        };
        untold(packer, reason, sink);
    }
    let name = packer.map_or_else(|| "unpacked".to_owned(), |name| format!("unpacked by {name}"));
    let role = ChildRole::Typed(FileType::Msexe);
    for file in unpacked.files {
        hand_over(name.as_bytes(), &file, role, sink)?;
    }
    for bytes in unpacked.outside {
        hand_over(b"memory", &bytes, ChildRole::Member, sink)?;
    }
    Ok(())
}

/// Tells that what a packer hides was not looked at; programs that only look packed are not told.
fn untold(packer: Option<&str>, reason: Reason, sink: &mut dyn Sink) {
    if packer.is_some() {
        sink.unscanned(b"", reason);
    }
}

fn hand_over(name: &[u8], data: &[u8], role: ChildRole, sink: &mut dyn Sink) -> Result<(), Stop> {
    let cap = size(sink.child_cap());
    if data.len() > cap {
        let reason = sink.cap_reason();
        sink.unscanned(name, reason);
    }
    let data = data.get(..data.len().min(cap)).unwrap_or_default();
    sink.child(Child { name, data, role })
}

struct Unpacked {
    files: Vec<Vec<u8>>,
    outside: Vec<Vec<u8>>,
    /// The program itself was reached.
    is_whole: bool,
    ended: Ended,
}

/// Runs a program and returns what came out; its memory is gone by then.
fn unpack(
    object: &[u8],
    headers: &Headers,
    mut program: Program<'_>,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let outcome = run::run(&mut program, sink)?;
    sink.fact("pe.unpack.steps", &program.cpu.steps.to_string());
    let ended = match (&outcome.ended, &outcome.called) {
        (Ended::Failed(why), _) => why.clone(),
        (Ended::Steps, _) => "too many instructions".to_owned(),
        (Ended::Program, Some(name)) => format!("call of {name}"),
        (Ended::Program, None) => "end".to_owned(),
    };
    sink.fact("pe.unpack.ended", &ended);
    let outside = run::outside(&program);
    drop(program);
    let mut files = Vec::new();
    let mut is_whole = false;
    for image in outcome.images {
        sink.fact("pe.unpack.entry_rva", &format!("{:#x}", image.entry_rva));
        is_whole |= image.from_section.is_some();
        files.extend(rebuild::rebuild(object, headers, &image));
    }
    Ok(Unpacked { files, outside, is_whole, ended: outcome.ended })
}

/// True for a program of which a part is not in the file as it will be executed.
fn looks_packed(headers: &Headers) -> bool {
    if headers.directory(CLR_DIRECTORY).is_some() || headers.subsystem == 1 {
        return false;
    }
    let holds_entry = |section: &&ExeSection| {
        let len = section.virtual_len.max(section.raw_len);
        headers.entry_rva.checked_sub(section.rva).is_some_and(|within| within < len)
    };
    let Some(entry) = headers.sections.iter().find(holds_entry) else { return true };
    let is_empty = |section: &ExeSection| {
        section.raw_len == 0 && section.flags & EXECUTABLE != 0 && section.virtual_len != 0
    };
    entry.flags & WRITABLE != 0 || headers.sections.iter().any(is_empty)
}
