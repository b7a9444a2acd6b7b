//! Signed programs: those that rules on certificates trust or block.

use std::time::{SystemTime, UNIX_EPOCH};

use hf_core::{FileType, HitKind, Stop};

use crate::alert::Found;
use crate::layer::Layer;
use crate::scan::Scan;

/// Bit of the `PE` parser configuration.
const DCONF_CERTIFICATES: u32 = 0x20000;

impl Scan<'_> {
    /// Asks the rules on certificates about a program; false when no more is to be said of it.
    ///
    /// # Errors
    /// The scan of the layer ends: it is trusted, or enough was found.
    pub(crate) fn certificates(&mut self, layer: &Layer<'_>) -> Result<bool, Stop> {
        let options = self.options();
        let rules = &self.engine.certificates;
        if layer.file_type != FileType::Msexe
            || layer.embedded
            || rules.is_empty()
            || !(options.scan_pe && options.check_certificates)
            || options.dconf.pe & DCONF_CERTIFICATES == 0
        {
            return Ok(true);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let signed = hf_formats::check_signature(layer.bytes, rules, now);
        if let Some(rule) = signed.blocked {
            let name = self.engine.certificate_names.get(rule).cloned().unwrap_or_default();
            let found = Found { kind: HitKind::Certificate, ..Found::heuristic(&name) };
            self.alert(layer, found)?;
            return Ok(!signed.trusted);
        }
        if signed.trusted {
            self.trust(layer);
            return Err(Stop::Trusted);
        }
        Ok(true)
    }
}
