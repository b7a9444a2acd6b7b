//! asar archives: the programs of Electron.
//!
//! Yields: one child per file, named by its path.
//! Leaves out: links, files marked `unpacked` (they lie beside the archive).
//! Limits: through `Sink`; 2^18 files; 256 levels of folders.
//! Hostile input: the header's text is read as far as it goes, whatever its length fields say; places behind the
//! end give what is there.
//! Sources: README of github.com/electron/asar (MIT).

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "asar",
    types: &[FileType::Asar],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`04 00 00 00`, and a JSON object `{\"files\":` at offset 16",
        yields: "one child per file",
        leaves_out: "links; files beside the archive",
        limits: "2^18 files; 256 levels",
        sources: "README of electron/asar",
    },
};

const TEXT_OFF: usize = 16;
/// Ours.
const FILES_MAX: u32 = 1 << 18;
/// Ours: bytes of a path.
const PATH_LEN_MAX: usize = 4096;
/// Ours.
const DEPTH_MAX: usize = 256;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::at(object, 4);
    let base = size(u64::from(reader.u32_le()?)).saturating_add(8);
    reader.skip(4)?;
    let text_len = size(u64::from(reader.u32_le()?));
    let text = Reader::at(object, TEXT_OFF).take_up_to(text_len);
    if text.len() < text_len {
        sink.defect(Defect::truncated(12));
    }
    let mut walk = Walk { object, base, sink, position: 0, path: Vec::new(), open: Vec::new() };
    Ok(walk.run(text)?)
}

/// An object of the header's text that is being read.
#[derive(Default)]
struct Entry {
    size: Option<u64>,
    off: Option<u64>,
    /// Its files follow in an object of this name.
    is_list: bool,
    /// Bytes of the path before it.
    path_len: usize,
}

struct Walk<'a, 's> {
    object: &'a [u8],
    base: usize,
    sink: &'s mut dyn Sink,
    position: u32,
    path: Vec<u8>,
    open: Vec<Entry>,
}

impl Walk<'_, '_> {
    /// Goes over the tokens: a key, then its value; objects open and close entries.
    fn run(&mut self, text: &[u8]) -> Result<(), Stop> {
        let mut reader = Reader::new(text);
        let mut key: Option<Vec<u8>> = None;
        while let Ok(byte) = reader.u8() {
            match byte {
                b'{' if self.open.len() >= DEPTH_MAX => {
                    self.sink.unscanned(b"", Reason::FormatLimit("levels of folders".into()));
                    return Ok(());
                }
                b'{' => self.open(key.take()),
                b'}' => self.close()?,
                b'"' => {
                    let value = string(&mut reader);
                    match key.take() {
                        None => key = Some(value),
                        Some(name) => self.value(&name, &value),
                    }
                }
                b'0'..=b'9' => {
                    let digits = reader.rest().iter().take_while(|byte| byte.is_ascii_digit());
                    let len = digits.count();
                    let mut value = vec![byte];
                    value.extend_from_slice(reader.take_up_to(len));
                    if let Some(name) = key.take() {
                        self.value(&name, &value);
                    }
                }
                b',' => key = None,
                _ => {}
            }
            if self.position > FILES_MAX {
                self.sink.unscanned(b"", Reason::FormatLimit("files".into()));
                return Ok(());
            }
        }
        Ok(())
    }

    fn open(&mut self, key: Option<Vec<u8>>) {
        let in_list = self.open.last().is_some_and(|entry| entry.is_list);
        let path_len = self.path.len();
        let key = key.unwrap_or_default();
        let mut entry = Entry { path_len, ..Entry::default() };
        if in_list {
            if !self.path.is_empty() && self.path.len() < PATH_LEN_MAX {
                self.path.push(b'/');
            }
            let room = PATH_LEN_MAX.saturating_sub(self.path.len());
            self.path.extend_from_slice(key.get(..key.len().min(room)).unwrap_or_default());
        } else {
            entry.is_list = key == b"files";
        }
        self.open.push(entry);
    }

    fn value(&mut self, key: &[u8], value: &[u8]) {
        let Some(entry) = self.open.last_mut() else { return };
        let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
        match key {
            b"size" => entry.size = number,
            b"offset" => entry.off = number,
            _ => {}
        }
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(entry) = self.open.pop() else { return Ok(()) };
        if let (Some(len), Some(off)) = (entry.size, entry.off) {
            self.position = self.position.saturating_add(1);
            let name = self.path.as_slice();
            self.sink.member(&Member {
                name,
                packed_len: len,
                unpacked_len: len,
                position: self.position,
                ..Member::default()
            })?;
            let at = self.base.saturating_add(size(off));
            let data = Reader::at(self.object, at).take_up_to(size(len));
            if data.len() < size(len) {
                self.sink.unscanned(name, Reason::Truncated);
            }
            if !data.is_empty() {
                self.sink.child(Child { name, data, role: ChildRole::Member })?;
            }
        }
        self.path.truncate(entry.path_len);
        Ok(())
    }
}

/// Reads a string up to its closing quote; escapes of single characters are undone.
fn string(reader: &mut Reader<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    while let Ok(byte) = reader.u8() {
        match byte {
            b'"' => break,
            b'\\' => match reader.u8() {
                Ok(b'u') => {
                    let digits = std::str::from_utf8(reader.take_up_to(4)).unwrap_or_default();
                    let unit = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                    let mut utf8 = [0; 4];
                    let c = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
                    text.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
                }
                Ok(escaped) => text.push(escaped),
                Err(_) => break,
            },
            byte => text.push(byte),
        }
    }
    text
}
