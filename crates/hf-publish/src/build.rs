//! Builds a release: compiles the sources, stores everything that clients may ask for, and signs.
//!
//! Promises: objects come first, then the manifest, then the metadata that names it; a build that is cut
//! off leaves the release before it. Without changes only the metadata are renewed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use hf_channel::{
    Blob, Digest, MANIFEST_LEN_MAX, Manifest, PackEntry, PatchEntry, SourceEntry, Stored, chunks,
    layout, patch,
};
use hf_content::{COMPILER_VERSION, CompiledPack, compile_folder, is_database, patch_tables};
use hf_pack::Pack;
use hf_sys::Map;
use hf_trust::Time;
use hf_trust::tuf::Target;

use crate::changes;
use crate::delegate::{self, SourceRole};
use crate::files;
use crate::home::{Home, SourceConfig};
use crate::repository::Repository;

/// What was built.
#[derive(Debug)]
pub(crate) enum Built {
    /// A new release, with the digest of its manifest.
    Release(Box<Manifest>, Digest),
    /// Nothing changed.
    Unchanged(u64),
}

/// Builds a release.
///
/// # Errors
/// A source is malformed, or a file cannot be read or written.
pub(crate) fn build(home: &Home, reasons: &BTreeMap<String, String>, now: Time) -> Result<Built> {
    let _lock = files::lock(&home.dir.join("state"))?;
    let repository = Repository::new(home, now);
    let before = previous(home, &repository)?;
    let work = home.dir.join("state/build");
    let _ = fs::remove_dir_all(&work);
    let (from, to) = (work.join("sources"), work.join("packs"));
    fs::create_dir_all(&from).and_then(|()| fs::create_dir_all(&to))?;
    let sources = home.sources()?.source;
    ensure!(!sources.is_empty(), "there are no sources: add one with add-source");
    let (gathered, roles) = gather(home, &repository, &sources, &from, now)?;
    let packs = compile_folder(&from, &to).map_err(|err| anyhow::anyhow!(chain(&err)))?;
    ensure!(!packs.is_empty(), "the sources hold nothing but ignore lists");
    let mut manifest = Manifest::new(&home.operator.set, 1, &now.to_string());
    if let Some((last, bytes)) = &before {
        manifest.release = last.release + 1;
        manifest.previous = Some(Digest::of(bytes));
    }
    let store = Store { home, before: before.as_ref().map(|(manifest, _)| manifest) };
    for (source, names) in &gathered {
        let mut entry = source_entry(source, now);
        for name in names {
            entry.files.push(store.blob(name, &from.join(name), None)?);
        }
        manifest.sources.push(entry);
    }
    for pack in &packs {
        manifest.packs.push(store.pack(pack, &to)?);
    }
    if let Some((last, _)) = &before
        && same_content(last, &manifest)
    {
        repository.publish(None, &roles)?;
        return Ok(Built::Unchanged(last.release));
    }
    if let Some((last, _)) = &before {
        let found = changes::between(home, last, &manifest, &from, reasons)?;
        let mut bytes = Vec::new();
        found.write(&mut bytes)?;
        manifest.changes = Some(put_object(home, &bytes)?);
    }
    let bytes = manifest.to_bytes()?;
    let digest = Digest::of(&bytes);
    let channel = home.channel();
    files::write(&channel.join(layout::manifest(&manifest.set, &digest)), &bytes)?;
    let target = Target::of(layout::manifest_target(&manifest.set), &bytes);
    repository.publish(Some(target), &roles)?;
    store.forget_old(&manifest)?;
    let _ = fs::remove_dir_all(&work);
    Ok(Built::Release(Box::new(manifest), digest))
}

/// Returns the manifest of the release before, with its bytes.
fn previous(home: &Home, repository: &Repository<'_>) -> Result<Option<(Manifest, Vec<u8>)>> {
    let targets = repository.targets()?.signed.targets;
    let Some(target) = targets.get(&layout::manifest_target(&home.operator.set)) else {
        return Ok(None);
    };
    let name = target.file_names(true).into_iter().next().context("a target without a digest")?;
    let path = home.channel().join(layout::TARGETS).join(name);
    let bytes = files::read(&path, MANIFEST_LEN_MAX as u64)?;
    target.check_bytes(&bytes)?;
    Ok(Some((Manifest::parse(&bytes)?, bytes)))
}

