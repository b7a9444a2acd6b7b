//! B-trees of HFS+ and HFS: their leaf records, by the chain of leaves or, when that is broken, from all nodes.

use std::cell::Cell;
use std::collections::BTreeSet;

use hf_core::{Sink, Stop};

use crate::reader::Reader;

/// A B-tree.
pub(in crate::disks) struct Tree {
    bytes: Vec<u8>,
    node_len: usize,
    first_leaf: u32,
    leaf_records: u32,
    damaged: Cell<bool>,
}

/// The kind of a leaf.
const LEAF: u8 = 0xff;

impl Tree {
    /// Reads the header node.
    pub(in crate::disks) fn read(bytes: Vec<u8>) -> Option<Self> {
        let mut header = Reader::at(&bytes, 14 + 6);
        let leaf_records = header.u32_be().ok()?;
        let first_leaf = header.u32_be().ok()?;
        header.skip(4).ok()?;
        let told = usize::from(header.u16_be().ok()?);
        let sound = told.is_power_of_two() && (512..=32_768).contains(&told);
        let node_len = if sound { told } else { guess_node_len(&bytes)? };
        Some(Self { bytes, node_len, first_leaf, leaf_records, damaged: Cell::new(!sound) })
    }

    /// True when the chain of leaves was not whole.
    pub(in crate::disks) fn is_damaged(&self) -> bool {
        self.damaged.get()
    }

    /// Returns all leaf records, key first.
    ///
    /// # Errors
    /// The scan ends here.
    pub(in crate::disks) fn records(&self, sink: &mut dyn Sink) -> Result<Vec<&[u8]>, Stop> {
        let mut records = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = self.first_leaf;
        while next != 0 && seen.insert(next) {
            if seen.len().is_multiple_of(256) {
                sink.poll()?;
            }
            let Some(node) = self.node(next).filter(|node| node.get(8) == Some(&LEAF)) else {
                break;
            };
            let sound = self.of_node(node, &mut records);
            self.damaged.set(self.damaged.get() || !sound);
            next = Reader::new(node).u32_be().unwrap_or(0);
        }
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        if count >= self.leaf_records && !self.damaged.get() && next == 0 {
            return Ok(records);
        }
        self.damaged.set(true);
        for number in 0..self.bytes.len().div_euclid(self.node_len) {
            if number.is_multiple_of(256) {
                sink.poll()?;
            }
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let node = self.node(number).filter(|node| node.get(8) == Some(&LEAF));
            if let Some(node) = node.filter(|_| !seen.contains(&number)) {
                self.of_node(node, &mut records);
            }
        }
        Ok(records)
    }

    fn node(&self, number: u32) -> Option<&[u8]> {
        let start = usize::try_from(number).ok()?.checked_mul(self.node_len)?;
        self.bytes.get(start..start.checked_add(self.node_len)?)
    }

    /// Adds the records of a node; false when one of them is not where it can be.
    fn of_node<'t>(&self, node: &'t [u8], records: &mut Vec<&'t [u8]>) -> bool {
        let count = usize::from(Reader::at(node, 10).u16_be().unwrap_or(0));
        let slot = |idx: usize| {
            let off = self.node_len.checked_sub(idx.checked_add(1)?.checked_mul(2)?)?;
            Reader::at(node, off).u16_be().ok().map(usize::from)
        };
        let most = self.node_len.div_euclid(8);
        let mut sound = count <= most;
        for idx in 0..count.min(most) {
            let range = slot(idx).zip(idx.checked_add(1).and_then(slot));
            let start = range.map(|(start, _)| start).filter(|start| *start >= 14);
            let record = start.and_then(|start| {
                let end = range.map(|(_, end)| end).filter(|end| *end > start);
                sound &= end.is_some();
                // A record whose end is lost goes to the end of the node at most.
                node.get(start..end.unwrap_or(self.node_len).min(self.node_len))
            });
            match record {
                Some(record) => records.push(record),
                None => sound = false,
            }
        }
        sound
    }
}

/// Returns the length of nodes for which the second node looks like one.
fn guess_node_len(bytes: &[u8]) -> Option<usize> {
    [4096usize, 8192, 512, 1024, 2048, 16_384, 32_768].into_iter().find(|len| {
        let node = bytes.get(*len..).unwrap_or_default();
        matches!(node.get(8), Some(0 | 2 | 0xff))
            && Reader::at(node, 10).u16_be().is_ok_and(|count| {
                count > 0 && Reader::at(node, len.saturating_sub(2)).u16_be() == Ok(14)
            })
    })
}
