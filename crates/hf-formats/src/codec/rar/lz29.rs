//! RAR 2.9 to 4.x: LZ with four codes, PPMd variant H, and filters that are programs.

use super::PROGRAMS_MAX;
use super::filters::{Custom, Filter};
use super::ppmd::Model;
use super::window::{Output, Window};
use crate::codec::prefix::{Bits, Broken, Huffman};

const MAIN: usize = 299;
const OFFSETS: usize = 60;
const LOW_OFFSETS: usize = 17;
const LENGTHS: usize = 28;
const ALL: usize = MAIN + OFFSETS + LOW_OFFSETS + LENGTHS;
const DICTIONARY: usize = 4 << 20;
/// Ours: programs of one archive, and bytes of the code of each (the format's).
const KNOWN_PROGRAMS_MAX: usize = 1024;
const CODE_MAX: u32 = 0x1_0000;
/// The format's: bytes that a program works on, and of its data.
const BLOCK_MAX: u32 = 0x3_c000;
const GLOBALS_MAX: u32 = 0x2000 - 64;

/// The decoder and what it leaves for a solid member behind.
#[derive(Debug)]
pub(super) struct Unpack29 {
    pub(super) window: Window,
    pub(super) programs_left: u32,
    lens: [u8; ALL],
    main: Huffman,
    offsets: Huffman,
    low_offsets: Huffman,
    lengths: Huffman,
    tables_read: bool,
    /// The four last distances, the newest first.
    distances: [usize; 4],
    last_len: usize,
    low_offset: usize,
    low_repeats: u32,
    model: Option<Box<Model>>,
    in_ppmd: bool,
    escape: u8,
    programs: Vec<Known>,
    last_program: usize,
}

/// A program that the stream has given.
#[derive(Debug)]
struct Known {
    kind: Kind,
    block_len: u32,
    count: u32,
}

#[derive(Debug, Clone)]
enum Kind {
    Calls,
    CallsAndJumps,
    Itanium,
    Delta,
    Rgb,
    Audio,
    Other(Option<rars::codec::rarvm::Program>),
}

impl Default for Unpack29 {
    fn default() -> Self {
        Self {
            window: Window::default(),
            programs_left: PROGRAMS_MAX,
            lens: [0; ALL],
            main: Huffman::default(),
            offsets: Huffman::default(),
            low_offsets: Huffman::default(),
            lengths: Huffman::default(),
            tables_read: false,
            distances: [0; 4],
            last_len: 0,
            low_offset: 0,
            low_repeats: 0,
            model: None,
            in_ppmd: false,
            escape: 2,
            programs: Vec::new(),
            last_program: 0,
        }
    }
}

/// What a block's end says.
enum Next {
    Table,
    End,
}

impl Unpack29 {
    /// Unpacks a member.
    pub(super) fn unpack(
        &mut self,
        input: &[u8],
        solid: bool,
        out: &mut Output<'_>,
    ) -> Result<(), Broken> {
        if !solid {
            self.reset();
        }
        self.window.begin(DICTIONARY);
        let mut bits = Bits::new(input);
        let decoded = self.decode(&mut bits, out);
        let flushed = self.window.flush(out, true);
        if decoded.is_err() {
            self.tables_read = false;
        }
        decoded?;
        flushed
    }

    /// Forgets what the member before left, but for allocations.
    fn reset(&mut self) {
        self.window.reset();
        self.lens = [0; ALL];
        self.tables_read = false;
        self.distances = [0; 4];
        self.last_len = 0;
        self.low_offset = 0;
        self.low_repeats = 0;
        self.in_ppmd = false;
        self.escape = 2;
        self.programs.clear();
        self.last_program = 0;
        if let Some(model) = &mut self.model {
            model.forget();
        }
    }

    fn decode(&mut self, bits: &mut Bits<'_>, out: &mut Output<'_>) -> Result<(), Broken> {
        if !self.tables_read {
            self.read_tables(bits)?;
        }
        loop {
            let left = self.left(out);
            if left == 0 && out.has_end() {
                return self.drain(bits);
            }
            let border = self.window.border(left);
            let next = if self.in_ppmd {
                self.decode_ppmd(bits, border)?
            } else {
                self.decode_lz(bits, border)?
            };
            match next {
                Some(Next::End) if out.has_end() && self.left(out) > 0 => {
                    return Err(Broken::Truncated);
                }
                Some(Next::End) => return Ok(()),
                Some(Next::Table) => self.read_tables(bits)?,
                None => {}
            }
            self.window.flush(out, false)?;
            bits.check()?;
        }
    }

