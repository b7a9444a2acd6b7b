//! The few functions of Windows that loaders of packed programs call.
//!
//! Promises: no effect but on the interpreted memory. A function that is not in [`KNOWN`] is not called:
//! a loader does not need it, so whoever calls it is the program itself.
//! Leaves out: files, registry, network, other processes and threads: whoever asks is told that it failed.
//! Sources: Microsoft, "Windows API" (numbers of arguments and results).

use std::collections::BTreeMap;

use super::cpu::{Cpu, RAX, RCX, RDX, RSP};
use super::loader::{Program, c_string};
use super::memory::Memory;
use crate::reader::size;

/// The library in which all functions are.
pub(super) const KERNEL: &str = "kernel32.dll";
/// Where it is loaded.
pub(super) const LIBRARY_BASE: u64 = 0x7c80_0000;
/// The first function; each has [`FUNCTION_LEN`] bytes.
pub(super) const FUNCTIONS_START: u64 = LIBRARY_BASE + 0x1_0000;
const FUNCTION_LEN: u64 = 16;
const FUNCTIONS_MAX: usize = 4096;
/// Instructions that a call counts as; ours.
const CALL_STEPS: u64 = 64;
const LIBRARY_LEN: usize = 0x2_0000;
/// Memory that is asked for without an address comes from here.
const HEAP_START: u64 = 0x3000_0000;
/// Other libraries are here; they export nothing that can be found but by asking for it.
const OTHERS_START: u64 = 0x7100_0000;
const OTHERS_LEN: usize = 0x2000;
const LIBRARIES_MAX: u64 = 64;

/// What a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Gives a number.
    Give(u64),
    /// Ends the program.
    End,
    Module,
    Address,
    Alloc(u8),
    Free,
    Protect,
    Copy,
    Zero,
    Length,
    Query,
    /// Gives the first argument.
    Echo,
    Ticks,
    CopyText,
    Compare,
    /// Opens the program's own file, for reading; there is no other.
    Open,
    FileLen,
    FileName,
    Read,
    Seek,
    Map,
}

/// The program's own file, as a handle and as a name.
const FILE: u64 = 0x44;
const FILE_NAME: &[u8] = b"C:\\program.exe\0";
const INVALID: u64 = 0xffff_ffff;
const GENERIC_WRITE: u64 = 0x4000_0000;

