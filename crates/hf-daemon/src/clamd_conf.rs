//! `clamd.conf` as it is on people's machines: read as clamd reads it, and turned into [`crate::Config`].
//!
//! Promises: the same lines are accepted and refused as by clamd, with its words; every option is
//! honoured, or it is said at which line it is not, and why.
//! Leaves out: options of `freshclam.conf` and of the milter.
//! Sources: clamd.conf(5) of ClamAV 1.4; replies of clamd 1.4.6 to wrong files.

mod convert;
mod parse;
mod table;

pub(crate) use convert::FACILITIES;
pub use convert::{convert, facilities};
pub use parse::{ClamdConf, Refused};
pub use table::{Fate, OPTIONS, Opt, Takes};
