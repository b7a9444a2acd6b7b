//! A witness: cosigns checkpoints of logs that only ever grew (C2SP `tlog-witness`, `tlog-cosignature`).
//!
//! Promises: what it cosigns is on the disk before the cosignature leaves, and one process at a time
//! holds the folder; so it never signs two histories, however it is killed.
//! Leaves out: TLS, and a list of logs that it would fetch by itself.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use hf_channel::layout::file_name;
use hf_trust::Time;
use hf_trust::log::{AddCheckpoint, Checkpoint, Note, Verifier, VerifierKind, merkle};

use crate::files::{self, Lock};
use crate::http::{self, Answer, Request};
use crate::keys::{SecretKey, sign_note};

const STATE_LEN_MAX: u64 = 1 << 20;

/// A witness with its state.
pub(crate) struct Witness {
    name: String,
    keys: Vec<(VerifierKind, SecretKey)>,
    logs: Vec<Verifier>,
    dir: PathBuf,
    /// Last cosigned checkpoint of each log: size and root.
    seen: Mutex<BTreeMap<String, (u64, [u8; 32])>>,
    _lock: Lock,
}

impl Witness {
    /// Opens the state in a folder.
    ///
    /// # Errors
    /// Another process has it, or it is damaged.
    pub(crate) fn open(
        dir: &Path,
        name: &str,
        keys: Vec<(VerifierKind, SecretKey)>,
        logs: Vec<Verifier>,
    ) -> Result<Self> {
        ensure!(!logs.is_empty(), "no log is known: name their keys with --log");
        let lock = files::lock(dir)?;
        let mut seen = BTreeMap::new();
        for log in &logs {
            let path = dir.join(file_name(log.name()));
            let Some(bytes) = files::read_if_there(&path, STATE_LEN_MAX)? else { continue };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let state = Checkpoint::parse(&text).filter(|state| state.origin == log.name());
            let state = state.with_context(|| {
                format!("{} is damaged: retire this witness's key", path.display())
            })?;
            seen.insert(state.origin, (state.size, state.root));
        }
        let dir = dir.to_owned();
        Ok(Self { name: name.to_owned(), keys, logs, dir, seen: Mutex::new(seen), _lock: lock })
    }

    /// Answers requests until the process ends.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn run(self, listener: &TcpListener) -> Result<()> {
        http::serve(listener, move |request| self.answer(request))
    }

    pub(crate) fn answer(&self, request: &Request) -> Answer {
        if !request.path.ends_with("/add-checkpoint") {
            return Answer::text(404, "not found\n");
        }
        if request.method != "POST" {
            return Answer::text(405, "only POST\n");
        }
        let now = crate::command::unix_seconds();
        self.add_checkpoint(&request.body, Time::from_unix(now)).unwrap_or_else(|refused| refused)
    }

    /// `add-checkpoint`, in the order of the specification.
    fn add_checkpoint(&self, body: &[u8], now: Time) -> Result<Answer, Answer> {
        let refuse = |status, why: &str| Answer::text(status, format!("{why}\n"));
        let asked = AddCheckpoint::parse(body).map_err(|err| refuse(400, &err.to_string()))?;
        let AddCheckpoint { old_size, note, checkpoint, .. } = &asked;
        let old_size = *old_size;
        // "If the checkpoint origin is unknown, the witness MUST respond with 404."
        let mut known = self.logs.iter().filter(|log| log.name() == checkpoint.origin).peekable();
        known.peek().ok_or_else(|| refuse(404, "the log is not known"))?;
        // "If none of the signatures verify against a trusted public key, … 403."
        if !known.any(|log| log.verify(note).is_ok()) {
            return Err(refuse(403, "the log's signature is missing or wrong"));
        }
        // "The old size MUST be equal to or lower than the checkpoint size. Otherwise, … 400."
        if old_size > checkpoint.size {
            return Err(refuse(400, "the old size is above that of the checkpoint"));
        }
        let poisoned = || refuse(500, "the witness has to be started again");
        let mut seen = self.seen.lock().map_err(|_| poisoned())?;
        let before = seen.get(&checkpoint.origin).copied();
        let (size, root) = before.unwrap_or((0, merkle::empty_root()));
        if size != old_size {
            let content_type = "text/x.tlog.size";
            return Err(Answer { content_type, ..refuse(409, &size.to_string()) });
        }
        if size == checkpoint.size && root != checkpoint.root {
            return Err(refuse(409, "another tree of this size was cosigned"));
        }
        let consistent = asked.verify(&root).is_ok();
        if !consistent {
            return Err(refuse(422, "the proof does not show that the log only grew"));
        }
        let path = self.dir.join(file_name(&checkpoint.origin));
        files::write(&path, note.text().as_bytes())
            .map_err(|_| refuse(500, "the state cannot be written"))?;
        seen.insert(checkpoint.origin.clone(), (checkpoint.size, checkpoint.root));
        drop(seen);
        self.cosign(note.text(), now).map_err(|_| refuse(500, "the key cannot be used"))
    }

    fn cosign(&self, text: &str, now: Time) -> Result<Answer> {
        let mut lines = String::new();
        for (kind, key) in &self.keys {
            let mut note = Note::new(text)?;
            sign_note(key, &self.name, *kind, &mut note, now)?;
            note.signatures().iter().for_each(|line| lines.push_str(&line.to_string()));
        }
        Ok(Answer::text(200, lines))
    }
}
