//! What a worker process is made of: the engine over the packs that it was given.

use std::fs::File;
use std::process::ExitCode;

use hf_core::Report;
use hf_engine::Engine;
use hf_pack::Pack;
use hf_worker::{ScanRequest, Scanner, Setup};

struct EngineScanner {
    engine: Engine,
}

impl Scanner for EngineScanner {
    fn scan(&mut self, object: &[u8], request: &ScanRequest) -> Report {
        let (limits, options) = (request.limits.as_deref(), request.options.as_deref());
        self.engine.scan_with(object, limits, options)
    }

    fn warnings(&self) -> Vec<String> {
        self.engine.warnings().to_vec()
    }
}

/// Runs as a worker until the parent is done.
pub(crate) fn run() -> ExitCode {
    hf_worker::run_worker(|setup, files| {
        let scanner = EngineScanner { engine: engine(setup, files)? };
        Ok(Box::new(scanner))
    })
}

fn engine(setup: Setup, files: Vec<File>) -> Result<Engine, String> {
    ask_the_system_once();
    let packs = files
        .into_iter()
        .zip(&setup.packs)
        .map(|(file, pack)| Pack::open(file).map_err(|error| format!("{}: {error}", pack.label)))
        .collect::<Result<Vec<_>, String>>()?;
    let setup = hf_engine::Setup { packs, limits: setup.limits, options: setup.options };
    Engine::new(setup).map_err(|error| error.to_string())
}

/// Lets libraries ask now what they ask once: behind the lock a question ends the worker. The first
/// regular expression asks for the number of processors, which reads a file.
fn ask_the_system_once() {
    let _ = regex_automata::meta::Regex::new("a");
}
