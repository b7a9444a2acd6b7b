//! What every test of a language needs: a collector that keeps what it gets, and one check.

use std::collections::BTreeMap;

use hf_core::signature::*;

use crate::{IgnoreSet, LoadOptions, load};

/// What became of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many signatures reached the collector.
    Taken(usize),
    /// Nothing reached it, and at least one line was left out in silence.
    Skipped,
    /// Nothing was there.
    Nothing,
    /// The file was refused under this code.
    Refused(&'static str),
}

/// Loads a database and compares what became of it.
#[track_caller]
pub(crate) fn check(file_name: &str, text: &str, want: Got) {
    let mut kept = Kept::default();
    let options = LoadOptions { official: true, ..LoadOptions::default() };
    let got = load(file_name, text.as_bytes(), &options, &mut IgnoreSet::default(), &mut kept);
    let got = match &got {
        Err(rejected) => Got::Refused(rejected.diagnostic.code.id),
        Ok(_) if kept.count > 0 => Got::Taken(kept.count),
        Ok(summary) if summary.skipped > 0 => Got::Skipped,
        Ok(_) => Got::Nothing,
    };
    assert_eq!(got, want, "{file_name}: {text}");
}

/// Loads one good line and returns what reached the collector.
#[track_caller]
pub(crate) fn take(file_name: &str, line: &str) -> Kept {
    let mut kept = Kept::default();
    let options = LoadOptions::default();
    let got = load(file_name, line.as_bytes(), &options, &mut IgnoreSet::default(), &mut kept);
    if let Err(rejected) = got {
        panic!("{}", rejected.diagnostic.render());
    }
    kept
}

/// A collector that keeps everything.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) count: usize,
    pub(crate) names: Vec<String>,
    pub(crate) hashes: Vec<(HashOf, Vec<u8>, Option<u32>)>,
    pub(crate) bodies: Vec<BodySig>,
    pub(crate) logicals: Vec<LogicalSig>,
    pub(crate) containers: Vec<ContainerSig>,
    pub(crate) icons: Vec<IconSig>,
    pub(crate) magics: Vec<MagicSig>,
    pub(crate) passwords: Vec<PasswordSig>,
    pub(crate) phishings: Vec<PhishingSig>,
    pub(crate) ignores: Vec<IgnoreSig>,
    pub(crate) configs: Vec<ConfigSig>,
    pub(crate) yaras: Vec<String>,
    pub(crate) not_run: BTreeMap<String, usize>,
}

impl Kept {
    fn note(&mut self, meta: SigMeta<'_>) {
        self.count += 1;
        self.names.push(meta.name.to_owned());
    }
}

impl Collector for Kept {
    fn hash(&mut self, meta: SigMeta<'_>, sig: HashSig<'_>) {
        self.note(meta);
        self.hashes.push((sig.of, sig.digest.to_vec(), sig.size));
    }
    fn body(&mut self, meta: SigMeta<'_>, sig: BodySig) {
        self.note(meta);
        self.bodies.push(sig);
    }
    fn logical(&mut self, meta: SigMeta<'_>, sig: LogicalSig) {
        self.note(meta);
        self.logicals.push(sig);
    }
    fn container(&mut self, meta: SigMeta<'_>, sig: ContainerSig) {
        self.note(meta);
        self.containers.push(sig);
    }
    fn icon(&mut self, meta: SigMeta<'_>, sig: IconSig) {
        self.note(meta);
        self.icons.push(sig);
    }
    fn magic(&mut self, meta: SigMeta<'_>, sig: MagicSig) {
        self.note(meta);
        self.magics.push(sig);
    }
    fn password(&mut self, meta: SigMeta<'_>, sig: PasswordSig) {
        self.note(meta);
        self.passwords.push(sig);
    }
    fn phishing(&mut self, meta: SigMeta<'_>, sig: PhishingSig) {
        self.note(meta);
        self.phishings.push(sig);
    }
    fn certificate(&mut self, meta: SigMeta<'_>, _: CertificateSig) {
        self.note(meta);
    }
    fn ignore(&mut self, meta: SigMeta<'_>, sig: IgnoreSig) {
        self.note(meta);
        self.ignores.push(sig);
    }
    fn config(&mut self, meta: SigMeta<'_>, sig: ConfigSig) {
        self.note(meta);
        self.configs.push(sig);
    }
    fn yara(&mut self, meta: SigMeta<'_>, text: &str) {
        self.note(meta);
        self.yaras.push(text.to_owned());
    }
    fn not_run(&mut self, meta: SigMeta<'_>, what: NotRun) {
        self.note(meta);
        *self.not_run.entry(format!("{what:?}")).or_default() += 1;
    }
}
