//! The time line: what is in use, what stops when, what would go with it, and what could take its place.

use std::collections::BTreeMap;

use serde::Serialize;

use super::coverage::{Share, shares};
use super::{Supplier, Suppliers};
use crate::config::Config;
use crate::fetch::Url;
use crate::store::{ActiveSet, time};

/// The status of all suppliers at a day.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The day.
    pub at: String,
    /// Suppliers, those in use first.
    pub suppliers: Vec<SupplierStatus>,
    /// Dated rules, oldest first.
    pub timeline: Vec<TimelineRow>,
}

/// The status of one supplier.
#[derive(Debug, Clone, Serialize)]
pub struct SupplierStatus {
    /// Its `id`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Under whose law it stands.
    pub jurisdiction: Vec<String>,
    /// Under which licence it hands things out.
    pub licence: String,
    /// Sources of the owner's that are its own.
    pub sources: Vec<String>,
    /// What is in use of it today.
    pub share: Share,
    /// What share of all signatures in use would go with it, in percent.
    pub only_here_percent: f64,
    /// Rules that hold.
    pub holding: Vec<String>,
    /// Rules that are still to come, with the days until then.
    pub coming: Vec<String>,
    /// The owner enforces its rules.
    pub enforced: bool,
    /// Why no updates are taken from it.
    pub refused: Option<String>,
    /// Who could take its place: names of suppliers that nothing stands against.
    pub replaced_by: Vec<String>,
    /// Something worth knowing.
    pub note: String,
}

/// One dated rule.
#[derive(Debug, Clone, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimelineRow {
    /// The day.
    pub from: String,
    /// The supplier's name.
    pub supplier: String,
    /// What holds from then on.
    pub what: String,
    /// Whose rule it is.
    pub by: String,
    /// Where it is written.
    pub source: String,
    /// `past` or `coming`.
    pub when: &'static str,
    /// Something of the supplier is in use.
    pub in_use: bool,
}

impl Status {
    /// Works it out for a day (days since 1970).
    #[must_use]
    pub fn at(suppliers: &Suppliers, config: &Config, set: Option<&ActiveSet>, day: i64) -> Self {
        let owners = sources_of(suppliers, config, set);
        let files: Vec<_> = set
            .iter()
            .flat_map(|set| set.manifest.files.iter().map(move |file| (set, file)))
            .filter_map(|(set, file)| {
                let id = owners.iter().find(|(_, sources)| sources.contains(&file.source))?.0;
                Some((id.clone(), set.dir.join(&file.source).join(&file.name)))
            })
            .collect();
        let shares = shares(&files);
        let total: u64 = shares.values().map(|share| share.signatures).sum();
        let mut rows: Vec<SupplierStatus> = suppliers
            .list
            .iter()
            .map(|supplier| {
                let sources = owners.get(&supplier.id).cloned().unwrap_or_default();
                let share = shares.get(&supplier.id).cloned().unwrap_or_default();
                one(suppliers, supplier, sources, share, total, day)
            })
            .collect();
        for (id, sources) in &owners {
            if suppliers.get(id).is_none() {
                let unknown = Supplier {
                    id: id.clone(),
                    name: id.clone(),
                    note: "nothing is known of who stands behind it".to_owned(),
                    ..Supplier::default()
                };
                let share = shares.get(id).cloned().unwrap_or_default();
                rows.push(one(suppliers, &unknown, sources.clone(), share, total, day));
            }
        }
        rows.sort_by_key(|row| (row.sources.is_empty(), row.id.clone()));
        let mut timeline: Vec<TimelineRow> = suppliers
            .list
            .iter()
            .flat_map(|supplier| supplier.rules.iter().map(move |rule| (supplier, rule)))
            .map(|(supplier, rule)| TimelineRow {
                from: rule.from.clone(),
                supplier: supplier.name.clone(),
                what: rule.kind.text().to_owned(),
                by: rule.by.clone(),
                source: rule.source.clone(),
                when: if time::from_day(&rule.from) <= Some(day) { "past" } else { "coming" },
                in_use: owners.contains_key(&supplier.id),
            })
            .collect();
        timeline.sort();
        Self { at: time::to_day(day), suppliers: rows, timeline }
    }
}

