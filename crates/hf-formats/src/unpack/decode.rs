//! Instructions of x86 in the form that the interpreter likes: operation, width, operands.
//!
//! Promises: reads at most [`INSN_LEN_MAX`] bytes; what it does not know is none. 32-bit and 64-bit mode.
//! Leaves out: vectors, system instructions that a program may not use, far calls. Arithmetic of floating
//! point is measured, not understood.
//! Sources: Intel, "Software Developer's Manual", volume 2, appendix A (opcode maps).

/// Longest instruction.
pub(super) const INSN_LEN_MAX: usize = 15;

/// What an instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Mov,
    /// `add or adc sbb and sub xor cmp`, by number.
    Alu(u8),
    Test,
    Inc,
    Dec,
    Neg,
    Not,
    Mul,
    Imul,
    /// Destination, source, and the immediate when there is one.
    ImulTwo,
    ImulThree,
    Div,
    Idiv,
    /// `rol ror rcl rcr shl shr sal sar`, by number.
    Shift(u8),
    Shld,
    Shrd,
    Lea,
    Xchg,
    Push,
    Pop,
    Pushf,
    Popf,
    Pusha,
    Popa,
    Call,
    Jmp,
    Jcc(u8),
    Setcc(u8),
    Cmov(u8),
    /// `loopne loope loop jcxz`, by number.
    Loop(u8),
    Ret,
    Leave,
    Enter,
    Movzx,
    Movsx,
    Bswap,
    /// `bt bts btr btc`, by number.
    Bit(u8),
    Bsf,
    Bsr,
    Xadd,
    Cmpxchg,
    Movs,
    Stos,
    Lods,
    Scas,
    Cmps,
    /// Sign extension within the accumulator.
    Cbw,
    /// Sign extension into the data register.
    Cwd,
    Sahf,
    Lahf,
    /// Flag operations `cmc clc stc cli sti cld std`, by opcode.
    Flag(u8),
    Nop,
    Int,
    Privileged,
    Cpuid,
    Rdtsc,
    Salc,
    Xlat,
    Aam,
    Aad,
    Bcd(u8),
    Fpu,
    /// Stores the address of the last floating-point instruction.
    Fnstenv,
    Fnstcw,
    Fnstsw,
}

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arg {
    None,
    /// A register, its low part.
    Reg(u8),
    /// The second byte of a register.
    High(u8),
    Mem,
    Imm,
    /// A segment register: read as zero.
    Segment,
}

/// Segment whose base is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    Flat,
    Fs,
    Gs,
}

/// No register.
pub(super) const NO_REG: u8 = 0xff;
/// The address of the next instruction, as a base.
pub(super) const RIP: u8 = 0xfe;

/// An address in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mem {
    pub(super) base: u8,
    pub(super) index: u8,
    pub(super) scale: u8,
    pub(super) disp: u64,
    pub(super) segment: Segment,
}

/// How a string instruction repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Once,
    /// While (not) equal where it compares, by count anyway.
    Equal,
    NotEqual,
}

/// An instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Insn {
    pub(super) op: Op,
    /// Bytes of the operands.
    pub(super) size: u8,
    /// Bytes of the source where it differs.
    pub(super) source_size: u8,
    /// Bytes of an address.
    pub(super) address_size: u8,
    pub(super) len: u8,
    pub(super) dst: Arg,
    pub(super) src: Arg,
    pub(super) repeat: Repeat,
    pub(super) mem: Mem,
    pub(super) imm: u64,
}

struct Decoder<'a> {
    bytes: &'a [u8],
    off: usize,
    is_64: bool,
    rex: u8,
    modrm: u8,
    insn: Insn,
}

