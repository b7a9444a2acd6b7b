//! Parts of Office Open XML and OpenDocument that hide links, commands, macros and files in markup.
//!
//! Yields: binary parts of flat documents, decoded; as text: targets outside of the document, codes of active
//! fields with their pieces joined, document variables, formulas of macro sheets, modules of Basic.
//! Leaves out: the document's own text (the object is matched as a whole), formulas of other sheets.
//! Limits: 4096 links, fields and variables each, 4 MiB of text each.
//! Hostile input: elements are found by their local name, however broken the rest; references are resolved;
//! pieces of a field are joined across elements, and fields in fields evaluated where they quote characters.
//! Sources: [1] ECMA-376 part 1 §17.16 (fields), §17.15.1.32 (docVar), part 2 §9.3 (relationships), part 4
//! §18.14 (links); [2] MS-OFFMACRO2 §2.2.1.1 (macro sheets); [3] OpenDocument 1.3 part 2 §3.4.2 (encryption),
//! part 3 §3.1.2 (flat documents).

use hf_core::{Child, ChildRole, FileType, Halt, ScanOptions, Sink, Stop};
use memchr::memmem;

use super::base64_parts::{Element, attribute, decode, elements};
use crate::{Format, FormatDoc, Stage};

/// Looks into parts of documents in XML.
pub(crate) static FORMAT: Format = Format {
    name: "office_xml",
    types: &[FileType::TextAscii, FileType::TextUtf8, FileType::XmlWord, FileType::XmlXl],
    stage: Stage::AfterMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`<` at the start of a text, and the elements of Office or OpenDocument",
        yields: "binary parts; outside targets, active fields, variables, formulas of macro sheets and \
                 modules as text (not under ClamAV's names)",
        leaves_out: "the document's own text",
        limits: "4096 links, fields and variables, 4 MiB of text each",
        sources: "ECMA-376, MS-OFFMACRO2, OpenDocument 1.3",
    },
};

const NOTES_MAX: usize = 4096;
const TEXT_LEN_MAX: usize = 4 << 20;
const HEAD_LEN: usize = 4096;

fn enabled(options: &ScanOptions) -> bool {
    options.scan_xmldocs
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let text = object.strip_prefix(b"\xef\xbb\xbf").unwrap_or(object).trim_ascii_start();
    if !text.starts_with(b"<") {
        return Ok(());
    }
    let head = object.get(..object.len().min(HEAD_LEN)).unwrap_or_default();
    let has = |word: &[u8]| memmem::find(head, word).is_some();
    if has(b"Relationships") {
        relationships(object, sink)?;
    }
    if has(b"wordprocessingml") || has(b"office/word") {
        word(object, sink)?;
    }
    if has(b"spreadsheetml") || has(b"office/excel") {
        excel(object, sink)?;
    }
    if has(b":package") {
        binary_parts(object, "binaryData", sink)?;
        word(object, sink)?;
        relationships(object, sink)?;
    }
    if has(b"opendocument") || has(b"openoffice.org") {
        open_document(object, sink)?;
    }
    Ok(())
}

/// Hands a text over that is made of parts of the object.
fn give(name: &str, text: &str, sink: &mut dyn Sink) -> Result<(), Stop> {
    if text.trim().is_empty() || sink.options().clamav_quirks {
        return Ok(());
    }
    let role = ChildRole::Typed(FileType::TextAscii);
    sink.child(Child { name: name.as_bytes(), data: text.as_bytes(), role })
}

fn value(attributes: &[u8], name: &str) -> String {
    attribute(attributes, name).map(unescape).unwrap_or_default()
}

fn attributes<'a>(object: &'a [u8], element: &Element) -> &'a [u8] {
    object.get(element.attributes.clone()).unwrap_or_default()
}

fn relationships(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut text = String::new();
    for element in elements(object, "Relationship").take(NOTES_MAX) {
        let attributes = attributes(object, &element);
        let target = value(attributes, "Target");
        let outside = value(attributes, "TargetMode").eq_ignore_ascii_case("external");
        if !outside && !target.contains("://") {
            continue;
        }
        let kind = value(attributes, "Type");
        let kind = kind.rsplit('/').next().unwrap_or_default();
        sink.fact("office.external", &format!("{kind} {target}"));
        text.push_str(&format!("{kind} {target}\n"));
    }
    give("links", &text, sink)
}

fn word(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut codes = String::new();
    let simple = elements(object, "fldSimple").take(NOTES_MAX);
    let simple = simple.map(|element| value(attributes(object, &element), "instr"));
    for code in simple.chain(complex_fields(object)).filter(|code| is_active(code)) {
        sink.fact("office.field", &code);
        codes.push_str(&code);
        codes.push('\n');
    }
    give("fields", &codes, sink)?;
    let mut variables = String::new();
    for element in elements(object, "docVar").take(NOTES_MAX) {
        let value = value(attributes(object, &element), "val");
        if variables.len().saturating_add(value.len()) > TEXT_LEN_MAX {
            break;
        }
        variables.push_str(&value);
        variables.push('\n');
    }
    give("variables", &variables, sink)
}

