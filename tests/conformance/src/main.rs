//! The client that the TUF conformance suite drives: `init`, `refresh` and `download` over `hf-trust`.
//!
//! Its options are those of the suite's `CLIENT-CLI.md`. Exit code 0 when all went well, else 1 and a line
//! on standard error with the name of the attack that a refusal stops.
//! Leaves out: all but plain HTTP; Holdfast's own fetcher is tested elsewhere, and the suite's server
//! speaks nothing else.
#![forbid(unsafe_code)]

mod http;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use hf_trust::Time;
use hf_trust::tuf::updater::{file_stem, role_of_stem};
use hf_trust::tuf::{Limits, Reply, Step, Target, Trusted, TufError, Updater};

use http::Fetched;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: holdfast-tuf-client --metadata-dir DIR [--metadata-url URL] \
    [--target-name PATH --target-base-url URL --target-dir DIR] init ROOT | refresh | download";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let attack = error.downcast_ref::<TufError>().map_or("error", TufError::attack);
            eprintln!("{attack}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut options = BTreeMap::new();
    let mut words = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--") {
            Some(name) => {
                let value = arguments.next().ok_or(USAGE)?;
                options.insert(name.to_owned(), value);
            }
            None => words.push(argument),
        }
    }
    let option = |name: &str| options.get(name).map(String::as_str).ok_or(USAGE);
    let folder = PathBuf::from(option("metadata-dir")?);
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["init", root] => {
            fs::create_dir_all(&folder)?;
            fs::copy(root, folder.join("root.json"))?;
            Ok(())
        }
        ["refresh"] => {
            let mut client = Client::open(folder, option("metadata-url")?)?;
            client.refresh()?;
            Ok(())
        }
        ["download"] => {
            let mut client = Client::open(folder, option("metadata-url")?)?;
            let target = client.find(option("target-name")?)?;
            client.download(&target, option("target-base-url")?, Path::new(option("target-dir")?))
        }
        _ => Err(USAGE.into()),
    }
}

/// A folder of trusted metadata, and the repository that it is updated from.
struct Client {
    folder: PathBuf,
    metadata_url: String,
    updater: Updater,
}

impl Client {
    fn open(folder: PathBuf, metadata_url: &str) -> Result<Self> {
        let mut trusted = Trusted::default();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(stem) = name.strip_suffix(".json") else { continue };
            let bytes = fs::read(&path)?;
            match role_of_stem(stem) {
                Some(role) if role == "root" => trusted.root = bytes,
                Some(role) => {
                    trusted.local.insert(role, bytes);
                }
                None => {}
            }
        }
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let now = Time::from_unix(i64::try_from(seconds)?);
        let updater = Updater::new(trusted, now, Limits::default())?;
        Ok(Self { folder, metadata_url: with_slash(metadata_url), updater })
    }

    /// Goes on until nothing more is to be fetched, and keeps what was believed, also when it ends in a
    /// refusal.
    fn advance(&mut self) -> Result<Step> {
        loop {
            let request = match self.updater.step()? {
                Step::Fetch(request) => request,
                done => return Ok(done),
            };
            let url = format!("{}{}", self.metadata_url, request.file_name());
            let fetched = http::get(&url, request.max_bytes)?;
            let outcome = self.updater.reply(match &fetched {
                Fetched::Bytes(bytes) => Reply::Bytes(bytes),
                Fetched::Missing => Reply::Missing,
                Fetched::TooLong => Reply::TooLong,
            });
            for stored in self.updater.stored() {
                let name = format!("{}.json", file_stem(stored.role.name()));
                write_whole(&self.folder.join(name), &stored.bytes)?;
            }
            outcome?;
        }
    }

    fn refresh(&mut self) -> Result<()> {
        self.advance().map(|_| ())
    }

    fn find(&mut self, path: &str) -> Result<Target> {
        self.refresh()?;
        self.updater.search(path)?;
        match self.advance()? {
            Step::Found(target) => Ok(*target),
            _ => Err(TufError::NoSuchTarget { path: path.to_owned() }.into()),
        }
    }

    fn download(&self, target: &Target, base_url: &str, folder: &Path) -> Result<()> {
        let file = folder.join(file_stem(&target.path));
        if fs::read(&file).is_ok_and(|bytes| target.check_bytes(&bytes).is_ok()) {
            return Ok(());
        }
        let base_url = with_slash(base_url);
        for name in target.file_names(self.updater.root().consistent_snapshot) {
            match http::get(&format!("{base_url}{}", quote(&name)), target.length)? {
                Fetched::Bytes(bytes) => {
                    target.check_bytes(&bytes)?;
                    write_whole(&file, &bytes)?;
                    return Ok(());
                }
                Fetched::TooLong => {
                    let (file, max_bytes) = (name, target.length);
                    return Err(TufError::EndlessData { file, max_bytes }.into());
                }
                Fetched::Missing => {}
            }
        }
        Err(TufError::Missing { file: target.path.clone() }.into())
    }
}

fn with_slash(url: &str) -> String {
    if url.ends_with('/') { url.to_owned() } else { format!("{url}/") }
}

/// Percent-encodes what cannot stand in the path of a URL; `%` too, for names may hold it.
fn quote(path: &str) -> String {
    let mut quoted = String::new();
    for byte in path.bytes() {
        match byte {
            b'%' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                quoted.push_str(&format!("%{byte:02X}"));
            }
            0x21..=0x7e => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

/// Replaces a file as a whole.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(new, path)?;
    Ok(())
}
