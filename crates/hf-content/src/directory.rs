//! Which files of a directory are databases, which of them are left out, and in which order they are read.
//!
//! The order is that of ClamAV's buckets (ignore lists, daily, `local.gdb`, `daily.cfg`, certificates,
//! all else), by name within a bucket.
//!
//! Off-spec: of `x.cvd` and `x.cld` only the newer is read; ClamAV reads both when the `.cvd` is newer,
//! which brings back signatures that were withdrawn.

use hf_sig::{Language, recognised};

/// What to read of a directory.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// In the order in which they are read.
    pub(crate) read: Vec<String>,
    /// Containers that are left out because a newer one of the same name is there.
    pub(crate) superseded: Vec<String>,
}

/// Plans the reading of these file names; `version_of` reads a container's header.
pub(crate) fn plan(
    mut names: Vec<String>,
    official_only: bool,
    version_of: &dyn Fn(&str) -> Option<u32>,
) -> Plan {
    // The order of directory entries differs from machine to machine.
    names.sort();
    names.retain(|name| is_database(name));
    let (superseded, mut read): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| is_superseded(name, &names, version_of));
    read.retain(|name| !official_only || bucket(name) < OTHERS || is_official(name));
    read.sort_by_key(|name| bucket(name));
    Plan { read, superseded }
}

/// True for the name of a file that a directory is read for.
#[must_use]
pub fn is_database(name: &str) -> bool {
    is_container(name)
        || is_pack(name)
        || recognised(name).is_some_and(|language| language != Language::Info)
}

/// Ending of the name of a pack that was compiled elsewhere.
pub(crate) const PACK_SUFFIX: &str = ".pack";

/// True for a pack that was compiled elsewhere.
pub(crate) fn is_pack(name: &str) -> bool {
    name.ends_with(PACK_SUFFIX)
}

/// True for a file with databases in it.
pub(crate) fn is_container(name: &str) -> bool {
    is_official(name) || has_suffix(name, "cud")
}

fn is_official(name: &str) -> bool {
    has_suffix(name, "cvd") || has_suffix(name, "cld")
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(suffix))
}

fn bucket(name: &str) -> usize {
    match name {
        "daily.cld" => 1,
        "daily.cvd" => 2,
        "local.gdb" => 3,
        "daily.cfg" => 4,
        _ => match recognised(name) {
            Some(Language::Ignore) => 0,
            Some(Language::Certificates) => 5,
            _ => OTHERS,
        },
    }
}

const OTHERS: usize = 6;

fn is_superseded(name: &str, all: &[String], version_of: &dyn Fn(&str) -> Option<u32>) -> bool {
    let Some((stem, suffix)) = name.rsplit_once('.') else { return false };
    let other = match suffix {
        "cvd" => format!("{stem}.cld"),
        "cld" => format!("{stem}.cvd"),
        _ => return false,
    };
    if !all.contains(&other) {
        return false;
    }
    match (version_of(name), version_of(&other)) {
        // The one with a readable header is better than the other.
        (None, Some(_)) => true,
        (own, theirs) if suffix == "cvd" => own <= theirs,
        (own, theirs) => own < theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &str, official_only: bool, want: &str) {
        let names = names.split(' ').map(str::to_owned).collect();
        let version = |name: &str| match name {
            "daily.cld" | "main.cvd" => Some(10),
            "daily.cvd" | "main.cld" => Some(9),
            "tie.cvd" | "tie.cld" | "bad.cvd" => Some(1),
            _ => None,
        };
        assert_eq!(plan(names, official_only, &version).read.join(" "), want);
    }

    #[test]
    fn orders() {
        check(
            "b.ndb a.ldb x.crb daily.cfg local.gdb daily.cvd x.ign2 other.gdb notes.txt x.info",
            false,
            "x.ign2 daily.cvd local.gdb daily.cfg x.crb a.ldb b.ndb other.gdb",
        );
        check("daily.cvd daily.cld", false, "daily.cld");
        check("main.cvd main.cld", false, "main.cvd");
        check("tie.cvd tie.cld", false, "tie.cld");
        check("bad.cvd bad.cld", false, "bad.cvd");
        check("none.cvd none.cld", false, "none.cld");
        check("A.CVD b.cud", false, "A.CVD b.cud");
        check("x.ign a.ndb main.cvd c.cud local.gdb x.crb", true, "x.ign local.gdb x.crb main.cvd");
    }
}
