//! PostScript: data that a program reads from itself through filters.
//!
//! Yields: what follows `currentfile` and its filters, decoded.
//! Leaves out: data that is read without filters or by loops; `eexec`; encrypted fonts. Programs are not run.
//! Limits: 64 pieces of data; eight filters each; a piece ends at the end of the object or of its encoding.
//! Hostile input: only names of filters near `currentfile` count.
//! Sources: Adobe, "PostScript Language Reference", third edition, §3.13.

use std::borrow::Cow;

use hf_core::{Child, ChildRole, FileType, Halt, Reason, Sink};
use memchr::memmem;

use super::pdf;
use crate::{Format, FormatDoc, Stage};

/// Opens PostScript.
pub(crate) static FORMAT: Format = Format {
    name: "postscript",
    types: &[FileType::Ps],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_archive && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "`%!PS-Adobe-` at the start",
        yields: "data behind `currentfile` and filters, decoded (not under ClamAV's names)",
        leaves_out: "data that loops read; `eexec`; the programs themselves are not run",
        limits: "64 pieces, eight filters each",
        sources: "PostScript Language Reference",
    },
};

/// Ours.
const PIECES_MAX: usize = 64;
/// Ours: bytes behind `currentfile` in which its filters stand.
const NEAR_LEN: usize = 512;
const FILTERS_MAX: usize = 8;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    const WORD: &[u8] = b"currentfile";
    let mut pieces = 0usize;
    for at in memmem::find_iter(object, WORD) {
        sink.poll()?;
        let rest = object.get(at.saturating_add(WORD.len())..).unwrap_or_default();
        let (filters, data_off) = filters(rest.get(..rest.len().min(NEAR_LEN)).unwrap_or(rest));
        if filters.is_empty() {
            continue;
        }
        pieces = pieces.saturating_add(1);
        if pieces > PIECES_MAX {
            sink.unscanned(b"", Reason::FormatLimit("pieces of PostScript data".into()));
            break;
        }
        let mut data = Cow::Borrowed(rest.get(data_off..).unwrap_or_default());
        for filter in filters {
            let Some(unpacked) = pdf::unfiltered(filter, &data, sink)? else { break };
            if let Some(reason) = unpacked.ended.reason(sink) {
                sink.unscanned(b"data", reason);
            }
            data = unpacked.bytes.into();
        }
        if !data.is_empty() {
            sink.child(Child { name: b"data", data: &data, role: ChildRole::Member })?;
        }
    }
    Ok(())
}

/// Returns the names in front of `filter`, and where the data behind them begins: at the next line, since a program
/// reads on behind the white space that ends its last word.
fn filters(near: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut names = Vec::new();
    let mut end = 0usize;
    for at in memmem::find_iter(near, b"filter") {
        let before = near.get(end..at).unwrap_or_default();
        let Some(slash) = memchr::memrchr(b'/', before) else { break };
        let name = before.get(slash.saturating_add(1)..).unwrap_or_default();
        let name = name.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        if !name.ends_with(b"Decode") || names.len() >= FILTERS_MAX {
            break;
        }
        names.push(name);
        end = at.saturating_add(6);
    }
    let behind = near.get(end..).unwrap_or_default();
    let line = behind.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    let start = line.map_or(end, |line| end.saturating_add(line).saturating_add(1));
    (names, start)
}

#[cfg(test)]
mod tests {
    use super::filters;

    #[test]
    fn filters_are_read_in_order() {
        let text = b" /ASCII85Decode filter /FlateDecode filter cvx exec\nGhV";
        let names: Vec<&[u8]> = vec![b"ASCII85Decode", b"FlateDecode"];
        assert_eq!(filters(text), (names, text.len() - 3));
        assert_eq!(filters(b" 80 string readline").0, Vec::<&[u8]>::new());
    }
}
