//! A report's objects as the metadata of ClamAV: the text of `metadata.json`, which signatures of target 13 are
//! matched on.
//!
//! Promises: keys, their order and the layout are those of clamscan 1.4.6, for what both know; other facts follow under
//! `Facts`. Objects that are other forms of the same content are left out.
//! Leaves out: paths of temporary files; the numbers by which ClamAV's parts of mails refer to objects.
//! Needs: a report with [`hf_core::ScanOptions::full_tree`].
//! Sources: clamscan 1.4.6 `--gen-json`.

mod mail;

use std::fmt::Write as _;

use hf_core::{ObjectNode, Report};

/// Returns the metadata of a file; a worker does not know its name.
#[must_use]
pub fn metadata(report: &Report, file_name: Option<&str>) -> String {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); report.objects.len()];
    for (idx, node) in report.objects.iter().enumerate() {
        let place = around(report, node).and_then(|parent| children.get_mut(parent));
        if let Some(list) = place.filter(|_| !node.normalised) {
            list.push(idx);
        }
    }
    let mut root = Vec::new();
    if let Some(node) = report.objects.first() {
        root.push(("Magic".to_owned(), text("CLAMJSONv0")));
        root.push(("RootFileType".to_owned(), text(&type_name(node))));
        let name = file_name.unwrap_or_default();
        object(report, &children, 0, name, 0, &mut root);
    }
    let mut out = String::new();
    Json::Object(root).write(0, &mut out);
    out
}

/// Returns the object around one, over other forms of the same content.
fn around(report: &Report, node: &ObjectNode) -> Option<usize> {
    let mut parent = usize::try_from(node.parent?).ok()?;
    // Parents come before children, so this ends.
    while let Some(node) = report.objects.get(parent).filter(|node| node.normalised) {
        let next = usize::try_from(node.parent?).ok()?;
        if next >= parent {
            return None;
        }
        parent = next;
    }
    Some(parent)
}

fn object(
    report: &Report,
    children: &[Vec<usize>],
    idx: usize,
    name: &str,
    depth: u32,
    out: &mut Vec<(String, Json)>,
) {
    let Some(node) = report.objects.get(idx) else { return };
    let mut put = |key: &str, value: Json| out.push((key.to_owned(), value));
    if !name.is_empty() {
        put("FileName", text(name));
    }
    put("FileType", text(&type_name(node)));
    put("FileSize", Json::Number(node.size.to_string()));
    if let Some(digests) = &node.digests {
        put("FileMD5", text(&hf_core::hex::to_hex(&digests.md5)));
    }
    for (key, value) in facts(node) {
        put(&key, value);
    }
    let alerts: Vec<Json> = report
        .hits
        .iter()
        .filter(|hit| usize::try_from(hit.object).ok() == Some(idx))
        .map(|hit| text(&hit.name))
        .collect();
    if !alerts.is_empty() {
        put("Viruses", Json::List(alerts));
    }
    let inside = children.get(idx).map(Vec::as_slice).unwrap_or_default();
    if inside.is_empty() || depth >= DEPTH_MAX {
        return;
    }
    let list = inside.iter().map(|child| {
        let name = report.objects.get(*child).map(|node| String::from_utf8_lossy(&node.name));
        let mut members = Vec::new();
        let name = name.unwrap_or_default();
        object(report, children, *child, &name, depth.saturating_add(1), &mut members);
        Json::Object(members)
    });
    put("ContainedObjects", Json::List(list.collect()));
}

fn type_name(node: &ObjectNode) -> String {
    format!("CL_TYPE_{}", node.file_type.name())
}

