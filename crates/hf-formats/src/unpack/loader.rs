//! A program as Windows would lay it out in memory, with as much of a process around it as loaders of
//! packed programs look at.
//!
//! Promises: bounded by [`IMAGE_MAX`]; a file that cannot be loaded is none.
//! Leaves out: relocation (an image is where it wants to be), bound and delayed imports.
//! Sources: [1] Microsoft, "PE Format"; [2] Microsoft, `winternl.h` (TEB, PEB, `LDR_DATA_TABLE_ENTRY`).

use super::cpu::{Cpu, RAX, RBX, RCX, RDX, RSI, RSP};
use super::memory::Memory;
use super::windows::{FUNCTIONS_START, Functions, KERNEL, LIBRARY_BASE};
use crate::executables::pe::headers::Headers;
use crate::reader::{Reader, size};

/// Bytes of an image; ours.
const IMAGE_MAX: u64 = 32 << 20;
/// Import descriptors, and functions of all together; ours.
const DESCRIPTORS_MAX: u64 = 256;
const IMPORTS_MAX: usize = 8192;

const STACK_START: u64 = 0x7200_0000;
const STACK_LEN: usize = 256 << 10;
/// The thread's block and the process's block, a page each, and the list of modules.
const THREAD: u64 = 0x7ffd_e000;
const PROCESS: u64 = 0x7ffd_f000;
/// Where a thread returns to that has come to its end.
pub(super) const THREAD_END: u64 = LIBRARY_BASE + 0x800;

/// A loaded program.
#[derive(Debug)]
pub(super) struct Program<'a> {
    /// The file, which some loaders read.
    pub(super) object: &'a [u8],
    /// Where the next read of it begins.
    pub(super) file_off: usize,
    pub(super) cpu: Cpu,
    pub(super) functions: Functions,
    pub(super) base: u64,
    pub(super) image_len: u64,
    /// Start and end address of each section.
    pub(super) sections: Vec<(u64, u64)>,
}

impl Program<'_> {
    /// Returns the section of an address; that behind all for the headers, none outside the image.
    pub(super) fn section_of(&self, address: u64) -> Option<usize> {
        let rva = address.checked_sub(self.base).filter(|rva| *rva < self.image_len)?;
        let idx = self.sections.iter().position(|(start, end)| (*start..*end).contains(&rva));
        Some(idx.unwrap_or(self.sections.len()))
    }
}

/// Loads a program, or returns none for one that has no image.
pub(super) fn load<'a>(object: &'a [u8], headers: &Headers) -> Option<Program<'a>> {
    let optional_off = optional_off(object)?;
    let field = |off: usize| Reader::at(object, optional_off.saturating_add(off));
    let base =
        if headers.is_64 { field(24).u64_le().ok()? } else { u64::from(field(28).u32_le().ok()?) };
    let claimed_len = u64::from(field(56).u32_le().ok()?);
    let sections: Vec<(u64, u64)> = headers
        .sections
        .iter()
        .map(|section| {
            let len = section.virtual_len.max(section.raw_len).max(1);
            let len = len.checked_next_multiple_of(0x1000).unwrap_or(len);
            (section.rva, section.rva.saturating_add(len))
        })
        .collect();
    // A length that cannot be is no reason to give up: the sections say how long it is.
    let claimed_len = if claimed_len > IMAGE_MAX { 0 } else { claimed_len };
    let end = sections.iter().map(|(_, end)| *end).fold(claimed_len, u64::max);
    let image_len = end.checked_next_multiple_of(0x1000)?;
    let is_usable = base > 0xffff && base < 0x7000_0000_0000 && base.is_multiple_of(0x1000);
    if !is_usable || image_len > IMAGE_MAX || (!headers.is_64 && base > 0x7000_0000) {
        return None;
    }
    let mut memory = Memory::default();
    memory.add(base, image(object, headers, size(image_len)))?;
    memory.add(STACK_START, vec![0; STACK_LEN])?;
    let functions = Functions::new(&mut memory, headers.is_64)?;
    memory.add(THREAD, vec![0; 0x1000])?;
    memory.add(PROCESS, vec![0; 0x2000])?;
    let cpu = Cpu::new(memory, headers.is_64);
    let mut program = Program { object, file_off: 0, cpu, functions, base, image_len, sections };
    imports(&mut program, headers);
    environment(&mut program, headers)?;
    for region in &mut program.cpu.memory.regions {
        region.notes.fill(0);
    }
    program.cpu.memory.function_writes.clear();
    Some(program)
}

