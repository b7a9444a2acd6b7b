//! InstallShield setups around an MSI: files behind a program, scrambled with a key made of their names.
//!
//! Yields: one child per file, unpacked.
//! Leaves out: nothing.
//! Limits: through `Sink`.
//! Hostile input: the count of files is not believed; a file that is not packed, or cut, is handed over as far
//! as it is, and what does not look like an entry ends the list with a defect.
//! Sources: observation of test files.

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
        recognised_by: "`InstallShield` and a first entry, anywhere in a program",
        yields: "one child per file",
        leaves_out: "nothing",
        limits: "none of its own",
        sources: "observation of test files",
    },
};

const HEADER_LEN: usize = 46;
const NAME_LEN: usize = 260;
const MASK: [u8; 4] = [0x13, 0x35, 0x86, 0x07];
/// Bytes after which the key begins again.
const BLOCK_LEN: usize = 1024;
const SCRAMBLED: u32 = 2;
const IN_BLOCKS: u32 = 4;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let count = Reader::at(object, 14).u16_le()?;
    let mut reader = Reader::at(object, HEADER_LEN);
    for position in 1..=u32::from(count) {
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        let Ok(name) = reader.take(NAME_LEN) else {
            sink.unscanned(b"", Reason::Truncated);
            break;
        };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let flags = reader.u32_le()?;
        reader.skip(4)?;
        let len = reader.u32_le()?;
        reader.skip(8)?;
        let wide = reader.u16_le()?;
        reader.skip(30)?;
        if name.is_empty() || flags > 0xff || wide > 1 {
            sink.defect(Defect::new(off, "entry"));
            sink.unscanned(b"", Reason::Damaged("list of files".into()));
            break;
        }
        let data = reader.take_up_to(size(u64::from(len)));
        let packed_len = u64::from(len);
        sink.member(&Member { name, packed_len, position, ..Member::default() })?;
        let cut = data.len() < size(packed_len);
        let plain = || Unscrambled::new(data, name, flags);
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
