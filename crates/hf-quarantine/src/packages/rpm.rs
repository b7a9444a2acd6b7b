//! What RPM knows of a file, asked of the program `rpm`: its database has had four formats.
//!
//! Promises: only the program at its usual place is run, without a shell and without our environment; it has
//! [`PATIENCE`] for an answer; what it does not say in time is an error, so that nothing is done about the file.
//! Leaves out: systems without a database of RPM, where nothing is run.
//! Limits: 64 MiB of an answer are read; a longer one is an error.
//! Sources: rpm(8), rpm-queryformat(7); RFC 4880 §9.4 for the numbers of digests.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hf_sys::{Exit, Process};
use md5::{Digest, Md5};
use rustix::fs::MemfdFlags;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::read_whole;
use hf_core::hex::from_hex;

/// A program and the database that it reads.
#[derive(Debug)]
pub(super) struct Rpm {
    pub(super) program: PathBuf,
    /// None for the usual one.
    pub(super) database: Option<PathBuf>,
    pub(super) patience: Duration,
}

/// The digest that a package has for a file, by its algorithm.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owned {
    algorithm: u32,
    digest: Vec<u8>,
}

impl Rpm {
    /// Returns the one of this system, if packages are kept by it.
    pub(super) fn of_the_system() -> Option<Self> {
        let program = PathBuf::from(PROGRAM);
        let kept = FOLDERS.iter().any(|folder| {
            DATABASES.iter().any(|name| {
                std::fs::metadata(Path::new(folder).join(name)).is_ok_and(|meta| meta.len() > 0)
            })
        });
        (kept && program.exists()).then_some(Self { program, database: None, patience: PATIENCE })
    }

    /// Returns what a package says about a path; none when no package has it, or has no digest for it.
    pub(super) fn owner_of(&self, path: &Path) -> io::Result<Option<Owned>> {
        let (code, answer) = self.ask(path)?;
        // 1: no package owns it. The text is in the user's language, or not there.
        if code != 0 && answer.is_empty() {
            return Ok(None);
        }
        Ok(find(&answer, path.as_os_str().as_bytes()))
    }

    fn ask(&self, path: &Path) -> io::Result<(i32, Vec<u8>)> {
        let mut answer = File::from(rustix::fs::memfd_create("rpm", MemfdFlags::CLOEXEC)?);
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
        if let Some(database) = &self.database {
            command.arg("--dbpath").arg(database);
        }
        // Without digests of the packages themselves: the database is as trusted as `rpm` is.
        command.args(["-q", "--nosignature", "--nodigest", "--queryformat", FORMAT, "-f"]);
        command.arg(path).stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(Stdio::from(answer.try_clone()?));
        hf_sys::close_others(&mut command);
        // Dropping it kills it.
        let mut process = Process::start(&mut command)?;
        let code = match process.wait(self.patience) {
            Some((Exit::Code(code), _)) => code,
            Some(_) => return Err(io::Error::other("rpm did not say who owns the file")),
            None => {
                let why = "rpm did not say in time who owns the file";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        };
        let mut text = Vec::new();
        answer.rewind()?;
        answer.take(ANSWER_MAX).read_to_end(&mut text)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) >= ANSWER_MAX {
            return Err(io::Error::other("rpm said too much"));
        }
        // `file X is not owned by any package` comes on standard output.
        if code != 0 {
            text.clear();
        }
        Ok((code, text))
    }
}

/// Finds the line of a path.
fn find(answer: &[u8], path: &[u8]) -> Option<Owned> {
    answer.split(|byte| *byte == b'\n').find_map(|line| {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (algorithm, digest, name) = (words.next()?, words.next()?, words.next()?);
        if name != path {
            return None;
        }
        let algorithm = std::str::from_utf8(algorithm).ok()?;
        // Old packages do not say which: MD5.
        let algorithm = if algorithm == "(none)" { MD5 } else { algorithm.parse().ok()? };
        let digest =
            from_hex(std::str::from_utf8(digest).ok()?).filter(|bytes| !bytes.is_empty())?;
        Some(Owned { algorithm, digest })
    })
}

impl Owned {
    /// Returns whether a file is as the package has it; not with an algorithm that is not known here.
    pub(super) fn matches(&self, file: &File) -> io::Result<bool> {
        match self.algorithm {
            MD5 => self.matches_as::<Md5>(file),
            8 => self.matches_as::<Sha256>(file),
            9 => self.matches_as::<Sha384>(file),
            10 => self.matches_as::<Sha512>(file),
            11 => self.matches_as::<Sha224>(file),
            _ => Ok(false),
        }
    }

    fn matches_as<D: Digest>(&self, file: &File) -> io::Result<bool> {
        let mut digest = D::new();
        let whole = read_whole(file, &mut |bytes| digest.update(bytes))?;
        Ok(whole && digest.finalize().as_slice() == self.digest.as_slice())
    }
}

const MD5: u32 = 1;

/// One line for each file of the package.
const FORMAT: &str = "[%{=FILEDIGESTALGO} %{FILEDIGESTS} %{FILENAMES}\\n]";

const PROGRAM: &str = "/usr/bin/rpm";

/// Where distributions have it: Fedora since 36 and SUSE, and all others.
const FOLDERS: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];

const DATABASES: [&str; 3] = ["rpmdb.sqlite", "Packages.db", "Packages"];

/// Ours: a question takes some hundredths of a second.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

const ANSWER_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_path() {
        let answer = b"8 00ff /a\n8  /folder\n(none) 0a /b c\n8 zz /d\nrubbish\n3 01 /e";
        let found = |path: &[u8]| find(answer, path).map(|one| (one.algorithm, one.digest));
        assert_eq!(found(b"/a"), Some((8, vec![0, 255])));
        assert_eq!(found(b"/b c"), Some((MD5, vec![10])));
        for path in [&b"/folder"[..], b"/d", b"/x", b"rubbish", b""] {
            assert_eq!(found(path), None);
        }
        let unknown = find(answer, b"/e").unwrap();
        let file = File::open("/dev/null").unwrap();
        assert!(!unknown.matches(&file).unwrap());
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("rpm");
        let write = |text: &str| {
            std::fs::write(&script, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&script, mode).unwrap();
        };
        let rpm = |millis| Rpm {
            program: script.clone(),
            database: None,
            patience: Duration::from_millis(millis),
        };
        write("#!/bin/sh\nexec sleep 60\n");
        let error = rpm(200).owner_of(Path::new("/a")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        write("#!/bin/sh\necho \"$@\" is not owned by any package\nexit 1\n");
        assert_eq!(rpm(30_000).owner_of(Path::new("/a")).unwrap(), None);
        write("#!/bin/sh\nkill -9 $$\n");
        assert!(rpm(30_000).owner_of(Path::new("/a")).is_err());
        write("#!/bin/sh\necho 8 00 /a\n");
        assert!(rpm(30_000).owner_of(Path::new("/a")).unwrap().is_some());
    }
}
