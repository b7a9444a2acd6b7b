//! Workers that crash, stall, lie and go on, seen from their parent.
//!
//! This executable is the worker too: without the standard harness, `main` decides.
#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

mod confinement;
mod evil;
mod processes;
mod scanning;
mod toy;

use std::process::ExitCode;
use std::time::Instant;

use hf_worker::{is_worker, run_worker};

/// Tests by their names.
type Tests = &'static [(&'static str, fn())];

const TESTS: &[(&str, Tests)] = &[
    ("scanning", scanning::TESTS),
    ("evil", evil::TESTS),
    ("processes", processes::TESTS),
    ("confinement", confinement::TESTS),
];

fn main() -> ExitCode {
    if is_worker() {
        return run_worker(toy::make);
    }
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("--evil") => return evil::worker(&args.next().unwrap()),
        Some("--old-kernel") => return confinement::worker_on_an_old_kernel(),
        Some("--parent") => return processes::parent(),
        Some("--list") => {
            let all =
                TESTS.iter().flat_map(|(module, tests)| tests.iter().map(move |t| (module, t.0)));
            all.for_each(|(module, name)| println!("{module}::{name}: test"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (module, tests) in TESTS {
        for (name, test) in *tests {
            let name = format!("{module}::{name}");
            if wanted.is_empty() || wanted.iter().any(|part| name.contains(part)) {
                let begun = Instant::now();
                test();
                println!("test {name} ... ok ({} ms)", begun.elapsed().as_millis());
            }
        }
    }
    ExitCode::SUCCESS
}
