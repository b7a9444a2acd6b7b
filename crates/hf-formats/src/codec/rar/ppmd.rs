//! PPMd variant H with the range coder of RAR 3.
//!
//! All of the model is in one block of bytes, with offsets for pointers. A context is 12 bytes: the number of
//! its symbols (u16), the sum of their frequencies (u16), where they are (u32), the next shorter context
//! (u32); one symbol alone stands where sum and place would be. A symbol is 6 bytes: itself, its
//! frequency, and its successor (u32), which is a place in the text behind it or a context.
//!
//! More than 1,000 lines: allocator, model and coder share the one block and its offsets, and call nothing else.

use crate::codec::prefix::{Bits, Broken};

const UNIT: u32 = 12;
const FREQ_MAX: u32 = 124;
const INT_BITS: u32 = 7;
const PERIOD_BITS: u32 = 7;
const BIN_SCALE: u32 = 1 << (INT_BITS + PERIOD_BITS);
const INDEXES: usize = 38;
const EXP_ESCAPE: [u8; 16] = [25, 14, 9, 7, 5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2, 2];
const INIT_BIN_ESC: [u32; 8] = [0x3cdd, 0x1f3f, 0x59bf, 0x48f3, 0x64a1, 0x5abc, 0x6632, 0x6051];
const TOP: u32 = 1 << 24;
const BOTTOM: u32 = 1 << 15;

/// Units in a block of each index, and the index of each number of units.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, with constant bounds")]
const fn unit_tables() -> ([u8; INDEXES], [u8; 129]) {
    let mut units = [0u8; INDEXES];
    let mut index = [0u8; 129];
    let (mut idx, mut count) = (0, 0);
    while idx < INDEXES {
        let step = if idx >= 12 { 4 } else { idx / 4 + 1 };
        let mut left = step;
        while left > 0 {
            count += 1;
            index[count] = idx as u8;
            left -= 1;
        }
        units[idx] = count as u8;
        idx += 1;
    }
    (units, index)
}

const UNITS: [u8; INDEXES] = unit_tables().0;
const INDEX: [u8; 129] = unit_tables().1;

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, with constant bounds")]
const fn see_index() -> [u8; 256] {
    let mut table = [0u8; 256];
    let (mut idx, mut value, mut left) = (0usize, 0u8, 1u8);
    while idx < 256 {
        if idx < 3 {
            table[idx] = idx as u8;
            value = 3;
            left = 1;
        } else {
            table[idx] = value;
            left -= 1;
            if left == 0 {
                value += 1;
                left = value - 2;
            }
        }
        idx += 1;
    }
    table
}

const SEE_INDEX: [u8; 256] = see_index();

fn units_of(idx: usize) -> u32 {
    UNITS.get(idx).map_or(0, |units| u32::from(*units))
}

fn index_of(units: u32) -> usize {
    let units = usize::try_from(units).unwrap_or(0);
    INDEX.get(units).map_or(0, |idx| usize::from(*idx))
}

#[derive(Debug, Clone, Copy, Default)]
struct See {
    sum: u16,
    shift: u8,
    count: u8,
}

/// Which escape estimate is in use.
#[derive(Debug, Clone, Copy)]
enum SeeAt {
    Fixed,
    Table(usize, usize),
}

