//! Compiled Python (`.pyc`): the objects of `marshal`.
//!
//! Yields: one text with a line for each string and name, and each constant of bytes that is long enough to hide
//! something. Facts: magic number and source file. Nothing is yielded under ClamAV's quirks: it does not.
//! Leaves out: instructions.
//! Limits: depth of [`DEPTH_MAX`], [`BYTES_COUNT_MAX`] constants of bytes.
//! Hostile input: the first type that is not known ends the reading with a defect; what was read is handed over.
//! Sources: [1] Python documentation, `marshal`, `importlib`; [2] PEP 552 (header); [3] the `co_` fields in
//! the documentation of `types.CodeType` and the "What's new" of each release (their order is seen in files).

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Sink};

use super::strings::Lines;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "pyc",
    types: &[FileType::PythonCompiled],
    stage: Stage::AfterMatch,
    enabled: |options| !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "the magic number of a release and `\\r\\n`",
        yields: "a text of its strings and names; constants of 64 bytes and more",
        leaves_out: "instructions",
        limits: "depth 64, 1024 constants of bytes",
        sources: "Python documentation, marshal; PEP 552",
    },
};

/// Depth of objects in objects; ours (Python's own is 2000, which no compiler makes).
const DEPTH_MAX: u32 = 64;
/// Constants of bytes handed over; ours.
const BYTES_COUNT_MAX: usize = 1024;
/// Shorter ones are not worth an object of their own; ours.
const BYTES_LEN_MIN: usize = 64;

/// What a code object has before its code, and behind its names.
#[derive(Clone, Copy)]
struct Layout {
    /// Numbers in front.
    ints: u32,
    /// Objects between the code and the first line.
    objects: u32,
    /// Objects behind the first line.
    tables: u32,
    /// Bytes of a number.
    int_len: usize,
}

/// Returns where the objects begin, and how code is laid out, by the release's magic number.
fn layout(magic: u16) -> (usize, Layout) {
    let python_2 = Layout { ints: 4, objects: 7, tables: 1, int_len: 4 };
    match magic {
        // 3.11 and later.
        3495..=9999 => (16, Layout { ints: 5, objects: 7, tables: 2, int_len: 4 }),
        // 3.8 to 3.10: arguments by position only.
        3400..=3494 => (16, Layout { ints: 6, objects: 7, tables: 1, int_len: 4 }),
        // 3.7: PEP 552.
        3390..=3399 => (16, Layout { ints: 5, objects: 7, tables: 1, int_len: 4 }),
        // 3.3: the length of the source.
        3200..=3389 => (12, Layout { ints: 5, objects: 7, tables: 1, int_len: 4 }),
        3000..=3199 => (8, Layout { ints: 5, objects: 7, tables: 1, int_len: 4 }),
        // 1.5 to 2.2.
        20121 | 50428 | 50823 | 60202 | 60717 => (8, Layout { int_len: 2, ..python_2 }),
        _ => (8, python_2),
    }
}

struct Unmarshal<'a> {
    reader: Reader<'a>,
    layout: Layout,
    lines: Lines,
    bytes: Vec<&'a [u8]>,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let magic = Reader::new(object).u16_le()?;
    sink.fact("pyc.magic", &magic.to_string());
    let (start, layout) = layout(magic);
    let mut unmarshal = Unmarshal {
        reader: Reader::at(object, start),
        layout,
        lines: Lines::new(object.len().saturating_mul(2).saturating_add(0x100)),
        bytes: Vec::new(),
    };
    let read = unmarshal.object(DEPTH_MAX);
    unmarshal.lines.hand_over(b"strings", sink)?;
    for data in unmarshal.bytes {
        sink.poll()?;
        sink.child(Child { name: b"bytes", data, role: ChildRole::Member })?;
    }
    Ok(read?)
}

impl<'a> Unmarshal<'a> {
    fn long(&mut self) -> Result<usize, Defect> {
        Ok(size(u64::from(self.reader.u32_le()?)))
    }

