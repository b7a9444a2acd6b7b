//! Runs the loader of a packed program until the program itself begins.
//!
//! The sign is a jump into another section, to bytes that were written since the start; what is in
//! memory then is the unpacked program. Some loaders never leave their section: then it is the
//! last far jump to written bytes before the program calls what no loader calls.
//!
//! Promises: at most [`STEPS_MAX`] instructions, [`IMAGES_MAX`] images.
//! Leaves out: exceptions in 64-bit programs.
//! Sources: Microsoft, `winnt.h` (`EXCEPTION_RECORD`, `CONTEXT` of x86).

use hf_core::{Sink, Stop};

use super::cpu::{Cpu, Flags, RAX, RBP, RSP, Trap};
use super::loader::{Program, THREAD_END};
use super::memory::{EXECUTED, LINE_BITS, WRITTEN};
use super::windows::{Called, call, is_function};

/// Instructions of one program, of any and by the byte, and at most; ours: some seconds.
const STEPS_MIN: u64 = 20_000_000;
const STEPS_A_BYTE: u64 = 100;
const STEPS_MAX: u64 = 150_000_000;
/// Instructions after an image was found, to find the next layer; ours.
const STEPS_AFTER: u64 = 4_000_000;
/// Instructions between two looks at the clock.
const POLL_STEPS: u64 = 1 << 18;
/// Images of one program; ours.
const IMAGES_MAX: usize = 3;
/// Exceptions of one program; ours.
const EXCEPTIONS_MAX: u32 = 20_000;
/// Jumps to bytes that are not new that may be the beginning of the program; ours.
const LOOKS_MAX: u32 = 64;
/// Bytes that must be new for another image; ours.
const NEW_BYTES_MIN: usize = 0x80;
/// Where a handler of exceptions returns to.
const HANDLED: u64 = THREAD_END + 0x10;

/// The handler of the dispatcher's own frames.
const DISPATCHER: u64 = THREAD_END + 0x20;
/// Exceptions within exceptions; ours.
const NESTED_MAX: u32 = 32;

/// What is in memory when the program begins.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    /// Address of the program's first instruction, from the start of the image.
    pub(super) entry_rva: u64,
    /// Section from which the jump came; none when it was no section.
    pub(super) from_section: Option<usize>,
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It left, or called what no loader calls.
    Program,
    Steps,
    Failed(String),
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) images: Vec<Image>,
    pub(super) ended: Ended,
    /// The function that no loader calls.
    pub(super) called: Option<String>,
}

/// An exception: where its context is, the frames before it, and where it happened.
struct Handling {
    context: u64,
    frame: u64,
    ip: u64,
}

struct Run<'a, 'o> {
    program: &'a mut Program<'o>,
    images: Vec<Image>,
    steps_max: u64,
    near: Option<(u64, Option<usize>)>,
    exceptions: u32,
    looks: u32,
    /// Exceptions that are being handled.
    contexts: Vec<Handling>,
    begun: Vec<u8>,
    called: Option<String>,
}

/// Runs a program.
///
/// # Errors
/// The scan ends here.
pub(super) fn run(program: &mut Program<'_>, sink: &mut dyn Sink) -> Result<Outcome, Stop> {
    let begun = image_bytes(program);
    let len = u64::try_from(program.object.len()).unwrap_or(u64::MAX);
    let steps_max = len.saturating_mul(STEPS_A_BYTE).saturating_add(STEPS_MIN).min(STEPS_MAX);
    let mut run = Run {
        program,
        images: Vec::new(),
        steps_max,
        near: None,
        exceptions: 0,
        looks: 0,
        contexts: Vec::new(),
        begun,
        called: None,
    };
    let ended = run.run(sink)?;
    run.take_last();
    Ok(Outcome { images: run.images, ended, called: run.called })
}

