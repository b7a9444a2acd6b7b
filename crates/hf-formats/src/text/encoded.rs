//! Files that stand in a text in an encoding which needs no program: uuencoding and BinHex anywhere, armoured
//! OpenPGP messages, PEM that is no certificate; and texts that are one file as a whole, in hexadecimal dumps,
//! Intel HEX, S-records, base64, base32 or ascii85.
//!
//! Yields: the decoded files.
//! Leaves out: checksums; dumps whose lines were left out (`*`); everything under ClamAV's names.
//! Limits: `max_script_normalise_bytes`; 64 files.
//! Hostile input: of marks in one another the last before an end counts, so that each byte is decoded once; a text is taken for a dump by its first lines, and decoded until a line does not fit.
//! Sources: POSIX uuencode(1), od(1); xxd(1); RFC 4648; RFC 7468; RFC 9580 §6; Intel, "Hexadecimal Object File
//! Format"; the S-record format of Motorola; Adobe, PostScript language reference (ASCII85).

use hf_core::{Child, ChildRole, FileType, Halt, Reason, ScanOptions, Sink};
use memchr::memmem;

use super::base64;
use crate::{Format, FormatDoc, Stage, mail};

mod dump;
mod whole;

pub(crate) const FORMAT: Format = Format {
    name: "encoded",
    types: &[FileType::TextAscii, FileType::TextUtf8, FileType::Script],
    stage: Stage::AfterMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`begin ` and a mode, BinHex's first line, `-----BEGIN`; or all of the text is of one encoding",
        yields: "the decoded files (not under ClamAV's names)",
        leaves_out: "checksums; dumps with lines left out",
        limits: "max_script_normalise_bytes; 64 files",
        sources: "POSIX, RFC 4648, RFC 7468, RFC 9580",
    },
};

/// Ours.
const FILES_MAX: usize = 64;

fn enabled(options: &ScanOptions) -> bool {
    options.normalise && !options.clamav_quirks
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
    if len > sink.limits().max_script_normalise_bytes {
        // `text` has said so.
        return Ok(());
    }
    let (files, armoured) = (mail::encoded_files(object), armoured(object));
    if files.len().max(armoured.len()) > FILES_MAX {
        sink.unscanned(b"", Reason::FormatLimit("files encoded in a text".into()));
    }
    for (name, data) in files.into_iter().take(FILES_MAX) {
        sink.child(Child { name: &name, data: &data, role: ChildRole::Member })?;
    }
    sink.poll()?;
    for (is_message, data) in armoured.into_iter().take(FILES_MAX) {
        let role = if is_message { ChildRole::Typed(FileType::OpenPgp) } else { ChildRole::Member };
        sink.child(Child { name: b"armoured", data: &data, role })?;
    }
    if let Some((name, data)) =
        dump::decode(object).or_else(|| whole::decode(object)).or_else(|| whole::tail(object))
    {
        sink.child(Child { name: name.as_bytes(), data: &data, role: ChildRole::Member })?;
    }
    Ok(())
}

/// Decodes what stands between `-----BEGIN …-----` and `-----END`, but for certificates and keys, which hide
/// nothing; says of each whether it is a message of OpenPGP. Gives one more than [`FILES_MAX`] when there are more.
fn armoured(text: &[u8]) -> Vec<(bool, Vec<u8>)> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let mut files = Vec::new();
    let mut done = 0usize;
    for end in memmem::find_iter(text, b"-----END") {
        if files.len() > FILES_MAX {
            break;
        }
        let before = text.get(std::mem::replace(&mut done, end)..end).unwrap_or_default();
        let Some(begin) = memmem::rfind(before, BEGIN) else { continue };
        let rest = before.get(begin.saturating_add(BEGIN.len())..).unwrap_or_default();
        // A batch file has a command in front of the mark.
        let block_len = memchr::memrchr(b'\n', rest).unwrap_or(rest.len());
        let block = rest.get(..block_len).unwrap_or_default();
        let Some(label_len) =
            memmem::find(block.get(..block.len().min(80)).unwrap_or(block), b"-----")
        else {
            continue;
        };
        let (label, body) = block.split_at_checked(label_len).unwrap_or((block, &[]));
        let is_message = label == b"PGP MESSAGE";
        let is_key = label.ends_with(b"KEY") || label.ends_with(b"PARAMETERS");
        if is_key || label.starts_with(b"PGP") && !is_message {
            continue;
        }
        let data = base64::decode(&armour_lines(body, is_message));
        // A sequence of ASN.1 under other names than these is a certificate, a key or a request.
        let hides = is_message
            || matches!(label, b"PKCS7" | b"CMS" | b"PKCS #7 SIGNED DATA")
            || data.first() != Some(&0x30);
        if hides && data.len() > 8 {
            files.push((is_message, data));
        }
    }
    files
}

/// Keeps the lines of digits: without headers, checksum, and what a batch file has around them.
fn armour_lines(body: &[u8], is_message: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in body.split(|byte| *byte == b'\n').skip(1) {
        let line = line.trim_ascii();
        let line = line.strip_prefix(b"echo ").unwrap_or(line);
        let line = line.split(|byte| matches!(byte, b'>' | b' ')).next().unwrap_or_default();
        let is_header = line.contains(&b':');
        let is_checksum = is_message && line.starts_with(b"=") && line.len() == 5;
        if !is_header && !is_checksum {
            lines.extend_from_slice(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::armoured;

    #[test]
    fn certificates_are_left_out_and_batch_files_understood() {
        assert_eq!(
            armoured(b"-----BEGIN CERTIFICATE-----\nMIIBAjANBg==\n-----END CERTIFICATE-----\n"),
            []
        );
        let text = b"echo -----BEGIN CERTIFICATE----->>a\r\necho TVqQAAMAAAAE>>a\r\necho AAAA>>a\r\necho -----END CERTIFICATE-----";
        assert_eq!(armoured(text), [(false, b"MZ\x90\0\x03\0\0\0\x04\0\0\0".to_vec())]);
        // Of marks in one another the inner one counts, and many of them take no longer.
        let text =
            [b"-----BEGIN X\n".repeat(100_000).as_slice(), text, b"\n-----END-----END"].concat();
        assert_eq!(armoured(&text).len(), 1);
        let text = b"-----BEGIN PGP MESSAGE-----\nVersion: 1\n\nrA9iAmEAAAAAAGhlbGxv\n=abcd\n-----END PGP MESSAGE-----";
        assert_eq!(armoured(text)[0].1, b"\xac\x0fb\x02a\0\0\0\0\0hello");
    }
}
