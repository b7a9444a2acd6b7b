//! VBA projects: the `dir` stream names the modules, whose source lies compressed in their streams.
//!
//! Yields: each module's source as text (and as OLE2 content, which is how signatures were written for
//! it), and all modules together as `vba_project`, lower-cased outside of string literals and with line
//! continuations joined; before them the text that `clamscan` makes of a project ([`project`]), and under
//! `clamav_quirks` only that.
//! Hostile input: `dir` may be damaged, absent or wrong about offsets; every stream is therefore also
//! searched for a container that starts like a module's source.
//! Leaves out: compiled p-code, the password of the project (it protects nothing).
//! Sources: [1] MS-OVBA §2.3.4.2 (`dir`), §2.3.4.3 (module streams).

mod project;

use std::collections::{BTreeMap, BTreeSet};

use hf_core::{Child, ChildRole, FileType, Reason, Sink, Stop};

use super::cfb::Cfb;
use super::ovba::{decompress, find_sources};
use crate::documents::le::{part, u32_at, utf16};
use crate::reader::{Reader, size};

/// A stream that holds something like a module's source, and where.
#[derive(Debug)]
pub(crate) struct Suspect {
    /// Index of its directory entry.
    pub(crate) entry: usize,
    /// Offsets of the containers.
    pub(crate) offs: Vec<usize>,
}

/// What `dir` says of one module.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct ModuleRecord {
    name: Vec<u8>,
    stream: Vec<u8>,
    stream_wide: String,
    text_off: u32,
}

/// One module's source.
#[derive(Debug)]
struct Source {
    name: Vec<u8>,
    text: Vec<u8>,
}

/// Bounds on what one document may make us hold; honest projects stay far below.
const MODULES_MAX: usize = 4096;
const PROJECT_LEN_MAX: usize = 32 << 20;
const DIRS_MAX: usize = 64;
const DIR_LEN_MAX: usize = 4 << 20;

/// Sources found so far, bounded together.
#[derive(Debug, Default)]
struct Sources {
    list: Vec<Source>,
    len: usize,
    /// Streams that were done.
    done: BTreeSet<usize>,
    more: bool,
    /// A project was handed over as the text that `clamscan` makes of it.
    told: bool,
}

/// Streams by their storage and their name in lower case.
type Index = BTreeMap<(Option<usize>, String), usize>;

/// Notes a stream that looks as if it held source.
pub(crate) fn suspect(entry: usize, stream: &[u8]) -> Option<Suspect> {
    let offs = find_sources(stream);
    (!offs.is_empty()).then_some(Suspect { entry, offs })
}

/// Hands the source of every project over; true when there was any.
///
/// # Errors
/// The scan ends here.
pub(crate) fn extract(
    cfb: &mut Cfb<'_>,
    suspects: &[Suspect],
    sink: &mut dyn Sink,
) -> Result<bool, Stop> {
    let mut sources = Sources::default();
    let index: Index = cfb
        .streams()
        .filter_map(|idx| {
            let entry = cfb.entries.get(idx)?;
            Some(((entry.parent, entry.name().to_lowercase()), idx))
        })
        .collect();
    let dirs = index.iter().filter(|((_, name), _)| name == "dir");
    for dir in dirs.map(|(_, idx)| *idx).take(DIRS_MAX) {
        project(cfb, dir, &index, &mut sources, sink)?;
    }
    for suspect in suspects {
        if !sources.done.insert(suspect.entry) {
            continue;
        }
        sink.poll()?;
        let name = cfb.path_name(suspect.entry, |_| None).into_bytes();
        let stream = cfb.read(suspect.entry, sink.child_cap(), sink)?.bytes;
        for off in &suspect.offs {
            sources.take(&name, stream.get(*off..).unwrap_or_default(), sink);
        }
    }
    if sources.more {
        sink.unscanned(b"vba_project", Reason::FormatLimit("VBA source".into()));
    }
    hand_over(&sources.list, sink)?;
    Ok(sources.told || !sources.list.is_empty())
}

