//! Bounds on what the calling process may use.
//!
//! Promises: [`apply`] only ever lowers a bound, for good.
//! Sources: getrlimit(2), proc(5) `statm` and `oom_score_adj`.

use std::io;

use rustix::process::{Resource, Rlimit};

/// What a process may use from now on, besides what it has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of writable private memory (heap, stacks) beyond what is in use. Maps of files that
    /// are only read do not count.
    pub memory_bytes: u64,
    /// Bytes of address space beyond what is in use, maps of files included.
    pub address_bytes: u64,
    /// Highest number of descriptors.
    pub descriptors: u64,
    /// Seconds of processor time; none for no bound.
    pub cpu_seconds: Option<u64>,
}

/// Applies bounds to the calling process. No core dump is written and no file grows either.
///
/// The bound on memory is `RLIMIT_DATA`, which counts what can be dirtied; `RLIMIT_AS` alone could
/// not tell a large file that is mapped from memory that is used up, so it only stands behind.
///
/// # Errors
/// The kernel refuses, or `/proc` cannot tell how much is in use.
pub fn apply(bounds: &Bounds) -> io::Result<()> {
    let used = in_use()?;
    lower(Resource::Data, used.data_bytes.saturating_add(bounds.memory_bytes))?;
    lower(Resource::As, used.address_bytes.saturating_add(bounds.address_bytes))?;
    lower(Resource::Nofile, bounds.descriptors)?;
    lower(Resource::Fsize, 0)?;
    lower(Resource::Core, 0)?;
    lower(Resource::Memlock, 0)?;
    lower(Resource::Msgqueue, 0)?;
    if let Some(seconds) = bounds.cpu_seconds {
        lower(Resource::Cpu, seconds)?;
    }
    Ok(())
}

/// Makes the calling process the first one to go when the machine runs out of memory.
///
/// # Errors
/// `/proc` is not there or not writable.
pub fn first_to_go() -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", b"1000")
}

/// Lets the calling process open as many descriptors as its administrator allows.
///
/// # Errors
/// The kernel refuses.
pub fn more_descriptors() -> io::Result<()> {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let old = rustix::process::getrlimit(resource);
    let to = old.maximum.map_or(to, |maximum| maximum.min(to));
    rustix::process::setrlimit(resource, Rlimit { current: Some(to), maximum: Some(to) })?;
    Ok(())
}

struct InUse {
    address_bytes: u64,
    data_bytes: u64,
}

fn in_use() -> io::Result<InUse> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let mut pages = text.split_ascii_whitespace().map(str::parse::<u64>);
    let mut field = |idx: usize| match pages.nth(idx) {
        Some(Ok(count)) => Ok(count),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/self/statm")),
    };
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    // Fields: size resident shared text lib data dt.
    let address_bytes = field(0)?.saturating_mul(page_bytes);
    let data_bytes = field(4)?.saturating_mul(page_bytes);
    Ok(InUse { address_bytes, data_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_in_use() {
        let used = in_use().unwrap();
        assert!(used.address_bytes > used.data_bytes);
        assert!(used.data_bytes > 0);
    }
}