/// Name, number of arguments, and what it does. Sorted, for the table of exports.
const KNOWN: &[(&str, u8, Act)] = &[
    ("CheckRemoteDebuggerPresent", 2, Act::Give(0)),
    ("CloseHandle", 1, Act::Give(1)),
    ("CreateFileA", 7, Act::Open),
    ("CreateFileMappingA", 6, Act::Give(FILE)),
    ("CreateFileW", 7, Act::Open),
    ("CreateThread", 6, Act::Give(0)),
    ("CreateToolhelp32Snapshot", 2, Act::Give(0xffff_ffff)),
    ("DeleteCriticalSection", 1, Act::Give(0)),
    ("EnterCriticalSection", 1, Act::Give(0)),
    ("ExitProcess", 1, Act::End),
    ("ExitThread", 1, Act::End),
    ("FindResourceA", 3, Act::Give(0)),
    ("FindWindowA", 2, Act::Give(0)),
    ("FlushInstructionCache", 3, Act::Give(1)),
    ("FreeLibrary", 1, Act::Give(1)),
    ("GetCurrentDirectoryA", 2, Act::Give(0)),
    ("GetCurrentProcess", 0, Act::Give(0xffff_ffff)),
    ("GetCurrentProcessId", 0, Act::Give(0x4d2)),
    ("GetCurrentThread", 0, Act::Give(0xffff_fffe)),
    ("GetCurrentThreadId", 0, Act::Give(0x929)),
    ("GetDriveTypeA", 1, Act::Give(3)),
    ("GetFileSize", 2, Act::FileLen),
    ("GetLastError", 0, Act::Give(0)),
    ("GetModuleFileNameA", 3, Act::FileName),
    ("GetModuleFileNameW", 3, Act::Give(0)),
    ("GetModuleHandleA", 1, Act::Module),
    ("GetModuleHandleW", 1, Act::Module),
    ("GetProcAddress", 2, Act::Address),
    ("GetProcessHeap", 0, Act::Give(0x15_0000)),
    ("GetSystemDirectoryA", 2, Act::Give(0)),
    ("GetSystemTimeAsFileTime", 1, Act::Give(0)),
    ("GetThreadContext", 2, Act::Give(0)),
    ("GetTickCount", 0, Act::Ticks),
    ("GetVersion", 0, Act::Give(0x0a28_0105)),
    ("GlobalAlloc", 2, Act::Alloc(1)),
    ("GlobalFree", 1, Act::Free),
    ("GlobalLock", 1, Act::Echo),
    ("GlobalUnlock", 1, Act::Give(1)),
    ("HeapAlloc", 3, Act::Alloc(2)),
    ("HeapCreate", 3, Act::Give(0x15_0000)),
    ("HeapDestroy", 1, Act::Give(1)),
    ("HeapFree", 3, Act::Give(1)),
    ("InitializeCriticalSection", 1, Act::Give(0)),
    ("IsBadReadPtr", 2, Act::Give(0)),
    ("IsDebuggerPresent", 0, Act::Give(0)),
    ("LeaveCriticalSection", 1, Act::Give(0)),
    ("LoadLibraryA", 1, Act::Module),
    ("LoadLibraryExA", 3, Act::Module),
    ("LoadLibraryExW", 3, Act::Module),
    ("LoadLibraryW", 1, Act::Module),
    ("LocalAlloc", 2, Act::Alloc(1)),
    ("LocalFree", 1, Act::Free),
    ("MapViewOfFile", 5, Act::Map),
    ("Module32First", 2, Act::Give(0)),
    ("NtProtectVirtualMemory", 5, Act::Give(0)),
    ("NtQueryInformationProcess", 5, Act::Give(0xc000_0003)),
    ("NtSetInformationThread", 4, Act::Give(0)),
    ("OpenProcess", 3, Act::Give(0)),
    ("OpenThread", 3, Act::Give(0)),
    ("OutputDebugStringA", 1, Act::Give(0)),
    ("Process32First", 2, Act::Give(0)),
    ("Process32Next", 2, Act::Give(0)),
    ("QueryPerformanceCounter", 1, Act::Ticks),
    ("ReadFile", 5, Act::Read),
    ("ResumeThread", 1, Act::Give(0)),
    ("RtlAddFunctionTable", 3, Act::Give(1)),
    ("RtlMoveMemory", 3, Act::Copy),
    ("RtlZeroMemory", 2, Act::Zero),
    ("SetErrorMode", 1, Act::Give(0)),
    ("SetFilePointer", 4, Act::Seek),
    ("SetLastError", 1, Act::Give(0)),
    ("SetThreadContext", 2, Act::Give(0)),
    ("SetUnhandledExceptionFilter", 1, Act::Give(0)),
    ("Sleep", 1, Act::Give(0)),
    ("SuspendThread", 1, Act::Give(0)),
    ("TerminateProcess", 2, Act::End),
    ("TlsAlloc", 0, Act::Give(3)),
    ("TlsSetValue", 2, Act::Give(1)),
    ("UnhandledExceptionFilter", 1, Act::Give(0)),
    ("UnmapViewOfFile", 1, Act::Give(1)),
    ("VirtualAlloc", 4, Act::Alloc(0)),
    ("VirtualAllocEx", 5, Act::Alloc(3)),
    ("VirtualFree", 3, Act::Free),
    ("VirtualLock", 2, Act::Give(1)),
    ("VirtualProtect", 4, Act::Protect),
    ("VirtualProtectEx", 5, Act::Give(1)),
    ("VirtualQuery", 3, Act::Query),
    ("VirtualUnlock", 2, Act::Give(1)),
    ("lstrcatA", 2, Act::Echo),
    ("lstrcmpA", 2, Act::Compare),
    ("lstrcmpiA", 2, Act::Compare),
    ("lstrcpyA", 2, Act::CopyText),
    ("lstrlenA", 1, Act::Length),
];

