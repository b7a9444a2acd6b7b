//! OLE2 compound files: Word, Excel and PowerPoint before 2007, `vbaProject.bin`, MSI, MSG, Hancom 5.
//!
//! Yields: every stream, named by its path; the files inside `\x01Ole10Native` and PowerPoint streams;
//! inflated Hancom sections and scripts; the source of VBA modules; formulas of Excel 4.0 macro sheets; strings
//! of forms, active fields and links as text; bodies in compressed RTF and attachments of messages; encrypted
//! packages, workbooks, texts and presentations, when the default password or a given one opens them.
//! Leaves out: sectors that no stream refers to (the object itself is matched as a whole; their number is
//! a fact), the tables of installer databases.
//! Limits: 100,000 directory entries; all streams together are read at most 16 times the object's size.
//! Hostile input: loops end, broken chains give what came before, orphans are handed over, a lost
//! directory is looked for; without any the object's sectors are handed over as one child.
//! Sources: [1] MS-CFB; [2] MS-OVBA; [3] MS-OLEDS; [4] MS-PPT; [5] MS-OLEPS; [6] MS-OFFCRYPTO;
//! [7] MS-XLS; [8] MS-DOC §2.5.1 (FibBase).

use std::collections::BTreeMap;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, ScanOptions, Sink, Stop};

use super::le::{u16_at, u32_at};
use crate::{Format, FormatDoc, Stage};
use cfb::Cfb;
use offcrypto::StreamKey;

mod biff;
mod cfb;
mod embedded;
mod legacy;
mod names;
mod offcrypto;
mod ovba;
mod summary;
mod texts;
mod vba;
pub(super) mod xlm;

/// Opens OLE2 objects.
pub(crate) static FORMAT: Format = Format {
    name: "ole2",
    types: &[FileType::Msole2],
    stage: Stage::BeforeMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`D0CF11E0A1B11AE1` at the start",
        yields: "every stream; packaged files; PowerPoint's objects; Hancom sections and scripts; source of \
                 macros; strings of forms, active fields, links; attachments and bodies of messages; \
                 encrypted documents that the default password or a given one opens",
        leaves_out: "sectors outside of streams; tables of installer databases; p-code",
        limits: "100,000 directory entries; 16 times the object's size is read in all",
        sources: "MS-CFB, MS-OVBA, MS-OLEDS, MS-PPT, MS-OLEPS, MS-OFFCRYPTO, MS-XLS, MS-DOC",
    },
};

/// Opens OLE2 objects with a length in front, as Hancom's writer embeds them.
pub(crate) static HWP_FORMAT: Format = Format {
    name: "hwpole2",
    types: &[FileType::HwpOle2],
    stage: Stage::BeforeMatch,
    enabled,
    extract: skip_length,
    doc: FormatDoc {
        recognised_by: "`D0CF11E0A1B11AE1` at offset 4",
        yields: "what is behind the length, as OLE2",
        leaves_out: "nothing",
        limits: "none of its own",
        sources: "Hancom HWP 3.0 document file format",
    },
};

const STREAM_FACTS_MAX: usize = 256;
const HEADER_LEN: usize = 512;

fn enabled(options: &ScanOptions) -> bool {
    // `ARCHIVE` bit `OLE2` of the configuration databases.
    options.scan_ole2 && options.dconf.archive & 0x80 != 0
}

fn skip_length(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let data = object.get(4..).ok_or(Defect::truncated(0))?;
    Ok(sink.child(Child { name: b"", data, role: ChildRole::Typed(FileType::Msole2) })?)
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut cfb = Cfb::open(object, sink)?;
    for defect in cfb.defects.drain(..) {
        sink.defect(defect);
    }
    let streams: Vec<usize> = cfb.streams().collect();
    if streams.is_empty() {
        return Ok(without_directory(object, sink)?);
    }
    let mut document = Document {
        names: attachment_names(&mut cfb, sink)?,
        hwp_compressed: hwp_compressed(&mut cfb, sink)?,
        ..Document::default()
    };
    for (position, idx) in streams.into_iter().enumerate() {
        document.stream(&mut cfb, idx, position, sink)?;
    }
    document.package(&mut cfb, sink)?;
    document.encrypted_text(&mut cfb, sink)?;
    if document.locked && sink.options().alert_encrypted_doc {
        sink.heuristic("Heuristics.Encrypted.OLE2")?;
    }
    let found = vba::extract(&mut cfb, &document.suspects, sink)?;
    if found {
        sink.fact("ole2.macros", "VBA");
        // Off-spec: independent of the general switch for heuristics, as clamscan 1.4.6 behaves.
        if sink.options().alert_macros {
            sink.heuristic("Heuristics.OLE2.ContainsMacros.VBA")?;
        }
    }
    if cfb.entries.len() >= cfb::ENTRIES_MAX {
        sink.unscanned(b"", Reason::FormatLimit("OLE2 directory entries".into()));
    }
    match cfb.unread_sectors() {
        0 => {}
        count => sink.fact("ole2.unread_sectors", &count.to_string()),
    }
    Ok(())
}

