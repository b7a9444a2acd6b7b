//! Attempts at things that a confined process must not be able to do.
//!
//! Each function really tries, so that a self-test can show what stops it. None does harm where it
//! succeeds: a file that is made is the caller's, a program that runs ends at once, and a signal is
//! number 0.
//! Promises: `Ok` means that the forbidden thing happened.
//! Sources: the manual page of each call.

use std::ffi::CString;
use std::io;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Opens an internet socket.
///
/// # Errors
/// It was stopped.
pub fn open_socket() -> io::Result<()> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    check(fd.into())?;
    // SAFETY: the call above returned this descriptor, and nobody else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// Opens a file for reading.
///
/// # Errors
/// It was stopped.
pub fn open_file(path: &Path) -> io::Result<()> {
    std::fs::File::open(path).map(drop)
}

/// Creates a file.
///
/// # Errors
/// It was stopped.
pub fn create_file(path: &Path) -> io::Result<()> {
    std::fs::File::create_new(path).map(drop)
}

/// Becomes another program. When it succeeds, it does not return.
///
/// # Errors
/// It was stopped.
pub fn start_program(path: &Path, args: &[&str]) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let args = args.iter().map(|arg| CString::new(*arg)).collect::<Result<Vec<_>, _>>()?;
    let mut argv: Vec<*const libc::c_char> = vec![path.as_ptr()];
    argv.extend(args.iter().map(|arg| arg.as_ptr()));
    argv.push(ptr::null());
    let environment: [*const libc::c_char; 1] = [ptr::null()];
    // SAFETY: the strings live, and both lists end with null.
    let result = unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    check(result.into()).map(drop)
}

/// Makes a copy of the process, which ends at once.
///
/// # Errors
/// It was stopped.
pub fn fork() -> io::Result<()> {
    // SAFETY: the child makes no call but `_exit`, which is safe after fork.
    let pid = check(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        // SAFETY: ends the process; takes no pointers.
        unsafe { libc::_exit(0) }
    }
    Ok(())
}

/// Starts tracing the parent process, and lets go at once.
///
/// # Errors
/// It was stopped.
pub fn trace_parent() -> io::Result<()> {
    let parent = parent()?;
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: PTRACE_SEIZE reads no memory of ours.
    check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, parent, none, none) })?;
    // SAFETY: PTRACE_DETACH reads no memory of ours.
    check(unsafe { libc::ptrace(libc::PTRACE_DETACH, parent, none, none) }).map(drop)
}

/// Signals the parent process (with signal 0, which only asks whether it might).
///
/// # Errors
/// It was stopped.
pub fn signal_parent() -> io::Result<()> {
    let parent = parent()?;
    // SAFETY: takes no pointers.
    check(unsafe { libc::kill(parent, 0) }.into()).map(drop)
}

/// Asks for memory that can be written and run.
///
/// # Errors
/// It was stopped.
pub fn map_executable() -> io::Result<()> {
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh anonymous map replaces nothing.
    let at = unsafe { libc::mmap(ptr::null_mut(), 4096, all, flags, -1, 0) };
    if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes an io_uring, through which other system calls could pass unseen.
///
/// # Errors
/// It was stopped.
pub fn make_ring() -> io::Result<()> {
    // `struct io_uring_params` has 120 bytes; all zero means defaults.
    let mut parameters = [0_u64; 15];
    // SAFETY: the pointer is to 120 writable bytes, as the kernel wants.
    let fd =
        check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, parameters.as_mut_ptr()) })?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call above returned this descriptor, and nobody else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// Reads through a null pointer.
pub fn read_null() {
    let null: *const u8 = std::hint::black_box(ptr::null());
    // SAFETY: none. The fault is the purpose: page 0 is never mapped, so the process dies.
    let byte = unsafe { ptr::read_volatile(null) };
    std::hint::black_box(byte);
}

/// Recurses until the stack ends.
#[must_use]
pub fn overflow_stack(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 512]);
    let deeper = if std::hint::black_box(true) { overflow_stack(depth.wrapping_add(1)) } else { 0 };
    deeper.wrapping_add(frame[0])
}

fn parent() -> io::Result<libc::pid_t> {
    // Not asked from the kernel: the filter would stop the question, and hide the answer sought.
    let stat = PARENT.get().copied();
    stat.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the parent is not known"))
}

static PARENT: std::sync::OnceLock<libc::pid_t> = std::sync::OnceLock::new();

/// Notes who the parent is, while that can still be asked.
pub fn note_parent() {
    if let Some(pid) = rustix::process::getppid() {
        let _ = PARENT.set(pid.as_raw_nonzero().get());
    }
}
