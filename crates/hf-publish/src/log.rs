//! Keeps a log: takes publishers' statements, signs checkpoints, asks witnesses, hands out proofs.
//!
//! Promises: a checkpoint is on this disk before a witness sees it, and its entries before it; so a log
//! that is killed at any instant goes on with the history that it has shown.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use hf_channel::Digest;
use hf_channel::layout::{self, file_name};
use hf_trust::Time;
use hf_trust::log::{AddCheckpoint, Checkpoint, LogProof, Note, Verifier};
use hf_trust::quorum::{Attestation, Bundle, Consistency, Statement};

use crate::files;
use crate::home::{Home, WitnessAddress, read_verifiers};
use crate::keys::sign_note;
use crate::tree::Tree;

/// Most bytes of a note or a bundle.
const NOTE_LEN_MAX: u64 = 1 << 20;
/// Ours: proofs of growth from so many earlier checkpoints travel with each release.
const GROWTHS: usize = 48;

/// What a run of the log did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) size: u64,
    pub(crate) added: usize,
    pub(crate) cosigned: Vec<String>,
    /// Witnesses that did not cosign, and why.
    pub(crate) missing: Vec<String>,
    /// Notes that were not taken, and why.
    pub(crate) refused: Vec<String>,
}

/// Takes all statements in a channel's folder into the log, and puts proofs beside them.
///
/// # Errors
/// The log is damaged, or the disk or a key fails. Missing witnesses are told, and no error.
pub(crate) fn run(home: &Home, channel: Option<&Path>, now: Time) -> Result<Outcome> {
    let _lock = files::lock(&home.dir.join("state"))?;
    let log = Log { home, dir: home.dir.join("log"), origin: home.key_name("log") };
    let config = home.log_config()?;
    let publishers = read_verifiers(&config.publishers)?;
    let mut outcome = Outcome::default();
    let mut tree = log.open()?;
    let found = match channel {
        Some(channel) => notes(channel, &publishers, &mut outcome)?,
        None => Vec::new(),
    };
    for (_, text) in &found {
        if tree.find(text.as_bytes()).is_none() {
            tree.push(text.as_bytes())?;
            outcome.added += 1;
        }
    }
    tree.flush()?;
    let note = log.checkpoint(&tree, now)?;
    let note = log.cosigned(note, &tree, &config.witness, &mut outcome)?;
    files::write(&log.dir.join("checkpoint"), note.to_string().as_bytes())?;
    log.remember_size(tree.size())?;
    outcome.size = tree.size();
    if let Some(channel) = channel {
        log.prove(channel, &found, &tree, &note)?;
        copy_folder(&log.dir, &channel.join(layout::LOG).join(file_name(&log.origin)))?;
    }
    Ok(outcome)
}

struct Log<'a> {
    home: &'a Home,
    dir: PathBuf,
    origin: String,
}

