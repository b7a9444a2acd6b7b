//! Security catalogues (`.cat`): signed lists of files by digest, as drivers and Windows itself have them.
//!
//! Yields: one text with a line for each member: its tag or digest, its attributes (`File=…`) and the digest that
//! is signed; attributes of the whole catalogue stand in front. Facts: members, attributes. Nothing is yielded under
//! ClamAV's quirks: it does not.
//! Leaves out: whether the signature holds, certificates.
//! Limits: the text is at most four times as long as the file.
//! Hostile input: lengths that claim too much take what is there; a list that is cut ends with a defect, and what was
//! read is handed over.
//! Sources: [1] Microsoft, "Catalog Files and Digital Signatures", "Authenticode Portable Executable Signature
//! Format" (`SpcIndirectDataContent`); [2] MS-CAESO, certificate trust lists; files of `makecat`.

use hf_core::{Defect, FileType, Halt, Sink};

use super::strings::Lines;
use crate::mail::{Element, element};
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "catalog",
    types: &[FileType::Cms],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_pe && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "signed data of PKCS #7 whose content is a list of trust",
        yields: "a text of the members: tags, attributes, digests",
        leaves_out: "whether the signature holds; certificates",
        limits: "the text is at most four times as long as the file",
        sources: "Microsoft, Catalog Files; MS-CAESO",
    },
};

/// 1.3.6.1.4.1.311.10.1, a list of trust.
const LIST: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x0a\x01";
/// 1.3.6.1.4.1.311.12.2.1, a name and a value.
const NAME_VALUE: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x0c\x02\x01";
/// 1.3.6.1.4.1.311.2.1.4, a digest.
const INDIRECT_DATA: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x04";

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const EXTENSIONS: u8 = 0xa0;
/// Depth that [`element`] counts from; nothing here is deeper.
const DEPTH: u32 = 8;
/// Ours: members and attributes that are facts, and characters of one.
const FACTS_MAX: u32 = 64;
const FACT_LEN_MAX: usize = 256;
/// Ours: bytes of an identifier or digest that are shown.
const DIGEST_LEN_MAX: usize = 128;

/// Values one after the other.
#[derive(Clone, Copy)]
struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let value = element(self.0, DEPTH)?;
        self.0 = value.behind;
        Some(value)
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut is_cut = element(object, 0).is_some_and(|message| message.is_cut);
    if let Some(list) = list(object) {
        is_cut |= tell(object, list, sink)?;
    }
    if is_cut {
        return Err(Defect::truncated(u64::try_from(object.len()).unwrap_or(u64::MAX)).into());
    }
    Ok(())
}

/// Tells what is in a list; true when some of it is cut.
fn tell(object: &[u8], list: &[u8], sink: &mut dyn Sink) -> Result<bool, Halt> {
    let mut told = FACTS_MAX;
    let mut lines = Lines::new(object.len().saturating_mul(4).saturating_add(0x100));
    for field in Values(list) {
        if field.tag == EXTENSIONS {
            extensions(field, &mut lines, &mut told, sink);
        }
    }
    let (mut count, mut is_cut) = (0u32, false);
    let members = Values(list).filter(|field| field.tag == SEQUENCE && is_members(field.content));
    for field in members {
        is_cut |= field.is_cut;
        for member in Values(field.content) {
            if count.is_multiple_of(1024) {
                sink.poll()?;
            }
            count = count.saturating_add(1);
            is_cut |= member.is_cut;
            let line = line(member);
            if let Some(left) = told.checked_sub(1) {
                told = left;
                sink.fact("catalog.member", &line.chars().take(FACT_LEN_MAX).collect::<String>());
            }
            lines.push(line.as_bytes());
        }
    }
    sink.fact("catalog.members", &count.to_string());
    lines.hand_over(b"members", sink)?;
    Ok(is_cut)
}

