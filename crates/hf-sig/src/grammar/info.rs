//! Lists of a container's members: `info`. Read by the container; outside of one they mean nothing.

use crate::{
    diagnostic::{Diagnostic, codes},
    load::Loading,
};

/// Refuses a list outside of a container, as clamscan does.
pub(super) fn outside(loading: &mut Loading<'_>, _bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
    loading.refuse_file(&codes::OUTSIDE, "an `.info` file belongs inside a CVD or CLD")
}

#[cfg(test)]
mod tests {
    use crate::testing::{Got, check};

    #[test]
    fn refused() {
        check("x.info", "ClamAV-VDB:x", Got::Refused("HF0003"));
    }
}