/// A source, and the names of its files.
type Gathered<'a> = (&'a SourceConfig, Vec<String>);

/// Copies the databases of all sources into one folder; returns their names by source, and the roles of
/// those sources that their maintainers sign.
fn gather<'a>(
    home: &Home,
    repository: &Repository<'_>,
    sources: &'a [SourceConfig],
    to: &Path,
    now: Time,
) -> Result<(Vec<Gathered<'a>>, Vec<SourceRole>)> {
    let mut all = Vec::new();
    let mut roles = Vec::new();
    for source in sources {
        if let Some(role) = delegate::take(home, repository, source, to, now)? {
            all.push((source, role.files.iter().map(|(name, _)| name.clone()).collect()));
            roles.push(role);
            continue;
        }
        let paths = databases(&source.path).with_context(|| format!("source {}", source.id))?;
        let shown = source.path.display();
        ensure!(!paths.is_empty(), "source {}: no databases in {shown}", source.id);
        let mut names = Vec::new();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let target = to.join(&name);
            ensure!(!target.exists(), "{name} is in two sources: rename one of them");
            fs::copy(&path, &target).with_context(|| format!("cannot copy {}", path.display()))?;
            names.push(name);
        }
        all.push((source, names));
    }
    Ok((all, roles))
}

/// Returns the databases in a folder, or the one that is named, sorted by name.
///
/// # Errors
/// It cannot be read.
pub(crate) fn databases(path: &Path) -> Result<Vec<PathBuf>> {
    let shown = || path.display().to_string();
    let meta = fs::metadata(path).with_context(shown)?;
    let mut paths: Vec<PathBuf> = Vec::new();
    if meta.is_dir() {
        for entry in fs::read_dir(path).with_context(shown)? {
            paths.push(entry?.path());
        }
    } else {
        paths.push(path.to_owned());
    }
    paths.retain(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(is_source));
    paths.sort();
    Ok(paths)
}

/// True for a database that is a source: no pack.
pub(crate) fn is_source(name: &str) -> bool {
    layout::is_plain_name(name) && is_database(name) && !name.ends_with(".pack")
}

fn source_entry(source: &SourceConfig, now: Time) -> SourceEntry {
    SourceEntry {
        id: source.id.clone(),
        title: source.title.clone(),
        author: source.author.clone(),
        licence: source.licence.clone(),
        forbids: source.forbids.clone(),
        url: source.url.clone(),
        fetched: now.to_string(),
        files: Vec::new(),
    }
}

/// True when two releases hold the same files.
fn same_content(one: &Manifest, two: &Manifest) -> bool {
    let files = |manifest: &Manifest| -> Vec<(String, Digest)> {
        manifest.blobs().map(|blob| (blob.name.clone(), blob.sha256)).collect()
    };
    let described = |manifest: &Manifest| -> Vec<String> {
        let of = |s: &SourceEntry| {
            format!("{}\0{}\0{}\0{}\0{:?}", s.id, s.title, s.author, s.licence, s.forbids)
        };
        manifest.sources.iter().map(of).collect()
    };
    files(one) == files(two) && described(one) == described(two)
}

/// Stores an object of the channel.
///
/// # Errors
/// The disk refuses.
pub(crate) fn put_object(home: &Home, bytes: &[u8]) -> Result<Stored> {
    let sha256 = Digest::of(bytes);
    let path = home.channel().join(layout::object(&sha256));
    if !path.exists() {
        files::write(&path, bytes)?;
    }
    Ok(Stored { sha256, size: bytes.len() as u64 })
}

/// Turns files into blobs of the channel.
struct Store<'a> {
    home: &'a Home,
    before: Option<&'a Manifest>,
}