/// Reads the header of Hancom's documents, which may stand behind the streams that it speaks of.
fn hwp_compressed(cfb: &mut Cfb<'_>, sink: &mut dyn Sink) -> Result<bool, Stop> {
    let is_header = |idx: &usize| {
        cfb.entries.get(*idx).is_some_and(|entry| entry.name().eq_ignore_ascii_case("FileHeader"))
    };
    let Some(idx) = cfb.streams().find(is_header) else { return Ok(false) };
    let stream = cfb.read(idx, sink.child_cap(), sink)?;
    Ok(embedded::hwp_compressed(&stream.bytes))
}

/// Hands over everything behind the header when no stream can be named.
fn without_directory(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let data = object.get(HEADER_LEN..).unwrap_or_default();
    if data.is_empty() {
        return Ok(());
    }
    sink.unscanned(b"", Reason::Damaged("no stream in the OLE2 directory".into()));
    sink.child(Child { name: b"sectors", data, role: ChildRole::Member })
}

/// What is known of the document while its streams go by.
#[derive(Debug, Default)]
struct Document {
    suspects: Vec<vba::Suspect>,
    hwp_compressed: bool,
    encryption_info: Option<usize>,
    encrypted_package: Option<usize>,
    /// Word's text, when it is encrypted.
    word: Option<usize>,
    /// PowerPoint's slides, and the `Current User` stream when they are encrypted.
    slides: Option<usize>,
    user: Option<Vec<u8>>,
    /// Names of a message's attachments by their storage.
    names: BTreeMap<usize, String>,
    /// Something is encrypted and no password fitted.
    locked: bool,
}

impl Document {
    fn stream(
        &mut self,
        cfb: &mut Cfb<'_>,
        idx: usize,
        position: usize,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let Some(entry) = cfb.entries.get(idx) else { return Ok(()) };
        let (leaf, len, linked) = (entry.name(), entry.len, entry.linked);
        let place = entry.parent;
        let path = cfb.path_name(idx, names::decode);
        if position < STREAM_FACTS_MAX {
            sink.fact("ole2.stream", &path.escape_default().to_string());
        }
        if !linked {
            sink.defect(Defect::new(48, "directory entry outside of the tree"));
        }
        // clamscan 1.4.6 does not match container metadata against streams.
        if !sink.options().clamav_quirks {
            sink.member(&Member {
                name: path.as_bytes(),
                packed_len: len,
                unpacked_len: len,
                encrypted: false,
                crc32: None,
                position: u32::try_from(position).unwrap_or(u32::MAX).saturating_add(1),
            })?;
        }
        let stream = cfb.read(idx, sink.child_cap(), sink)?;
        if stream.capped {
            let reason = sink.cap_reason();
            sink.unscanned(path.as_bytes(), reason);
        } else if !stream.whole {
            sink.unscanned(path.as_bytes(), Reason::Damaged("broken chain of sectors".into()));
        }
        let data = stream.bytes.as_slice();
        let file = place.and_then(|place| self.names.get(&place));
        let file = file.filter(|_| matches!(texts::property(&leaf), Some((0x3701, _))));
        let name = file.unwrap_or(&path);
        sink.child(Child { name: name.as_bytes(), data, role: ChildRole::Member })?;
        self.suspects.extend(vba::suspect(idx, data));
        match leaf.as_str() {
            "EncryptionInfo" => self.encryption_info = Some(idx),
            "EncryptedPackage" => self.encrypted_package = Some(idx),
            "PowerPoint Document" => self.slides = Some(idx),
            "WordDocument" if is_encrypted_word(data) => self.word = Some(idx),
            _ => {}
        }
        self.inside(&leaf, &path, data, sink)
    }

