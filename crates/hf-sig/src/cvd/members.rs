//! Members of a container, one at a time.
//!
//! The archive is a tar of plain files: names without `/`, sizes in octal digits. It ends with an empty block, or
//! where the file ends between two members.
//! Hostile input: a member is read in steps, so that memory follows what is there and not what is claimed.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::{HEADER_LEN, MEMBER_MAX, Refusal, TOTAL_MAX};
use crate::diagnostic::codes;

const BLOCK: usize = 512;
/// Name of the first member of an archive that is not compressed.
const PLAIN_START: &[u8] = b"COPYING";

/// A file in a container.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) data: Vec<u8>,
}

/// Reads members in order.
pub(super) struct Members<'a> {
    source: Box<dyn Read + 'a>,
    left: u64,
}

impl<'a> Members<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        if payload.is_empty() {
            return Err(malformed("nothing stands behind the header"));
        }
        let source: Box<dyn Read> = if payload.starts_with(PLAIN_START) {
            Box::new(payload)
        } else {
            Box::new(MultiGzDecoder::new(payload))
        };
        Ok(Self { source, left: TOTAL_MAX })
    }

    /// Returns the next member; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Refusal> {
        let block = self.take(BLOCK as u64)?;
        if block.is_empty() || block.first() == Some(&0) {
            return Ok(None);
        }
        if block.len() < BLOCK {
            return Err(malformed("the archive ends within a member's header"));
        }
        let name = name_of(&block)?;
        match block[TYPE_OFF] {
            b'0' | 0 => {}
            b'5' => return Err(malformed("the archive holds a directory")),
            _ => return Err(malformed("the archive holds something that is no file")),
        }
        let size = size_of(&block[SIZE_OFF..SIZE_OFF + SIZE_LEN])?;
        if size > MEMBER_MAX || size > self.left {
            let reason = format!("the member {name} has {size} bytes");
            return Err(Refusal::new(&codes::CVD_LARGE, reason));
        }
        let mut data = self.take(size.next_multiple_of(BLOCK as u64))?;
        if (data.len() as u64) < size {
            return Err(malformed("the archive ends within a member"));
        }
        data.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(Some(Member { name, data }))
    }

    /// Reads so many bytes, or what is there.
    fn take(&mut self, count: u64) -> Result<Vec<u8>, Refusal> {
        let mut data = Vec::new();
        match self.source.by_ref().take(count).read_to_end(&mut data) {
            Ok(_) => {}
            // What comes before the damage is whole; the list of members says whether it is enough.
            Err(_) if !data.is_empty() => {}
            Err(error) => {
                let reason = format!("the archive cannot be decompressed: {error}");
                return Err(Refusal::new(&codes::CVD_TAR, reason));
            }
        }
        self.left = self.left.saturating_sub(data.len() as u64);
        Ok(data)
    }
}

const NAME_LEN: usize = 100;
const SIZE_OFF: usize = 124;
const SIZE_LEN: usize = 12;
const TYPE_OFF: usize = 156;

fn malformed(reason: &str) -> Refusal {
    Refusal::new(&codes::CVD_TAR, reason)
}

fn name_of(block: &[u8]) -> Result<String, Refusal> {
    let field = &block[..NAME_LEN];
    let len = field.iter().position(|byte| *byte == 0).unwrap_or(NAME_LEN);
    let name = std::str::from_utf8(&field[..len]).map_err(|_| malformed("a name is not text"))?;
    if name.contains('/') {
        return Err(malformed("a member's name holds a slash"));
    }
    Ok(name.to_owned())
}

fn size_of(field: &[u8]) -> Result<u64, Refusal> {
    let text = std::str::from_utf8(field).unwrap_or_default();
    let digits = text.trim_matches([' ', '\0']);
    u64::from_str_radix(digits, 8).map_err(|_| malformed("a member's size is not a number"))
}
