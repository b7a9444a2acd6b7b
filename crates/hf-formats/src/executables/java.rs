//! Java classes: the strings of the constant pool.
//!
//! Yields: one text with a line for each `CONSTANT_Utf8`. Nothing is yielded under ClamAV's quirks: it does not.
//! Leaves out: code and attributes.
//! Limits: the pool's own, 65,535 entries.
//! Hostile input: an entry of no known kind ends the reading with a defect; what was read is handed over.
//! Sources: [1] "The Java Virtual Machine Specification", §4.4.

use hf_core::{Defect, FileType, Halt, Sink};

use super::strings::Lines;
use crate::reader::Reader;
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "java",
    types: &[FileType::Java],
    stage: Stage::AfterMatch,
    enabled: |options| !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "`CAFEBABE` and a version of a class file",
        yields: "a text of the constant pool's strings",
        leaves_out: "code and attributes",
        limits: "65,535 entries",
        sources: "The Java Virtual Machine Specification",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut lines = Lines::new(object.len().saturating_add(0x100));
    let mut reader = Reader::at(object, 6);
    sink.fact("java.version", &reader.u16_be()?.to_string());
    let read = pool(&mut reader, &mut lines);
    lines.hand_over(b"strings", sink)?;
    Ok(read?)
}

fn pool(reader: &mut Reader<'_>, lines: &mut Lines) -> Result<(), Defect> {
    let count = reader.u16_be()?;
    let mut number = 1;
    while number < count {
        // [1] table 4.4-A.
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        match reader.u8()? {
            1 => {
                let len = usize::from(reader.u16_be()?);
                let stored = reader.take_up_to(len);
                lines.push(stored);
                if stored.len() < len {
                    return Err(Defect::truncated(off));
                }
            }
            3 | 4 | 9..=12 | 17 | 18 => reader.skip(4)?,
            5 | 6 => {
                reader.skip(8)?;
                // §4.4.5: it takes two entries.
                number = number.saturating_add(1);
            }
            7 | 8 | 16 | 19 | 20 => reader.skip(2)?,
            15 => reader.skip(3)?,
            _ => return Err(Defect::new(off, "cp_info tag")),
        }
        number = number.saturating_add(1);
    }
    Ok(())
}