fn project(
    cfb: &mut Cfb<'_>,
    dir: usize,
    index: &Index,
    sources: &mut Sources,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let stream = cfb.read(dir, sink.child_cap(), sink)?.bytes;
    let Some(records) = decompress(&stream, DIR_LEN_MAX) else { return Ok(()) };
    let parent = cfb.entries.get(dir).and_then(|entry| entry.parent);
    if as_clamscan(cfb, parent, &records.bytes, index, sources, sink)? {
        return Ok(());
    }
    for module in parse_dir(&records.bytes) {
        let names = [module.stream_wide.clone(), String::from_utf8_lossy(&module.stream).into()];
        let found = names.iter().find_map(|name| index.get(&(parent, name.to_lowercase())));
        let Some(idx) = found.copied() else {
            sink.unscanned(&module.name, Reason::Damaged("VBA module without a stream".into()));
            continue;
        };
        if !sources.done.insert(idx) {
            continue;
        }
        sink.poll()?;
        let stream = cfb.read(idx, sink.child_cap(), sink)?.bytes;
        let container = stream.get(size(u64::from(module.text_off))..).unwrap_or_default();
        if container.first() == Some(&1) && container.len() > 3 {
            let had = sources.list.len();
            sources.take(&module.name, container, sink);
            let source = sources.list.get(had..).and_then(<[Source]>::first);
            if module.text_off > CACHE_LEN_MIN
                && source.is_none_or(|source| !has_code(&source.text))
            {
                // The compiled form is long and the source is empty: the source was taken out.
                sink.fact("ole2.vba_without_source", &String::from_utf8_lossy(&module.name));
            }
            continue;
        }
        for off in find_sources(&stream) {
            sources.take(&module.name, stream.get(off..).unwrap_or_default(), sink);
        }
    }
    Ok(())
}

/// Compiled code of a module without any is shorter than this.
const CACHE_LEN_MIN: u32 = 4096;

/// True when a source has a line other than attributes and white space.
fn has_code(source: &[u8]) -> bool {
    source.split(|byte| matches!(byte, b'\r' | b'\n')).any(|line| {
        let line = line.trim_ascii();
        !line.is_empty() && !line.to_ascii_lowercase().starts_with(b"attribute ")
    })
}

/// Hands a project over as the text that `clamscan` makes of it; true when nothing else is to be made of it.
fn as_clamscan(
    cfb: &mut Cfb<'_>,
    parent: Option<usize>,
    dir: &[u8],
    index: &Index,
    sources: &mut Sources,
    sink: &mut dyn Sink,
) -> Result<bool, Stop> {
    let alone = sink.options().clamav_quirks;
    let mut len = sources.len;
    let mut done = Vec::new();
    // Many modules may name one long stream.
    let mut budget = PROJECT_LEN_MAX.saturating_mul(4);
    let text = project::text(dir, |place| {
        let narrow = String::from_utf8_lossy(&place.stream);
        let names = [place.stream_wide.as_str(), &narrow];
        let found = names.iter().find_map(|name| index.get(&(parent, name.to_lowercase())));
        let Some(idx) = found.copied().filter(|_| budget > 0) else { return Ok(None) };
        sink.poll()?;
        let stream = cfb.read(idx, sink.child_cap(), sink)?.bytes;
        budget = budget.saturating_sub(stream.len());
        let container = stream.get(size(u64::from(place.text_off))..).unwrap_or_default();
        let cap = size(sink.child_cap()).min(PROJECT_LEN_MAX.saturating_sub(len));
        let text = decompress(container, cap).filter(|text| text.whole && !text.bytes.is_empty());
        Ok(text.map(|text| {
            len = len.saturating_add(text.bytes.len());
            done.push(idx);
            text.bytes
        }))
    })?;
    sources.more |= budget == 0;
    let Some(data) = text.filter(|_| !done.is_empty()) else { return Ok(false) };
    sources.told = true;
    if alone {
        sources.len = len;
        sources.done.extend(done);
    }
    // It meets signatures for every target only, and is not normalised as text again.
    let role = ChildRole::Typed(FileType::Ignored);
    sink.child(Child { name: b"vba_project", data: &data, role })?;
    Ok(alone)
}

impl Sources {
    fn take(&mut self, name: &[u8], container: &[u8], sink: &mut dyn Sink) {
        let cap = size(sink.child_cap()).min(PROJECT_LEN_MAX.saturating_sub(self.len));
        if self.list.len() >= MODULES_MAX || cap == 0 {
            self.more = true;
            return;
        }
        let Some(text) = decompress(container, cap) else { return };
        if !text.whole {
            sink.unscanned(name, Reason::Damaged("compressed VBA source".into()));
        }
        self.len = self.len.saturating_add(text.bytes.len());
        if !text.bytes.is_empty() {
            self.list.push(Source { name: name.to_vec(), text: text.bytes });
        }
    }
}

