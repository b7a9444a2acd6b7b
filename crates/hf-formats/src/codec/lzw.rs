//! LZW of Unix `compress` (`.Z`): 9 to 16 bits, least significant bit first, codes in groups of eight.

use std::io::{self, BufRead};

use super::bits::Bits;
use super::damaged;
use super::history::{History, Symbols};

/// Decodes the codes behind the three header bytes; it ends with its input.
#[derive(Debug)]
pub(crate) struct Uncompress<R> {
    bits: Bits<R>,
    code_len: u32,
    code_len_max: u32,
    /// Code 256 clears the table.
    block_mode: bool,
    codes_in_group: u32,
    /// Parent and last byte of the codes above the literals.
    table: Vec<(u16, u8)>,
    previous: Option<u32>,
    string: Vec<u8>,
}

const CLEAR: u32 = 256;

impl<R: BufRead> Uncompress<R> {
    /// Returns a decoder for the third header byte.
    ///
    /// # Errors
    /// The byte asks for codes that are not 9 to 16 bits long.
    pub(crate) fn new(source: R, flags: u8) -> io::Result<Self> {
        let code_len_max = u32::from(flags & 0x1f);
        if !(9..=16).contains(&code_len_max) {
            return Err(damaged("compress: code length"));
        }
        Ok(Self {
            bits: Bits::new(source),
            code_len: 9,
            code_len_max,
            block_mode: flags & 0x80 != 0,
            codes_in_group: 0,
            table: Vec::new(),
            previous: None,
            string: Vec::new(),
        })
    }

    fn first_code(&self) -> u32 {
        if self.block_mode { CLEAR + 1 } else { CLEAR }
    }

    fn next_code(&self) -> u32 {
        self.first_code().saturating_add(u32::try_from(self.table.len()).unwrap_or(u32::MAX))
    }

    /// Codes of a new length start at a new group: the rest of the old one is padding.
    fn set_code_len(&mut self, code_len: u32) -> io::Result<()> {
        while self.codes_in_group & 7 != 0 {
            self.codes_in_group = self.codes_in_group.wrapping_add(1);
            if self.bits.bits_or_end(self.code_len)?.is_none() {
                break;
            }
        }
        self.codes_in_group = 0;
        self.code_len = code_len;
        Ok(())
    }

    fn spell(&mut self, code: u32) -> io::Result<()> {
        let mut code = code;
        while code > 0xff {
            let idx = code.checked_sub(self.first_code()).and_then(|idx| usize::try_from(idx).ok());
            let node = idx.and_then(|idx| self.table.get(idx));
            let (parent, last) = *node.ok_or_else(|| damaged("compress: code"))?;
            self.string.push(last);
            code = u32::from(parent);
        }
        self.string.push(u8::try_from(code).unwrap_or_default());
        Ok(())
    }
}

impl<R: BufRead> Symbols for Uncompress<R> {
    fn symbol(&mut self, out: &mut History) -> io::Result<bool> {
        let largest = (1u32 << self.code_len).saturating_sub(1);
        if self.next_code() > largest && self.code_len < self.code_len_max {
            self.set_code_len(self.code_len.saturating_add(1))?;
        }
        let Some(code) = self.bits.bits_or_end(self.code_len)? else { return Ok(false) };
        self.codes_in_group = self.codes_in_group.wrapping_add(1);
        if code == CLEAR && self.block_mode {
            self.set_code_len(9)?;
            self.table.clear();
            self.previous = None;
            return Ok(true);
        }
        self.string.clear();
        match self.previous {
            None if code > 0xff => return Err(damaged("compress: first code")),
            Some(previous) if code == self.next_code() => {
                self.string.push(0);
                self.spell(previous)?;
                let first = self.string.last().copied().unwrap_or(0);
                if let Some(last) = self.string.first_mut() {
                    *last = first;
                }
            }
            _ => self.spell(code)?,
        }
        for byte in self.string.iter().rev() {
            out.push(*byte);
        }
        if let Some(previous) = self.previous
            && self.next_code() < 1u32 << self.code_len_max
        {
            let first = self.string.last().copied().unwrap_or(0);
            self.table.push((u16::try_from(previous).unwrap_or(0), first));
        }
        self.previous = Some(code);
        Ok(true)
    }
}