    /// Looks into a stream that is known by its name.
    fn inside(
        &mut self,
        leaf: &str,
        path: &str,
        data: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        summary::facts(leaf, data, sink);
        match leaf.to_ascii_lowercase().as_str() {
            "\u{1}ole10native" => native(path, data, sink),
            "powerpoint document" => embedded::powerpoint(data, sink),
            "contents" => embedded::length_and_zlib(path, data, sink),
            "fileheader" => {
                self.lock_if(embedded::hwp_encrypted(data), path, sink);
                Ok(())
            }
            "worddocument" => texts::fields(path, data, sink),
            "0table" | "1table" => texts::table(path, data, sink),
            "o" | "f" if path.len() > 1 => texts::form(path, data, sink),
            // [4] §2.3.2: `headerToken` of encrypted documents.
            "current user" => {
                if u32_at(data, 12) == Some(0xf3d1_c4df) {
                    self.user = data.get(..data.len().min(64)).map(<[u8]>::to_vec);
                }
                Ok(())
            }
            leaf if matches!(texts::property(leaf), Some((0x1009, _))) => {
                match crate::mail::compressed_rtf(data, sink.child_cap()) {
                    Some(rtf) => {
                        let name = format!("{path}/body.rtf");
                        let role = ChildRole::Member;
                        sink.child(Child { name: name.as_bytes(), data: &rtf, role })
                    }
                    None => Ok(()),
                }
            }
            "workbook" | "book" => self.workbook(path, data, sink),
            _ if self.hwp_compressed => embedded::hwp_section(path, data, sink),
            _ => Ok(()),
        }
    }
}

impl Document {
    fn lock_if(&mut self, encrypted: bool, path: &str, sink: &mut dyn Sink) {
        if encrypted {
            self.locked = true;
            sink.unscanned(path.as_bytes(), Reason::Encrypted);
        }
    }

    fn workbook(&mut self, path: &str, data: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
        let Some(record) = biff::file_pass(data) else { return macro_sheets(path, data, sink) };
        let passwords = passwords(sink);
        sink.poll()?;
        let plain = match StreamKey::find(record, &passwords) {
            Some(key) => biff::decrypt(data, &key),
            None => match legacy::excel_xor(record, &passwords) {
                Some(key) => biff::decrypt_xor(data, &key),
                None => {
                    self.lock_if(true, path, sink);
                    return Ok(());
                }
            },
        };
        let name = format!("{path}/decrypted");
        sink.child(Child { name: name.as_bytes(), data: &plain, role: ChildRole::Member })?;
        macro_sheets(path, &plain, sink)
    }

    /// Opens Word's and PowerPoint's streams when they are encrypted.
    fn encrypted_text(&mut self, cfb: &mut Cfb<'_>, sink: &mut dyn Sink) -> Result<(), Stop> {
        if let Some(word) = self.word {
            self.encrypted_word(word, cfb, sink)?;
        }
        let Some(user) = self.user.take() else { return Ok(()) };
        let stream = match self.slides {
            Some(slides) => cfb.read(slides, sink.child_cap(), sink)?.bytes,
            None => Vec::new(),
        };
        sink.poll()?;
        let Some(plain) = legacy::powerpoint(&user, &stream, &passwords(sink)) else {
            self.lock_if(true, "Current User", sink);
            return Ok(());
        };
        drop(stream);
        let name = b"PowerPoint Document/decrypted";
        sink.child(Child { name, data: &plain, role: ChildRole::Member })?;
        embedded::powerpoint(&plain, sink)
    }

    fn encrypted_word(
        &mut self,
        word: usize,
        cfb: &mut Cfb<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let parent = cfb.entries.get(word).and_then(|entry| entry.parent);
        let document = cfb.read(word, sink.child_cap(), sink)?.bytes;
        // [8]: `fWhichTblStm`.
        let which = u16_at(&document, 10).is_some_and(|flags| flags & 0x0200 != 0);
        let table_name = if which { "1Table" } else { "0Table" };
        let sibling = |cfb: &Cfb<'_>, name: &str| {
            let fits = |idx: &usize| {
                cfb.entries.get(*idx).is_some_and(|e| e.parent == parent && e.name() == name)
            };
            cfb.streams().find(fits)
        };
        let table = match sibling(cfb, table_name) {
            Some(table) => cfb.read(table, sink.child_cap(), sink)?.bytes,
            None => Vec::new(),
        };
        sink.poll()?;
        let Some(key) = legacy::Word::find(&document, &table, &passwords(sink)) else {
            self.lock_if(true, "WordDocument", sink);
            return Ok(());
        };
        let plain = key.document(&document);
        drop(document);
        let role = ChildRole::Member;
        sink.child(Child { name: b"WordDocument/decrypted", data: &plain, role })?;
        texts::fields("WordDocument", &plain, sink)?;
        drop(plain);
        let plain = key.table(&table);
        sink.child(Child { name: b"Table/decrypted", data: &plain, role })?;
        texts::table(table_name, &plain, sink)?;
        if let Some(data) = sibling(cfb, "Data") {
            let data = cfb.read(data, sink.child_cap(), sink)?.bytes;
            let plain = key.stream(&data, 0);
            sink.child(Child { name: b"Data/decrypted", data: &plain, role })?;
        }
        Ok(())
    }

    /// Opens the encrypted form of an Office Open XML document.
    fn package(&mut self, cfb: &mut Cfb<'_>, sink: &mut dyn Sink) -> Result<(), Stop> {
        let Some(package) = self.encrypted_package else { return Ok(()) };
        let data = cfb.read(package, sink.child_cap(), sink)?.bytes;
        let info = match self.encryption_info {
            Some(info) => cfb.read(info, sink.child_cap(), sink)?.bytes,
            None => Vec::new(),
        };
        let passwords = passwords(sink);
        match offcrypto::open_package(&info, &data, &passwords, sink)? {
            Some(plain) => sink.child(Child {
                name: b"EncryptedPackage/decrypted",
                data: &plain,
                role: ChildRole::Member,
            }),
            None => {
                self.lock_if(true, "EncryptedPackage", sink);
                Ok(())
            }
        }
    }
}

