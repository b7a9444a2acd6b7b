//! EGG archives of ALZip, alone or behind a self-extracting program.
//!
//! Yields: one child per file, of one or more blocks, solid or not: stored, deflate, bzip2, LZMA; files encrypted
//! with ZipCrypto or AES, with the passwords of the content; comments.
//! Leaves out: folders; blocks of method AZO, LEA encryption, and what is in other volumes, which are reported.
//! Limits: through `Sink`; 2^20 fields.
//! Hostile input: wrong checksums are defects; behind damage the next file's or block's signature is looked
//! for; what was unpacked before an error is a child.
//! Sources: ESTsoft's "EGG Format Specification"; clamscan 1.4.6 as an oracle.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};
use memchr::memmem;

use crate::bounded::{Ended, Unpacked, hand_over, unpack_into};
use crate::codec::{Bunzip2, Inflate, Lzma, LzmaHeader};
use crate::containers::next::Next;
use crate::containers::zip::{Traditional, winzip_aes};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "egg",
    types: &[FileType::Egg, FileType::EggSfx],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`EGGA` at the start; `EGGA 00 01` anywhere in a program",
        yields: "one child per file and comment: stored, deflate, bzip2, LZMA; ZipCrypto and AES with the \
                 passwords of the content",
        leaves_out: "folders; AZO, LEA and other volumes (reported)",
        limits: "2^20 fields",
        sources: "EGG Format Specification",
    },
};

const END: u32 = 0x08e2_8222;
const FILE: u32 = 0x0a85_90e3;
const NAME: u32 = 0x0a85_91ac;
const COMMENT: u32 = 0x04c6_3672;
const CRYPT: u32 = 0x08d1_470f;
const GLOBAL_CRYPT: u32 = 0x08d1_44a8;
const SPLIT: u32 = 0x24f5_a262;
const SOLID: u32 = 0x24e5_a060;
const BLOCK: u32 = 0x02b5_0c13;
/// Ours.
const FIELDS_MAX: u32 = 1 << 20;

/// A file whose blocks are being collected.
#[derive(Default)]
struct Entry<'a> {
    name: &'a [u8],
    unpacked_len: u64,
    crypt: Option<Crypt<'a>>,
    blocks: Vec<Block<'a>>,
}

#[derive(Clone, Copy)]
struct Crypt<'a> {
    method: u8,
    data: &'a [u8],
}

#[derive(Clone, Copy)]
struct Block<'a> {
    off: usize,
    method: u8,
    unpacked_len: u32,
    packed_len: u32,
    crc32: u32,
    data: &'a [u8],
}

struct Walk<'a, 's> {
    object: &'a [u8],
    sink: &'s mut dyn Sink,
    off: usize,
    position: u32,
    solid: bool,
    entries: Vec<Entry<'a>>,
    fields: u32,
    damaged: bool,
    encrypted_told: bool,
    next_file: Next,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut walk = Walk {
        object,
        sink,
        off: 14,
        position: 0,
        solid: false,
        entries: Vec::new(),
        fields: 0,
        damaged: false,
        encrypted_told: false,
        next_file: Next::default(),
    };
    while walk.off < object.len() {
        if !walk.step()? {
            break;
        }
    }
    walk.finish()?;
    Ok(())
}

