//! JFFS2, of both byte orders: the file system of small flash memories.
//!
//! Yields: one child per file with data, put together from its nodes, named by its path.
//! Leaves out: links, devices, extended attributes; nodes packed with Rubin's coder (reported).
//! Limits: those of [`super::pieces`]; a node unpacks to at most 64 KiB.
//! Hostile input: nodes are looked for at every fourth byte and used if they fit; no order is believed.
//! Sources: D. Woodhouse, "JFFS: The Journalling Flash File System"; the structures of `linux/jffs2.h` (documented
//! in mtd-utils' manuals).

use std::io::Read;

use hf_core::{FileType, Halt, Reason, Sink};

use super::files::Files;
use super::pieces::{Piece, Pieces};
use crate::codec::{Inflate, lzo1x};
use crate::executables::endian::{Endian, Fields};
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "jffs2",
    types: &[FileType::Jffs2],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "a node `85 19` or `19 85` of a known kind at the start",
        yields: "one child per file with data",
        leaves_out: "links, devices; Rubin's compression (reported)",
        limits: "2^20 nodes; 64 KiB per node",
        sources: "JFFS: The Journalling Flash File System",
    },
};

const MAGIC: u16 = 0x1985;
const DIRENT: u16 = 0xe001;
const INODE: u16 = 0xe002;
/// Kinds of nodes: those two, marks of clean and padded blocks, summaries, attributes.
const KINDS: [u16; 7] = [DIRENT, INODE, 0x2003, 0x2004, 0x2006, 0xe008, 0xe009];
const NODE_LEN_MAX: u64 = 64 << 10;

/// True when an object begins with a node.
pub(crate) fn is_image(head: &[u8]) -> bool {
    order(head).is_some_and(|endian| {
        let node = Fields::at(head, 2, endian, false).u16();
        let len = Fields::at(head, 4, endian, false).u32();
        node.is_ok_and(|kind| KINDS.iter().any(|known| u64::from(*known) == kind))
            && len.is_ok_and(|len| (12..=1 << 20).contains(&len))
    })
}

fn order(head: &[u8]) -> Option<Endian> {
    match head {
        [0x85, 0x19, ..] => Some(Endian::Little),
        [0x19, 0x85, ..] => Some(Endian::Big),
        _ => None,
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let Some(endian) = order(object) else { return Ok(()) };
    let mut pieces = Pieces::default();
    let mut at = 0usize;
    let mut steps = 0u32;
    while at.saturating_add(12) <= object.len() {
        steps = steps.wrapping_add(1);
        if steps & 0xffff == 0 {
            sink.poll()?;
        }
        let step = match node(object, at, endian, &mut pieces) {
            Some(0) => break,
            Some(len) if len > object.len().saturating_sub(at) => {
                sink.unscanned(b"", Reason::Truncated);
                12
            }
            Some(len) => len,
            None => 4,
        };
        at = at.saturating_add(step).checked_next_multiple_of(4).unwrap_or(usize::MAX);
    }
    pieces.give(&mut Files::new(object, sink), unpack)?;
    Ok(())
}

/// Reads a node and returns its length, which may lead behind the end; none when there is none, 0 when there were too many.
fn node<'a>(object: &'a [u8], at: usize, endian: Endian, pieces: &mut Pieces<'a>) -> Option<usize> {
    let mut fields = Fields::at(object, at, endian, false);
    if fields.u16().ok()? != u64::from(MAGIC) {
        return None;
    }
    let kind = u16::try_from(fields.u16().ok()?).ok()?;
    let len = size(fields.u32().ok()?);
    if !KINDS.contains(&kind) || len < 12 {
        return None;
    }
    if len > object.len().saturating_sub(at) {
        // Only a node of a possible length was cut.
        return (len <= size(NODE_LEN_MAX)).then_some(len);
    }
    fields.u32().ok()?;
    let node = object.get(at..at.checked_add(len)?)?;
    let more = match kind {
        DIRENT => {
            let (folder, version, number) =
                (fields.u32().ok()?, fields.u32().ok()?, fields.u32().ok()?);
            let name_len = usize::from(*node.get(28)?);
            let name = node.get(40..40usize.checked_add(name_len)?)?;
            pieces.name((0, number), version, folder, name)
        }
        INODE => {
            let (number, version) = (fields.u32().ok()?, fields.u32().ok()?);
            let mut fields = Fields::at(node, 16, endian, false);
            // Of the node's own fields: mode at 20, length at 28, offset at 44.
            fields.u32().ok()?;
            let mode = fields.u32().ok()?;
            let mut fields = Fields::at(node, 28, endian, false);
            let whole_len = fields.u32().ok()?;
            let mut fields = Fields::at(node, 44, endian, false);
            let (off, packed_len, len) =
                (fields.u32().ok()?, fields.u32().ok()?, fields.u32().ok()?);
            let method = *node.get(56)?;
            let rest = node.get(68..)?;
            let stored = rest.get(..size(packed_len)).unwrap_or(rest);
            let is_file = mode >> 12 == 8;
            let has_room = !is_file || pieces.length((0, number), version, whole_len);
            let piece = Piece { version, stored, method, len: len.min(NODE_LEN_MAX), skip: 0 };
            has_room && (!is_file || len == 0 || pieces.add((0, number), off, piece))
        }
        _ => true,
    };
    Some(if more { len } else { 0 })
}

fn unpack(piece: &Piece<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let damaged = |_| Reason::Damaged("JFFS2 node".into());
    match piece.method {
        1 => out.resize(size(piece.len), 0),
        2 => run_times(piece.stored, size(piece.len), out),
        6 => {
            let stream = Inflate::zlib(piece.stored);
            stream.take(piece.len).read_to_end(out).map_err(damaged)?;
        }
        7 => lzo1x(piece.stored, out, size(piece.len)).map_err(damaged)?,
        method => return Err(Reason::UnknownMethod(format!("JFFS2 {method}").into())),
    }
    Ok(())
}

/// The coder "rtime": a byte, and how many follow from behind where the same byte stood last.
fn run_times(packed: &[u8], len: usize, out: &mut Vec<u8>) {
    let mut places = [0usize; 256];
    for [byte, repeat] in packed.as_chunks::<2>().0 {
        if out.len() >= len {
            return;
        }
        out.push(*byte);
        let Some(place) = places.get_mut(usize::from(*byte)) else { return };
        let from = std::mem::replace(place, out.len());
        for step in 0..usize::from(*repeat) {
            let next = out.get(from.saturating_add(step)).copied();
            let Some(next) = next.filter(|_| out.len() < len) else { return };
            out.push(next);
        }
    }
}