/// Returns what a node's facts are called in ClamAV's metadata; those that it does not have stand in `Facts`.
fn facts(node: &ObjectNode) -> Vec<(String, Json)> {
    let (mut pe, mut sections, mut imports) = (Vec::new(), Vec::new(), Vec::new());
    let (mut summary, mut document, mut streams) = (Vec::new(), Vec::new(), Vec::new());
    let (mut pdf, mut uris, mut imphash, mut others) = (Vec::new(), Vec::new(), None, Vec::new());
    let mut objects: Vec<(&str, Vec<Json>)> = Vec::new();
    let (body, parts) = mail::body(&node.facts);
    for (key, value) in &node.facts {
        let named = |table: &[(&str, &'static str, Kind)]| {
            let (_, name, kind) = table.iter().find(|(known, _, _)| known == key)?;
            Some(((*name).to_owned(), kind.json(value)))
        };
        if key == "mail.part" || key == "mail.boundary" {
            continue;
        }
        if let Some((_, name)) = PDF_OBJECTS.iter().find(|(known, _)| known == key) {
            let number = Kind::Number.json(value);
            match objects.iter_mut().find(|(known, _)| known == name) {
                Some((_, list)) => list.push(number),
                None => objects.push((*name, vec![number])),
            }
        } else if key == "pdf.other_version" {
            pdf.push(("BadVersion".to_owned(), Json::Bool(true)));
            others.push((key.clone(), text(value)));
        } else if let Some(field) = named(PE) {
            pe.push(field);
        } else if let Some(field) = named(PDF) {
            pdf.push(field);
        } else if let Some(field) = named(SUMMARY) {
            summary.push(field);
        } else if let Some(field) = named(DOCUMENT) {
            document.push(field);
        } else if key == "ole2.stream" {
            streams.push(text(value));
        } else if key.starts_with("pe.section.") {
            sections.push(section(value));
        } else if key.starts_with("pe.import.") {
            imports.push(text(value));
        } else if key == "pe.imphash" {
            imphash = Some(text(value));
        } else if key == "uri" || key == "pdf.uri" {
            uris.push(text(value));
        } else {
            others.push((key.clone(), text(value)));
        }
    }
    if !sections.is_empty() {
        let entry = pe.iter().position(|(key, _)| key == "EntryPointOffset");
        let at = entry.unwrap_or(pe.len());
        pe.insert(at, ("Sections".to_owned(), Json::List(sections)));
    }
    pdf.extend(objects.into_iter().map(|(name, list)| (name.to_owned(), Json::List(list))));
    pdf.sort_by_key(|(name, _)| PDF.iter().position(|(_, known, _)| known == name));
    others.extend(parts.into_iter().map(|part| ("mail.part".to_owned(), text(part))));
    let groups = [
        ("Body", body),
        ("PE", (!pe.is_empty()).then_some(Json::Object(pe))),
        ("ImportTable", (!imports.is_empty()).then_some(Json::List(imports))),
        ("Imphash", imphash),
        ("Streams", (!streams.is_empty()).then_some(Json::List(streams))),
        ("SummaryInfo", (!summary.is_empty()).then_some(Json::Object(summary))),
        ("DocSummaryInfo", (!document.is_empty()).then_some(Json::Object(document))),
        ("PDFStats", (!pdf.is_empty()).then_some(Json::Object(pdf))),
        ("URIs", (!uris.is_empty()).then_some(Json::List(uris))),
        ("Facts", (!others.is_empty()).then_some(Json::Object(others))),
    ];
    groups.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Reads a section's fact: its name, then words of the form `key=value`.
fn section(value: &str) -> Json {
    let word = |key: &str| {
        let start = value.rfind(&format!(" {key}="))?;
        let rest = value.get(start.saturating_add(key.len()).saturating_add(2)..)?;
        let word = rest.split(' ').next()?;
        match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        }
    };
    let number = |key: &str| word(key).unwrap_or(0);
    let flags = number("flags");
    let list = vec![
        ("RawSize".to_owned(), Json::Number(number("len").to_string())),
        ("RawOffset".to_owned(), Json::Number(number("off").to_string())),
        ("VirtualAddress".to_owned(), text(&format!("0x{:08x}", number("rva")))),
        ("Executable".to_owned(), Json::Bool(flags & 0x2000_0000 != 0)),
        ("Writable".to_owned(), Json::Bool(flags & 0x8000_0000 != 0)),
        ("Signed".to_owned(), Json::Bool(false)),
    ];
    Json::Object(list)
}

/// How a fact is written.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Number,
    Flag,
}

impl Kind {
    fn json(self, value: &str) -> Json {
        match self {
            Self::Number if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                Json::Number(value.to_owned())
            }
            Self::Flag => Json::Bool(value == "true"),
            _ => text(value),
        }
    }
}

