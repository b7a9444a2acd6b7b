//! Which files of a directory are loaded, and in which order.
//!
//! Promises: the order of ClamAV's buckets (ignore lists, daily, `local.gdb`, `daily.cfg`, certificates, all
//! else), stable within a bucket. Leaves out: reading the directory and the containers' versions.
//!
//! Off-spec: of `x.cvd` and `x.cld` only the newer is loaded; ClamAV loads both when the `.cvd` is newer, which
//! brings back signatures that were withdrawn.

use crate::language::{Language, recognised};

/// What to load from a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirectoryPlan {
    /// File names in loading order.
    pub load: Vec<String>,
    /// Containers that are left out because a newer one of the same name is there.
    pub superseded: Vec<String>,
    /// Databases that are left out because only official ones are wanted.
    pub unofficial: Vec<String>,
}

/// Plans the loading of a directory with these file names.
///
/// `version_of` returns the version in the header of a container, or none when it cannot be read.
pub fn directory_order(
    names: Vec<String>,
    official_only: bool,
    version_of: &mut dyn FnMut(&str) -> Option<u32>,
) -> DirectoryPlan {
    let mut plan = DirectoryPlan::default();
    let mut buckets: [Vec<String>; BUCKETS] = std::array::from_fn(|_| Vec::new());
    let all = names.clone();
    for name in names {
        let Some(language) = recognised(&name) else { continue };
        if language == Language::Info {
            continue;
        }
        if is_superseded(&name, language, &all, version_of) {
            plan.superseded.push(name);
            continue;
        }
        let bucket = bucket(&name, language);
        let official = matches!(language, Language::Cvd | Language::Cld);
        if official_only && bucket == BUCKETS - 1 && !official {
            plan.unofficial.push(name);
            continue;
        }
        buckets[bucket].push(name);
    }
    plan.load = buckets.into_iter().flatten().collect();
    plan
}

const BUCKETS: usize = 7;

fn bucket(name: &str, language: Language) -> usize {
    match (language, name) {
        (Language::Ignore, _) => 0,
        (_, "daily.cld") => 1,
        (_, "daily.cvd") => 2,
        (_, "local.gdb") => 3,
        (_, "daily.cfg") => 4,
        (Language::Certificates, _) => 5,
        _ => BUCKETS - 1,
    }
}

fn is_superseded(
    name: &str,
    language: Language,
    all: &[String],
    version_of: &mut dyn FnMut(&str) -> Option<u32>,
) -> bool {
    let other_suffix = match language {
        Language::Cvd => "cld",
        Language::Cld => "cvd",
        _ => return false,
    };
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    let other = format!("{stem}.{other_suffix}");
    if !all.contains(&other) {
        return false;
    }
    match (version_of(name), version_of(&other)) {
        // The one with a readable header is better than the other.
        (None, Some(_)) => true,
        (Some(own), Some(theirs)) if language == Language::Cvd => theirs >= own,
        (Some(own), Some(theirs)) => theirs > own,
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &str, official_only: bool, want: &str) {
        let names = names.split(' ').map(str::to_owned).collect();
        let mut version = |name: &str| match name {
            "daily.cld" | "main.cvd" => Some(10),
            "daily.cvd" | "main.cld" => Some(9),
            "tie.cvd" | "tie.cld" | "bad.cvd" => Some(1),
            _ => None,
        };
        let plan = directory_order(names, official_only, &mut version);
        assert_eq!(plan.load.join(" "), want);
    }

    #[test]
    fn orders() {
        check(
            "b.ndb a.ldb x.crb daily.cfg local.gdb daily.cvd x.ign2 other.gdb notes.txt x.info",
            false,
            "x.ign2 daily.cvd local.gdb daily.cfg x.crb b.ndb a.ldb other.gdb",
        );
        check("daily.cvd daily.cld", false, "daily.cld");
        check("main.cvd main.cld", false, "main.cvd");
        check("tie.cvd tie.cld", false, "tie.cld");
        check("bad.cvd bad.cld", false, "bad.cvd");
        check("x.ign a.ndb main.cvd c.cud local.gdb x.crb", true, "x.ign local.gdb x.crb main.cvd");
    }
}