impl Store<'_> {
    fn kept(&self, digest: &Digest) -> PathBuf {
        self.home.dir.join("state/kept").join(digest.to_string())
    }

    fn pack(&self, pack: &CompiledPack, folder: &Path) -> Result<PackEntry> {
        Ok(PackEntry {
            blob: self.blob(&pack.name, &folder.join(&pack.name), Some(&pack.pack))?,
            compiler: COMPILER_VERSION.to_owned(),
            pack_format: pack.pack.meta().format_version,
            signatures: pack.pack.meta().signatures,
        })
    }

    /// Stores a file in chunks, and patches from its versions before.
    fn blob(&self, name: &str, path: &Path, pack: Option<&Pack>) -> Result<Blob> {
        let map = map(path)?;
        let sha256 = Digest::of(&map);
        let last = self.before.and_then(|m| m.blobs().find(|blob| blob.name == name));
        if let Some(last) = last.filter(|last| last.sha256 == sha256) {
            return Ok(last.clone());
        }
        let beside = self.home.dir.join("state/build/data");
        let mut out = io_file(&beside)?;
        let index = chunks::write(&map, &mut out)?;
        out.flush()?;
        drop(out);
        let (data, size) = Digest::of_reader(File::open(&beside)?)?;
        let place = self.home.channel().join(layout::object(&data));
        files::write_with(&place, |out| std::io::copy(&mut File::open(&beside)?, out).map(|_| ()))?;
        let mut blob = Blob {
            name: name.to_owned(),
            sha256,
            size: map.len() as u64,
            index: put_object(self.home, &index.to_bytes())?,
            data: Stored { sha256: data, size },
            patches: Vec::new(),
        };
        // The newest first: the versions that most clients have.
        let mut versions: Vec<Digest> = last.map(|last| last.sha256).into_iter().collect();
        versions.extend(last.iter().flat_map(|last| last.patches.iter().map(|p| p.from)));
        for old in versions.into_iter().filter(|old| *old != sha256) {
            if blob.patches.len() >= self.home.operator.patches {
                break;
            }
            if let Some(patch) = self.patch(&old, (&map, &sha256), pack, blob.data.size)? {
                blob.patches.push(patch);
            }
        }
        let kept = self.kept(&sha256);
        files::write_with(&kept, |out| out.write_all(&map))?;
        Ok(blob)
    }

    /// Makes a patch from a version that is kept; none when it would not be worth it.
    fn patch(
        &self,
        old: &Digest,
        new: (&[u8], &Digest),
        pack: Option<&Pack>,
        whole: u64,
    ) -> Result<Option<PatchEntry>> {
        let path = self.kept(old);
        if !path.exists() {
            return Ok(None);
        }
        let map = map(&path)?;
        let (tables, seen) = match (pack, File::open(&path).ok().map(Pack::open)) {
            (Some(new), Some(Ok(old))) => patch_tables(&old, new),
            _ => Default::default(),
        };
        let made = patch::make((&map, old), new, &tables, &seen);
        if made.len() as u64 > whole / 2 {
            return Ok(None);
        }
        // What is handed out has been tried.
        let wanted = (new.1, new.0.len() as u64);
        patch::apply(&made, &map, old, wanted, std::io::sink()).context("the patch just made")?;
        let stored = put_object(self.home, &made)?;
        Ok(Some(PatchEntry { from: *old, sha256: stored.sha256, size: stored.size }))
    }

    /// Removes kept versions that no patch will be made from any more.
    fn forget_old(&self, manifest: &Manifest) -> Result<()> {
        let mut wanted: Vec<String> = Vec::new();
        for blob in manifest.blobs() {
            wanted.push(blob.sha256.to_string());
            wanted.extend(blob.patches.iter().map(|patch| patch.from.to_string()));
        }
        let folder = self.home.dir.join("state/kept");
        for entry in fs::read_dir(&folder)?.flatten() {
            if !wanted.iter().any(|name| *name == entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

fn io_file(path: &Path) -> Result<std::io::BufWriter<File>> {
    Ok(std::io::BufWriter::with_capacity(1 << 18, File::create(path)?))
}

pub(crate) fn map(path: &Path) -> Result<Map> {
    let shown = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(shown)?;
    Map::of(&file).with_context(shown)
}

/// Returns an error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Reads `NAME=REASON` and files of such lines.
///
/// # Errors
/// A line has no `=`.
pub(crate) fn reasons(
    arguments: &[String],
    file: Option<&PathBuf>,
) -> Result<BTreeMap<String, String>> {
    let mut lines: Vec<String> = arguments.to_vec();
    if let Some(file) = file {
        let text = String::from_utf8(files::read(file, 16 << 20)?)?;
        lines.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    let mut found = BTreeMap::new();
    for line in lines {
        let Some((name, reason)) = line.split_once('=') else {
            bail!("{line:?} is no NAME=REASON");
        };
        found.insert(name.trim().to_owned(), reason.trim().to_owned());
    }
    Ok(found)
}
