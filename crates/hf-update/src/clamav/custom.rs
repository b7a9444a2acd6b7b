//! Databases from an address of the owner's (`DatabaseCustomURL`).

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::container::{self, CONTAINER_MAX};
use super::mirror::{Code, Mirrors, Updated, updated};
use crate::fetch::{Download, Downloaded, Url};
use crate::store::{sync_folder, time};

impl Mirrors<'_> {
    /// Brings the database at an address up to date: `http`, `https` or `file`.
    ///
    /// # Errors
    /// It could not be had or is no good; what was there is still there.
    pub fn custom(&mut self, url: &str) -> Result<Updated, Code> {
        let name = match url.strip_prefix("file://") {
            Some(path) => {
                Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
            None => Url::parse(url).map(|url| url.file_name().to_owned()).unwrap_or_default(),
        };
        if hf_sig::recognised(&name).is_none() || name.starts_with('.') || name.contains('/') {
            self.voice.error(&format!("DatabaseCustomURL: Incorrect URL or no database: {url}"));
            return Err(Code::Argument);
        }
        let draft = self.draft(&name)?;
        let mut modified = None;
        match url.strip_prefix("file://") {
            Some(path) => {
                self.voice.info(&format!("Downloading {name} [100%]"));
                copy(Path::new(path), &draft).map_err(|err| {
                    self.voice.warning(&format!("DatabaseCustomURL: file {path}: {err}"));
                    Code::File
                })?;
            }
            None => {
                let place = self.folder.join(&name);
                let since = fs::metadata(&place).and_then(|meta| meta.modified()).ok();
                let since = since.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let since = since.map(|at| time::to_http(at.as_secs()));
                match self.fetch(url, &name, &draft, since.as_deref())? {
                    Some(at) => modified = at,
                    None => {
                        self.voice
                            .info(&format!("{name} is up-to-date (version: custom database)"));
                        return Ok(Updated { file_name: name, header: None, changed: false });
                    }
                }
            }
        }
        let taken = self.take_custom(&name, &draft, modified);
        let _ = fs::remove_file(&draft);
        taken
    }

    /// Fetches a file; returns its time, or nothing when it is the same as ours.
    fn fetch(
        &mut self,
        url: &str,
        name: &str,
        to: &Path,
        since: Option<&str>,
    ) -> Result<Option<Option<u64>>, Code> {
        let whole = self.partial.join(format!("{name}.download"));
        let download = Download {
            url,
            to: &whole,
            max: CONTAINER_MAX,
            if_none_match: None,
            if_modified_since: since,
        };
        match self.fetcher.download(&download) {
            Ok(Downloaded::File { last_modified, .. }) => {
                fs::rename(&whole, to).map_err(|err| self.disk(to, &err))?;
                Ok(Some(last_modified.as_deref().and_then(time::from_http)))
            }
            Ok(Downloaded::NotModified) => Ok(None),
            Ok(Downloaded::Other(reply)) if matches!(reply.status, 403 | 429) => {
                Err(self.refused(&reply, name, url))
            }
            Ok(Downloaded::Other(reply)) => {
                self.voice.warning(&match reply.status {
                    404 => format!("downloadFile: file not found: {url}"),
                    status => format!("downloadFile: Unexpected response ({status}) from {url}"),
                });
                Err(Code::Get)
            }
            Err(err) => {
                self.unreached("downloadFile", &err, true);
                Err(Code::Get)
            }
        }
    }

    fn take_custom(
        &mut self,
        name: &str,
        draft: &Path,
        modified: Option<u64>,
    ) -> Result<Updated, Code> {
        let is_container = [".cvd", ".cld", ".cud"].iter().any(|suffix| name.ends_with(suffix));
        if is_container {
            let bytes = fs::read(draft).map_err(|err| self.disk(draft, &err))?;
            if let Err(err) = hf_sig::cvd::unpack(name, &bytes, &self.options) {
                self.voice.error(&format!("{name}: {}", err.diagnostic.reason));
                return Err(Code::BadDatabase);
            }
        }
        let signatures = self.test(draft)?;
        if let Some(at) = modified.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at))) {
            let file =
                File::options().append(true).open(draft).map_err(|err| self.disk(draft, &err))?;
            file.set_modified(at).map_err(|err| self.disk(draft, &err))?;
        }
        let header = container::header_of(draft).filter(|_| is_container);
        let place = self.folder.join(name);
        fs::rename(draft, &place).map_err(|err| self.disk(&place, &err))?;
        sync_folder(self.folder).map_err(|err| self.disk(self.folder, &err))?;
        self.voice.info(&match &header {
            Some(header) => updated(name, header),
            None => format!("{name} updated (version: custom database, sigs: {signatures})"),
        });
        Ok(Updated { file_name: name.to_owned(), header, changed: true })
    }
}

/// Copies a file that is one, and has a bound.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !fs::metadata(from)?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut source = File::open(from)?.take(CONTAINER_MAX);
    let mut target = File::create(to)?;
    std::io::copy(&mut source, &mut target)?;
    target.sync_all()
}