impl Log<'_> {
    fn pending(&self) -> PathBuf {
        self.home.dir.join("state/checkpoint")
    }

    /// Opens the log as far as anybody may have seen it.
    fn open(&self) -> Result<Tree> {
        let Some(bytes) = files::read_if_there(&self.pending(), NOTE_LEN_MAX)? else {
            ensure!(
                !self.dir.join("checkpoint").exists(),
                "{} is missing, and the log was shown already: it must not begin anew",
                self.pending().display()
            );
            return Tree::open(&self.dir, 0);
        };
        let note = Note::parse(&bytes).context("the last checkpoint")?;
        let checkpoint = Checkpoint::parse(note.text()).context("the last checkpoint")?;
        ensure!(checkpoint.origin == self.origin, "the last checkpoint is of another log");
        let tree = Tree::open(&self.dir, checkpoint.size)?;
        ensure!(tree.root() == checkpoint.root, "the log's files are not those of its checkpoint");
        Ok(tree)
    }

    /// Signs a checkpoint, which is on the disk when it is returned.
    fn checkpoint(&self, tree: &Tree, now: Time) -> Result<Note> {
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            size: tree.size(),
            root: tree.root(),
            extensions: Vec::new(),
        };
        let mut note = Note::new(checkpoint.to_string())?;
        for (kind, key) in self.home.note_keys("log")? {
            sign_note(&key, &self.origin, kind, &mut note, now)?;
        }
        files::write(&self.pending(), note.to_string().as_bytes())?;
        Ok(note)
    }

    /// Asks every witness; what each answers is verified before it is taken.
    fn cosigned(
        &self,
        note: Note,
        tree: &Tree,
        witnesses: &[WitnessAddress],
        outcome: &mut Outcome,
    ) -> Result<Note> {
        let mut whole = note.clone();
        for witness in witnesses {
            let keys = read_verifiers(&witness.keys)?;
            match ask(witness, &keys, &note, tree) {
                Ok(lines) => {
                    lines.signatures().iter().skip(note.signatures().len()).for_each(|line| {
                        whole.add(line.clone());
                    });
                    outcome.cosigned.push(witness.url.clone());
                }
                Err(error) => outcome.missing.push(format!("{}: {error:#}", witness.url)),
            }
        }
        Ok(whole)
    }

    fn sizes(&self) -> Result<Vec<u64>> {
        let path = self.home.dir.join("state/sizes");
        let bytes = files::read_if_there(&path, NOTE_LEN_MAX)?.unwrap_or_default();
        let text = String::from_utf8(bytes)?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Remembers a size that was shown.
    fn remember_size(&self, size: u64) -> Result<()> {
        let mut sizes = self.sizes()?;
        if sizes.last() == Some(&size) {
            return Ok(());
        }
        sizes.push(size);
        let first = sizes.len().saturating_sub(1000);
        let text: Vec<String> =
            sizes.get(first..).unwrap_or_default().iter().map(|size| format!("{size}\n")).collect();
        files::write(&self.home.dir.join("state/sizes"), text.concat().as_bytes())
    }

    /// Puts proofs beside the statements: for each manifest one file.
    fn prove(
        &self,
        channel: &Path,
        found: &[(Digest, String)],
        tree: &Tree,
        note: &Note,
    ) -> Result<()> {
        let sizes = self.sizes()?;
        let first = sizes.len().saturating_sub(GROWTHS);
        let earlier: Vec<u64> = sizes
            .get(first..)
            .unwrap_or_default()
            .iter()
            .copied()
            .filter(|size| (1..tree.size()).contains(size))
            .collect();
        let mut manifests: Vec<Digest> = found.iter().map(|(manifest, _)| *manifest).collect();
        manifests.sort();
        manifests.dedup();
        for manifest in manifests {
            let path = channel.join(layout::proofs(&manifest));
            let known = files::read_if_there(&path, NOTE_LEN_MAX)?;
            let mut bundle = known.and_then(|bytes| Bundle::parse(&bytes).ok()).unwrap_or_default();
            for (_, text) in found.iter().filter(|(of, _)| *of == manifest) {
                let idx = tree.find(text.as_bytes()).context("an entry that was just added")?;
                let proof = LogProof::new(idx, tree.inclusion(idx), note.clone())?;
                self.put(&mut bundle, text, &proof.to_string());
            }
            bundle.consistency.retain(|growth| growth.log != self.origin);
            bundle.consistency.extend(earlier.iter().map(|size| Consistency {
                log: self.origin.clone(),
                from: *size,
                to: tree.size(),
                hashes: tree.consistency(*size),
            }));
            files::write(&path, &bundle.to_bytes())?;
        }
        Ok(())
    }

    /// Puts this log's proof of a statement in the place of an older one.
    fn put(&self, bundle: &mut Bundle, text: &str, proof: &str) {
        let at = bundle.attestations.iter().position(|known| known.note == text);
        let at = at.unwrap_or_else(|| {
            bundle.attestations.push(Attestation { note: text.to_owned(), proofs: Vec::new() });
            bundle.attestations.len() - 1
        });
        if let Some(attestation) = bundle.attestations.get_mut(at) {
            attestation.proofs.retain(|known| {
                let known = LogProof::parse(known.as_bytes());
                known.is_ok_and(|known| known.checkpoint.origin != self.origin)
            });
            attestation.proofs.push(proof.to_owned());
        }
    }
}

