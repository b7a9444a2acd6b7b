//! Methods that no tool packs with any more: packed here, and unpacked by us and, where it is
//! installed, by `unzip`, which vouches for the packers (except for reduce, which nothing installable
//! unpacks: its packer follows APPNOTE.TXT 5.2 alone).

use std::collections::HashMap;

use hf_core::FileType;

use super::build::{Entry, Zip};
use super::tools::{Folder, missing};
use super::{Random, open, prose, unscanned};

fn samples() -> Vec<Vec<u8>> {
    let mut random = Random(11);
    vec![
        b"a".to_vec(),
        b"abababababababababababab".to_vec(),
        vec![0x90; 700],
        prose(30_000),
        random.bytes(20_000),
        [prose(9000), random.bytes(9000), prose(9000), vec![b'z'; 5000]].concat(),
    ]
}

fn check(method: u16, flags: u16, pack: impl Fn(&[u8]) -> Vec<u8>) {
    let samples = samples();
    let entries = samples
        .iter()
        .enumerate()
        .map(|(idx, data)| Entry::packed(&idx.to_string(), method, flags, data, pack(data)))
        .collect();
    let object = Zip::of(entries).build();
    // unzip as distributed leaves reduce out.
    if !(2..=5).contains(&method) && !missing("unzip") {
        let folder = Folder::new();
        folder.write("legacy.zip", &object);
        folder.run("unzip", &["-q", "legacy.zip"]);
        for (idx, data) in samples.iter().enumerate() {
            assert!(folder.read(&idx.to_string()) == *data, "unzip disagrees with the packer");
        }
    }
    let recorder = open(FileType::Zip, &object);
    let children = recorder.children();
    assert_eq!(children.len(), samples.len(), "{:?}", unscanned(&recorder));
    for ((name, data), want) in children.iter().zip(&samples) {
        assert!(data == want, "method {method}: sample {} differs", name.escape_ascii());
    }
    assert!(unscanned(&recorder).is_empty());
}

#[test]
fn shrink() {
    check(1, 0, pack_shrink);
}

#[test]
fn reduce() {
    for factor in 1..=4u16 {
        check(factor + 1, 0, |data| pack_reduce(data, usize::from(factor)));
    }
}

#[test]
fn implode() {
    for flags in [0, 2, 4, 6] {
        check(6, flags, |data| pack_implode(data, flags));
    }
}

/// Bits, least significant first.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: usize,
}

impl BitWriter {
    fn put(&mut self, value: usize, len: usize) {
        for bit in 0..len {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= u8::from(value >> bit & 1 == 1) << (self.used % 8);
            self.used += 1;
        }
    }
}

/// Packs by LZW and clears the table partially whenever it is full.
fn pack_shrink(data: &[u8]) -> Vec<u8> {
    const CODES: usize = 8192;
    let mut out = BitWriter::default();
    let mut width = 9;
    let mut strings: HashMap<(usize, u8), usize> = HashMap::new();
    let mut parents: Vec<Option<usize>> = vec![None; CODES];
    let mut current = usize::from(data[0]);
    let emit = |out: &mut BitWriter, code: usize, width: &mut usize| {
        while code >> *width != 0 {
            out.put(256, *width);
            out.put(1, *width);
            *width += 1;
        }
        out.put(code, *width);
    };
    for byte in &data[1..] {
        if let Some(code) = strings.get(&(current, *byte)) {
            current = *code;
            continue;
        }
        emit(&mut out, current, &mut width);
        let free = |parents: &[Option<usize>]| (257..CODES).find(|code| parents[*code].is_none());
        if free(&parents).is_none() {
            out.put(256, width);
            out.put(2, width);
            let inner: Vec<usize> = parents.iter().flatten().copied().collect();
            for (code, parent) in parents.iter_mut().enumerate() {
                if !inner.contains(&code) {
                    *parent = None;
                }
            }
            strings.retain(|_, code| parents[*code].is_some());
        }
        let code = free(&parents).unwrap();
        let alive = current < 256 || parents[current].is_some();
        parents[code] = Some(current);
        if alive {
            strings.insert((current, *byte), code);
        }
        current = usize::from(*byte);
    }
    emit(&mut out, current, &mut width);
    out.bytes
}

/// Finds a copy of what stands at `at`, at most so far back and so long.
fn longest_copy(data: &[u8], at: usize, window: usize, len_max: usize) -> Option<(usize, usize)> {
    let start = at.saturating_sub(window.min(600));
    (start..at)
        .map(|from| {
            let same = data[at..].iter().zip(&data[from..]).take(len_max);
            (same.take_while(|(a, b)| a == b).count(), at - from)
        })
        .max_by_key(|(len, distance)| (*len, std::cmp::Reverse(*distance)))
        .map(|(len, distance)| (distance, len))
}

