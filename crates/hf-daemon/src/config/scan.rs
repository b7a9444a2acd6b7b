//! `[scan]`: what is looked for, and limits. Names follow [`ScanOptions`] and [`Limits`].

use hf_core::{Limits, ScanOptions};
use serde::{Deserialize, Serialize};

/// `[scan]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ScanConfig {
    /// Every match instead of the first.
    pub all_match: bool,
    /// Follow ClamAV's visible quirks (`docs/compatibility.md`).
    pub clamav_quirks: bool,
    /// Make normalised copies of HTML and text.
    pub normalise: bool,
    /// Open PE.
    pub scan_pe: bool,
    /// Open ELF and Mach-O.
    pub scan_elf: bool,
    /// Open mail.
    pub scan_mail: bool,
    /// Open HTML.
    pub scan_html: bool,
    /// Open OLE2.
    pub scan_ole2: bool,
    /// Open PDF.
    pub scan_pdf: bool,
    /// Open Flash.
    pub scan_swf: bool,
    /// Open XML documents.
    pub scan_xmldocs: bool,
    /// Open HWP3.
    pub scan_hwp3: bool,
    /// Open OneNote.
    pub scan_onenote: bool,
    /// Open archives.
    pub scan_archive: bool,
    /// Walk images.
    pub scan_image: bool,
    /// Compute perceptual hashes of images.
    pub scan_image_hash: bool,
    /// Use signatures of phishing.
    pub phishing_signatures: bool,
    /// Check links for phishing.
    pub phishing_urls: bool,
    /// Report heuristic findings.
    pub heuristic_alerts: bool,
    /// A heuristic finding ends the scan as a signature does.
    pub heuristic_precedence: bool,
    /// Report broken executables.
    pub alert_broken: bool,
    /// Report broken images.
    pub alert_broken_media: bool,
    /// Report encrypted archives.
    pub alert_encrypted_archive: bool,
    /// Report encrypted documents.
    pub alert_encrypted_doc: bool,
    /// Report macros.
    pub alert_macros: bool,
    /// Report exceeded limits.
    pub alert_exceeds_max: bool,
    /// Report mismatched SSL in links.
    pub alert_phishing_ssl: bool,
    /// Report cloaked links.
    pub alert_phishing_cloak: bool,
    /// Report overlapping partitions.
    pub alert_partition_intersection: bool,
    /// Report potentially unwanted applications.
    pub detect_pua: bool,
    /// Look for card and social-security numbers.
    pub detect_structured: bool,
    /// Only real credit-card ranges.
    pub structured_cc_only: bool,
    /// Check Authenticode.
    pub check_certificates: bool,
    /// Evaluate YARA rules.
    pub yara: bool,
    /// Card numbers that make a finding.
    pub structured_cc_count: u32,
    /// Social-security numbers that make a finding.
    pub structured_ssn_count: u32,
    /// 0 with hyphens, 1 without, 2 both.
    pub structured_ssn_format: u32,
    /// Only these classes of unwanted applications, when not empty.
    pub include_pua: Vec<String>,
    /// Not these classes of unwanted applications.
    pub exclude_pua: Vec<String>,
    /// Bytes of one file with all that is in it; 0 for no bound.
    pub max_scan_bytes: u64,
    /// Bytes of one object; 0 for no bound.
    pub max_object_bytes: u64,
    /// Milliseconds of one scan.
    pub deadline_ms: u64,
    /// Largest object in which embedded PE files are looked for; 0 for no bound.
    pub max_embedded_pe_bytes: u64,
    /// Largest HTML object that is normalised; 0 for no bound.
    pub max_html_normalise_bytes: u64,
    /// Largest HTML object of which a copy without tags is made; 0 for no bound.
    pub max_html_notags_bytes: u64,
    /// Largest text object that is normalised; 0 for no bound.
    pub max_script_normalise_bytes: u64,
    /// Largest zip in which other types are looked for; 0 for no bound.
    pub max_zip_type_bytes: u64,
    /// Backtracking steps of one regular expression; 0 for no bound.
    pub pcre_match_limit: u64,
    /// Depth of backtracking of one regular expression; 0 for no bound.
    pub pcre_depth_limit: u64,
    /// Largest object on which regular expressions run; 0 for no bound.
    pub pcre_max_bytes: u64,
    /// Levels of nesting below the file itself; 0 for no bound.
    pub max_depth: u32,
    /// Objects in one file; 0 for no bound.
    pub max_objects: u32,
    /// Partitions of a disk image; 0 for no bound.
    pub max_partitions: u32,
    /// Icons of a PE; 0 for no bound.
    pub max_icons: u32,
    /// Recursion in HWP3; 0 for no bound.
    pub max_hwp3_depth: u32,
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self::of(&ScanOptions::default(), &Limits::holdfast())
    }
}