/// Functions that a program has more use for than a loader: they can be found, and end the run.
const EXPORTED: &[&str] = &[
    "CopyFileA",
    "CreateDirectoryA",
    "CreateEventA",
    "CreateMutexA",
    "CreateProcessA",
    "CreateProcessW",
    "CreateRemoteThread",
    "DeleteFileA",
    "DuplicateHandle",
    "FindClose",
    "FindFirstFileA",
    "FindNextFileA",
    "FormatMessageA",
    "GetCommandLineA",
    "GetCommandLineW",
    "GetComputerNameA",
    "GetEnvironmentVariableA",
    "GetExitCodeProcess",
    "GetFileAttributesA",
    "GetFileType",
    "GetStartupInfoA",
    "GetStartupInfoW",
    "GetStdHandle",
    "GetSystemInfo",
    "GetTempPathA",
    "GetVersionExA",
    "GetWindowsDirectoryA",
    "HeapReAlloc",
    "HeapSize",
    "InterlockedExchange",
    "IsBadWritePtr",
    "LoadResource",
    "LockResource",
    "MoveFileA",
    "MultiByteToWideChar",
    "RaiseException",
    "ReadProcessMemory",
    "RtlUnwind",
    "SetEvent",
    "SetFileAttributesA",
    "SizeofResource",
    "WaitForSingleObject",
    "WideCharToMultiByte",
    "WinExec",
    "WriteFile",
    "WriteProcessMemory",
];

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Called {
    Returned,
    /// The program ends.
    Ended,
    /// A function that no loader needs.
    Unknown(String),
}

/// The functions by name and address.
#[derive(Debug, Default)]
pub(super) struct Functions {
    names: Vec<Vec<u8>>,
    numbers: BTreeMap<Vec<u8>, usize>,
    libraries: BTreeMap<Vec<u8>, u64>,
    heap_next: u64,
}

impl Functions {
    /// Returns the known functions and puts their library into memory.
    pub(super) fn new(memory: &mut Memory, is_64: bool) -> Option<Self> {
        let mut functions = Self { heap_next: HEAP_START, ..Self::default() };
        for name in exported() {
            functions.address(name.as_bytes());
        }
        memory.add(LIBRARY_BASE, library(is_64, LIBRARY_BASE))?;
        Some(functions)
    }

    /// Returns the address of a function of any library.
    pub(super) fn address(&mut self, name: &[u8]) -> u64 {
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None if self.names.len() < FUNCTIONS_MAX => {
                self.names.push(name.to_vec());
                let number = self.names.len().wrapping_sub(1);
                self.numbers.insert(name.to_vec(), number);
                number
            }
            None => FUNCTIONS_MAX.wrapping_sub(1),
        };
        FUNCTIONS_START.wrapping_add(u64::try_from(number).unwrap_or(0).wrapping_mul(FUNCTION_LEN))
    }

    fn module(&mut self, name: &[u8], memory: &mut Memory, is_64: bool) -> u64 {
        let name = name.to_ascii_lowercase();
        let base = name.strip_suffix(b".dll").unwrap_or(&name);
        if [b"kernel32".as_slice(), b"ntdll", b"kernelbase"].contains(&base) {
            return LIBRARY_BASE;
        }
        if let Some(start) = self.libraries.get(base) {
            return *start;
        }
        let number = u64::try_from(self.libraries.len()).unwrap_or(LIBRARIES_MAX);
        if number >= LIBRARIES_MAX {
            return OTHERS_START;
        }
        let start = OTHERS_START.wrapping_add(number.wrapping_mul(0x1_0000));
        let _ = memory.add(start, library(is_64, start));
        self.libraries.insert(base.to_vec(), start);
        start
    }
}