/// Returns the image as it is, without what the loader put where functions are imported.
fn image_bytes(program: &Program<'_>) -> Vec<u8> {
    let Some(region) = program.cpu.memory.regions.first() else { return Vec::new() };
    let mut bytes = region.bytes.clone();
    let word = usize::from(program.cpu.word());
    for (address, before) in program.cpu.memory.function_writes.iter().rev() {
        let off = address.checked_sub(program.base).and_then(|off| usize::try_from(off).ok());
        let Some(to) = off.and_then(|off| bytes.get_mut(off..)?.get_mut(..word)) else { continue };
        let mut raw = [0; 8];
        if let Some(low) = raw.get_mut(..word) {
            low.copy_from_slice(to);
        }
        if is_function(u64::from_le_bytes(raw)) {
            to.copy_from_slice(before.to_le_bytes().get(..word).unwrap_or_default());
        }
    }
    bytes
}

impl Run<'_, '_> {
    fn run(&mut self, sink: &mut dyn Sink) -> Result<Ended, Stop> {
        loop {
            sink.poll()?;
            let until = self.program.cpu.steps.wrapping_add(POLL_STEPS).min(self.steps_max);
            while self.program.cpu.steps < until {
                if let Some(ended) = self.step() {
                    return Ok(ended);
                }
            }
            if self.program.cpu.steps >= self.steps_max {
                return Ok(if self.images.is_empty() { Ended::Steps } else { Ended::Program });
            }
        }
    }

    fn step(&mut self) -> Option<Ended> {
        let single = self.program.cpu.flags.trap;
        let done = self.program.cpu.step();
        let ended = match done {
            Ok(()) if single => self.exception(SINGLE_STEP, None),
            Ok(()) => None,
            Err(trap) => self.trapped(trap),
        };
        if ended.is_some() || self.program.cpu.far_from.is_none() {
            return ended;
        }
        self.jumped()
    }

    /// Looks at a jump that went far.
    fn jumped(&mut self) -> Option<Ended> {
        let from = self.program.cpu.far_from.take()?;
        let to = self.program.cpu.ip;
        if is_function(to) {
            let caller = from;
            return match call(self.program) {
                Called::Returned => {
                    self.program.cpu.far_from = Some(caller);
                    let back = self.program.cpu.ip;
                    // A function that is called by a jump returns to where that came from.
                    if is_function(back) { self.jumped() } else { self.arrived(caller, back) }
                }
                Called::Ended => Some(Ended::Program),
                Called::Unknown(name) => {
                    self.called = Some(name);
                    Some(Ended::Program)
                }
            };
        }
        if to == HANDLED {
            return self.handled();
        }
        self.arrived(from, to)
    }

    fn arrived(&mut self, from: u64, to: u64) -> Option<Ended> {
        self.program.cpu.far_from = None;
        if to == THREAD_END {
            return Some(Ended::Program);
        }
        let (from_section, to_section) =
            (self.program.section_of(from), self.program.section_of(to));
        to_section?;
        let notes = self.program.cpu.memory.notes(to);
        if notes & EXECUTED != 0 {
            return None;
        }
        if from_section == to_section {
            if notes & WRITTEN != 0 {
                self.near = Some((to, from_section));
            }
            return None;
        }
        // Not every section was packed, so that its bytes need not be new.
        self.looks = self.looks.saturating_add(1);
        if notes & WRITTEN != 0 || self.looks < LOOKS_MAX {
            self.take(to, from_section);
        }
        (self.images.len() >= IMAGES_MAX).then_some(Ended::Program)
    }

    /// Keeps the image as it is, if it has changed enough.
    fn take(&mut self, entry: u64, from_section: Option<usize>) {
        // Looking at the whole image is work as well.
        let work = self.program.image_len >> 4;
        self.program.cpu.steps = self.program.cpu.steps.saturating_add(work);
        let bytes = image_bytes(self.program);
        let new = bytes.iter().zip(&self.begun).filter(|(now, before)| now != before).count();
        if new < NEW_BYTES_MIN.min(bytes.len() >> 4) {
            return;
        }
        self.begun.clone_from(&bytes);
        let entry_rva = entry.wrapping_sub(self.program.base);
        self.images.push(Image { bytes, entry_rva, from_section });
        self.steps_max = self.program.cpu.steps.saturating_add(STEPS_AFTER).min(self.steps_max);
        self.near = None;
        for region in &mut self.program.cpu.memory.regions {
            for note in &mut region.notes {
                *note &= !WRITTEN;
            }
        }
    }

