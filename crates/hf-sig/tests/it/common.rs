//! What several tests need.

use hf_core::signature::*;

/// A collector that counts and drops.
#[derive(Debug, Default)]
pub(crate) struct Nowhere {
    /// Calls so far.
    pub(crate) count: u64,
}

impl Collector for Nowhere {
    fn hash(&mut self, _: SigMeta<'_>, _: HashSig<'_>) {
        self.count += 1;
    }
    fn body(&mut self, _: SigMeta<'_>, _: BodySig) {
        self.count += 1;
    }
    fn logical(&mut self, _: SigMeta<'_>, _: LogicalSig) {
        self.count += 1;
    }
    fn container(&mut self, _: SigMeta<'_>, _: ContainerSig) {
        self.count += 1;
    }
    fn icon(&mut self, _: SigMeta<'_>, _: IconSig) {
        self.count += 1;
    }
    fn magic(&mut self, _: SigMeta<'_>, _: MagicSig) {
        self.count += 1;
    }
    fn password(&mut self, _: SigMeta<'_>, _: PasswordSig) {
        self.count += 1;
    }
    fn phishing(&mut self, _: SigMeta<'_>, _: PhishingSig) {
        self.count += 1;
    }
    fn certificate(&mut self, _: SigMeta<'_>, _: CertificateSig) {
        self.count += 1;
    }
    fn ignore(&mut self, _: SigMeta<'_>, _: IgnoreSig) {
        self.count += 1;
    }
    fn config(&mut self, _: SigMeta<'_>, _: ConfigSig) {
        self.count += 1;
    }
    fn yara(&mut self, _: SigMeta<'_>, _: &str) {
        self.count += 1;
    }
    fn not_run(&mut self, _: SigMeta<'_>, _: NotRun) {
        self.count += 1;
    }
}

/// True when a program is installed; in continuous integration its absence is an error.
pub(crate) fn has_program(name: &str) -> bool {
    let found = std::process::Command::new(name).arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{name} is missing");
    found
}