/// True for an address that stands for a function.
pub(super) fn is_function(address: u64) -> bool {
    (FUNCTIONS_START..LIBRARY_BASE.wrapping_add(0x2_0000)).contains(&address)
}

/// Calls the function that the instruction pointer is at, and returns from it.
pub(super) fn call(program: &mut Program) -> Called {
    let number = program.cpu.ip.wrapping_sub(FUNCTIONS_START) / FUNCTION_LEN;
    let name = program.functions.names.get(size(number)).cloned().unwrap_or_default();
    let known = KNOWN.iter().find(|(known, ..)| known.as_bytes() == name);
    let unknown = || Called::Unknown(String::from_utf8_lossy(&name).into_owned());
    let Some((_, count, act)) = known else { return unknown() };
    if *act == Act::End {
        return Called::Ended;
    }
    // A call is work, and what it copies is more.
    program.cpu.steps = program.cpu.steps.saturating_add(CALL_STEPS);
    let mut args = [0u64; 7];
    for (number, arg) in args.iter_mut().enumerate().take(usize::from(*count)) {
        *arg = argument(&mut program.cpu, number);
    }
    let copied = match act {
        Act::Copy | Act::Read => args.get(2),
        Act::Zero => args.get(1),
        _ => None,
    };
    let work = copied.map_or(0, |len| (*len).min(1 << 26) >> 5);
    program.cpu.steps = program.cpu.steps.saturating_add(work);
    let value = perform(program, *act, &args);
    let cpu = &mut program.cpu;
    cpu.set_reg(RAX, value);
    let word = cpu.word();
    let Ok(back) = cpu.pop(word) else { return unknown() };
    if !cpu.is_64 {
        let sp = cpu.reg(RSP).wrapping_add(u64::from(*count).wrapping_mul(4));
        cpu.set_reg(RSP, sp);
    }
    cpu.ip = back;
    Called::Returned
}

fn argument(cpu: &mut Cpu, number: usize) -> u64 {
    let in_register = [RCX, RDX, 8, 9].get(number).copied().filter(|_| cpu.is_64);
    if let Some(register) = in_register {
        return cpu.reg(register);
    }
    let unit = u64::from(cpu.word());
    let off = u64::try_from(number).unwrap_or(0).wrapping_add(1).wrapping_mul(unit);
    let at = cpu.reg(RSP).wrapping_add(off);
    cpu.memory.read(at, cpu.word()).unwrap_or(0)
}

fn perform(program: &mut Program<'_>, act: Act, args: &[u64; 7]) -> u64 {
    let [first, second, third, fourth, ..] = *args;
    let memory = &mut program.cpu.memory;
    match act {
        Act::Give(value) => value,
        Act::Echo => first,
        Act::End => 0,
        Act::Module if first == 0 => program.base,
        Act::Module => {
            let name = text(memory, first);
            let is_64 = program.cpu.is_64;
            program.functions.module(&name, &mut program.cpu.memory, is_64)
        }
        Act::Address => {
            let name = if second < 0x1_0000 {
                format!("#{second}").into_bytes()
            } else {
                c_string(memory, second)
            };
            if name.is_empty() { 0 } else { program.functions.address(&name) }
        }
        Act::Alloc(kind) => {
            let (address, len) = match kind {
                0 => (first, second),
                1 => (0, second),
                2 => (0, third),
                _ => (second, third),
            };
            alloc(program, address, len)
        }
        // What was there is looked at in the end.
        Act::Free => u64::from(!matches!(first, 0)),
        Act::Protect => {
            let _ = memory.write(fourth, 4, 0x40);
            1
        }
        Act::Copy => u64::from(memory.copy_up(second, first, size(third).min(1 << 24)).is_ok()),
        Act::Zero => {
            let len = size(second).min(1 << 24);
            u64::from(memory.fill_with(first, len, |bytes| bytes.fill(0)).is_ok())
        }
        Act::Length => u64::try_from(c_string(memory, first).len()).unwrap_or(0),
        Act::CopyText => {
            let mut name = c_string(memory, second);
            name.push(0);
            let _ = memory.store(first, &name);
            first
        }
        Act::Compare => {
            let (a, b) = (c_string(memory, first), c_string(memory, second));
            u64::from(!a.eq_ignore_ascii_case(&b))
        }
        Act::Query => query(program, first, second),
        Act::Open | Act::FileLen | Act::FileName | Act::Read | Act::Seek | Act::Map => {
            file(program, act, args).unwrap_or(0)
        }
        Act::Ticks => 0x1234_5678u64.wrapping_add(program.cpu.steps >> 20),
    }
}

