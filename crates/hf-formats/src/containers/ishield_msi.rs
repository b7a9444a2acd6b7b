//! InstallShield setups around an MSI: files behind a program, scrambled with a key made of their names.
//!
//! Yields: one child per file, unpacked.
//! Leaves out: nothing.
//! Limits: through `Sink`.
//! Hostile input: the count of files is not believed; a file that is not packed, or cut, is handed over as far
//! as it is, and what does not look like an entry ends the list with a defect.
//! Sources: observation of test files; for `ISSetupStream`, public notes on its layout.

use std::io::{self, Read};

use hf_core::{ChildRole, Defect, FileType, Halt, Member, Reason, Sink};

use crate::bounded::{Ended, hand_over, unpack};
use crate::codec::Inflate;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "ishield_msi",
    types: &[FileType::IshieldMsi],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x8000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`InstallShield` and a first entry, anywhere in a program; `ISSetupStream` behind one",
        yields: "one child per file",
        leaves_out: "nothing",
        limits: "none of its own",
        sources: "observation of test files",
    },
};

/// Of later versions.
pub(crate) const STREAM: &[u8] = b"ISSetupStream\0";
const HEADER_LEN: usize = 46;
const NAME_LEN: usize = 260;
const MASK: [u8; 4] = [0x13, 0x35, 0x86, 0x07];
/// Bytes after which the key begins again.
const BLOCK_LEN: usize = 1024;
const SCRAMBLED: u32 = 2;
const IN_BLOCKS: u32 = 4;

/// What stands in front of a file.
struct Entry {
    name: Vec<u8>,
    flags: u32,
    len: u32,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let stream = object.starts_with(STREAM);
    let count = Reader::at(object, 14).u16_le()?;
    let mut reader = Reader::at(object, HEADER_LEN);
    for position in 1..=u32::from(count) {
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        if reader.left() == 0 {
            sink.unscanned(b"", Reason::Truncated);
            break;
        }
        let entry = if stream { later_entry(&mut reader) } else { entry(&mut reader) };
        let Some(entry) = entry else {
            sink.defect(Defect::new(off, "entry"));
            sink.unscanned(b"", Reason::Damaged("list of files".into()));
            break;
        };
        let name = entry.name.as_slice();
        let packed_len = u64::from(entry.len);
        let data = reader.take_up_to(size(packed_len));
        sink.member(&Member { name, packed_len, position, ..Member::default() })?;
        let cut = data.len() < size(packed_len);
        let plain = || Unscrambled::new(data, name, entry.flags);
        let mut unpacked = unpack(Inflate::zlib(io::BufReader::new(plain())), 0, sink)?;
        if unpacked.bytes.is_empty() && unpacked.ended != Ended::Whole {
            unpacked = unpack(plain(), packed_len, sink)?;
        }
        if cut && unpacked.ended == Ended::Whole {
            unpacked.ended = Ended::Truncated;
        }
        hand_over(&unpacked, name, ChildRole::Member, sink)?;
    }
    Ok(())
}

fn entry(reader: &mut Reader<'_>) -> Option<Entry> {
    let name = reader.take(NAME_LEN).ok()?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let flags = reader.u32_le().ok()?;
    reader.skip(4).ok()?;
    let len = reader.u32_le().ok()?;
    reader.skip(8).ok()?;
    let wide = reader.u16_le().ok()?;
    reader.skip(30).ok()?;
    (!name.is_empty() && flags <= 0xff && wide <= 1).then_some(Entry { name, flags, len })
}

/// Reads an entry of later versions, whose name has a length of its own; some have 24 bytes more in front
/// of it.
fn later_entry(reader: &mut Reader<'_>) -> Option<Entry> {
    let read = |mut reader: Reader<'_>, more: usize| {
        let name_len = size(u64::from(reader.u32_le().ok()?));
        let flags = reader.u32_le().ok()?;
        reader.skip(2).ok()?;
        let len = reader.u32_le().ok()?;
        reader.skip(10).ok()?;
        reader.skip(more).ok()?;
        let right = (2..=NAME_LEN.saturating_mul(2)).contains(&name_len) && flags <= 0xff;
        let name = reader.take(name_len).ok().filter(|_| right)?;
        let units = name.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        let text = String::from_utf16(&units).ok().filter(|text| !text.is_empty())?;
        let right = !text.chars().any(char::is_control);
        right.then(|| (Entry { name: text.into_bytes(), flags, len }, reader.off()))
    };
    let (entry, off) = read(*reader, 0).or_else(|| read(*reader, 24))?;
    reader.seek(off);
    Some(entry)
}

/// Reads the bytes behind their key.
struct Unscrambled<'a> {
    data: &'a [u8],
    key: Vec<u8>,
    off: usize,
    in_blocks: bool,
}

impl<'a> Unscrambled<'a> {
    fn new(data: &'a [u8], name: &[u8], flags: u32) -> Self {
        let key = name.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let key = if flags & SCRAMBLED != 0 { key.collect() } else { Vec::new() };
        Self { data, key, off: 0, in_blocks: flags & IN_BLOCKS != 0 }
    }
}

impl Read for Unscrambled<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.data.get(self.off..).unwrap_or_default();
        let room =
            if self.in_blocks { BLOCK_LEN.saturating_sub(self.off % BLOCK_LEN) } else { buf.len() };
        let start = if self.in_blocks { self.off % BLOCK_LEN } else { self.off };
        let len = rest.len().min(room).min(buf.len());
        let key_off = start.checked_rem(self.key.len()).unwrap_or(0);
        let mut key = self.key.iter().cycle().skip(key_off);
        for (to, from) in buf.iter_mut().zip(rest).take(len) {
            *to = match key.next() {
                Some(key) => !(key ^ from.rotate_right(4)),
                None => *from,
            };
        }
        self.off = self.off.saturating_add(len);
        Ok(len)
    }
}
