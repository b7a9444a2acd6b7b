//! From the bytes of databases to one pack.

use std::io::{Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use hf_core::signature::{
    BodySig, CertificateSig, Collector, ConfigSig, ContainerSig, HashSig, IconSig, IgnoreSig,
    LogicalSig, MagicSig, NotRun, PasswordSig, PhishingSig, SigMeta,
};
use hf_match::PackBuilder;
use hf_pack::{Pack, PackMeta, PackWriter, SourceMeta};
use hf_sig::cvd::Proof;
use hf_sig::{LoadOptions, Summary};

use crate::ignores::{self, IgnoreLines, Ignores};
use crate::sources::container_header;
use crate::{ContentError, ContentErrorKind};

/// Version of the compiler with a fingerprint of its code; a pack of another version is not used.
pub const COMPILER_VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), "+", env!("HF_COMPILER_FINGERPRINT"));

/// How content is loaded.
#[derive(Debug, Clone, Default)]
pub struct ContentOptions {
    /// How databases are read.
    pub load: LoadOptions,
    /// Of a directory, only signed containers are loaded.
    pub official_only: bool,
}

/// A database in memory.
#[derive(Debug)]
pub(crate) struct Bytes {
    /// Where it was read, for errors.
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: [u8; 32],
}

impl Bytes {
    pub(crate) fn new(path: impl Into<PathBuf>, name: &str, bytes: Vec<u8>) -> Self {
        let digest = *blake3::hash(&bytes).as_bytes();
        Self { path: path.into(), name: name.to_owned(), bytes, digest }
    }
}

/// Compiles databases that the program brings along; nothing is read from or written to disk.
///
/// # Errors
/// A database is malformed.
pub fn compile_in_memory(
    databases: &[(&str, &[u8])],
    options: &ContentOptions,
) -> Result<Arc<Pack>, ContentError> {
    let databases =
        databases.iter().map(|(name, bytes)| Ok(Bytes::new(*name, name, bytes.to_vec())));
    let out = std::io::Cursor::new(Vec::new());
    let (out, _) = compile(databases, options, &Ignores::default(), out)?;
    Pack::from_bytes(&out.into_inner())
        .map_err(|err| ContentError::new("built-in content", ContentErrorKind::Open(err)))
}

/// Compiles databases, read one after the other, into a pack. The returned meta data lack what the
/// matcher's compiler adds.
pub(crate) fn compile<W: Write + Seek>(
    databases: impl Iterator<Item = Result<Bytes, ContentError>>,
    options: &ContentOptions,
    ignores: &Ignores,
    out: W,
) -> Result<(W, PackMeta), ContentError> {
    let mut set = ignores.set.clone();
    let mut tee = Tee::default();
    let mut meta =
        PackMeta { compiler_version: COMPILER_VERSION.to_owned(), ..PackMeta::default() };
    for database in databases {
        let database = database?;
        let summary =
            hf_sig::load(&database.name, &database.bytes, &options.load, &mut set, &mut tee)
                .map_err(|err| {
                    ContentError::new(&database.path, ContentErrorKind::Rejected(err))
                })?;
        describe(&mut meta, &database, &summary);
    }
    let mut writer = PackWriter::new(out);
    let write = |err| ContentError::new("pack", ContentErrorKind::Write(err));
    if !tee.ignores.as_bytes().is_empty() {
        writer.write_section(ignores::SECTION, tee.ignores.as_bytes()).map_err(write)?;
    }
    let out = tee.builder.finish(writer, meta.clone()).map_err(write)?;
    Ok((out, meta))
}

fn describe(meta: &mut PackMeta, database: &Bytes, summary: &Summary) {
    let header = container_header(&database.bytes);
    let (version, built_at) = header.map_or((None, String::new()), |(v, at)| (Some(v), at));
    meta.signatures = meta.signatures.saturating_add(summary.signatures);
    meta.official |= summary.official;
    meta.sources.push(SourceMeta {
        name: database.name.clone(),
        digest: database.digest,
        signatures: summary.signatures,
        version,
        built_at,
        proof: match summary.container.as_ref().map(|container| &container.proof) {
            None | Some(Proof::None) => String::new(),
            Some(Proof::List) => "signed list of members".to_owned(),
            Some(Proof::Header) => "signed header".to_owned(),
            Some(Proof::Detached { signer }) => format!("detached signature by {signer}"),
        },
    });
    let room = WARNINGS_MAX.saturating_sub(meta.warnings.len());
    meta.warnings.extend(summary.warnings.iter().take(room).map(ToString::to_string));
}

/// Passes signatures on to the matcher's compiler and keeps what is needed beside it.
#[derive(Debug, Default)]
struct Tee {
    builder: PackBuilder,
    ignores: IgnoreLines,
}

macro_rules! pass_on {
    ($($name:ident: $sig:ty),*) => {$(
        fn $name(&mut self, meta: SigMeta<'_>, sig: $sig) {
            self.builder.$name(meta, sig);
        }
    )*};
}

impl Collector for Tee {
    pass_on! {
        hash: HashSig<'_>, body: BodySig, logical: LogicalSig, container: ContainerSig, icon: IconSig,
        magic: MagicSig, password: PasswordSig, phishing: PhishingSig, certificate: CertificateSig, config: ConfigSig,
        yara: &str, not_run: NotRun
    }

    fn ignore(&mut self, meta: SigMeta<'_>, sig: IgnoreSig) {
        self.ignores.push(meta, sig);
        self.builder.ignore(meta, sig);
    }
}

/// Ours: nobody reads more.
const WARNINGS_MAX: usize = 1000;