    /// Returns how much is still to be decoded.
    fn left(&self, out: &Output<'_>) -> u64 {
        out.left().saturating_sub(self.window.decoded().saturating_sub(self.window.handed()))
    }

    /// Reads what stands behind the last byte, which decides how the next member starts.
    fn drain(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        for _ in 0..16 {
            if bits.over() {
                break;
            }
            if self.in_ppmd {
                let escape = self.escape;
                let Some(model) = self.model.as_mut() else { break };
                if model.decode(bits)? != escape || model.decode(bits)? != 0 {
                    break;
                }
                self.read_tables(bits)?;
            } else {
                match self.main.decode(bits)? {
                    256 => match self.end_of_block(bits) {
                        Next::End => break,
                        Next::Table => self.read_tables(bits)?,
                    },
                    257 => self.read_program_lz(bits)?,
                    _ => break,
                }
            }
        }
        Ok(())
    }

    fn read_tables(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        bits.align();
        bits.check()?;
        self.in_ppmd = bits.take(1) == 1;
        if self.in_ppmd {
            self.tables_read = false;
            return self.start_ppmd(bits);
        }
        if bits.take(1) == 0 {
            self.lens = [0; ALL];
        }
        self.low_offset = 0;
        self.low_repeats = 0;
        let mut level_lens = [0u8; 20];
        let mut at = 0usize;
        while at < level_lens.len() {
            let len = bits.take(4);
            let zeroes = if len == 15 { bits.take(4) } else { 0 };
            if zeroes > 0 {
                at = at.saturating_add(usize::try_from(zeroes).unwrap_or(0)).saturating_add(2);
            } else if let Some(level) = level_lens.get_mut(at) {
                *level = u8::try_from(len).unwrap_or(0);
                at += 1;
            }
        }
        let mut levels = Huffman::default();
        levels.build(&level_lens);
        read_lens(&levels, bits, &mut self.lens, true)?;
        let (main, rest) = self.lens.split_at(MAIN);
        let (offsets, rest) = rest.split_at(OFFSETS);
        let (low_offsets, lengths) = rest.split_at(LOW_OFFSETS);
        self.main.build(main);
        self.offsets.build(offsets);
        self.low_offsets.build(low_offsets);
        self.lengths.build(lengths);
        self.tables_read = true;
        bits.check()
    }

    fn start_ppmd(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        let flags = bits.take(7);
        let reset = flags & 0x20 != 0;
        let megabytes = if reset { bits.take(8) + 1 } else { 0 };
        if flags & 0x40 != 0 {
            self.escape = u8::try_from(bits.take(8)).unwrap_or(2);
        }
        if reset {
            let order = (flags & 0x1f) + 1;
            let order = if order > 16 { 16 + (order - 16) * 3 } else { order };
            if order == 1 {
                return Err(Broken::Damaged("rar: PPMd order"));
            }
            let size = megabytes << 20;
            if size > crate::codec::MEMORY_MAX {
                return Err(Broken::Memory);
            }
            let kept = self.model.take().filter(|model| model.size() == size);
            let mut model = kept.unwrap_or_else(|| Model::new(size));
            model.restart(order);
            self.model = Some(model);
        }
        match &mut self.model {
            Some(model) => {
                model.start(bits);
                Ok(())
            }
            None => Err(Broken::Damaged("rar: PPMd model")),
        }
    }

    /// Reads the bits behind the symbol 256.
    fn end_of_block(&mut self, bits: &mut Bits<'_>) -> Next {
        if bits.take(1) == 1 {
            return Next::Table;
        }
        self.tables_read = bits.take(1) == 0;
        Next::End
    }

