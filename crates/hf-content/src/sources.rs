//! From paths to groups of databases: what a directory holds, in which order it is read, and what
//! becomes a pack together.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use hf_sig::{Language, recognised};

use crate::directory::{is_container, is_database, is_pack, plan};
use crate::{ContentError, ContentErrorKind, ContentOptions};

/// A database file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Base name, by which its language is told and which its signatures carry.
    pub(crate) name: String,
}

/// Databases that become one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) kind: GroupKind,
    /// In the order in which they are read.
    pub(crate) sources: Vec<Source>,
}

/// What a group is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupKind {
    /// Loose ignore lists; their pack holds rules for the other groups and nothing to match.
    Ignores,
    /// One container.
    Container,
    /// One pack that was compiled elsewhere.
    Pack,
    /// All other loose files.
    Loose,
}

/// Returns the groups of all paths: loose ignore lists, each container in the order of the paths,
/// each pack that was compiled elsewhere, all other loose files.
///
/// Off-spec: a loose ignore list holds for everything, not only for what is read after it, because
/// the order of directory entries is nobody's intention.
pub(crate) fn groups(
    paths: &[PathBuf],
    options: &ContentOptions,
    warnings: &mut Vec<String>,
) -> Result<Vec<Group>, ContentError> {
    let mut containers = Vec::new();
    let mut packs = Vec::new();
    let mut ignores = Vec::new();
    let mut loose = Vec::new();
    for source in sources(paths, options, warnings)? {
        if is_container(&source.name) {
            containers.push(source);
        } else if is_pack(&source.name) {
            packs.push(source);
        } else if recognised(&source.name) == Some(Language::Ignore) {
            ignores.push(source);
        } else {
            loose.push(source);
        }
    }
    let mut groups = vec![Group { kind: GroupKind::Ignores, sources: ignores }];
    groups.extend(
        containers.into_iter().map(|c| Group { kind: GroupKind::Container, sources: vec![c] }),
    );
    let one = |source| Group { kind: GroupKind::Pack, sources: vec![source] };
    groups.extend(packs.into_iter().map(one));
    groups.push(Group { kind: GroupKind::Loose, sources: loose });
    groups.retain(|group| !group.sources.is_empty());
    Ok(groups)
}

/// Returns the databases of all paths in reading order, each once.
fn sources(
    paths: &[PathBuf],
    options: &ContentOptions,
    warnings: &mut Vec<String>,
) -> Result<Vec<Source>, ContentError> {
    let mut found: Vec<Source> = Vec::new();
    for path in paths {
        let meta = fs::metadata(path).map_err(|err| ContentError::read(path, err))?;
        let more = if meta.is_dir() {
            of_directory(path, options, warnings)?
        } else if meta.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            vec![Source { path: path.clone(), name }]
        } else {
            return Err(ContentError::new(path, ContentErrorKind::NotAFile));
        };
        for source in more {
            if found.iter().all(|known| known.path != source.path) {
                found.push(source);
            }
        }
    }
    Ok(found)
}

fn of_directory(
    dir: &Path,
    options: &ContentOptions,
    warnings: &mut Vec<String>,
) -> Result<Vec<Source>, ContentError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|err| ContentError::read(dir, err))? {
        let entry = entry.map_err(|err| ContentError::read(dir, err))?;
        if let Ok(name) = entry.file_name().into_string()
            && is_database(&name)
        {
            names.push(name);
        }
    }
    let version_of = |name: &str| container_version(&dir.join(name));
    let plan = plan(names, options.official_only, &version_of);
    for name in &plan.superseded {
        warnings.push(format!("{}: left out, a newer one is there", dir.join(name).display()));
    }
    if plan.read.is_empty() {
        return Err(ContentError::new(dir, ContentErrorKind::NoDatabases));
    }
    let found = plan.read.into_iter().map(|name| Source { path: dir.join(&name), name });
    found.map(of_directory_file).collect()
}

/// Refuses what has the name of a database but would never end, or never begin, when it is read.
fn of_directory_file(source: Source) -> Result<Source, ContentError> {
    let meta = fs::metadata(&source.path).map_err(|err| ContentError::read(&source.path, err))?;
    match meta.is_file() {
        true => Ok(source),
        false => Err(ContentError::new(&source.path, ContentErrorKind::NotAFile)),
    }
}

/// Returns the version that the header of a container on disk states.
pub(crate) fn container_version(path: &Path) -> Option<u32> {
    let mut header = Vec::new();
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    File::open(path).ok()?.take(512).read_to_end(&mut header).ok()?;
    container_header(&header).map(|(version, _)| version)
}

/// Returns the version and the build time that a container's header states.
pub(crate) fn container_header(bytes: &[u8]) -> Option<(u32, String)> {
    let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(512))?);
    let mut fields = text.strip_prefix("ClamAV-VDB:")?.split(':');
    let built_at = fields.next()?.to_owned();
    Some((fields.next()?.parse().ok()?, built_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], paths: &[&str], want: &[&[&str]]) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let paths: Vec<PathBuf> = paths.iter().map(|path| dir.path().join(path)).collect();
        let groups = groups(&paths, &ContentOptions::default(), &mut Vec::new()).unwrap();
        let names: Vec<Vec<&str>> = groups
            .iter()
            .map(|group| group.sources.iter().map(|source| source.name.as_str()).collect())
            .collect();
        assert_eq!(names, want);
    }

    const OLD: &str = "ClamAV-VDB:1 Jan 2020:7:0:1";
    const NEW: &str = "ClamAV-VDB:1 Jan 2021:8:0:1";

    #[test]
    fn groups_of_directories_and_files() {
        let files = [
            ("b.ndb", ""),
            ("a.hdb", ""),
            ("x.ign2", ""),
            ("notes.txt", ""),
            ("main.cvd", OLD),
            ("daily.cvd", OLD),
            ("daily.cld", NEW),
        ];
        let all: &[&[&str]] = &[&["x.ign2"], &["daily.cld"], &["main.cvd"], &["a.hdb", "b.ndb"]];
        check(&files, &[""], all);
        check(&files, &["b.ndb", "main.cvd", "a.hdb"], &[&["main.cvd"], &["b.ndb", "a.hdb"]]);
        check(&files, &["a.hdb", "a.hdb", ""], all);
    }

    #[test]
    fn what_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let open = |path: &Path| {
            let err = groups(&[path.to_owned()], &ContentOptions::default(), &mut Vec::new());
            err.unwrap_err().kind.to_string()
        };
        assert_eq!(open(dir.path()), "no supported database files found");
        assert_eq!(open(&dir.path().join("absent.hdb")), "cannot read it");
        assert_eq!(open(Path::new("/dev/null")), "neither a file nor a directory");
        for name in ["x.ndb", "x.cvd"] {
            let dir = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink("/dev/zero", dir.path().join(name)).unwrap();
            assert_eq!(open(dir.path()), "neither a file nor a directory");
        }
    }
}
