//! An interpreter of x86 over bounded memory.
//!
//! Promises: one instruction a step (a repeated string instruction counts by its length); no access
//! but to its [`Memory`]; nothing of the machine it runs on shows through.
//! Leaves out: arithmetic of floating point and vectors, privileged instructions, segments other than
//! the one that leads to the thread's block.
//! Sources: Intel, "Software Developer's Manual", volume 2.

use super::decode::{Arg, INSN_LEN_MAX, Insn, NO_REG, Op, RIP, Repeat, Segment, decode};
use super::memory::{Fault, Memory};

/// Why an instruction did not complete.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trap {
    /// Memory that is not there.
    Fault(Fault),
    /// A division by zero or out of range.
    Divide,
    /// A software interrupt.
    Interrupt(u64),
    /// An instruction that a program may not use.
    Privileged,
    /// An instruction that is not known.
    Unknown,
}

impl From<Fault> for Trap {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) const RAX: usize = 0;
pub(super) const RCX: usize = 1;
pub(super) const RDX: usize = 2;
pub(super) const RBX: usize = 3;
pub(super) const RSP: usize = 4;
pub(super) const RBP: usize = 5;
pub(super) const RSI: usize = 6;
pub(super) const RDI: usize = 7;

/// The flags that arithmetic sets, and two others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    carry: bool,
    parity: bool,
    adjust: bool,
    zero: bool,
    sign: bool,
    pub(super) trap: bool,
    direction: bool,
    overflow: bool,
}

impl Flags {
    /// Returns them as the flags register.
    pub(super) fn bits(self) -> u64 {
        let bit = |flag: bool, at: u32| u64::from(flag) << at;
        0x202
            | bit(self.carry, 0)
            | bit(self.parity, 2)
            | bit(self.adjust, 4)
            | bit(self.zero, 6)
            | bit(self.sign, 7)
            | bit(self.trap, 8)
            | bit(self.direction, 10)
            | bit(self.overflow, 11)
    }

