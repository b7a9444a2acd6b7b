//! Makes content of the size that ClamAV publishes today, by varying real signatures.
//!
//! `--real DIR` holds real databases (`*.hdb.gz`, `*.ldb.gz`, `*.ndb.gz`); they are copied beside what is
//! made from them. Hash signatures get random digests under real stems of names and near real sizes.
//! A body keeps its shape: wildcards, offsets and modifiers stay, and so does every sub-signature
//! that real signatures share; in the others one literal byte of four becomes another of the same
//! class, drawn as often as it is in real ones, so that anchors stay about as rare as real ones.
//!
//! The same input gives the same output: a seeded generator, no clock, sorted directories.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;

use crate::arguments::Arguments;
use crate::random::Random;

/// How many signatures of each kind.
#[derive(Debug, Clone, Copy)]
struct Scale {
    section_md5: u64,
    object_md5: u64,
    object_sha256: u64,
    logical: u64,
    extended: u64,
}

const LARGE: Scale = Scale {
    section_md5: 4_500_000,
    object_md5: 2_300_000,
    object_sha256: 1_000_000,
    logical: 220_000,
    extended: 90_000,
};

const SMALL: Scale = Scale {
    section_md5: 45_000,
    object_md5: 23_000,
    object_sha256: 10_000,
    logical: 2_200,
    extended: 900,
};

/// Runs `gen-content --out DIR [--scale small|large] --real DIR`.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let out = PathBuf::from(arguments.required("--out")?);
    let real = PathBuf::from(arguments.required("--real")?);
    let scale = match arguments.value("--scale")?.as_deref() {
        None | Some("large") => LARGE,
        Some("small") => SMALL,
        Some(other) => bail!("--scale is small or large, not {other}"),
    };
    arguments.finish()?;
    generate(&out, &real, scale)
}

fn generate(out: &Path, real: &Path, scale: Scale) -> Result<()> {
    fs::create_dir_all(out)?;
    let real = Real::read(real, out)?;
    let mut random = Random(0x686f_6c64_6661_7374);
    let mut write = |name: &str, line: &mut dyn FnMut(&mut Random, u64) -> String, count: u64| {
        let path = out.join(name);
        let mut file = BufWriter::new(File::create(&path)?);
        for nth in 0..count {
            writeln!(file, "{}", line(&mut random, nth))?;
        }
        file.flush().with_context(|| path.display().to_string())
    };
    let section = &mut |random: &mut Random, nth| {
        format!("{}:{}:{}", real.section_size(random), random.hex(16), real.name(random, nth))
    };
    write("made.mdb", section, scale.section_md5)?;
    let object = &mut |random: &mut Random, nth| {
        format!("{}:{}:{}", random.hex(16), real.object_size(random), real.name(random, nth))
    };
    write("made.hdb", object, scale.object_md5)?;
    let object = &mut |random: &mut Random, nth| {
        format!("{}:{}:{}", random.hex(32), real.object_size(random), real.name(random, nth))
    };
    write("made.hsb", object, scale.object_sha256)?;
    let logical = Bodies::new(&real.logical, ';', 3..usize::MAX);
    write("made.ldb", &mut |random, nth| logical.vary(random, nth), scale.logical)?;
    let extended = Bodies::new(&real.extended, ':', 3..4);
    write("made.ndb", &mut |random, nth| extended.vary(random, nth), scale.extended)
}

/// What real databases say.
#[derive(Debug, Default)]
struct Real {
    stems: Vec<String>,
    sizes: Vec<u64>,
    logical: Vec<String>,
    extended: Vec<String>,
}

impl Real {
    /// Reads the databases and writes them out without compression.
    fn read(dir: &Path, out: &Path) -> Result<Self> {
        let mut real = Self::default();
        let mut paths: Vec<PathBuf> =
            fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(plain) = name.strip_suffix(".gz") else { continue };
            let mut copy = BufWriter::new(File::create(out.join(plain))?);
            for line in BufReader::new(GzDecoder::new(File::open(&path)?)).split(b'\n') {
                let line = line?;
                copy.write_all(&line)?;
                copy.write_all(b"\n")?;
                real.take(plain, &line);
            }
            copy.flush()?;
        }
        if real.stems.is_empty() || real.logical.is_empty() || real.extended.is_empty() {
            bail!("{} needs *.hdb.gz, *.ldb.gz and *.ndb.gz", dir.display());
        }
        Ok(real)
    }

    fn take(&mut self, file: &str, line: &[u8]) {
        let Ok(line) = std::str::from_utf8(line) else { return };
        if line.starts_with('#') {
        } else if file.ends_with(".hdb") {
            let fields: Vec<&str> = line.split(':').collect();
            if let [_, size, name, ..] = fields[..] {
                self.sizes.extend(size.parse::<u64>());
                self.stems.push(stem(name).to_owned());
            }
        } else if file.ends_with(".ldb") {
            self.logical.push(line.to_owned());
        } else if file.ends_with(".ndb") {
            self.extended.push(line.to_owned());
        }
    }

    fn name(&self, random: &mut Random, nth: u64) -> String {
        format!("{}-{}-{}", random.pick(&self.stems), 6_000_000 + nth, random.below(3))
    }

    fn object_size(&self, random: &mut Random) -> u64 {
        let size = *random.pick(&self.sizes);
        if random.below(2) == 0 { size } else { size + random.below(size / 8 + 1) }
    }

    /// Sections are padded to 512 bytes and mostly small.
    fn section_size(&self, random: &mut Random) -> u64 {
        (self.object_size(random) >> random.below(4)).next_multiple_of(512).max(512)
    }
}