fn one(
    suppliers: &Suppliers,
    supplier: &Supplier,
    sources: Vec<String>,
    share: Share,
    total: u64,
    day: i64,
) -> SupplierStatus {
    let now = u64::try_from(day.saturating_mul(86_400)).unwrap_or(0);
    let days_to = |from: &str| time::from_day(from).map_or(0, |from| from.saturating_sub(day));
    let (holding, coming): (Vec<_>, Vec<_>) =
        supplier.rules.iter().partition(|rule| days_to(&rule.from) <= 0);
    let said = |rule: &&super::Rule| format!("{} since {}", rule.kind.text(), rule.from);
    let to_come = |rule: &&super::Rule| {
        format!("{} from {} (in {} days)", rule.kind.text(), rule.from, days_to(&rule.from))
    };
    let free = |id: &&String| {
        suppliers.get(id).is_some_and(|other| {
            other.rules.iter().all(|rule| days_to(&rule.from) > 0) && other.id != supplier.id
        })
    };
    let named =
        |id: &String| suppliers.get(id).map_or_else(|| id.clone(), |other| other.name.clone());
    let percent = if total == 0 { 0.0 } else { 100.0 * share.only_here as f64 / total as f64 };
    SupplierStatus {
        id: supplier.id.clone(),
        name: supplier.name.clone(),
        jurisdiction: supplier.jurisdiction.clone(),
        licence: supplier.licence.clone(),
        sources,
        only_here_percent: (percent * 100.0).round() / 100.0,
        share,
        holding: holding.iter().map(said).collect(),
        coming: coming.iter().map(to_come).collect(),
        enforced: suppliers.enforce.contains(&supplier.id)
            || supplier.rules.iter().any(|rule| rule.enforce),
        refused: suppliers.no_updates(Some(&supplier.id), now),
        replaced_by: supplier.replaced_by.iter().filter(free).map(named).collect(),
        note: supplier.note.clone(),
    }
}

/// Returns the sources of each supplier: as the configuration says, else by the host they come from.
fn sources_of(
    suppliers: &Suppliers,
    config: &Config,
    set: Option<&ActiveSet>,
) -> BTreeMap<String, Vec<String>> {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut put = |id: String, source: &str| {
        let sources = owners.entry(id).or_default();
        if !sources.iter().any(|known| known == source) {
            sources.push(source.to_owned());
        }
    };
    let host_of = |address: &str| {
        let full =
            if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        Url::parse(&full).ok().map(|url| url.host)
    };
    let mut configured = Vec::new();
    for source in config.sources.iter().filter(|source| !source.disabled) {
        configured.push(source.name.as_str());
        let by_host = || {
            let mut addresses = source.mirrors.iter().chain(&source.url).chain(&source.git);
            let found = addresses.find_map(|address| suppliers.of_host(&host_of(address)?));
            found.map(|supplier| supplier.id.clone())
        };
        let id = source.supplier.clone().or_else(by_host);
        put(id.unwrap_or_else(|| format!("unknown ({})", source.name)), &source.name);
    }
    for file in set.iter().flat_map(|set| &set.manifest.files) {
        if !configured.contains(&file.source.as_str()) {
            let host = host_of(&file.provenance.url);
            let id =
                host.and_then(|host| suppliers.of_host(&host).map(|supplier| supplier.id.clone()));
            put(id.unwrap_or_else(|| format!("unknown ({})", file.source)), &file.source);
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_line() {
        let suppliers = Suppliers::shipped();
        let text = "[[source]]\nname = \"k\"\nkind = \"yara\"\nurl = \"https://updates.kaspersky.com/x.zip\"\n\
            [[source]]\nname = \"c\"\nkind = \"clamav\"\nmirrors = [\"database.clamav.net\"]\n\
            [[source]]\nname = \"o\"\nkind = \"folder\"\npath = \"/x\"\n";
        let config = Config::parse(text).unwrap();
        let day = |text: &str| time::from_day(text).unwrap();
        let status = Status::at(&suppliers, &config, None, day("2024-08-01"));
        let of = |status: &Status, id: &str| {
            status.suppliers.iter().find(|row| row.id == id).cloned().unwrap()
        };
        let row = of(&status, "kaspersky");
        assert_eq!(row.sources, ["k"]);
        assert_eq!(row.holding.len(), 2);
        assert!(
            row.coming.iter().any(|text| text == "no updates from 2024-09-29 (in 59 days)"),
            "{:?}",
            row.coming
        );
        assert_eq!(row.replaced_by, ["The Holdfast project", "Cisco Talos (ClamAV)"]);
        assert_eq!((row.enforced, row.refused), (false, None));
        assert_eq!(of(&status, "cisco").sources, ["c"]);
        assert_eq!(of(&status, "unknown (o)").sources, ["o"]);
        assert_eq!(status.timeline.iter().filter(|row| row.when == "coming").count(), 2);
        let later = Status::at(&suppliers, &config, None, day("2024-09-29"));
        assert_eq!(of(&later, "kaspersky").holding.len(), 4);
    }
}