    /// Keeps what there is at the end when nothing was found on the way.
    fn take_last(&mut self) {
        if !self.images.is_empty() {
            return;
        }
        let entry = self.program.cpu.ip;
        let (entry, from_section) = match self.near {
            Some(near) => near,
            None if self.program.section_of(entry).is_some() => (entry, None),
            None => (self.program.base, None),
        };
        self.take(entry, from_section);
    }

    fn trapped(&mut self, trap: Trap) -> Option<Ended> {
        match trap {
            Trap::Fault(fault) => {
                let kind = u64::from(fault.is_write);
                self.exception(ACCESS_VIOLATION, Some([kind, fault.address]))
            }
            Trap::Divide => self.exception(DIVIDE_BY_ZERO, None),
            Trap::Interrupt(1) => self.exception(SINGLE_STEP, None),
            Trap::Interrupt(3) => self.exception(BREAKPOINT, None),
            Trap::Interrupt(0x2d) => {
                self.program.cpu.ip = self.program.cpu.ip.wrapping_add(2);
                self.exception(BREAKPOINT, None)
            }
            Trap::Interrupt(_) => self.exception(ACCESS_VIOLATION, Some([0, u64::MAX])),
            Trap::Privileged => self.exception(PRIVILEGED, None),
            Trap::Unknown => {
                let ip = self.program.cpu.ip;
                Some(Ended::Failed(format!("unknown instruction at {ip:#x}")))
            }
        }
    }

    /// Calls the first handler of the thread.
    fn exception(&mut self, code: u64, information: Option<[u64; 2]>) -> Option<Ended> {
        self.exceptions = self.exceptions.saturating_add(1);
        if self.program.cpu.is_64 || self.exceptions > EXCEPTIONS_MAX {
            return Some(Ended::Failed(format!("exception {code:#x}")));
        }
        let sp = self.program.cpu.reg(RSP).wrapping_sub(FRAME_LEN) & !15;
        let called = self.call_handler(sp, code, information);
        if called.is_none() {
            let ip = self.program.cpu.ip;
            return Some(Ended::Failed(format!(
                "exception {code:#x} at {ip:#x} without a handler"
            )));
        }
        None
    }

    fn call_handler(&mut self, sp: u64, code: u64, information: Option<[u64; 2]>) -> Option<()> {
        let cpu = &mut self.program.cpu;
        let ip = cpu.ip;
        let outer = cpu.memory.read(cpu.thread_base, 4).ok()?;
        let mut frame = outer;
        let mut handler = cpu.memory.read(frame.wrapping_add(4), 4).ok()?;
        for _ in 0..NESTED_MAX {
            // What happens in a handler goes to the frames below the dispatcher's.
            if handler != DISPATCHER {
                break;
            }
            frame = cpu.memory.read(frame, 4).ok()?;
            handler = cpu.memory.read(frame.wrapping_add(4), 4).ok()?;
        }
        // The dispatcher has a frame of its own before that of the handler.
        if handler == THREAD_END {
            return None;
        }
        let own_frame = sp.wrapping_add(0x18);
        let record = sp.wrapping_add(0x20);
        let context = sp.wrapping_add(0x80);
        cpu.memory.fill_with(sp, FRAME_BYTES, |bytes| bytes.fill(0)).ok()?;
        let count = u64::from(information.is_some()) << 1;
        let [kind, address] = information.unwrap_or_default();
        for (word, value) in [(0, code), (3, ip), (4, count), (5, kind), (6, address)] {
            cpu.memory.write(record.wrapping_add(word << 2), 4, value).ok()?;
        }
        cpu.memory.write(context, 4, 0x1_003f).ok()?;
        for (off, number) in CONTEXT_REGS {
            let value = cpu.reg(number);
            cpu.memory.write(context.wrapping_add(off), 4, value).ok()?;
        }
        cpu.memory.write(context.wrapping_add(CONTEXT_IP), 4, ip).ok()?;
        let flags = cpu.flags.bits();
        cpu.memory.write(context.wrapping_add(CONTEXT_FLAGS), 4, flags).ok()?;
        cpu.memory.write(own_frame, 4, outer).ok()?;
        cpu.memory.write(own_frame.wrapping_add(4), 4, DISPATCHER).ok()?;
        cpu.memory.write(cpu.thread_base, 4, own_frame).ok()?;
        self.contexts.push(Handling { context, frame: outer, ip });
        cpu.set_reg(RSP, sp.wrapping_add(0x14));
        for value in [own_frame, context, frame, record, HANDLED] {
            cpu.push(value, 4).ok()?;
        }
        cpu.flags = Flags::of_bits(0x202);
        cpu.ip = handler;
        Some(())
    }

