//! Matching one layer's own bytes: hashes, patterns, logical signatures and rules.

use std::ops::ControlFlow;
use std::time::Instant;

use hf_core::signature::HashOf;
use hf_core::{ExeKind, Facts as _, FileType, HitKind, MatchSpan, Reason, Stop, Strength, Target};
use hf_match::{MatchHit, Scope, Subject};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;

use crate::alert::{Found, digest_lengths, told_name, wanted};
use crate::layer::Layer;
use crate::scan::Scan;

/// Which signatures meet a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    hashes: bool,
    generic: bool,
    target: Option<Target>,
}

/// Bits of the `DOCUMENT` parser configuration.
const DCONF_HTML: u32 = 0x1;
const DCONF_HTML_SKIP_RAW: u32 = 0x10;

impl Scan<'_> {
    /// Matches a layer that is an object of its own; returns the type that a handler signature asks for.
    pub(crate) fn match_layer(&mut self, layer: &Layer<'_>) -> Result<Option<FileType>, Stop> {
        let plan = self.plan(layer.file_type);
        let handler = self.match_patterns(layer, plan)?;
        if plan.hashes {
            self.match_hashes(layer)?;
        }
        if plan.generic {
            self.match_rules(layer)?;
        }
        Ok(handler)
    }

    /// Matches a normalised copy.
    pub(crate) fn match_normalised(&mut self, layer: &Layer<'_>) -> Result<(), Stop> {
        let target = match layer.file_type {
            FileType::TextAscii => Some(Target::ASCII),
            other => other.target(),
        };
        self.match_patterns(layer, Plan { hashes: true, generic: true, target })?;
        if !layer.text.is_in_pieces() {
            self.match_hashes(layer)?;
        }
        self.match_rules(layer)
    }

    /// Raw HTML meets no signature under the drop-in names, and no HTML signature ever: those are
    /// written for the normalised copies.
    fn plan(&self, file_type: FileType) -> Plan {
        let options = self.options();
        let copies =
            options.normalise && options.scan_html && options.dconf.document & DCONF_HTML != 0;
        match file_type {
            FileType::Html if copies => {
                let raw =
                    !options.clamav_quirks || options.dconf.document & DCONF_HTML_SKIP_RAW == 0;
                Plan { hashes: raw, generic: raw, target: None }
            }
            _ => Plan { hashes: true, generic: true, target: file_type.target() },
        }
    }

    fn match_patterns(&mut self, layer: &Layer<'_>, plan: Plan) -> Result<Option<FileType>, Stop> {
        let engine = self.engine;
        let options = &engine.options;
        let deadline = self.deadline;
        if !plan.generic && plan.target.is_none() {
            return Ok(None);
        }
        let kind = layer.file_type;
        let mut subject =
            Subject::new(layer.bytes, plan.target, kind, layer, options, &engine.limits);
        if !plan.generic {
            subject.scope = Scope::TargetOnly;
        }
        let mut found: Vec<MatchHit> = Vec::new();
        let mut on_hit = |hit: MatchHit| {
            if hit.handler.is_none() && !wanted(&hit.name, hit.pua, options) {
                return ControlFlow::Continue(());
            }
            let last = !options.all_match
                && hit.handler.is_none()
                && Strength::of_name(&hit.name) == Strength::Strong;
            found.push(hit);
            if last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut poll = || match deadline {
            Some(deadline) if Instant::now() > deadline => Err(Stop::Deadline),
            _ => Ok(()),
        };
        let ended = engine.matcher.scan(&subject, self.scratch, &mut on_hit, &mut poll);
        if self.scratch.gave_up() {
            self.unscanned(layer, b"", Reason::FormatLimit("steps of a regular expression".into()));
        }
        let mut handler = None;
        for hit in found {
            match hit.handler {
                Some(kind) => handler = Some(kind),
                None => self.alert(layer, Found::of_match(&hit, hit.kind))?,
            }
        }
        ended.map(|()| handler)
    }

    /// Matches what is known of a file and all that is in it, at its end.
    pub(crate) fn match_metadata(&mut self, top: &Layer<'_>) {
        let text = hf_policy::metadata(&self.report, None);
        let mut layer = Layer::below(top, text.as_bytes(), true);
        layer.node = top.node;
        let plan = Plan { hashes: false, generic: false, target: Some(Target::INTERNAL) };
        // The file is at its end anyway.
        let _ = self.match_patterns(&layer, plan);
    }

    fn match_hashes(&mut self, layer: &Layer<'_>) -> Result<(), Stop> {
        self.match_digests(layer, HashOf::Object, HitKind::FileHash, layer.size(), |len| {
            layer.digest(len).to_vec()
        })?;
        if layer.file_type != FileType::Msexe || !self.options().scan_pe {
            return Ok(());
        }
        let Some(exe) = layer.exe().filter(|exe| exe.kind == ExeKind::Pe) else { return Ok(()) };
        for bytes in hf_formats::section_ranges(layer.bytes, exe) {
            self.poll()?;
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.match_digests(layer, HashOf::Section, HitKind::SectionHash, size, |len| {
                digest(bytes, len)
            })?;
        }
        // clamscan 1.4.6 does not look at the imports of PE32+ files.
        let imports = exe.import_string.as_ref();
        if let Some(imports) = imports.filter(|_| !exe.is_64 || !self.options().clamav_quirks) {
            let size = u64::try_from(imports.len()).unwrap_or(u64::MAX);
            self.match_digests(layer, HashOf::Imports, HitKind::ImportHash, size, |len| {
                digest(imports, len)
            })?;
        }
        Ok(())
    }

    /// Looks digests up; the size gate decides which are computed at all.
    fn match_digests(
        &mut self,
        layer: &Layer<'_>,
        of: HashOf,
        kind: HitKind,
        size: u64,
        digest: impl Fn(usize) -> Vec<u8>,
    ) -> Result<(), Stop> {
        let engine = self.engine;
        for (tables, official) in engine.matcher.hashes() {
            for len in digest_lengths(tables.needs(of, size)) {
                for hit in tables.find(of, &digest(len), size) {
                    if !wanted(&hit.name, hit.pua, &engine.options) {
                        continue;
                    }
                    let found = Found {
                        name: told_name(&hit.name, official),
                        kind,
                        origin: format!("{}:{}", hit.file, hit.line),
                        spans: Vec::new(),
                    };
                    self.alert(layer, found)?;
                }
            }
        }
        Ok(())
    }

    fn match_rules(&mut self, layer: &Layer<'_>) -> Result<(), Stop> {
        let explain = self.options().explain;
        let Some(rules) = self.rules.as_mut() else { return Ok(()) };
        let hits = match rules.scan(layer.bytes, explain) {
            Ok(hits) => hits,
            Err(error) => {
                let reason = hf_core::Reason::FormatLimit(error.into());
                self.unscanned(layer, b"", reason);
                return Ok(());
            }
        };
        for hit in hits {
            let spans = hit
                .spans
                .iter()
                .map(|(part, off, len)| span(layer.bytes, part, *off, *len))
                .collect();
            let found = Found {
                name: format!("YARA.{}.UNOFFICIAL", hit.rule),
                kind: HitKind::Yara,
                origin: hit.file,
                spans,
            };
            self.alert(layer, found)?;
        }
        Ok(())
    }
}

fn span(bytes: &[u8], part: &str, off: usize, len: usize) -> MatchSpan {
    let end = off.saturating_add(len.min(SPAN_BYTES_MAX)).min(bytes.len());
    MatchSpan {
        part: part.to_owned(),
        off: u64::try_from(off).unwrap_or(u64::MAX),
        len: u64::try_from(len).unwrap_or(u64::MAX),
        bytes: bytes.get(off..end).unwrap_or_default().to_vec(),
    }
}

fn digest(bytes: &[u8], len: usize) -> Vec<u8> {
    match len {
        16 => Md5::digest(bytes).to_vec(),
        20 => Sha1::digest(bytes).to_vec(),
        _ => Sha256::digest(bytes).to_vec(),
    }
}

/// Bytes kept of one match.
const SPAN_BYTES_MAX: usize = 64;