/// Signatures of one language, with what their bodies have in common.
struct Bodies<'a> {
    lines: &'a [String],
    separator: char,
    fields: std::ops::Range<usize>,
    uses: HashMap<&'a str, u32>,
    letters: Vec<u8>,
    others: Vec<u8>,
}

impl<'a> Bodies<'a> {
    fn new(lines: &'a [String], separator: char, fields: std::ops::Range<usize>) -> Self {
        let mut bodies = Self {
            lines,
            separator,
            fields,
            uses: HashMap::new(),
            letters: Vec::new(),
            others: Vec::new(),
        };
        for line in lines {
            for body in line.split(separator).enumerate().filter(|(n, _)| bodies.fields.contains(n))
            {
                *bodies.uses.entry(body.1).or_default() += 1;
                for at in literals(body.1) {
                    let byte = byte_at(body.1, at);
                    let class = if byte.is_ascii_alphabetic() {
                        &mut bodies.letters
                    } else {
                        &mut bodies.others
                    };
                    class.push(byte);
                }
            }
        }
        bodies
    }

    fn vary(&self, random: &mut Random, nth: u64) -> String {
        let at = usize::try_from(nth).unwrap_or(usize::MAX) % self.lines.len();
        let mut varied = String::new();
        for (field, text) in self.lines[at].split(self.separator).enumerate() {
            if field > 0 {
                varied.push(self.separator);
            }
            if field == 0 {
                varied.push_str(&format!("{}-{}-0", stem(text), 9_000_000 + nth));
            } else if self.fields.contains(&field) && self.uses[text] < SHARED {
                varied.push_str(&self.vary_body(random, text));
            } else {
                varied.push_str(text);
            }
        }
        varied
    }

    fn vary_body(&self, random: &mut Random, body: &str) -> String {
        let mut varied = body.as_bytes().to_vec();
        let literals = literals(body);
        let always = random.below(literals.len().max(1) as u64);
        for (nth, at) in literals.into_iter().enumerate() {
            if nth as u64 != always && random.below(4) != 0 {
                continue;
            }
            let class =
                if byte_at(body, at).is_ascii_alphabetic() { &self.letters } else { &self.others };
            let text = format!("{:02x}", random.pick(class));
            varied[at..at + 2].copy_from_slice(text.as_bytes());
        }
        String::from_utf8(varied).unwrap_or_default()
    }
}

/// Returns the offsets of the digit pairs of a body that stand for one byte each.
fn literals(body: &str) -> Vec<usize> {
    let bytes = body.as_bytes();
    // Regular expressions, byte comparisons, image hashes and macros stay as they are.
    if body.contains(['/', '#', '$']) || body.contains("fuzzy") {
        return Vec::new();
    }
    let end = body.find("::").unwrap_or(body.len());
    let start = body[..end].find(':').map_or(0, |at| at + 1);
    let mut found = Vec::new();
    let mut at = start;
    while at < end {
        let close = match bytes[at] {
            b'(' => b')',
            b'{' => b'}',
            b'[' => b']',
            b'*' | b'!' => {
                at += 1;
                continue;
            }
            _ => {
                let pair = bytes.get(at..end.min(at + 2)).unwrap_or_default();
                if pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit) {
                    found.push(at);
                }
                at += 2;
                continue;
            }
        };
        at += bytes[at..end].iter().position(|c| *c == close).unwrap_or(end - at) + 1;
    }
    found
}

fn byte_at(body: &str, at: usize) -> u8 {
    u8::from_str_radix(&body[at..at + 2], 16).unwrap_or(0)
}

/// Returns a name without the numbers behind it.
fn stem(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-')
}

/// Ours: from so many uses on a sub-signature is a common idiom, not what tells families apart.
const SHARED: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_bytes_are_literals() {
        let pairs =
            |body: &str| literals(body).iter().map(|at| byte_at(body, *at)).collect::<Vec<_>>();
        assert_eq!(pairs("6162*63??6?64"), [0x61, 0x62, 0x63, 0x64]);
        assert_eq!(
            pairs("EP+0,10:61{2-4}62(63|64)65[1-2]66!(67)68::iw"),
            [0x61, 0x62, 0x65, 0x66, 0x68]
        );
        assert!(pairs("0/abcd/i").is_empty());
        assert!(pairs("0(>>4#he2#=20)").is_empty());
        assert!(pairs("").is_empty());
    }

    #[test]
    fn variants_keep_their_shape() {
        let lines = ["A.B-1-0;Target:1;0&1;61626364{3}65666768;0/re/".to_owned()];
        let bodies = Bodies::new(&lines, ';', 3..usize::MAX);
        let varied = bodies.vary(&mut Random(1), 7);
        assert!(varied.starts_with("A.B-9000007-0;Target:1;0&1;"), "{varied}");
        assert!(varied.ends_with(";0/re/"), "{varied}");
        assert_eq!(varied.len(), lines[0].len() + "9000007".len() - 1);
        assert_ne!(varied.split(';').nth(3), lines[0].split(';').nth(3));
        assert_eq!(varied, bodies.vary(&mut Random(1), 7));
    }
}