fn pack_reduce(data: &[u8], factor: usize) -> Vec<u8> {
    let len_bits = 8 - factor;
    let mask = (1 << len_bits) - 1;
    let mut codes: Vec<u8> = Vec::new();
    let mut at = 0;
    while at < data.len() {
        match longest_copy(data, at, 256 << factor, mask + 255 + 3) {
            Some((distance, len)) if len > 4 => {
                let (short, high) = ((len - 3).min(mask), (distance - 1) >> 8);
                codes.extend([144, u8::try_from(short | high << len_bits).unwrap()]);
                if short == mask {
                    codes.push(u8::try_from(len - 3 - mask).unwrap());
                }
                codes.push((distance - 1).to_le_bytes()[0]);
                at += len;
            }
            _ => {
                codes.push(data[at]);
                if data[at] == 144 {
                    codes.push(0);
                }
                at += 1;
            }
        }
    }
    let mut counts = vec![[0usize; 256]; 256];
    let mut last = 0;
    for code in &codes {
        counts[last][usize::from(*code)] += 1;
        last = usize::from(*code);
    }
    let sets: Vec<Vec<usize>> = counts
        .iter()
        .map(|row| {
            let mut often: Vec<usize> = (0..256).filter(|code| row[*code] > 1).collect();
            often.sort_by_key(|code| std::cmp::Reverse(row[*code]));
            often.truncate(32);
            often
        })
        .collect();
    let mut out = BitWriter::default();
    for set in sets.iter().rev() {
        out.put(set.len(), 6);
        set.iter().for_each(|code| out.put(*code, 8));
    }
    let mut last = 0;
    for code in codes.iter().map(|code| usize::from(*code)) {
        let set = &sets[last];
        if set.is_empty() {
            out.put(code, 8);
        } else if let Some(idx) = set.iter().position(|follower| *follower == code) {
            let bits = usize::try_from((set.len() - 1).max(1).ilog2() + 1).unwrap();
            out.put(0, 1);
            out.put(idx, bits);
        } else {
            out.put(1, 1);
            out.put(code, 8);
        }
        last = code;
    }
    out.bytes
}

/// Writes a Shannon-Fano tree and returns the code of each symbol, first bit lowest.
fn put_tree(out: &mut BitWriter, lens: &[usize]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for len in lens {
        match runs.last_mut() {
            Some((count, of)) if of == len && *count < 16 => *count += 1,
            _ => runs.push((1, *len)),
        }
    }
    out.put(runs.len() - 1, 8);
    for (count, len) in runs {
        out.put(len - 1, 4);
        out.put(count - 1, 4);
    }
    let mut order: Vec<usize> = (0..lens.len()).collect();
    order.sort_by_key(|symbol| (lens[*symbol], *symbol));
    let mut codes = vec![(0, 0); lens.len()];
    let mut code = 0usize;
    for symbol in order.into_iter().rev() {
        let len = lens[symbol];
        let reversed = (0..len).fold(0, |value, bit| value << 1 | (code >> (16 - len + bit) & 1));
        codes[symbol] = (reversed, len);
        code += 1 << (16 - len);
    }
    assert_eq!(code, 1 << 16, "the tree is complete");
    codes
}

fn pack_implode(data: &[u8], flags: u16) -> Vec<u8> {
    let (low_bits, len_min) =
        (if flags & 2 != 0 { 7 } else { 6 }, if flags & 4 != 0 { 3 } else { 2 });
    let mut out = BitWriter::default();
    let literals = (flags & 4 != 0).then(|| {
        // 32 of 7 bits, 160 of 8 and 64 of 9 bits fill the tree.
        let len = |symbol| {
            if symbol < 64 {
                9
            } else if symbol % 6 == 5 {
                7
            } else {
                8
            }
        };
        let lens: Vec<usize> = (0..256).map(len).collect();
        put_tree(&mut out, &lens)
    });
    let uneven: Vec<usize> = (0..64)
        .map(|symbol| {
            if symbol < 8 {
                4
            } else if symbol < 16 {
                6
            } else {
                7
            }
        })
        .collect();
    let lengths = put_tree(&mut out, &uneven);
    let distances = put_tree(&mut out, &uneven);
    let mut at = 0;
    while at < data.len() {
        match longest_copy(data, at, 64 << low_bits, 63 + 255 + len_min) {
            Some((distance, len)) if len > len_min => {
                out.put(0, 1);
                out.put((distance - 1) & ((1 << low_bits) - 1), low_bits);
                let (code, bits) = distances[(distance - 1) >> low_bits];
                out.put(code, bits);
                let short = (len - len_min).min(63);
                out.put(lengths[short].0, lengths[short].1);
                if short == 63 {
                    out.put(len - len_min - 63, 8);
                }
                at += len;
            }
            _ => {
                out.put(1, 1);
                let byte = usize::from(data[at]);
                let (code, bits) = literals.as_ref().map_or((byte, 8), |codes| codes[byte]);
                out.put(code, bits);
                at += 1;
            }
        }
    }
    out.bytes
}
