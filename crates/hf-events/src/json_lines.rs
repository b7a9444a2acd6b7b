//! A file of JSON lines.
//!
//! Promises: a line is one write to a file opened for appending, so that several processes may share it; when the file
//! was renamed or removed (logrotate), the next line goes to a new one; a symbolic link is not followed.
//! The file is made with mode 0640.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::ecs;
use crate::event::Event;
use crate::events::Sink;

/// A file of JSON lines.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    host: String,
    file: Option<(File, (u64, u64))>,
}

impl JsonLines {
    /// Returns the file; it is made with the first line.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), host: ecs::host_name(), file: None }
    }

    fn open(&mut self) -> io::Result<&mut File> {
        let there = rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW).ok();
        let there = there.map(|stat| (stat.st_dev, stat.st_ino));
        if self.file.as_ref().is_none_or(|(_, open)| Some(*open) != there) {
            let flags = OFlags::WRONLY
                | OFlags::APPEND
                | OFlags::CREATE
                | OFlags::NOFOLLOW
                | OFlags::CLOEXEC
                | OFlags::NONBLOCK;
            let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
            let file = File::from(rustix::fs::open(&self.path, flags, mode)?);
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("it is not a regular file"));
            }
            let stat = rustix::fs::fstat(&file)?;
            self.file = Some((file, (stat.st_dev, stat.st_ino)));
        }
        match &mut self.file {
            Some((file, _)) => Ok(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Sink for JsonLines {
    fn deliver(&mut self, event: &Event) -> io::Result<()> {
        let line = ecs::json_line(event, &self.host);
        self.open()?.write_all(&line)
    }
}