impl<'a> Walk<'a, '_> {
    /// Reads what is at the offset; false when there is no more.
    fn step(&mut self) -> Result<bool, Stop> {
        self.sink.poll()?;
        self.fields = self.fields.saturating_add(1);
        if self.fields > FIELDS_MAX {
            self.sink.unscanned(b"", Reason::FormatLimit("fields".into()));
            return Ok(false);
        }
        let start = self.off;
        let mut reader = Reader::at(self.object, start);
        let understood = match reader.u32_le() {
            Ok(END) => Some(()),
            Ok(FILE) => self.file(&mut reader)?,
            Ok(BLOCK) => self.block(start, &mut reader)?,
            Ok(magic) => self.field(magic, &mut reader)?,
            Err(_) => return Ok(false),
        };
        if understood.is_some() {
            self.off = reader.off();
            return Ok(true);
        }
        if !std::mem::replace(&mut self.damaged, true) {
            let at = u64::try_from(start).unwrap_or(u64::MAX);
            self.sink.defect(Defect::new(at, "header"));
            self.sink.unscanned(b"", Reason::Damaged("header".into()));
        }
        let rest = self.object.get(start.saturating_add(1)..).unwrap_or_default();
        let from = start.saturating_add(1);
        let file = self
            .next_file
            .find(from, || from.checked_add(memmem::find(rest, &FILE.to_le_bytes())?));
        let file = file.and_then(|at| at.checked_sub(from));
        // Blocks only where a file is open, and before the next one.
        let found = match (file, self.entries.is_empty()) {
            (file, true) => file,
            (file, false) => {
                let upto = rest.get(..file.unwrap_or(rest.len())).unwrap_or(rest);
                memmem::find(upto, &BLOCK.to_le_bytes()).or(file)
            }
        };
        match found {
            Some(at) => self.off = from.saturating_add(at),
            None => return Ok(false),
        }
        Ok(true)
    }

    fn file(&mut self, reader: &mut Reader<'a>) -> Result<Option<()>, Stop> {
        let (Ok(_id), Ok(unpacked_len)) = (reader.u32_le(), reader.u64_le()) else {
            return Ok(None);
        };
        if !self.solid {
            self.finish()?;
        }
        self.entries.push(Entry { unpacked_len, ..Entry::default() });
        Ok(Some(()))
    }

    fn block(&mut self, start: usize, reader: &mut Reader<'a>) -> Result<Option<()>, Stop> {
        let mut read = || {
            let method = reader.u8().ok()?;
            reader.skip(1).ok()?;
            let unpacked_len = reader.u32_le().ok()?;
            let packed_len = reader.u32_le().ok()?;
            let crc32 = reader.u32_le().ok()?;
            if reader.rest().starts_with(&END.to_le_bytes()) {
                reader.skip(4).ok()?;
            }
            let data = reader.take_up_to(size(u64::from(packed_len)));
            Some(Block { off: start, method, unpacked_len, packed_len, crc32, data })
        };
        let Some(block) = read() else { return Ok(None) };
        if self.entries.is_empty() {
            self.entries.push(Entry::default());
        }
        if let Some(last) = self.entries.last_mut() {
            last.blocks.push(block);
        }
        Ok(Some(()))
    }

    /// Reads a field with flags and a size; none when it cannot be one.
    fn field(&mut self, magic: u32, reader: &mut Reader<'a>) -> Result<Option<()>, Stop> {
        let known = matches!(
            magic,
            NAME | COMMENT
                | CRYPT
                | GLOBAL_CRYPT
                | SPLIT
                | SOLID
                | 0x2c86_950b
                | 0x1ee9_22e5
                | 0x0746_3307
                | 0xffff_0000
        );
        let Ok(flags) = reader.u8() else { return Ok(None) };
        let len = match flags & 1 {
            0 => reader.u16_le().map(u32::from),
            _ => reader.u32_le(),
        };
        let Some(data) = len.ok().and_then(|len| reader.take(size(u64::from(len))).ok()) else {
            return Ok(None);
        };
        if !known {
            return Ok(None);
        }
        let mut text = Reader::new(data);
        match magic {
            NAME => {
                let skipped = usize::from(flags & 8 != 0) * 2 + usize::from(flags & 0x10 != 0) * 4;
                text.take_up_to(skipped);
                if let Some(last) = self.entries.last_mut() {
                    last.name = text.rest();
                }
            }
            COMMENT => {
                if flags & 4 != 0 {
                    self.sink.unscanned(b"comment", Reason::Encrypted);
                } else if !data.is_empty() {
                    text.take_up_to(usize::from(flags & 8 != 0) * 2);
                    let role = ChildRole::Member;
                    self.sink.child(Child { name: b"comment", data: text.rest(), role })?;
                }
            }
            CRYPT => {
                let method = text.u8().unwrap_or(0xff);
                let crypt = Some(Crypt { method, data: text.rest() });
                if let Some(last) = self.entries.last_mut() {
                    last.crypt = crypt;
                }
            }
            GLOBAL_CRYPT => {
                self.tell_encrypted()?;
                self.sink.unscanned(b"", Reason::Encrypted);
            }
            SPLIT => {
                let previous = text.u32_le().unwrap_or(0);
                if previous != 0 || text.u32_le().unwrap_or(0) != 0 {
                    self.sink.unscanned(b"", Reason::OtherVolume);
                }
            }
            SOLID => self.solid = true,
            _ => {}
        }
        Ok(Some(()))
    }

    fn tell_encrypted(&mut self) -> Result<(), Stop> {
        let wanted = self.sink.options().alert_encrypted_archive;
        if wanted && !std::mem::replace(&mut self.encrypted_told, true) {
            self.sink.heuristic("Heuristics.Encrypted.EGG")?;
        }
        Ok(())
    }

    /// Hands over the files that were collected.
    fn finish(&mut self) -> Result<(), Stop> {
        let entries = std::mem::take(&mut self.entries);
        for entry in &entries {
            self.position = self.position.saturating_add(1);
            let packed = entry.blocks.iter().map(|block| u64::from(block.packed_len)).sum();
            self.sink.member(&Member {
                name: entry.name,
                packed_len: packed,
                unpacked_len: entry.unpacked_len,
                encrypted: entry.crypt.is_some(),
                crc32: entry.blocks.first().map(|block| block.crc32),
                position: self.position,
            })?;
        }
        if let [entry] = entries.as_slice() {
            return self.open(entry);
        }
        // A solid group: its blocks are one stream, cut by the lengths of the files.
        let mut whole = Entry::default();
        for entry in &entries {
            whole.blocks.extend_from_slice(&entry.blocks);
            whole.crypt = whole.crypt.or(entry.crypt);
        }
        if whole.blocks.is_empty() {
            return Ok(());
        }
        let Some(unpacked) = self.unpack(&whole)? else { return Ok(()) };
        if let Some(reason) = unpacked.ended.reason(self.sink) {
            self.sink.unscanned(b"", reason);
        }
        let mut rest = unpacked.bytes.as_slice();
        for entry in entries.iter().filter(|entry| entry.unpacked_len > 0) {
            let len = size(entry.unpacked_len).min(rest.len());
            let (data, behind) = rest.split_at(len);
            rest = behind;
            if !data.is_empty() {
                self.sink.child(Child { name: entry.name, data, role: ChildRole::Member })?;
            }
        }
        if !rest.is_empty() {
            self.sink.child(Child { name: b"", data: rest, role: ChildRole::Member })?;
        }
        Ok(())
    }

    fn open(&mut self, entry: &Entry<'a>) -> Result<(), Stop> {
        if entry.blocks.is_empty() {
            if entry.unpacked_len > 0 {
                self.sink.unscanned(entry.name, Reason::OtherVolume);
            }
            return Ok(());
        }
        match self.unpack(entry)? {
            Some(unpacked) if unpacked.bytes.is_empty() && unpacked.ended == Ended::Whole => Ok(()),
            Some(unpacked) => hand_over(&unpacked, entry.name, ChildRole::Member, self.sink),
            None => Ok(()),
        }
    }

    /// Unpacks all blocks; none when they are encrypted and no password fits, which is told.
    fn unpack(&mut self, entry: &Entry<'a>) -> Result<Option<Unpacked>, Stop> {
        let Some(crypt) = entry.crypt else {
            let mut unpacked = Unpacked { bytes: Vec::new(), ended: Ended::Whole };
            for block in &entry.blocks {
                self.unpack_block(entry.name, block, block.data, &mut unpacked, true)?;
                if unpacked.ended == Ended::Capped {
                    break;
                }
            }
            return Ok(Some(unpacked));
        };
        self.tell_encrypted()?;
        for password in self.sink.passwords(FileType::Egg) {
            self.sink.poll()?;
            let Some(plain) = decrypt(entry, crypt, &password, self.sink)? else { continue };
            let mut unpacked = Unpacked { bytes: Vec::new(), ended: Ended::Whole };
            let mut rest = plain.as_slice();
            let mut right = true;
            for block in &entry.blocks {
                let (data, behind) = rest.split_at(block.data.len().min(rest.len()));
                rest = behind;
                right &= self.unpack_block(entry.name, block, data, &mut unpacked, false)?;
            }
            if right {
                return Ok(Some(unpacked));
            }
        }
        self.sink.unscanned(entry.name, Reason::Encrypted);
        Ok(None)
    }

    /// Appends what a block gives; true when its checksum is right.
    fn unpack_block(
        &mut self,
        name: &[u8],
        block: &Block<'_>,
        data: &[u8],
        unpacked: &mut Unpacked,
        tell: bool,
    ) -> Result<bool, Stop> {
        let before = unpacked.bytes.len();
        let bytes = &mut unpacked.bytes;
        let sink = &mut *self.sink;
        let mut ended = match block.method {
            0 => unpack_into(data, bytes, sink)?,
            1 => unpack_into(Inflate::raw(data), bytes, sink)?,
            2 => unpack_into(Bunzip2::new(data), bytes, sink)?,
            4 => match lzma(data, block.unpacked_len) {
                Some(decoder) => unpack_into(decoder, bytes, sink)?,
                None => Ended::Damaged("lzma: header".into()),
            },
            method => {
                let method = if method == 3 { "AZO".into() } else { method.to_string() };
                sink.unscanned(name, Reason::UnknownMethod(method.into()));
                return Ok(false);
            }
        };
        if ended == Ended::Whole && data.len() < size(u64::from(block.packed_len)) {
            ended = Ended::Truncated;
        }
        let made = bytes.get(before..).unwrap_or_default();
        let right = crc32fast::hash(made) == block.crc32;
        if ended == Ended::Whole && !right && tell {
            let at = u64::try_from(block.off).unwrap_or(u64::MAX);
            sink.defect(Defect::new(at, "CRC-32 of a block"));
        }
        if ended != Ended::Whole {
            unpacked.ended = ended;
        }
        Ok(right)
    }
}

