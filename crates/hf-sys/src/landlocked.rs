//! Landlock with nothing allowed.
//!
//! Promises: everything that the running kernel can forbid is forbidden, and the level is told.
//! Sources: landlock(7); <https://docs.kernel.org/userspace-api/landlock.html>.

use ::landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, RestrictSelfAttr, Ruleset, RulesetAttr,
    RulesetError, RulesetStatus, Scope,
};

use crate::confine::Protection;

/// Forbids the calling process every access to files by path, TCP, and signals and abstract sockets
/// across its border. Descriptors that are open stay usable.
pub(crate) fn forbid_all() -> Protection {
    match restrict() {
        Ok((level, whole, true)) => {
            let rest = if whole { "" } else { ", other threads are not covered" };
            Protection::on("Landlock", format!("{level}{rest}"))
        }
        Ok((level, _, false)) => Protection::off("Landlock", level),
        Err(error) => Protection::off("Landlock", error.to_string()),
    }
}

/// Returns the level, whether all threads are covered, and whether anything is enforced.
fn restrict() -> Result<(String, bool, bool), RulesetError> {
    // Asked before, because the question reads a folder.
    let alone = single_thread();
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .all_threads(true)?
        .restrict_self()?;
    let level = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => format!("ABI {}", effective_abi as i32),
        LandlockStatus::NotEnabled => "not enabled in this kernel".to_owned(),
        LandlockStatus::NotImplemented => "not built into this kernel".to_owned(),
    };
    let enforced = status.ruleset != RulesetStatus::NotEnforced;
    Ok((level, status.all_threads || alone, enforced))
}

fn single_thread() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// The newest rights that the library knows; it drops what the kernel does not.
const NEWEST: ABI = ABI::V9;
