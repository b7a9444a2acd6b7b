//! UBIFS, alone and in UBI volumes: the file system of large flash memories.
//!
//! Yields: one child per file with data, put together from its nodes, named by its path.
//! Leaves out: links, devices, extended attributes, encrypted files; which of two volumes a node is of.
//! Limits: those of [`super::pieces`]; a node unpacks to at most 64 KiB.
//! Hostile input: nodes are looked for at every eighth byte and used if they fit; no index is believed.
//! Sources: A. Hunter, "A Brief Introduction to the Design of UBIFS"; UBIFS white paper; structures as mkfs.ubifs
//! writes them.

use std::io::Read;

use hf_core::{FileType, Halt, Reason, Sink};
use memchr::memmem;

use super::files::Files;
use super::pieces::{Piece, Pieces};
use crate::codec::{Inflate, ZstdFrame, lzo1x};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "ubifs",
    types: &[FileType::Ubifs],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`UBI#` or a node `31 18 10 06` at the start",
        yields: "one child per file with data",
        leaves_out: "links, devices, attributes, encrypted files",
        limits: "2^20 nodes; 64 KiB per node",
        sources: "UBIFS white paper",
    },
};

const MAGIC: &[u8] = &[0x31, 0x18, 0x10, 0x06];
/// Bytes of a file in one node.
const BLOCK_LEN: u64 = 4096;
const NODE_LEN_MAX: u32 = 64 << 10;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut pieces = Pieces::default();
    for at in memmem::find_iter(object, MAGIC) {
        sink.poll()?;
        if node(object, at, &mut pieces) == Some(false) {
            break;
        }
    }
    if claimed_len(object) > u64::try_from(object.len()).unwrap_or(u64::MAX) {
        sink.unscanned(b"", Reason::Truncated);
    }
    pieces.give(&mut Files::new(object, sink), unpack)?;
    Ok(())
}

/// Length of a file system that is alone, as its first node (kind 6) says: length of a block, number of blocks.
fn claimed_len(object: &[u8]) -> u64 {
    let is_first = object.starts_with(MAGIC) && object.get(20) == Some(&6);
    let mut fields = Reader::at(object, 36);
    match (fields.u32_le(), fields.u32_le()) {
        (Ok(len), Ok(count)) if is_first => u64::from(len).saturating_mul(u64::from(count)),
        _ => 0,
    }
}

/// Reads a node; none when there is none, false when there were too many.
fn node<'a>(object: &'a [u8], at: usize, pieces: &mut Pieces<'a>) -> Option<bool> {
    let mut header = Reader::at(object, at.checked_add(8)?);
    let version = header.u64_le().ok()?;
    let len = size(u64::from(header.u32_le().ok()?));
    let kind = header.u8().ok()?;
    let node = object.get(at..at.checked_add(len)?)?;
    let mut key = Reader::at(node, 24);
    let number = u64::from(key.u32_le().ok()?);
    let place = key.u32_le().ok()?;
    let mut fields = Reader::at(node, 40);
    match kind {
        // Of an inode: sequence, length; mode at 88.
        0 => {
            fields.u64_le().ok()?;
            let file_len = fields.u64_le().ok()?;
            Some(pieces.length((0, number), version, file_len))
        }
        1 => {
            let unpacked_len = fields.u32_le().ok()?.min(NODE_LEN_MAX);
            let method = u8::try_from(fields.u16_le().ok()?).ok()?;
            fields.u16_le().ok()?;
            let off = u64::from(place & 0x1fff_ffff).checked_mul(BLOCK_LEN)?;
            let piece =
                Piece { version, stored: fields.rest(), method, len: unpacked_len.into(), skip: 0 };
            (place >> 29 == 1).then(|| pieces.add((0, number), off, piece))
        }
        2 => {
            let target = fields.u64_le().ok()?;
            fields.skip(2).ok()?;
            let name_len = usize::from(fields.u16_le().ok()?);
            fields.skip(4).ok()?;
            let name = fields.take(name_len).ok()?;
            (place >> 29 == 2).then(|| pieces.name((0, target), version, number, name))
        }
        _ => None,
    }
}

fn unpack(piece: &Piece<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let damaged = |_| Reason::Damaged("UBIFS node".into());
    match piece.method {
        1 => lzo1x(piece.stored, out, size(piece.len)).map_err(damaged)?,
        2 => {
            let stream = Inflate::raw(piece.stored);
            stream.take(piece.len).read_to_end(out).map_err(damaged)?;
        }
        3 => {
            let stream = ZstdFrame::new(piece.stored).map_err(damaged)?;
            stream.take(piece.len).read_to_end(out).map_err(damaged)?;
        }
        method => return Err(Reason::UnknownMethod(format!("UBIFS {method}").into())),
    }
    Ok(())
}
