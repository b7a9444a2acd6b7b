//! What `clamscan` does otherwise with objects inside objects, kept under the drop-in names so that the same
//! signatures find the same names.
//!
//! Source: clamscan 1.4.6, a matrix of forty kinds of object with executables, PDFs and archives behind them.

use hf_core::FileType;
use memchr::memmem;

/// Returns the type that `clamscan` gives an object that is `kind` by its first bytes: an executable or a
/// PDF near the start makes text and data one of those.
pub(crate) fn retyped(object: &[u8], kind: FileType) -> FileType {
    let head = object.get(..HEAD_LEN).unwrap_or(object);
    let is_plain = matches!(
        kind,
        FileType::BinaryData
            | FileType::TextAscii
            | FileType::TextUtf8
            | FileType::TextUtf16Le
            | FileType::TextUtf16Be
    );
    let by_pattern = matches!(
        kind,
        FileType::Java
            | FileType::LhaLzh
            | FileType::PythonCompiled
            | FileType::XmlWord
            | FileType::XmlXl
            | FileType::XmlHwp
            | FileType::Mhtml
            | FileType::Html
    );
    if (is_plain || by_pattern) && has_executable(head) {
        FileType::Msexe
    } else if let FileType::Java | FileType::LhaLzh = kind
        && let Some(other) = behind_magic(head)
    {
        other
    } else if is_plain && has_pdf(head) {
        FileType::Pdf
    } else {
        kind
    }
}

/// True when `clamscan` opens an object of type `kind` that it meets at an offset inside one of type `own`.
pub(crate) fn opens(own: FileType, kind: FileType) -> bool {
    match kind {
        FileType::Pdf => false,
        FileType::Msexe => matches!(own, FileType::Msexe | FileType::Msole2),
        _ => !matches!(own, FileType::Html | FileType::Ignored),
    }
}

/// True when the bytes of an object found at an offset meet signatures themselves, and not only its members.
pub(crate) fn matches_embedded(kind: FileType) -> bool {
    kind == FileType::Msexe
}

/// Name of a part of a mail that is a text and has no name of its own.
pub(crate) const TEXT_PART: &[u8] = b"textpart";

/// Returns the type by which signatures call an object that was found at an offset.
pub(crate) fn plain(kind: FileType) -> FileType {
    match kind {
        FileType::ZipSfx => FileType::Zip,
        FileType::RarSfx => FileType::Rar,
        FileType::CabSfx => FileType::Mscab,
        FileType::ArjSfx => FileType::Arj,
        FileType::SevenZipSfx => FileType::SevenZip,
        FileType::EggSfx => FileType::Egg,
        kind => kind,
    }
}

/// `MZ`, 60 to 300 bytes, `PE\0\0`.
fn has_executable(head: &[u8]) -> bool {
    memmem::find_iter(head, b"MZ").any(|at| {
        let from = at.saturating_add(2 + 60);
        let to = at.saturating_add(2 + 300 + 4).min(head.len());
        head.get(from..to).is_some_and(|window| memmem::find(window, b"PE\0\0").is_some())
    })
}

/// Returns what the bytes behind the magic make of data, if that is a page or a mail.
fn behind_magic(head: &[u8]) -> Option<FileType> {
    let mut data = head.to_vec();
    data.iter_mut().take(MAGIC_LEN).for_each(|byte| *byte = 0);
    let kind = hf_formats::identify(&data, None);
    matches!(kind, FileType::Html | FileType::Mail).then_some(kind)
}

/// `%PDF-`, any byte, a point.
fn has_pdf(head: &[u8]) -> bool {
    let dotted = |at: usize| head.get(at.saturating_add(6)) == Some(&b'.');
    memmem::find_iter(head, b"%PDF-").chain(memmem::find_iter(head, b"%pdf-")).any(dotted)
}

/// Bytes by which an object's type is decided.
const HEAD_LEN: usize = 1024;
/// Bytes of the magics of classes and LHA archives.
const MAGIC_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_near_the_start() {
        let at = |off: usize| [vec![1; off], b"MZ".to_vec(), vec![0; 62], b"PE\0\0".to_vec()];
        let near = at(900).concat();
        assert_eq!(retyped(&near, FileType::BinaryData), FileType::Msexe);
        assert_eq!(retyped(&near, FileType::Png), FileType::Png);
        let far = at(1000).concat();
        assert_eq!(retyped(&far, FileType::BinaryData), FileType::BinaryData);
        assert_eq!(retyped(b"text %PDF-1.4", FileType::TextAscii), FileType::Pdf);
        assert_eq!(retyped(b"text %PDF-14", FileType::TextAscii), FileType::TextAscii);
        let page = |off: usize| [vec![1; off], b"<html><body></html>".to_vec()].concat();
        assert_eq!(retyped(&page(40), FileType::Java), FileType::Html);
        assert_eq!(retyped(&page(1500), FileType::Java), FileType::Java);
        let mail = [&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52][..], MAIL].concat();
        assert_eq!(retyped(&mail, FileType::Java), FileType::Mail);
        assert_eq!(retyped(&page(40), FileType::PythonCompiled), FileType::PythonCompiled);
    }

    const MAIL: &[u8] = b"From x\nFrom: a@example.org\nMIME-Version: 1.0\n\none\n";

    #[test]
    fn what_is_opened() {
        assert!(opens(FileType::Msole2, FileType::Msexe));
        assert!(!opens(FileType::Elf, FileType::Msexe));
        assert!(opens(FileType::Elf, FileType::ZipSfx));
        assert!(!opens(FileType::Html, FileType::ZipSfx));
    }
}
