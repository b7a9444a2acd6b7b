//! Leaves only what is worth telling in a report's tree.

use hf_core::Report;

/// Keeps the file itself, objects with hits, defects or unscanned parts, and the objects around those.
pub(crate) fn keep_notable(report: &mut Report) {
    let mut keep = vec![false; report.objects.len()];
    let told = report.hits.iter().map(|hit| hit.object);
    let told = told.chain(report.unscanned.iter().map(|part| part.object));
    for object in told {
        mark(&mut keep, object);
    }
    for (flag, node) in keep.iter_mut().zip(&report.objects) {
        *flag |= node.parent.is_none() || !node.defects.is_empty();
    }
    for idx in (0..report.objects.len()).rev() {
        let parent = report.objects.get(idx).and_then(|node| node.parent);
        if let (Some(true), Some(parent)) = (keep.get(idx), parent) {
            mark(&mut keep, parent);
        }
    }
    let mut next = 0u32;
    let new_idx: Vec<u32> = keep
        .iter()
        .map(|kept| {
            let idx = next;
            next = next.saturating_add(u32::from(*kept));
            idx
        })
        .collect();
    let renumber =
        |idx: u32| usize::try_from(idx).ok().and_then(|idx| new_idx.get(idx)).copied().unwrap_or(0);
    let mut flags = keep.iter();
    report.objects.retain(|_| flags.next().copied().unwrap_or(false));
    for node in &mut report.objects {
        node.parent = node.parent.map(renumber);
    }
    for hit in &mut report.hits {
        hit.object = renumber(hit.object);
    }
    for part in &mut report.unscanned {
        part.object = renumber(part.object);
    }
}

fn mark(keep: &mut [bool], object: u32) {
    if let Some(flag) = usize::try_from(object).ok().and_then(|idx| keep.get_mut(idx)) {
        *flag = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_core::{FileType, ObjectNode, Reason, Unscanned};

    fn node(parent: Option<u32>, name: &str) -> ObjectNode {
        ObjectNode {
            parent,
            name: name.as_bytes().to_vec(),
            file_type: FileType::BinaryData,
            normalised: false,
            embedded_off: None,
            size: 0,
            digests: None,
            facts: Vec::new(),
            defects: Vec::new(),
        }
    }

    #[test]
    fn keeps_the_way_to_what_is_told() {
        let mut report = Report {
            objects: vec![
                node(None, ""),
                node(Some(0), "a"),
                node(Some(0), "b"),
                node(Some(2), "c"),
                node(Some(2), "d"),
            ],
            unscanned: vec![Unscanned { object: 4, name: vec![], reason: Reason::Encrypted }],
            ..Report::default()
        };
        keep_notable(&mut report);
        let names: Vec<_> = report.objects.iter().map(|n| n.name.clone()).collect();
        assert_eq!(names, [&b""[..], b"b", b"d"]);
        assert_eq!(report.path(report.unscanned[0].object), [&b"b"[..], b"d"]);
    }
}