/// Returns the content of the list of trust; none of another message.
fn list(object: &[u8]) -> Option<&[u8]> {
    let outer = element(object, 0)?;
    let explicit = Values(outer.content).nth(1)?;
    let signed = element(explicit.content, DEPTH)?;
    let content = Values(signed.content).find_map(|field| {
        let mut inside = Values(field.content);
        let kind = inside.next().filter(|kind| kind.tag == OBJECT_ID && kind.content == LIST)?;
        (field.tag == SEQUENCE).then_some(kind)?;
        inside.next()
    })?;
    Some(element(content.content, DEPTH)?.content)
}

/// True for a list whose first value starts with octets.
fn is_members(content: &[u8]) -> bool {
    let first = element(content, DEPTH).filter(|first| first.tag == SEQUENCE);
    first.and_then(|first| element(first.content, DEPTH)).is_some_and(|id| id.tag == OCTETS)
}

/// Attributes of the catalogue: extensions whose octets hold a name and a value.
fn extensions(field: Element<'_>, lines: &mut Lines, told: &mut u32, sink: &mut dyn Sink) {
    let Some(all) = element(field.content, DEPTH) else { return };
    for extension in Values(all.content) {
        let mut inside = Values(extension.content);
        let is_known = inside.next().is_some_and(|kind| kind.content == NAME_VALUE);
        let Some(octets) = inside.find(|value| value.tag == OCTETS).filter(|_| is_known) else {
            continue;
        };
        let Some(pair) = element(octets.content, DEPTH).and_then(name_value) else { continue };
        if let Some(left) = told.checked_sub(1) {
            *told = left;
            sink.fact("catalog.attribute", &pair.chars().take(FACT_LEN_MAX).collect::<String>());
        }
        lines.push(pair.as_bytes());
    }
}

/// A member: its identifier, then what its attributes say.
fn line(member: Element<'_>) -> String {
    let mut fields = Values(member.content);
    let mut line = fields.next().map(|id| identifier(id.content)).unwrap_or_default();
    for attribute in fields.flat_map(|set| Values(set.content)) {
        let mut inside = Values(attribute.content);
        let Some(kind) = inside.next().filter(|kind| kind.tag == OBJECT_ID) else { continue };
        let Some(value) = inside.next().and_then(|set| element(set.content, DEPTH)) else {
            continue;
        };
        let told = match kind.content {
            NAME_VALUE => name_value(value),
            INDIRECT_DATA => digest(value).map(|digest| format!("digest={digest}")),
            _ => None,
        };
        if let Some(told) = told {
            line.push(' ');
            line.push_str(&told);
        }
    }
    line
}

/// A name in UTF-16, high byte first, flags, and octets in UTF-16, low byte first [1].
fn name_value(value: Element<'_>) -> Option<String> {
    let mut fields = Values(value.content);
    let name = fields.next()?;
    let units = name.content.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair));
    let value = fields.find(|field| field.tag == OCTETS)?;
    Some(format!("{}={}", text(units), text(low_first(value.content))))
}

fn low_first(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair))
}

fn text(units: impl Iterator<Item = u16>) -> String {
    let units = units.take_while(|unit| *unit != 0);
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A tag is text; the digests of newer catalogues are bytes.
fn identifier(bytes: &[u8]) -> String {
    let is_text = bytes.len() > 2
        && bytes.len().is_multiple_of(2)
        && low_first(bytes).all(|unit| unit == 0 || (0x20..0x7f).contains(&unit));
    if is_text { text(low_first(bytes)) } else { hex(bytes) }
}

fn hex(bytes: &[u8]) -> String {
    hf_core::hex::to_hex(bytes.get(..bytes.len().min(DIGEST_LEN_MAX)).unwrap_or_default())
}

/// The digest of `SpcIndirectDataContent`.
fn digest(value: Element<'_>) -> Option<String> {
    let info = Values(value.content).nth(1)?;
    let digest = Values(info.content).find(|field| field.tag == OCTETS)?;
    Some(hex(digest.content))
}
