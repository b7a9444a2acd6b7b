//! A signature in words: what it looks for, where, in what, and under which conditions.
//!
//! Promises: whatever a language accepts is told from the same model that the matcher gets. Text that comes from
//! the signature is escaped, so that it cannot steer a terminal.

mod logical;
mod pattern;

use std::fmt::Write as _;

use hf_core::{
    FileType, Target,
    signature::{
        BodySig, CertificateSig, Collector, ConfigSig, ContainerSig, HashOf, HashSig, IconSig,
        IgnoreSig, LogicalSig, MagicRule, MagicSig, NotRun, PasswordSig, PhishingList, PhishingSig,
        SigMeta, SizeRange,
    },
};

use crate::{
    diagnostic::{Diagnostic, Severity, codes},
    grammar,
    ignore::IgnoreSet,
    load::{BytecodeChoice, LoadOptions, load},
};

/// Tells a signature in words.
///
/// `file_name` gives the language by its suffix; `line` is one line of it (a whole text for YARA, bytecode and
/// OpenIOC).
///
/// # Errors
/// The diagnostic of a line that is refused, or of a file name that is no database's.
pub fn explain(file_name: &str, line: &str) -> Result<String, Box<Diagnostic>> {
    if grammar::entry(file_name).is_none() {
        let reason = "the file's suffix is not that of a database";
        return Err(Diagnostic::at_file(Severity::Error, &codes::UNKNOWN_FILE, file_name, reason));
    }
    let options =
        LoadOptions { official: true, bytecode: BytecodeChoice::All, ..LoadOptions::default() };
    let mut words = Words::default();
    let summary = load(file_name, line.as_bytes(), &options, &mut IgnoreSet::default(), &mut words)
        .map_err(|rejected| rejected.diagnostic)?;
    let mut text = words.text;
    if text.is_empty() {
        let why = match summary.skipped {
            0 => "nothing is written here that an engine would use",
            _ => "left out: it is not for this engine (functionality level, target or attribute)",
        };
        let _ = writeln!(text, "{why}");
    }
    for warning in &summary.warnings {
        let _ = writeln!(text, "  note: {} [{}]", warning.reason, warning.code.id);
    }
    Ok(text)
}

/// Writes what it collects.
#[derive(Default)]
struct Words {
    text: String,
}

impl Words {
    fn head(&mut self, meta: SigMeta<'_>, what: &str) {
        let name = if meta.name.is_empty() { meta.file } else { meta.name };
        let pua = if meta.pua { ", potentially unwanted" } else { "" };
        let _ = writeln!(self.text, "{}: {what}{pua}", escaped(name));
    }

    fn say(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.text, "  {}", line.as_ref());
    }

    fn say_range(&mut self, what: &str, range: SizeRange) {
        if let Some(words) = range_words(range) {
            self.say(format!("{what} {words}"));
        }
    }
}

impl Collector for Words {
    fn hash(&mut self, meta: SigMeta<'_>, sig: HashSig<'_>) {
        let algorithm = match sig.digest.len() {
            16 => "MD5",
            20 => "SHA-1",
            _ => "SHA-256",
        };
        let of = match sig.of {
            HashOf::Object => "a whole object",
            HashOf::Section => "a section of a PE",
            HashOf::Imports => "the imports of a PE",
            HashOf::Allowed => "a whole object that is known to be good",
        };
        self.head(meta, &format!("{algorithm} of {of}"));
        let digest: String = sig.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.say(format!("digest {digest}"));
        self.say(match sig.size {
            Some(size) => format!("of exactly {size} bytes"),
            None => "of any size".to_owned(),
        });
    }

    fn body(&mut self, meta: SigMeta<'_>, sig: BodySig) {
        self.head(meta, &format!("pattern in {}", target_words(sig.target)));
        if sig.self_protect {
            self.say("looked for before the object is opened");
        }
        self.say(format!("starts {}", pattern::offset_words(sig.offset)));
        pattern::say_body(&mut self.text, "  ", &sig.body);
    }

    fn logical(&mut self, meta: SigMeta<'_>, sig: LogicalSig) {
        self.head(meta, &format!("logical signature in {}", target_words(sig.tdb.target)));
        logical::say(&mut self.text, &sig);
    }

    fn container(&mut self, meta: SigMeta<'_>, sig: ContainerSig) {
        let of = sig.container.map_or("any container".to_owned(), type_words);
        self.head(meta, &format!("member of {of}"));
        if let Some(regex) = &sig.name_regex {
            self.say(format!("whose name matches {}", escaped(regex)));
        }
        self.say_range("in a container of", sig.container_size);
        self.say_range("packed size", sig.packed_size);
        self.say_range("unpacked size", sig.unpacked_size);
        self.say_range("position", sig.position);
        match sig.encrypted {
            Some(true) => self.say("encrypted"),
            Some(false) => self.say("not encrypted"),
            None => {}
        }
        if let Some(crc32) = sig.crc32 {
            self.say(format!("CRC-32 {crc32:08x}"));
        }
    }