/// LZMA with four bytes of version and size before its properties.
fn lzma(data: &[u8], unpacked_len: u32) -> Option<Lzma<&[u8]>> {
    let mut reader = Reader::at(data, 4);
    let props = reader.u8().ok()?;
    let dict_len = reader.u32_le().ok()?;
    let unpacked_len = Some(u64::from(unpacked_len));
    Lzma::new(reader.rest(), LzmaHeader { props, dict_len, unpacked_len }).ok()
}

fn decrypt(
    entry: &Entry<'_>,
    crypt: Crypt<'_>,
    password: &[u8],
    sink: &mut dyn Sink,
) -> Result<Option<Vec<u8>>, Stop> {
    let room = size(sink.child_cap()).saturating_mul(2).saturating_add(1 << 16);
    let mut data = Vec::new();
    for block in &entry.blocks {
        if data.len() < room {
            data.extend_from_slice(block.data);
        }
    }
    match crypt.method {
        0 => {
            let header = crypt.data.get(..12).unwrap_or_default();
            let crc = Reader::at(crypt.data, 12).u32_le().unwrap_or(0);
            let [.., check] = crc.to_le_bytes();
            Ok(Traditional::with_password(password, header, &[check]).map(|mut cipher| {
                cipher.decrypt_all(&mut data);
                data
            }))
        }
        strength @ (1 | 2) => {
            let head_len = if strength == 1 { 10 } else { 18 };
            let (head, tail) = crypt.data.split_at(head_len.min(crypt.data.len()));
            let strength = if strength == 1 { 1 } else { 3 };
            winzip_aes(password, [head, &data, tail.get(..10).unwrap_or(tail)], strength, sink)
        }
        _ => Ok(None),
    }
}
