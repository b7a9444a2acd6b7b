//! An engine: content opened once, then one object after the other.

use std::sync::Arc;

use hf_core::signature::{CertificateSig, ConfigCategory, ConfigSig, MagicSig, PasswordSig};
use hf_core::{DconfFlags, Limits, Report, ScanOptions};
use hf_match::{Matcher, Scratch};
use hf_pack::Pack;
use hf_yara::{RuleScanner, RuleSet, Source};

use crate::scan::Scan;

/// What an engine is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Opened content, most important first.
    pub packs: Vec<Arc<Pack>>,
    /// Bounds of each scan.
    pub limits: Limits,
    /// What a scan does and reports.
    pub options: ScanOptions,
}

/// An engine could not be made from this content.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the content: {0}")]
pub struct EngineError(String);

/// Parts that do not change while scanning.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) matcher: Matcher,
    pub(crate) limits: Limits,
    pub(crate) options: ScanOptions,
    pub(crate) magics: Option<Vec<MagicSig>>,
    pub(crate) passwords: Vec<PasswordSig>,
    /// Rules on certificates, and their names.
    pub(crate) certificates: Vec<CertificateSig>,
    pub(crate) certificate_names: Vec<String>,
}

/// Scans objects, one at a time. Lives as long as its process: compiled rules are never given back.
#[derive(Debug)]
pub struct Engine {
    parts: Parts,
    scratch: Scratch,
    rules: Option<RuleScanner<'static>>,
    warnings: Vec<String>,
}

impl Engine {
    /// Opens content. Rules that cannot be compiled are left out and told by [`Engine::warnings`].
    ///
    /// # Errors
    /// A pack is not usable.
    pub fn new(setup: Setup) -> Result<Self, EngineError> {
        let matcher = Matcher::open(setup.packs).map_err(|error| EngineError(error.to_string()))?;
        let mut options = setup.options;
        for config in matcher.config() {
            apply(&mut options.dconf, config.sig);
        }
        let (rules, warnings) = if options.yara { compile_rules(&matcher) } else { (None, vec![]) };
        let magics: Vec<MagicSig> =
            matcher.magics().iter().map(|named| named.sig.clone()).collect();
        let newest_first = matcher.passwords().iter().rev();
        let passwords = newest_first.map(|named| named.sig.clone()).collect();
        let certificates = matcher.certificates().iter().map(|named| named.sig.clone()).collect();
        let certificate_names =
            matcher.certificates().iter().map(|named| named.name.clone()).collect();
        let parts = Parts {
            matcher,
            limits: setup.limits,
            options,
            magics: (!magics.is_empty()).then_some(magics),
            passwords,
            certificates,
            certificate_names,
        };
        Ok(Self { parts, scratch: Scratch::default(), rules, warnings })
    }

    /// Returns what was left out of the content, for people.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Scans one object.
    #[must_use]
    pub fn scan(&mut self, object: &[u8]) -> Report {
        Scan::new(&self.parts, &mut self.scratch, self.rules.as_mut()).run(object)
    }

    /// Scans one object with limits and options other than those of the set-up, where given. What the
    /// content switches off stays off, and rules that were not compiled are not run.
    #[must_use]
    pub fn scan_with(
        &mut self,
        object: &[u8],
        limits: Option<&Limits>,
        options: Option<&ScanOptions>,
    ) -> Report {
        let usual_limits =
            limits.map(|limits| std::mem::replace(&mut self.parts.limits, limits.clone()));
        let usual_options = options.map(|options| {
            let options = ScanOptions { dconf: self.parts.options.dconf, ..options.clone() };
            std::mem::replace(&mut self.parts.options, options)
        });
        let rules = self.rules.as_mut().filter(|_| self.parts.options.yara);
        let report = Scan::new(&self.parts, &mut self.scratch, rules).run(object);
        if let Some(usual) = usual_limits {
            self.parts.limits = usual;
        }
        if let Some(usual) = usual_options {
            self.parts.options = usual;
        }
        report
    }
}

fn compile_rules(matcher: &Matcher) -> (Option<RuleScanner<'static>>, Vec<String>) {
    let sources = matcher.yara();
    let sources = sources.iter().map(|named| Source { file: &named.file, text: &named.sig });
    let (rules, warnings) = RuleSet::compile(sources);
    let warnings = warnings.into_iter().map(|w| format!("{}: {}", w.file, w.text)).collect();
    if rules.is_empty() {
        return (None, warnings);
    }
    let rules: &'static RuleSet = Box::leak(Box::new(rules));
    (Some(RuleScanner::new(rules)), warnings)
}

fn apply(dconf: &mut DconfFlags, config: ConfigSig) {
    let mask = match config.category {
        ConfigCategory::Pe => &mut dconf.pe,
        ConfigCategory::Elf => &mut dconf.elf,
        ConfigCategory::Macho => &mut dconf.macho,
        ConfigCategory::Archive => &mut dconf.archive,
        ConfigCategory::Document => &mut dconf.document,
        ConfigCategory::Mail => &mut dconf.mail,
        ConfigCategory::Other => &mut dconf.other,
        ConfigCategory::Phishing => &mut dconf.phishing,
        ConfigCategory::Pcre => &mut dconf.pcre,
        ConfigCategory::Bytecode => return,
    };
    *mask = config.flags;
}
