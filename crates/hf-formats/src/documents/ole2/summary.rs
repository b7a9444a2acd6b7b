//! Property sets: title, author, dates and program of a document, as facts.
//!
//! Leaves out: vectors, thumbnails, user-defined sections.
//! Sources: [1] MS-OLEPS §2.21 (PropertySetStream), §2.15 (TypedPropertyValue), §3.1 (SummaryInformation).

use hf_core::Sink;

use crate::documents::le::{part, u16_at, u32_at, u64_at, utf16};
use crate::reader::size;

const PROPERTIES_MAX: u32 = 256;
const TEXT_LEN_MAX: usize = 1024;

/// [1] §3.1: identifiers of the summary's properties.
const SUMMARY: &[(u32, &str)] = &[
    (2, "title"),
    (3, "subject"),
    (4, "author"),
    (5, "keywords"),
    (6, "comments"),
    (7, "template"),
    (8, "last_author"),
    (9, "revision"),
    (10, "edit_time"),
    (12, "created"),
    (13, "saved"),
    (14, "pages"),
    (15, "words"),
    (16, "characters"),
    (18, "application"),
    (19, "security"),
];

/// [1] §3.3: identifiers of the document summary's properties.
const DOCUMENT: &[(u32, &str)] =
    &[(2, "category"), (14, "manager"), (15, "company"), (23, "application_version")];

/// Tells the properties of a stream that is named like a property set.
pub(crate) fn facts(name: &str, stream: &[u8], sink: &mut dyn Sink) {
    let table = match name.trim_start_matches('\u{5}') {
        "SummaryInformation" => SUMMARY,
        "DocumentSummaryInformation" => DOCUMENT,
        _ => return,
    };
    let Some(section_off) = u32_at(stream, 44).map(|off| size(u64::from(off))) else { return };
    let section = stream.get(section_off..).unwrap_or_default();
    let count = u32_at(section, 4).unwrap_or(0).min(PROPERTIES_MAX);
    for idx in 0..size(u64::from(count)) {
        let at = idx.saturating_mul(8).saturating_add(8);
        let (Some(id), Some(off)) = (u32_at(section, at), u32_at(section, at.saturating_add(4)))
        else {
            return;
        };
        let value = section.get(size(u64::from(off))..).unwrap_or_default();
        if id == 1 {
            if let Some(page) = u16_at(value, 4) {
                sink.fact("ole2.codepage", &page.to_string());
            }
        } else if let Some((_, key)) = table.iter().find(|(known, _)| *known == id)
            && let Some(text) = text(*key == "edit_time", value)
        {
            sink.fact(&format!("ole2.{key}"), &text);
        }
    }
}

/// Renders a typed value ([1] §2.15); none for kinds that are no text.
fn text(is_span: bool, value: &[u8]) -> Option<String> {
    let data = value.get(4..)?;
    let text = match u32_at(value, 0)? & 0xffff {
        0x0002 => i16::from_le_bytes(data.first_chunk::<2>().copied()?).to_string(),
        0x0003 => i32::from_le_bytes(data.first_chunk::<4>().copied()?).to_string(),
        0x000b => (u16_at(data, 0)? != 0).to_string(),
        0x001e => {
            let len = size(u64::from(u32_at(data, 0)?)).min(TEXT_LEN_MAX);
            let raw = part(data, 4, len);
            String::from_utf8_lossy(raw.split(|byte| *byte == 0).next()?).into_owned()
        }
        0x001f => {
            let len = size(u64::from(u32_at(data, 0)?)).saturating_mul(2).min(TEXT_LEN_MAX);
            utf16(part(data, 4, len))
        }
        0x0040 if is_span => format!("{} s", u64_at(data, 0)?.checked_div(10_000_000)?),
        0x0040 => date(u64_at(data, 0)?)?,
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Renders 100-nanosecond steps since 1601 as UTC.
fn date(steps: u64) -> Option<String> {
    const DAYS_1601_TO_1970: u64 = 134_774;
    if steps == 0 {
        return None;
    }
    let seconds = steps.checked_div(10_000_000)?;
    let days = seconds.checked_div(86_400)?;
    let of_day = seconds.checked_rem(86_400)?;
    let (year, month, day) = civil(days.checked_sub(DAYS_1601_TO_1970)?)?;
    let (hour, rest) = (of_day.checked_div(3600)?, of_day.checked_rem(3600)?);
    let (minute, second) = (rest.checked_div(60)?, rest.checked_rem(60)?);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// Turns days since 1970-01-01 into a date, counting from 1 March in 400-year cycles.
fn civil(days: u64) -> Option<(u64, u64, u64)> {
    let days = days.checked_add(719_468)?;
    let era = days.checked_div(146_097)?;
    let day_of_era = days.checked_rem(146_097)?;
    let leap = day_of_era
        .checked_sub(day_of_era.checked_div(1460)?)?
        .checked_add(day_of_era.checked_div(36_524)?)?
        .checked_sub(day_of_era.checked_div(146_096)?)?;
    let year_of_era = leap.checked_div(365)?;
    let before = year_of_era
        .checked_mul(365)?
        .checked_add(year_of_era.checked_div(4)?)?
        .checked_sub(year_of_era.checked_div(100)?)?;
    let day_of_year = day_of_era.checked_sub(before)?;
    let shifted = day_of_year.checked_mul(5)?.checked_add(2)?.checked_div(153)?;
    let start = shifted.checked_mul(153)?.checked_add(2)?.checked_div(5)?;
    let day = day_of_year.checked_sub(start)?.checked_add(1)?;
    let month = if shifted < 10 { shifted.checked_add(3)? } else { shifted.checked_sub(9)? };
    let year = era.checked_mul(400)?.checked_add(year_of_era)?;
    Some((if month <= 2 { year.checked_add(1)? } else { year }, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (steps, want) in [
            (116_444_736_000_000_000, "1970-01-01T00:00:00Z"),
            (133_535_520_000_000_000, "2024-02-28T00:00:00Z"),
            (133_537_248_010_000_000, "2024-03-01T00:00:01Z"),
        ] {
            assert_eq!(date(steps).as_deref(), Some(want));
        }
        assert_eq!(date(0), None);
        assert!(date(u64::MAX).is_some());
    }
}