/// Returns the instruction at the start of the bytes.
pub(super) fn decode(bytes: &[u8], is_64: bool) -> Option<Insn> {
    let mem = Mem { base: NO_REG, index: NO_REG, scale: 1, disp: 0, segment: Segment::Flat };
    let insn = Insn {
        op: Op::Nop,
        size: 4,
        source_size: 0,
        address_size: if is_64 { 8 } else { 4 },
        len: 0,
        dst: Arg::None,
        src: Arg::None,
        repeat: Repeat::Once,
        mem,
        imm: 0,
    };
    let mut decoder = Decoder { bytes, off: 0, is_64, rex: 0, modrm: 0, insn };
    let opcode = decoder.prefixes()?;
    if opcode == 0x0f {
        decoder.two_byte()?
    } else {
        decoder.one_byte(opcode)?
    }
    decoder.insn.len =
        u8::try_from(decoder.off).ok().filter(|len| usize::from(*len) <= INSN_LEN_MAX)?;
    Some(decoder.insn)
}

impl Decoder<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.off)?;
        self.off = self.off.wrapping_add(1);
        Some(byte)
    }

    /// Reads an immediate with its sign.
    fn int(&mut self, len: usize) -> Option<u64> {
        let mut raw = [0u8; 8];
        let end = self.off.checked_add(len)?;
        let stored = self.bytes.get(self.off..end)?;
        if stored.last().is_some_and(|byte| *byte >= 0x80) {
            raw = [0xff; 8];
        }
        raw.get_mut(..len)?.copy_from_slice(stored);
        self.off = end;
        Some(u64::from_le_bytes(raw))
    }

    fn prefixes(&mut self) -> Option<u8> {
        let mut narrow = false;
        let opcode = loop {
            let byte = self.byte()?;
            match byte {
                0x66 => narrow = true,
                0x67 => self.insn.address_size = if self.is_64 { 4 } else { 2 },
                0xf2 => self.insn.repeat = Repeat::NotEqual,
                0xf3 => self.insn.repeat = Repeat::Equal,
                0x64 => self.insn.mem.segment = Segment::Fs,
                0x65 => self.insn.mem.segment = Segment::Gs,
                0x2e | 0x36 | 0x3e | 0x26 => self.insn.mem.segment = Segment::Flat,
                0xf0 => {}
                0x40..=0x4f if self.is_64 => {
                    self.rex = byte;
                    let next = *self.bytes.get(self.off)?;
                    let more =
                        matches!(next, 0x66 | 0x67 | 0xf2 | 0xf3 | 0x64 | 0x65 | 0x40..=0x4f);
                    if more {
                        self.rex = 0;
                    }
                }
                other => break other,
            }
            if self.off >= INSN_LEN_MAX {
                return None;
            }
        };
        if self.rex & 8 != 0 {
            self.insn.size = 8;
        } else if narrow {
            self.insn.size = 2;
        }
        Some(opcode)
    }

    fn reg(&self, number: u8, size: u8) -> Arg {
        if size == 1 && self.rex == 0 && (4..8).contains(&number) {
            Arg::High(number & 3)
        } else {
            Arg::Reg(number)
        }
    }

    fn reg_field(&self) -> u8 {
        (self.modrm >> 3 & 7) | (self.rex & 4) << 1
    }

    /// Reads the ModRM byte and returns its register or memory operand.
    fn rm(&mut self, size: u8) -> Option<Arg> {
        self.modrm = self.byte()?;
        let low = self.modrm & 7;
        let mode = self.modrm >> 6;
        if mode == 3 {
            return Some(self.reg(low | (self.rex & 1) << 3, size));
        }
        if self.insn.address_size == 2 {
            return self.rm_16(mode, low);
        }
        let mut base = low | (self.rex & 1) << 3;
        if low == 4 {
            let sib = self.byte()?;
            let index = (sib >> 3 & 7) | (self.rex & 2) << 2;
            self.insn.mem.scale = 1 << (sib >> 6);
            self.insn.mem.index = if index == 4 { NO_REG } else { index };
            base = (sib & 7) | (self.rex & 1) << 3;
            if sib & 7 == 5 && mode == 0 {
                base = NO_REG;
                self.insn.mem.disp = self.int(4)?;
            }
        } else if low == 5 && mode == 0 {
            base = if self.is_64 { RIP } else { NO_REG };
            self.insn.mem.disp = self.int(4)?;
        }
        self.insn.mem.base = base;
        match mode {
            1 => self.insn.mem.disp = self.int(1)?,
            2 => self.insn.mem.disp = self.int(4)?,
            _ => {}
        }
        Some(Arg::Mem)
    }

    fn rm_16(&mut self, mode: u8, low: u8) -> Option<Arg> {
        let (base, index) = match low {
            0 => (3, 6),
            1 => (3, 7),
            2 => (5, 6),
            3 => (5, 7),
            4 => (6, NO_REG),
            5 => (7, NO_REG),
            6 if mode == 0 => (NO_REG, NO_REG),
            6 => (5, NO_REG),
            _ => (3, NO_REG),
        };
        self.insn.mem.base = base;
        self.insn.mem.index = index;
        self.insn.mem.disp = match mode {
            0 if low == 6 => self.int(2)?,
            1 => self.int(1)?,
            2 => self.int(2)?,
            _ => 0,
        };
        Some(Arg::Mem)
    }

    fn imm(&mut self, size: u8) -> Option<Arg> {
        self.insn.imm = self.int(usize::from(size.min(4)))?;
        Some(Arg::Imm)
    }

    fn set(&mut self, op: Op, dst: Arg, src: Arg) {
        self.insn.op = op;
        self.insn.dst = dst;
        self.insn.src = src;
    }

    /// The two forms of an operation between a register and a register or memory.
    fn rm_reg(&mut self, op: Op, form: u8) -> Option<()> {
        if form & 1 == 0 {
            self.insn.size = 1;
        }
        let size = self.insn.size;
        let rm = self.rm(size)?;
        let reg = self.reg(self.reg_field(), size);
        if form & 2 == 0 {
            self.set(op, rm, reg)
        } else {
            self.set(op, reg, rm)
        }
        Some(())
    }

    /// Stack operations are as wide as an address in 64-bit mode.
    fn widen(&mut self) {
        if self.is_64 && self.insn.size == 4 {
            self.insn.size = 8;
        }
    }

    fn relative(&mut self, op: Op, len: usize) -> Option<()> {
        let imm = self.int(len)?;
        self.insn.imm = imm;
        self.set(op, Arg::Imm, Arg::None);
        Some(())
    }

    fn one_byte(&mut self, opcode: u8) -> Option<()> {
        let low = opcode & 7;
        let number = low | (self.rex & 1) << 3;
        match opcode {
            0x00..=0x3f if low < 6 => self.alu(opcode)?,
            0x06 | 0x0e | 0x16 | 0x1e if !self.is_64 => self.set(Op::Push, Arg::Segment, Arg::None),
            0x07 | 0x17 | 0x1f if !self.is_64 => self.set(Op::Pop, Arg::Segment, Arg::None),
            0x27 | 0x2f | 0x37 | 0x3f if !self.is_64 => self.insn.op = Op::Bcd(opcode),
            0x40..=0x47 => self.set(Op::Inc, Arg::Reg(low), Arg::None),
            0x48..=0x4f => self.set(Op::Dec, Arg::Reg(low), Arg::None),
            0x50..=0x5f => {
                self.widen();
                let op = if opcode < 0x58 { Op::Push } else { Op::Pop };
                self.set(op, Arg::Reg(number), Arg::None);
            }
            0x60 if !self.is_64 => self.insn.op = Op::Pusha,
            0x61 if !self.is_64 => self.insn.op = Op::Popa,
            0x63 if self.is_64 => {
                self.insn.source_size = 4;
                let rm = self.rm(4)?;
                self.set(Op::Movsx, Arg::Reg(self.reg_field()), rm);
            }
            0x68 | 0x6a => {
                let len = if opcode == 0x6a { 1 } else { self.insn.size.min(4) };
                self.widen();
                let imm = self.imm(len)?;
                self.set(Op::Push, imm, Arg::None);
            }
            0x69 | 0x6b => {
                let size = self.insn.size;
                let rm = self.rm(size)?;
                self.imm(if opcode == 0x6b { 1 } else { size })?;
                self.set(Op::ImulThree, Arg::Reg(self.reg_field()), rm);
            }
            0x6c..=0x6f | 0xe4..=0xe7 | 0xec..=0xef | 0xf4 | 0xfa | 0xfb => {
                if (0xe4..=0xe7).contains(&opcode) {
                    self.byte()?;
                }
                self.insn.op = Op::Privileged;
            }
            0x70..=0x7f => self.relative(Op::Jcc(opcode & 15), 1)?,
            0x80..=0x8f => self.group_80(opcode)?,
            0x90..=0x97 if number == 0 => self.insn.op = Op::Nop,
            0x90..=0x97 => self.set(Op::Xchg, Arg::Reg(0), Arg::Reg(number)),
            0x98..=0x9f => self.group_98(opcode)?,
            0xa0..=0xaf => self.group_a0(opcode)?,
            0xb0..=0xb7 => {
                self.insn.size = 1;
                self.insn.imm = self.int(1)?;
                self.set(Op::Mov, self.reg(number, 1), Arg::Imm);
            }
            0xb8..=0xbf => {
                self.insn.imm = self.int(usize::from(self.insn.size))?;
                self.set(Op::Mov, Arg::Reg(number), Arg::Imm);
            }
            0xc0..=0xcf => self.group_c0(opcode)?,
            0xd0..=0xdf => self.group_d0(opcode)?,
            0xe0..=0xe3 => self.relative(Op::Loop(opcode & 3), 1)?,
            0xe8 | 0xe9 => {
                let len = if self.is_64 { 4 } else { usize::from(self.insn.size) };
                self.relative(if opcode == 0xe8 { Op::Call } else { Op::Jmp }, len)?;
            }
            0xeb => self.relative(Op::Jmp, 1)?,
            0xf1 => self.interrupt(1),
            0xf5 | 0xf8 | 0xf9 | 0xfc | 0xfd => self.insn.op = Op::Flag(opcode),
            0xf6 | 0xf7 => self.group_f6(opcode)?,
            0xfe | 0xff => self.group_fe(opcode)?,
            _ => return None,
        }
        Some(())
    }

    fn interrupt(&mut self, number: u64) {
        self.insn.op = Op::Int;
        self.insn.imm = number;
    }

    fn alu(&mut self, opcode: u8) -> Option<()> {
        let op = Op::Alu(opcode >> 3);
        match opcode & 7 {
            4 => {
                self.insn.size = 1;
                let imm = self.imm(1)?;
                self.set(op, Arg::Reg(0), imm);
            }
            5 => {
                let imm = self.imm(self.insn.size)?;
                self.set(op, Arg::Reg(0), imm);
            }
            form => self.rm_reg(op, form)?,
        }
        Some(())
    }

    fn group_80(&mut self, opcode: u8) -> Option<()> {
        match opcode {
            0x80..=0x83 => {
                if opcode & 1 == 0 {
                    self.insn.size = 1;
                }
                let size = self.insn.size;
                let rm = self.rm(size)?;
                let imm = self.imm(if opcode == 0x81 { size } else { 1 })?;
                self.set(Op::Alu(self.modrm >> 3 & 7), rm, imm);
            }
            0x84 | 0x85 => self.rm_reg(Op::Test, opcode & 1)?,
            0x86 | 0x87 => self.rm_reg(Op::Xchg, opcode & 1)?,
            0x88..=0x8b => self.rm_reg(Op::Mov, opcode & 3)?,
            0x8c => {
                let rm = self.rm(2)?;
                self.set(Op::Mov, rm, Arg::Segment);
            }
            0x8d => {
                let rm = self.rm(4)?;
                if rm != Arg::Mem {
                    return None;
                }
                self.set(Op::Lea, Arg::Reg(self.reg_field()), Arg::Mem);
            }
            0x8e => {
                let rm = self.rm(2)?;
                self.set(Op::Mov, Arg::Segment, rm);
            }
            _ => {
                self.widen();
                let size = self.insn.size;
                let rm = self.rm(size)?;
                self.set(Op::Pop, rm, Arg::None);
            }
        }
        Some(())
    }

    fn group_98(&mut self, opcode: u8) -> Option<()> {
        self.insn.op = match opcode {
            0x98 => Op::Cbw,
            0x99 => Op::Cwd,
            0x9b => Op::Nop,
            0x9c | 0x9d => {
                self.widen();
                if opcode == 0x9c { Op::Pushf } else { Op::Popf }
            }
            0x9e => Op::Sahf,
            0x9f => Op::Lahf,
            _ => return None,
        };
        Some(())
    }

    fn group_a0(&mut self, opcode: u8) -> Option<()> {
        if opcode & 1 == 0 {
            self.insn.size = 1;
        }
        match opcode {
            0xa0..=0xa3 => {
                self.insn.mem.disp = self.int(usize::from(self.insn.address_size))?;
                let accumulator = Arg::Reg(0);
                if opcode < 0xa2 {
                    self.set(Op::Mov, accumulator, Arg::Mem);
                } else {
                    self.set(Op::Mov, Arg::Mem, accumulator);
                }
            }
            0xa4 | 0xa5 => self.insn.op = Op::Movs,
            0xa6 | 0xa7 => self.insn.op = Op::Cmps,
            0xa8 | 0xa9 => {
                let imm = self.imm(self.insn.size)?;
                self.set(Op::Test, Arg::Reg(0), imm);
            }
            0xaa | 0xab => self.insn.op = Op::Stos,
            0xac | 0xad => self.insn.op = Op::Lods,
            _ => self.insn.op = Op::Scas,
        }
        Some(())
    }

    fn group_c0(&mut self, opcode: u8) -> Option<()> {
        match opcode {
            0xc0 | 0xc1 => self.shift(opcode, true)?,
            0xc2 | 0xc3 => {
                self.widen();
                self.insn.op = Op::Ret;
                self.insn.imm = if opcode == 0xc2 { self.int(2)? & 0xffff } else { 0 };
            }
            0xc6 | 0xc7 => {
                if opcode == 0xc6 {
                    self.insn.size = 1;
                }
                let size = self.insn.size;
                let rm = self.rm(size)?;
                let imm = self.imm(size)?;
                self.set(Op::Mov, rm, imm);
            }
            0xc8 => {
                self.widen();
                self.insn.op = Op::Enter;
                self.insn.imm = self.int(2)? & 0xffff;
                self.byte()?;
            }
            0xc9 => {
                self.widen();
                self.insn.op = Op::Leave;
            }
            0xcc => self.interrupt(3),
            0xcd => {
                let number = u64::from(self.byte()?);
                self.interrupt(number);
            }
            _ => return None,
        }
        Some(())
    }

    fn shift(&mut self, opcode: u8, has_count: bool) -> Option<()> {
        if opcode & 1 == 0 {
            self.insn.size = 1;
        }
        let size = self.insn.size;
        let rm = self.rm(size)?;
        let count = if has_count {
            self.imm(1)?
        } else if opcode & 2 == 0 {
            self.insn.imm = 1;
            Arg::Imm
        } else {
            Arg::Reg(1)
        };
        self.set(Op::Shift(self.modrm >> 3 & 7), rm, count);
        Some(())
    }

    fn group_d0(&mut self, opcode: u8) -> Option<()> {
        match opcode {
            0xd0..=0xd3 => self.shift(opcode, false)?,
            0xd4 | 0xd5 if !self.is_64 => {
                self.insn.imm = self.int(1)? & 0xff;
                self.insn.op = if opcode == 0xd4 { Op::Aam } else { Op::Aad };
            }
            0xd6 if !self.is_64 => self.insn.op = Op::Salc,
            0xd7 => self.insn.op = Op::Xlat,
            0xd8..=0xdf => {
                let rm = self.rm(4)?;
                let group = self.modrm >> 3 & 7;
                self.insn.op = match (opcode, group, rm) {
                    (0xd9, 6, Arg::Mem) => Op::Fnstenv,
                    (0xd9, 7, Arg::Mem) => Op::Fnstcw,
                    (0xdf, 4, Arg::Reg(0)) => Op::Fnstsw,
                    _ => Op::Fpu,
                };
                self.insn.dst = rm;
            }
            _ => return None,
        }
        Some(())
    }

    fn group_f6(&mut self, opcode: u8) -> Option<()> {
        if opcode == 0xf6 {
            self.insn.size = 1;
        }
        let size = self.insn.size;
        let rm = self.rm(size)?;
        let op = match self.modrm >> 3 & 7 {
            0 | 1 => {
                let imm = self.imm(size)?;
                self.set(Op::Test, rm, imm);
                return Some(());
            }
            2 => Op::Not,
            3 => Op::Neg,
            4 => Op::Mul,
            5 => Op::Imul,
            6 => Op::Div,
            _ => Op::Idiv,
        };
        self.set(op, rm, Arg::None);
        Some(())
    }

    fn group_fe(&mut self, opcode: u8) -> Option<()> {
        let group = *self.bytes.get(self.off)? >> 3 & 7;
        if opcode == 0xfe {
            self.insn.size = 1;
        }
        let op = match group {
            0 => Op::Inc,
            1 => Op::Dec,
            2 if opcode == 0xff => Op::Call,
            4 if opcode == 0xff => Op::Jmp,
            6 if opcode == 0xff => Op::Push,
            _ => return None,
        };
        if group >= 2 {
            self.widen();
        }
        let size = self.insn.size;
        let rm = self.rm(size)?;
        self.set(op, rm, Arg::None);
        Some(())
    }

    fn two_byte(&mut self) -> Option<()> {
        let opcode = self.byte()?;
        let size = self.insn.size;
        match opcode {
            0x0b => self.insn.op = Op::Privileged,
            0x0d | 0x18..=0x1f => {
                self.rm(size)?;
                self.insn.op = Op::Nop;
            }
            0x31 => self.insn.op = Op::Rdtsc,
            0x40..=0x4f => {
                let rm = self.rm(size)?;
                self.set(Op::Cmov(opcode & 15), Arg::Reg(self.reg_field()), rm);
            }
            0x80..=0x8f => {
                let len = if self.is_64 { 4 } else { usize::from(size) };
                self.relative(Op::Jcc(opcode & 15), len)?;
            }
            0x90..=0x9f => {
                self.insn.size = 1;
                let rm = self.rm(1)?;
                self.set(Op::Setcc(opcode & 15), rm, Arg::None);
            }
            0xa0 | 0xa8 => self.set(Op::Push, Arg::Segment, Arg::None),
            0xa1 | 0xa9 => self.set(Op::Pop, Arg::Segment, Arg::None),
            0xa2 => self.insn.op = Op::Cpuid,
            0xa3 | 0xab | 0xb3 | 0xbb => self.rm_reg(Op::Bit(opcode >> 3 & 3), 1)?,
            0xa4 | 0xa5 | 0xac | 0xad => {
                let rm = self.rm(size)?;
                self.insn.imm = if opcode & 1 == 0 { self.int(1)? & 0xff } else { u64::MAX };
                let op = if opcode < 0xa8 { Op::Shld } else { Op::Shrd };
                self.set(op, rm, Arg::Reg(self.reg_field()));
            }
            0xaf => {
                let rm = self.rm(size)?;
                self.set(Op::ImulTwo, Arg::Reg(self.reg_field()), rm);
            }
            0xb0 | 0xb1 => self.rm_reg(Op::Cmpxchg, opcode & 1)?,
            0xb6 | 0xb7 | 0xbe | 0xbf => {
                self.insn.source_size = if opcode & 1 == 0 { 1 } else { 2 };
                let rm = self.rm(self.insn.source_size)?;
                let op = if opcode < 0xb8 { Op::Movzx } else { Op::Movsx };
                self.set(op, Arg::Reg(self.reg_field()), rm);
            }
            0xba => {
                let rm = self.rm(size)?;
                let imm = self.imm(1)?;
                let group = (self.modrm >> 3 & 7).checked_sub(4)?;
                self.set(Op::Bit(group), rm, imm);
            }
            0xbc | 0xbd => {
                let rm = self.rm(size)?;
                let op = if opcode == 0xbc { Op::Bsf } else { Op::Bsr };
                self.set(op, Arg::Reg(self.reg_field()), rm);
            }
            0xc0 | 0xc1 => self.rm_reg(Op::Xadd, opcode & 1)?,
            0xc8..=0xcf => {
                let number = (opcode & 7) | (self.rex & 1) << 3;
                self.set(Op::Bswap, Arg::Reg(number), Arg::None);
            }
            _ => return None,
        }
        Some(())
    }
}
