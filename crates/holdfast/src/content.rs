//! Which content a command uses: databases that the user names, ClamAV's folder, or the built-in rules.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hf_content::{
    ContentError, ContentErrorKind, ContentOptions, ContentStore, OpenedPack, PackOrigin,
    compile_in_memory,
};
use hf_pack::Pack;
use hf_sig::{LoadOptions, PuaChoice, YaraChoice};

/// The built-in databases, by file name.
pub(crate) static BUILTIN: &[(&str, &str)] = &[
    ("holdfast.ldb", include_str!("../../../content/holdfast.ldb")),
    ("holdfast.ndb", include_str!("../../../content/holdfast.ndb")),
];

/// Where ClamAV keeps its databases.
const CLAMAV_FOLDER: &str = "/var/lib/clamav";
/// Where ClamAV keeps certificates.
const CLAMAV_CERTIFICATES: &str = "/etc/clamav/certs";

/// What a command asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Files and folders; empty for the defaults.
    pub(crate) databases: Vec<PathBuf>,
    /// The built-in rules besides.
    pub(crate) with_builtin: bool,
    /// Only signed databases.
    pub(crate) official_only: bool,
    /// `yes`, `no` or `only`.
    pub(crate) yara: String,
    /// Malformed signatures are skipped.
    pub(crate) keep_going: bool,
    /// Which unwanted applications are loaded.
    pub(crate) pua: PuaChoice,
    /// Folder of certificates; none for the usual places.
    pub(crate) certificates: Option<PathBuf>,
    /// Without databases, take those of ClamAV before the built-in ones.
    pub(crate) like_clamav: bool,
}

impl Wanted {
    /// Asks for these databases, and all classes of signatures in them.
    pub(crate) fn of(databases: Vec<PathBuf>) -> Self {
        Self {
            databases,
            with_builtin: false,
            official_only: false,
            yara: "yes".to_owned(),
            keep_going: false,
            pua: PuaChoice::All,
            certificates: None,
            like_clamav: false,
        }
    }
}

/// Open content.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The packs and how they were opened.
    pub(crate) packs: Vec<OpenedPack>,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
    /// Signatures by ClamAV's count.
    pub(crate) signatures: u64,
}

/// Content could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// A database is refused.
    #[error("{}", diagnostic.render())]
    Rejected {
        /// Where and why.
        diagnostic: Box<hf_sig::Diagnostic>,
        /// The file as the user named it.
        path: PathBuf,
    },
    /// Anything else.
    #[error(transparent)]
    Other(#[from] ContentError),
}

impl OpenError {
    fn of(error: ContentError) -> Self {
        match error {
            ContentError { path, kind: ContentErrorKind::Rejected(rejected) } => {
                Self::Rejected { diagnostic: rejected.diagnostic, path }
            }
            error => Self::Other(error),
        }
    }

