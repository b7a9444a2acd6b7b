//! A key in a token: a command signs, such as OpenSC's `pkcs11-tool` or `openssl` with a provider.
//!
//! The command gets the message on its standard input, or, where one of its words has `{message}`, in a
//! file of that name; it prints the signature, raw or in Base 64. It may ask for a PIN on the terminal.
//! Promises: whoever calls verifies the signature with the public key; a command that fails, or prints
//! more than a signature, is an error with its name.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use hf_trust::text::from_base64;

/// Ours: no signature is longer, not in Base 64 either.
const SIGNATURE_MAX: u64 = 16 << 10;
const PLACE: &str = "{message}";

/// Has a message signed.
///
/// # Errors
/// The command cannot be started, or fails, or prints no signature.
pub(super) fn sign(words: &[String], message: &[u8]) -> Result<Vec<u8>> {
    let (program, arguments) = words.split_first().context("there is no command that signs")?;
    let by_file = arguments.iter().any(|word| word.contains(PLACE));
    let file = if by_file { Some(MessageFile::new(message)?) } else { None };
    let path = file.as_ref().map(|file| file.0.to_string_lossy().into_owned());
    let arguments =
        arguments.iter().map(|word| word.replace(PLACE, path.as_deref().unwrap_or_default()));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(if by_file { Stdio::inherit() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}, which signs"))?;
    if let Some(mut input) = child.stdin.take() {
        // A command that does not want to read ends, which is told below.
        let _ = input.write_all(message);
    }
    let mut printed = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(SIGNATURE_MAX + 1).read_to_end(&mut printed)?;
    }
    let status = child.wait()?;
    ensure!(status.success(), "{program}, which signs, ended with {status}");
    ensure!(printed.len() as u64 <= SIGNATURE_MAX, "{program} prints more than a signature");
    let text = std::str::from_utf8(&printed).ok();
    let decoded = text.and_then(|text| from_base64(text.trim()));
    Ok(decoded.unwrap_or(printed))
}

/// A file for the message, which goes with it.
struct MessageFile(PathBuf);

impl MessageFile {
    fn new(message: &[u8]) -> Result<Self> {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("holdfast-message-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(Path::new(&name));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let written = Self(path);
        file.write_all(message)?;
        Ok(written)
    }
}

impl Drop for MessageFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
