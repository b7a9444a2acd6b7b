//! What the linker left: the list of tools behind the DOS program ("Rich"), and where the debug file was.
//!
//! Promises: facts only; bounded.
//! Sources: Microsoft, "PE Format", "The .debug Section"; the "Rich" header is known from public descriptions.

use hf_core::Sink;

use super::headers::Headers;
use crate::reader::{Reader, size};

const DEBUG_DIRECTORY: usize = 6;
const ENTRY_LEN: usize = 28;
/// Entries looked at; ours.
const ENTRIES_MAX: usize = 16;
const CODE_VIEW: u32 = 2;
/// Bytes of a path; ours.
const PATH_MAX: usize = 512;
/// Tools told; ours.
const TOOLS_MAX: usize = 64;

/// Tells them as facts.
pub(super) fn facts(object: &[u8], headers: &Headers, sink: &mut dyn Sink) {
    if let Some(path) = debug_file(object, headers) {
        sink.fact("pe.debug_file", &path);
    }
    if let Some(tools) = rich(object) {
        sink.fact("pe.rich", &tools);
    }
}

fn debug_file(object: &[u8], headers: &Headers) -> Option<String> {
    let (rva, len) = headers.directory(DEBUG_DIRECTORY)?;
    let table = headers.bytes_at(object, rva)?;
    let table = table.get(..table.len().min(size(len)))?;
    table.chunks_exact(ENTRY_LEN).take(ENTRIES_MAX).find_map(|entry| {
        let field = |off: usize| Reader::at(entry, off).u32_le().ok();
        if field(12)? != CODE_VIEW {
            return None;
        }
        let data = object.get(size(u64::from(field(24)?))..)?;
        let path = match data.get(..4)? {
            b"RSDS" => data.get(24..)?,
            b"NB10" => data.get(16..)?,
            _ => return None,
        };
        let path = path.get(..path.len().min(PATH_MAX))?;
        let end = path.iter().position(|byte| *byte == 0)?;
        let path = path.get(..end).filter(|path| !path.is_empty())?;
        Some(String::from_utf8_lossy(path).into_owned())
    })
}

/// Pairs of a tool and how often it was used, as `tool.build*count`.
fn rich(object: &[u8]) -> Option<String> {
    let pe_off = size(u64::from(Reader::at(object, 0x3c).u32_le().ok()?));
    let head = object.get(..pe_off.min(0x1000))?;
    let end = memchr::memmem::find(head, b"Rich")?;
    let key = Reader::at(head, end.checked_add(4)?).u32_le().ok()?;
    let start_mark = u32::from_le_bytes(*b"DanS") ^ key;
    let start = memchr::memmem::find(head, &start_mark.to_le_bytes())?;
    let mut reader = Reader::at(head.get(..end)?, start.checked_add(16)?);
    let mut tools = Vec::new();
    while let (Ok(tool), Ok(count)) = (reader.u32_le(), reader.u32_le()) {
        let tool = tool ^ key;
        tools.push(format!("{}.{}*{}", tool >> 16, tool & 0xffff, count ^ key));
        if tools.len() >= TOOLS_MAX {
            break;
        }
    }
    Some(tools.join(" "))
}
