//! Where one of some literals may begin: a vector test in front of exact comparisons.

mod groups;
mod test;

pub use groups::{OPENING_LEN, Opening};
pub use test::Test;
#[cfg(target_arch = "x86_64")]
pub use test::vector;