    fn decode_lz(&mut self, bits: &mut Bits<'_>, border: usize) -> Result<Option<Next>, Broken> {
        while !self.window.is_full(border) {
            let symbol = self.main.decode(bits)?;
            if bits.over() {
                return Err(Broken::Truncated);
            }
            if symbol < 256 {
                self.window.literal(u8::try_from(symbol).unwrap_or(0));
                continue;
            }
            match symbol {
                256 => return Ok(Some(self.end_of_block(bits))),
                257 => {
                    self.read_program_lz(bits)?;
                    continue;
                }
                258 => {}
                259..=262 => {
                    let at = symbol - 259;
                    let distance = self.distances.get(at).copied().unwrap_or(0);
                    let (base, extra) = length_of(self.lengths.decode(bits)?);
                    self.last_len = base.saturating_add(take(bits, extra)).saturating_add(2);
                    if let Some(front) = self.distances.get_mut(..=at) {
                        front.rotate_right(1);
                    }
                    self.distances[0] = distance;
                }
                263..=270 => {
                    let (base, extra) = SHORTS.get(symbol - 263).copied().unwrap_or((0, 0));
                    self.push_distance(base.saturating_add(take(bits, extra)).saturating_add(1));
                    self.last_len = 2;
                }
                _ => self.read_match(symbol - 271, bits)?,
            }
            if self.last_len > 0 {
                self.window.copy(self.distances[0], self.last_len);
            }
        }
        Ok(None)
    }

    fn push_distance(&mut self, distance: usize) {
        self.distances.rotate_right(1);
        self.distances[0] = distance;
    }

    #[inline]
    fn read_match(&mut self, slot: usize, bits: &mut Bits<'_>) -> Result<(), Broken> {
        let (base, extra) = length_of(slot);
        let mut len = base.saturating_add(take(bits, extra)).saturating_add(3);
        let slot = self.offsets.decode(bits)?;
        let (base, extra) = OFFSET_SLOTS.get(slot).copied().unwrap_or((0, 0));
        let mut distance = base.saturating_add(1);
        if slot <= 9 {
            distance = distance.saturating_add(take(bits, extra));
        } else {
            let high = take(bits, extra.saturating_sub(4)) << 4;
            distance = distance.saturating_add(high).saturating_add(self.read_low(bits)?);
        }
        len += usize::from(distance >= 0x4_0000) + usize::from(distance >= 0x2000);
        self.push_distance(distance);
        self.last_len = len;
        Ok(())
    }

    fn read_low(&mut self, bits: &mut Bits<'_>) -> Result<usize, Broken> {
        if self.low_repeats > 0 {
            self.low_repeats -= 1;
            return Ok(self.low_offset);
        }
        let low = self.low_offsets.decode(bits)?;
        if low == 16 {
            self.low_repeats = 15;
        } else {
            self.low_offset = low;
        }
        Ok(self.low_offset)
    }

    fn decode_ppmd(&mut self, bits: &mut Bits<'_>, border: usize) -> Result<Option<Next>, Broken> {
        while !self.window.is_full(border) {
            let escape = self.escape;
            let Some(model) = self.model.as_mut() else {
                return Err(Broken::Damaged("rar: PPMd model"));
            };
            let symbol = model.decode(bits)?;
            bits.check()?;
            if symbol != escape {
                self.window.literal(symbol);
                continue;
            }
            match model.decode(bits)? {
                0 => return Ok(Some(Next::Table)),
                2 => return Ok(Some(Next::End)),
                3 => self.read_program_ppmd(bits)?,
                4 => {
                    let [b2, b1, b0, len] = [
                        model.decode(bits)?,
                        model.decode(bits)?,
                        model.decode(bits)?,
                        model.decode(bits)?,
                    ];
                    let distance = u32::from_be_bytes([0, b2, b1, b0]).saturating_add(2);
                    let distance = usize::try_from(distance).unwrap_or(usize::MAX);
                    self.window.copy(distance, usize::from(len).saturating_add(32));
                }
                5 => {
                    let len = model.decode(bits)?;
                    self.window.copy(1, usize::from(len).saturating_add(4));
                }
                _ => self.window.literal(escape),
            }
        }
        Ok(None)
    }

    fn read_program_lz(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        let mut byte = || Ok(u8::try_from(bits.take(8)).unwrap_or(0));
        let (flags, code) = read_record(&mut byte)?;
        bits.check()?;
        self.add_program(flags, &code)
    }

