//! Who stands behind sources, publishers, mirrors and engines, and the dated rules that bind them (`suppliers.toml`).
//!
//! Rules are facts to plan by; only those that the owner enforces have an effect, and nothing else ever cuts a source off.
//! What ships is [`SHIPPED`]; the owner's file adds suppliers, replaces those of the same `id`, and says what is enforced.

mod coverage;
mod status;

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::store::time;

pub use coverage::{Share, shares};
pub use status::{Status, SupplierStatus, TimelineRow};

/// The suppliers that ship with Holdfast.
pub const SHIPPED: &str = include_str!("../suppliers.toml");

/// All suppliers that are known.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Suppliers {
    /// Suppliers whose rules the owner enforces, by `id`.
    pub enforce: Vec<String>,
    /// The suppliers.
    #[serde(rename = "supplier")]
    pub list: Vec<Supplier>,
}

/// One supplier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supplier {
    /// By which others name it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Under whose law it stands, as ISO 3166 codes.
    pub jurisdiction: Vec<String>,
    /// Under which licence it hands things out.
    pub licence: String,
    /// What it supplies: `source`, `publisher`, `mirror`, `engine`.
    pub supplies: Vec<String>,
    /// Mirrors and addresses that are its own, by the end of their host's name.
    pub hosts: Vec<String>,
    /// Who could take its place, by `id`.
    pub replaced_by: Vec<String>,
    /// Something worth knowing.
    pub note: String,
    /// Dated rules.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
    /// By what its products are found on a machine.
    pub find: Find,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// It was announced.
    Announced,
    /// No new agreements.
    NoNewAgreements,
    /// Nothing is sold on or built into other things.
    NoResale,
    /// No updates.
    NoUpdates,
    /// It must be gone.
    NoUse,
    /// The end of its life, as the supplier says.
    EndOfLife,
}

impl RuleKind {
    /// Returns what it means, for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::NoNewAgreements => "no new agreements",
            Self::NoResale => "no resale or integration",
            Self::NoUpdates => "no updates",
            Self::NoUse => "no use",
            Self::EndOfLife => "end of life",
        }
    }
}

/// One dated rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it says.
    pub kind: RuleKind,
    /// The first day on which it holds (`2024-09-29`).
    pub from: String,
    /// Whose rule it is.
    #[serde(default)]
    pub by: String,
    /// Where it is written.
    #[serde(default)]
    pub source: String,
    /// For whom it holds.
    #[serde(default)]
    pub applies_to: String,
    /// The owner enforces this one rule.
    #[serde(default)]
    pub enforce: bool,
}

/// By what products are found. Names of files may hold `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Find {
    /// Packages of dpkg and rpm.
    pub packages: Vec<String>,
    /// Makers of packages, as part of what the package says.
    pub vendors: Vec<String>,
    /// Units of systemd and scripts of init.
    pub units: Vec<String>,
    /// Processes.
    pub processes: Vec<String>,
    /// Files and folders, from the root.
    pub paths: Vec<String>,
    /// Names of files anywhere: programs, and libraries of engines that are built into other products.
    pub files: Vec<String>,
    /// Names in the signatures of programs for Windows.
    pub signers: Vec<String>,
    /// Texts in programs and libraries that only this engine holds.
    pub markers: Vec<String>,
}

/// Largest file in bytes; ours.
const FILE_MAX: usize = 4 << 20;

impl Suppliers {
    /// Returns the shipped suppliers.
    ///
    /// # Panics
    /// Never: a test reads them.
    #[must_use]
    pub fn shipped() -> Self {
        Self::parse(SHIPPED).expect("the shipped suppliers are well-formed")
    }

