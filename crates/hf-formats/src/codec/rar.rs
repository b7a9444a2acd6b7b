//! RAR's decoders: of 1.5, 2.0, 2.9 (to 4.x), 5.0 and 7.0, each able to go on with the dictionary of
//! the member before.
//!
//! Promises: what was decoded before an error comes out; memory follows the output, the dictionary and
//! the PPMd model are at most [`super::MEMORY_MAX`]; filters work on at most 16 MiB and eight times
//! the output; programs that are no standard filter run at most [`PROGRAMS_MAX`] times in an archive.
//! Leaves out: headers, encryption, checksums.
//! Sources: 1.5, 2.0 and the virtual machine are the crate `rars`; 2.9 and 5.0 follow the readers of
//! libarchive (BSD) and `rars` (Apache-2.0); PPMd variant H is Shkarin's, as in the public domain
//! sources of 7-Zip and in `ppmd-rust`.

mod filters;
mod lz29;
mod lz50;
mod old;
mod ppmd;
mod window;

use std::borrow::Cow;

use hf_core::{Sink, Stop};

use super::prefix::Broken;
use crate::bounded::Ended;

/// Ours: how often programs of an archive that are no standard filter run. Each run may take 25
/// million steps.
const PROGRAMS_MAX: u32 = 2;

/// Which of RAR's algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RAR 1.5.
    V15,
    /// RAR 2.0.
    V20,
    /// RAR 2.9 to 4.x.
    V29,
    /// RAR 5.0; and of 7.0, with larger dictionaries.
    V50 {
        /// The codes of 7.0.
        large: bool,
        /// Bytes of dictionary.
        dictionary: u64,
    },
}

/// A member to unpack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed<'a> {
    /// Its packed bytes.
    pub(crate) input: &'a [u8],
    /// How many come out, when that is known.
    pub(crate) unpacked_len: Option<u64>,
    /// By which algorithm.
    pub(crate) algorithm: Algorithm,
    /// It goes on with what the member before left.
    pub(crate) solid: bool,
    /// Members behind it will go on with it.
    pub(crate) whole: bool,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Result {
    /// The bytes, up to the cap.
    pub(crate) bytes: Vec<u8>,
    /// CRC-32 of all of them.
    pub(crate) crc32: u32,
    /// How it ended.
    pub(crate) ended: Ended,
    /// Something was not as it should be, though it went on.
    pub(crate) wrong: Option<Cow<'static, str>>,
}

/// The decoders of one archive.
#[derive(Debug, Default)]
pub(crate) struct Unrar {
    old: old::Old,
    v29: Option<Box<lz29::Unpack29>>,
    v50: Option<Box<lz50::Unpack50>>,
    programs: u32,
}

impl Unrar {
    /// Unpacks a member.
    ///
    /// # Errors
    /// The scan ends here.
    pub(crate) fn unpack(
        &mut self,
        packed: Packed<'_>,
        sink: &mut dyn Sink,
    ) -> std::result::Result<Result, Stop> {
        let mut out = window::Output::new(sink, packed.unpacked_len, packed.whole);
        let (ended, wrong) = match packed.algorithm {
            Algorithm::V15 => (self.old.unpack15(packed, &mut out), None),
            Algorithm::V20 => (self.old.unpack20(packed, &mut out), None),
            Algorithm::V29 => {
                let decoder = self.v29.get_or_insert_default();
                decoder.programs_left = PROGRAMS_MAX.saturating_sub(self.programs);
                let ended = decoder.unpack(packed.input, packed.solid, &mut out);
                self.programs = PROGRAMS_MAX.saturating_sub(decoder.programs_left);
                (ended, decoder.window.wrong)
            }
            Algorithm::V50 { large, dictionary } => {
                let decoder = self.v50.get_or_insert_default();
                let ended = decoder.unpack(packed.input, packed.solid, large, dictionary, &mut out);
                (ended, decoder.window.wrong)
            }
        };
        let ended = match ended {
            Err(Broken::Stop(stop)) => return Err(stop),
            Err(Broken::Capped) => Ended::Capped,
            Err(Broken::Truncated) => Ended::Truncated,
            Err(Broken::Memory) => Ended::Memory,
            Err(Broken::Damaged(why)) => Ended::Damaged(why.into()),
            Ok(()) if out.capped() => Ended::Capped,
            Ok(()) => Ended::Whole,
        };
        let (bytes, crc32) = out.finish();
        Ok(Result { bytes, crc32, ended, wrong: wrong.map(Cow::Borrowed) })
    }
}