/// What a program may do with its own file.
fn file(program: &mut Program<'_>, act: Act, args: &[u64; 7]) -> Option<u64> {
    let [first, second, third, fourth, ..] = *args;
    let object = program.object;
    let len = u64::try_from(object.len()).ok()?;
    let memory = &mut program.cpu.memory;
    Some(match act {
        Act::FileName => {
            let name = FILE_NAME.get(..FILE_NAME.len().min(size(third)))?;
            memory.store(second, name).ok()?;
            u64::try_from(FILE_NAME.len()).ok()?.wrapping_sub(1)
        }
        Act::Open => {
            let is_own = text(memory, first).ends_with(b"program.exe");
            program.file_off = 0;
            if is_own && second & GENERIC_WRITE == 0 { FILE } else { INVALID }
        }
        _ if act != Act::Map && first != FILE => return None,
        Act::FileLen => len,
        Act::Seek => {
            let off = match fourth & 3 {
                0 => second,
                1 => u64::try_from(program.file_off).ok()?.wrapping_add(second),
                _ => len.wrapping_add(second),
            };
            let off = off & 0xffff_ffff;
            program.file_off = size(off);
            off
        }
        Act::Read => {
            let rest = object.get(program.file_off..).unwrap_or_default();
            let part = rest.get(..rest.len().min(size(third)))?;
            memory.store(second, part).ok()?;
            if fourth != 0 {
                memory.write(fourth, 4, u64::try_from(part.len()).ok()?).ok()?;
            }
            program.file_off = program.file_off.checked_add(part.len())?;
            1
        }
        _ => {
            let start = alloc(program, 0, len);
            program.cpu.memory.store(start, object).ok()?;
            start
        }
    })
}

/// Returns a name in one or two bytes a character.
fn text(memory: &mut Memory, address: u64) -> Vec<u8> {
    let narrow = c_string(memory, address);
    if narrow.len() != 1 {
        return narrow;
    }
    let wide = memory.slice(address, 256).to_vec();
    wide.chunks_exact(2).map_while(|pair| pair.first().copied().filter(|low| *low != 0)).collect()
}

fn alloc(program: &mut Program<'_>, address: u64, len: u64) -> u64 {
    let page = |value: u64| value.checked_next_multiple_of(0x1000).unwrap_or(u64::MAX);
    let len = page(len.max(1));
    let memory = &mut program.cpu.memory;
    if address != 0 && memory.read(address, 1).is_ok() {
        return address & !0xfff;
    }
    if size(len) > memory.room() {
        return 0;
    }
    let start = if address == 0 { program.functions.heap_next } else { address & !0xffff };
    let is_free = |end: u64| {
        memory.regions.iter().all(|region| {
            let region_end =
                region.start.saturating_add(u64::try_from(region.bytes.len()).unwrap_or(0));
            end <= region.start || start >= region_end
        })
    };
    let end = start.saturating_add(len);
    if end > 0x7000_0000 && !program.cpu.is_64 || !is_free(end) {
        return 0;
    }
    if memory.add(start, vec![0; size(len)]).is_none() {
        return 0;
    }
    if address == 0 {
        let next = end.checked_next_multiple_of(0x1_0000).unwrap_or(end);
        program.functions.heap_next = next.wrapping_add(0x1_0000);
    }
    start
}