    /// Returns the shipped suppliers with the owner's file on top, when it is there.
    ///
    /// # Errors
    /// The file cannot be read or makes no sense; with its name and line.
    pub fn with_owners(path: &Path) -> Result<Self, String> {
        let mut all = Self::shipped();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(all),
            Err(err) => return Err(format!("{}: {err}", path.display())),
        };
        let own = Self::parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;
        for supplier in own.list {
            match all.list.iter_mut().find(|known| known.id == supplier.id) {
                Some(known) => *known = supplier,
                None => all.list.push(supplier),
            }
        }
        all.enforce = own.enforce;
        for id in &all.enforce {
            if !all.list.iter().any(|supplier| supplier.id == *id) {
                return Err(format!("{}: enforce: there is no supplier '{id}'", path.display()));
            }
        }
        Ok(all)
    }

    /// Reads the text of a file of suppliers.
    ///
    /// # Errors
    /// Says what makes no sense, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > FILE_MAX {
            return Err("it is too large".to_owned());
        }
        let all: Self =
            toml::from_str(text).map_err(|err| err.to_string().trim_end().to_owned())?;
        let mut ids = BTreeSet::new();
        for supplier in &all.list {
            if supplier.id.is_empty() || !ids.insert(&supplier.id) {
                return Err(format!("supplier '{}': an id is missing or there twice", supplier.id));
            }
            for rule in &supplier.rules {
                if time::from_day(&rule.from).is_none() {
                    return Err(format!(
                        "supplier '{}': '{}' is no day: write it as 2024-09-29",
                        supplier.id, rule.from
                    ));
                }
            }
        }
        Ok(all)
    }

    /// Returns a supplier.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Supplier> {
        self.list.iter().find(|supplier| supplier.id == id)
    }

    /// Returns the supplier whose host an address is on.
    #[must_use]
    pub fn of_host(&self, host: &str) -> Option<&Supplier> {
        self.list.iter().find(|supplier| {
            supplier.hosts.iter().any(|own| host == own || host.ends_with(&format!(".{own}")))
        })
    }

    /// Says why no updates are taken from a supplier, if the owner enforces a rule that holds by now.
    #[must_use]
    pub fn no_updates(&self, supplier: Option<&str>, now: u64) -> Option<String> {
        self.enforced(supplier?, now, &[RuleKind::NoUpdates, RuleKind::NoUse])
    }

    /// Says why nothing of a supplier is used any more, if the owner enforces such a rule.
    #[must_use]
    pub fn unwanted(&self, supplier: Option<&str>, now: u64) -> Option<String> {
        self.enforced(supplier?, now, &[RuleKind::NoUse])
    }

    fn enforced(&self, id: &str, now: u64, kinds: &[RuleKind]) -> Option<String> {
        let supplier = self.get(id)?;
        let all = self.enforce.iter().any(|enforced| enforced == id);
        let today = i64::try_from(now / 86_400).ok()?;
        let rule = supplier.rules.iter().find(|rule| {
            let holds = time::from_day(&rule.from).is_some_and(|from| from <= today);
            (all || rule.enforce) && kinds.contains(&rule.kind) && holds
        })?;
        let name = if supplier.name.is_empty() { id } else { &supplier.name };
        Some(format!("the owner enforces: {} from {name} since {}", rule.kind.text(), rule.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: &str) -> u64 {
        u64::try_from(time::from_day(day).unwrap()).unwrap() * 86_400
    }

    #[test]
    fn the_shipped_example() {
        let all = Suppliers::shipped();
        let rules: Vec<(RuleKind, &str)> = all
            .get("kaspersky")
            .unwrap()
            .rules
            .iter()
            .map(|rule| (rule.kind, rule.from.as_str()))
            .collect();
        assert!(rules.contains(&(RuleKind::Announced, "2024-06-20")));
        assert!(rules.contains(&(RuleKind::NoNewAgreements, "2024-07-20")));
        assert!(rules.contains(&(RuleKind::NoUpdates, "2024-09-29")));
        // Facts alone cut nothing off.
        assert_eq!(all.no_updates(Some("kaspersky"), at("2026-12-01")), None);
    }

    #[test]
    fn owners_enforce() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("suppliers.toml");
        std::fs::write(&path, "enforce = [\"kaspersky\"]\n").unwrap();
        let all = Suppliers::with_owners(&path).unwrap();
        assert_eq!(all.no_updates(Some("kaspersky"), at("2024-09-28")), None);
        let why = all.no_updates(Some("kaspersky"), at("2024-09-29")).unwrap();
        assert!(why.contains("no updates from Kaspersky") && why.contains("2024-09-29"), "{why}");
        assert_eq!(all.no_updates(Some("cisco"), at("2026-12-01")), None);
        assert_eq!(all.no_updates(None, at("2026-12-01")), None);
        std::fs::write(&path, "enforce = [\"nobody\"]\n").unwrap();
        assert!(Suppliers::with_owners(&path).unwrap_err().contains("no supplier 'nobody'"));
        std::fs::write(
            &path,
            "[[supplier]]\nid = \"x\"\n[[supplier.rule]]\nkind = \"no-updates\"\nfrom = \"soon\"\n",
        )
        .unwrap();
        assert!(Suppliers::with_owners(&path).unwrap_err().contains("'soon' is no day"));
        std::fs::write(&path, "[[supplier]]\nid = \"x\"\nbogus = 1\n").unwrap();
        assert!(Suppliers::with_owners(&path).unwrap_err().contains("line 3"));
    }
}
