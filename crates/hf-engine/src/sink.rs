//! What a format sees of the engine while it opens one layer.

use hf_core::{
    Child, ChildRole, Defect, FileType, HitKind, Limits, Link, Member, Reason, Report, ScanOptions,
    Sink, Stop,
};

use hf_match::LinkChecks;

use crate::alert::Found;
use crate::layer::Layer;
use crate::quirks;
use crate::scan::Scan;

/// The sink of one layer.
pub(crate) struct LayerSink<'s, 'e, 'p> {
    pub(crate) scan: &'s mut Scan<'e>,
    pub(crate) layer: &'s Layer<'p>,
}

impl Sink for LayerSink<'_, '_, '_> {
    fn limits(&self) -> &Limits {
        self.scan.limits()
    }

    fn options(&self) -> &ScanOptions {
        self.scan.options()
    }

    fn child_cap(&self) -> u64 {
        self.scan.child_cap().0
    }

    fn cap_reason(&self) -> Reason {
        self.scan.child_cap().1
    }

    fn member(&mut self, member: &Member<'_>) -> Result<(), Stop> {
        self.scan.poll()?;
        let file_type = quirks::plain(self.layer.file_type);
        let mut member = *member;
        if self.scan.options().clamav_quirks {
            // Parts of mails have neither a place nor an encoded size to clamscan, and what is found behind other
            // content has no place.
            let is_part = matches!(file_type, FileType::Mail | FileType::Mhtml);
            if is_part {
                member.packed_len = member.unpacked_len;
            }
            if is_part || self.layer.embedded {
                member.position = 0;
            }
        }
        let hits = self.scan.engine.matcher.member(file_type, self.layer.size(), &member);
        for hit in hits {
            let found = Found::of_match(&hit, HitKind::Container);
            self.scan.alert(self.layer, found)?;
        }
        Ok(())
    }

    fn child(&mut self, child: Child<'_>) -> Result<(), Stop> {
        self.scan.child(self.layer, &child)
    }

    fn defect(&mut self, defect: Defect) {
        if let Some(node) = self.scan.node(self.layer)
            && node.defects.len() < Report::DEFECTS_MAX
        {
            node.defects.push(defect);
        }
    }

    fn unscanned(&mut self, name: &[u8], reason: Reason) {
        self.scan.unscanned(self.layer, name, reason);
    }

    fn heuristic(&mut self, name: &str) -> Result<(), Stop> {
        self.scan.alert(self.layer, Found::heuristic(name))
    }

    fn link(&mut self, link: &Link<'_>) -> Result<(), Stop> {
        let options = self.scan.options();
        let checks = LinkChecks {
            ssl: options.alert_phishing_ssl,
            cloak: options.alert_phishing_cloak,
            clamav_names: options.clamav_quirks,
        };
        let matcher = &self.scan.engine.matcher;
        let is_asked = options.phishing_urls
            && options.dconf.phishing & DCONF_PHISHING_ENGINE != 0
            && (matcher.has_phishing_lists() || checks.ssl || checks.cloak);
        if !is_asked || !self.scan.is_of_mail(self.layer) {
            return Ok(());
        }
        self.scan.poll()?;
        match matcher.link(link.real, link.displayed, checks) {
            Some(name) => self.scan.alert(self.layer, Found::of_link(name)),
            None => Ok(()),
        }
    }

    fn wants_facts(&self) -> bool {
        self.scan.records
    }

    fn fact(&mut self, key: &str, value: &str) {
        if !self.wants_facts() {
            return;
        }
        if let Some(node) = self.scan.node(self.layer)
            && node.facts.len() < FACTS_MAX
        {
            node.facts.push((key.to_owned(), value.chars().take(FACT_LEN_MAX).collect()));
        }
    }

    fn poll(&mut self) -> Result<(), Stop> {
        self.scan.poll()
    }

    fn passwords(&self, container: FileType) -> Vec<Vec<u8>> {
        let fits = |kind: Option<FileType>| kind.is_none_or(|kind| kind == container);
        self.scan
            .engine
            .passwords
            .iter()
            .filter(|sig| fits(sig.container))
            .map(|sig| sig.password.clone())
            .collect()
    }
}

impl LayerSink<'_, '_, '_> {
    /// Hands over a view of the layer's own bytes.
    pub(crate) fn embedded(&mut self, off: usize, kind: FileType) -> Result<(), Stop> {
        let data = self.layer.bytes.get(off..).unwrap_or_default();
        let off = u64::try_from(off).unwrap_or(u64::MAX);
        self.child(Child { name: b"", data, role: ChildRole::Embedded { off, kind } })
    }
}

/// Bit of the `PHISHING` parser configuration.
const DCONF_PHISHING_ENGINE: u32 = 1;
/// Facts kept for one object.
const FACTS_MAX: usize = 512;
/// Characters kept of one fact.
const FACT_LEN_MAX: usize = 1024;
