//! One option of a program that stands in for one of ClamAV's: a row of its table.

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing, or `=yes` / `=no`; the default when it is not given.
    Bool(bool),
    /// A decimal number; the default.
    Number(u64),
    /// A number with an optional `K`, `M` or `G`; the default.
    Size(u64),
    /// Text.
    Text,
    /// Text, any number of times.
    Texts,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does what it says.
    Honoured,
    /// It is accepted, and this is said.
    NotHonoured(&'static str),
    /// It is accepted with the same warning as in ClamAV.
    Deprecated,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    pub(crate) fate: Fate,
    /// One line for help and manual; empty for hidden rows.
    pub(crate) doc: &'static str,
}

/// Returns a row that is honoured; a blank is no short name.
pub(crate) const fn row(name: &'static str, short: char, takes: Takes, doc: &'static str) -> Opt {
    let short = if short == ' ' { None } else { Some(short) };
    Opt { name, short, takes, fate: Fate::Honoured, doc }
}

/// Returns a row that is accepted and said to have no effect.
pub(crate) const fn told(
    name: &'static str,
    takes: Takes,
    why: &'static str,
    doc: &'static str,
) -> Opt {
    Opt { name, short: None, takes, fate: Fate::NotHonoured(why), doc }
}

/// Returns a deprecated switch.
pub(crate) const fn old(name: &'static str) -> Opt {
    Opt { name, short: None, takes: Takes::Bool(false), fate: Fate::Deprecated, doc: "" }
}

/// Returns a deprecated option with a value.
pub(crate) const fn old_with(name: &'static str) -> Opt {
    Opt { name, short: None, takes: Takes::Text, fate: Fate::Deprecated, doc: "" }
}
