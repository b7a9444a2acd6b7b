//! A sink that records, for fixtures and fuzz targets.
//!
//! A fixture is `tests/fixtures/<format>/<case>.in.hex` (hexadecimal text, white space ignored, `#` starts a
//! comment) with `<case>.out`, the rendered record. `UPDATE=1` rewrites the `.out` files.

use std::fmt::Write as _;
use std::path::Path;

use hf_core::{
    Child, ChildRole, Defect, FileType, Halt, Limits, Link, Member, Reason, ScanOptions, Sink, Stop,
};

use crate::Format;

/// Something that a format told its sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A child: name, content, role.
    Child(Vec<u8>, Vec<u8>, ChildRole),
    /// Metadata: name, packed, unpacked, encrypted, position.
    Member(Vec<u8>, u64, u64, bool, u32),
    /// A defect.
    Defect(Defect),
    /// A part that was not looked at.
    Unscanned(Vec<u8>, Reason),
    /// A heuristic finding.
    Heuristic(String),
    /// A fact.
    Fact(String, String),
}

/// Records everything; never stops a scan but for its budget of calls.
#[derive(Debug)]
pub struct Recorder {
    /// What was told, in order.
    pub events: Vec<Event>,
    /// Limits handed to the format.
    pub limits: Limits,
    /// Options handed to the format.
    pub options: ScanOptions,
    /// Passwords handed to the format.
    pub passwords: Vec<Vec<u8>>,
    /// Cap of one child in bytes.
    pub cap: u64,
    /// Calls of [`Sink::poll`] after which the scan stops.
    pub polls_left: u64,
    total: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            limits: Limits::clamav(),
            options: ScanOptions::default(),
            passwords: Vec::new(),
            cap: 16 << 20,
            polls_left: 1_000_000,
            total: 0,
        }
    }
}

impl Recorder {
    /// Runs a format over an object and returns how it ended.
    ///
    /// # Errors
    /// What the format returned.
    pub fn run(&mut self, format: &Format, object: &[u8]) -> Result<(), Halt> {
        (format.extract)(object, self)
    }

    /// Returns the children's names and contents.
    #[must_use]
    pub fn children(&self) -> Vec<(&[u8], &[u8])> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Child(name, data, _) => Some((name.as_slice(), data.as_slice())),
                _ => None,
            })
            .collect()
    }

    /// Renders the record as the text of a golden file.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for event in &self.events {
            let line = match event {
                Event::Child(name, data, role) => {
                    format!("child {:?} {role:?} {} {}", show(name), data.len(), show(data))
                }
                Event::Member(name, packed, unpacked, encrypted, position) => format!(
                    "member {:?} packed={packed} unpacked={unpacked} encrypted={encrypted} position={position}",
                    show(name)
                ),
                Event::Defect(defect) => format!("defect {defect}"),
                Event::Unscanned(name, reason) => format!("unscanned {:?} {reason}", show(name)),
                Event::Heuristic(name) => format!("heuristic {name}"),
                Event::Fact(key, value) => format!("fact {key}={value}"),
            };
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

fn show(bytes: &[u8]) -> String {
    let cut = bytes.get(..bytes.len().min(512)).unwrap_or_default();
    cut.escape_ascii().to_string()
}

impl Sink for Recorder {
    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn options(&self) -> &ScanOptions {
        &self.options
    }

    fn child_cap(&self) -> u64 {
        self.cap
    }

    fn cap_reason(&self) -> Reason {
        Reason::ObjectBytes
    }

    fn member(&mut self, member: &Member<'_>) -> Result<(), Stop> {
        self.poll()?;
        self.events.push(Event::Member(
            member.name.to_vec(),
            member.packed_len,
            member.unpacked_len,
            member.encrypted,
            member.position,
        ));
        Ok(())
    }

    fn child(&mut self, child: Child<'_>) -> Result<(), Stop> {
        self.poll()?;
        let len = u64::try_from(child.data.len()).unwrap_or(u64::MAX);
        self.total = self.total.saturating_add(len);
        if self.total > 256 << 20 {
            return Err(Stop::ScanBytes);
        }
        self.events.push(Event::Child(child.name.to_vec(), child.data.to_vec(), child.role));
        Ok(())
    }

    fn defect(&mut self, defect: Defect) {
        if self.events.len() < 100_000 {
            self.events.push(Event::Defect(defect));
        }
    }

    fn unscanned(&mut self, name: &[u8], reason: Reason) {
        if self.events.len() < 100_000 {
            self.events.push(Event::Unscanned(name.to_vec(), reason));
        }
    }

    fn heuristic(&mut self, name: &str) -> Result<(), Stop> {
        self.events.push(Event::Heuristic(name.to_owned()));
        Ok(())
    }

    /// Links are compared with clamscan's, where the lists are.
    fn link(&mut self, _: &Link<'_>) -> Result<(), Stop> {
        self.poll()
    }

    fn fact(&mut self, key: &str, value: &str) {
        if self.events.len() < 100_000 {
            self.events.push(Event::Fact(key.to_owned(), value.to_owned()));
        }
    }

    fn poll(&mut self) -> Result<(), Stop> {
        self.polls_left = self.polls_left.checked_sub(1).ok_or(Stop::Deadline)?;
        Ok(())
    }

    fn passwords(&self, _container: FileType) -> Vec<Vec<u8>> {
        self.passwords.clone()
    }
}

/// Returns the bytes of a hexadecimal text; white space is ignored, `#` starts a comment, and a word
/// `00*512` means its bytes so many times.
///
/// # Panics
/// On anything else.
#[must_use]
pub fn bytes_of_hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut digits = String::new();
    let words =
        text.lines().flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    for word in words {
        if let Some((part, times)) = word.split_once('*') {
            bytes.extend(pairs(&std::mem::take(&mut digits)));
            let times = times.parse().expect("how many times");
            bytes.extend(pairs(part).repeat(times));
        } else {
            digits.push_str(word);
        }
    }
    bytes.extend(pairs(&digits));
    bytes
}

/// Returns the bytes of pairs of hexadecimal digits.
fn pairs(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        digits.chars().map(|c| c.to_digit(16).expect("a hexadecimal digit")).collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of hexadecimal digits");
    digits
        .chunks_exact(2)
        .map(|pair| {
            let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
            u8::try_from(value).expect("two digits fit a byte")
        })
        .collect()
}

/// Runs every fixture of a format and compares its record with the golden file.
///
/// # Panics
/// When the folder is missing or empty, or a record differs.
pub fn check_fixtures(root: &Path, format: &Format) {
    let folder = root.join(format.name);
    let mut cases: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("fixtures of {}: {error}", format.name))
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.to_string_lossy().ends_with(".in.hex"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no fixture in {}", folder.display());
    for case in cases {
        let text = std::fs::read_to_string(&case).expect("a fixture is readable");
        let mut recorder =
            Recorder { passwords: vec![b"infected".to_vec()], ..Recorder::default() };
        let ended = recorder.run(format, &bytes_of_hex(&text));
        let mut got = recorder.render();
        if let Err(halt) = ended {
            let _ = writeln!(got, "halt {halt}");
        }
        let golden = case.to_string_lossy().replace(".in.hex", ".out");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&golden, &got).expect("a golden file is writable");
        }
        let want = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(got, want, "{}", case.display());
    }
}
