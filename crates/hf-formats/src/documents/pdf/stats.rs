//! How often a document says what: the counts that ClamAV's metadata calls `PDFStats`.
//!
//! Promises: one step for each name in the document's dictionaries.
//! Leaves out: whether a viewer would reach the object.
//! Sources: clamscan 1.4.6 `--gen-json`.

use hf_core::Sink;

use super::value::{Dict, Value};

/// Facts, and the names that they count, wherever these stand in a dictionary.
const COUNTED: [(&str, &[&str]); 20] = [
    ("pdf.count.deflate", &["FlateDecode", "Fl"]),
    ("pdf.count.ascii_hex", &["ASCIIHexDecode", "AHx"]),
    ("pdf.count.ascii_85", &["ASCII85Decode", "A85"]),
    ("pdf.count.embedded_files", &["EmbeddedFile"]),
    ("pdf.count.images", &["Image"]),
    ("pdf.count.lzw", &["LZWDecode", "LZW"]),
    ("pdf.count.run_length", &["RunLengthDecode", "RL"]),
    ("pdf.count.fax", &["CCITTFaxDecode", "CCF"]),
    ("pdf.count.jbig2", &["JBIG2Decode"]),
    ("pdf.count.dct", &["DCTDecode", "DCT"]),
    ("pdf.count.jpx", &["JPXDecode"]),
    ("pdf.count.crypt", &["Crypt"]),
    ("pdf.count.standard", &["Standard"]),
    ("pdf.count.signatures", &["Sig"]),
    ("pdf.count.open_actions", &["OpenAction"]),
    ("pdf.count.launches", &["Launch"]),
    ("pdf.count.pages", &["Page"]),
    ("pdf.count.rich_media", &["RichMedia"]),
    ("pdf.count.acro_forms", &["AcroForm"]),
    ("pdf.count.xfa", &["XFA"]),
];
/// Ours: objects that are named.
const NAMED_MAX: usize = 64;

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Stats {
    counts: [u32; COUNTED.len()],
    scripts: u32,
    script_objects: Vec<u32>,
    jbig2_objects: Vec<u32>,
}

impl Stats {
    /// Counts what the dictionaries of one object say.
    pub(super) fn note(&mut self, number: u32, dicts: &[&Dict]) {
        let (mut is_script, mut is_jbig2) = (false, false);
        for dict in dicts {
            is_script |= dict.is("S", "JavaScript") && dict.text("JS").is_some();
            for (key, value) in &dict.0 {
                self.name(key);
                let values = match value {
                    Value::Array(values) => values.as_slice(),
                    value => std::slice::from_ref(value),
                };
                for name in values.iter().filter_map(Value::name) {
                    is_jbig2 |= name == b"JBIG2Decode";
                    self.name(name);
                }
            }
        }
        if is_script {
            self.scripts = self.scripts.saturating_add(1);
        }
        for (wanted, list) in
            [(is_script, &mut self.script_objects), (is_jbig2, &mut self.jbig2_objects)]
        {
            if wanted && list.len() < NAMED_MAX {
                list.push(number);
            }
        }
    }

    fn name(&mut self, name: &[u8]) {
        let is = |(_, names): &(&str, &[&str])| names.iter().any(|known| known.as_bytes() == name);
        let idx = COUNTED.iter().position(is);
        if let Some(count) = idx.and_then(|idx| self.counts.get_mut(idx)) {
            *count = count.saturating_add(1);
        }
    }

    /// Tells what there was.
    pub(super) fn tell(&self, sink: &mut dyn Sink) {
        let objects = [
            ("pdf.jbig2_object", &self.jbig2_objects),
            ("pdf.javascript_object", &self.script_objects),
        ];
        for (fact, list) in objects {
            list.iter().for_each(|number| sink.fact(fact, &number.to_string()));
        }
        let counts = COUNTED.iter().map(|(fact, _)| *fact).zip(self.counts);
        for (fact, count) in [("pdf.count.javascript", self.scripts)].into_iter().chain(counts) {
            if count > 0 {
                sink.fact(fact, &count.to_string());
            }
        }
    }
}