    fn defect(&self, what: &'static str) -> Defect {
        Defect::new(u64::try_from(self.reader.off().saturating_sub(1)).unwrap_or(u64::MAX), what)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Defect> {
        self.reader.take(len)
    }

    /// Reads an object; types are those of [1], with a bit for "may be referred to".
    fn object(&mut self, depth: u32) -> Result<(), Defect> {
        let Some(deeper) = depth.checked_sub(1) else { return Err(self.defect("depth")) };
        let kind = self.reader.u8()? & 0x7f;
        match kind {
            b'0' | b'N' | b'F' | b'T' | b'S' | b'.' => {}
            b'i' | b'r' | b'R' => self.reader.skip(4)?,
            b'I' | b'g' => self.reader.skip(8)?,
            b'y' => self.reader.skip(16)?,
            b'f' => {
                let len = usize::from(self.reader.u8()?);
                self.reader.skip(len)?;
            }
            b'x' => {
                for _ in 0..2 {
                    let len = usize::from(self.reader.u8()?);
                    self.reader.skip(len)?;
                }
            }
            b'l' => {
                let digits = self.reader.u32_le()?.cast_signed().unsigned_abs();
                self.reader.skip(size(u64::from(digits)).saturating_mul(2))?;
            }
            b's' => {
                let len = self.long()?;
                let data = self.take(len)?;
                self.constant(data);
            }
            b't' | b'u' | b'a' | b'A' => {
                let len = self.long()?;
                let data = self.take(len)?;
                self.lines.push(data);
            }
            b'z' | b'Z' => {
                let len = usize::from(self.reader.u8()?);
                let data = self.take(len)?;
                self.lines.push(data);
            }
            b'(' | b'[' | b'<' | b'>' => {
                let count = self.long()?;
                self.objects(count, deeper)?;
            }
            b')' => {
                let count = usize::from(self.reader.u8()?);
                self.objects(count, deeper)?;
            }
            b'{' => self.dictionary(deeper)?,
            b':' => self.objects(3, deeper)?,
            b'c' | b'C' => self.code(deeper)?,
            _ => return Err(self.defect("marshal type")),
        }
        Ok(())
    }

    /// Bytes: in Python 2 all text is that.
    fn constant(&mut self, data: &'a [u8]) {
        let is_text = data.iter().all(|byte| matches!(byte, 0x20..=0x7e | b'\t' | b'\r' | b'\n'));
        if is_text {
            self.lines.push(data);
        }
        if data.len() >= BYTES_LEN_MIN && self.bytes.len() < BYTES_COUNT_MAX {
            self.bytes.push(data);
        }
    }

    fn objects(&mut self, count: usize, depth: u32) -> Result<(), Defect> {
        // Each takes a byte at least, so that a count that lies ends at the end.
        for _ in 0..count {
            self.object(depth)?;
        }
        Ok(())
    }

    fn dictionary(&mut self, depth: u32) -> Result<(), Defect> {
        while self.reader.rest().first().is_some_and(|kind| kind & 0x7f != b'0') {
            self.object(depth)?;
            self.object(depth)?;
        }
        self.reader.skip(1)
    }

    fn code(&mut self, depth: u32) -> Result<(), Defect> {
        let Layout { ints, objects, tables, int_len } = self.layout;
        for _ in 0..ints {
            self.reader.skip(int_len)?;
        }
        // Instructions are bytes as well, but no constant.
        self.aside(depth)?;
        for _ in 0..objects {
            self.object(depth)?;
        }
        self.reader.skip(int_len)?;
        for _ in 0..tables {
            self.aside(depth)?;
        }
        Ok(())
    }

    /// Reads an object of which nothing is kept.
    fn aside(&mut self, depth: u32) -> Result<(), Defect> {
        if self.reader.rest().first().is_some_and(|kind| kind & 0x7f == b's') {
            self.reader.skip(1)?;
            let len = self.long()?;
            return self.reader.skip(len);
        }
        self.object(depth)
    }
}
