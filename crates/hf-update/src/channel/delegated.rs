//! Sources whose files are signed by their own maintainers: TUF roles that the targets role delegates to.
//!
//! A file of such a source is `SET/sources/ID/NAME` for TUF, and the search says who signs for it. Promises:
//! a file of a release whose path is delegated is one that the role of that path signed, digest and length
//! the same; and a release leaves out no file that this role signed. A signature by another role, also by
//! the targets role of another source, counts for nothing.
//! Leaves out: sources that are not delegated; the manifest alone, which the targets role signed, says what
//! they are.

use hf_channel::{Manifest, layout};
use hf_trust::tuf::{Request, Step, TufError, Updater};

/// A release holds a file that the role which its path is delegated to did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source {source_id}: {file} {why} {role:?}, the role that signs for this source")]
pub struct WrongRole {
    /// The source.
    pub source_id: String,
    /// The file.
    pub file: String,
    /// The role that should have signed.
    pub role: String,
    /// What is wrong, before the role's name.
    pub why: &'static str,
}

/// Checks that the delegated files of a release are signed by who they are delegated to. `fetch` replies
/// to one request of the updater's, whose top-level metadata are current.
///
/// # Errors
/// [`WrongRole`]; TUF refuses; or something cannot be had.
pub fn delegated<E: From<TufError> + From<WrongRole>>(
    updater: &mut Updater,
    manifest: &Manifest,
    fetch: &mut dyn FnMut(&mut Updater, &Request) -> Result<(), E>,
) -> Result<(), E> {
    for source in &manifest.sources {
        let wrong = |file: &str, role: &str, why| {
            let (source_id, file, role) = (source.id.clone(), file.to_owned(), role.to_owned());
            E::from(WrongRole { source_id, file, role, why })
        };
        let mut roles = Vec::new();
        for blob in &source.files {
            let path = layout::source_target(&manifest.set, &source.id, &blob.name);
            let Some(role) = role_of(updater, &path) else { continue };
            let named = search(updater, &path, fetch)?;
            let why = match named {
                None => "is not signed by",
                Some(named) if named != (blob.sha256.to_string(), blob.size) => {
                    "is not the file signed by"
                }
                Some(_) => {
                    if !roles.contains(&role) {
                        roles.push(role);
                    }
                    continue;
                }
            };
            return Err(wrong(&blob.name, &role, why));
        }
        let folder = layout::source_target(&manifest.set, &source.id, "");
        for role in roles {
            let signed = updater.role_targets(&role).map(|targets| &targets.targets);
            for path in signed.into_iter().flatten().map(|(path, _)| path) {
                let Some(name) = path.strip_prefix(&folder) else { continue };
                if !source.files.iter().any(|blob| blob.name == name) {
                    return Err(wrong(name, &role, "is missing, though it is signed by"));
                }
            }
        }
    }
    Ok(())
}

/// Returns the first role that the targets role delegates a path to.
fn role_of(updater: &Updater, path: &str) -> Option<String> {
    let delegations = updater.targets()?.delegations.as_ref()?;
    delegations.covering(path).into_iter().next().map(|role| role.name)
}

/// Returns the digest and length that the search for a target finds.
fn search<E: From<TufError>>(
    updater: &mut Updater,
    path: &str,
    fetch: &mut dyn FnMut(&mut Updater, &Request) -> Result<(), E>,
) -> Result<Option<(String, u64)>, E> {
    updater.search(path)?;
    loop {
        match updater.step()? {
            Step::Fetch(request) => fetch(updater, &request)?,
            Step::Found(target) => {
                let sha256 = target.hashes.get("sha256").cloned().unwrap_or_default();
                return Ok(Some((sha256, target.length)));
            }
            Step::NotFound | Step::Current => return Ok(None),
        }
    }
}
