//! Plain text and scripts.
//!
//! Yields: the folded copy for text signatures; outside ClamAV's ways also the decoded text of UTF-16.
//! Leaves out: other character sets, whose bytes above 7f are dropped from the copy.
//! Limits: text larger than `max_script_normalise_bytes` is matched only as it is.
//! Hostile input: any bytes are text; nothing can be broken.
//! Sources: ClamAV's published signature documentation ("target types"); sigtool 1.4.6 as an oracle.

use hf_core::{Child, ChildRole, FileType, Halt, Reason, ScanOptions, Sink};

use super::{dlp, fold};
use crate::{Format, FormatDoc, Stage};

pub(crate) const FORMAT: Format = Format {
    name: "text",
    types: &[
        FileType::TextAscii,
        FileType::TextUtf8,
        FileType::TextUtf16Le,
        FileType::TextUtf16Be,
        FileType::Script,
    ],
    stage: Stage::AfterMatch,
    enabled: |options| is_normalised(options) || options.detect_structured,
    extract,
    doc: FormatDoc {
        recognised_by: "no control characters that text has not, and no other type fits",
        yields: "a copy in lower-case ASCII with single spaces; UTF-16 decoded (not under ClamAV's names); \
                 card and social-security numbers when asked for",
        leaves_out: "bytes from 80 to ff in the copy",
        limits: "max_script_normalise_bytes",
        sources: "ClamAV's signature documentation",
    },
};

/// ClamAV ties the copy to the option for HTML.
fn is_normalised(options: &ScanOptions) -> bool {
    options.normalise && (options.scan_html || !options.clamav_quirks)
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    if sink.options().detect_structured {
        dlp::look(object, sink)?;
    }
    if !is_normalised(sink.options()) {
        return Ok(());
    }
    let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
    if len > sink.limits().max_script_normalise_bytes {
        sink.unscanned(b"", Reason::FormatLimit("text larger than is normalised".into()));
        return Ok(());
    }
    sink.poll()?;
    let folded = fold::fold(object);
    sink.child(Child { name: b"", data: &folded, role: ChildRole::NormalisedText })?;
    drop(folded);
    if !sink.options().clamav_quirks
        && let Some(text) = decode_utf16(object)
    {
        sink.child(Child { name: b"utf-8", data: text.as_bytes(), role: ChildRole::Member })?;
    }
    Ok(())
}

/// Returns the text when it is UTF-16: by its mark, or because every second byte is mostly zero.
fn decode_utf16(object: &[u8]) -> Option<String> {
    let head = object.get(..1024).unwrap_or(object);
    let zeros = |first: usize| {
        head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count().saturating_mul(4)
    };
    let (text, be) = match object {
        [0xff, 0xfe, rest @ ..] => (rest, false),
        [0xfe, 0xff, rest @ ..] => (rest, true),
        _ if zeros(1) > head.len() => (object, false),
        _ if zeros(0) > head.len() => (object, true),
        _ => return None,
    };
    let units = text
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| if be { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
    Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Event, Recorder};

    fn run(object: &[u8], change: impl FnOnce(&mut Recorder)) -> Vec<Event> {
        let mut recorder = Recorder::default();
        change(&mut recorder);
        recorder.run(&FORMAT, object).expect("text is never broken");
        recorder.events
    }

    #[test]
    fn utf16_is_also_decoded() {
        let le: Vec<u8> =
            "\u{feff}Na\u{ef}ve \u{2019}x".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "Naive text".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let events = run(&le, |_| {});
        let want = "Na\u{ef}ve \u{2019}x".as_bytes().to_vec();
        assert_eq!(events[1], Event::Child(b"utf-8".to_vec(), want, ChildRole::Member));
        let events = run(&be, |_| {});
        let want = b"Naive text".to_vec();
        assert_eq!(events[1], Event::Child(b"utf-8".to_vec(), want, ChildRole::Member));
        assert_eq!(run(&be, |recorder| recorder.options.clamav_quirks = true).len(), 1);
    }

    #[test]
    fn large_text_is_said_to_be_left_out() {
        let events = run(b"some text", |recorder| recorder.limits.max_script_normalise_bytes = 3);
        assert!(matches!(events[..], [Event::Unscanned(..)]), "{events:?}");
    }
}
