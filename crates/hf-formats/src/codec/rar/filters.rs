//! Filters that RAR's decoders run over blocks of their output.

use rars::codec::rarvm::{Invocation, Program};

/// What to do with a block.
#[derive(Debug, Clone)]
pub(super) enum Filter {
    /// Bytes of each channel are differences.
    Delta(usize),
    /// x86 calls (and jumps) of RAR 3.
    Calls3 { jumps: bool },
    /// x86 calls (and jumps) of RAR 5.
    Calls5 { jumps: bool },
    /// ARM calls of RAR 5.
    Arm,
    /// Itanium calls of RAR 3.
    Itanium,
    /// Pictures: bytes of a line, and the place of red.
    Rgb { stride: usize, red_off: usize },
    /// Sound: channels.
    Audio(usize),
    /// A program of its own.
    Program(Box<Custom>),
    /// One that is not known, or may not run any more.
    Unknown(&'static str),
}

/// A program of RAR 3's virtual machine with what it is given.
#[derive(Debug, Clone)]
pub(super) struct Custom {
    pub(super) program: Program,
    pub(super) registers: [u32; 7],
    pub(super) globals: Vec<u8>,
    pub(super) count: u32,
}

impl Filter {
    /// Changes a block that starts at this offset of the file.
    pub(super) fn run(&self, data: &mut Vec<u8>, file_off: u64) -> Result<(), &'static str> {
        let off = u32::try_from(file_off & 0xffff_ffff).unwrap_or(0);
        match self {
            Self::Delta(channels) => delta(data, *channels),
            Self::Calls3 { jumps } => calls3(data, off, *jumps),
            Self::Calls5 { jumps } => calls5(data, off, *jumps),
            Self::Arm => arm(data, off),
            Self::Itanium => itanium(data, off),
            Self::Rgb { stride, red_off } => return rgb(data, *stride, *red_off),
            Self::Audio(channels) => audio(data, *channels),
            Self::Program(custom) => {
                let result = custom.program.execute(Invocation {
                    input: data,
                    regs: custom.registers,
                    global_data: &custom.globals,
                    file_offset: file_off,
                    exec_count: custom.count,
                });
                *data = result.map_err(|_| "rar: filter program")?.output;
            }
            Self::Unknown(why) => return Err(why),
        }
        Ok(())
    }
}

fn delta(data: &mut Vec<u8>, channels: usize) {
    let mut out = vec![0u8; data.len()];
    let mut source = data.iter();
    for channel in 0..channels.min(data.len()) {
        let mut last = 0u8;
        for (to, from) in out.iter_mut().skip(channel).step_by(channels).zip(&mut source) {
            last = last.wrapping_sub(*from);
            *to = last;
        }
    }
    *data = out;
}

/// Calls `change` with the offset behind each opcode and the four bytes there.
fn calls(data: &mut [u8], jumps: bool, change: impl Fn(u32, u32) -> Option<u32>) {
    let mut at = 0usize;
    let end = data.len().saturating_sub(4);
    while at < end {
        let rest = data.get(at..end).unwrap_or_default();
        let found =
            if jumps { memchr::memchr2(0xe8, 0xe9, rest) } else { memchr::memchr(0xe8, rest) };
        let Some(found) = found else { break };
        at = at.saturating_add(found).saturating_add(1);
        let field = data.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>());
        if let Some(field) = field {
            let value = u32::from_le_bytes(*field);
            if let Some(changed) = change(u32::try_from(at).unwrap_or(0), value) {
                *field = changed.to_le_bytes();
            }
        }
        at = at.saturating_add(4);
    }
}

const CALL_SPAN: u32 = 0x0100_0000;

fn calls3(data: &mut [u8], file_off: u32, jumps: bool) {
    calls(data, jumps, |at, value| {
        let now = file_off.wrapping_add(at);
        if value & 0x8000_0000 != 0 {
            (value.wrapping_add(now) & 0x8000_0000 == 0).then(|| value.wrapping_add(CALL_SPAN))
        } else {
            (value < CALL_SPAN).then(|| value.wrapping_sub(now))
        }
    });
}

fn calls5(data: &mut [u8], file_off: u32, jumps: bool) {
    calls(data, jumps, |at, value| {
        let now = file_off.wrapping_add(at) % CALL_SPAN;
        if value & 0x8000_0000 != 0 {
            (value.wrapping_add(now) & 0x8000_0000 == 0).then(|| value.wrapping_add(CALL_SPAN))
        } else {
            (value.wrapping_sub(CALL_SPAN) & 0x8000_0000 != 0).then(|| value.wrapping_sub(now))
        }
    });
}

fn arm(data: &mut [u8], file_off: u32) {
    for (quad, at) in data.as_chunks_mut::<4>().0.iter_mut().zip((0u32..).step_by(4)) {
        let [b0, b1, b2, 0xeb] = *quad else { continue };
        let value = u32::from_le_bytes([b0, b1, b2, 0]);
        let [b0, b1, b2, _] = value.wrapping_sub(file_off.wrapping_add(at) / 4).to_le_bytes();
        *quad = [b0, b1, b2, 0xeb];
    }
}

