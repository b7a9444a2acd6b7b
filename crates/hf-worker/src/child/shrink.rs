//! Making a report shorter, so that it fits a message.
//!
//! Promises: no hit is lost before everything else is; the last step leaves a report that always
//! fits and still says that something was found.

use hf_core::{ObjectNode, Report};

/// Steps, to be tried in order until the report fits.
pub(super) const STEPS: &[fn(&mut Report)] = &[drop_details, drop_objects, drop_spans, drop_all];

/// Facts, digests, defects and long names go.
fn drop_details(report: &mut Report) {
    for node in &mut report.objects {
        node.facts = Vec::new();
        node.digests = None;
        node.defects = Vec::new();
        node.name.truncate(NAME_LEN_MAX);
    }
    for part in &mut report.unscanned {
        part.name.truncate(NAME_LEN_MAX);
    }
}

/// Objects go that no hit and no unscanned part names or lies in.
fn drop_objects(report: &mut Report) {
    let mut keep = vec![false; report.objects.len()];
    let named = report.hits.iter().map(|hit| hit.object);
    for object in named.chain(report.unscanned.iter().map(|part| part.object)) {
        let mut at = Some(object);
        while let Some(idx) = at.and_then(|at| usize::try_from(at).ok()) {
            match keep.get_mut(idx) {
                Some(kept) if !*kept => *kept = true,
                _ => break,
            }
            at = report.objects.get(idx).and_then(|node| node.parent);
        }
    }
    if let Some(first) = keep.first_mut() {
        *first = true;
    }
    let mut next = 0_u32;
    let number = |kept: &bool| {
        let here = next;
        next = next.saturating_add(u32::from(*kept));
        here
    };
    let renamed: Vec<u32> = keep.iter().map(number).collect();
    let new = |old: u32| {
        let old = usize::try_from(old).unwrap_or(usize::MAX);
        renamed.get(old).copied().unwrap_or(0)
    };
    let mut kept = keep.iter();
    report.objects.retain(|_| kept.next().copied().unwrap_or(false));
    for ObjectNode { parent, .. } in &mut report.objects {
        *parent = parent.map(new);
    }
    report.hits.iter_mut().for_each(|hit| hit.object = new(hit.object));
    report.unscanned.iter_mut().for_each(|part| part.object = new(part.object));
}

/// Places of matches go, and hits beyond a number that nobody reads.
fn drop_spans(report: &mut Report) {
    report.hits.truncate(HITS_MAX);
    for hit in &mut report.hits {
        hit.spans = Vec::new();
    }
    drop_objects(report);
}

/// Only the first hits stay, as if they were in the file itself.
fn drop_all(report: &mut Report) {
    let mut root: Vec<ObjectNode> = report.objects.drain(..).take(1).collect();
    for node in &mut root {
        node.parent = None;
    }
    report.unscanned_more = report
        .unscanned_more
        .saturating_add(u64::try_from(report.unscanned.len()).unwrap_or(u64::MAX));
    report.unscanned = Vec::new();
    report.hits.truncate(64);
    for hit in &mut report.hits {
        hit.object = 0;
        hit.name = hit.name.chars().take(NAME_LEN_MAX).collect();
        hit.origin = String::new();
    }
    report.objects = root;
}

/// Ours.
const NAME_LEN_MAX: usize = 4096;

/// Ours.
const HITS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use hf_core::{FileType, Hit, HitKind, Strength};

    use super::*;

    fn node(parent: Option<u32>, name: &[u8]) -> ObjectNode {
        ObjectNode {
            parent,
            name: name.to_vec(),
            file_type: FileType::Zip,
            normalised: false,
            embedded_off: None,
            size: 1,
            digests: None,
            facts: vec![("key".to_owned(), "value".to_owned())],
            defects: Vec::new(),
        }
    }

    fn report() -> Report {
        let objects = vec![
            node(None, b""),
            node(Some(0), b"a"),
            node(Some(1), b"a/1"),
            node(Some(0), b"b"),
            node(Some(3), b"b/1"),
        ];
        let hit = Hit {
            object: 4,
            name: "Test".to_owned(),
            kind: HitKind::Body,
            strength: Strength::Strong,
            origin: "x.ndb:1".to_owned(),
            spans: Vec::new(),
        };
        Report { objects, hits: vec![hit], ..Report::default() }
    }

    #[test]
    fn keeps_the_way_to_a_hit() {
        let mut report = report();
        drop_details(&mut report);
        drop_objects(&mut report);
        assert_eq!(report.objects.len(), 3);
        assert_eq!(report.path(report.hits[0].object), [&b"b"[..], b"b/1"]);
        assert!(report.objects.iter().all(|node| node.facts.is_empty()));
        drop_spans(&mut report);
        assert_eq!(report.objects.len(), 3);
    }

    #[test]
    fn keeps_the_hit_to_the_end() {
        let mut report = report();
        STEPS.iter().for_each(|step| step(&mut report));
        assert_eq!((report.objects.len(), report.hits.len()), (1, 1));
        assert_eq!((report.hits[0].object, report.hits[0].name.as_str()), (0, "Test"));
    }
}