    fn icon(&mut self, meta: SigMeta<'_>, sig: IconSig) {
        self.head(meta, "icon of a PE");
        let (group1, group2) = (escaped(&sig.group1), escaped(&sig.group2));
        self.say(format!("group {group1} in the first column, {group2} in the second"));
        let size = sig.metrics.size;
        let [red, green, blue, colored] = sig.metrics.rgb_sums;
        self.say(format!("{size} by {size} pixels"));
        self.say(format!("red {red} %, green {green} %, blue {blue} %, coloured {colored} %"));
    }

    fn magic(&mut self, meta: SigMeta<'_>, sig: MagicSig) {
        self.head(meta, &format!("magic of {}", type_words(sig.file_type)));
        if sig.required != FileType::Any {
            self.say(format!("in what was {} so far", type_words(sig.required)));
        }
        match sig.rule {
            MagicRule::At { off, bytes, partition } => {
                let of = if partition { "a partition" } else { "the object" };
                self.say(format!("bytes {off} bytes into {of}: {}", pattern::bytes_words(&bytes)));
            }
            MagicRule::Pattern { offset, body } => {
                self.say(format!("starts {}", pattern::offset_words(offset)));
                pattern::say_body(&mut self.text, "  ", &body);
            }
        }
    }

    fn password(&mut self, meta: SigMeta<'_>, sig: PasswordSig) {
        let of = sig.container.map_or("any archive".to_owned(), type_words);
        self.head(meta, &format!("password for {of}"));
        self.say(pattern::bytes_words(&sig.password));
    }

    fn phishing(&mut self, meta: SigMeta<'_>, sig: PhishingSig) {
        let list = match sig.list {
            PhishingList::Protected => "protected addresses",
            PhishingList::Google => "known phishing addresses",
            PhishingList::Allowed => "allowed pairs of addresses",
        };
        self.head(meta, &format!("line of the list of {list}"));
        let what = match sig.kind.as_bytes().first() {
            Some(b'R') => "expression over real and shown address",
            Some(b'H') => "shown host",
            Some(b'X') => "expressions over the real and the shown address",
            Some(b'Y') => "expression over the real address",
            Some(b'M') => "real and shown host",
            _ => "digest of an address",
        };
        self.say(format!("{what}: {}", escaped(&sig.fields.join(" : "))));
    }

    fn certificate(&mut self, meta: SigMeta<'_>, sig: CertificateSig) {
        let what = if sig.trusted { "trusted" } else { "blocked" };
        self.head(meta, &format!("programs signed with this certificate are {what}"));
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        self.say(format!("SHA-1 of the subject {}", hex(&sig.subject)));
        if let Some(serial) = sig.serial {
            self.say(format!("SHA-1 of the serial number {}", hex(&serial)));
        }
        self.say(format!("RSA key of {} bits", sig.modulus.len() * 8));
        for (may, words) in [
            (sig.code_sign, "may sign programs"),
            (sig.time_sign, "may sign time stamps"),
            (sig.cert_sign, "may sign certificates"),
        ] {
            if may && sig.trusted {
                self.say(words);
            }
        }
    }

    fn ignore(&mut self, meta: SigMeta<'_>, sig: IgnoreSig) {
        self.head(meta, "signatures of this name are left out");
        if let Some(md5) = sig.line_md5 {
            let digest: String = md5.iter().map(|byte| format!("{byte:02x}")).collect();
            self.say(format!("if their line has the MD5 {digest}"));
        }
    }

    fn config(&mut self, meta: SigMeta<'_>, sig: ConfigSig) {
        self.head(meta, "parsers of this group");
        self.say(format!("are switched by the mask 0x{:x}", sig.flags));
    }

    fn yara(&mut self, meta: SigMeta<'_>, text: &str) {
        self.head(meta, "YARA rules");
        text.lines().for_each(|line| self.say(escaped(line)));
    }

    fn not_run(&mut self, meta: SigMeta<'_>, what: NotRun) {
        let what = match what {
            NotRun::Bytecode => "bytecode program",
            NotRun::Catalog => "catalogue of signed files",
            NotRun::OpenIoc => "OpenIOC document",
        };
        self.head(meta, &format!("{what}; it is read and not run"));
    }
}

/// Returns text with everything escaped that is not plain.
fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\'' | '\\') { plain.push(c) } else { plain.extend(c.escape_debug()) }
    }
    plain
}

fn range_words(range: SizeRange) -> Option<String> {
    Some(match (range.min, range.max) {
        (None, None) => return None,
        (Some(min), Some(max)) if min == max => format!("{min}"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
    })
}

fn type_words(kind: FileType) -> String {
    format!("CL_TYPE_{}", kind.name())
}

fn target_words(target: Target) -> &'static str {
    const WORDS: [&str; 15] = [
        "any object (target 0)",
        "PE executables (target 1)",
        "OLE2 documents (target 2)",
        "normalised HTML (target 3)",
        "mail (target 4)",
        "images (target 5)",
        "ELF executables (target 6)",
        "normalised text (target 7)",
        "nothing (target 8)",
        "Mach-O executables (target 9)",
        "PDF (target 10)",
        "Flash (target 11)",
        "Java classes (target 12)",
        "metadata (target 13)",
        "other binary data (target 14)",
    ];
    WORDS.get(usize::from(target.0)).copied().unwrap_or("an unknown target")
}

#[cfg(test)]
mod tests;