    /// Returns the flags of a flags register.
    pub(super) fn of_bits(bits: u64) -> Self {
        let bit = |at: u32| bits >> at & 1 == 1;
        Self {
            carry: bit(0),
            parity: bit(2),
            adjust: bit(4),
            zero: bit(6),
            sign: bit(7),
            trap: bit(8),
            direction: bit(10),
            overflow: bit(11),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    ip: u64,
    generation: u32,
    insn: Insn,
}

/// A processor with its memory.
#[derive(Debug)]
pub(super) struct Cpu {
    pub(super) memory: Memory,
    pub(super) regs: [u64; 16],
    pub(super) ip: u64,
    pub(super) flags: Flags,
    pub(super) is_64: bool,
    /// Base of the segment that holds the thread's block.
    pub(super) thread_base: u64,
    pub(super) steps: u64,
    /// Where the last jump over more than [`NEAR`] bytes came from; taken by who looks at it.
    pub(super) far_from: Option<u64>,
    fpu_ip: u64,
    kept: Vec<Option<Kept>>,
}

/// Instructions kept decoded; a power of two.
const KEPT: usize = 1 << 13;
/// A jump over no more bytes than these is of no interest.
const NEAR: u64 = 0x80;
/// Bytes that a repeated string instruction handles at most in one step; ours.
const REPEAT_MAX: u64 = 1 << 16;

fn mask(size: u8) -> u64 {
    u64::MAX >> 64u32.saturating_sub(u32::from(size).saturating_mul(8)).min(63)
}

fn bits(size: u8) -> u32 {
    u32::from(size).wrapping_mul(8)
}

fn top(value: u64, size: u8) -> bool {
    value >> bits(size).wrapping_sub(1) & 1 == 1
}

/// Extends the sign of a number of so many bytes.
fn signed(value: u64, size: u8) -> i64 {
    let shift = 64u32.wrapping_sub(bits(size));
    (value << shift).cast_signed() >> shift
}

impl Cpu {
    /// Returns a processor with empty registers.
    pub(super) fn new(memory: Memory, is_64: bool) -> Self {
        Self {
            memory,
            regs: [0; 16],
            ip: 0,
            flags: Flags::default(),
            is_64,
            thread_base: 0,
            steps: 0,
            far_from: None,
            fpu_ip: 0,
            kept: vec![None; KEPT],
        }
    }

    /// Returns the bytes of a pointer.
    pub(super) fn word(&self) -> u8 {
        if self.is_64 { 8 } else { 4 }
    }

    pub(super) fn reg(&self, number: usize) -> u64 {
        self.regs.get(number).copied().unwrap_or(0)
    }

    pub(super) fn set_reg(&mut self, number: usize, value: u64) {
        let value = if self.is_64 { value } else { value & 0xffff_ffff };
        if let Some(reg) = self.regs.get_mut(number) {
            *reg = value;
        }
    }

    fn wrap(&self, address: u64) -> u64 {
        if self.is_64 { address } else { address & 0xffff_ffff }
    }

    fn fetch(&mut self) -> Result<Insn, Trap> {
        let ip = self.ip;
        let slot = usize::try_from((ip ^ ip >> 13) & 0x1fff).unwrap_or(0);
        if let Some(Some(kept)) = self.kept.get(slot)
            && kept.ip == ip
            && kept.generation == self.memory.generation
        {
            return Ok(kept.insn);
        }
        // Code that changes itself all the time must not be cheap.
        self.steps = self.steps.wrapping_add(4);
        let is_64 = self.is_64;
        let bytes = self.memory.slice(ip, INSN_LEN_MAX);
        if bytes.is_empty() {
            return Err(Trap::Fault(Fault { address: ip, is_write: false }));
        }
        let insn = decode(bytes, is_64).ok_or(Trap::Unknown)?;
        self.memory.note_code(ip, usize::from(insn.len));
        let generation = self.memory.generation;
        if let Some(kept) = self.kept.get_mut(slot) {
            *kept = Some(Kept { ip, generation, insn });
        }
        Ok(insn)
    }

    /// Executes one instruction. After an error the instruction pointer is where it was.
    pub(super) fn step(&mut self) -> Result<(), Trap> {
        self.steps = self.steps.wrapping_add(1);
        let start = self.ip;
        let insn = self.fetch()?;
        self.ip = self.wrap(start.wrapping_add(u64::from(insn.len)));
        let done = self.execute(&insn, start);
        if done.is_err() {
            self.ip = start;
        }
        done
    }

    fn address(&self, insn: &Insn) -> u64 {
        let mem = &insn.mem;
        let mut address = mem.disp;
        if mem.base == RIP {
            address = address.wrapping_add(self.ip);
        } else if mem.base != NO_REG {
            address = address.wrapping_add(self.reg(usize::from(mem.base)));
        }
        if mem.index != NO_REG {
            let index = self.reg(usize::from(mem.index)).wrapping_mul(u64::from(mem.scale));
            address = address.wrapping_add(index);
        }
        address & mask(insn.address_size)
    }

    fn linear(&self, insn: &Insn) -> u64 {
        let address = self.address(insn);
        let thread = if self.is_64 { Segment::Gs } else { Segment::Fs };
        if insn.mem.segment == thread {
            self.wrap(address.wrapping_add(self.thread_base))
        } else {
            address
        }
    }

    fn read(&mut self, insn: &Insn, arg: Arg, size: u8) -> Result<u64, Trap> {
        Ok(match arg {
            Arg::Reg(number) => self.reg(usize::from(number)) & mask(size),
            Arg::High(number) => self.reg(usize::from(number)) >> 8 & 0xff,
            Arg::Mem => self.memory.read(self.linear(insn), size)?,
            Arg::Imm => insn.imm & mask(size),
            Arg::None | Arg::Segment => 0,
        })
    }

    fn write(&mut self, insn: &Insn, arg: Arg, size: u8, value: u64) -> Result<(), Trap> {
        match arg {
            Arg::Reg(number) => {
                let number = usize::from(number);
                let value = match size {
                    1 | 2 => self.reg(number) & !mask(size) | value & mask(size),
                    _ => value & mask(size),
                };
                self.set_reg(number, value);
            }
            Arg::High(number) => {
                let number = usize::from(number);
                let value = self.reg(number) & !0xff00 | (value & 0xff) << 8;
                self.set_reg(number, value);
            }
            Arg::Mem => self.memory.write(self.linear(insn), size, value)?,
            Arg::None | Arg::Imm | Arg::Segment => {}
        }
        Ok(())
    }

    /// Pushes a number onto the stack.
    pub(super) fn push(&mut self, value: u64, size: u8) -> Result<(), Trap> {
        let to = self.wrap(self.reg(RSP).wrapping_sub(u64::from(size)));
        self.memory.write(to, size, value)?;
        self.set_reg(RSP, to);
        Ok(())
    }

    /// Takes a number from the stack.
    pub(super) fn pop(&mut self, size: u8) -> Result<u64, Trap> {
        let from = self.reg(RSP);
        let value = self.memory.read(from, size)?;
        self.set_reg(RSP, from.wrapping_add(u64::from(size)));
        Ok(value)
    }

    fn jump(&mut self, from: u64, target: u64) {
        let target = self.wrap(target);
        if target.wrapping_sub(from).wrapping_add(NEAR) > NEAR.wrapping_mul(2) {
            self.far_from = Some(from);
        }
        self.ip = target;
    }

    fn set_result(&mut self, value: u64, size: u8) {
        self.flags.zero = value == 0;
        self.flags.sign = top(value, size);
        self.flags.parity = (value & 0xff).count_ones().is_multiple_of(2);
    }

    fn add(&mut self, a: u64, b: u64, carry: bool, size: u8) -> u64 {
        let sum = u128::from(a).wrapping_add(u128::from(b)).wrapping_add(u128::from(carry));
        let value = a.wrapping_add(b).wrapping_add(u64::from(carry)) & mask(size);
        self.flags.carry = sum > u128::from(mask(size));
        self.flags.overflow = top((a ^ value) & (b ^ value), size);
        self.flags.adjust = (a ^ b ^ value) & 0x10 != 0;
        self.set_result(value, size);
        value
    }

    fn sub(&mut self, a: u64, b: u64, borrow: bool, size: u8) -> u64 {
        let value = a.wrapping_sub(b).wrapping_sub(u64::from(borrow)) & mask(size);
        self.flags.carry = a < b || (borrow && a == b);
        self.flags.overflow = top((a ^ b) & (a ^ value), size);
        self.flags.adjust = (a ^ b ^ value) & 0x10 != 0;
        self.set_result(value, size);
        value
    }

    fn logic(&mut self, value: u64, size: u8) -> u64 {
        self.flags.carry = false;
        self.flags.overflow = false;
        self.flags.adjust = false;
        self.set_result(value, size);
        value
    }

    fn holds(&self, condition: u8) -> bool {
        let flags = &self.flags;
        let holds = match condition >> 1 {
            0 => flags.overflow,
            1 => flags.carry,
            2 => flags.zero,
            3 => flags.carry || flags.zero,
            4 => flags.sign,
            5 => flags.parity,
            6 => flags.sign != flags.overflow,
            _ => flags.zero || flags.sign != flags.overflow,
        };
        holds != (condition & 1 == 1)
    }

    fn execute(&mut self, insn: &Insn, start: u64) -> Result<(), Trap> {
        let size = insn.size;
        match insn.op {
            Op::Mov => {
                let value = self.read(insn, insn.src, size)?;
                self.write(insn, insn.dst, size, value)?;
            }
            Op::Alu(number) => self.alu(insn, number)?,
            Op::Test => {
                let value = self.read(insn, insn.dst, size)? & self.read(insn, insn.src, size)?;
                self.logic(value, size);
            }
            Op::Inc | Op::Dec => {
                let carry = self.flags.carry;
                let value = self.read(insn, insn.dst, size)?;
                let value = if insn.op == Op::Inc {
                    self.add(value, 1, false, size)
                } else {
                    self.sub(value, 1, false, size)
                };
                self.flags.carry = carry;
                self.write(insn, insn.dst, size, value)?;
            }
            Op::Lea => {
                let address = self.address(insn);
                self.write(insn, insn.dst, size, address)?;
            }
            Op::Push => {
                let value = self.read(insn, insn.dst, size)?;
                self.push(value, size)?;
            }
            Op::Pop => {
                let value = self.pop(size)?;
                self.write(insn, insn.dst, size, value)?;
            }
            Op::Jcc(condition) => {
                if self.holds(condition) {
                    self.jump(start, self.ip.wrapping_add(insn.imm));
                }
            }
            Op::Jmp | Op::Call => {
                let target = match insn.dst {
                    Arg::Imm => self.ip.wrapping_add(insn.imm),
                    other => self.read(insn, other, size)?,
                };
                if insn.op == Op::Call {
                    self.push(self.ip, self.word())?;
                }
                self.jump(start, target);
            }
            Op::Ret => {
                let target = self.pop(size)?;
                let sp = self.reg(RSP).wrapping_add(insn.imm);
                self.set_reg(RSP, sp);
                self.jump(start, target);
            }
            Op::Loop(number) => self.count_down(insn, number, start),
            Op::Shift(number) => self.shift(insn, number)?,
            Op::Movs | Op::Stos | Op::Lods | Op::Scas | Op::Cmps => self.string(insn, start)?,
            _ => self.execute_rare(insn, start)?,
        }
        Ok(())
    }

    fn alu(&mut self, insn: &Insn, number: u8) -> Result<(), Trap> {
        let size = insn.size;
        let a = self.read(insn, insn.dst, size)?;
        let b = self.read(insn, insn.src, size)?;
        // A write that fails must not change the flags, or a handler would see them.
        let before = self.flags;
        let value = match number {
            0 => self.add(a, b, false, size),
            1 => self.logic(a | b, size),
            2 => self.add(a, b, before.carry, size),
            3 => self.sub(a, b, before.carry, size),
            4 => self.logic(a & b, size),
            6 => self.logic(a ^ b, size),
            _ => self.sub(a, b, false, size),
        };
        if number != 7 {
            let written = self.write(insn, insn.dst, size, value);
            if written.is_err() {
                self.flags = before;
            }
            written?;
        }
        Ok(())
    }

    fn count_down(&mut self, insn: &Insn, number: u8, start: u64) {
        let wide = mask(insn.address_size);
        let mut count = self.reg(RCX) & wide;
        let taken = if number == 3 {
            count == 0
        } else {
            count = count.wrapping_sub(1) & wide;
            let value = self.reg(RCX) & !wide | count;
            self.set_reg(RCX, value);
            count != 0 && (number == 2 || self.flags.zero == (number == 1))
        };
        if taken {
            self.jump(start, self.ip.wrapping_add(insn.imm));
        }
    }

    fn shift(&mut self, insn: &Insn, number: u8) -> Result<(), Trap> {
        let size = insn.size;
        let width = bits(size);
        let value = self.read(insn, insn.dst, size)?;
        let count = self.read(insn, insn.src, 1)?;
        let count = u32::try_from(count & if size == 8 { 63 } else { 31 }).unwrap_or(0);
        if count == 0 {
            return Ok(());
        }
        let result = match number {
            0 | 1 => {
                let turn = count % width;
                let left = if number == 0 { turn } else { width.wrapping_sub(turn) % width };
                let right = width.wrapping_sub(left) % width;
                let turned = (value << left | value >> right) & mask(size);
                let turned = if left == 0 { value } else { turned };
                self.flags.carry = if number == 0 { turned & 1 == 1 } else { top(turned, size) };
                turned
            }
            2 | 3 => self.rotate_with_carry(value, count, number, size),
            4 | 6 => {
                let wide = u128::from(value) << count;
                self.flags.carry = wide >> width & 1 == 1;
                value.checked_shl(count).unwrap_or(0) & mask(size)
            }
            5 => {
                self.flags.carry = value.checked_shr(count.wrapping_sub(1)).unwrap_or(0) & 1 == 1;
                value.checked_shr(count).unwrap_or(0)
            }
            _ => {
                let wide = signed(value, size);
                self.flags.carry = wide >> count.wrapping_sub(1).min(63) & 1 == 1;
                (wide >> count.min(63)).cast_unsigned() & mask(size)
            }
        };
        self.flags.overflow = match number {
            0 | 2 | 4 | 6 => top(result, size) != self.flags.carry,
            7 => false,
            _ => top(result ^ value, size),
        };
        if number >= 4 {
            self.set_result(result, size);
        }
        self.write(insn, insn.dst, size, result)
    }

    fn rotate_with_carry(&mut self, value: u64, count: u32, number: u8, size: u8) -> u64 {
        let width = bits(size).wrapping_add(1);
        let turn = count % width;
        let left = if number == 2 { turn } else { width.wrapping_sub(turn) % width };
        let whole = u128::from(value) | u128::from(self.flags.carry) << bits(size);
        let turned = whole << left | whole >> width.wrapping_sub(left);
        self.flags.carry = turned >> bits(size) & 1 == 1;
        u64::try_from(turned & u128::from(mask(size))).unwrap_or(0)
    }

    fn string(&mut self, insn: &Insn, start: u64) -> Result<(), Trap> {
        if insn.repeat == Repeat::Once {
            return self.string_once(insn);
        }
        let wide = mask(insn.address_size);
        let count = self.reg(RCX) & wide;
        let mut done = self.string_bulk(insn, count.min(REPEAT_MAX));
        let mut stopped = false;
        while done == 0 && count > 0 || done < count.min(64) && !stopped {
            if let Err(trap) = self.string_once(insn) {
                self.set_reg(RCX, count.wrapping_sub(done));
                return Err(trap);
            }
            done = done.wrapping_add(1);
            if matches!(insn.op, Op::Scas | Op::Cmps) {
                stopped = self.flags.zero != (insn.repeat == Repeat::Equal);
            }
        }
        self.steps = self.steps.wrapping_add(done >> 3);
        let left = count.wrapping_sub(done);
        self.set_reg(RCX, left);
        if left > 0 && !stopped {
            self.ip = start;
        }
        Ok(())
    }

    /// Does a run of copies or fills at once; returns how many. None is always right.
    fn string_bulk(&mut self, insn: &Insn, count: u64) -> u64 {
        if self.flags.direction || insn.address_size != self.word() || count < 8 {
            return 0;
        }
        let Some(len) = count.checked_mul(u64::from(insn.size)) else { return 0 };
        let Ok(bytes_len) = usize::try_from(len) else { return 0 };
        let to = self.reg(RDI);
        let done = match insn.op {
            Op::Movs if insn.mem.segment == Segment::Flat => {
                let from = self.reg(RSI);
                let distance = to.wrapping_sub(from);
                if distance < len && !distance.is_multiple_of(u64::from(insn.size)) {
                    return 0;
                }
                self.memory.copy_up(from, to, bytes_len)
            }
            Op::Stos => {
                let raw = self.reg(RAX).to_le_bytes();
                let unit = raw.get(..usize::from(insn.size)).unwrap_or_default();
                self.memory.fill_with(to, bytes_len, |bytes| {
                    for chunk in bytes.chunks_exact_mut(unit.len().max(1)) {
                        chunk.copy_from_slice(unit);
                    }
                })
            }
            _ => return 0,
        };
        if done.is_err() {
            return 0;
        }
        self.set_reg(RDI, to.wrapping_add(len));
        if insn.op == Op::Movs {
            let from = self.reg(RSI).wrapping_add(len);
            self.set_reg(RSI, from);
        }
        count
    }

    fn string_once(&mut self, insn: &Insn) -> Result<(), Trap> {
        let size = insn.size;
        let wide = mask(insn.address_size);
        let (from, to) = (self.reg(RSI) & wide, self.reg(RDI) & wide);
        let source = if insn.mem.segment == Segment::Flat {
            from
        } else {
            self.wrap(from.wrapping_add(self.thread_base))
        };
        let unit = u64::from(size);
        let step = if self.flags.direction { unit.wrapping_neg() } else { unit };
        let accumulator = self.reg(RAX) & mask(size);
        match insn.op {
            Op::Movs => {
                let value = self.memory.read(source, size)?;
                self.memory.write(to, size, value)?;
            }
            Op::Stos => self.memory.write(to, size, accumulator)?,
            Op::Lods => {
                let value = self.memory.read(source, size)?;
                self.write(insn, Arg::Reg(0), size, value)?;
            }
            Op::Scas => {
                let value = self.memory.read(to, size)?;
                self.sub(accumulator, value, false, size);
            }
            _ => {
                let a = self.memory.read(source, size)?;
                let b = self.memory.read(to, size)?;
                self.sub(a, b, false, size);
            }
        }
        let moved = |at: u64| at.wrapping_add(step) & wide;
        if !matches!(insn.op, Op::Stos | Op::Scas) {
            self.set_reg(RSI, moved(from));
        }
        if insn.op != Op::Lods {
            self.set_reg(RDI, moved(to));
        }
        Ok(())
    }

    fn execute_rare(&mut self, insn: &Insn, start: u64) -> Result<(), Trap> {
        let size = insn.size;
        match insn.op {
            Op::Neg | Op::Not => {
                let value = self.read(insn, insn.dst, size)?;
                let value = if insn.op == Op::Neg {
                    self.sub(0, value, false, size)
                } else {
                    !value & mask(size)
                };
                self.write(insn, insn.dst, size, value)?;
            }
            Op::Xchg | Op::Xadd => {
                let a = self.read(insn, insn.dst, size)?;
                let b = self.read(insn, insn.src, size)?;
                let to_dst = if insn.op == Op::Xadd { self.add(a, b, false, size) } else { b };
                if insn.op == Op::Xadd {
                    self.write(insn, insn.src, size, a)?;
                    self.write(insn, insn.dst, size, to_dst)?;
                } else {
                    self.write(insn, insn.dst, size, to_dst)?;
                    self.write(insn, insn.src, size, a)?;
                }
            }
            Op::Cmpxchg => {
                let a = self.read(insn, insn.dst, size)?;
                let accumulator = self.reg(RAX) & mask(size);
                self.sub(accumulator, a, false, size);
                if self.flags.zero {
                    let b = self.read(insn, insn.src, size)?;
                    self.write(insn, insn.dst, size, b)?;
                } else {
                    self.write(insn, Arg::Reg(0), size, a)?;
                }
            }
            Op::Movzx | Op::Movsx => {
                let value = self.read(insn, insn.src, insn.source_size)?;
                let value = if insn.op == Op::Movsx {
                    signed(value, insn.source_size).cast_unsigned()
                } else {
                    value
                };
                self.write(insn, insn.dst, size, value)?;
            }
            Op::Setcc(condition) => {
                let value = u64::from(self.holds(condition));
                self.write(insn, insn.dst, 1, value)?;
            }
            Op::Cmov(condition) => {
                let value = self.read(insn, insn.src, size)?;
                let kept = self.read(insn, insn.dst, size)?;
                let value = if self.holds(condition) { value } else { kept };
                self.write(insn, insn.dst, size, value)?;
            }
            Op::Mul | Op::Imul | Op::ImulTwo | Op::ImulThree => self.multiply(insn)?,
            Op::Div | Op::Idiv => self.divide(insn)?,
            Op::Bit(number) => self.bit(insn, number)?,
            Op::Bsf | Op::Bsr | Op::Shld | Op::Shrd | Op::Bswap => self.bits_of(insn)?,
            Op::Pushf | Op::Popf | Op::Pusha | Op::Popa | Op::Leave | Op::Enter => {
                self.stack(insn)?;
            }
            Op::Cbw | Op::Cwd | Op::Sahf | Op::Lahf | Op::Flag(_) | Op::Salc | Op::Xlat => {
                self.accumulate(insn)?;
            }
            _ => self.execute_odd(insn, start)?,
        }
        Ok(())
    }

    fn multiply(&mut self, insn: &Insn) -> Result<(), Trap> {
        let size = insn.size;
        let width = bits(size);
        let a = match insn.op {
            Op::ImulTwo | Op::ImulThree => self.read(insn, insn.src, size)?,
            _ => self.read(insn, insn.dst, size)?,
        };
        let b = match insn.op {
            Op::ImulTwo => self.read(insn, insn.dst, size)?,
            Op::ImulThree => insn.imm & mask(size),
            _ => self.reg(RAX) & mask(size),
        };
        let is_signed = insn.op != Op::Mul;
        let product = if is_signed {
            i128::from(signed(a, size)).wrapping_mul(i128::from(signed(b, size))).cast_unsigned()
        } else {
            u128::from(a).wrapping_mul(u128::from(b))
        };
        let part = |value: u128| u64::try_from(value & u128::from(mask(size))).unwrap_or(0);
        let (low, high) = (part(product), part(product >> width));
        let fits =
            if is_signed { high == if top(low, size) { mask(size) } else { 0 } } else { high == 0 };
        if matches!(insn.op, Op::ImulTwo | Op::ImulThree) {
            self.write(insn, insn.dst, size, low)?;
        } else if size == 1 {
            self.write(insn, Arg::Reg(0), 2, high << 8 | low)?;
        } else {
            self.write(insn, Arg::Reg(0), size, low)?;
            self.write(insn, Arg::Reg(2), size, high)?;
        }
        self.set_result(low, size);
        self.flags.carry = !fits;
        self.flags.overflow = !fits;
        Ok(())
    }

    fn divide(&mut self, insn: &Insn) -> Result<(), Trap> {
        let size = insn.size;
        let width = bits(size);
        let divisor = self.read(insn, insn.dst, size)?;
        let (low, high) = if size == 1 {
            (self.reg(RAX) & 0xff, self.reg(RAX) >> 8 & 0xff)
        } else {
            (self.reg(RAX) & mask(size), self.reg(RDX) & mask(size))
        };
        let whole = u128::from(high) << width | u128::from(low);
        let (quotient, rest) = if insn.op == Op::Div {
            let by = u128::from(divisor);
            let quotient = whole.checked_div(by).ok_or(Trap::Divide)?;
            if quotient > u128::from(mask(size)) {
                return Err(Trap::Divide);
            }
            (quotient, whole.checked_rem(by).ok_or(Trap::Divide)?)
        } else {
            let shift = 128u32.wrapping_sub(width.wrapping_mul(2));
            let whole = whole.wrapping_shl(shift).cast_signed().wrapping_shr(shift);
            let by = i128::from(signed(divisor, size));
            let quotient = whole.checked_div(by).ok_or(Trap::Divide)?;
            let limit = i128::from(mask(size) >> 1);
            if quotient > limit || quotient < limit.wrapping_neg().wrapping_sub(1) {
                return Err(Trap::Divide);
            }
            let rest = whole.checked_rem(by).ok_or(Trap::Divide)?;
            (quotient.cast_unsigned(), rest.cast_unsigned())
        };
        let part = |value: u128| u64::try_from(value & u128::from(mask(size))).unwrap_or(0);
        if size == 1 {
            self.write(insn, Arg::Reg(0), 2, part(rest) << 8 | part(quotient))
        } else {
            self.write(insn, Arg::Reg(0), size, part(quotient))?;
            self.write(insn, Arg::Reg(2), size, part(rest))
        }
    }

    fn bit(&mut self, insn: &Insn, number: u8) -> Result<(), Trap> {
        let size = insn.size;
        let width = u64::from(bits(size));
        let offset = self.read(insn, insn.src, size)?;
        let at = offset & width.wrapping_sub(1);
        let mut insn = *insn;
        if insn.dst == Arg::Mem && insn.src != Arg::Imm {
            let words = signed(offset, size) >> width.trailing_zeros();
            let delta = words.cast_unsigned().wrapping_mul(u64::from(size));
            insn.mem.disp = insn.mem.disp.wrapping_add(delta);
        }
        let value = self.read(&insn, insn.dst, size)?;
        self.flags.carry = value >> at & 1 == 1;
        let value = match number {
            1 => value | 1 << at,
            2 => value & !(1 << at),
            3 => value ^ 1 << at,
            _ => return Ok(()),
        };
        self.write(&insn, insn.dst, size, value)
    }

    fn bits_of(&mut self, insn: &Insn) -> Result<(), Trap> {
        let size = insn.size;
        let width = bits(size);
        if insn.op == Op::Bswap {
            let value = self.read(insn, insn.dst, size)?.swap_bytes();
            return self.write(insn, insn.dst, size, if size == 8 { value } else { value >> 32 });
        }
        let source = self.read(insn, insn.src, size)?;
        if matches!(insn.op, Op::Bsf | Op::Bsr) {
            self.flags.zero = source == 0;
            if source != 0 {
                let at = match insn.op {
                    Op::Bsf => source.trailing_zeros(),
                    _ => 63u32.wrapping_sub(source.leading_zeros()),
                };
                self.write(insn, insn.dst, size, u64::from(at))?;
            }
            return Ok(());
        }
        let count = if insn.imm == u64::MAX { self.reg(RCX) } else { insn.imm };
        let count = u32::try_from(count & if size == 8 { 63 } else { 31 }).unwrap_or(0);
        if count == 0 || count > width {
            return Ok(());
        }
        let value = self.read(insn, insn.dst, size)?;
        let (a, b) = (u128::from(value), u128::from(source));
        let (wide, carry) = if insn.op == Op::Shld {
            let wide = (a << width | b) << count >> width;
            (wide, a >> width.wrapping_sub(count) & 1)
        } else {
            ((b << width | a) >> count, a >> count.wrapping_sub(1) & 1)
        };
        let result = u64::try_from(wide & u128::from(mask(size))).unwrap_or(0);
        self.set_result(result, size);
        self.flags.carry = carry == 1;
        self.flags.overflow = top(result ^ value, size);
        self.write(insn, insn.dst, size, result)
    }

    fn stack(&mut self, insn: &Insn) -> Result<(), Trap> {
        let size = insn.size;
        match insn.op {
            Op::Pushf => self.push(self.flags.bits() & !0x100, size)?,
            Op::Popf => self.flags = Flags::of_bits(self.pop(size)?),
            Op::Pusha => {
                let sp = self.reg(RSP);
                for number in 0..8 {
                    let value = if number == RSP { sp } else { self.reg(number) };
                    self.push(value, size)?;
                }
            }
            Op::Popa => {
                for number in (0..8u8).rev() {
                    let value = self.pop(size)?;
                    if usize::from(number) != RSP {
                        self.write(insn, Arg::Reg(number), size, value)?;
                    }
                }
            }
            Op::Leave => {
                let base = self.reg(RBP);
                self.set_reg(RSP, base);
                let value = self.pop(size)?;
                self.write(insn, Arg::Reg(5), size, value)?;
            }
            _ => {
                let base = self.reg(RBP);
                self.push(base, size)?;
                let frame = self.reg(RSP);
                self.set_reg(RBP, frame);
                self.set_reg(RSP, frame.wrapping_sub(insn.imm));
            }
        }
        Ok(())
    }

    fn accumulate(&mut self, insn: &Insn) -> Result<(), Trap> {
        let size = insn.size;
        match insn.op {
            Op::Cbw => {
                let half = size >> 1;
                let value = signed(self.reg(RAX) & mask(half), half).cast_unsigned();
                self.write(insn, Arg::Reg(0), size, value)?;
            }
            Op::Cwd => {
                let value = if top(self.reg(RAX) & mask(size), size) { u64::MAX } else { 0 };
                self.write(insn, Arg::Reg(2), size, value)?;
            }
            Op::Sahf => {
                let low = self.reg(RAX) >> 8 & 0xd5;
                self.flags = Flags::of_bits(self.flags.bits() & !0xff | low);
            }
            Op::Lahf => {
                let low = self.flags.bits() & 0xff;
                self.write(insn, Arg::High(0), 1, low)?;
            }
            Op::Salc => {
                let value = if self.flags.carry { 0xff } else { 0 };
                self.write(insn, Arg::Reg(0), 1, value)?;
            }
            Op::Xlat => {
                let at = self.reg(RBX).wrapping_add(self.reg(RAX) & 0xff);
                let value = self.memory.read(at & mask(insn.address_size), 1)?;
                self.write(insn, Arg::Reg(0), 1, value)?;
            }
            Op::Flag(opcode) => match opcode {
                0xf5 => self.flags.carry = !self.flags.carry,
                0xf8 => self.flags.carry = false,
                0xf9 => self.flags.carry = true,
                0xfc => self.flags.direction = false,
                _ => self.flags.direction = true,
            },
            _ => {}
        }
        Ok(())
    }

    fn execute_odd(&mut self, insn: &Insn, start: u64) -> Result<(), Trap> {
        match insn.op {
            Op::Int => return Err(Trap::Interrupt(insn.imm)),
            Op::Privileged => return Err(Trap::Privileged),
            Op::Cpuid => {
                let leaf = self.reg(RAX) & 0xffff_ffff;
                // A processor of no particular make.
                let answer = if leaf == 0 {
                    [1, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]
                } else {
                    [0x6fb, 0, 0, 0x0783_fbff]
                };
                for (number, value) in [RAX, RBX, RCX, RDX].into_iter().zip(answer) {
                    self.set_reg(number, value);
                }
            }
            Op::Rdtsc => {
                let ticks = self.steps.wrapping_mul(3);
                self.set_reg(RAX, ticks & 0xffff_ffff);
                self.set_reg(RDX, ticks >> 32);
            }
            Op::Aam => {
                let low = self.reg(RAX) & 0xff;
                let (high, low) = (
                    low.checked_div(insn.imm).ok_or(Trap::Divide)?,
                    low.checked_rem(insn.imm).ok_or(Trap::Divide)?,
                );
                self.write(insn, Arg::Reg(0), 2, high << 8 | low)?;
                self.logic(low, 1);
            }
            Op::Aad => {
                let ax = self.reg(RAX);
                let low = (ax & 0xff).wrapping_add((ax >> 8 & 0xff).wrapping_mul(insn.imm)) & 0xff;
                self.write(insn, Arg::Reg(0), 2, low)?;
                self.logic(low, 1);
            }
            Op::Bcd(opcode) => self.decimal(insn, opcode)?,
            Op::Fpu => self.fpu_ip = start,
            Op::Fnstenv => {
                let at = self.linear(insn);
                for (word, value) in
                    [0x37f, 0, 0xffff, self.fpu_ip, 0, 0, 0].into_iter().enumerate()
                {
                    let off = u64::try_from(word).unwrap_or(0).wrapping_mul(4);
                    self.memory.write(self.wrap(at.wrapping_add(off)), 4, value)?;
                }
            }
            Op::Fnstcw => self.write(insn, insn.dst, 2, 0x37f)?,
            Op::Fnstsw => self.write(insn, Arg::Reg(0), 2, 0)?,
            _ => {}
        }
        Ok(())
    }

    /// `daa das aaa aas`.
    fn decimal(&mut self, insn: &Insn, opcode: u8) -> Result<(), Trap> {
        let ax = self.reg(RAX);
        let al = ax & 0xff;
        let low_carries = al & 15 > 9 || self.flags.adjust;
        let is_sub = opcode & 8 != 0;
        let by = |value: u64, amount: u64| {
            if is_sub { value.wrapping_sub(amount) } else { value.wrapping_add(amount) }
        };
        if opcode < 0x30 {
            let high_carries = al > 0x99 || self.flags.carry;
            let mut value = al;
            if low_carries {
                value = by(value, 6);
            }
            if high_carries {
                value = by(value, 0x60);
            }
            self.write(insn, Arg::Reg(0), 1, value & 0xff)?;
            self.set_result(value & 0xff, 1);
            self.flags.adjust = low_carries;
            self.flags.carry = high_carries;
        } else {
            let value = if low_carries { by(ax, 0x106) } else { ax };
            self.write(insn, Arg::Reg(0), 2, value & 0xff0f)?;
            self.flags.adjust = low_carries;
            self.flags.carry = low_carries;
        }
        Ok(())
    }
}
