//! What partition tables share: handing partitions over, what overlaps, and what lies between them.

use hf_core::{Child, ChildRole, Defect, FileType, Reason, Sink, Stop};

use crate::reader::size;

/// A partition as its table describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    /// What to call it.
    pub(super) name: String,
    /// Where it starts, in bytes.
    pub(super) start: u64,
    /// Its length in bytes.
    pub(super) len: u64,
}

/// Adds a partition that is not there yet.
pub(super) fn add(partitions: &mut Vec<Partition>, partition: Partition) {
    let same = |other: &Partition| (other.start, other.len) == (partition.start, partition.len);
    if partitions.len() < ENTRIES_MAX && partition.len > 0 && !partitions.iter().any(same) {
        partitions.push(partition);
    }
}

/// Ours: entries of a table that are read at all.
pub(super) const ENTRIES_MAX: usize = 1024;

/// Hands over the partitions, and the gaps between them that are not empty. `tables` are ranges that
/// hold no data but the tables; `intersection` is the finding of partitions that overlap.
///
/// # Errors
/// The scan ends here.
pub(super) fn hand_over(
    object: &[u8],
    partitions: &[Partition],
    tables: &[(u64, u64)],
    intersection: &str,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    if overlap(partitions) {
        sink.defect(Defect::new(0, "partitions overlap"));
        if sink.options().alert_partition_intersection {
            sink.heuristic(intersection)?;
        }
    }
    let most = usize::try_from(sink.limits().max_partitions).unwrap_or(usize::MAX);
    if partitions.len() > most {
        sink.unscanned(b"", Reason::FormatLimit("partitions".into()));
    }
    for partition in partitions.iter().take(most) {
        sink.poll()?;
        one(object, partition, sink)?;
    }
    gaps(object, partitions, tables, sink)
}

fn one(object: &[u8], partition: &Partition, sink: &mut dyn Sink) -> Result<(), Stop> {
    let name = partition.name.as_bytes();
    let rest = object.get(size(partition.start)..).unwrap_or_default();
    if rest.is_empty() {
        // Nothing of it is here: the object is a table that was saved alone, or was cut.
        sink.defect(Defect::new(partition.start, "partition behind the end"));
        if object.len() > TABLE_ALONE_LEN {
            sink.unscanned(name, Reason::Truncated);
        }
        return Ok(());
    }
    if partition.start == 0 {
        // The whole disk, as tables of hybrid images say: it is what is being opened.
        sink.fact("partition.whole", &partition.name);
        return Ok(());
    }
    let data = rest.get(..size(partition.len)).unwrap_or(rest);
    if data.len() < size(partition.len) {
        sink.unscanned(name, Reason::Truncated);
    }
    sink.child(Child { name, data, role: role(data) })
}

/// Ours: bytes up to which an object may be a table that was saved alone.
const TABLE_ALONE_LEN: usize = 64 * 1024;

/// Returns how to scan a partition: ClamAV knows HFS+ only inside one.
pub(super) fn role(data: &[u8]) -> ChildRole {
    match data.get(1024..1028) {
        Some(b"H+\0\x04" | b"HX\0\x05") => ChildRole::Typed(FileType::PartHfsPlus),
        _ => ChildRole::Member,
    }
}

/// True when two partitions share a byte. A partition that holds another is one only if it is said twice.
fn overlap(partitions: &[Partition]) -> bool {
    let mut spans: Vec<_> = partitions.iter().map(|part| (part.start, part.len)).collect();
    spans.sort_unstable();
    let mut reach = 0;
    spans.iter().any(|(start, len)| {
        let hit = *start < reach;
        reach = reach.max(start.saturating_add(*len));
        hit
    })
}

/// Hands over what no partition and no table covers, if it is not all the same byte.
fn gaps(
    object: &[u8],
    partitions: &[Partition],
    tables: &[(u64, u64)],
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let ends = |(start, len): (u64, u64)| (start, start.saturating_add(len));
    let mut spans: Vec<_> = partitions
        .iter()
        .map(|part| (part.start, part.len))
        .chain(tables.iter().copied())
        .collect();
    spans.sort_unstable();
    let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
    let mut reach = 0;
    for (start, end) in spans.into_iter().map(ends).chain([(len, len)]) {
        if start > reach {
            sink.poll()?;
            let gap = object.get(size(reach)..size(start.min(len))).unwrap_or_default();
            let data = trimmed(gap);
            if !data.is_empty() {
                let name = format!("gap at {reach}");
                sink.child(Child { name: name.as_bytes(), data, role: role(data) })?;
            }
        }
        reach = reach.max(end);
    }
    Ok(())
}

/// Returns a gap without the filling at its end; nothing of one that is all filling.
fn trimmed(gap: &[u8]) -> &[u8] {
    let Some((filling, _)) = gap.split_last() else { return gap };
    let block = [*filling; 4096];
    let mut rest = gap;
    while let Some((before, last)) = rest.split_last_chunk::<4096>() {
        if *last != block {
            break;
        }
        rest = before;
    }
    let used = rest.iter().rposition(|byte| byte != filling).map_or(0, |at| at.saturating_add(1));
    let filled_with_data = !matches!(*filling, 0 | 0xff);
    if filled_with_data { gap } else { rest.get(..used).unwrap_or_default() }
}
