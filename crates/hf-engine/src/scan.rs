//! The way of one file through identification, opening and matching.
//!
//! Order of one layer: identify; open what is opened first (archives, mail, HTML); match its own bytes;
//! look for objects embedded in it; open the rest (executables, PDF, text). Source: ClamAV's observable
//! order of findings.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hf_core::{
    Child, ChildRole, FileType, Halt, Limits, ObjectNode, Reason, Report, ScanOptions, Stop,
    Target, Unscanned,
};
use hf_formats::Stage;
use hf_match::Scratch;
use hf_yara::RuleScanner;

use crate::alert::Found;
use crate::engine::Parts;
use crate::layer::{Layer, TextCopy};
use crate::prune;
use crate::quirks;
use crate::sink::LayerSink;

/// One scan.
pub(crate) struct Scan<'e> {
    pub(crate) engine: &'e Parts,
    pub(crate) scratch: &'e mut Scratch,
    pub(crate) rules: Option<&'e mut RuleScanner<'static>>,
    pub(crate) report: Report,
    pub(crate) deadline: Option<Instant>,
    live_child_bytes: u64,
    seen: BTreeSet<[u8; 32]>,
    limit_told: bool,
    /// Digests and facts of every object are recorded.
    pub(crate) records: bool,
}

impl<'e> Scan<'e> {
    /// Returns a scan that has not begun; its deadline counts from now.
    pub(crate) fn new(
        engine: &'e Parts,
        scratch: &'e mut Scratch,
        rules: Option<&'e mut RuleScanner<'static>>,
    ) -> Self {
        let allowed = Duration::from_millis(engine.limits.deadline_ms);
        Self {
            engine,
            scratch,
            rules,
            report: Report::default(),
            deadline: Instant::now().checked_add(allowed),
            live_child_bytes: 0,
            seen: BTreeSet::new(),
            limit_told: false,
            records: engine.options.full_tree || matches_metadata(engine),
        }
    }

    /// Scans a file.
    pub(crate) fn run(mut self, object: &[u8]) -> Report {
        let mut layer = Layer::top(object, self.limits(), self.options().clamav_quirks);
        if !(self.options().scan_image && self.options().scan_image_hash) {
            layer.leave_image_hash_out();
        }
        let too_large = layer.size() > self.limits().max_object_bytes;
        layer.file_type = self.identify(object);
        self.push_node(&layer, b"", None);
        if too_large {
            self.unscanned(&layer, b"", Reason::ObjectBytes);
        } else {
            match self.layer(&layer) {
                Err(stop @ (Stop::Deadline | Stop::ScanBytes | Stop::Objects)) => {
                    self.unscanned(&layer, b"", stop.into());
                }
                Ok(()) | Err(Stop::Found | Stop::Trusted) => {}
            }
        }
        if !self.report.trusted && matches_metadata(self.engine) {
            self.match_metadata(&layer);
        }
        if self.report.trusted {
            self.report.unscanned.clear();
            self.report.unscanned_more = 0;
        }
        if !self.options().full_tree {
            prune::keep_notable(&mut self.report);
        }
        self.report
    }

