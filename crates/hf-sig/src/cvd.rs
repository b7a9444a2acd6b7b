//! Containers of databases: CVD (signed), CLD (patched in place), CUD (unsigned).
//!
//! 512 bytes of header, then a tar archive, compressed with gzip or plain. An `.info` member lists the others with
//! size and SHA-256, and is itself signed in a CVD and a CLD.
//! Promises: nothing of a container is used before the list is verified, nothing of a member before it equals the
//! list; sizes are bounded by [`MEMBER_MAX`] and [`TOTAL_MAX`], one member is in memory at a time.
//! Leaves out: fetching, patching and choosing containers.
//! Sources: ClamAV's published documentation of CVD files; black-box runs of clamscan 1.4.6.
//!
//! Off-spec: a container inside a container is left out (clamscan 1.4.6 crashes on it).

mod detached;
mod header;
mod keys;
mod members;

use sha2::{Digest as _, Sha256};

pub use detached::{DetachedOutcome, verify_detached};
pub use header::{HEADER_LEN, Header};
pub use keys::{RsaKey, TrustKeys};

use crate::{
    diagnostic::{Code, Diagnostic, Severity, codes},
    grammar,
    language::Language,
    load::{LoadOptions, Loading, Rejected},
};
use header::Listing;
use members::{Member, Members};

/// Largest member in bytes; ours.
const MEMBER_MAX: u64 = 1 << 30;
/// Largest total of all members in bytes; ours.
const TOTAL_MAX: u64 = 4 << 30;

/// How containers are verified.
#[derive(Debug, Clone, Default)]
pub struct ContainerOptions {
    /// Whose signatures are trusted.
    pub keys: TrustKeys,
    /// Content of the `.sign` file that belongs to the container, when there is one.
    pub detached: Option<Vec<u8>>,
    /// MD5 is no proof: a CVD needs a detached signature.
    pub no_md5: bool,
    /// Seconds since 1970 at which certificates must be valid; none to leave their dates out.
    pub at: Option<u64>,
}

/// By what a container was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// By nothing: it is unsigned.
    None,
    /// By the signature of its list of members alone (CLD).
    List,
    /// By the signature in its header, and that of its list.
    Header,
    /// By a detached signature of this signer, and the signature of its list.
    Detached {
        /// Common name in the signer's certificate.
        signer: String,
    },
}

/// What a container says of itself, and what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its header.
    pub header: Header,
    /// By what it was verified.
    pub proof: Proof,
}

/// A reason to refuse a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: &'static Code,
    reason: String,
}

