//! What a scan does and reports, apart from limits and content.

use serde::{Deserialize, Serialize};

/// Switches of a scan. Names follow the options of `clamscan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanOptions {
    /// Report every hit instead of ending with the first.
    pub all_match: bool,
    /// Follow the visible quirks of ClamAV (`docs/compatibility.md`); on under the drop-in names.
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
    /// Use the `HTML.Phishing`/`Email.Phishing` signatures.
    pub phishing_signatures: bool,
    /// Check URLs for phishing.
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
    /// Only these PUA categories, when not empty.
    pub include_pua: Vec<String>,
    /// Not these PUA categories.
    pub exclude_pua: Vec<String>,
    /// Look for card and social-security numbers.
    pub detect_structured: bool,
    /// Card numbers that make a finding.
    pub structured_cc_count: u32,
    /// Only real credit-card ranges.
    pub structured_cc_only: bool,
    /// Social-security numbers that make a finding.
    pub structured_ssn_count: u32,
    /// 0 with hyphens, 1 without, 2 both.
    pub structured_ssn_format: u32,
    /// Check Authenticode.
    pub check_certificates: bool,
    /// Evaluate YARA rules.
    pub yara: bool,
    /// Keep every object in the report with its digests, not only the notable ones.
    pub full_tree: bool,
    /// Record where each sub-signature matched, with the bytes around.
    pub explain: bool,
    /// Parsers switched off by content or by an option.
    pub dconf: DconfFlags,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            all_match: false,
            clamav_quirks: false,
            normalise: true,
            scan_pe: true,
            scan_elf: true,
            scan_mail: true,
            scan_html: true,
            scan_ole2: true,
            scan_pdf: true,
            scan_swf: true,
            scan_xmldocs: true,
            scan_hwp3: true,
            scan_onenote: true,
            scan_archive: true,
            scan_image: true,
            scan_image_hash: true,
            phishing_signatures: true,
            phishing_urls: true,
            heuristic_alerts: true,
            heuristic_precedence: false,
            alert_broken: false,
            alert_broken_media: false,
            alert_encrypted_archive: false,
            alert_encrypted_doc: false,
            alert_macros: false,
            alert_exceeds_max: false,
            alert_phishing_ssl: false,
            alert_phishing_cloak: false,
            alert_partition_intersection: false,
            detect_pua: false,
            include_pua: Vec::new(),
            exclude_pua: Vec::new(),
            detect_structured: false,
            structured_cc_count: 3,
            structured_cc_only: false,
            structured_ssn_count: 3,
            structured_ssn_format: 0,
            check_certificates: true,
            yara: true,
            full_tree: false,
            explain: false,
            dconf: DconfFlags::default(),
        }
    }
}

/// Bit masks of the `.cfg` databases; a cleared bit switches a parser off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DconfFlags {
    /// `PE`.
    pub pe: u32,
    /// `ELF`.
    pub elf: u32,
    /// `MACHO`.
    pub macho: u32,
    /// `ARCHIVE`.
    pub archive: u32,
    /// `DOCUMENT`.
    pub document: u32,
    /// `MAIL`.
    pub mail: u32,
    /// `OTHER`.
    pub other: u32,
    /// `PHISHING`.
    pub phishing: u32,
    /// `PCRE`.
    pub pcre: u32,
}

impl Default for DconfFlags {
    fn default() -> Self {
        Self {
            pe: !0x80,
            elf: !0,
            macho: !0,
            archive: !0,
            document: !0,
            mail: !0,
            other: !0,
            phishing: !0,
            pcre: !0,
        }
    }
}