/// The default password first: a document that it opens, opens without asking.
fn passwords(sink: &dyn Sink) -> Vec<Vec<u8>> {
    let mut passwords = vec![offcrypto::DEFAULT_PASSWORD.to_vec()];
    for kind in [FileType::Msole2, FileType::Zip] {
        for password in sink.passwords(kind) {
            if !passwords.contains(&password) {
                passwords.push(password);
            }
        }
    }
    passwords
}

/// [8]: `fEncrypted`.
fn is_encrypted_word(stream: &[u8]) -> bool {
    u16_at(stream, 0).is_some_and(|magic| [0xa5ec, 0xa5dc].contains(&magic))
        && u16_at(stream, 10).is_some_and(|flags| flags & 0x0100 != 0)
}

/// Returns the names of a message's attachments by their storage; none under ClamAV's name, where they are
/// called by their streams.
fn attachment_names(
    cfb: &mut Cfb<'_>,
    sink: &mut dyn Sink,
) -> Result<BTreeMap<usize, String>, Stop> {
    let mut names = BTreeMap::new();
    if sink.options().clamav_quirks {
        return Ok(names);
    }
    let streams: Vec<usize> = cfb.streams().collect();
    for idx in streams {
        let Some(entry) = cfb.entries.get(idx).filter(|entry| entry.len <= NAME_LEN_MAX) else {
            continue;
        };
        // MS-OXCMSG §2.2.2.10 and 11: the long name, and the short one.
        let (is_long, kind) = match texts::property(&entry.name()) {
            Some((0x3707, kind)) => (true, kind),
            Some((0x3704, kind)) => (false, kind),
            _ => continue,
        };
        let Some(parent) = entry.parent.filter(|place| is_long || !names.contains_key(place))
        else {
            continue;
        };
        let stream = cfb.read(idx, NAME_LEN_MAX, sink)?.bytes;
        let name = match kind {
            0x001f => super::le::utf16(&stream),
            _ => String::from_utf8_lossy(&stream).trim_end_matches('\0').to_owned(),
        };
        names.insert(parent, name);
    }
    Ok(names)
}

/// Bytes of an attachment's name.
const NAME_LEN_MAX: u64 = 1024;

fn macro_sheets(path: &str, data: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    texts::links(path, &biff::links(data), sink)?;
    let found = biff::macro_sheets(data);
    if found.names.is_empty() {
        return Ok(());
    }
    sink.fact("ole2.macros", "XLM");
    for name in &found.names {
        sink.fact("ole2.macro_sheet", name);
    }
    if sink.options().alert_macros {
        sink.heuristic("Heuristics.OLE2.ContainsMacros.XLM")?;
    }
    if found.text.is_empty() {
        return Ok(());
    }
    let (name, data) = (format!("{path}/xlm_macros"), found.text.as_bytes());
    let role = ChildRole::Typed(FileType::TextAscii);
    sink.child(Child { name: name.as_bytes(), data, role })
}

fn native(path: &str, data: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let Some(payload) = super::ole1::native_stream(data) else { return Ok(()) };
    let name = if payload.name.is_empty() { path.as_bytes() } else { payload.name };
    if payload.cut {
        sink.unscanned(name, Reason::Truncated);
    }
    sink.child(Child { name, data: payload.data, role: ChildRole::Member })
}