impl Refusal {
    fn new(code: &'static Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Verifies a container and returns what it says of itself, without reading any database in it.
///
/// # Errors
/// [`Rejected`] when it is malformed or its signatures are not valid.
pub fn verify(file_name: &str, bytes: &[u8], options: &LoadOptions) -> Result<Container, Rejected> {
    let language = grammar::entry(file_name).map(|entry| entry.language);
    let result = match language {
        Some(language @ (Language::Cvd | Language::Cld | Language::Cud)) => {
            check(language, bytes, options).map(|(container, _)| container)
        }
        _ => Err(Refusal::new(&codes::CVD_HEADER, "the file's suffix is not that of a container")),
    };
    result.map_err(|refusal| Rejected { diagnostic: told(file_name, refusal) })
}

/// A verified container with its files in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// What it says of itself.
    pub container: Container,
    /// Every file in it, in order; those in the list are what the list says.
    pub members: Vec<(String, Vec<u8>)>,
}

/// Verifies a container whole: signatures, list, and that every listed file is there as listed.
///
/// # Errors
/// [`Rejected`] when anything of it is not what it should be.
pub fn unpack(file_name: &str, bytes: &[u8], options: &LoadOptions) -> Result<Unpacked, Rejected> {
    let refuse = |refusal: Refusal| Rejected { diagnostic: told(file_name, refusal) };
    let language = grammar::entry(file_name).map(|entry| entry.language);
    let Some(language @ (Language::Cvd | Language::Cld | Language::Cud)) = language else {
        let reason = "the file's suffix is not that of a container";
        return Err(refuse(Refusal::new(&codes::CVD_HEADER, reason)));
    };
    let (container, listing) = check(language, bytes, options).map_err(refuse)?;
    let mut archive = Members::new(bytes).map_err(refuse)?;
    let mut members = Vec::new();
    let mut listed = 0usize;
    while let Some(member) = archive.next().map_err(refuse)? {
        if listing.members.contains_key(&member.name) {
            check_member(&member, &listing).map_err(refuse)?;
            listed = listed.saturating_add(1);
        }
        members.push((member.name, member.data));
    }
    if listed != listing.members.len() {
        let reason = "files that the list names are missing or there twice";
        return Err(refuse(Refusal::new(&codes::CVD_MEMBER, reason)));
    }
    Ok(Unpacked { container, members })
}

pub(crate) fn read_cvd(loading: &mut Loading<'_>, bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
    read(loading, bytes, Language::Cvd)
}

pub(crate) fn read_cld(loading: &mut Loading<'_>, bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
    read(loading, bytes, Language::Cld)
}

pub(crate) fn read_cud(loading: &mut Loading<'_>, bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
    read(loading, bytes, Language::Cud)
}

fn told(file: &str, refusal: Refusal) -> Box<Diagnostic> {
    Diagnostic::at_file(Severity::Error, refusal.code, file, refusal.reason)
}

fn read(
    loading: &mut Loading<'_>,
    bytes: &[u8],
    language: Language,
) -> Result<(), Box<Diagnostic>> {
    let file = loading.place.file;
    let refuse = |refusal: Refusal| told(file, refusal);
    let (container, listing) = check(language, bytes, loading.options).map_err(refuse)?;
    if container.header.flevel > loading.options.flevel {
        let reason = format!(
            "the container is for functionality level {}, this engine has {}",
            container.header.flevel, loading.options.flevel
        );
        let warning = Diagnostic::at_file(Severity::Warning, &codes::OLD_ENGINE, file, reason);
        loading.record(*warning);
    }
    let official = container.proof != Proof::None;
    let options = LoadOptions { official, ..loading.options.clone() };
    loading.summary.official = official;
    loading.summary.container = Some(container);
    let mut members = Members::new(bytes).map_err(refuse)?;
    while let Some(member) = members.next().map_err(refuse)? {
        if !is_database(&member.name) {
            continue;
        }
        check_member(&member, &listing).map_err(refuse)?;
        let inner = format!("{file}/{}", member.name);
        let summary = crate::load(&inner, &member.data, &options, loading.ignore, loading.out)
            .map_err(|rejected| rejected.diagnostic)?;
        loading.add(summary);
    }
    Ok(())
}

/// True for members that are loaded.
fn is_database(name: &str) -> bool {
    grammar::entry(name).is_some_and(|entry| {
        let language = entry.language;
        !matches!(language, Language::Cvd | Language::Cld | Language::Cud | Language::Info)
    })
}

fn check_member(member: &Member, listing: &Listing) -> Result<(), Refusal> {
    let Some(listed) = listing.members.get(&member.name) else {
        let reason = format!("the member {} is not in the list", member.name);
        return Err(Refusal::new(&codes::CVD_MEMBER, reason));
    };
    let size_differs = u64::try_from(member.data.len()) != Ok(listed.size);
    if size_differs || Sha256::digest(&member.data)[..] != listed.sha256[..] {
        let reason = format!("the member {} is not what the list says", member.name);
        return Err(Refusal::new(&codes::CVD_MEMBER, reason));
    }
    Ok(())
}

/// Verifies header, signatures and list.
fn check(
    language: Language,
    bytes: &[u8],
    options: &LoadOptions,
) -> Result<(Container, Listing), Refusal> {
    let header = Header::parse(bytes)
        .map_err(|reason| Refusal::new(&codes::CVD_HEADER, reason.to_owned()))?;
    let trust = &options.containers;
    let mut proof = match language {
        Language::Cud => Proof::None,
        Language::Cld => Proof::List,
        _ => Proof::Header,
    };
    let mut by_detached = false;
    if let (Some(sign), true) = (&trust.detached, proof != Proof::None) {
        match verify_detached(bytes, sign, &trust.keys, options.flevel, trust.at) {
            DetachedOutcome::Valid { signer } => {
                proof = Proof::Detached { signer };
                by_detached = true;
            }
            DetachedOutcome::Invalid { reason } => {
                return Err(Refusal::new(&codes::CVD_SIGNATURE, reason));
            }
            DetachedOutcome::Unusable { .. } => {}
        }
    }
    if language == Language::Cvd && !by_detached {
        if trust.no_md5 {
            let reason = "the container has no detached signature, and MD5 is no proof";
            return Err(Refusal::new(&codes::CVD_SIGNATURE, reason));
        }
        header
            .verify(bytes, &trust.keys.header)
            .map_err(|reason| Refusal::new(&codes::CVD_SIGNATURE, reason))?;
    }
    let info = find_info(bytes)?;
    let listing =
        Listing::parse(&info, &header).map_err(|reason| Refusal::new(&codes::CVD_INFO, reason))?;
    if proof != Proof::None && !listing.is_signed_by(&info, &trust.keys.info) {
        let reason = "the signature of the list of members is not valid";
        return Err(Refusal::new(&codes::CVD_SIGNATURE, reason));
    }
    Ok((Container { header, proof }, listing))
}

fn find_info(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut members = Members::new(bytes)?;
    while let Some(member) = members.next()? {
        if member.name.ends_with(".info") {
            return Ok(member.data);
        }
    }
    Err(Refusal::new(&codes::CVD_INFO, "the container holds no list of its members"))
}

#[cfg(test)]
pub(crate) mod tests;
