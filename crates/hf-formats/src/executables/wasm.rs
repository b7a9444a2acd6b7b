//! WebAssembly: modules and components.
//!
//! Yields: each data segment, each custom section, and one text with a line for each import, export and name (of
//! the section `name`); of a component the modules and components in it; what is behind the last section.
//! Facts: kind, producers, address of the source map. Nothing is yielded under ClamAV's quirks: it does not.
//! Leaves out: types, code, tables; segments whose address is computed are handed over all the same.
//! Limits: [`CHILDREN_MAX`] children; they are parts of the file that do not overlap.
//! Hostile input: a section that is cut or a number that lies ends that section with a defect; what was read of
//! it is handed over, and the next section is read where its predecessor's length says.
//! Sources: [1] WebAssembly Core Specification 3.0, §5; [2] its appendix "Custom Sections"; [3] Tool Conventions
//! of WebAssembly (`producers`, `sourceMappingURL`); [4] Component Model, Binary.md.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Reason, Sink};

use super::strings::Lines;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "wasm",
    types: &[FileType::Wasm],
    stage: Stage::AfterMatch,
    enabled: |options| !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "`00 61 73 6d` and the version of a module or a component",
        yields: "data segments; custom sections; a text of imports, exports and names; modules in components",
        leaves_out: "types, code, tables",
        limits: "16,384 children",
        sources: "WebAssembly Core Specification 3.0, Tool Conventions, Component Model",
    },
};

/// Ours: children of one file.
const CHILDREN_MAX: u32 = 16_384;
/// Characters of a fact; ours.
const FACT_MAX: usize = 512;
const HEADER_LEN: usize = 8;

/// Sections of a module [1] §5.5.2.
const CUSTOM: u8 = 0;
const IMPORT: u8 = 2;
const EXPORT: u8 = 7;
const DATA: u8 = 11;
const MODULE_LAST: u8 = 13;
/// Sections of a component [4].
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;
const COMPONENT_LAST: u8 = 12;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let is_component = object.get(6) == Some(&1);
    sink.fact("wasm.kind", if is_component { "component" } else { "module" });
    let mut module = Module {
        lines: Lines::new(object.len().saturating_mul(2).saturating_add(0x100)),
        left: CHILDREN_MAX,
        sink,
    };
    let ended = module.sections(object, is_component);
    let Module { lines, left, sink } = module;
    lines.hand_over(b"strings", sink)?;
    if left == 0 {
        sink.unscanned(b"", Reason::FormatLimit("data segments and custom sections".into()));
    }
    ended
}

struct Module<'s> {
    lines: Lines,
    left: u32,
    sink: &'s mut dyn Sink,
}

impl Module<'_> {
    fn sections(&mut self, object: &[u8], is_component: bool) -> Result<(), Halt> {
        let mut reader = Reader::at(object, HEADER_LEN);
        let last = if is_component { COMPONENT_LAST } else { MODULE_LAST };
        while reader.left() > 0 {
            self.sink.poll()?;
            let start = reader.off();
            let id = reader.u8()?;
            if id > last {
                self.child(b"overlay", object.get(start..).unwrap_or_default())?;
                return Err(defect(start, "section id").into());
            }
            let len = size(u64::from(leb(&mut reader)?));
            let inside = reader.off();
            let body = reader.take_up_to(len);
            let read = match (is_component, id) {
                (_, CUSTOM) => self.custom(body),
                (true, CORE_MODULE | COMPONENT) => self.child(b"module", body),
                (false, IMPORT) => self.imports(body).map_err(Halt::from),
                (false, EXPORT) => self.exports(body).map_err(Halt::from),
                (false, DATA) => self.data(body),
                _ => Ok(()),
            };
            match read {
                Err(Halt::Stop(stop)) => return Err(stop.into()),
                Err(Halt::Defect(found)) => {
                    let off = u64::try_from(inside).unwrap_or(u64::MAX);
                    let off = off.saturating_add(found.off);
                    self.sink.defect(Defect { off, ..found });
                }
                Ok(()) => {}
            }
            if body.len() < len {
                return Err(Defect::truncated(u64::try_from(start).unwrap_or(u64::MAX)).into());
            }
        }
        Ok(())
    }

    fn child(&mut self, name: &[u8], data: &[u8]) -> Result<(), Halt> {
        if data.is_empty() {
            return Ok(());
        }
        let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
        self.left = left;
        self.sink.poll()?;
        Ok(self.sink.child(Child { name, data, role: ChildRole::Member })?)
    }

    /// A name and any bytes [1] §5.5.3.
    fn custom(&mut self, body: &[u8]) -> Result<(), Halt> {
        let mut reader = Reader::new(body);
        let name = name(&mut reader)?;
        let content = reader.rest();
        self.child(name, content)?;
        match name {
            b"name" => names(content, &mut self.lines)?,
            b"producers" => producers(content, self.sink)?,
            b"sourceMappingURL" => {
                let url = self::name(&mut Reader::new(content))?;
                self.lines.push(url);
                self.sink.fact("wasm.source_map", &text(url));
            }
            _ => {}
        }
        Ok(())
    }

    /// Two names and what they stand for [1] §5.5.5.
    fn imports(&mut self, body: &[u8]) -> Result<(), Defect> {
        let mut reader = Reader::new(body);
        for _ in 0..leb(&mut reader)? {
            let module = name(&mut reader)?;
            let field = name(&mut reader)?;
            self.lines.push(&[module, b".", field].concat());
            let start = reader.off();
            match reader.u8()? {
                0 => skip_leb(&mut reader)?,
                1 => {
                    reference(&mut reader)?;
                    limits(&mut reader)?;
                }
                2 => limits(&mut reader)?,
                3 => {
                    reference(&mut reader)?;
                    reader.skip(1)?;
                }
                4 => {
                    reader.skip(1)?;
                    skip_leb(&mut reader)?;
                }
                _ => return Err(defect(start, "import kind")),
            }
        }
        Ok(())
    }

    /// A name, and the number of what it stands for [1] §5.5.10.
    fn exports(&mut self, body: &[u8]) -> Result<(), Defect> {
        let mut reader = Reader::new(body);
        for _ in 0..leb(&mut reader)? {
            let name = name(&mut reader)?;
            self.lines.push(name);
            reader.skip(1)?;
            skip_leb(&mut reader)?;
        }
        Ok(())
    }

    /// Bytes for the memory, with the expression of their address in front where there is one [1] §5.5.14.
    fn data(&mut self, body: &[u8]) -> Result<(), Halt> {
        let mut reader = Reader::new(body);
        for _ in 0..leb(&mut reader)? {
            let start = reader.off();
            match leb(&mut reader)? {
                0 => expression(&mut reader)?,
                1 => {}
                2 => {
                    skip_leb(&mut reader)?;
                    expression(&mut reader)?;
                }
                _ => return Err(defect(start, "segment mode").into()),
            }
            let len = size(u64::from(leb(&mut reader)?));
            let data = reader.take_up_to(len);
            self.child(b"data", data)?;
            if data.len() < len {
                return Err(Defect::truncated(u64::try_from(start).unwrap_or(u64::MAX)).into());
            }
        }
        Ok(())
    }
}