    pub(crate) fn limits(&self) -> &'e Limits {
        &self.engine.limits
    }

    pub(crate) fn options(&self) -> &'e ScanOptions {
        &self.engine.options
    }

    pub(crate) fn poll(&mut self) -> Result<(), Stop> {
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => Err(Stop::Deadline),
            _ => Ok(()),
        }
    }

    /// Returns how many bytes the next child may have, and the reason to give at that bound.
    pub(crate) fn child_cap(&self) -> (u64, Reason) {
        let limits = self.limits();
        let left = limits.max_scan_bytes.saturating_sub(self.report.scanned_bytes);
        let room = Limits::MAX_LIVE_CHILD_BYTES.saturating_sub(self.live_child_bytes);
        let bounds = [
            (limits.max_object_bytes, Reason::ObjectBytes),
            (left, Reason::ScanBytes),
            (room, Reason::Memory),
        ];
        let [first, rest @ ..] = bounds;
        rest.into_iter().fold(first, |least, bound| if bound.0 < least.0 { bound } else { least })
    }

    /// Records a part that was not looked at.
    pub(crate) fn unscanned(&mut self, layer: &Layer<'_>, name: &[u8], reason: Reason) {
        self.tell_limit(layer, &reason);
        if self.report.unscanned.len() < Report::UNSCANNED_MAX {
            let name = kept(name);
            self.report.unscanned.push(Unscanned { object: layer.node, name, reason });
        } else {
            self.report.unscanned_more = self.report.unscanned_more.saturating_add(1);
        }
    }

    fn tell_limit(&mut self, layer: &Layer<'_>, reason: &Reason) {
        let name = match reason {
            Reason::Depth(_) => "MaxRecursion",
            Reason::ObjectBytes => "MaxFileSize",
            Reason::ScanBytes => "MaxScanSize",
            Reason::Objects => "MaxFiles",
            Reason::Deadline => "MaxScanTime",
            _ => return,
        };
        let options = self.options();
        if options.alert_exceeds_max && !self.limit_told {
            self.limit_told = true;
            let found = Found::heuristic(&format!("Heuristics.Limits.Exceeded.{name}"));
            // The caller is already ending this part; the finding itself is what counts.
            let _ = self.alert(layer, found);
        }
    }

    /// Returns the tree's node of a layer.
    pub(crate) fn node(&mut self, layer: &Layer<'_>) -> Option<&mut ObjectNode> {
        usize::try_from(layer.node).ok().and_then(|idx| self.report.objects.get_mut(idx))
    }

    fn push_node(&mut self, layer: &Layer<'_>, name: &[u8], embedded_off: Option<u64>) -> u32 {
        let Ok(idx) = u32::try_from(self.report.objects.len()) else { return 0 };
        if self.report.objects.len() >= Report::OBJECTS_MAX {
            return layer.parent.map_or(0, |parent| parent.node);
        }
        self.report.objects.push(ObjectNode {
            parent: layer.parent.map(|parent| parent.node),
            name: kept(name),
            file_type: layer.file_type,
            normalised: layer.normalised,
            embedded_off,
            size: layer.size(),
            digests: None,
            facts: Vec::new(),
            defects: Vec::new(),
        });
        idx
    }

    fn identify(&self, object: &[u8]) -> FileType {
        let kind = hf_formats::identify(object, self.engine.magics.as_deref());
        let own = self.options().clamav_quirks && self.engine.magics.is_none();
        if own { quirks::retyped(object, kind) } else { kind }
    }

    /// Scans a child that a format handed over.
    ///
    /// # Errors
    /// The scan of its parent ends here.
    pub(crate) fn child(&mut self, parent: &Layer<'_>, child: &Child<'_>) -> Result<(), Stop> {
        self.poll()?;
        let normalised = matches!(child.role, ChildRole::Normalised(_) | ChildRole::NormalisedText);
        let limits = self.limits();
        let left = limits.max_scan_bytes.saturating_sub(self.report.scanned_bytes);
        if left == 0 && !child.data.is_empty() {
            return Err(Stop::ScanBytes);
        }
        let mut data = child.data;
        if u64::try_from(data.len()).unwrap_or(u64::MAX) > left {
            data = usize::try_from(left).ok().and_then(|left| data.get(..left)).unwrap_or(data);
            self.unscanned(parent, child.name, Reason::ScanBytes);
        }
        let mut layer = Layer::below(parent, data, normalised);
        if !(self.options().scan_image && self.options().scan_image_hash) {
            layer.leave_image_hash_out();
        }
        if layer.size() > limits.max_object_bytes && !normalised {
            self.unscanned(parent, child.name, Reason::ObjectBytes);
            return Ok(());
        }
        if layer.depth > limits.max_depth {
            self.unscanned(parent, child.name, Reason::Depth(limits.max_depth));
            return Ok(());
        }
        if self.report.object_count >= u64::from(limits.max_objects) && !normalised {
            return Err(Stop::Objects);
        }
        let mut embedded_off = None;
        layer.file_type = match child.role {
            ChildRole::Member => self.identify(data),
            ChildRole::Typed(kind) | ChildRole::Normalised(kind) => {
                let is_message = kind == FileType::Mail && parent.file_type == FileType::Html;
                if is_message && self.options().clamav_quirks {
                    layer.take_place();
                }
                kind
            }
            ChildRole::NormalisedText => FileType::TextAscii,
            ChildRole::Embedded { off, kind } => {
                embedded_off = Some(off);
                layer.embedded = true;
                kind
            }
        };
        layer.text = self.text_copy(&layer, child);
        if self.seen_before(&layer) {
            return Ok(());
        }
        layer.node = self.push_node(&layer, child.name, embedded_off);
        let held = if is_part(parent, layer.bytes) { 0 } else { layer.size() };
        self.live_child_bytes = self.live_child_bytes.saturating_add(held);
        let ended = if normalised { self.normalised(&layer) } else { self.layer(&layer) };
        self.live_child_bytes = self.live_child_bytes.saturating_sub(held);
        match ended {
            Err(Stop::Trusted) if !parent.trusted.get() => Ok(()),
            ended => ended,
        }
    }

    /// True when the same bytes were already scanned as the same thing in the same kind of place. What
    /// cannot repeat much is not asked about: the forms of one layer, and the first thing in the file.
    fn seen_before(&mut self, layer: &Layer<'_>) -> bool {
        let first = layer.depth == 1 && self.report.objects.len() == 1;
        if layer.normalised || first {
            return false;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[u8::from(layer.normalised), u8::from(layer.embedded)]);
        let text = layer.normalised && layer.file_type == FileType::TextAscii;
        for kind in hf_core::Facts::ancestors(layer).iter().chain([&layer.file_type]) {
            hasher.update(kind.name().as_bytes()).update(b"/");
        }
        hasher.update(&[u8::from(text)]).update(layer.bytes);
        !self.seen.insert(*hasher.finalize().as_bytes())
    }

    /// Scans a layer that is another form of its parent's content.
    fn normalised(&mut self, layer: &Layer<'_>) -> Result<(), Stop> {
        self.count(layer);
        let matched = self.match_normalised(layer);
        let (Some(parent), TextCopy::Whole) = (layer.parent, layer.text) else { return matched };
        // That the copy is trusted says nothing about the text, whose end it is.
        match matched {
            Err(Stop::Trusted) if !parent.trusted.get() => {}
            other => other?,
        }
        let mut end = Layer::below(parent, b"", true);
        end.file_type = layer.file_type;
        end.node = layer.node;
        end.text = TextCopy::End;
        self.match_normalised(&end)
    }

    /// Returns how the normalised copy of a text meets signatures; a page's scripts are another thing.
    fn text_copy(&self, layer: &Layer<'_>, child: &Child<'_>) -> TextCopy {
        let plain = layer.parent.is_some_and(|parent| parent.file_type.target().is_none());
        let of_text = child.role == ChildRole::NormalisedText && child.name.is_empty() && plain;
        if !of_text || !self.options().clamav_quirks {
            TextCopy::None
        } else if self.engine.matcher.counts_from_end(Target::ASCII) {
            TextCopy::Whole
        } else {
            TextCopy::Pieces
        }
    }

    /// Scans a layer.
    fn layer(&mut self, layer: &Layer<'_>) -> Result<(), Stop> {
        self.count(layer);
        self.report.object_count = self.report.object_count.saturating_add(1);
        if self.records {
            let digests = layer.digests();
            if let Some(node) = self.node(layer) {
                node.digests = Some(digests);
            }
        }
        if self.options().clamav_quirks && layer.bytes.len() <= QUIRK_LEN_MAX {
            return Ok(());
        }
        if let Some(kind) = self.steps(layer)? {
            self.retyped(layer, kind)?;
        }
        Ok(())
    }

    /// Does the steps of one layer; returns the type that a handler signature asks for.
    fn steps(&mut self, layer: &Layer<'_>) -> Result<Option<FileType>, Stop> {
        if !self.certificates(layer)? {
            return Ok(None);
        }
        self.open(layer, layer.file_type, Stage::BeforeMatch)?;
        let quirks = self.options().clamav_quirks;
        let matched = !quirks || !layer.embedded || quirks::matches_embedded(layer.file_type);
        let handler = if matched { self.match_layer(layer)? } else { None };
        let mut is_page = false;
        if !layer.embedded {
            for (off, kind) in self.embedded(layer)? {
                self.poll()?;
                if quirks && off > 0 && !quirks::opens(layer.file_type, kind) {
                    continue;
                }
                if off == 0 {
                    // What comes out of a text read as a message may look like a message again, and
                    // each level would double the next. A disk image in a disk image is only a part of it.
                    let again = |around: &Layer<'_>| around.retyped.get() == Some(kind);
                    if !is_disk(kind) && layer.chain().any(again) {
                        continue;
                    }
                    layer.retyped.set(Some(kind));
                    is_page |= kind == FileType::Html;
                    self.open(layer, kind, Stage::BeforeMatch)?;
                    self.open(layer, kind, Stage::AfterMatch)?;
                } else {
                    LayerSink { scan: self, layer }.embedded(off, kind)?;
                }
            }
        }
        // A text that turns out to be HTML is no longer a text to clamscan.
        if !(quirks && is_page) {
            self.open(layer, layer.file_type, Stage::AfterMatch)?;
        }
        Ok(handler)
    }

    /// Finds what is inside at an offset: with the content's own magics where there are any.
    fn embedded(&mut self, layer: &Layer<'_>) -> Result<Vec<(usize, FileType)>, Stop> {
        let engine = self.engine;
        if engine.magics.is_none() {
            return Ok(hf_formats::embedded(layer.bytes, layer.file_type, self.limits()));
        }
        let hits = engine.matcher.find_magics(layer.bytes, &mut || self.poll())?;
        let fits = |required: FileType| required == FileType::Any || required == layer.file_type;
        let hits = hits.into_iter().filter(|hit| hit.off > 0 && fits(hit.required));
        let forms = hf_formats::disk_forms(layer.bytes, layer.file_type);
        // A disk's magic does not stand at its start.
        let start = |off: usize, kind: FileType| match kind {
            FileType::Iso9660 => off.saturating_sub(ISO_DESCRIPTOR_OFF),
            FileType::Udf | FileType::Dmg => 0,
            _ => off,
        };
        let known = |(off, kind): &(usize, FileType)| {
            forms.contains(kind) && (*off < ISO_DESCRIPTORS_LEN || *kind != FileType::Iso9660)
        };
        let hits = hits
            .filter_map(|hit| {
                let off = usize::try_from(hit.off).ok()?;
                Some((start(off, hit.file_type), hit.file_type))
            })
            .filter(|hit| !known(hit))
            .take(EMBEDDED_MAX);
        let whole = forms.iter().map(|kind| (0, *kind));
        Ok(whole.chain(hits).collect())
    }

    fn retyped(&mut self, layer: &Layer<'_>, kind: FileType) -> Result<(), Stop> {
        if kind == layer.file_type {
            return Ok(());
        }
        self.child(layer, &Child { name: b"", data: layer.bytes, role: ChildRole::Typed(kind) })
    }

    /// Opens a layer with every format of its type. A defect that ends a format stays with the object.
    fn open(&mut self, layer: &Layer<'_>, kind: FileType, stage: Stage) -> Result<(), Stop> {
        for format in hf_formats::format_for(kind).filter(|format| format.stage == stage) {
            if !(format.enabled)(self.options()) {
                continue;
            }
            let mut sink = LayerSink { scan: self, layer };
            match (format.extract)(layer.bytes, &mut sink) {
                Ok(()) => {}
                Err(Halt::Defect(defect)) => hf_core::Sink::defect(&mut sink, defect),
                // No more children; the object's own bytes are still matched.
                Err(Halt::Stop(stop @ (Stop::Objects | Stop::ScanBytes))) => {
                    self.unscanned(layer, b"", stop.into());
                    return Ok(());
                }
                Err(Halt::Stop(stop)) => return Err(stop),
            }
        }
        Ok(())
    }

    /// True for a mail, and for what stands in one as a text: links in other pages are not told apart from those
    /// of the page's author.
    pub(crate) fn is_of_mail(&self, layer: &Layer<'_>) -> bool {
        let is_mail =
            |layer: &Layer<'_>| matches!(layer.file_type, FileType::Mail | FileType::Mhtml);
        let name = usize::try_from(layer.node).ok().and_then(|node| self.report.objects.get(node));
        // A page that is attached as a file is not looked at by clamscan.
        let is_file = name.is_none_or(|node| node.name != quirks::TEXT_PART);
        is_mail(layer)
            || layer.parent.is_some_and(is_mail) && !(is_file && self.options().clamav_quirks)
    }

    fn count(&mut self, layer: &Layer<'_>) {
        self.report.scanned_bytes = self.report.scanned_bytes.saturating_add(layer.size());
    }
}