    fn read_program_ppmd(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        let Some(model) = self.model.as_mut() else { return Ok(()) };
        let mut byte = || {
            let byte = model.decode(bits)?;
            bits.check()?;
            Ok(byte)
        };
        let (flags, code) = read_record(&mut byte)?;
        self.add_program(flags, &code)
    }

    /// Reads a record that runs a program over a block to come.
    fn add_program(&mut self, flags: u8, record: &[u8]) -> Result<(), Broken> {
        let mut bits = Bits::new(record);
        let mut idx = self.last_program;
        if flags & 0x80 != 0 {
            let number = read_number(&mut bits);
            if number == 0 {
                self.programs.clear();
                self.window.drop_filters();
            }
            idx = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        }
        if idx > self.programs.len() || idx >= KNOWN_PROGRAMS_MAX {
            return Err(Broken::Damaged("rar: filter number"));
        }
        self.last_program = idx;
        let known = self.programs.get_mut(idx);
        let ahead = read_number(&mut bits);
        let ahead = if flags & 0x40 != 0 { ahead.saturating_add(258) } else { ahead };
        let kept_len = known.as_ref().map_or(0, |known| known.block_len);
        let block_len = if flags & 0x20 != 0 { read_number(&mut bits) } else { kept_len };
        let count = known.map_or(0, |known| {
            known.count = known.count.wrapping_add(1);
            known.count
        });
        let mut registers = [0, 0, 0, 0x3_c000, block_len, count, 0];
        if flags & 0x10 != 0 {
            let mask = bits.take(7);
            for (register, bit) in registers.iter_mut().zip(0u32..) {
                if mask >> bit & 1 == 1 {
                    *register = read_number(&mut bits);
                }
            }
        }
        if idx == self.programs.len() {
            let len = read_number(&mut bits);
            if len == 0 || len > CODE_MAX {
                return Err(Broken::Damaged("rar: filter code"));
            }
            let code = read_bytes(&mut bits, len)?;
            self.programs.push(Known { kind: Kind::of(&code), block_len, count: 0 });
        }
        let mut globals = Vec::new();
        if flags & 8 != 0 {
            let len = read_number(&mut bits).min(GLOBALS_MAX);
            globals = read_bytes(&mut bits, len)?;
        }
        let Some(known) = self.programs.get_mut(idx) else { return Ok(()) };
        known.block_len = block_len;
        let kind = known.kind.clone();
        let filter = self.filter_of(kind, registers, globals, count);
        if block_len > BLOCK_MAX {
            self.window.wrong = Some("rar: filter block");
            return Ok(());
        }
        let len = usize::try_from(block_len).unwrap_or(0);
        self.window.filter(u64::from(ahead), len, filter)
    }

    fn filter_of(
        &mut self,
        kind: Kind,
        registers: [u32; 7],
        globals: Vec<u8>,
        count: u32,
    ) -> Filter {
        let [first, second, ..] = registers;
        let channels = usize::try_from(first).unwrap_or(usize::MAX);
        match kind {
            Kind::Calls => Filter::Calls3 { jumps: false },
            Kind::CallsAndJumps => Filter::Calls3 { jumps: true },
            Kind::Itanium => Filter::Itanium,
            Kind::Delta if (1..=1024).contains(&first) => Filter::Delta(channels),
            Kind::Audio if (1..=128).contains(&first) => Filter::Audio(channels),
            Kind::Rgb => {
                Filter::Rgb { stride: channels, red_off: usize::try_from(second).unwrap_or(9) }
            }
            Kind::Other(Some(program)) if self.programs_left > 0 => {
                self.programs_left -= 1;
                Filter::Program(Box::new(Custom { program, registers, globals, count }))
            }
            Kind::Other(_) => Filter::Unknown("rar: filter program not run"),
            Kind::Delta | Kind::Audio => Filter::Unknown("rar: filter channels"),
        }
    }
}

impl Kind {
    fn of(code: &[u8]) -> Self {
        match (code.len(), crc32fast::hash(code)) {
            (53, 0xad57_6887) => Self::Calls,
            (57, 0x3cd7_e57e) => Self::CallsAndJumps,
            (120, 0x3769_893f) => Self::Itanium,
            (29, 0x0e06_077d) => Self::Delta,
            (149, 0x1c2c_5dc8) => Self::Rgb,
            (216, 0xbc85_e701) => Self::Audio,
            _ => Self::Other(rars::codec::rarvm::Program::parse(code).ok()),
        }
    }
}

