//! Compiles a folder of databases to pack files, for those who hand them out.
//!
//! The same databases, by name and bytes, give the same packs on every machine: with the options that
//! everybody has who sets none.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use hf_pack::Pack;

use crate::compile::compile;
use crate::detached::signature_beside;
use crate::directory::PACK_SUFFIX;
use crate::ignores::Ignores;
use crate::read::read_ahead;
use crate::sources::{GroupKind, groups};
use crate::{ContentError, ContentErrorKind, ContentOptions};

/// A pack that was compiled.
#[derive(Debug, Clone)]
pub struct CompiledPack {
    /// Name of its file.
    pub name: String,
    /// The pack.
    pub pack: Arc<Pack>,
}

/// Compiles the databases in a folder into pack files in another, which exists: each container to one
/// of its name, all loose databases together to `loose.pack`. Loose ignore lists are applied to all.
///
/// # Errors
/// A database is malformed, or a file cannot be read or written.
pub fn compile_folder(from: &Path, to: &Path) -> Result<Vec<CompiledPack>, ContentError> {
    let mut options = ContentOptions::default();
    let mut ignores = Ignores::default();
    let mut packs = Vec::new();
    for group in groups(&[from.to_owned()], &options, &mut Vec::new())? {
        let first = group.sources.first();
        let stem =
            first.and_then(|source| source.name.rsplit_once('.')).map_or("", |(stem, _)| stem);
        let name = match group.kind {
            // What is compiled is not a source.
            GroupKind::Pack => continue,
            GroupKind::Ignores => format!("ignores{PACK_SUFFIX}"),
            GroupKind::Container => format!("{stem}{PACK_SUFFIX}"),
            GroupKind::Loose => format!("loose{PACK_SUFFIX}"),
        };
        options.load.containers.detached = match &group.sources[..] {
            [source] if group.kind == GroupKind::Container => signature_beside(&source.path)?,
            _ => None,
        };
        let path = to.join(&name);
        let read = |err| ContentError::read(&path, err);
        // Nobody reads what was there under this name while it is written.
        let _ = fs::remove_file(&path);
        let mut file = File::options();
        let file = file.read(true).write(true).create_new(true).open(&path).map_err(read)?;
        let (file, _) =
            read_ahead(&group, |databases| compile(databases, &options, &ignores, file))?;
        let pack = Pack::open(file)
            .map_err(|err| ContentError::new(&path, ContentErrorKind::Open(err)))?;
        ignores.add_pack(&pack);
        if group.kind != GroupKind::Ignores {
            packs.push(CompiledPack { name, pack });
        } else {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(packs)
}
