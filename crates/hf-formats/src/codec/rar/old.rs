//! RAR 1.5 and 2.0, over the crate `rars`.
//!
//! Its decoders hand on what they decoded in steps, and drop the step in which they fail; for a member
//! that stands alone, that step is decoded again in smaller ones.

use std::io::{self, Write};

use rars::codec::rar13::Unpack15;
use rars::codec::rar20::Unpack20;

use super::Packed;
use super::window::Output;
use crate::codec::prefix::Broken;

/// Ours: bytes decoded again, of one archive.
const AGAIN_MAX: u64 = 16 << 20;
/// Ours: bytes of input, which are copied.
const INPUT_MAX: usize = 256 << 20;
/// Ours: bytes of output for each of input that 1.5 may give, and how much more in one archive. Its
/// decoder reads zeroes behind the end of the input, and so never ends by itself.
const RATIO: u64 = 16;
const BEYOND_MAX: u64 = 16 << 20;
/// The largest step of `rars`.
const STEP_MAX: u64 = 1 << 20;

/// Decodes some bytes of an input from its start.
type Decode<'d> = &'d mut dyn FnMut(&[u8], usize, &mut Vec<u8>) -> rars::codec::Result<()>;

/// The decoders of one archive.
#[derive(Default)]
pub(super) struct Old {
    v15: Option<Box<Unpack15>>,
    v20: Option<Box<Unpack20>>,
    again: u64,
    /// Bytes that 1.5 gave beyond [`RATIO`] times its input.
    beyond: u64,
}

impl std::fmt::Debug for Old {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Old").finish_non_exhaustive()
    }
}

impl Old {
    pub(super) fn unpack15(
        &mut self,
        packed: Packed<'_>,
        out: &mut Output<'_>,
    ) -> Result<(), Broken> {
        let usual = u64::try_from(packed.input.len()).unwrap_or(0).saturating_mul(RATIO);
        let most = usual.saturating_add(BEYOND_MAX.saturating_sub(self.beyond));
        let claimed = packed.unpacked_len.unwrap_or(u64::MAX);
        let packed = Packed { unpacked_len: Some(claimed.min(most)), ..packed };
        let before = out.left();
        let fresh = || Box::new(Unpack15::new());
        let mut decoder = self.v15.take().filter(|_| packed.solid).unwrap_or_else(fresh);
        let ended = run(packed, out, |input, len, to| {
            decoder.decode_member_to(input, len, packed.solid, to)
        });
        self.v15 = Some(decoder);
        let made = before.saturating_sub(out.left());
        self.beyond = self.beyond.saturating_add(made.saturating_sub(usual));
        if claimed > most && ended.is_ok() {
            return Err(Broken::Damaged("rar: more than the input can hold"));
        }
        self.again(ended, packed, out, &mut |input, len, to| {
            Unpack15::new().decode_member_to(input, len, false, to)
        })
    }

    pub(super) fn unpack20(
        &mut self,
        packed: Packed<'_>,
        out: &mut Output<'_>,
    ) -> Result<(), Broken> {
        let fresh = || Box::new(Unpack20::new());
        let mut decoder = self.v20.take().filter(|_| packed.solid).unwrap_or_else(fresh);
        let ended = run(packed, out, |input, len, to| decoder.decode_member_to(input, len, to));
        self.v20 = Some(decoder);
        self.again(ended, packed, out, &mut |input, len, to| {
            Unpack20::new().decode_member_to(input, len, to)
        })
    }

    /// After a failure, looks for the length up to which the member can be decoded.
    fn again(
        &mut self,
        ended: Result<(), Broken>,
        packed: Packed<'_>,
        out: &mut Output<'_>,
        decode: Decode<'_>,
    ) -> Result<(), Broken> {
        if packed.solid || !matches!(ended, Err(Broken::Damaged(_) | Broken::Truncated)) {
            return ended;
        }
        let had = u64::try_from(out.bytes.len()).unwrap_or(u64::MAX);
        let (mut good, mut bad) = (had, had.saturating_add(out.left().min(STEP_MAX)));
        let mut best = Vec::new();
        while bad.saturating_sub(good) > 1 {
            out.poll()?;
            let middle = good.midpoint(bad);
            self.again = self.again.saturating_add(middle);
            if self.again > AGAIN_MAX {
                break;
            }
            let len = usize::try_from(middle).unwrap_or(usize::MAX);
            let mut bytes = Vec::new();
            let _ = decode(input_of(packed), len, &mut bytes);
            if bytes.len() >= len {
                (good, best) = (middle, bytes);
            } else {
                bad = middle;
            }
        }
        let had = usize::try_from(had).unwrap_or(usize::MAX);
        out.write(best.get(had..).unwrap_or_default())?;
        ended
    }
}

fn input_of(packed: Packed<'_>) -> &[u8] {
    packed.input.get(..INPUT_MAX).unwrap_or(packed.input)
}

fn run(
    packed: Packed<'_>,
    out: &mut Output<'_>,
    decode: impl FnOnce(&[u8], usize, &mut Into<'_, '_>) -> rars::codec::Result<()>,
) -> Result<(), Broken> {
    let len = usize::try_from(packed.unpacked_len.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut into = Into { out, broken: None };
    let ended = decode(input_of(packed), len, &mut into);
    match (into.broken.take(), ended) {
        (Some(broken), _) => Err(broken),
        (None, Ok(())) => Ok(()),
        (None, Err(rars::codec::Error::NeedMoreInput)) => Err(Broken::Truncated),
        (None, Err(rars::codec::Error::InvalidData(why))) => Err(Broken::Damaged(why)),
        (None, Err(_)) => Err(Broken::Damaged("rar: data")),
    }
}

/// An [`Output`] as a writer.
struct Into<'o, 's> {
    out: &'o mut Output<'s>,
    broken: Option<Broken>,
}

impl Write for Into<'_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.out.write(data) {
            Ok(()) => Ok(data.len()),
            Err(broken) => {
                self.broken = Some(broken);
                Err(io::Error::other("ended"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