/// Reads the flags and the bytes of a record.
fn read_record(byte: &mut dyn FnMut() -> Result<u8, Broken>) -> Result<(u8, Vec<u8>), Broken> {
    let flags = byte()?;
    let len = match flags & 7 {
        6 => usize::from(byte()?).saturating_add(7),
        7 => usize::from(u16::from_be_bytes([byte()?, byte()?])),
        short => usize::from(short).saturating_add(1),
    };
    let mut record = Vec::new();
    for _ in 0..len {
        record.push(byte()?);
    }
    Ok((flags, record))
}

fn read_number(bits: &mut Bits<'_>) -> u32 {
    match bits.take(2) {
        0 => bits.take(4),
        1 => {
            let value = bits.take(8);
            if value >= 16 { value } else { 0xffff_ff00 | value << 4 | bits.take(4) }
        }
        2 => bits.take(16),
        _ => bits.take(32),
    }
}

fn read_bytes(bits: &mut Bits<'_>, len: u32) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    for _ in 0..len {
        bytes.push(u8::try_from(bits.take(8)).unwrap_or(0));
        bits.check()?;
    }
    Ok(bytes)
}

/// Reads lengths of codes, as they are or as differences from those before.
pub(super) fn read_lens(
    levels: &Huffman,
    bits: &mut Bits<'_>,
    lens: &mut [u8],
    differences: bool,
) -> Result<(), Broken> {
    let mut at = 0usize;
    while at < lens.len() {
        bits.check()?;
        let symbol = levels.decode(bits)?;
        let (value, count) = match symbol {
            0..=15 => {
                let base = if differences { lens.get(at).copied().unwrap_or(0) } else { 0 };
                (base.wrapping_add(u8::try_from(symbol).unwrap_or(0)) & 15, 1)
            }
            16 | 17 => {
                let last = at.checked_sub(1).and_then(|at| lens.get(at)).copied();
                let count = if symbol == 16 { 3 + take(bits, 3) } else { 11 + take(bits, 7) };
                (last.ok_or(Broken::Damaged("rar: table"))?, count)
            }
            18 => (0, 3 + take(bits, 3)),
            _ => (0, 11 + take(bits, 7)),
        };
        let rest = lens.get_mut(at..).unwrap_or_default();
        rest.iter_mut().take(count).for_each(|len| *len = value);
        at = at.saturating_add(count);
    }
    Ok(())
}

#[inline]
fn take(bits: &mut Bits<'_>, count: u32) -> usize {
    usize::try_from(bits.take(count)).unwrap_or(0)
}

/// Returns the base and the extra bits of a length.
#[inline]
fn length_of(slot: usize) -> (usize, u32) {
    LENGTH_SLOTS.get(slot).copied().unwrap_or((0, 0))
}

const LENGTH_SLOTS: [(usize, u32); LENGTHS] = length_slots();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, with constant bounds")]
const fn length_slots() -> [(usize, u32); LENGTHS] {
    let mut slots = [(0, 0); LENGTHS];
    let (mut slot, mut base) = (0, 0);
    while slot < LENGTHS {
        let extra = if slot < 8 { 0 } else { slot as u32 / 4 - 1 };
        slots[slot] = (base, extra);
        base += 1 << extra;
        slot += 1;
    }
    slots
}

const OFFSET_SLOTS: [(usize, u32); OFFSETS] = offset_slots();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, with constant bounds")]
const fn offset_slots() -> [(usize, u32); OFFSETS] {
    let mut slots = [(0, 0); OFFSETS];
    let (mut slot, mut base) = (0, 0);
    while slot < OFFSETS {
        let extra = match slot {
            0..4 => 0,
            4..34 => slot as u32 / 2 - 1,
            34..48 => 16,
            _ => 18,
        };
        slots[slot] = (base, extra);
        base += 1 << extra;
        slot += 1;
    }
    slots
}

const SHORTS: [(usize, u32); 8] =
    [(0, 2), (4, 2), (8, 3), (16, 4), (32, 5), (64, 6), (128, 6), (192, 6)];
