//! Who opens a file.
//!
//! Whoever opens waits for our answer meanwhile, so that its number cannot be another process's.
//! Promises: asking never waits for another process or a server. What cannot be found out excludes nobody.
//! Sources: proc(5), getsid(2).

use std::path::{Path, PathBuf};

use crate::Settings;
use crate::stamp::Facts;

/// True for the guard and what it started: the workers, and what runs after a finding.
pub(crate) fn is_own(session: u32, pid: i32) -> bool {
    // 0 stands for a process that cannot be seen from here; asked about, it would mean ourselves.
    match u32::try_from(pid) {
        Ok(pid @ 1..) => hf_sys::session::of(pid).is_ok_and(|of| of == Some(session)),
        _ => false,
    }
}

/// Returns the user by whose rights a process opens files.
pub(crate) fn user(pid: i32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // Real, effective, saved, of the file system.
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns the program that a process runs, by its path.
pub(crate) fn program(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// True when a process may open what it wants.
pub(crate) fn is_excluded(settings: &Settings, user_ids: &[u32], pid: i32) -> bool {
    if pid <= 0 {
        return false;
    }
    if !user_ids.is_empty() && user(pid).is_some_and(|user| user_ids.contains(&user)) {
        return true;
    }
    if settings.exclude_processes.is_empty() {
        return false;
    }
    let mut pid = pid;
    for _ in 0..ANCESTORS_MAX {
        if runs_one_of(&settings.exclude_processes, pid) {
            return true;
        }
        match parent(pid) {
            Some(parent) if settings.exclude_children && parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

/// A path alone could be made up in a namespace of one's own: it must be the same file as well.
fn runs_one_of(programs: &[PathBuf], pid: i32) -> bool {
    let Some(path) = program(pid) else { return false };
    programs.iter().any(|program| {
        *program == path
            && identity(&PathBuf::from(format!("/proc/{pid}/exe")))
                .is_some_and(|running| identity(program) == Some(running))
    })
}

fn identity(path: &Path) -> Option<crate::stamp::FileId> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    // `O_PATH` opens nothing, and asks no guard.
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?;
    Facts::of(file).ok().map(|facts| facts.id)
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may hold anything, also parentheses.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Ours.
const ANCESTORS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(user(pid), Some(rustix::process::geteuid().as_raw()));
        let here = std::env::current_exe().unwrap();
        assert_eq!(program(pid).as_deref(), Some(here.as_path()));
        let mut settings = Settings { exclude_processes: vec![here], ..Settings::default() };
        assert!(is_excluded(&settings, &[], pid));
        settings.exclude_processes = vec![PathBuf::from("/bin/sh")];
        assert!(!is_excluded(&settings, &[], pid));
        assert!(is_excluded(&settings, &[user(pid).unwrap()], pid));
        assert!(!is_excluded(&settings, &[user(pid).unwrap()], 0));
        // In a container the session of a test may have no number.
        if let Some(session) = hf_sys::session::of(std::process::id()).unwrap() {
            assert!(is_own(session, pid) && !is_own(session, 0));
        }
        assert!(!is_own(u32::MAX, pid));
        assert!(parent(pid).is_some());
    }
}
