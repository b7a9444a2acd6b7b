//! Content that is read and counted but not run: bytecode (`cbc`), catalogues (`cat`), and OpenIOC documents (`ioc`),
//! of which the digests become signatures.
//!
//! Promises: nothing of it is dropped in silence; what is cheap to check is checked.
//! Sources: ClamAV's documentation; clamscan 1.4.6.

use hf_core::signature::{HashOf, HashSig, NotRun};

use super::tdb;
use crate::{
    diagnostic::{Diagnostic, Severity, codes},
    load::Loading,
    text::Text,
};

/// Reads the first two lines of a program: the header, and its logical signature or name.
pub(super) fn bytecode(loading: &mut Loading<'_>, bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut lines = bytes.split(|b| *b == b'\n');
    let header = lines.next().unwrap_or_default();
    if !is_bytecode(header) {
        let reason = "the first line is not the header of a bytecode program";
        return loading.refuse_file(&codes::BYTECODE, reason);
    }
    let second = Text::line(lines.next().unwrap_or_default());
    let (name, logical) = match second.split_once(b';') {
        Some((name, _)) => (name, true),
        None => (second, false),
    };
    loading.place.line = 2;
    if loading.is_ignored(name, second) {
        loading.summary.ignored += 1;
        return Ok(());
    }
    if !is_for(header, second, loading.options.flevel) {
        loading.summary.skipped += 1;
        return Ok(());
    }
    if logical {
        loading.summary.signatures += 1;
    }
    let name = name.lossy();
    loading.out.not_run(loading.place.meta(name.trim_end()), NotRun::Bytecode);
    Ok(())
}

/// True for `ClamBC`, letters that carry numbers, `:` and a decimal number.
fn is_bytecode(header: &[u8]) -> bool {
    let Some(rest) = header.trim_ascii_end().strip_prefix(b"ClamBC") else { return false };
    let Some(colon) = rest.iter().rposition(|b| *b == b':') else { return false };
    let digits = &rest[colon + 1..];
    colon > 0 && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// True when header and logical signature of a program ask for no other engine.
fn is_for(header: &[u8], second: Text<'_>, flevel: u32) -> bool {
    let Some((format, min, max)) = header_levels(header) else { return false };
    let flevel64 = u64::from(flevel);
    let in_range = min <= flevel64 && (max == 0 || flevel64 <= max);
    // The target description stands behind the first `;`.
    let tdb = second.split_once(b';').map(|(_, rest)| rest.split_once(b';').map_or(rest, |p| p.0));
    let wanted = tdb.is_none_or(|tdb| !matches!(tdb::parse(tdb, flevel, None), Ok(None)));
    matches!(format, 6 | 7) && in_range && wanted
}

/// Returns a program's format, and the least and largest level it asks for.
fn header_levels(header: &[u8]) -> Option<(u64, u64, u64)> {
    let mut fields = Nibbles { bytes: header.get(MAGIC_LEN..)? };
    let format = fields.number()?;
    let _timestamp = fields.number()?;
    fields.skip_text()?;
    let _target_exclude = fields.number()?;
    let _kind = fields.number()?;
    Some((format, fields.number()?, fields.number()?))
}

/// Length of `ClamBC`.
const MAGIC_LEN: usize = 6;

/// Numbers in a program: a letter that says how many follow, then so many letters of four bits, the least first.
struct Nibbles<'a> {
    bytes: &'a [u8],
}

impl Nibbles<'_> {
    fn nibble(&mut self) -> Option<u8> {
        let (byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        (0x60..=0x70).contains(byte).then(|| byte - 0x60)
    }

    fn number(&mut self) -> Option<u64> {
        let count = self.nibble()?;
        let mut value = 0;
        for idx in 0..u32::from(count) {
            value |= u64::from(self.nibble()? & 15).checked_shl(4 * idx).unwrap_or(0);
        }
        Some(value)
    }

    fn skip_text(&mut self) -> Option<()> {
        self.bytes = self.bytes.strip_prefix(b"|")?;
        let len = usize::try_from(self.number()?).ok()?;
        self.bytes = self.bytes.get(len.checked_mul(2)?..)?;
        Some(())
    }
}

/// Takes note of a catalogue.
pub(super) fn catalog(loading: &mut Loading<'_>, _bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
    loading.out.not_run(loading.place.meta(""), NotRun::Catalog);
    Ok(())
}

/// Takes the digests of an OpenIOC document as signatures of any size, named by the document's id.
pub(super) fn open_ioc(loading: &mut Loading<'_>, bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
    let text = String::from_utf8_lossy(bytes);
    let id = attribute(&text, "<ioc", "id").unwrap_or_default().to_owned();
    let name = if id.is_empty() { loading.place.file.to_owned() } else { id };
    let mut digests: u64 = 0;
    for element in text.split("<Content").skip(1) {
        let Some((tag, rest)) = element.split_once('>') else { continue };
        let bytes = match word(tag, "type").map(str::to_ascii_lowercase).as_deref() {
            Some("md5") => 16,
            Some("sha1") => 20,
            Some("sha256") => 32,
            _ => continue,
        };
        let value = rest.split('<').next().unwrap_or_default().trim();
        let Ok(digest) = Text::line(value.as_bytes()).hex() else { continue };
        if digest.len() != bytes {
            continue;
        }
        let sig = HashSig { of: HashOf::Object, digest: &digest, size: None };
        loading.out.hash(loading.place.meta(&name), sig);
        digests += 1;
    }
    loading.summary.signatures += digests;
    if digests == 0 {
        loading.out.not_run(loading.place.meta(&name), NotRun::OpenIoc);
        let reason = "the document holds no digest that could be used";
        let file = loading.place.file;
        let warning = Diagnostic::at_file(Severity::Warning, &codes::NO_RULES, file, reason);
        loading.record(*warning);
    }
    Ok(())
}

/// Returns an attribute of the first element that starts like this.
fn attribute<'a>(text: &'a str, element: &str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(element)?;
    word(rest.split_once('>')?.0, name)
}

/// Returns the value of an attribute in a tag.
fn word<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag;
    loop {
        let (_, behind) = rest.split_once(name)?;
        rest = behind;
        let value = behind.trim_start().strip_prefix('=').map(str::trim_start);
        let Some(value) = value else { continue };
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        return value[1..].split_once(quote).map(|(value, _)| value);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Got, check, take};

    #[test]
    fn programs() {
        check("x.cbc", "", Got::Nothing);
        let header = "ClamBCag`|acbacfdf`c``abhc`:4096";
        check(
            "x.cbc",
            &format!("{header}\nName.{{A}};Engine:56-255,Target:1;0;x\n"),
            Got::Taken(1),
        );
        check("x.cbc", &format!("{header}\nName\n"), Got::Taken(1));
        check("x.cbc", &format!("{header}\nName;Engine:56-99,Target:1;0;x\n"), Got::Skipped);
        check("x.cbc", "ClamBC", Got::Refused("HF0408"));
        check("x.cbc", "foo", Got::Refused("HF0408"));
        check("x.cat", "foo", Got::Taken(1));
    }

    #[test]
    fn documents() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let text = format!(
            "<ioc xmlns=\"x\" id=\"abc-1\"><Context search='FileItem/Md5sum'/>\
             <Content type=\"md5\">{md5}</Content><Content type='sha1'>{md5}</Content></ioc>"
        );
        let kept = take("x.ioc", &text);
        assert_eq!(kept.names, ["abc-1"]);
        assert_eq!(kept.hashes[0].2, None);
        check("x.ioc", "foo", Got::Taken(1));
    }
}