/// Reads the module records of a decompressed `dir` stream; others are skipped by their size.
fn parse_dir(dir: &[u8]) -> Vec<ModuleRecord> {
    // [1] §2.3.4.2.1.11 and §2.3.4.2.3: record ids.
    const PROJECT_VERSION: u16 = 0x0009;
    const MODULE_NAME: u16 = 0x0019;
    const MODULE_STREAM: u16 = 0x001a;
    const MODULE_STREAM_WIDE: u16 = 0x0032;
    const MODULE_OFFSET: u16 = 0x0031;
    let mut modules: Vec<ModuleRecord> = Vec::new();
    let mut reader = Reader::new(dir);
    while let (Ok(id), Ok(len)) = (reader.u16_le(), reader.u32_le()) {
        // The version record's size counts its major part only.
        let len = if id == PROJECT_VERSION { 6 } else { size(u64::from(len)) };
        let data = reader.take_up_to(len);
        if id == MODULE_NAME && modules.len() < MODULES_MAX {
            modules.push(ModuleRecord { name: data.to_vec(), ..ModuleRecord::default() });
        }
        let Some(module) = modules.last_mut() else { continue };
        match id {
            MODULE_STREAM => {
                module.stream = data.to_vec();
            }
            MODULE_STREAM_WIDE => module.stream_wide = utf16(data),
            MODULE_OFFSET => module.text_off = u32_at(data, 0).unwrap_or(0),
            _ => {}
        }
    }
    modules
}

fn hand_over(sources: &[Source], sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut project = Vec::new();
    for source in sources {
        let name = if source.name.is_empty() { b"module".as_slice() } else { &source.name };
        let data = source.text.as_slice();
        sink.child(Child { name, data, role: ChildRole::Typed(FileType::TextAscii) })?;
        sink.child(Child { name, data, role: ChildRole::Normalised(FileType::Msole2) })?;
        project.extend_from_slice(b"REM MODULENAME: ");
        project.extend_from_slice(name);
        project.push(b'\n');
        normalise(data, &mut project);
        project.extend_from_slice(b"\n\n");
    }
    if !project.is_empty() {
        let role = ChildRole::Typed(FileType::TextAscii);
        sink.child(Child { name: b"vba_project", data: &project, role })?;
    }
    Ok(())
}

/// Lower-cases outside of string literals, makes one space of a run of blanks, joins continued lines.
fn normalise(source: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut idx = 0usize;
    while let Some(byte) = source.get(idx).copied() {
        idx = idx.saturating_add(1);
        match byte {
            b'"' => in_string = !in_string,
            b'\r' | b'\n' => in_string = false,
            b' ' | b'\t' if !in_string => {
                while matches!(source.get(idx), Some(b' ' | b'\t')) {
                    idx = idx.saturating_add(1);
                }
                if let Some(len) = continuation(source, idx) {
                    idx = idx.saturating_add(len);
                    continue;
                }
                if out.last() != Some(&b' ') {
                    out.push(b' ');
                }
                continue;
            }
            _ => {}
        }
        out.push(if in_string { byte } else { byte.to_ascii_lowercase() });
    }
}

/// Returns the length of `_` and the end of line at an offset.
fn continuation(source: &[u8], off: usize) -> Option<usize> {
    let rest = part(source, off, 3);
    [b"_\r\n".as_slice(), b"_\n", b"_\r"]
        .iter()
        .find(|end| rest.starts_with(end))
        .map(|end| end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_normalised_outside_of_literals() {
        let source = b"Sub  Open() ' Note\r\n\tX = \"A  B\"  & _\r\n   \"C\"\r\nY=\"open\r\nZ\r\n";
        let mut got = Vec::new();
        normalise(source, &mut got);
        let want = b"sub open() ' note\r\n x = \"A  B\" & \"C\"\r\ny=\"open\r\nz\r\n";
        assert_eq!(got.escape_ascii().to_string(), want.escape_ascii().to_string());
    }
}
