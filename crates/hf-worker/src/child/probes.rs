//! What a worker tries when the parent wants to see it stopped.
//!
//! Always part of the program: a worker has no power that this could use.

use std::io;

use hf_ipc::Probe;
use hf_sys::forbidden;

/// Tries; `Ok` means that what must not happen happened.
pub(super) fn attempt(probe: &Probe) -> io::Result<()> {
    match probe {
        Probe::OpenSocket => forbidden::open_socket(),
        Probe::OpenFile(path) => forbidden::open_file(path),
        Probe::CreateFile(path) => forbidden::create_file(path),
        Probe::StartProgram(path) => forbidden::start_program(path, &["sh", "-c", "exit 42"]),
        Probe::Fork => forbidden::fork(),
        Probe::TraceParent => forbidden::trace_parent(),
        Probe::SignalParent => forbidden::signal_parent(),
        Probe::MapExecutable => forbidden::map_executable(),
        Probe::MakeRing => forbidden::make_ring(),
        Probe::Memory(bytes) => {
            let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX >> 1);
            // Not written to: when the bound fails, the machine is not to suffer.
            std::hint::black_box(Vec::<u8>::with_capacity(bytes));
            Ok(())
        }
        Probe::Loop => loop {
            std::hint::spin_loop();
        },
        Probe::Panic => panic!("asked to panic"),
        Probe::Abort => std::process::abort(),
        Probe::OverflowStack => {
            std::hint::black_box(forbidden::overflow_stack(0));
            Ok(())
        }
        Probe::ReadNull => {
            forbidden::read_null();
            Ok(())
        }
    }
}
