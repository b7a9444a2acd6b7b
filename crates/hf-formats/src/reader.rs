//! A cursor over hostile bytes: every read is checked, nothing panics, nothing allocates.

use hf_core::Defect;

/// Returns the next multiple of a unit that is not 0; where there is none, the largest number, which lies behind
/// every object.
pub(crate) fn aligned(value: usize, unit: usize) -> usize {
    value.checked_next_multiple_of(unit).unwrap_or(usize::MAX)
}

/// A position in a byte slice. All integers are read from the position and move it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    off: usize,
}

macro_rules! int {
    ($name:ident, $int:ty, $from:ident) => {
        #[doc = concat!("Reads a `", stringify!($int), "` and moves behind it.")]
        pub(crate) fn $name(&mut self) -> Result<$int, Defect> {
            let mut raw = [0u8; size_of::<$int>()];
            raw.copy_from_slice(self.take(size_of::<$int>())?);
            Ok(<$int>::$from(raw))
        }
    };
}

impl<'a> Reader<'a> {
    /// Returns a reader at the start.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, off: 0 }
    }

    /// Returns a reader at an offset, which may lie behind the end.
    pub(crate) fn at(bytes: &'a [u8], off: usize) -> Self {
        Self { bytes, off }
    }

    /// Returns the position in bytes from the start.
    pub(crate) fn off(&self) -> usize {
        self.off
    }

    /// Returns how many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.off)
    }

    /// Returns everything behind the position without moving.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.off..).unwrap_or_default()
    }

    /// Moves to an offset, which may lie behind the end.
    pub(crate) fn seek(&mut self, off: usize) {
        self.off = off;
    }

    /// Returns the next bytes and moves behind them.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Defect> {
        let end = self.off.checked_add(len).ok_or_else(|| self.truncated())?;
        let taken = self.bytes.get(self.off..end).ok_or_else(|| self.truncated())?;
        self.off = end;
        Ok(taken)
    }

    /// Returns at most so many bytes and moves behind them.
    pub(crate) fn take_up_to(&mut self, len: usize) -> &'a [u8] {
        let taken = self.rest().get(..len.min(self.left())).unwrap_or_default();
        self.off = self.off.saturating_add(taken.len());
        taken
    }

    /// Moves over some bytes, which must be there.
    pub(crate) fn skip(&mut self, len: usize) -> Result<(), Defect> {
        self.take(len).map(|_| ())
    }

    fn truncated(&self) -> Defect {
        Defect::truncated(u64::try_from(self.off).unwrap_or(u64::MAX))
    }

    int!(u8, u8, from_le_bytes);
    int!(u16_le, u16, from_le_bytes);
    int!(u32_le, u32, from_le_bytes);
    int!(u64_le, u64, from_le_bytes);
    int!(u16_be, u16, from_be_bytes);
    int!(u32_be, u32, from_be_bytes);
    int!(u64_be, u64, from_be_bytes);
}

/// Returns a `usize` for a value read from an object; huge values become `usize::MAX`, behind any end.
pub(crate) fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_end() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16_le(), Ok(0x0201));
        assert_eq!(reader.u16_le(), Err(Defect::truncated(2)));
        assert_eq!(reader.take_up_to(9), [3]);
        assert_eq!(Reader::at(&[1], usize::MAX).take(2), Err(Defect::truncated(u64::MAX)));
    }
}