fn itanium(data: &mut [u8], file_off: u32) {
    let bundles = data.len().saturating_sub(21).div_ceil(16);
    for bundle in 0..bundles {
        let at = bundle.saturating_mul(16);
        let now = (file_off >> 4).wrapping_add(u32::try_from(bundle).unwrap_or(0));
        let template = data.get(at).copied().unwrap_or(0) & 0x1e;
        let mask = (0x334b_0000_u32 >> template) & 3;
        if mask == 0 {
            continue;
        }
        for slot in mask + 1..=4 {
            let field_at = at.saturating_add(usize::try_from(slot * 5 - 8).unwrap_or(0));
            let field = data.get_mut(field_at..).and_then(|rest| rest.first_chunk_mut::<4>());
            let Some(field) = field else { continue };
            let raw = u32::from_le_bytes(*field);
            if (raw >> 24 >> slot) & 15 == 5 {
                let value = (raw >> slot).wrapping_sub(now) & 0x000f_ffff;
                *field = (raw & !(0x000f_ffff << slot) | value << slot).to_le_bytes();
            }
        }
    }
}

fn rgb(data: &mut Vec<u8>, stride: usize, red_off: usize) -> Result<(), &'static str> {
    let width = stride.saturating_sub(3);
    if width == 0 || red_off > 2 {
        return Err("rar: picture filter");
    }
    let mut out = vec![0u8; data.len()];
    let mut source = data.iter();
    for channel in 0..3usize {
        let mut last = 0u8;
        for at in (channel..data.len()).step_by(3) {
            let above = |back: usize| at.checked_sub(back).and_then(|at| out.get(at)).copied();
            if let (Some(upper), Some(corner)) = (above(width), above(stride)) {
                last = predict(last, upper, corner);
            }
            last = last.wrapping_sub(source.next().copied().unwrap_or(0));
            if let Some(to) = out.get_mut(at) {
                *to = last;
            }
        }
    }
    for pixel in out.get_mut(red_off..).unwrap_or_default().as_chunks_mut::<3>().0 {
        let [red, green, blue] = *pixel;
        *pixel = [red.wrapping_add(green), green, blue.wrapping_add(green)];
    }
    *data = out;
    Ok(())
}

fn predict(last: u8, upper: u8, corner: u8) -> u8 {
    let guess = i32::from(last) + i32::from(upper) - i32::from(corner);
    let miss = |of: u8| guess.abs_diff(i32::from(of));
    if miss(last) <= miss(upper) && miss(last) <= miss(corner) {
        last
    } else if miss(upper) <= miss(corner) {
        upper
    } else {
        corner
    }
}

fn audio(data: &mut Vec<u8>, channels: usize) {
    let mut out = vec![0u8; data.len()];
    let mut source = data.iter();
    for channel in 0..channels.min(data.len()) {
        let mut state = Channel::default();
        for (to, from) in out.iter_mut().skip(channel).step_by(channels).zip(&mut source) {
            *to = state.next(*from);
        }
    }
    *data = out;
}

/// The predictor of one channel.
#[derive(Debug, Default)]
struct Channel {
    last: u8,
    last_delta: i32,
    deltas: [i32; 3],
    weights: [i32; 3],
    misses: [u32; 7],
    count: u32,
}

impl Channel {
    fn next(&mut self, code: u8) -> u8 {
        let [d1, d2, _] = self.deltas;
        self.deltas = [self.last_delta, self.last_delta.wrapping_sub(d1), d2];
        let [d1, d2, d3] = self.deltas;
        let [k1, k2, k3] = self.weights;
        let sum = 8 * i32::from(self.last)
            + k1.wrapping_mul(d1)
            + k2.wrapping_mul(d2)
            + k3.wrapping_mul(d3);
        let guess = u8::try_from((sum >> 3) & 0xff).unwrap_or(0);
        let byte = guess.wrapping_sub(code);
        self.last_delta = i32::from(byte.wrapping_sub(self.last).cast_signed());
        self.last = byte;
        let error = i32::from(code.cast_signed()) << 3;
        let misses =
            [error, error - d1, error + d1, error - d2, error + d2, error - d3, error + d3];
        for (sum, miss) in self.misses.iter_mut().zip(misses) {
            *sum = sum.wrapping_add(miss.unsigned_abs());
        }
        if self.count & 0x1f == 0 {
            self.learn();
        }
        self.count = self.count.wrapping_add(1);
        byte
    }

    fn learn(&mut self) {
        let mut best = 0usize;
        let mut least = self.misses[0];
        for (idx, miss) in self.misses.iter().enumerate().skip(1) {
            if *miss < least {
                (best, least) = (idx, *miss);
            }
        }
        self.misses = [0; 7];
        let down = best & 1 == 1;
        let weight = best.checked_sub(1).and_then(|at| self.weights.get_mut(at / 2));
        match weight {
            Some(weight) if down && *weight >= -16 => *weight -= 1,
            Some(weight) if !down && *weight < 16 => *weight += 1,
            _ => {}
        }
    }
}