/// Facts, and ClamAV's names.
const PE: &[(&str, &str, Kind)] = &[
    ("pe.kind", "Type", Kind::Text),
    ("pe.arch", "ArchType", Kind::Text),
    ("pe.sections", "NumberOfSections", Kind::Number),
    ("pe.date", "TimeDateStamp", Kind::Text),
    ("pe.optional_len", "SizeOfOptionalHeader", Kind::Number),
    ("pe.linker_major", "MajorLinkerVersion", Kind::Number),
    ("pe.linker_minor", "MinorLinkerVersion", Kind::Number),
    ("pe.code_len", "SizeOfCode", Kind::Number),
    ("pe.initialised_len", "SizeOfInitializedData", Kind::Number),
    ("pe.uninitialised_len", "SizeOfUninitializedData", Kind::Number),
    ("pe.directories", "NumberOfRvaAndSizes", Kind::Number),
    ("pe.subsystem_major", "MajorSubsystemVersion", Kind::Number),
    ("pe.subsystem_minor", "MinorSubsystemVersion", Kind::Number),
    ("pe.entry_rva", "EntryPoint", Kind::Text),
    ("pe.code_rva", "BaseOfCode", Kind::Text),
    ("pe.section_align", "SectionAlignment", Kind::Text),
    ("pe.file_align", "FileAlignment", Kind::Text),
    ("pe.image_len", "SizeOfImage", Kind::Text),
    ("pe.headers_len", "SizeOfHeaders", Kind::Text),
    ("pe.subsystem_name", "Subsystem", Kind::Text),
    ("pe.entry_off", "EntryPointOffset", Kind::Number),
];
const SUMMARY: &[(&str, &str, Kind)] = &[
    ("ole2.codepage", "CodePage", Kind::Number),
    ("ole2.title", "Title", Kind::Text),
    ("ole2.subject", "Subject", Kind::Text),
    ("ole2.author", "Author", Kind::Text),
    ("ole2.keywords", "Keywords", Kind::Text),
    ("ole2.comments", "Comments", Kind::Text),
    ("ole2.template", "Template", Kind::Text),
    ("ole2.last_author", "LastAuthor", Kind::Text),
    ("ole2.revision", "RevNumber", Kind::Text),
    ("ole2.application", "AppName", Kind::Text),
    ("ole2.created", "CreatedTime", Kind::Number),
    ("ole2.saved", "ModifiedTime", Kind::Number),
    ("ole2.pages", "PageCount", Kind::Number),
    ("ole2.words", "WordCount", Kind::Number),
    ("ole2.characters", "CharCount", Kind::Number),
    ("ole2.security", "Security", Kind::Number),
];
const DOCUMENT: &[(&str, &str, Kind)] = &[
    ("ole2.category", "Category", Kind::Text),
    ("ole2.manager", "Manager", Kind::Text),
    ("ole2.company", "Company", Kind::Text),
    ("ole2.application_version", "Version", Kind::Number),
];
/// Facts that are numbers of objects, and ClamAV's names of their lists.
const PDF_OBJECTS: &[(&str, &str)] =
    &[("pdf.jbig2_object", "JBIG2Objects"), ("pdf.javascript_object", "JavascriptObjects")];
/// In ClamAV's order, in which they are written; names without a fact are put there otherwise.
const PDF: &[(&str, &str, Kind)] = &[
    ("pdf.version", "PDFVersion", Kind::Text),
    ("", "BadVersion", Kind::Flag),
    ("", "JBIG2Objects", Kind::Number),
    ("", "JavascriptObjects", Kind::Number),
    ("pdf.author", "Author", Kind::Text),
    ("pdf.creator", "Creator", Kind::Text),
    ("pdf.producer", "Producer", Kind::Text),
    ("pdf.modified", "ModificationDate", Kind::Text),
    ("pdf.created", "CreationDate", Kind::Text),
    ("pdf.title", "Title", Kind::Text),
    ("pdf.subject", "Subject", Kind::Text),
    ("pdf.keywords", "Keywords", Kind::Text),
    ("pdf.count.javascript", "JavaScriptObjectCount", Kind::Number),
    ("pdf.count.deflate", "DeflateObjectCount", Kind::Number),
    ("pdf.count.ascii_hex", "AsciiHexDecodeObjectCount", Kind::Number),
    ("pdf.count.ascii_85", "Ascii85DecodeObjectCount", Kind::Number),
    ("pdf.count.embedded_files", "EmbeddedFileCount", Kind::Number),
    ("pdf.count.images", "ImageCount", Kind::Number),
    ("pdf.count.lzw", "LZWCount", Kind::Number),
    ("pdf.count.run_length", "RunLengthDecodeCount", Kind::Number),
    ("pdf.count.fax", "FaxDecodeCount", Kind::Number),
    ("pdf.count.jbig2", "JBIG2DecodeCount", Kind::Number),
    ("pdf.count.dct", "DCTDecodeCount", Kind::Number),
    ("pdf.count.jpx", "JPXDecodeCount", Kind::Number),
    ("pdf.count.crypt", "CryptCount", Kind::Number),
    ("pdf.count.standard", "StandardCount", Kind::Number),
    ("pdf.count.signatures", "SignedCount", Kind::Number),
    ("pdf.count.open_actions", "OpenActionCount", Kind::Number),
    ("pdf.count.launches", "LaunchCount", Kind::Number),
    ("pdf.count.pages", "PageCount", Kind::Number),
    ("pdf.count.rich_media", "RichMediaCount", Kind::Number),
    ("pdf.count.acro_forms", "AcroFormCount", Kind::Number),
    ("pdf.count.xfa", "XFACount", Kind::Number),
    ("pdf.encrypted", "Encrypted", Kind::Flag),
    ("pdf.decryptable", "Decryptable", Kind::Flag),
];

