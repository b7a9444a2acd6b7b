//! What changed between two releases, signature by signature.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use hf_channel::{Blob, Change, ChangeKind, Changes, Digest, Manifest};
use hf_core::signature::{
    BodySig, CertificateSig, Collector, ConfigSig, ContainerSig, HashSig, IconSig, IgnoreSig,
    LogicalSig, MagicSig, NotRun, PasswordSig, PhishingSig, SigMeta,
};
use hf_sig::{IgnoreSet, LoadOptions};

use crate::build::map;
use crate::home::Home;

/// Ours: more changes than this are not listed one by one.
const CHANGES_MAX: usize = 1_000_000;

/// Returns what changed since the last release. Of containers only that they changed is said.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn between(
    home: &Home,
    last: &Manifest,
    new: &Manifest,
    from: &Path,
    reasons: &BTreeMap<String, String>,
) -> Result<Changes> {
    let mut changes = Changes::default();
    let of = |manifest: &Manifest| -> BTreeMap<String, (String, Digest)> {
        let each = |source: &hf_channel::SourceEntry| {
            let id = source.id.clone();
            source
                .files
                .iter()
                .map(move |blob: &Blob| (blob.name.clone(), (id.clone(), blob.sha256)))
                .collect::<Vec<_>>()
        };
        manifest.sources.iter().flat_map(each).collect()
    };
    let (old_files, new_files) = (of(last), of(new));
    let names: std::collections::BTreeSet<&String> =
        old_files.keys().chain(new_files.keys()).collect();
    for name in names {
        let (old, new) = (old_files.get(name), new_files.get(name));
        if old.map(|(_, digest)| digest) == new.map(|(_, digest)| digest) {
            continue;
        }
        let kept = old.map(|(_, digest)| home.dir.join("state/kept").join(digest.to_string()));
        let kept = kept.filter(|path| path.exists());
        let old_map = kept.map(|path| map(&path)).transpose()?;
        let new_map = new.map(|_| map(&from.join(name))).transpose()?;
        let source = new.or(old).map(|(id, _)| id.clone()).unwrap_or_default();
        let (old, new) = (old_map.as_deref(), new_map.as_deref());
        one_file(
            &mut changes,
            &source,
            name,
            old.unwrap_or_default(),
            new.unwrap_or_default(),
            reasons,
        );
    }
    Ok(changes)
}

fn one_file(
    changes: &mut Changes,
    source: &str,
    file: &str,
    old: &[u8],
    new: &[u8],
    reasons: &BTreeMap<String, String>,
) {
    let change = |kind, name: &str, line: &str| {
        let removed = kind != ChangeKind::Added;
        let unsaid = if kind == ChangeKind::Removed { "no reason given" } else { "" };
        let reason = reasons.get(name).map_or(unsaid, String::as_str);
        Change {
            kind,
            source: source.to_owned(),
            file: file.to_owned(),
            name: name.to_owned(),
            reason: if removed { reason.to_owned() } else { String::new() },
            line: if removed { line.to_owned() } else { String::new() },
        }
    };
    if [old, new].iter().any(|bytes| bytes.starts_with(b"ClamAV-VDB:")) {
        let kind = if new.is_empty() { ChangeKind::Removed } else { ChangeKind::Changed };
        changes.list.push(change(kind, file, ""));
        return;
    }
    let (gone, come) = differing_lines(old, new);
    let (gone, come) = (named(file, &gone), named(file, &come));
    let come_names: std::collections::HashSet<&str> =
        come.iter().map(|(name, _)| name.as_str()).collect();
    let gone_names: std::collections::HashSet<&str> =
        gone.iter().map(|(name, _)| name.as_str()).collect();
    let room = CHANGES_MAX.saturating_sub(changes.list.len());
    let removed = gone.iter().map(|(name, line)| {
        let again = come_names.contains(name.as_str());
        change(if again { ChangeKind::Changed } else { ChangeKind::Removed }, name, line)
    });
    let added = come
        .iter()
        .filter(|(name, _)| !gone_names.contains(name.as_str()))
        .map(|(name, line)| change(ChangeKind::Added, name, line));
    changes.list.extend(removed.chain(added).take(room));
}

/// Returns the lines that only one of two texts has, as often as it has them more.
fn differing_lines<'a>(old: &'a [u8], new: &'a [u8]) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    let lines = |text: &'a [u8]| text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut counts: HashMap<u64, i32> = HashMap::new();
    let key = |line: &[u8]| {
        use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
        BuildHasherDefault::<DefaultHasher>::default().hash_one(line)
    };
    for line in lines(old) {
        *counts.entry(key(line)).or_default() += 1;
    }
    let mut come = Vec::new();
    for line in lines(new) {
        match counts.get_mut(&key(line)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => come.push(line),
        }
    }
    let mut gone = Vec::new();
    for line in lines(old) {
        if let Some(count) = counts.get_mut(&key(line))
            && *count > 0
        {
            *count -= 1;
            gone.push(line);
        }
    }
    (gone, come)
}

/// Returns the names of the signatures in these lines, with their lines.
fn named(file: &str, lines: &[&[u8]]) -> Vec<(String, String)> {
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    let mut names = Names::default();
    let options = LoadOptions { keep_going: true, ..LoadOptions::default() };
    // What does not load has been refused before; here it only has no name.
    let _ = hf_sig::load(file, &text, &options, &mut IgnoreSet::default(), &mut names);
    names
        .list
        .into_iter()
        .filter_map(|(name, line)| {
            let at = usize::try_from(line).ok()?.checked_sub(1)?;
            Some((name, String::from_utf8_lossy(lines.get(at)?).into_owned()))
        })
        .collect()
}

/// Takes names and line numbers.
#[derive(Default)]
struct Names {
    list: Vec<(String, u32)>,
}

impl Names {
    fn take(&mut self, meta: SigMeta<'_>) {
        self.list.push((meta.name.to_owned(), meta.line));
    }
}

macro_rules! take {
    ($($name:ident: $sig:ty),*) => {$(
        fn $name(&mut self, meta: SigMeta<'_>, _: $sig) {
            self.take(meta);
        }
    )*};
}

impl Collector for Names {
    take! {
        hash: HashSig<'_>, body: BodySig, logical: LogicalSig, container: ContainerSig,
        icon: IconSig, magic: MagicSig, password: PasswordSig, phishing: PhishingSig,
        certificate: CertificateSig, ignore: IgnoreSig, config: ConfigSig, yara: &str,
        not_run: NotRun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_that_come_go_and_change() {
        let old =
            b"A.X-1:0:*:6162636465666768\nB.X-1:0:*:6162636465666769\nC.X-1:0:*:616263646566676a\n";
        let new =
            b"C.X-1:0:*:616263646566676b\nA.X-1:0:*:6162636465666768\nD.X-1:0:*:616263646566676c\n";
        let reasons = [("B.X-1".to_owned(), "false alarm".to_owned())].into();
        let mut changes = Changes::default();
        one_file(&mut changes, "own", "a.ndb", old, new, &reasons);
        let told: Vec<(ChangeKind, &str, &str)> =
            changes.list.iter().map(|c| (c.kind, c.name.as_str(), c.reason.as_str())).collect();
        assert_eq!(
            told,
            [
                (ChangeKind::Removed, "B.X-1", "false alarm"),
                (ChangeKind::Changed, "C.X-1", ""),
                (ChangeKind::Added, "D.X-1", ""),
            ]
        );
        assert_eq!(changes.list[0].line, "B.X-1:0:*:6162636465666769");
    }
}