/// The model and its range coder.
pub(super) struct Model {
    mem: Vec<u8>,
    size: u32,
    max_order: u32,
    order_fall: u32,
    init_esc: u32,
    prev_success: u32,
    hi_bits_flag: u32,
    run_length: i32,
    init_rl: i32,
    min_context: u32,
    max_context: u32,
    found: u32,
    free: [u32; INDEXES],
    glue_count: u32,
    text: u32,
    units_start: u32,
    lo_unit: u32,
    hi_unit: u32,
    bin_sums: Vec<u16>,
    see: [[See; 16]; 25],
    low: u32,
    code: u32,
    range: u32,
    broken: bool,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Model {
    /// Returns a model of this many bytes; they cost nothing before they are used.
    pub(super) fn new(size: u32) -> Box<Self> {
        let len = usize::try_from(size).unwrap_or(0).saturating_add(64);
        Box::new(Self {
            mem: vec![0; len],
            size,
            max_order: 0,
            order_fall: 0,
            init_esc: 0,
            prev_success: 0,
            hi_bits_flag: 0,
            run_length: 0,
            init_rl: 0,
            min_context: 0,
            max_context: 0,
            found: 0,
            free: [0; INDEXES],
            glue_count: 0,
            text: 0,
            units_start: 0,
            lo_unit: 0,
            hi_unit: 0,
            bin_sums: vec![0; 128 * 64],
            see: [[See::default(); 16]; 25],
            low: 0,
            code: 0,
            range: 0,
            broken: true,
        })
    }

    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Is of no use before the next restart.
    pub(super) fn forget(&mut self) {
        self.broken = true;
    }

    /// Forgets what was learnt.
    pub(super) fn restart(&mut self, order: u32) {
        self.max_order = order;
        self.broken = false;
        self.restart_model();
    }

    /// Starts the range coder.
    pub(super) fn start(&mut self, bits: &mut Bits<'_>) {
        self.low = 0;
        self.range = u32::MAX;
        self.code = bits.take(32);
    }

    /// Decodes a byte.
    pub(super) fn decode(&mut self, bits: &mut Bits<'_>) -> Result<u8, Broken> {
        if self.broken {
            return Err(Broken::Damaged("rar: PPMd"));
        }
        let decoded = self.decode_symbol(bits);
        self.broken = decoded.is_none();
        decoded.ok_or(Broken::Damaged("rar: PPMd"))
    }

    #[inline]
    fn u8_at(&self, at: u32) -> u32 {
        self.mem.get(at as usize).map_or(0, |byte| u32::from(*byte))
    }

    #[inline]
    fn put_u8(&mut self, at: u32, value: u32) {
        if let Some(byte) = self.mem.get_mut(at as usize) {
            *byte = value as u8;
        }
    }

    #[inline]
    fn u16_at(&self, at: u32) -> u32 {
        let at = at as usize;
        match self.mem.get(at..at + 2) {
            Some([low, high]) => u32::from(u16::from_le_bytes([*low, *high])),
            _ => 0,
        }
    }

    #[inline]
    fn put_u16(&mut self, at: u32, value: u32) {
        let at = at as usize;
        if let Some(bytes) = self.mem.get_mut(at..at + 2) {
            bytes.copy_from_slice(&(value as u16).to_le_bytes());
        }
    }

    #[inline]
    fn u32_at(&self, at: u32) -> u32 {
        let at = at as usize;
        match self.mem.get(at..at + 4) {
            Some([b0, b1, b2, b3]) => u32::from_le_bytes([*b0, *b1, *b2, *b3]),
            _ => 0,
        }
    }

    #[inline]
    fn put_u32(&mut self, at: u32, value: u32) {
        let at = at as usize;
        if let Some(bytes) = self.mem.get_mut(at..at + 4) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn count(&self, context: u32) -> u32 {
        self.u16_at(context)
    }

    fn sum(&self, context: u32) -> u32 {
        self.u16_at(context + 2)
    }

    fn stats(&self, context: u32) -> u32 {
        self.u32_at(context + 4)
    }

    fn suffix(&self, context: u32) -> u32 {
        self.u32_at(context + 8)
    }

    fn symbol(&self, state: u32) -> u32 {
        self.u8_at(state)
    }

    fn freq(&self, state: u32) -> u32 {
        self.u8_at(state + 1)
    }

    fn successor(&self, state: u32) -> u32 {
        self.u32_at(state + 2)
    }

    fn put_state(&mut self, state: u32, symbol: u32, freq: u32, successor: u32) {
        self.put_u8(state, symbol);
        self.put_u8(state + 1, freq);
        self.put_u32(state + 2, successor);
    }

    fn copy_state(&mut self, from: u32, to: u32) {
        let from = from as usize;
        if from + 6 <= self.mem.len() && to as usize + 6 <= self.mem.len() {
            self.mem.copy_within(from..from + 6, to as usize);
        }
    }

    fn swap_states(&mut self, a: u32, b: u32) {
        let (symbol, freq, successor) = (self.symbol(a), self.freq(a), self.successor(a));
        self.copy_state(b, a);
        self.put_state(b, symbol, freq, successor);
    }

    fn copy_units(&mut self, from: u32, to: u32, units: u32) {
        let (from, to, len) = (from as usize, to as usize, (units * UNIT) as usize);
        if from + len <= self.mem.len() && to + len <= self.mem.len() {
            self.mem.copy_within(from..from + len, to);
        }
    }

    fn insert_node(&mut self, node: u32, idx: usize) {
        if let Some(head) = self.free.get_mut(idx) {
            let next = std::mem::replace(head, node);
            self.put_u32(node, next);
        }
    }

    fn remove_node(&mut self, idx: usize) -> Option<u32> {
        let node = self.free.get(idx).copied().filter(|node| *node != 0)?;
        let next = self.u32_at(node);
        if let Some(head) = self.free.get_mut(idx) {
            *head = next;
        }
        Some(node)
    }

    /// Gives the units back that are left of a block.
    fn split_block(&mut self, block: u32, old: usize, new: usize) {
        let units = units_of(old).saturating_sub(units_of(new));
        let rest = block + units_of(new) * UNIT;
        self.free_units(rest, units);
    }

    /// Puts at most 128 units into one or two lists.
    fn free_units(&mut self, at: u32, units: u32) {
        let mut idx = index_of(units);
        if units_of(idx) != units {
            idx = idx.saturating_sub(1);
            let part = units_of(idx);
            let rest = units.saturating_sub(part);
            self.insert_node(at + part * UNIT, index_of(rest));
        }
        self.insert_node(at, idx);
    }

    /// Joins free blocks that touch. Free blocks are: 0 (u16), units (u16), next (u32).
    fn glue_free_blocks(&mut self) {
        self.glue_count = 255;
        if self.lo_unit != self.hi_unit {
            self.put_u16(self.lo_unit, 1);
        }
        let mut head = 0u32;
        for idx in 0..INDEXES {
            let units = units_of(idx);
            while let Some(node) = self.remove_node(idx) {
                self.put_u16(node, 0);
                self.put_u16(node + 2, units);
                self.put_u32(node + 4, head);
                head = node;
            }
        }
        let head = self.join_blocks(head);
        let mut next = head;
        while next != 0 {
            let mut node = next;
            let mut units = self.u16_at(node + 2);
            next = self.u32_at(node + 4);
            while units > 128 {
                self.insert_node(node, INDEXES - 1);
                units -= 128;
                node += 128 * UNIT;
            }
            if units > 0 {
                self.free_units(node, units);
            }
        }
    }

    fn join_blocks(&mut self, list: u32) -> u32 {
        let mut head = list;
        let mut before = 0u32;
        let mut next = list;
        while next != 0 {
            let node = next;
            let mut units = self.u16_at(node + 2);
            next = self.u32_at(node + 4);
            if units == 0 {
                if before == 0 {
                    head = next;
                } else {
                    self.put_u32(before + 4, next);
                }
                continue;
            }
            before = node;
            loop {
                let behind = node + units * UNIT;
                let more = self.u16_at(behind + 2);
                if self.u16_at(behind) != 0 || units + more >= 0x1_0000 || more == 0 {
                    break;
                }
                units += more;
                self.put_u16(node + 2, units);
                self.put_u16(behind + 2, 0);
            }
        }
        head
    }

    fn alloc_units_rare(&mut self, idx: usize) -> Option<u32> {
        if self.glue_count == 0 {
            self.glue_free_blocks();
            if let Some(node) = self.remove_node(idx) {
                return Some(node);
            }
        }
        for larger in idx + 1..INDEXES {
            if let Some(block) = self.remove_node(larger) {
                self.split_block(block, larger, idx);
                return Some(block);
            }
        }
        let len = units_of(idx) * UNIT;
        self.glue_count = self.glue_count.saturating_sub(1);
        if self.units_start.saturating_sub(self.text) > len {
            self.units_start -= len;
            return Some(self.units_start);
        }
        None
    }

    fn alloc_units(&mut self, idx: usize) -> Option<u32> {
        if let Some(node) = self.remove_node(idx) {
            return Some(node);
        }
        let len = units_of(idx) * UNIT;
        if self.hi_unit.saturating_sub(self.lo_unit) >= len {
            let at = self.lo_unit;
            self.lo_unit += len;
            return Some(at);
        }
        self.alloc_units_rare(idx)
    }

    fn alloc_context(&mut self) -> Option<u32> {
        if self.hi_unit != self.lo_unit {
            self.hi_unit -= UNIT;
            return Some(self.hi_unit);
        }
        self.remove_node(0).or_else(|| self.alloc_units_rare(0))
    }

    fn restart_model(&mut self) {
        self.free = [0; INDEXES];
        // Offset zero is no place: the text starts behind a few bytes.
        self.text = UNIT;
        self.hi_unit = self.text + self.size;
        self.units_start = self.hi_unit - self.size / 8 / UNIT * 7 * UNIT;
        self.lo_unit = self.units_start;
        self.glue_count = 0;
        self.order_fall = self.max_order;
        self.init_rl = -(self.max_order.min(12).cast_signed()) - 1;
        self.run_length = self.init_rl;
        self.prev_success = 0;
        self.hi_unit -= UNIT;
        let context = self.hi_unit;
        let stats = self.lo_unit;
        self.lo_unit += 128 * UNIT;
        self.min_context = context;
        self.max_context = context;
        self.found = stats;
        self.put_u16(context, 256);
        self.put_u16(context + 2, 257);
        self.put_u32(context + 4, stats);
        self.put_u32(context + 8, 0);
        for symbol in 0..256 {
            self.put_state(stats + symbol * 6, symbol, 1, 0);
        }
        for (at, sum) in self.bin_sums.iter_mut().enumerate() {
            let escape = INIT_BIN_ESC.get(at & 7).copied().unwrap_or(0);
            let freq = u32::try_from(at >> 6).unwrap_or(0);
            *sum = (BIN_SCALE - escape / (freq + 2)) as u16;
        }
        for (row, at) in self.see.iter_mut().zip(0u16..) {
            let shift = (PERIOD_BITS - 4) as u8;
            *row = [See { sum: (5 * at + 10) << shift, shift, count: 4 }; 16];
        }
    }

    /// Finds a symbol in a context that has it.
    fn find_state(&self, context: u32, symbol: u32) -> u32 {
        let mut state = self.stats(context);
        for _ in 1..self.count(context) {
            if self.symbol(state) == symbol {
                break;
            }
            state += 6;
        }
        state
    }

    fn create_successors(&mut self) -> Option<u32> {
        let mut context = self.min_context;
        let up_branch = self.successor(self.found);
        let found_symbol = self.symbol(self.found);
        let mut states = [0u32; 64];
        let mut len = 0usize;
        let push = |state: u32, len: &mut usize, states: &mut [u32; 64]| {
            if let Some(place) = states.get_mut(*len) {
                *place = state;
                *len += 1;
            }
        };
        if self.order_fall != 0 {
            push(self.found, &mut len, &mut states);
        }
        while self.suffix(context) != 0 {
            context = self.suffix(context);
            let state = if self.count(context) == 1 {
                context + 2
            } else {
                self.find_state(context, found_symbol)
            };
            let successor = self.successor(state);
            if successor != up_branch {
                context = successor;
                if len == 0 {
                    return Some(context);
                }
                break;
            }
            push(state, &mut len, &mut states);
        }
        let new_symbol = self.u8_at(up_branch);
        let new_freq = if self.count(context) == 1 {
            self.freq(context + 2)
        } else {
            let state = self.find_state(context, new_symbol);
            let cf = self.freq(state).wrapping_sub(1);
            let s0 = self.sum(context).wrapping_sub(self.count(context)).wrapping_sub(cf).max(1);
            let twice = cf.wrapping_mul(2);
            1 + if twice <= s0 {
                u32::from(cf.wrapping_mul(5) > s0)
            } else {
                twice.wrapping_add(s0).wrapping_sub(1) / s0.saturating_mul(2) + 1
            }
        };
        while len > 0 {
            let made = self.alloc_context()?;
            self.put_u16(made, 1);
            self.put_state(made + 2, new_symbol, new_freq, up_branch + 1);
            self.put_u32(made + 8, context);
            len -= 1;
            let state = states.get(len).copied().unwrap_or(0);
            self.put_u32(state + 2, made);
            context = made;
        }
        Some(context)
    }

    /// Raises the frequency of the found symbol in the next shorter context.
    fn update_suffix(&mut self, found_freq: u32, found_symbol: u32) {
        let context = self.suffix(self.min_context);
        if found_freq >= FREQ_MAX / 4 || context == 0 {
            return;
        }
        if self.count(context) == 1 {
            let freq = self.freq(context + 2);
            if freq < 32 {
                self.put_u8(context + 3, freq + 1);
            }
            return;
        }
        let mut state = self.stats(context);
        if self.symbol(state) != found_symbol {
            state = self.find_state(context, found_symbol);
            if self.freq(state) >= self.freq(state - 6) {
                self.swap_states(state, state - 6);
                state -= 6;
            }
        }
        let freq = self.freq(state);
        if freq < FREQ_MAX - 9 {
            self.put_u8(state + 1, freq + 2);
            self.put_u16(context + 2, self.sum(context) + 2);
        }
    }

    fn update_model(&mut self) {
        if self.try_update_model().is_none() {
            self.restart_model();
        }
    }

    /// Learns the found symbol; none when there is no room.
    fn try_update_model(&mut self) -> Option<()> {
        let found_freq = self.freq(self.found);
        let found_symbol = self.symbol(self.found);
        self.update_suffix(found_freq, found_symbol);
        if self.order_fall == 0 {
            let context = self.create_successors()?;
            self.min_context = context;
            self.max_context = context;
            self.put_u32(self.found + 2, context);
            return Some(());
        }
        self.put_u8(self.text, found_symbol);
        self.text += 1;
        if self.text >= self.units_start {
            return None;
        }
        let mut max_successor = self.text;
        let mut min_successor = self.successor(self.found);
        if min_successor == 0 {
            self.put_u32(self.found + 2, max_successor);
            min_successor = self.min_context;
        } else {
            if min_successor <= max_successor {
                min_successor = self.create_successors()?;
            }
            self.order_fall = self.order_fall.saturating_sub(1);
            if self.order_fall == 0 {
                max_successor = min_successor;
                self.text -= u32::from(self.max_context != self.min_context);
            }
        }
        let min = self.min_context;
        let mut context = self.max_context;
        self.min_context = min_successor;
        self.max_context = min_successor;
        if context == min {
            return Some(());
        }
        let count = self.count(min);
        let found_freq = self.freq(self.found);
        let escape = self.sum(min).wrapping_sub(count).wrapping_sub(found_freq.wrapping_sub(1));
        while context != min && context != 0 {
            let learnt = Learnt { count, escape, found_freq, found_symbol, max_successor };
            self.add_symbol(context, learnt)?;
            context = self.suffix(context);
        }
        Some(())
    }

    /// Adds the found symbol to a context that did not have it.
    fn add_symbol(&mut self, context: u32, learnt: Learnt) -> Option<()> {
        let Learnt { count, escape, found_freq, found_symbol, max_successor } = learnt;
        let own = self.count(context);
        let mut sum;
        if own == 1 {
            let stats = self.alloc_units(0)?;
            self.copy_state(context + 2, stats);
            self.put_u32(context + 4, stats);
            let freq = self.freq(stats);
            let freq = if freq < FREQ_MAX / 4 - 1 { freq * 2 } else { FREQ_MAX - 4 };
            self.put_u8(stats + 1, freq);
            sum = freq + self.init_esc + u32::from(count > 3);
        } else {
            if own & 1 == 0 {
                self.grow(context, own / 2)?;
            }
            sum = self.sum(context);
            sum += u32::from(2 * own < count)
                + 2 * (u32::from(4 * own <= count) & u32::from(sum <= 8 * own));
        }
        let mut cf = 2 * (sum + 6) * found_freq;
        let sf = escape.wrapping_add(sum);
        let state = self.stats(context) + own * 6;
        if cf < sf.wrapping_mul(6) {
            cf = 1 + u32::from(cf > sf) + u32::from(cf >= sf.wrapping_mul(4));
            sum += 3;
        } else {
            cf = 4
                + u32::from(cf >= sf.wrapping_mul(9))
                + u32::from(cf >= sf.wrapping_mul(12))
                + u32::from(cf >= sf.wrapping_mul(15));
            sum += cf;
        }
        self.put_u16(context, own + 1);
        self.put_u16(context + 2, sum);
        self.put_state(state, found_symbol, cf, max_successor);
        Some(())
    }

    /// Makes room for two more symbols.
    fn grow(&mut self, context: u32, units: u32) -> Option<()> {
        let idx = index_of(units);
        if idx != index_of(units + 1) {
            let place = self.alloc_units(idx + 1)?;
            let old = self.stats(context);
            self.copy_units(old, place, units);
            self.insert_node(old, idx);
            self.put_u32(context + 4, place);
        }
        Some(())
    }

    /// Moves a state to the front of its list.
    fn move_to(&mut self, state: u32, front: u32) {
        let (symbol, freq, successor) =
            (self.symbol(state), self.freq(state), self.successor(state));
        let (from, to) = (front as usize, state as usize);
        if to + 6 <= self.mem.len() && from <= to {
            self.mem.copy_within(from..to, from + 6);
        }
        self.put_state(front, symbol, freq, successor);
    }

    fn rescale(&mut self) {
        let context = self.min_context;
        let stats = self.stats(context);
        let count = self.count(context);
        self.move_to(self.found, stats);
        let mut sum = self.freq(stats);
        let mut escape = self.sum(context).wrapping_sub(sum);
        let adder = u32::from(self.order_fall != 0);
        sum = (sum + 4 + adder) >> 1;
        self.put_u8(stats + 1, sum);
        let mut state = stats;
        for _ in 1..count {
            state += 6;
            let freq = self.freq(state);
            escape = escape.wrapping_sub(freq);
            let freq = (freq + adder) >> 1;
            sum += freq;
            self.put_u8(state + 1, freq);
            if freq > self.freq(state - 6) {
                let mut front = state - 6;
                while front != stats && freq > self.freq(front - 6) {
                    front -= 6;
                }
                self.move_to(state, front);
            }
        }
        if self.freq(state) == 0 {
            let mut gone = 0u32;
            while self.freq(state) == 0 && state > stats {
                gone += 1;
                state -= 6;
            }
            escape = escape.wrapping_add(gone);
            if self.shrink(context, stats, count, count - gone, escape) {
                return;
            }
        }
        let sum = sum.wrapping_add(escape).wrapping_sub(escape >> 1);
        self.put_u16(context + 2, sum);
        self.found = self.stats(context);
    }

    /// Drops symbols from the end of a context; true when only one is left.
    fn shrink(&mut self, context: u32, stats: u32, old: u32, new: u32, escape: u32) -> bool {
        self.put_u16(context, new);
        let (old_units, new_units) = (old.div_ceil(2), new.div_ceil(2));
        let old_idx = index_of(old_units);
        if new == 1 {
            let mut freq = self.freq(stats);
            let mut escape = escape;
            loop {
                escape >>= 1;
                freq = freq.div_ceil(2);
                if escape <= 1 {
                    break;
                }
            }
            self.copy_state(stats, context + 2);
            self.put_u8(context + 3, freq);
            self.found = context + 2;
            self.insert_node(stats, old_idx);
            return true;
        }
        let new_idx = index_of(new_units);
        if old_idx != new_idx {
            if let Some(place) = self.remove_node(new_idx) {
                self.put_u32(context + 4, place);
                self.copy_units(stats, place, new_units);
                self.insert_node(stats, old_idx);
            } else {
                self.split_block(stats, old_idx, new_idx);
            }
        }
        false
    }

    fn next_context(&mut self) {
        let successor = self.successor(self.found);
        if self.order_fall == 0 && successor >= self.units_start {
            self.min_context = successor;
            self.max_context = successor;
        } else {
            self.update_model();
        }
    }

    /// The first symbol of the context was found.
    fn update_first(&mut self) {
        let freq = self.freq(self.found);
        let sum = self.sum(self.min_context);
        self.prev_success = u32::from(2 * freq > sum);
        self.run_length = self.run_length.wrapping_add(self.prev_success.cast_signed());
        self.put_u16(self.min_context + 2, sum + 4);
        self.put_u8(self.found + 1, freq + 4);
        if freq + 4 > FREQ_MAX {
            self.rescale();
        }
        self.next_context();
    }

    /// Another symbol of the context was found.
    fn update_other(&mut self) {
        let freq = self.freq(self.found) + 4;
        self.put_u16(self.min_context + 2, self.sum(self.min_context) + 4);
        self.put_u8(self.found + 1, freq);
        let before = self.found - 6;
        if freq > self.freq(before) {
            self.swap_states(self.found, before);
            self.found = before;
            if freq > FREQ_MAX {
                self.rescale();
            }
        }
        self.next_context();
    }

    /// A symbol was found in a shorter context.
    fn update_masked(&mut self) {
        let freq = self.freq(self.found) + 4;
        self.run_length = self.init_rl;
        self.put_u16(self.min_context + 2, self.sum(self.min_context) + 4);
        self.put_u8(self.found + 1, freq);
        if freq > FREQ_MAX {
            self.rescale();
        }
        self.update_model();
    }

    fn threshold(&mut self, total: u32) -> u32 {
        self.range = (self.range / total.max(1)).max(1);
        self.code.wrapping_sub(self.low) / self.range
    }

    #[inline]
    fn narrow(&mut self, start: u32, size: u32, bits: &mut Bits<'_>) {
        self.low = self.low.wrapping_add(start.wrapping_mul(self.range));
        self.range = self.range.wrapping_mul(size);
        // At most four rounds bring something new in; more are a sign of damage.
        for _ in 0..8 {
            if self.low ^ self.low.wrapping_add(self.range) >= TOP {
                if self.range >= BOTTOM {
                    break;
                }
                self.range = self.low.wrapping_neg() & (BOTTOM - 1);
            }
            self.code = self.code << 8 | bits.take(8);
            self.range <<= 8;
            self.low <<= 8;
        }
    }

    fn decode_symbol(&mut self, bits: &mut Bits<'_>) -> Option<u8> {
        let mut masked = [false; 256];
        let count = self.count(self.min_context);
        let decoded = if count == 1 {
            self.decode_binary(bits, &mut masked)
        } else {
            self.decode_first(count, bits, &mut masked)?
        };
        if decoded.is_some() {
            return decoded;
        }
        loop {
            let had = self.count(self.min_context);
            while self.count(self.min_context) == had {
                self.order_fall += 1;
                self.min_context = self.suffix(self.min_context);
                if self.min_context == 0 {
                    return None;
                }
            }
            if let Some(symbol) = self.decode_masked(had, bits, &mut masked)? {
                return Some(symbol);
            }
        }
    }

    /// Decodes in a context of several symbols: none when the stream is damaged, nothing inside at an
    /// escape.
    fn decode_first(
        &mut self,
        count: u32,
        bits: &mut Bits<'_>,
        masked: &mut [bool; 256],
    ) -> Option<Option<u8>> {
        let stats = self.stats(self.min_context);
        let total = self.sum(self.min_context);
        let at = self.threshold(total);
        let first = self.freq(stats);
        if at < first {
            self.narrow(0, first, bits);
            self.found = stats;
            let symbol = self.symbol(stats);
            self.update_first();
            return Some(Some(symbol as u8));
        }
        self.prev_success = 0;
        let states = self.mem.get(stats as usize..)?;
        let mut sum = first;
        for (state, idx) in states.as_chunks::<6>().0.iter().zip(0..count).skip(1) {
            let freq = u32::from(state[1]);
            if at < sum + freq {
                let symbol = state[0];
                self.narrow(sum, freq, bits);
                self.found = stats + idx * 6;
                self.update_other();
                return Some(Some(symbol));
            }
            sum += freq;
        }
        if at >= total {
            return None;
        }
        self.hi_bits_flag = hi_bits(self.symbol(self.found), 3);
        self.mask(stats, count, masked);
        self.narrow(sum, total.wrapping_sub(sum), bits);
        Some(None)
    }

    fn mask(&self, stats: u32, count: u32, masked: &mut [bool; 256]) {
        let states = self.mem.get(stats as usize..).unwrap_or_default();
        for state in states.as_chunks::<6>().0.iter().take(count as usize) {
            if let Some(mask) = masked.get_mut(usize::from(state[0])) {
                *mask = true;
            }
        }
    }

    /// Decodes in a context of one symbol; none at an escape.
    fn decode_binary(&mut self, bits: &mut Bits<'_>, masked: &mut [bool; 256]) -> Option<u8> {
        let state = self.min_context + 2;
        let flag3 = hi_bits(self.symbol(self.found), 3);
        let flag4 = hi_bits(self.symbol(state), 4);
        self.hi_bits_flag = flag3;
        let around = self.count(self.suffix(self.min_context));
        let around = match around {
            0 | 1 => 0,
            2 => 2,
            3..=11 => 4,
            _ => 6,
        };
        let run = (self.run_length.cast_unsigned() >> 26) & 0x20;
        let column = self.prev_success + run + around + flag4 + flag3;
        let row = self.freq(state).wrapping_sub(1);
        let place = (row.wrapping_mul(64).wrapping_add(column & 63)) as usize;
        let sum = self.bin_sums.get(place).map_or(0, |sum| u32::from(*sum));
        let mean = (sum + (1 << (PERIOD_BITS - 2))) >> PERIOD_BITS;
        let at = self.threshold(BIN_SCALE);
        if at < sum {
            if let Some(kept) = self.bin_sums.get_mut(place) {
                *kept = (sum + (1 << INT_BITS) - mean) as u16;
            }
            self.narrow(0, sum, bits);
            self.found = state;
            let symbol = self.symbol(state);
            let freq = self.freq(state);
            self.put_u8(state + 1, freq + u32::from(freq < 128));
            self.prev_success = 1;
            self.run_length = self.run_length.wrapping_add(1);
            self.next_context();
            return Some(symbol as u8);
        }
        let sum_now = sum.wrapping_sub(mean);
        if let Some(kept) = self.bin_sums.get_mut(place) {
            *kept = sum_now as u16;
        }
        let escape = EXP_ESCAPE.get((sum_now >> 10) as usize).copied();
        self.init_esc = escape.map_or(0, u32::from);
        self.narrow(sum, BIN_SCALE - sum, bits);
        if let Some(mask) = masked.get_mut(self.symbol(state) as usize) {
            *mask = true;
        }
        self.prev_success = 0;
        None
    }

    fn decode_masked(
        &mut self,
        had: u32,
        bits: &mut Bits<'_>,
        masked: &mut [bool; 256],
    ) -> Option<Option<u8>> {
        let stats = self.stats(self.min_context);
        let count = self.count(self.min_context);
        let (see, escape) = self.escape_freq(had, count);
        let states = self.mem.get(stats as usize..)?.as_chunks::<6>().0;
        let states = states.get(..count as usize)?;
        let mut high = 0u32;
        for state in states {
            if !masked.get(usize::from(state[0])).copied().unwrap_or(true) {
                high += u32::from(state[1]);
            }
        }
        let total = escape.wrapping_add(high);
        self.range = (self.range / total.max(1)).max(1);
        let at = self.code.wrapping_sub(self.low) / self.range;
        if at < high {
            let mut sum = 0u32;
            let mut place = stats;
            let mut found = None;
            for state in states {
                if !masked.get(usize::from(state[0])).copied().unwrap_or(true) {
                    sum += u32::from(state[1]);
                    if at < sum {
                        found = Some((state[0], u32::from(state[1])));
                        break;
                    }
                }
                place += 6;
            }
            let (symbol, freq) = found?;
            self.narrow(sum - freq, freq, bits);
            self.see_update(see);
            self.found = place;
            self.update_masked();
            return Some(Some(symbol));
        }
        if at >= total {
            return None;
        }
        if let SeeAt::Table(row, column) = see
            && let Some(see) = self.see.get_mut(row).and_then(|row| row.get_mut(column))
        {
            see.sum = see.sum.wrapping_add(total as u16);
        }
        self.narrow(high, total - high, bits);
        self.mask(stats, count, masked);
        Some(None)
    }

    fn see_update(&mut self, at: SeeAt) {
        let SeeAt::Table(row, column) = at else { return };
        let Some(see) = self.see.get_mut(row).and_then(|row| row.get_mut(column)) else { return };
        if u32::from(see.shift) < PERIOD_BITS {
            see.count = see.count.wrapping_sub(1);
            if see.count == 0 {
                see.sum = see.sum.wrapping_shl(1);
                see.count = (3u32 << see.shift) as u8;
                see.shift += 1;
            }
        }
    }

    /// Estimates how often an escape comes.
    fn escape_freq(&mut self, had: u32, count: u32) -> (SeeAt, u32) {
        if count == 256 {
            return (SeeAt::Fixed, 1);
        }
        let open = count.wrapping_sub(had);
        let row = SEE_INDEX.get(open.wrapping_sub(1) as usize).copied().unwrap_or(0);
        let longer = self.count(self.suffix(self.min_context)).wrapping_sub(count);
        let column = u32::from(open < longer)
            + 2 * u32::from(self.sum(self.min_context) < 11 * count)
            + 4 * u32::from(had > open)
            + self.hi_bits_flag;
        let at = (usize::from(row), (column & 15) as usize);
        let Some(see) = self.see.get_mut(at.0).and_then(|row| row.get_mut(at.1)) else {
            return (SeeAt::Fixed, 1);
        };
        let escape = see.sum >> see.shift.min(15);
        see.sum = see.sum.wrapping_sub(escape);
        (SeeAt::Table(at.0, at.1), u32::from(escape.max(1)))
    }
}

/// What [`Model::add_symbol`] adds to each context.
#[derive(Debug, Clone, Copy)]
struct Learnt {
    count: u32,
    escape: u32,
    found_freq: u32,
    found_symbol: u32,
    max_successor: u32,
}

fn hi_bits(symbol: u32, bit: u32) -> u32 {
    ((symbol + 0xc0) >> (8 - bit)) & (1 << bit)
}