/// Words of fields that run or fetch something.
fn is_active(code: &str) -> bool {
    const ACTIVE: [&str; 5] = ["DDE", "INCLUDETEXT", "INCLUDEPICTURE", "IMPORT", "MACROBUTTON"];
    let start: String = code.trim_start().chars().take(16).collect();
    let start = start.to_ascii_uppercase();
    ACTIVE.iter().any(|word| start.starts_with(word))
}

/// Returns the codes of fields whose pieces lie in elements of their own ([1] §17.16.18).
fn complex_fields(object: &[u8]) -> Vec<String> {
    let mut marks: Vec<(usize, Option<Element>)> = elements(object, "instrText")
        .take(NOTES_MAX.saturating_mul(16))
        .map(|element| (element.text.start, Some(element)))
        .collect();
    if marks.is_empty() {
        return Vec::new();
    }
    let ends = memmem::find_iter(object, b"fldCharType").take(NOTES_MAX.saturating_mul(16));
    marks.extend(ends.map(|off| (off, None)));
    marks.sort_by_key(|(off, _)| *off);
    let mut open: Vec<String> = Vec::new();
    let mut codes = Vec::new();
    let mut len = 0usize;
    for (off, element) in marks {
        if let Some(element) = element {
            let text = unescape(object.get(element.text).unwrap_or_default());
            len = len.saturating_add(text.len());
            if open.is_empty() {
                open.push(String::new());
            }
            if let Some(code) = open.last_mut().filter(|_| len <= TEXT_LEN_MAX) {
                code.push_str(&text);
            }
            continue;
        }
        let rest = object.get(off..).unwrap_or_default();
        let rest = rest.get(..rest.len().min(32)).unwrap_or_default();
        if memmem::find(rest, b"begin").is_some() {
            if open.len() < DEPTH_MAX {
                open.push(String::new());
            }
        } else if memmem::find(rest, b"end").is_some() {
            let Some(code) = open.pop() else { continue };
            match open.last_mut() {
                Some(outer) => outer.push_str(&quoted(&code).unwrap_or(code)),
                None => codes.push(quoted(&code).unwrap_or(code)),
            }
        }
        if codes.len() >= NOTES_MAX {
            break;
        }
    }
    // What is not closed is a field to Word too.
    codes.extend(open);
    codes
}

/// Fields in one another.
const DEPTH_MAX: usize = 32;

/// Returns what a `QUOTE` field shows when it is made of character numbers.
fn quoted(code: &str) -> Option<String> {
    let mut words = code.split_ascii_whitespace();
    if !words.next()?.eq_ignore_ascii_case("quote") {
        return None;
    }
    words
        .take_while(|word| !word.starts_with('\\'))
        .map(|word| word.parse::<u32>().ok().and_then(char::from_u32))
        .collect()
}

fn excel(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut links = String::new();
    for element in elements(object, "ddeLink").take(NOTES_MAX) {
        let attributes = attributes(object, &element);
        let link = format!("{}|{}", value(attributes, "ddeService"), value(attributes, "ddeTopic"));
        sink.fact("office.dde", &link);
        links.push_str(&link);
        links.push('\n');
    }
    give("links", &links, sink)?;
    for element in elements(object, "definedName").take(NOTES_MAX) {
        let name = value(attributes(object, &element), "name");
        if name.to_ascii_lowercase().contains("auto_") {
            let text = unescape(object.get(element.text).unwrap_or_default());
            sink.fact("office.defined_name", &format!("{name} {text}"));
        }
    }
    let head = object.get(..object.len().min(HEAD_LEN)).unwrap_or_default();
    if memmem::find(head, b"macrosheet").is_none() {
        return Ok(());
    }
    sink.fact("office.macros", "XLM");
    give("xlm_macros", &formulas(object), sink)
}

/// Returns the formulas and values of a sheet, a cell a line.
fn formulas(object: &[u8]) -> String {
    let mut text = String::new();
    let mut cells = elements(object, "c").peekable();
    while let Some(cell) = cells.next() {
        let end = cells.peek().map_or(object.len(), |next| next.attributes.start);
        let inside = object.get(cell.attributes.end..end).unwrap_or_default();
        let first = |name: &'static str| {
            let element = elements(inside, name).next()?;
            Some(unescape(inside.get(element.text)?)).filter(|text| !text.is_empty())
        };
        let (formula, value) = (first("f"), first("v"));
        if formula.is_some() || value.is_some() {
            text.push_str(&self::value(attributes(object, &cell), "r"));
            for (sign, part) in [("\t=", formula), ("\t", value)] {
                if let Some(part) = part {
                    text.push_str(sign);
                    text.push_str(&part);
                }
            }
            text.push('\n');
        }
        if text.len() > TEXT_LEN_MAX {
            break;
        }
    }
    text
}

fn binary_parts(object: &[u8], tag: &'static str, sink: &mut dyn Sink) -> Result<(), Stop> {
    for (number, element) in (1u32..).zip(elements(object, tag)) {
        sink.poll()?;
        let data = decode(object.get(element.text.clone()).unwrap_or_default());
        if data.is_empty() {
            continue;
        }
        let name = part_name(object, &element).unwrap_or_else(|| format!("{tag}{number}"));
        sink.child(Child { name: name.as_bytes(), data: &data, role: ChildRole::Member })?;
    }
    Ok(())
}