fn defect(off: usize, what: &'static str) -> Defect {
    Defect::new(u64::try_from(off).unwrap_or(u64::MAX), what)
}

/// A number of at most 32 bits, seven a byte, the lowest first [1] §5.2.2.
fn leb(reader: &mut Reader<'_>) -> Result<u32, Defect> {
    let start = reader.off();
    let mut value = 0u64;
    for shift in [0u32, 7, 14, 21, 28] {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| defect(start, "LEB128 beyond 32 bits"));
        }
    }
    Err(defect(start, "LEB128 of more than five bytes"))
}

/// Moves over a number of at most 64 bits, with or without a sign.
fn skip_leb(reader: &mut Reader<'_>) -> Result<(), Defect> {
    let start = reader.off();
    for _ in 0..10 {
        if reader.u8()? & 0x80 == 0 {
            return Ok(());
        }
    }
    Err(defect(start, "LEB128 of more than ten bytes"))
}

fn name<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Defect> {
    let len = size(u64::from(leb(reader)?));
    reader.take(len)
}

/// Moves over a type of values or references [1] §5.3.
fn reference(reader: &mut Reader<'_>) -> Result<(), Defect> {
    match reader.u8()? {
        0x63 | 0x64 => skip_leb(reader),
        _ => Ok(()),
    }
}

fn limits(reader: &mut Reader<'_>) -> Result<(), Defect> {
    let flags = reader.u8()?;
    skip_leb(reader)?;
    if flags & 1 != 0 { skip_leb(reader) } else { Ok(()) }
}

/// Moves over a constant expression [1] §3.4.12, §5.4.
fn expression(reader: &mut Reader<'_>) -> Result<(), Defect> {
    loop {
        let start = reader.off();
        match reader.u8()? {
            0x0b => return Ok(()),
            0x23 | 0x41 | 0x42 | 0xd0 | 0xd2 => skip_leb(reader)?,
            0x43 => reader.skip(4)?,
            0x44 => reader.skip(8)?,
            0x6a..=0x6c | 0x7c..=0x7e => {}
            _ => return Err(defect(start, "constant expression")),
        }
    }
}

/// The names of a module, its functions, their variables and more: subsections of one of three shapes [2].
fn names(content: &[u8], lines: &mut Lines) -> Result<(), Defect> {
    let mut reader = Reader::new(content);
    while reader.left() > 0 {
        let id = reader.u8()?;
        let len = size(u64::from(leb(&mut reader)?));
        let body = reader.take_up_to(len);
        let mut inside = Reader::new(body);
        match id {
            0 => lines.push(name(&mut inside)?),
            2 | 3 | 10 => {
                for _ in 0..leb(&mut inside)? {
                    skip_leb(&mut inside)?;
                    name_map(&mut inside, lines)?;
                }
            }
            _ => name_map(&mut inside, lines)?,
        }
        if body.len() < len {
            return Err(defect(reader.off(), "truncated"));
        }
    }
    Ok(())
}

fn name_map(reader: &mut Reader<'_>, lines: &mut Lines) -> Result<(), Defect> {
    for _ in 0..leb(reader)? {
        skip_leb(reader)?;
        lines.push(name(reader)?);
    }
    Ok(())
}

/// Fields (`language`, `processed-by`, `sdk`) with names and versions [3].
fn producers(content: &[u8], sink: &mut dyn Sink) -> Result<(), Defect> {
    const PRODUCERS_MAX: usize = 64;
    let mut reader = Reader::new(content);
    let mut left = PRODUCERS_MAX;
    for _ in 0..leb(&mut reader)? {
        let field = text(name(&mut reader)?);
        for _ in 0..leb(&mut reader)? {
            let (name, version) = (name(&mut reader)?, self::name(&mut reader)?);
            let Some(fewer) = left.checked_sub(1) else { return Ok(()) };
            left = fewer;
            sink.fact("wasm.producer", &format!("{field} {} {}", text(name), text(version)));
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(FACT_MAX).collect()
}
