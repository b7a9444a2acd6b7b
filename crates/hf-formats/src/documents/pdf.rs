//! PDF: every object of every revision, with its streams decoded and decrypted.
//!
//! Yields: each stream, decoded; embedded files by their names; scripts in strings and streams, also
//! normalised; objects with actions as text; page contents as normalised text; the XML of forms, joined.
//! Leaves out: cross-reference tables (objects are found by their heads), the decoding of images.
//! Limits: 65,536 objects, 64 filters a stream, 64 levels of nesting, 16 joined forms, 8 MiB of strings in
//! object streams that might be scripts; all bytes through `Sink`.
//! Hostile input: wrong lengths, unclosed brackets and damaged filters keep what can be read.
//! Sources: [1] ISO 32000-1; [2] ISO 32000-2 §7.6.4 (AES-256).

use std::collections::{BTreeMap, BTreeSet};

use hf_core::{Child, ChildRole, FileType, Halt, Reason, ScanOptions, Sink, Stop};

use crate::bounded::Ended;
use crate::{Format, FormatDoc, Stage};
use crypt::Decryptor;
use filters::Filtered;
use objects::{Object, Objects};
use stats::Stats;
use value::{Dict, Lexer, Value};

mod crypt;
mod filters;
mod objects;
mod stats;
mod value;

/// Opens PDF.
pub(crate) static FORMAT: Format = Format {
    name: "pdf",
    types: &[FileType::Pdf],
    stage: Stage::AfterMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`%PDF-` in the first 1032 bytes",
        yields: "decoded streams; embedded files; scripts; objects with actions",
        leaves_out: "decoding of images (they are children as they are)",
        limits: "65,536 objects; 64 filters a stream; 64 levels of nesting",
        sources: "ISO 32000-1, ISO 32000-2",
    },
};

const FILTERS_MAX: usize = 64;
const URI_FACTS_MAX: usize = 256;
const TRAILERS_MAX: usize = 256;
/// Forms in several streams, and streams of one; Acrobat writes one form of about ten.
const FORMS_MAX: usize = 16;
const FORM_PARTS_MAX: usize = 256;
/// Bytes of strings in object streams that are kept until it is known which are scripts.
const STRINGS_LEN_MAX: usize = 8 << 20;
/// Bytes of a value that another one refers to.
const REFERRED_LEN_MAX: usize = 1 << 16;

fn enabled(options: &ScanOptions) -> bool {
    // `DOCUMENT` bit `PDF` of the configuration databases.
    options.scan_pdf && options.dconf.document & 0x4 != 0
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let objects = objects::find(object, sink)?;
    let latest = objects.list.iter().map(|object| (object.number, object.clone())).collect();
    let mut document = Document { bytes: object, latest, ..Document::default() };
    document.survey(&objects, sink)?;
    document.unlock(&objects, sink)?;
    for found in &objects.list {
        document.object_stream(found, sink)?;
    }
    for found in &objects.list {
        sink.poll()?;
        document.object(found, sink)?;
    }
    document.loose_scripts(sink)?;
    document.joined_forms(sink)?;
    if objects.more {
        sink.unscanned(b"", Reason::FormatLimit("PDF objects".into()));
    }
    document.tell(&objects, sink)?;
    Ok(())
}

/// What is known of the document.
#[derive(Debug, Default)]
struct Document<'a> {
    bytes: &'a [u8],
    decryptor: Option<Decryptor>,
    locked: bool,
    /// A trailer says whether the document is encrypted; without one, any such dictionary counts.
    trailer_seen: bool,
    encrypt_ref: Option<u32>,
    encrypt: Option<Dict>,
    id: Vec<u8>,
    /// Streams that are scripts.
    scripts: BTreeSet<u32>,
    /// Streams that are page contents.
    contents: BTreeSet<u32>,
    /// Names of embedded files by the number of their stream.
    files: BTreeMap<u32, Vec<u8>>,
    /// The last object of each number.
    latest: BTreeMap<u32, Object>,
    /// Strings that are objects of object streams: they may be scripts.
    strings: Vec<(u32, Vec<u8>)>,
    strings_len: usize,
    /// Streams that are one form together.
    forms: BTreeSet<Vec<u32>>,
    script_count: usize,
    uri_count: usize,
    obfuscated: bool,
    stats: Stats,
}