/// Fills `MEMORY_BASIC_INFORMATION`.
fn query(program: &mut Program<'_>, address: u64, to: u64) -> u64 {
    let word = program.cpu.word();
    let unit = u64::from(word);
    let memory = &mut program.cpu.memory;
    let Some(region) = memory.regions.iter().find(|region| {
        let len = u64::try_from(region.bytes.len()).unwrap_or(0);
        address.checked_sub(region.start).is_some_and(|off| off < len)
    }) else {
        return 0;
    };
    let (start, len) = (region.start, u64::try_from(region.bytes.len()).unwrap_or(0));
    let page = address & !0xfff;
    let rest = start.wrapping_add(len).wrapping_sub(page);
    let fields = [(0, page), (1, start), (2, 0x40), (3, rest), (4, 0x1000), (5, 0x40)];
    for (field, value) in fields {
        let _ = memory.write(to.wrapping_add(unit.wrapping_mul(field)), word, value);
    }
    let _ = memory.write(to.wrapping_add(unit.wrapping_mul(6)), 4, 0x100_0000);
    if word == 8 { 48 } else { 28 }
}

/// Returns the names of functions that are there from the start.
fn exported() -> Vec<&'static str> {
    let mut names: Vec<&str> = KNOWN.iter().map(|(name, ..)| *name).collect();
    names.extend(EXPORTED);
    names.sort_unstable();
    names
}

/// Returns the bytes of a library; the first exports the known functions.
fn library(is_64: bool, base: u64) -> Vec<u8> {
    let names_of = if base == LIBRARY_BASE { exported() } else { Vec::new() };
    let mut bytes = vec![0u8; if base == LIBRARY_BASE { LIBRARY_LEN } else { OTHERS_LEN }];
    let mut put = |off: usize, data: &[u8]| {
        if let Some(to) = bytes.get_mut(off..).and_then(|rest| rest.get_mut(..data.len())) {
            to.copy_from_slice(data);
        }
    };
    let word = |value: usize| u32::try_from(value).unwrap_or(0).to_le_bytes();
    put(0, b"MZ");
    put(0x3c, &word(0x80));
    put(0x80, b"PE\0\0");
    put(0x84, if is_64 { &[0x64, 0x86] } else { &[0x4c, 0x01] });
    put(0x98, if is_64 { &[0x0b, 0x02] } else { &[0x0b, 0x01] });
    // `ImageBase`, by which some make sure that they found a library.
    let base = base.to_le_bytes();
    put(if is_64 { 0xb0 } else { 0xb4 }, base.get(..if is_64 { 8 } else { 4 }).unwrap_or_default());
    let exports = 0x1000usize;
    put(if is_64 { 0x80 + 0x88 } else { 0x80 + 0x78 }, &[word(exports), word(0x4000)].concat());
    let count = names_of.len();
    let (functions, names, numbers) = (0x1100usize, 0x1800usize, 0x2000usize);
    let mut text = 0x2400usize;
    let header = [0x2300, 1, count, count, functions, names, numbers];
    let header: Vec<u8> = header.into_iter().flat_map(word).collect();
    put(exports.wrapping_add(12), &header);
    put(0x2300, KERNEL.as_bytes());
    for (number, name) in names_of.iter().enumerate() {
        let rva = 0x1_0000usize.wrapping_add(number.wrapping_mul(16));
        put(functions.wrapping_add(number.wrapping_mul(4)), &word(rva));
        put(names.wrapping_add(number.wrapping_mul(4)), &word(text));
        put(
            numbers.wrapping_add(number.wrapping_mul(2)),
            word(number).get(..2).unwrap_or_default(),
        );
        put(text, name.as_bytes());
        text = text.wrapping_add(name.len()).wrapping_add(1);
    }
    // What functions begin with; some loaders look at it.
    for number in 0..FUNCTIONS_MAX {
        let off = 0x1_0000usize.wrapping_add(number.wrapping_mul(16));
        put(off, &[0x8b, 0xff, 0x55, 0x8b, 0xec, 0x5d, 0xc3]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(KNOWN.is_sorted_by_key(|(name, ..)| *name));
    }
}
