//! A line of progress on a terminal: files, bytes, rate and time left; nothing in a pipe.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::drive::Named;
use crate::walk::WalkOptions;

/// Progress of a scan; does nothing when it is not wanted.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    files: u64,
    found: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// Starts, if standard error is a terminal and nobody refused. What is to do is counted meanwhile.
    pub(crate) fn start(matches: &ArgMatches, named: &[Named], walk: &WalkOptions) -> Self {
        let wanted = std::io::stderr().is_terminal()
            && !matches.get_flag("no-progress")
            && !matches.get_flag("json");
        let stop = Arc::new(AtomicBool::new(false));
        let found = Arc::new(AtomicU64::new(0));
        if !wanted {
            return Self { bar: None, files: 0, found, stop };
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template(
            "{bar:24} {msg}  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let roots = named.iter().filter_map(|item| match item {
            Named::Path(path) => Some(path.clone()),
            Named::Open(..) => None,
        });
        count(roots.collect(), walk.cross_filesystems, &bar, &stop);
        Self { bar: Some(bar), files: 0, found, stop }
    }

    /// Counts a file that is done.
    pub(crate) fn file(&mut self, bytes: u64, found: u64) {
        self.files = self.files.saturating_add(1);
        self.found.store(found, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            if self.files.is_multiple_of(16) {
                bar.set_message(format!("{} files, {found} detected", self.files));
            }
        }
    }

    /// Does something while the line is not shown.
    pub(crate) fn hidden(&self, act: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(act),
            None => act(),
        }
    }

    /// Takes the line away.
    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Adds up sizes in the background; an estimate, so links and exclusions do not matter.
fn count(roots: Vec<PathBuf>, cross: bool, bar: &ProgressBar, stop: &Arc<AtomicBool>) {
    let (bar, stop) = (bar.clone(), Arc::clone(stop));
    let work = move || {
        use std::os::unix::fs::MetadataExt as _;
        for root in roots {
            let device = std::fs::metadata(&root).map(|meta| meta.dev()).ok();
            let mut folders = vec![root];
            while let Some(folder) = folders.pop() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                if folder.is_file() {
                    bar.inc_length(folder.metadata().map_or(0, |meta| meta.len()));
                    continue;
                }
                for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                    let Ok(meta) = entry.metadata() else { continue };
                    let same = cross || Some(meta.dev()) == device;
                    if meta.is_dir()
                        && same
                        && !PSEUDO.contains(&entry.path().to_string_lossy().as_ref())
                    {
                        folders.push(entry.path());
                    } else if meta.is_file() {
                        bar.inc_length(meta.len());
                    }
                }
            }
        }
    };
    // Without it there is only no estimate.
    let _ = std::thread::Builder::new().spawn(work);
}

/// Folders that are not counted.
const PSEUDO: [&str; 3] = ["/proc", "/sys", "/dev"];
