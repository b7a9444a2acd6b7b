//! cpio archives: old binary (both byte orders), octal, new ASCII, new ASCII with checksum.
//!
//! Yields: one child per entry with data, named by the raw bytes in the header.
//! Leaves out: entries without data (folders, device nodes).
//! Limits: all through `Sink`; a name is at most 64 KiB.
//! Hostile input: the kind of header may change within an archive; a bad header ends the archive with a
//! defect unless another magic follows; archives may stand one behind the other; a cut entry is
//! handed over as far as it is.
//! Sources: cpio(5) of FreeBSD; Linux `buffer-format.rst`.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};
use memchr::memmem;

use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "cpio",
    types: &[FileType::CpioOld, FileType::CpioOdc, FileType::CpioNewc, FileType::CpioCrc],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x4000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`070701`, `070702`, `070707`, `71c7` or `c771` at the start",
        yields: "one child per entry with data",
        leaves_out: "entries without data",
        limits: "a name up to 64 KiB",
        sources: "cpio(5), Linux buffer-format.rst",
    },
};

const TRAILER: &[u8] = b"TRAILER!!!";
const NAME_LEN_MAX: u64 = 64 * 1024;
/// Ours: bytes searched for the next header behind a bad one.
const SEARCH_LEN: usize = 1 << 20;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::new(object);
    let mut position = 0u32;
    loop {
        sink.poll()?;
        let off = reader.off();
        let Some(header) = Header::read(&mut reader) else {
            reader.seek(off);
            if !resume(&mut reader, position > 0, sink)? {
                return Ok(());
            }
            continue;
        };
        let name = reader.take_up_to(size(header.name_len));
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        header.align(off, &mut reader);
        let data = reader.take_up_to(size(header.data_len));
        header.align(off, &mut reader);
        if name == TRAILER && header.data_len == 0 {
            continue;
        }
        position = position.saturating_add(1);
        let len = header.data_len;
        sink.member(&Member {
            name,
            packed_len: len,
            unpacked_len: len,
            position,
            ..Member::default()
        })?;
        if data.len() < size(len) {
            sink.unscanned(name, Reason::Truncated);
        }
        if !data.is_empty() {
            sink.child(Child { name, data, role: ChildRole::Member })?;
        }
    }
}

/// Moves to the next header and says what was wrong; false when there is none.
fn resume(reader: &mut Reader<'_>, had_some: bool, sink: &mut dyn Sink) -> Result<bool, Stop> {
    let rest = reader.rest();
    let padding = rest.iter().take_while(|byte| **byte == 0).count();
    let behind = rest.get(padding..).unwrap_or_default();
    if behind.is_empty() {
        if !had_some {
            sink.unscanned(b"", Reason::Truncated);
        }
        return Ok(false);
    }
    reader.seek(reader.off().saturating_add(padding));
    let mut probe = *reader;
    if padding > 0 && Header::read(&mut probe).is_some() {
        return Ok(true);
    }
    let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
    sink.defect(Defect::new(off, "c_magic"));
    sink.unscanned(b"", Reason::Damaged("c_magic".into()));
    let searched = behind.get(1..behind.len().min(SEARCH_LEN)).unwrap_or_default();
    let next = memmem::find_iter(searched, b"0707").find_map(|gap| {
        let at = reader.off().saturating_add(1).saturating_add(gap);
        let mut probe = *reader;
        probe.seek(at);
        Header::read(&mut probe).map(|_| at)
    });
    match next {
        Some(at) => {
            reader.seek(at);
            Ok(true)
        }
        // As the kernel reads what it boots from: another archive may follow, in a stream of its own.
        None if had_some => {
            sink.child(Child {
                name: b"behind the archive",
                data: behind,
                role: ChildRole::Member,
            })?;
            Ok(false)
        }
        None => Ok(false),
    }
}

struct Header {
    name_len: u64,
    data_len: u64,
    /// Names and data end at a multiple of so many bytes.
    alignment: usize,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let magic = reader.rest().get(..6)?;
        let header = match magic {
            b"070701" | b"070702" => {
                let fields = reader.take(110).ok()?;
                let field = |off: usize| number(fields.get(off..off.checked_add(8)?)?, 16);
                Self { name_len: field(94)?, data_len: field(54)?, alignment: 4 }
            }
            b"070707" => {
                let fields = reader.take(76).ok()?;
                let name_len = number(fields.get(59..65)?, 8)?;
                Self { name_len, data_len: number(fields.get(65..76)?, 8)?, alignment: 1 }
            }
            [a @ 0xc7, b @ 0x71, ..] | [a @ 0x71, b @ 0xc7, ..] => {
                let little = [*a, *b] == [0xc7, 0x71];
                let fields = reader.take(26).ok()?;
                let word = |off: usize| {
                    let pair = fields.get(off..off.checked_add(2)?)?.first_chunk::<2>()?;
                    Some(if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) })
                };
                let data_len = u64::from(word(22)?) << 16 | u64::from(word(24)?);
                Self { name_len: u64::from(word(20)?), data_len, alignment: 2 }
            }
            _ => return None,
        };
        (header.name_len <= NAME_LEN_MAX).then_some(header)
    }

    /// Moves to the next multiple of the alignment, counted from the header.
    fn align(&self, header_off: usize, reader: &mut Reader<'_>) {
        let len = reader.off().saturating_sub(header_off);
        let padded = len.checked_next_multiple_of(self.alignment).unwrap_or(len);
        reader.take_up_to(padded.saturating_sub(len));
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let digits = digits.trim_ascii();
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}
