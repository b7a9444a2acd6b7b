//! Builds a release anew from its sources, and compares every digest: what anybody can do.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use hf_channel::{Digest, Manifest};
use hf_content::{COMPILER_VERSION, ContentError, compile_folder};

use super::assemble::{AssembleError, At, assemble};

/// A release does not come out as it says, or cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A source cannot be had.
    #[error("{name}: {why}")]
    Source {
        /// The file.
        name: String,
        /// Why.
        why: AssembleError,
    },
    /// A source of one's own is another than the release says.
    #[error("{} is not the file of the release: {found} and {wanted}", path.display())]
    OtherSource {
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: Digest,
        /// That of the release.
        wanted: Digest,
    },
    /// Built by another version.
    #[error(
        "the release was built by {0}, and this is {COMPILER_VERSION}: only the same version can rebuild it"
    )]
    OtherCompiler(String),
    /// The sources are refused.
    #[error("{0}")]
    Content(String),
    /// A pack comes out differently.
    #[error("{name} comes out differently: {found}, and the release says {wanted}")]
    OtherPack {
        /// The pack.
        name: String,
        /// What came out.
        found: Digest,
        /// What the release says.
        wanted: Digest,
    },
    /// The sources do not give this pack, or give one more.
    #[error("{0} is in the release or comes out of its sources, and not both")]
    OtherPacks(String),
    /// The disk.
    #[error("{}: {}", .0.display(), .1)]
    Disk(PathBuf, io::Error),
}

/// Rebuilds a release in an empty folder. Sources are taken from `own` when it is given, else from where
/// blobs come from.
///
/// # Errors
/// Any digest differs, or something cannot be had.
pub fn rebuild(
    manifest: &Manifest,
    at: &At<'_>,
    own: Option<&Path>,
    work: &Path,
) -> Result<(), RebuildError> {
    let disk = |path: &Path| {
        let path = path.to_owned();
        move |err| RebuildError::Disk(path, err)
    };
    let (from, to) = (work.join("sources"), work.join("packs"));
    for folder in [&from, &to] {
        fs::create_dir_all(folder).map_err(disk(folder))?;
    }
    if let Some(other) = manifest.packs.iter().find(|pack| pack.compiler != COMPILER_VERSION) {
        return Err(RebuildError::OtherCompiler(other.compiler.clone()));
    }
    for blob in manifest.sources.iter().flat_map(|source| &source.files) {
        let path = from.join(&blob.name);
        let Some(own) = own else {
            let name = || blob.name.clone();
            assemble(at, blob, &path).map_err(|why| RebuildError::Source { name: name(), why })?;
            continue;
        };
        let mine = own.join(&blob.name);
        fs::copy(&mine, &path).map_err(disk(&mine))?;
        let found = digest_of(&path)?;
        if found != blob.sha256 {
            return Err(RebuildError::OtherSource { path: mine, found, wanted: blob.sha256 });
        }
    }
    let packs = compile_folder(&from, &to).map_err(|err| RebuildError::Content(chain(&err)))?;
    let mut built = Vec::new();
    for pack in packs {
        built.push((digest_of(&to.join(&pack.name))?, pack.name));
    }
    compare(manifest, &built)
}

fn compare(manifest: &Manifest, built: &[(Digest, String)]) -> Result<(), RebuildError> {
    for pack in &manifest.packs {
        let (name, wanted) = (&pack.blob.name, pack.blob.sha256);
        match built.iter().find(|(_, other)| other == name) {
            Some((found, _)) if *found == wanted => {}
            Some((found, _)) => {
                return Err(RebuildError::OtherPack { name: name.clone(), found: *found, wanted });
            }
            None => return Err(RebuildError::OtherPacks(name.clone())),
        }
    }
    let known = |name: &String| manifest.packs.iter().any(|pack| pack.blob.name == *name);
    match built.iter().find(|(_, name)| !known(name)) {
        Some((_, name)) => Err(RebuildError::OtherPacks(name.clone())),
        None => Ok(()),
    }
}

fn digest_of(path: &Path) -> Result<Digest, RebuildError> {
    let read = File::open(path).and_then(Digest::of_reader);
    read.map(|(digest, _)| digest).map_err(|err| RebuildError::Disk(path.to_owned(), err))
}

fn chain(error: &ContentError) -> String {
    format!("{error}: {}", error.kind)
}