    /// Returns the lines that `clamscan` prints, with our diagnostic in front.
    pub(crate) fn lines_like_clamav(&self) -> Vec<String> {
        match self {
            Self::Rejected { diagnostic, path } => vec![
                diagnostic.render(),
                format!("LibClamAV Error: Problem parsing database at line {}", diagnostic.line),
                format!("LibClamAV Error: Can't load {}: Malformed database", path.display()),
                "ERROR: Malformed database".to_owned(),
            ],
            Self::Other(ContentError { path, kind: ContentErrorKind::NoDatabases }) => {
                let path = path.display();
                vec![
                    format!(
                        "LibClamAV Error: cli_loaddbdir: No supported database files found in {path}"
                    ),
                    "ERROR: Can't open file or directory".to_owned(),
                ]
            }
            Self::Other(error @ ContentError { path, kind: ContentErrorKind::Read(why) }) => {
                let path = path.display();
                let lines = if why.kind() == std::io::ErrorKind::NotFound {
                    let first =
                        format!("LibClamAV Error: cl_load(): No such file or directory: {path}");
                    [first, "ERROR: Can't get file status".to_owned()]
                } else {
                    let first = format!("LibClamAV Error: {error}: {why}");
                    [first, "ERROR: Can't open file or directory".to_owned()]
                };
                lines.to_vec()
            }
            Self::Other(error) => vec![
                format!("LibClamAV Error: {}", chain(error)),
                "ERROR: Malformed database".to_owned(),
            ],
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Content {
    /// Returns no content at all.
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// Returns what workers get: a label and a descriptor for each pack.
    ///
    /// # Errors
    /// The system has no descriptor or memory left.
    pub(crate) fn packs_for_workers(&self) -> io::Result<Vec<(hf_worker::Pack, Arc<File>)>> {
        self.packs
            .iter()
            .map(|opened| {
                let sources = opened.pack.meta().sources.first();
                let label = sources.map_or_else(String::new, |source| source.name.clone());
                let file = match opened.pack.file() {
                    Some(file) => file.try_clone()?,
                    None => hf_sys::sealed_memory("pack", opened.pack.as_bytes())?,
                };
                Ok((hf_worker::Pack { label }, Arc::new(file)))
            })
            .collect()
    }

    /// Returns the age in days of the newest signed database; none without one.
    pub(crate) fn newest_signed_days(&self, now: i64) -> Option<i64> {
        self.newest_signed().map(|built_at| now.saturating_sub(built_at) / 86_400)
    }

    /// Returns when the newest signed database was made, in seconds since 1970.
    pub(crate) fn newest_signed(&self) -> Option<i64> {
        self.signed().filter_map(|(_, built_at)| built_at).max()
    }

    fn signed(&self) -> impl Iterator<Item = (u32, Option<i64>)> {
        let packs = self.packs.iter().filter(|opened| opened.pack.meta().official);
        packs
            .flat_map(|opened| &opened.pack.meta().sources)
            .filter_map(|source| Some((source.version?, build_time(&source.built_at))))
    }

    fn add(&mut self, opened: OpenedPack) {
        self.signatures = self.signatures.saturating_add(opened.pack.meta().signatures);
        self.packs.push(opened);
    }
}

/// Reads the build time of a container (`22 Feb 2023 16-33 -0500`), in seconds since 1970.
fn build_time(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let day: i64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = words.next().and_then(|word| MONTHS.iter().position(|month| *month == word))?;
    let year: i64 = words.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let (hour, minute) = words.next()?.split_once(['-', ':'])?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    let zone: i64 = words.next().unwrap_or("+0000").parse().ok()?;
    let days = days_since_1970(year, i64::try_from(month).ok()?, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60;
    seconds.checked_sub((zone / 100) * 3600 + (zone % 100) * 60)
}

/// Returns the number of a day; `month` counts from 0.
///
/// Computed with years that begin in March. Source: the proleptic Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days from 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;

/// Opens content.
///
/// # Errors
/// A database cannot be read or is malformed.
pub(crate) fn open(wanted: &Wanted) -> Result<Content, OpenError> {
    open_in(wanted, cache_folder())
}

/// Opens content with packs kept in this folder.
///
/// # Errors
/// A database cannot be read or is malformed.
pub(crate) fn open_in(wanted: &Wanted, cache: Option<PathBuf>) -> Result<Content, OpenError> {
    let mut content = Content::default();
    let mut options = ContentOptions {
        load: LoadOptions {
            keep_going: wanted.keep_going,
            pua: wanted.pua.clone(),
            yara: match wanted.yara.as_str() {
                "no" => YaraChoice::No,
                "only" => YaraChoice::Only,
                _ => YaraChoice::Yes,
            },
            ..LoadOptions::default()
        },
        official_only: wanted.official_only,
    };
    options.load.containers.keys.roots =
        roots(wanted.certificates.as_deref(), &mut content.warnings);
    let store = cache.map_or_else(ContentStore::in_memory, ContentStore::new);
    let store = store.with_shared(shared_folder());
    let mut databases = wanted.databases.clone();
    let mut builtin = wanted.with_builtin;
    if databases.is_empty() && wanted.like_clamav && has_databases(Path::new(CLAMAV_FOLDER)) {
        databases.push(PathBuf::from(CLAMAV_FOLDER));
    }
    if databases.is_empty() {
        builtin = true;
        let fetched = open_set_in_use(&store, &options, &mut content);
        if wanted.like_clamav && !fetched {
            content.warnings.push(format!(
                "no databases in {CLAMAV_FOLDER}: only Holdfast's built-in rules are used"
            ));
        }
    } else {
        let opened = store.open(&databases, &options).map_err(OpenError::of)?;
        content.warnings.extend(opened.warnings);
        opened.packs.into_iter().for_each(|pack| content.add(pack));
    }
    if builtin {
        content.add(OpenedPack {
            pack: builtin_pack(options.load.yara)?,
            origin: PackOrigin::InMemory,
        });
    }
    Ok(content)
}

/// Opens the set that `holdfast update` brought into use, or the last one before it that can be opened; what is wrong is
/// told. Returns whether there is one.
fn open_set_in_use(store: &ContentStore, options: &ContentOptions, content: &mut Content) -> bool {
    let Some(root) = hf_update::SetStore::default_root() else { return false };
    // A set was tried like this: what is malformed in it is left out and told, and all else is used.
    let mut options = options.clone();
    options.load.keep_going = true;
    for set in hf_update::SetStore::usable(&root, &mut content.warnings) {
        content.warnings.extend(set.instead_of.clone());
        let folders = set.folders();
        if folders.is_empty() {
            return false;
        }
        match store.open(&folders, &options) {
            Ok(opened) => {
                content.warnings.extend(opened.warnings);
                opened.packs.into_iter().for_each(|pack| content.add(pack));
                return true;
            }
            Err(error) => {
                let why = OpenError::of(error);
                let digest = hf_update::store::short(&set.digest);
                content.warnings.push(format!("the content {digest} cannot be opened: {why}"));
            }
        }
    }
    false
}

/// Opens the built-in rules and nothing else.
pub(crate) fn builtin_only() -> Result<Content, OpenError> {
    let mut content = Content::default();
    content.add(OpenedPack { pack: builtin_pack(YaraChoice::Yes)?, origin: PackOrigin::InMemory });
    Ok(content)
}

/// Returns the files and folders that would be read.
pub(crate) fn used_paths(wanted: &Wanted) -> Vec<PathBuf> {
    let mut paths = wanted.databases.clone();
    if paths.is_empty() && wanted.like_clamav {
        paths.push(PathBuf::from(CLAMAV_FOLDER));
        // The link is what changes when another set is brought into use.
        paths.extend(hf_update::SetStore::default_root().map(|root| root.join("current")));
    }
    paths
}

/// Returns the certificates in which detached signatures may end: of the given folder, else of
/// `$CVD_CERTS_DIR`, else of ClamAV's. Where they cannot be read, that is told, and older signatures count.
pub(crate) fn roots(given: Option<&Path>, warnings: &mut Vec<String>) -> Vec<Vec<u8>> {
    let named = std::env::var_os("CVD_CERTS_DIR").filter(|value| !value.is_empty());
    let named = given.map(Path::to_path_buf).or_else(|| named.map(PathBuf::from));
    let usual = || Some(PathBuf::from(CLAMAV_CERTIFICATES)).filter(|folder| folder.is_dir());
    let Some(folder) = named.or_else(usual) else { return Vec::new() };
    hf_content::certificates(&folder).unwrap_or_else(|error| {
        let why = chain(&error);
        warnings.push(format!("certificates: {why}; detached signatures are not verified"));
        Vec::new()
    })
}

/// Returns `/VERSION/TIME` as `clamscan --version` adds it for a daily database in this folder, or in
/// ClamAV's without one. Only headers are read.
pub(crate) fn version_suffix(folder: Option<&Path>) -> String {
    let folder = folder.unwrap_or(Path::new(CLAMAV_FOLDER));
    ["daily.cvd", "daily.cld"]
        .iter()
        .filter_map(|name| header_of(&folder.join(name)))
        .max_by_key(|header| header.version)
        .map(|header| format!("/{}/{}", header.version, in_words(header.epoch.unwrap_or(0))))
        .unwrap_or_default()
}

/// Returns a time as C's `ctime` writes it (`Wed Feb 22 21:33:21 2023`).
pub(crate) fn in_words(epoch: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let seconds = i64::try_from(epoch).unwrap_or(0);
    let hf_sys::LocalTime { year, month, day, hour, minute, second, .. } =
        hf_sys::local_time(seconds);
    let name = |names: &[&'static str], idx: i64| {
        usize::try_from(idx).ok().and_then(|idx| names.get(idx).copied()).unwrap_or("???")
    };
    let days = days_since_1970(i64::from(year), i64::from(month) - 1, i64::from(day));
    let (weekday, month) = (name(&DAYS, days.rem_euclid(7)), name(&MONTHS, i64::from(month) - 1));
    format!("{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}")
}

fn header_of(path: &Path) -> Option<hf_sig::cvd::Header> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let len = u64::try_from(hf_sig::cvd::HEADER_LEN).ok()?;
    File::open(path).ok()?.take(len).read_to_end(&mut bytes).ok()?;
    hf_sig::cvd::Header::parse(&bytes).ok()
}

/// Compiles the built-in rules; small enough to be done at every start.
fn builtin_pack(yara: YaraChoice) -> Result<Arc<Pack>, OpenError> {
    let databases: Vec<(&str, &[u8])> =
        BUILTIN.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let load = LoadOptions { official: true, yara, ..LoadOptions::default() };
    let options = ContentOptions { load, official_only: false };
    compile_in_memory(&databases, &options).map_err(OpenError::of)
}

fn has_databases(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        entry.file_name().to_str().is_some_and(|name| hf_sig::recognised(name).is_some())
    })
}

/// Returns where whoever fetches content leaves the packs that it was tried with; see `hf_content` for who may believe
/// them.
fn shared_folder() -> Option<PathBuf> {
    let set = std::env::var_os("HOLDFAST_PACKS").filter(|value| !value.is_empty());
    Some(set.map_or_else(|| PathBuf::from("/var/cache/holdfast-update"), PathBuf::from))
}

/// Returns where compiled packs are kept; none when there is no place of ours.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set("HOLDFAST_CACHE") {
        return Some(PathBuf::from(folder));
    }
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/cache/holdfast"));
    }
    let base = set("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")));
    base.map(|base| base.join("holdfast"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_times() {
        assert_eq!(build_time("22 Feb 2023 16-33 -0500"), Some(1_677_101_580));
        assert_eq!(build_time("01 Jan 1970 00-00 +0000"), Some(0));
        assert_eq!(build_time("22 Xxx 2023 16-33 -0500"), None);
        assert_eq!(build_time(""), None);
    }

    #[test]
    fn days_have_their_names() {
        let noon = |epoch: u64| in_words(epoch + 12 * 3600);
        assert!(noon(0).starts_with("Thu Jan  1 "), "{}", noon(0));
        assert!(noon(1_677_024_000).starts_with("Wed Feb 22 "), "{}", noon(1_677_024_000));
    }

    #[test]
    fn the_builtin_rules_compile() {
        let pack = builtin_pack(YaraChoice::Yes).unwrap();
        assert!(pack.meta().signatures >= 60, "{}", pack.meta().signatures);
        assert!(pack.meta().warnings.is_empty(), "{:?}", pack.meta().warnings);
    }
}
