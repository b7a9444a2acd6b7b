//! Shrink, method 1 of zip: LZW with 9 to 13 bits and partial clearing (APPNOTE.TXT 5.1).

use std::io::{self, BufRead};

use super::bits::Bits;
use super::damaged;
use super::history::{History, Symbols};

/// Decodes shrunk data; it ends with its input.
#[derive(Debug)]
pub(crate) struct Unshrink<R> {
    bits: Bits<R>,
    code_len: u32,
    table: Vec<Node>,
    /// Every code below this one and above 256 is in use.
    search_from: usize,
    previous: Option<usize>,
    string: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    parent: u16,
    last: u8,
    used: bool,
}

const CODES: usize = 1 << 13;
const CONTROL: usize = 256;

impl<R: BufRead> Unshrink<R> {
    /// Returns a decoder at the start of the stream.
    pub(crate) fn new(source: R) -> Self {
        let table = (0..CODES)
            .map(|code| match u8::try_from(code) {
                Ok(last) => Node { parent: 0, last, used: true },
                Err(_) => Node::default(),
            })
            .collect();
        Self {
            bits: Bits::new(source),
            code_len: 9,
            table,
            search_from: CONTROL + 1,
            previous: None,
            string: Vec::new(),
        }
    }

    /// Frees every code that no other code continues.
    fn clear_leaves(&mut self) {
        let mut continued = vec![false; CODES];
        for node in self.table.iter().skip(CONTROL + 1).filter(|node| node.used) {
            if let Some(flag) = continued.get_mut(usize::from(node.parent)) {
                *flag = true;
            }
        }
        for (node, continued) in self.table.iter_mut().zip(continued).skip(CONTROL + 1) {
            node.used &= continued;
        }
        self.search_from = CONTROL + 1;
    }

    /// Puts the string of a code into the buffer, last byte first.
    fn spell(&mut self, code: usize) -> io::Result<()> {
        let mut code = code;
        loop {
            let node = self.table.get(code).copied().unwrap_or_default();
            self.string.push(node.last);
            if code < CONTROL {
                return Ok(());
            }
            if self.string.len() > CODES {
                return Err(damaged("shrink: code continues itself"));
            }
            code = usize::from(node.parent);
        }
    }

    /// Adds the string of a code with one more byte under the lowest free code.
    fn add(&mut self, parent: usize, last: u8) {
        let free = self.table.iter().skip(self.search_from).position(|node| !node.used);
        let Some(code) = free.and_then(|gap| gap.checked_add(self.search_from)) else {
            self.search_from = CODES;
            return;
        };
        self.search_from = code.saturating_add(1);
        if let Some(node) = self.table.get_mut(code) {
            *node = Node { parent: u16::try_from(parent).unwrap_or(0), last, used: true };
        }
    }

    fn control(&mut self) -> io::Result<()> {
        match self.bits.bits(self.code_len)? {
            1 if self.code_len < 13 => self.code_len = self.code_len.saturating_add(1),
            2 => self.clear_leaves(),
            _ => return Err(damaged("shrink: control code")),
        }
        Ok(())
    }
}

impl<R: BufRead> Symbols for Unshrink<R> {
    fn symbol(&mut self, out: &mut History) -> io::Result<bool> {
        let Some(code) = self.bits.bits_or_end(self.code_len)? else { return Ok(false) };
        let code = usize::try_from(code).unwrap_or(usize::MAX);
        if code == CONTROL {
            self.control()?;
            return Ok(true);
        }
        self.string.clear();
        let known = self.table.get(code).is_some_and(|node| node.used);
        match self.previous {
            None if code > CONTROL => return Err(damaged("shrink: first code")),
            Some(previous) if !known => {
                // The code that is being made just now: the previous string and its first byte.
                self.string.push(0);
                self.spell(previous)?;
                let first = self.string.last().copied().unwrap_or(0);
                if let Some(last) = self.string.first_mut() {
                    *last = first;
                }
            }
            _ => self.spell(code)?,
        }
        let first = self.string.last().copied().unwrap_or(0);
        for byte in self.string.iter().rev() {
            out.push(*byte);
        }
        if let Some(previous) = self.previous {
            self.add(previous, first);
        }
        self.previous = Some(code);
        Ok(true)
    }
}