/// An object's number and generation, by which it is decrypted; none inside of object streams.
type Key = Option<(u32, u32)>;

impl<'a> Document<'a> {
    fn value(&self, object: &Object) -> Value {
        let bytes = self.bytes.get(..object.end).unwrap_or_default();
        Lexer::new(bytes, object.off).value(0).unwrap_or(Value::Null)
    }

    /// Notes what objects say about each other, and the encryption.
    fn survey(&mut self, objects: &Objects, sink: &mut dyn Sink) -> Result<(), Stop> {
        for trailer in memchr::memmem::find_iter(self.bytes, b"trailer").take(TRAILERS_MAX) {
            let off = trailer.saturating_add(7);
            let end = off.saturating_add(1 << 16).min(self.bytes.len());
            let bytes = self.bytes.get(..end).unwrap_or_default();
            if let Some(Value::Dict(dict)) = Lexer::new(bytes, off).value(0) {
                self.trailer(&dict);
            }
        }
        for (idx, object) in objects.list.iter().enumerate() {
            if idx.is_multiple_of(256) {
                sink.poll()?;
            }
            let value = self.value(object);
            if let Some(dict) = value.dict() {
                if dict.is("Type", "XRef") {
                    self.trailer(dict);
                }
                let encrypts = dict.is("Filter", "Standard") && dict.text("U").is_some();
                if self.encrypt_ref == Some(object.number) || (encrypts && !self.trailer_seen) {
                    self.encrypt = Some(dict.clone());
                    self.encrypt_ref = Some(object.number);
                }
            }
            self.relate(&value);
            self.stats.note(object.number, &dicts(&value));
        }
        Ok(())
    }

    fn trailer(&mut self, dict: &Dict) {
        self.trailer_seen = true;
        match dict.get("Encrypt") {
            Some(Value::Ref(number)) => self.encrypt_ref = Some(*number),
            Some(Value::Dict(encrypt)) => self.encrypt = Some(encrypt.clone()),
            _ => {}
        }
        if let Some(Value::Array(ids)) = dict.get("ID")
            && let Some(Value::Text(id)) = ids.first()
        {
            self.id.clone_from(id);
        }
    }

    /// Notes which streams are scripts, page contents and files.
    fn relate(&mut self, value: &Value) {
        for dict in dicts(value) {
            if let Some(Value::Ref(number)) = dict.get("JS") {
                self.scripts.insert(*number);
            }
            if let Some(Value::Array(parts)) = dict.get("XFA")
                && self.forms.len() < FORMS_MAX
            {
                let refs = parts.iter().filter_map(|value| {
                    if let Value::Ref(number) = value { Some(*number) } else { None }
                });
                self.forms.insert(refs.take(FORM_PARTS_MAX).collect());
            }
            match dict.get("Contents") {
                Some(Value::Ref(number)) => {
                    self.contents.insert(*number);
                }
                Some(Value::Array(all)) => self.contents.extend(all.iter().filter_map(|value| {
                    if let Value::Ref(number) = value { Some(*number) } else { None }
                })),
                _ => {}
            }
            let Some(Value::Dict(files)) = dict.get("EF") else { continue };
            let name = dict.text("UF").or_else(|| dict.text("F")).unwrap_or_default();
            for (_, value) in &files.0 {
                if let Value::Ref(number) = value {
                    self.files.insert(*number, name.to_vec());
                }
            }
        }
    }