/// Returns the name of the part around a binary element, which stands a little before it.
fn part_name(object: &[u8], element: &Element) -> Option<String> {
    const REACH: usize = 512;
    let end = element.attributes.start;
    let before = object.get(end.saturating_sub(REACH)..end)?;
    let part = before.get(memmem::rfind(before, b":part")?..)?;
    Some(unescape(attribute(part, "name")?))
}

fn open_document(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    binary_parts(object, "binary-data", sink)?;
    for element in elements(object, "module").take(NOTES_MAX) {
        let text = unescape(object.get(element.text.clone()).unwrap_or_default());
        let name = value(attributes(object, &element), "name");
        sink.fact("office.macros", "Basic");
        give(if name.is_empty() { "module" } else { &name }, &text, sink)?;
    }
    if elements(object, "encryption-data").next().is_some() {
        // The package around it opens what it can, and names what it cannot.
        sink.fact("office.encrypted", "true");
    }
    Ok(())
}

/// Resolves references; unknown ones stay.
pub(crate) fn unescape(text: &[u8]) -> String {
    let mut out = String::new();
    let text = String::from_utf8_lossy(text);
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('&') {
        let (before, reference) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let end = reference.char_indices().take(12).find(|(_, c)| *c == ';').map(|(at, _)| at);
        let resolved = end.and_then(|end| {
            let name = reference.get(1..end)?;
            Some((resolve(name)?, reference.get(end.checked_add(1)?..)?))
        });
        match resolved {
            Some((character, behind)) => {
                out.push(character);
                rest = behind;
            }
            None => {
                out.push('&');
                rest = reference.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

fn resolve(name: &str) -> Option<char> {
    let number = name.strip_prefix('#');
    if let Some(number) = number {
        let hex = number.strip_prefix(['x', 'X']);
        let value = match hex {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(value);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Recorder;

    #[track_caller]
    fn check(object: &str, want: &[(&str, &str)]) {
        let mut recorder = Recorder::default();
        recorder.run(&FORMAT, object.as_bytes()).expect("markup is never broken");
        let children = recorder.children();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let got: Vec<_> = children.iter().map(|(name, data)| (text(name), text(data))).collect();
        let want: Vec<_> =
            want.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn outside_targets() {
        check(
            "<?xml version=\"1.0\"?><Relationships><Relationship Type=\"http://s/attachedTemplate\" \
             Target=\"&#x68;ttp://a/b?c&amp;d\" TargetMode=\"External\"/><Relationship Target=\"x.xml\"/>",
            &[("links", "attachedTemplate http://a/b?c&d\n")],
        );
    }

    #[test]
    fn fields_in_pieces() {
        let field = |kind: &str| format!("<w:fldChar w:fldCharType=\"{kind}\"/>");
        let code = |text: &str| format!("<w:instrText xml:space=\"preserve\">{text}</w:instrText>");
        let all = [
            "<w:document xmlns=\"wordprocessingml\">".to_owned(),
            field("begin"),
            code("DDE"),
            code("AUTO "),
            field("begin"),
            code("QUOTE 99 58 92"),
            field("separate"),
            field("end"),
            code(" &quot;x&quot;"),
            field("end"),
            "<w:fldSimple w:instr=\"PAGE\"/><w:docVar w:name=\"a\" w:val=\"b&lt;\"/>".to_owned(),
        ];
        check(&all.concat(), &[("fields", "DDEAUTO c:\\ \"x\"\n"), ("variables", "b<\n")]);
    }

    #[test]
    fn macro_sheets_and_links() {
        check(
            "<xm:macrosheet xmlns=\"spreadsheetml\"><row><c r=\"A1\"><f>EXEC(\"a\"&amp;B2)</f><v>1</v></c>\
             <c r=\"B2\"><v>2</v></c></row>",
            &[("xlm_macros", "A1\t=EXEC(\"a\"&B2)\t1\nB2\t2\n")],
        );
        check(
            "<externalLink xmlns=\"spreadsheetml\"><ddeLink ddeService=\"cmd\" ddeTopic=\"/c x\"/>",
            &[("links", "cmd|/c x\n")],
        );
    }

    #[test]
    fn flat_documents() {
        check(
            "<pkg:package><pkg:part pkg:name=\"/word/vbaProject.bin\"><pkg:binaryData>QUJD\
             </pkg:binaryData></pkg:part></pkg:package>",
            &[("/word/vbaProject.bin", "ABC")],
        );
        check(
            "<office:document xmlns=\"opendocument\"><office:binary-data>QUJD</office:binary-data>\
             <script:module script:name=\"M\">Sub A&#10;End Sub</script:module>",
            &[("binary-data1", "ABC"), ("M", "Sub A\nEnd Sub")],
        );
    }

    #[test]
    fn other_text_costs_nothing() {
        check("plain text", &[]);
        check("<a>", &[]);
    }
}