/// A value, with its members in the order in which they were put.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Json {
    Text(String),
    /// Digits.
    Number(String),
    Bool(bool),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

fn text(value: &str) -> Json {
    Json::Text(value.to_owned())
}

impl Json {
    /// Writes the value as json-c does: two spaces a level, no space behind a colon.
    fn write(&self, level: usize, out: &mut String) {
        let line = |level: usize, out: &mut String| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", level));
        };
        match self {
            Self::Text(value) => quote(value, out),
            Self::Number(digits) => out.push_str(digits),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::List(values) => {
                out.push('[');
                for (idx, value) in values.iter().enumerate() {
                    out.push_str(if idx == 0 { "" } else { "," });
                    line(level.saturating_add(1), out);
                    value.write(level.saturating_add(1), out);
                }
                line(level, out);
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (idx, (key, value)) in members.iter().enumerate() {
                    out.push_str(if idx == 0 { "" } else { "," });
                    line(level.saturating_add(1), out);
                    quote(key, out);
                    out.push(':');
                    value.write(level.saturating_add(1), out);
                }
                line(level, out);
                out.push('}');
            }
        }
    }
}

fn quote(value: &str, out: &mut String) {
    out.push('"');
    for char in value.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
}

/// Ours: a report is no deeper, whatever made it.
const DEPTH_MAX: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use hf_core::{Digests, FileType};

    fn node(parent: Option<u32>, name: &str, facts: &[(&str, &str)]) -> ObjectNode {
        ObjectNode {
            parent,
            name: name.as_bytes().to_vec(),
            file_type: FileType::Zip,
            normalised: false,
            embedded_off: None,
            size: 9,
            digests: Some(Digests { md5: [1; 16], sha1: [0; 20], sha256: [0; 32] }),
            facts: facts.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            defects: Vec::new(),
        }
    }

    #[test]
    fn layout() {
        let section = ".text off=512 len=16 rva=0x1000 virtual_len=0x10 flags=0x60000020";
        let facts = [
            ("pe.kind", "EXE"),
            ("pe.entry_rva", "0x1000"),
            ("pe.entry_off", "64"),
            ("pe.section.0", section),
            ("pe.import.0", "kernel32.exit\"process"),
            ("pe.imphash", "ab"),
            ("uri", "http://a"),
            ("image.width", "1"),
        ];
        let mut copy = node(Some(0), "copy", &[]);
        copy.normalised = true;
        let report = Report {
            objects: vec![node(None, "", &[]), copy, node(Some(1), "a.exe", &facts)],
            ..Report::default()
        };
        let md5 = "01".repeat(16);
        let want = format!(
            r#"{{
  "Magic":"CLAMJSONv0",
  "RootFileType":"CL_TYPE_ZIP",
  "FileName":"x.zip",
  "FileType":"CL_TYPE_ZIP",
  "FileSize":9,
  "FileMD5":"{md5}",
  "ContainedObjects":[
    {{
      "FileName":"a.exe",
      "FileType":"CL_TYPE_ZIP",
      "FileSize":9,
      "FileMD5":"{md5}",
      "PE":{{
        "Type":"EXE",
        "EntryPoint":"0x1000",
        "Sections":[
          {{
            "RawSize":16,
            "RawOffset":512,
            "VirtualAddress":"0x00001000",
            "Executable":true,
            "Writable":false,
            "Signed":false
          }}
        ],
        "EntryPointOffset":64
      }},
      "ImportTable":[
        "kernel32.exit\"process"
      ],
      "Imphash":"ab",
      "URIs":[
        "http://a"
      ],
      "Facts":{{
        "image.width":"1"
      }}
    }}
  ]
}}"#
        );
        assert_eq!(metadata(&report, Some("x.zip")), want);
    }

    /// As clamscan 1.4.6 writes them, whatever the order of the facts.
    #[test]
    fn statistics_of_documents() {
        let facts = [
            ("pdf.encrypted", "true"),
            ("pdf.title", "t"),
            ("pdf.other_version", "9.9"),
            ("pdf.javascript_object", "5"),
            ("pdf.count.javascript", "2"),
            ("pdf.javascript_object", "7"),
        ];
        let report = Report { objects: vec![node(None, "", &facts)], ..Report::default() };
        let text = metadata(&report, None);
        let want = r#"
  "PDFStats":{
    "BadVersion":true,
    "JavascriptObjects":[
      5,
      7
    ],
    "Title":"t",
    "JavaScriptObjectCount":2,
    "Encrypted":true
  },"#;
        assert!(text.contains(want), "{text}");
    }
}