impl ScanConfig {
    /// Returns the section that stands for options and limits.
    #[must_use]
    pub fn of(options: &ScanOptions, limits: &Limits) -> Self {
        let bytes = |limit: u64| if limit == u64::MAX { 0 } else { limit };
        let count = |limit: u32| if limit == u32::MAX { 0 } else { limit };
        Self {
            all_match: options.all_match,
            clamav_quirks: options.clamav_quirks,
            normalise: options.normalise,
            scan_pe: options.scan_pe,
            scan_elf: options.scan_elf,
            scan_mail: options.scan_mail,
            scan_html: options.scan_html,
            scan_ole2: options.scan_ole2,
            scan_pdf: options.scan_pdf,
            scan_swf: options.scan_swf,
            scan_xmldocs: options.scan_xmldocs,
            scan_hwp3: options.scan_hwp3,
            scan_onenote: options.scan_onenote,
            scan_archive: options.scan_archive,
            scan_image: options.scan_image,
            scan_image_hash: options.scan_image_hash,
            phishing_signatures: options.phishing_signatures,
            phishing_urls: options.phishing_urls,
            heuristic_alerts: options.heuristic_alerts,
            heuristic_precedence: options.heuristic_precedence,
            alert_broken: options.alert_broken,
            alert_broken_media: options.alert_broken_media,
            alert_encrypted_archive: options.alert_encrypted_archive,
            alert_encrypted_doc: options.alert_encrypted_doc,
            alert_macros: options.alert_macros,
            alert_exceeds_max: options.alert_exceeds_max,
            alert_phishing_ssl: options.alert_phishing_ssl,
            alert_phishing_cloak: options.alert_phishing_cloak,
            alert_partition_intersection: options.alert_partition_intersection,
            detect_pua: options.detect_pua,
            detect_structured: options.detect_structured,
            structured_cc_only: options.structured_cc_only,
            check_certificates: options.check_certificates,
            yara: options.yara,
            structured_cc_count: options.structured_cc_count,
            structured_ssn_count: options.structured_ssn_count,
            structured_ssn_format: options.structured_ssn_format,
            include_pua: options.include_pua.clone(),
            exclude_pua: options.exclude_pua.clone(),
            max_scan_bytes: bytes(limits.max_scan_bytes),
            max_object_bytes: bytes(limits.max_object_bytes),
            deadline_ms: bytes(limits.deadline_ms),
            max_embedded_pe_bytes: bytes(limits.max_embedded_pe_bytes),
            max_html_normalise_bytes: bytes(limits.max_html_normalise_bytes),
            max_html_notags_bytes: bytes(limits.max_html_notags_bytes),
            max_script_normalise_bytes: bytes(limits.max_script_normalise_bytes),
            max_zip_type_bytes: bytes(limits.max_zip_type_bytes),
            pcre_match_limit: bytes(limits.pcre_match_limit),
            pcre_depth_limit: bytes(limits.pcre_depth_limit),
            pcre_max_bytes: bytes(limits.pcre_max_bytes),
            max_depth: count(limits.max_depth),
            max_objects: count(limits.max_objects),
            max_partitions: count(limits.max_partitions),
            max_icons: count(limits.max_icons),
            max_hwp3_depth: count(limits.max_hwp3_depth),
        }
    }