/// Returns the statements in a channel's folder, by the manifest that they are on.
fn notes(
    channel: &Path,
    publishers: &[Verifier],
    outcome: &mut Outcome,
) -> Result<Vec<(Digest, String)>> {
    ensure!(!publishers.is_empty(), "no publisher is known: name their keys with --publisher");
    let mut found = Vec::new();
    let top = channel.join(layout::ATTESTATIONS);
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in fs::read_dir(&top).into_iter().flatten().flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            paths.push(file.path());
        }
    }
    paths.sort();
    for path in paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "note")) {
        match statement(&path, publishers) {
            Ok(taken) => found.push(taken),
            Err(error) => outcome.refused.push(format!("{}: {error:#}", path.display())),
        }
    }
    Ok(found)
}

fn statement(path: &Path, publishers: &[Verifier]) -> Result<(Digest, String)> {
    let bytes = files::read(path, u64::from(u16::MAX))?;
    let note = Note::parse(&bytes)?;
    let statement = Statement::parse(note.text())?;
    let signed = publishers.iter().any(|key| key.verify(&note).is_ok());
    ensure!(signed, "no publisher that is known here signed it");
    let text = note.to_string();
    ensure!(text.as_bytes() == bytes, "it is not written as notes are");
    Ok((Digest(statement.manifest), text))
}

/// Asks a witness to cosign; returns the checkpoint with its signatures behind those it had.
fn ask(witness: &WitnessAddress, keys: &[Verifier], note: &Note, tree: &Tree) -> Result<Note> {
    let mut old_size = tree.size();
    for _ in 0..3 {
        let hashes = if old_size == 0 { Vec::new() } else { tree.consistency(old_size) };
        let request = AddCheckpoint::new(old_size, hashes, note.clone())?;
        let (status, body) = post(&witness.url, request.to_string().as_bytes())?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match status {
            200 => {
                let mut whole = note.clone();
                Note::parse_signatures(&body)?.into_iter().for_each(|line| whole.add(line));
                for key in keys {
                    key.verify(&whole).context("its cosignature")?;
                }
                return Ok(whole);
            }
            // "The response body MUST consist of the tree size of the latest cosigned checkpoint."
            409 => {
                let size: Option<u64> = text.trim().parse().ok();
                let size = size.filter(|size| *size <= tree.size() && *size != old_size);
                old_size = size.with_context(|| format!("it refuses: {}", text.trim()))?;
            }
            _ => anyhow::bail!(
                "it answers {status}: {}",
                text.trim().chars().take(200).collect::<String>()
            ),
        }
    }
    anyhow::bail!("it names another size each time")
}

/// Posts to a witness. Plain HTTP to an address, since witnesses are asked by logs alone, and what
/// they answer is signed.
fn post(url: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
    use std::io::Write as _;
    use std::net::{TcpStream, ToSocketAddrs as _};
    use std::time::Duration;
    let rest = url.strip_prefix("http://").context("the address does not begin with http://")?;
    let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let address = with_port.to_socket_addrs()?.next().context("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    let prefix = prefix.trim_end_matches('/');
    let path = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    let head = format!(
        "POST {path}/add-checkpoint HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer)?;
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(len) = parsed.parse(&answer)? else {
        anyhow::bail!("it does not answer in HTTP");
    };
    let status = parsed.code.unwrap_or_default();
    Ok((status, answer.get(len..).unwrap_or_default().to_vec()))
}

/// Ours: signatures and a header.
const ANSWER_LEN_MAX: u64 = 1 << 20;

/// Copies what is new in a log: tiles first, the checkpoint last.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, target) = (entry?, PathBuf::from(to));
        let target = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && !name.to_string_lossy().starts_with('.') {
            let bytes = files::read(&entry.path(), 64 << 20)?;
            let target = to.join(&name);
            if files::read_if_there(&target, 64 << 20)?.as_deref() != Some(&bytes) {
                files::write(&target, &bytes)?;
            }
        }
    }
    Ok(())
}
