//! A checked view of little-endian integers in a section.

use std::marker::PhantomData;

/// An integer that sections hold.
pub trait Le: Copy {
    /// Its size in bytes.
    const LEN: usize;
    /// Reads it from exactly [`Le::LEN`] bytes; zero when the length differs.
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! le {
    ($($int:ty),*) => {$(
        impl Le for $int {
            const LEN: usize = size_of::<$int>();
            #[inline]
            fn read(bytes: &[u8]) -> Self {
                bytes.try_into().map_or(0, <$int>::from_le_bytes)
            }
        }
    )*};
}
le!(u8, u16, u32, u64);

/// Integers that lie one after the other; bytes behind the last whole one are ignored.
#[derive(Debug, Clone, Copy)]
pub struct LeArray<'a, T> {
    bytes: &'a [u8],
    of: PhantomData<T>,
}

impl<'a, T: Le> LeArray<'a, T> {
    /// Looks at bytes as integers.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, of: PhantomData }
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / T::LEN
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns one of them.
    #[must_use]
    #[inline]
    pub fn get(&self, idx: usize) -> Option<T> {
        let off = idx.checked_mul(T::LEN)?;
        self.bytes.get(off..off.checked_add(T::LEN)?).map(T::read)
    }

    /// Returns them in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + use<'a, T> {
        self.bytes.chunks_exact(T::LEN).map(T::read)
    }

    /// Returns the index of the first that is not less than `value`, taking them as sorted.
    #[must_use]
    pub fn lower_bound(&self, value: T) -> usize
    where
        T: Ord,
    {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = low.midpoint(high);
            match self.get(mid) {
                Some(found) if found < value => low = mid + 1,
                _ => high = mid,
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_searches() {
        let bytes: Vec<u8> =
            [1u32, 3, 3, 9].iter().flat_map(|n| n.to_le_bytes()).chain([7]).collect();
        let array = LeArray::<u32>::new(&bytes);
        assert_eq!(array.iter().collect::<Vec<_>>(), [1, 3, 3, 9]);
        assert_eq!((array.len(), array.get(3), array.get(4)), (4, Some(9), None));
        assert_eq!(array.get(usize::MAX), None);
        let found = [0, 1, 2, 3, 4, 9, 10].map(|n| array.lower_bound(n));
        assert_eq!(found, [0, 0, 1, 1, 3, 3, 4]);
    }
}
