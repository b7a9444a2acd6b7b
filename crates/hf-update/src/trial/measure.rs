//! Scans files with content and says what came of it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use hf_policy::{Tell, decide};
use hf_worker::{Job, ScanRequest, SpawnError, Worker, WorkerConfig};
use serde::{Deserialize, Serialize};

/// What came of a trial with one set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measure {
    /// Signatures in it.
    pub signatures: u64,
    /// Files known to be clean that were scanned.
    pub files: usize,
    /// Milliseconds for them.
    pub scan_ms: u64,
    /// Files known to be clean in which it finds something.
    pub condemned: Vec<(PathBuf, String)>,
    /// How workers died.
    pub deaths: Vec<String>,
    /// What should be found and is not.
    pub missed: Vec<String>,
    /// What was left out of it.
    pub warnings: Vec<String>,
}

/// Something that is known and must be found.
#[derive(Debug)]
pub struct Missed {
    /// Its name, for people.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Returns the test file that every scanner finds. Source: eicar.org; put together here, so that no scanner finds it
/// in this program.
#[must_use]
pub fn eicar() -> Missed {
    let (front, back) =
        (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-", "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*");
    Missed { name: "EICAR test file".to_owned(), bytes: format!("{front}{back}").into_bytes() }
}

/// Scans known samples and files known to be clean in a sandboxed worker.
///
/// # Errors
/// No worker can be started with this content: it says why.
pub fn measure(
    config: WorkerConfig,
    signatures: u64,
    clean: &[(PathBuf, File)],
    known: &[Missed],
) -> Result<Measure, SpawnError> {
    let mut worker = Worker::spawn(Arc::new(config))?;
    let mut measure = Measure {
        signatures,
        files: clean.len(),
        warnings: worker.warnings().to_vec(),
        ..Measure::default()
    };
    for sample in known {
        let Ok(file) = hf_sys::sealed_memory("sample", &sample.bytes) else { continue };
        let answer = worker.scan(job(0, &sample.name, file));
        if let Some(death) = answer.death {
            measure.deaths.push(format!("{}: {death}", sample.name));
        } else if decide(&answer.report, Tell::One).name().is_none() {
            measure.missed.push(sample.name.clone());
        }
    }
    let begun = Instant::now();
    for (idx, (path, file)) in clean.iter().enumerate() {
        let Ok(file) = file.try_clone() else { continue };
        let id = u64::try_from(idx).unwrap_or(u64::MAX);
        let answer = worker.scan(job(id, &path.to_string_lossy(), file));
        if let Some(death) = answer.death {
            measure.deaths.push(format!("{}: {death}", path.display()));
            if measure.deaths.len() >= DEATHS_MAX {
                break;
            }
        } else if let Some(name) = decide(&answer.report, Tell::One).name() {
            measure.condemned.push((path.clone(), name.to_owned()));
        }
    }
    measure.scan_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    worker.end();
    Ok(measure)
}

fn job(id: u64, name: &str, file: File) -> Job {
    let size = file.metadata().map_or(0, |meta| meta.len());
    let request = ScanRequest { id, name: name.as_bytes().to_vec(), limits: None, options: None };
    Job { request, file, size }
}

/// Ours: more say nothing new.
const DEATHS_MAX: usize = 3;