/// Returns the offset of the optional header.
pub(super) fn optional_off(object: &[u8]) -> Option<usize> {
    let pe_off = Reader::at(object, 0x3c).u32_le().ok()?;
    size(u64::from(pe_off)).checked_add(24)
}

fn image(object: &[u8], headers: &Headers, len: usize) -> Vec<u8> {
    let mut image = vec![0; len];
    let first_rva = headers.sections.iter().map(|section| section.rva).min().unwrap_or(0x1000);
    let mut put = |rva: u64, bytes: &[u8]| {
        let room = image.get_mut(size(rva)..).unwrap_or_default();
        let len = bytes.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
    };
    let headers_len = size(headers.headers_len.min(first_rva.max(0x200)));
    put(0, object.get(..headers_len.min(object.len())).unwrap_or_default());
    for section in &headers.sections {
        let start = size(section.raw_off);
        let end = start.saturating_add(size(section.raw_len)).min(object.len());
        put(section.rva, object.get(start..end).unwrap_or_default());
    }
    image
}

/// Puts functions where the program imports them.
fn imports(program: &mut Program<'_>, headers: &Headers) -> Option<()> {
    let (table_rva, _) = headers.directory(1)?;
    let word = program.cpu.word();
    let base = program.base;
    let mut left = IMPORTS_MAX;
    for number in 0..DESCRIPTORS_MAX {
        let memory = &mut program.cpu.memory;
        let at = base.wrapping_add(table_rva).wrapping_add(number.wrapping_mul(20));
        let lookup = memory.read(at, 4).ok()?;
        let name = memory.read(at.wrapping_add(12), 4).ok()?;
        let table = memory.read(at.wrapping_add(16), 4).ok()?;
        if name == 0 || table == 0 {
            return None;
        }
        let mut offs = 0u64;
        loop {
            left = left.checked_sub(1)?;
            let memory = &mut program.cpu.memory;
            let slot = base.wrapping_add(table).wrapping_add(offs);
            let from = base.wrapping_add(if lookup == 0 { table } else { lookup });
            let mut thunk = memory.read(from.wrapping_add(offs), word).unwrap_or(0);
            if thunk == 0 && lookup != 0 && offs == 0 {
                thunk = memory.read(slot, word).unwrap_or(0);
            }
            if thunk == 0 {
                break;
            }
            let by_number = thunk >> (u32::from(word) * 8 - 1) & 1 == 1;
            let function = if by_number {
                format!("#{}", thunk & 0xffff).into_bytes()
            } else {
                let hint = base.wrapping_add(thunk & 0x7fff_ffff);
                c_string(memory, hint.wrapping_add(2))
            };
            let address = program.functions.address(&function);
            program.cpu.memory.write(slot, word, address).ok()?;
            offs = offs.wrapping_add(u64::from(word));
        }
    }
    None
}

/// Returns the text at an address, to its zero; at most 256 bytes.
pub(super) fn c_string(memory: &mut Memory, address: u64) -> Vec<u8> {
    let bytes = memory.slice(address, 256);
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.get(..len).unwrap_or_default().to_vec()
}