    /// Finds the key, or tells that nobody can.
    fn unlock(&mut self, objects: &Objects, sink: &mut dyn Sink) -> Result<(), Stop> {
        let referred = self
            .encrypt_ref
            .is_some_and(|number| objects.list.iter().any(|object| object.number == number));
        let Some(encrypt) = self.encrypt.as_ref() else {
            if referred {
                self.lock(sink)?;
            }
            return Ok(());
        };
        sink.fact("pdf.encrypted", "true");
        let mut passwords = sink.passwords(FileType::Pdf);
        for password in sink.passwords(FileType::Zip) {
            if !passwords.contains(&password) {
                passwords.push(password);
            }
        }
        self.decryptor = Decryptor::new(encrypt, &self.id, &passwords);
        sink.fact("pdf.decryptable", &self.decryptor.is_some().to_string());
        if self.decryptor.is_none() {
            self.lock(sink)?;
        }
        Ok(())
    }

    fn lock(&mut self, sink: &mut dyn Sink) -> Result<(), Stop> {
        self.locked = true;
        sink.unscanned(b"", Reason::Encrypted);
        if sink.options().alert_encrypted_doc {
            sink.heuristic("Heuristics.Encrypted.PDF")?;
        }
        Ok(())
    }

    /// Hands an object stream over, and looks at the objects in it.
    fn object_stream(&mut self, object: &Object, sink: &mut dyn Sink) -> Result<(), Stop> {
        if object.stream.is_none() {
            return Ok(());
        }
        let value = self.value(object);
        let Some(dict) = value.dict().filter(|dict| is_object_stream(dict)) else { return Ok(()) };
        let Some(data) = self.decoded(object, dict, sink)? else { return Ok(()) };
        let name = object_name(object);
        sink.child(Child { name: name.as_bytes(), data: &data, role: ChildRole::Member })?;
        let first = dict.int("First").and_then(|first| usize::try_from(first).ok()).unwrap_or(0);
        let mut index = Lexer::new(&data, 0);
        // Objects of an honest stream are disjoint.
        let mut left = data.len().saturating_mul(4);
        for _ in 0..objects::OBJECTS_MAX {
            let (Some(Value::Int(number)), Some(Value::Int(off))) =
                (index.value(0), index.value(0))
            else {
                break;
            };
            let off = usize::try_from(off).unwrap_or(usize::MAX).saturating_add(first);
            let mut lexer = Lexer::new(&data, off);
            let Some(value) = lexer.value(0) else { continue };
            self.obfuscated |= lexer.obfuscated;
            let source = data.get(off..lexer.off).unwrap_or_default();
            left = left.saturating_sub(source.len());
            self.relate(&value);
            self.stats.note(u32::try_from(number).unwrap_or(u32::MAX), &dicts(&value));
            if let (Value::Text(text), Ok(number)) = (&value, u32::try_from(number))
                && self.strings_len.saturating_add(text.len()) <= STRINGS_LEN_MAX
            {
                self.strings_len = self.strings_len.saturating_add(text.len()).saturating_add(32);
                self.strings.push((number, text.clone()));
            }
            let name = format!("obj-{number}");
            self.actions(&value, source, &name, None, sink)?;
            if index.off >= first || left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Hands over what is in one object.
    fn object(&mut self, object: &Object, sink: &mut dyn Sink) -> Result<(), Stop> {
        let value = self.value(object);
        let name = object_name(object);
        let source = self.bytes.get(object.off..object.end).unwrap_or_default();
        let is_encryption = self.encrypt_ref == Some(object.number);
        let key = Some((object.number, object.generation)).filter(|_| !is_encryption);
        self.actions(&value, source, &name, key, sink)?;
        if let Value::Text(text) = &value
            && self.scripts.contains(&object.number)
        {
            let script = self.open_text(text, key);
            self.script(&format!("{name}.js"), &script, sink)?;
        }
        let none = Dict::default();
        let dict = value.dict().unwrap_or(&none);
        if object.stream.is_none() || is_object_stream(dict) || dict.is("Type", "XRef") {
            return Ok(());
        }
        // Pixels without an image codec: clamscan leaves them out.
        if sink.options().clamav_quirks && dict.is("Subtype", "Image") && !has_codec(dict) {
            return Ok(());
        }
        let Some(data) = self.decoded(object, dict, sink)? else { return Ok(()) };
        let file = self.files.get(&object.number).map(|name| self.open_text(name, key));
        let name = file.as_deref().map_or(name.as_bytes(), super::ole1::base_name);
        sink.child(Child { name, data: &data, role: ChildRole::Member })?;
        if self.contents.contains(&object.number) && !filters::is_text(&data) {
            let text = filters::normalised_text(&data);
            sink.child(Child { name, data: &text, role: ChildRole::NormalisedText })?;
        }
        if self.scripts.contains(&object.number) {
            self.script_count = self.script_count.saturating_add(1);
            let text = wide_text(&data);
            if let Some(text) = &text {
                let role = ChildRole::Typed(FileType::TextAscii);
                sink.child(Child { name, data: text.as_bytes(), role })?;
            }
            normalised_script(name, text.as_ref().map_or(&data, |text| text.as_bytes()), sink)?;
        }
        Ok(())
    }

    /// Hands a script over, as it is and normalised.
    fn script(&mut self, name: &str, text: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
        self.script_count = self.script_count.saturating_add(1);
        let role = ChildRole::Typed(FileType::TextAscii);
        sink.child(Child { name: name.as_bytes(), data: text, role })?;
        normalised_script(name.as_bytes(), text, sink)
    }

    /// Hands over the strings in object streams that turned out to be scripts.
    fn loose_scripts(&mut self, sink: &mut dyn Sink) -> Result<(), Stop> {
        for (number, text) in std::mem::take(&mut self.strings) {
            if self.scripts.contains(&number) {
                let script = wide_text(&text).map_or(text, String::into_bytes);
                self.script(&format!("obj-{number}.js"), &script, sink)?;
            }
        }
        Ok(())
    }

    /// Hands over forms whose XML is cut into several streams ([1] §12.7.8).
    fn joined_forms(&self, sink: &mut dyn Sink) -> Result<(), Stop> {
        if sink.options().clamav_quirks {
            return Ok(());
        }
        for numbers in &self.forms {
            let mut form: Vec<u8> = Vec::new();
            for number in numbers {
                let Some(object) = self.latest.get(number) else { continue };
                let value = self.value(object);
                let Some(dict) = value.dict() else { continue };
                let Some(part) = self.decoded(object, dict, sink)? else { continue };
                let room = crate::reader::size(sink.child_cap()).saturating_sub(form.len());
                form.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
                if part.len() > room {
                    let reason = sink.cap_reason();
                    sink.unscanned(b"xfa.xml", reason);
                    break;
                }
            }
            if !form.is_empty() {
                sink.child(Child { name: b"xfa.xml", data: &form, role: ChildRole::Member })?;
            }
        }
        Ok(())
    }

    /// Returns a value with references to other values replaced, one level deep.
    fn followed(&self, value: Option<&Value>) -> Option<Value> {
        let one = |value: &Value| match value {
            Value::Ref(number) => self.latest.get(number).map_or(Value::Null, |object| {
                let end = object.end.min(object.off.saturating_add(REFERRED_LEN_MAX));
                let bytes = self.bytes.get(..end).unwrap_or_default();
                Lexer::new(bytes, object.off).value(0).unwrap_or(Value::Null)
            }),
            value => value.clone(),
        };
        Some(match one(value?) {
            Value::Array(values) => {
                Value::Array(values.iter().take(FILTERS_MAX.saturating_add(1)).map(one).collect())
            }
            value => value,
        })
    }

    /// Decodes a stream; none when there is nothing to hand over.
    fn decoded(
        &self,
        object: &Object,
        dict: &Dict,
        sink: &mut dyn Sink,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let Some(range) = object.stream.clone() else { return Ok(None) };
        let raw = self.bytes.get(range).unwrap_or_default();
        let filters = names(self.followed(dict.either("Filter", "F")).as_ref());
        let all_params = self.followed(dict.either("DecodeParms", "DP"));
        let all_params = all_params.as_ref();
        let plain = self.decrypted(object, dict, &filters, all_params, raw);
        let mut decoded = undo_all(plain.as_deref().unwrap_or(raw), all_params, &filters, sink)?;
        if plain.is_some() && decoded.data.is_empty() {
            // The dictionary may lie about the encryption of this stream.
            let other = undo_all(raw, all_params, &filters, sink)?;
            if !other.data.is_empty() {
                decoded = other;
            }
        }
        let name = object_name(object);
        // What cannot be decrypted is known to be unreadable.
        if let Some(why) = decoded.missing.filter(|_| !self.locked) {
            sink.unscanned(name.as_bytes(), why);
        }
        Ok((!decoded.data.is_empty()).then_some(decoded.data))
    }

    /// Returns a stream's data decrypted; none when it is not encrypted.
    fn decrypted(
        &self,
        object: &Object,
        dict: &Dict,
        filters: &[Vec<u8>],
        all_params: Option<&Value>,
        raw: &[u8],
    ) -> Option<Vec<u8>> {
        let decryptor = self.decryptor.as_ref()?;
        let (number, generation) = (object.number, object.generation);
        if let Some(idx) = filters.iter().position(|filter| filter == b"Crypt") {
            let name = params(all_params, idx).and_then(|params| params.get("Name")?.name());
            return decryptor.named(name?, number, generation, raw);
        }
        if dict.is("Type", "XRef") || (dict.is("Type", "Metadata") && !decryptor.metadata) {
            return None;
        }
        if dict.is("Type", "EmbeddedFile") || self.files.contains_key(&number) {
            return Some(decryptor.file(number, generation, raw));
        }
        Some(decryptor.stream(number, generation, raw))
    }

    /// Returns a string as it was before encryption.
    fn open_text(&self, text: &[u8], key: Key) -> Vec<u8> {
        let plain = match (self.decryptor.as_ref(), key) {
            (Some(decryptor), Some((number, generation))) => {
                decryptor.string(number, generation, text)
            }
            _ => text.to_vec(),
        };
        wide_text(&plain).map_or(plain, String::into_bytes)
    }

    /// Hands over scripts in strings and objects with actions, and tells links and properties.
    fn actions(
        &mut self,
        value: &Value,
        source: &[u8],
        name: &str,
        key: Key,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        const ACTIONS: [&str; 4] = ["JavaScript", "Launch", "OpenAction", "AA"];
        let mut acts = false;
        for dict in dicts(value) {
            acts |= dict.0.iter().any(|(key, value)| {
                let named =
                    |name: &&str| key == name.as_bytes() || value.name() == Some(name.as_bytes());
                ACTIONS.iter().any(named)
            });
            if let Some(text) = dict.text("JS") {
                let script = self.open_text(text, key);
                self.script(&format!("{name}.js"), &script, sink)?;
            }
            self.targets(dict, key, sink);
            if let Some(uri) = dict.text("URI") {
                if self.uri_count < URI_FACTS_MAX {
                    let uri = self.open_text(uri, key);
                    sink.fact("pdf.uri", &String::from_utf8_lossy(&uri));
                }
                self.uri_count = self.uri_count.saturating_add(1);
            }
            if dict.text("Producer").or_else(|| dict.text("Creator")).is_some() {
                self.properties(dict, key, sink);
            }
        }
        if acts {
            let role = ChildRole::Typed(FileType::TextAscii);
            sink.child(Child { name: name.as_bytes(), data: source, role })?;
        }
        Ok(())
    }

    /// Tells the files and addresses that actions name ([1] §12.6.4).
    fn targets(&self, dict: &Dict, key: Key, sink: &mut dyn Sink) {
        const ACTIONS: [(&str, &str); 6] = [
            ("Launch", "pdf.launch"),
            ("GoToR", "pdf.go_to_file"),
            ("GoToE", "pdf.go_to_embedded"),
            ("SubmitForm", "pdf.submit"),
            ("ImportData", "pdf.import"),
            ("Thread", "pdf.thread"),
        ];
        if dict.get("OpenAction").is_some() {
            sink.fact("pdf.open_action", "true");
        }
        let Some((_, fact)) = ACTIONS.iter().find(|(name, _)| dict.is("S", name)) else { return };
        let platforms = ["Win", "Unix", "Mac"].iter().filter_map(|name| dict.get(name)?.dict());
        let of_file = dict.get("F").and_then(Value::dict);
        for dict in std::iter::once(dict).chain(of_file).chain(platforms) {
            for name in ["UF", "F", "P", "D"] {
                let Some(text) = dict.text(name) else { continue };
                let text = self.open_text(text.get(..1024).unwrap_or(text), key);
                sink.fact(fact, &String::from_utf8_lossy(&text));
            }
        }
    }

    fn properties(&self, dict: &Dict, key: Key, sink: &mut dyn Sink) {
        const PROPERTIES: [(&str, &str); 8] = [
            ("Title", "pdf.title"),
            ("Author", "pdf.author"),
            ("Subject", "pdf.subject"),
            ("Keywords", "pdf.keywords"),
            ("Creator", "pdf.creator"),
            ("Producer", "pdf.producer"),
            ("CreationDate", "pdf.created"),
            ("ModDate", "pdf.modified"),
        ];
        for (name, fact) in PROPERTIES {
            if let Some(text) = dict.text(name).filter(|text| !text.is_empty()) {
                let text = self.open_text(text.get(..1024).unwrap_or(text), key);
                sink.fact(fact, &String::from_utf8_lossy(&text));
            }
        }
    }

    fn tell(&self, objects: &Objects, sink: &mut dyn Sink) -> Result<(), Stop> {
        let version = memchr::memmem::find(self.bytes, b"%PDF-")
            .and_then(|off| self.bytes.get(off.checked_add(5)?..off.checked_add(8)?));
        match version {
            Some(version) if version.starts_with(b"1.") => {
                sink.fact("pdf.version", &String::from_utf8_lossy(version));
            }
            Some(version) => {
                sink.fact("pdf.other_version", &String::from_utf8_lossy(version));
            }
            None => {}
        }
        self.stats.tell(sink);
        let streams = objects.list.iter().filter(|object| object.stream.is_some()).count();
        for (fact, count) in [
            ("pdf.objects", objects.list.len()),
            ("pdf.streams", streams),
            ("pdf.scripts", self.script_count),
            ("pdf.files", self.files.len()),
            ("pdf.uris", self.uri_count),
        ] {
            sink.fact(fact, &count.to_string());
        }
        // `OTHER` bit `PDFNAMEOBJ` of the configuration databases.
        let options = sink.options();
        let wanted = options.heuristic_alerts && options.dconf.other & 0x100 != 0;
        if (objects.obfuscated || self.obfuscated) && wanted {
            sink.heuristic("Heuristics.PDF.ObfuscatedNameObject")?;
        }
        Ok(())
    }
}

/// A stream with its filters undone, and what is missing from it.
struct Decoded {
    data: Vec<u8>,
    missing: Option<Reason>,
}

fn undo_all(
    raw: &[u8],
    all_params: Option<&Value>,
    filters: &[Vec<u8>],
    sink: &mut dyn Sink,
) -> Result<Decoded, Stop> {
    let mut decoded = Decoded { data: raw.to_vec(), missing: None };
    for (idx, filter) in filters.iter().enumerate() {
        if idx >= FILTERS_MAX {
            decoded.missing = Some(Reason::FormatLimit("PDF filters".into()));
            break;
        }
        let params = params(all_params, idx);
        match filters::undo(filter, params, &decoded.data, sink)? {
            Filtered::Done(unpacked) => {
                decoded.missing = unpacked.ended.reason(sink).or(decoded.missing);
                decoded.data = unpacked.bytes;
                // Two stages at the cap, each with room to grow, would be more than a worker has.
                decoded.data.shrink_to_fit();
                if unpacked.ended == Ended::Capped {
                    break;
                }
            }
            Filtered::Crypt => {}
            Filtered::Image => break,
            Filtered::Unknown => {
                let method = String::from_utf8_lossy(filter).into_owned();
                decoded.missing = Some(Reason::UnknownMethod(method.into()));
                break;
            }
        }
    }
    Ok(decoded)
}

/// Hands the normalised form of a script over, as pages have it.
fn normalised_script(name: &[u8], text: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > sink.limits().max_script_normalise_bytes {
        sink.unscanned(name, Reason::FormatLimit("script larger than is normalised".into()));
        return Ok(());
    }
    sink.poll()?;
    let data = crate::text::normalised_script(text);
    sink.child(Child { name, data: &data, role: ChildRole::NormalisedText })
}

fn object_name(object: &Object) -> String {
    format!("obj-{}-{}", object.number, object.generation)
}

fn is_object_stream(dict: &Dict) -> bool {
    dict.is("Type", "ObjStm") || (dict.int("First").is_some() && dict.int("N").is_some())
}

fn has_codec(dict: &Dict) -> bool {
    const CODECS: [&[u8]; 6] =
        [b"DCTDecode", b"DCT", b"JPXDecode", b"CCITTFaxDecode", b"CCF", b"JBIG2Decode"];
    names(dict.either("Filter", "F")).iter().any(|name| CODECS.contains(&name.as_slice()))
}

/// Returns the names in a value that is a name or an array of names.
fn names(value: Option<&Value>) -> Vec<Vec<u8>> {
    let one = |value: &Value| value.name().map(<[u8]>::to_vec);
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Returns the parameters of a filter by its position.
fn params(value: Option<&Value>, idx: usize) -> Option<&Dict> {
    match value? {
        Value::Array(values) => values.get(idx)?.dict(),
        value => value.dict(),
    }
}

/// Returns every dictionary in a value, outer ones first.
fn dicts(value: &Value) -> Vec<&Dict> {
    let mut found = Vec::new();
    let mut todo = vec![value];
    while let Some(value) = todo.pop() {
        match value {
            Value::Dict(dict) => {
                found.push(dict);
                todo.extend(dict.0.iter().rev().map(|(_, value)| value));
            }
            Value::Array(values) => todo.extend(values.iter().rev()),
            _ => {}
        }
    }
    found
}

/// Decodes text that starts with a UTF-16 mark; none for other text.
fn wide_text(text: &[u8]) -> Option<String> {
    let (swap, rest) = match text.split_first_chunk::<2>()? {
        ([0xfe, 0xff], rest) => (true, rest),
        ([0xff, 0xfe], rest) => (false, rest),
        _ => return None,
    };
    let units = super::le::units(rest).map(|unit| if swap { unit.swap_bytes() } else { unit });
    Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}
/// Undoes a filter that PostScript knows too; none for one that gives an image. An unknown one is told.
///
/// # Errors
/// The scan ends here.
pub(super) fn unfiltered(
    filter: &[u8],
    data: &[u8],
    sink: &mut dyn Sink,
) -> Result<Option<crate::bounded::Unpacked>, Stop> {
    Ok(match filters::undo(filter, None, data, sink)? {
        Filtered::Done(unpacked) => Some(unpacked),
        Filtered::Image | Filtered::Crypt => None,
        Filtered::Unknown => {
            let name = String::from_utf8_lossy(filter).into_owned();
            sink.unscanned(b"data", Reason::UnknownMethod(name.into()));
            None
        }
    })
}
