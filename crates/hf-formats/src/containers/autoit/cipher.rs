//! The keys and streams of random numbers under which compiled scripts stand.
//!
//! Sources: M. Matsumoto and T. Nishimura, "Mersenne Twister" (1998), whose reference values the tests have;
//! observation of test files.

/// A generation of compiled scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edition {
    Ea05,
    Ea06,
}

/// What is mixed into the fields of a record.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) record: u32,
    pub(super) kind: (u32, u32),
    pub(super) name: (u32, u32),
    pub(super) len: u32,
    pub(super) check: u32,
    content: u32,
}

impl Edition {
    pub(super) fn keys(self) -> &'static Keys {
        match self {
            Self::Ea05 => &Keys {
                record: 0x16fa,
                kind: (0x29bc, 0xa25e),
                name: (0x29ac, 0xf25e),
                len: 0x45aa,
                check: 0xc3d2,
                content: 0x22af,
            },
            Self::Ea06 => &Keys {
                record: 0x18ee,
                kind: (0xadbc, 0xb33f),
                name: (0xf820, 0xf479),
                len: 0x87bc,
                check: 0xa685,
                content: 0x2477,
            },
        }
    }

    /// Returns the key of files' contents; the older edition adds the sum of the header's last bytes.
    pub(super) fn content_key(self, check: &[u8]) -> u32 {
        let sum: u32 = check.iter().map(|byte| u32::from(*byte)).sum();
        let sum = if self == Self::Ea05 { sum } else { 0 };
        self.keys().content.wrapping_add(sum)
    }

    /// Decrypts bytes under a key.
    pub(super) fn decrypt(self, data: &[u8], key: u32) -> Vec<u8> {
        match self {
            Self::Ea05 => {
                let mut random = Twister::new(key);
                data.iter().map(|byte| byte ^ random.byte()).collect()
            }
            Self::Ea06 => {
                let mut random = Lagged::new(key);
                data.iter().map(|byte| byte ^ random.byte()).collect()
            }
        }
    }
}

const STATE_LEN: usize = 624;
const SHIFT: usize = 397;

/// The Mersenne Twister MT19937.
struct Twister {
    state: Vec<u32>,
    at: usize,
}

impl Twister {
    fn new(seed: u32) -> Self {
        let mut state = Vec::with_capacity(STATE_LEN);
        let mut value = seed;
        state.push(value);
        for idx in 1..624u32 {
            value = (value ^ (value >> 30)).wrapping_mul(0x6c07_8965).wrapping_add(idx);
            state.push(value);
        }
        Self { state, at: 0 }
    }

    /// Makes the next word of the state, in its place, and returns what stands for it.
    fn next(&mut self) -> u32 {
        let idx = self.at;
        self.at = self.at.wrapping_add(1) % STATE_LEN;
        let word = |idx: usize| self.state.get(idx % STATE_LEN).copied().unwrap_or(0);
        let mixed = (word(idx) & 0x8000_0000) | (word(idx.wrapping_add(1)) & 0x7fff_ffff);
        let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
        let next = word(idx.wrapping_add(SHIFT)) ^ (mixed >> 1) ^ odd;
        if let Some(to) = self.state.get_mut(idx) {
            *to = next;
        }
        let mut value = next;
        value ^= value >> 11;
        value ^= (value << 7) & 0x9d2c_5680;
        value ^= (value << 15) & 0xefc6_0000;
        value ^ (value >> 18)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from((self.next() >> 1) & 0xff).unwrap_or(0)
    }
}

const LAG: usize = 17;

/// A generator of seventeen words, each the sum of two that are turned.
struct Lagged {
    words: [u32; LAG],
    first: usize,
    second: usize,
}

impl Lagged {
    fn new(seed: u32) -> Self {
        let mut words = [0u32; LAG];
        let mut value = seed;
        for word in &mut words {
            value = 1u32.wrapping_sub(value.wrapping_mul(0x53a9_b4fb));
            *word = value;
        }
        let mut random = Self { words, first: 0, second: 10 };
        for _ in 0..9 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u32 {
        let word = |idx: usize| self.words.get(idx).copied().unwrap_or(0);
        let sum = word(self.first).rotate_left(9).wrapping_add(word(self.second).rotate_left(13));
        if let Some(to) = self.words.get_mut(self.first) {
            *to = sum;
        }
        self.first = self.first.checked_sub(1).unwrap_or(LAG - 1);
        self.second = self.second.checked_sub(1).unwrap_or(LAG - 1);
        sum
    }

    /// Returns the next byte: the top eight bits of every second number.
    fn byte(&mut self) -> u8 {
        self.next();
        let [_, _, _, top] = self.next().to_le_bytes();
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_reference() {
        let mut random = Twister::new(5489);
        assert_eq!([random.next(), random.next()], [3_499_211_612, 581_869_302]);
        // The tenth thousandth, as the C++ standard gives it.
        let last = (2..10_000).map(|_| random.next()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
