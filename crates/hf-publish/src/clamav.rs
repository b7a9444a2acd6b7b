//! A mirror that ClamAV's freshclam can update from.
//!
//! Databases are signed by ClamAV's key, which nobody else has: so they are copied byte for byte, and what
//! does not verify is not taken. Beside `NAME.cvd` lie its differences (`NAME-VERSION.cdiff`) and detached
//! signatures (`*.sign`).
//! Sources: the manual of freshclam.conf, `PrivateMirror` and `DatabaseMirror`; observed requests.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use hf_sig::cvd::Header;

use crate::files;

/// Most bytes of a database.
const LEN_MAX: u64 = 4 << 30;

/// Copies what freshclam may ask for; returns a line for each file.
///
/// # Errors
/// A file cannot be read or written, or there is none.
pub(crate) fn lay_out(from: &Path, to: &Path) -> Result<Vec<String>> {
    let shown = || format!("cannot read {}", from.display());
    let mut names: Vec<String> = fs::read_dir(from)
        .with_context(shown)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| [".cvd", ".cdiff", ".sign"].iter().any(|suffix| name.ends_with(suffix)))
        .filter(|name| hf_channel::layout::is_plain_name(name))
        .collect();
    // The databases last: who sees a new one finds its differences and signatures.
    names.sort_by_key(|name| (name.ends_with(".cvd"), name.clone()));
    ensure!(
        names.iter().any(|name| name.ends_with(".cvd")),
        "no .cvd in {}: copies of ClamAV's databases are needed, since only ClamAV can sign them",
        from.display()
    );
    let mut lines = Vec::new();
    for name in names {
        let bytes = files::read(&from.join(&name), LEN_MAX)?;
        if name.ends_with(".cvd") {
            let header = Header::parse(&bytes);
            let header = header.map_err(|_| anyhow::anyhow!("{name} is no ClamAV database"))?;
            lines.push(format!("{name}: version {}, of {}", header.version, header.build_time));
        } else {
            lines.push(name.clone());
        }
        let target = to.join(&name);
        if files::read_if_there(&target, LEN_MAX)?.as_deref() != Some(&bytes) {
            files::write(&target, &bytes)?;
        }
    }
    Ok(lines)
}
