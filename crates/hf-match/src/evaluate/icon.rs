//! Which icon signatures a logical signature asks for. How alike icons are is told by the object's facts.

use hf_core::signature::IconSig;

/// True when a signature is of the groups asked for; `*` stands for any.
pub(super) fn in_groups(sig: &IconSig, groups: (Option<&str>, Option<&str>)) -> bool {
    let fits = |wanted: Option<&str>, group: &str| {
        wanted.is_none_or(|wanted| wanted == "*" || wanted == group)
    };
    fits(groups.0, &sig.group1) && fits(groups.1, &sig.group2)
}
