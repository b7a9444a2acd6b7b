//! Which content a command uses: databases that the user names, ClamAV's folder, or the built-in rules.

use std::fs::File;
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
    /// Without databases, take those of ClamAV before the built-in ones.
    pub(crate) like_clamav: bool,
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
                let first = if why.kind() == std::io::ErrorKind::NotFound {
                    let path = path.display();
                    format!("LibClamAV Error: cl_load(): No such file or directory: {path}")
                } else {
                    format!("LibClamAV Error: {error}: {why}")
                };
                vec![first, "ERROR: Can't get file status".to_owned()]
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
    pub(crate) fn packs_for_workers(&self) -> Vec<(hf_worker::Pack, Arc<File>)> {
        self.packs
            .iter()
            .filter_map(|opened| {
                let sources = opened.pack.meta().sources.first();
                let label = sources.map_or_else(String::new, |source| source.name.clone());
                let file = opened.pack.file()?.try_clone().ok()?;
                Some((hf_worker::Pack { label }, Arc::new(file)))
            })
            .collect()
    }

    /// Returns the age in days of the newest signed database; none without one.
    pub(crate) fn newest_signed_days(&self, now: i64) -> Option<i64> {
        let times = self.signed().filter_map(|(_, built_at)| built_at);
        times.max().map(|built_at| now.saturating_sub(built_at) / 86_400)
    }

    /// Returns `/VERSION/TIME` as `clamscan --version` adds it for a daily database.
    pub(crate) fn version_suffix(&self) -> String {
        let daily = self.packs.iter().flat_map(|opened| &opened.pack.meta().sources);
        let daily = daily.filter(|source| source.name.starts_with("daily."));
        daily
            .filter_map(|source| source.version.map(|version| (version, &source.built_at)))
            .max()
            .map(|(version, built_at)| format!("/{version}/{built_at}"))
            .unwrap_or_default()
    }

    fn signed(&self) -> impl Iterator<Item = (u32, Option<i64>)> {
        let packs = self.packs.iter().filter(|opened| opened.pack.meta().official);
        packs
            .flat_map(|opened| &opened.pack.meta().sources)
            .filter_map(|source| Some((source.version?, None)))
    }

    fn add(&mut self, opened: OpenedPack) {
        self.signatures = self.signatures.saturating_add(opened.pack.meta().signatures);
        self.packs.push(opened);
    }
}

/// Opens content.
///
/// # Errors
/// A database cannot be read or is malformed.
pub(crate) fn open(wanted: &Wanted) -> Result<Content, OpenError> {
    let options = ContentOptions {
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
    let mut content = Content::default();
    let mut databases = wanted.databases.clone();
    let mut builtin = wanted.with_builtin;
    if databases.is_empty() {
        if wanted.like_clamav && has_databases(Path::new(CLAMAV_FOLDER)) {
            databases.push(PathBuf::from(CLAMAV_FOLDER));
        } else {
            builtin = true;
            if wanted.like_clamav {
                content.warnings.push(format!(
                    "no databases in {CLAMAV_FOLDER}: only Holdfast's built-in rules are used"
                ));
            }
        }
    }
    if !databases.is_empty() {
        let store = cache_folder().map_or_else(ContentStore::in_memory, ContentStore::new);
        let opened = store.open(&databases, &options).map_err(OpenError::of)?;
        content.warnings.extend(opened.warnings);
        opened.packs.into_iter().for_each(|pack| content.add(pack));
    }
    if builtin {
        content.add(OpenedPack { pack: builtin_pack()?, origin: PackOrigin::InMemory });
    }
    Ok(content)
}

/// Compiles the built-in rules; small enough to be done at every start.
fn builtin_pack() -> Result<Arc<Pack>, OpenError> {
    let databases: Vec<(&str, &[u8])> =
        BUILTIN.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let load = LoadOptions { official: true, ..LoadOptions::default() };
    let options = ContentOptions { load, official_only: false };
    compile_in_memory(&databases, &options).map_err(OpenError::of)
}

fn has_databases(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        entry.file_name().to_str().is_some_and(|name| hf_sig::recognised(name).is_some())
    })
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