/// Fills stack, registers, and the blocks of thread and process.
fn environment(program: &mut Program<'_>, headers: &Headers) -> Option<()> {
    let is_64 = headers.is_64;
    let word = program.cpu.word();
    let unit = u64::from(word);
    let base = program.base;
    let entry = base.wrapping_add(headers.entry_rva);
    let stack_end = STACK_START.wrapping_add(u64::try_from(STACK_LEN).ok()?);
    let cpu = &mut program.cpu;
    let last_frame = stack_end.wrapping_sub(0x20);
    if !is_64 {
        cpu.memory.write(last_frame, 4, 0xffff_ffff).ok()?;
        cpu.memory.write(last_frame.wrapping_add(4), 4, THREAD_END).ok()?;
    }
    let mut put = |address: u64, value: u64| cpu.memory.write(address, word, value).ok();
    // [2]; offsets are in pointers, but for a few.
    let thread_fields = [
        (0, if is_64 { 0 } else { last_frame }),
        (1, stack_end),
        (2, STACK_START),
        (6, THREAD),
        (8, 0x4d2),
        (9, 0x929),
        (12, PROCESS),
    ];
    for (field, value) in thread_fields {
        put(THREAD.wrapping_add(unit.wrapping_mul(field)), value)?;
    }
    put(PROCESS.wrapping_add(unit.wrapping_mul(2)), base)?;
    put(PROCESS.wrapping_add(unit.wrapping_mul(3)), PROCESS.wrapping_add(0x400))?;
    put(PROCESS.wrapping_add(unit.wrapping_mul(6)), 0x15_0000)?;
    modules(cpu, base, program.image_len)?;
    let cpu = &mut program.cpu;
    cpu.thread_base = THREAD;
    // A frame below, as some look for.
    let sp = stack_end.wrapping_sub(0x400);
    cpu.memory.write(sp, word, THREAD_END).ok()?;
    cpu.set_reg(RSP, sp);
    cpu.set_reg(RAX, entry);
    cpu.set_reg(RBX, PROCESS);
    cpu.set_reg(RCX, sp);
    cpu.set_reg(RDX, entry);
    cpu.set_reg(RSI, 0xffff_ffff);
    cpu.set_reg(5, sp.wrapping_add(0x40));
    cpu.ip = entry;
    cpu.flags = super::cpu::Flags::of_bits(0x246);
    cpu.memory.functions = FUNCTIONS_START..FUNCTIONS_START.wrapping_add(0x1_0000);
    Some(())
}

/// The lists of loaded modules: the program, `ntdll` and `kernel32` [2].
fn modules(cpu: &mut Cpu, base: u64, image_len: u64) -> Option<()> {
    let word = cpu.word();
    let unit = u64::from(word);
    let list = PROCESS.wrapping_add(0x400);
    let heads = list.wrapping_add(if cpu.is_64 { 0x10 } else { 0xc });
    let names = ["program.exe", "ntdll.dll", KERNEL];
    let entry = |number: u64| PROCESS.wrapping_add(0x800).wrapping_add(number.wrapping_mul(0x200));
    for order in 0..3u64 {
        let link = unit.wrapping_mul(2).wrapping_mul(order);
        // The program itself is not in the order of initialisation.
        let first = u64::from(order == 2);
        let at = |number: u64| entry(number).wrapping_add(link);
        let head = heads.wrapping_add(link);
        let ring: Vec<u64> = std::iter::once(head).chain((first..3).map(at)).collect();
        for (place, here) in ring.iter().enumerate() {
            let next = ring.get(place.wrapping_add(1)).copied().unwrap_or(head);
            cpu.memory.write(*here, word, next).ok()?;
            cpu.memory.write(next.wrapping_add(unit), word, *here).ok()?;
        }
    }
    for (number, name) in (0u64..).zip(names) {
        let here = entry(number);
        let text = here.wrapping_add(0x100);
        let wide: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        cpu.memory.store(text, &wide).ok()?;
        let (module, len) = if number == 0 { (base, image_len) } else { (LIBRARY_BASE, 0x2_0000) };
        for (field, value) in [(6, module), (7, module), (8, len), (10, text), (12, text)] {
            cpu.memory.write(here.wrapping_add(unit.wrapping_mul(field)), word, value).ok()?;
        }
        let name_len = u64::try_from(wide.len()).ok()?.wrapping_sub(2);
        for field in [9, 11] {
            let at = here.wrapping_add(unit.wrapping_mul(field));
            cpu.memory.write(at, 2, name_len).ok()?;
            cpu.memory.write(at.wrapping_add(2), 2, name_len.wrapping_add(2)).ok()?;
        }
    }
    Some(())
}