/// True when bytes lie within an object that is held anyway: then they take no memory of their own.
fn is_part(parent: &Layer<'_>, bytes: &[u8]) -> bool {
    let part = bytes.as_ptr_range();
    parent.chain().any(|around| {
        let whole = around.bytes.as_ptr_range();
        whole.start <= part.start && part.end <= whole.end
    })
}

/// True for forms under which a whole object is read as a disk.
fn is_disk(kind: FileType) -> bool {
    matches!(
        kind,
        FileType::Iso9660
            | FileType::Udf
            | FileType::Dmg
            | FileType::PartHfsPlus
            | FileType::Hfs
            | FileType::Ext
            | FileType::Fat
            | FileType::Ntfs
            | FileType::Vhd
            | FileType::Vmdk
    )
}

/// True when signatures for metadata meet it: under the drop-in names only where it is asked for.
fn matches_metadata(engine: &Parts) -> bool {
    let options = &engine.options;
    (options.full_tree || !options.clamav_quirks) && engine.matcher.has_target(Target::INTERNAL)
}

/// Objects of at most this many bytes never match under the drop-in names.
const QUIRK_LEN_MAX: usize = 5;

/// Where the descriptors of a CD stand, and bytes in which all of them do.
const ISO_DESCRIPTOR_OFF: usize = 32_768;
const ISO_DESCRIPTORS_LEN: usize = 100 * 2048;

/// Embedded objects looked at in one layer when the content brings its own magics.
const EMBEDDED_MAX: usize = 64;

/// Bytes kept of a child's name: a damaged header may claim 64 KiB of whatever follows, and a report repeats names.
const NAME_LEN_MAX: usize = 1024;

fn kept(name: &[u8]) -> Vec<u8> {
    name.get(..name.len().min(NAME_LEN_MAX)).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_what_is_around_are_told_from_copies() {
        let object = vec![7u8; 4096];
        let limits = Limits::default();
        let top = Layer::top(&object, &limits, false);
        let inner = Layer::below(&top, &object[512..1024], false);
        assert!(is_part(&top, &object[512..1024]));
        assert!(is_part(&inner, &object[600..700]));
        assert!(is_part(&inner, &object[2048..]));
        let copy = object[512..1024].to_vec();
        assert!(!is_part(&inner, &copy));
    }
}
