//! Whether the machine runs on battery. Source: Linux, `Documentation/ABI/testing/sysfs-class-power`.

use std::path::{Path, PathBuf};

/// The supplies of power of a machine.
#[derive(Debug, Clone)]
pub struct Power {
    folder: PathBuf,
}

impl Default for Power {
    fn default() -> Self {
        Self::new(Path::new("/sys/class/power_supply"))
    }
}

impl Power {
    /// Returns the supplies in a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// Returns whether a battery of the machine is being emptied and nothing from outside feeds it. A machine without
    /// battery, or that does not tell, runs on mains; the battery of a mouse is none of the machine's.
    #[must_use]
    pub fn on_battery(&self) -> bool {
        let supplies = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let (mut emptying, mut fed) = (false, false);
        for supply in supplies.map(|entry| entry.path()) {
            let read = |name: &str| {
                let text = std::fs::read_to_string(supply.join(name)).unwrap_or_default();
                text.trim().to_owned()
            };
            if read("scope") == "Device" {
                continue;
            }
            match read("type").as_str() {
                "Battery" => emptying |= read("status") == "Discharging",
                "Mains" | "USB" | "Wireless" => fed |= read("online") == "1",
                _ => {}
            }
        }
        emptying && !fed
    }
}