    /// Goes on where the handler wants.
    fn handled(&mut self) -> Option<Ended> {
        let cpu = &mut self.program.cpu;
        if cpu.reg(RAX) != 0 {
            return Some(Ended::Failed("exception that no handler takes".to_owned()));
        }
        let Some((from, ip)) = self.restore() else {
            return Some(Ended::Failed("stack lost in a handler".to_owned()));
        };
        self.program.cpu.ip = ip;
        self.arrived(from, ip)
    }

    fn restore(&mut self) -> Option<(u64, u64)> {
        let Handling { context, frame, ip: from } = self.contexts.pop()?;
        let cpu: &mut Cpu = &mut self.program.cpu;
        cpu.memory.write(cpu.thread_base, 4, frame).ok()?;
        for (off, number) in CONTEXT_REGS {
            let value = cpu.memory.read(context.wrapping_add(off), 4).ok()?;
            cpu.set_reg(number, value);
        }
        let flags = cpu.memory.read(context.wrapping_add(CONTEXT_FLAGS), 4).ok()?;
        cpu.flags = Flags::of_bits(flags);
        Some((from, cpu.memory.read(context.wrapping_add(CONTEXT_IP), 4).ok()?))
    }
}

const SINGLE_STEP: u64 = 0x8000_0004;
const BREAKPOINT: u64 = 0x8000_0003;
const ACCESS_VIOLATION: u64 = 0xc000_0005;
const DIVIDE_BY_ZERO: u64 = 0xc000_0094;
const PRIVILEGED: u64 = 0xc000_0096;
/// Room for what a handler is given.
const FRAME_LEN: u64 = 0x400;
const FRAME_BYTES: usize = 0x400;
/// Offsets in `CONTEXT`, and the registers there.
const CONTEXT_REGS: [(u64, usize); 8] =
    [(0x9c, 7), (0xa0, 6), (0xa4, 3), (0xa8, 2), (0xac, 1), (0xb0, 0), (0xb4, RBP), (0xc4, RSP)];
const CONTEXT_IP: u64 = 0xb8;
const CONTEXT_FLAGS: u64 = 0xc0;

/// Regions told; ours.
const OUTSIDE_MAX: usize = 8;

/// Returns memory outside the image that looks like something of its own: a program, or code that ran.
pub(super) fn outside(program: &Program<'_>) -> Vec<Vec<u8>> {
    let own = [0x3000_0000u64..0x7000_0000, 0x1_0000..0x3000_0000];
    let mut found = Vec::new();
    for region in program.cpu.memory.regions.iter().skip(1) {
        if !own.iter().any(|range| range.contains(&region.start)) {
            continue;
        }
        let used = region.notes.iter().rposition(|note| *note & WRITTEN != 0);
        let Some(used) = used else { continue };
        let end = used.saturating_add(1) << LINE_BITS;
        let bytes = region.bytes.get(..end.min(region.bytes.len())).unwrap_or_default();
        if found.len() < OUTSIDE_MAX && (bytes.starts_with(b"MZ") || bytes.len() >= 0x400) {
            found.push(bytes.to_vec());
        }
    }
    found
}
