//! ar archives: static libraries and Debian packages.
//!
//! Yields: one child per member, with GNU and BSD long names.
//! Leaves out: the symbol tables `/`, `/SYM64/` and `__.SYMDEF` and the table of names `//`.
//! Limits: all through `Sink`.
//! Hostile input: a header that breaks the rules ends the archive with a defect, and what follows is a
//! child; a member that is cut is handed over as far as it is.
//! Sources: ar(5) of FreeBSD; GNU binutils.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink};

use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "ar",
    types: &[FileType::Ar],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`!<arch>` at the start",
        yields: "one child per member",
        leaves_out: "symbol tables and the table of names",
        limits: "none of its own",
        sources: "ar(5)",
    },
};

const MAGIC_LEN: usize = 8;
const HEADER_LEN: usize = 60;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::at(object, MAGIC_LEN);
    let mut names: &[u8] = b"";
    let mut position = 0u32;
    while reader.left() > 0 {
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        let before = reader.off();
        let header = reader.take_up_to(HEADER_LEN);
        let Some((name, len)) = fields(header) else {
            sink.defect(Defect::new(off, "ar_hdr"));
            let data = object.get(before..).unwrap_or_default();
            sink.unscanned(b"", Reason::Damaged("ar_hdr".into()));
            sink.child(Child { name: b"", data, role: ChildRole::Member })?;
            return Ok(());
        };
        let mut data = reader.take_up_to(size(len));
        let cut = data.len() < size(len);
        if reader.off() & 1 == 1 {
            reader.take_up_to(1);
        }
        let mut name = name;
        if name == b"//" {
            names = data;
            continue;
        }
        if let Some(name_len) = name.strip_prefix(b"#1/").and_then(decimal) {
            (name, data) = data.split_at_checked(size(name_len)).unwrap_or((name, data));
            name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        } else if let Some(name_off) = name.strip_prefix(b"/").and_then(decimal) {
            let rest = names.get(size(name_off)..).unwrap_or_default();
            name = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        }
        let name = name.strip_suffix(b"/").filter(|name| !name.is_empty()).unwrap_or(name);
        position = position.saturating_add(1);
        sink.member(&Member {
            name,
            packed_len: len,
            unpacked_len: len,
            position,
            ..Member::default()
        })?;
        if cut {
            sink.unscanned(name, Reason::Truncated);
        }
        let table = matches!(name, b"/" | b"/SYM64") || name.starts_with(b"__.SYMDEF");
        if !data.is_empty() && (!table || cut) {
            sink.child(Child { name, data, role: ChildRole::Member })?;
        }
    }
    Ok(())
}

/// Returns the name and the size in a header.
fn fields(header: &[u8]) -> Option<(&[u8], u64)> {
    let (name, rest) = header.split_at_checked(16)?;
    let len = decimal(rest.get(32..42)?)?;
    (rest.get(42..)? == b"`\n").then(|| (name.trim_ascii_end(), len))
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}