    /// Returns the options.
    #[must_use]
    pub fn options(&self) -> ScanOptions {
        ScanOptions {
            all_match: self.all_match,
            clamav_quirks: self.clamav_quirks,
            normalise: self.normalise,
            scan_pe: self.scan_pe,
            scan_elf: self.scan_elf,
            scan_mail: self.scan_mail,
            scan_html: self.scan_html,
            scan_ole2: self.scan_ole2,
            scan_pdf: self.scan_pdf,
            scan_swf: self.scan_swf,
            scan_xmldocs: self.scan_xmldocs,
            scan_hwp3: self.scan_hwp3,
            scan_onenote: self.scan_onenote,
            scan_archive: self.scan_archive,
            scan_image: self.scan_image,
            scan_image_hash: self.scan_image_hash,
            phishing_signatures: self.phishing_signatures,
            phishing_urls: self.phishing_urls,
            heuristic_alerts: self.heuristic_alerts,
            heuristic_precedence: self.heuristic_precedence,
            alert_broken: self.alert_broken,
            alert_broken_media: self.alert_broken_media,
            alert_encrypted_archive: self.alert_encrypted_archive,
            alert_encrypted_doc: self.alert_encrypted_doc,
            alert_macros: self.alert_macros,
            alert_exceeds_max: self.alert_exceeds_max,
            alert_phishing_ssl: self.alert_phishing_ssl,
            alert_phishing_cloak: self.alert_phishing_cloak,
            alert_partition_intersection: self.alert_partition_intersection,
            detect_pua: self.detect_pua,
            detect_structured: self.detect_structured,
            structured_cc_only: self.structured_cc_only,
            check_certificates: self.check_certificates,
            yara: self.yara,
            structured_cc_count: self.structured_cc_count,
            structured_ssn_count: self.structured_ssn_count,
            structured_ssn_format: self.structured_ssn_format,
            include_pua: self.include_pua.clone(),
            exclude_pua: self.exclude_pua.clone(),
            ..ScanOptions::default()
        }
    }

    /// Returns the limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let bytes = |limit: u64| if limit == 0 { u64::MAX } else { limit };
        let count = |limit: u32| if limit == 0 { u32::MAX } else { limit };
        Limits {
            max_scan_bytes: bytes(self.max_scan_bytes),
            max_object_bytes: bytes(self.max_object_bytes),
            deadline_ms: bytes(self.deadline_ms),
            max_embedded_pe_bytes: bytes(self.max_embedded_pe_bytes),
            max_html_normalise_bytes: bytes(self.max_html_normalise_bytes),
            max_html_notags_bytes: bytes(self.max_html_notags_bytes),
            max_script_normalise_bytes: bytes(self.max_script_normalise_bytes),
            max_zip_type_bytes: bytes(self.max_zip_type_bytes),
            pcre_match_limit: bytes(self.pcre_match_limit),
            pcre_depth_limit: bytes(self.pcre_depth_limit),
            pcre_max_bytes: bytes(self.pcre_max_bytes),
            max_depth: count(self.max_depth),
            max_objects: count(self.max_objects),
            max_partitions: count(self.max_partitions),
            max_icons: count(self.max_icons),
            max_hwp3_depth: count(self.max_hwp3_depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for limits in [Limits::clamav(), Limits::holdfast()] {
            let limits = Limits { max_objects: u32::MAX, max_scan_bytes: u64::MAX, ..limits };
            let options = ScanOptions { alert_macros: true, ..ScanOptions::default() };
            let config = ScanConfig::of(&options, &limits);
            assert_eq!(config.options(), options);
            assert_eq!(config.limits(), limits);
        }
    }
}
