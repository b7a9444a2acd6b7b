//! Lines of text that a program keeps its strings as, for signatures and readers of text to meet.
//!
//! Promises: UTF-8 wherever the strings were; never longer than [`Lines::new`] was told.

use hf_core::{Child, ChildRole, Reason, Sink, Stop};

/// Lines, as far as there is room.
#[derive(Debug)]
pub(super) struct Lines {
    text: Vec<u8>,
    room: usize,
    /// There was no room for all.
    pub(super) is_cut: bool,
}

impl Lines {
    /// Returns no lines, and room for so many bytes.
    pub(super) fn new(room: usize) -> Self {
        Self { text: Vec::new(), room, is_cut: false }
    }

    /// Adds a line of bytes.
    pub(super) fn push(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        if self.text.len().saturating_add(line.len()) >= self.room {
            self.is_cut = true;
            return;
        }
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
    }

    /// Adds a line of UTF-16, little endian.
    pub(super) fn push_wide(&mut self, line: &[u8]) {
        let units = line.chunks_exact(2).map(|pair| match pair {
            [low, high] => u16::from_le_bytes([*low, *high]),
            _ => 0,
        });
        let text: String = char::decode_utf16(units)
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        self.push(text.as_bytes());
    }

    /// Hands the lines over, if there are any.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn hand_over(&self, name: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
        let cap = crate::reader::size(sink.child_cap());
        if self.text.len() > cap {
            let reason = sink.cap_reason();
            sink.unscanned(name, reason);
        } else if self.is_cut {
            sink.unscanned(name, Reason::FormatLimit("strings that share their bytes".into()));
        }
        if self.text.is_empty() {
            return Ok(());
        }
        let data = self.text.get(..self.text.len().min(cap)).unwrap_or_default();
        sink.child(Child { name, data, role: ChildRole::Member })
    }
}
