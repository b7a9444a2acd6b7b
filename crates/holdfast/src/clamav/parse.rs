//! Reading a command line as ClamAV's programs read it: GNU long options with unique prefixes, bundled short ones.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::option::{Fate, Opt, Takes};

/// What a program can be given.
#[derive(Debug)]
pub(crate) struct Table {
    /// The name in messages.
    pub(crate) program: &'static str,
    /// What it honours, or says why not.
    pub(crate) options: &'static [Opt],
    /// Options of other programs, which ClamAV's parser takes with a warning.
    pub(crate) unsupported: &'static [Opt],
    /// The older name of an option, and today's.
    pub(crate) aliases: &'static [(&'static str, &'static str)],
}

impl Table {
    fn all(&self) -> impl Iterator<Item = &'static Opt> {
        let (own, others) = (self.options, self.unsupported);
        own.iter().chain(others.iter().filter(move |other| !names(own, other)))
    }

    fn supports(&self, opt: &Opt) -> bool {
        names(self.options, opt)
    }

    fn default(&self, name: &str) -> Option<Takes> {
        self.options.iter().find(|opt| opt.name == name).map(|opt| opt.takes)
    }
}

fn names(options: &[Opt], opt: &Opt) -> bool {
    options.iter().any(|own| own.name == opt.name)
}

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Parsed {
    table: &'static Table,
    values: BTreeMap<&'static str, Vec<Vec<u8>>>,
    /// Files and directories.
    pub(crate) paths: Vec<OsString>,
    /// Lines to tell before anything else.
    pub(crate) warnings: Vec<String>,
}

/// A command line that is refused; the lines are for standard error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) Vec<String>);

impl Parsed {
    /// Returns a switch.
    pub(crate) fn on(&self, name: &str) -> bool {
        match self.last(name) {
            Some(value) => truth(value).unwrap_or(true),
            None => matches!(self.table.default(name), Some(Takes::Bool(true))),
        }
    }

    /// Returns a number or size.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let given = self.last(name).and_then(size);
        given.unwrap_or(match self.table.default(name) {
            Some(Takes::Number(value) | Takes::Size(value)) => value,
            _ => 0,
        })
    }

    /// Returns a text.
    pub(crate) fn text(&self, name: &str) -> Option<&OsStr> {
        self.last(name).map(OsStr::from_bytes)
    }

    /// Returns every text.
    pub(crate) fn texts(&self, name: &str) -> Vec<&OsStr> {
        self.values.get(name).into_iter().flatten().map(|v| OsStr::from_bytes(v)).collect()
    }

    /// ClamAV takes the first of several values of a single option.
    fn last(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name).and_then(|values| values.first()).map(Vec::as_slice)
    }

    fn put(&mut self, opt: &'static Opt, value: Option<Vec<u8>>) -> Result<(), Refused> {
        let bad = || {
            let short = opt.short.map(|c| format!(" (-{c})")).unwrap_or_default();
            refused(format!("ERROR: Incorrect argument format for option --{}{short}", opt.name))
        };
        let valid = match (opt.takes, &value) {
            (Takes::Bool(_), None) => true,
            (Takes::Bool(_), Some(value)) => truth(value).is_some(),
            (Takes::Number(_), Some(value)) => {
                !value.is_empty() && value.iter().all(u8::is_ascii_digit)
            }
            (Takes::Size(_), Some(value)) => size(value).is_some(),
            (Takes::OneOf(words), Some(value)) => {
                words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(value))
            }
            (_, value) => value.is_some(),
        };
        if !valid {
            return Err(bad());
        }
        let huge = |value: &Vec<u8>| size(value).is_some_and(|size| size > SIZE_MAX);
        if matches!(opt.takes, Takes::Size(_)) && value.as_ref().is_some_and(huge) {
            let name = opt.name;
            self.warnings.push(format!(
                "WARNING: Numerical value for option {name} too high, resetting to {SIZE_MAX}"
            ));
        }
        if !self.table.supports(opt) {
            let short = opt.short.map(|c| format!(" (-{c})")).unwrap_or_default();
            let name = opt.name;
            self.warnings.push(format!("WARNING: Ignoring unsupported option --{name}{short}"));
            return Ok(());
        }
        match opt.fate {
            Fate::Deprecated => {
                let short = opt.short.map(|c| format!(" (-{c})")).unwrap_or_default();
                let name = opt.name;
                self.warnings.push(format!("WARNING: Ignoring deprecated option --{name}{short}"));
            }
            Fate::NotHonoured(why) if value.as_deref().and_then(truth) != Some(false) => {
                self.warnings
                    .push(format!("WARNING: Option --{} is not honoured: {why}", opt.name));
            }
            Fate::Honoured | Fate::NotHonoured(_) => {}
        }
        let mut aliases = self.table.aliases.iter();
        let name = aliases.find(|(from, _)| *from == opt.name).map_or(opt.name, |a| a.1);
        let value = value.unwrap_or_else(|| b"yes".to_vec());
        self.values.entry(name).or_default().push(value);
        Ok(())
    }
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// The command line is refused, with ClamAV's own words.
pub(crate) fn parse(
    table: &'static Table,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Parsed, Refused> {
    let (values, paths, warnings) = (BTreeMap::new(), Vec::new(), Vec::new());
    let mut parsed = Parsed { table, values, paths, warnings };
    let mut args = args.into_iter().map(OsString::into_vec);
    while let Some(arg) = args.next() {
        if arg == b"--" {
            parsed.paths.extend(args.map(OsString::from_vec));
            return Ok(parsed);
        }
        if let Some(long) = arg.strip_prefix(b"--") {
            let (name, value) = match long.iter().position(|b| *b == b'=') {
                Some(at) => {
                    let (name, value) = long.split_at(at);
                    (name, Some(value.get(1..).unwrap_or_default().to_vec()))
                }
                None => (long, None),
            };
            let opt = find_long(table, name, &arg)?;
            let value = match (value, opt.takes) {
                (None, Takes::Bool(_)) => None,
                (None, _) => Some(args.next().ok_or_else(|| missing(table, opt))?),
                (value, _) => value,
            };
            parsed.put(opt, value)?;
        } else if arg.len() > 1 && arg.first() == Some(&b'-') {
            short_options(&arg, &mut args, &mut parsed)?;
        } else {
            parsed.paths.push(OsString::from_vec(arg));
        }
    }
    Ok(parsed)
}

fn short_options(
    arg: &[u8],
    args: &mut impl Iterator<Item = Vec<u8>>,
    parsed: &mut Parsed,
) -> Result<(), Refused> {
    let mut letters = arg.get(1..).unwrap_or_default();
    while let Some((letter, rest)) = letters.split_first() {
        letters = rest;
        let letter = char::from(*letter);
        let table = parsed.table;
        let opt = table
            .all()
            .find(|opt| opt.short == Some(letter))
            .ok_or_else(|| unknown(format!("{}: illegal option -- {letter}", table.program)))?;
        if matches!(opt.takes, Takes::Bool(_)) {
            parsed.put(opt, None)?;
            continue;
        }
        let lone = || {
            let mut refused = missing(table, opt);
            refused.0[0] = format!("{}: option requires an argument -- {letter}", table.program);
            refused
        };
        let value = if rest.is_empty() { args.next().ok_or_else(lone)? } else { rest.to_vec() };
        return parsed.put(opt, Some(value));
    }
    Ok(())
}

fn find_long(table: &Table, name: &[u8], arg: &[u8]) -> Result<&'static Opt, Refused> {
    if let Some(opt) = table.all().find(|opt| opt.name.as_bytes() == name) {
        return Ok(opt);
    }
    let program = table.program;
    let mut fits = table.all().filter(|opt| opt.name.as_bytes().starts_with(name));
    match (fits.next(), fits.next()) {
        (Some(opt), None) if !name.is_empty() => Ok(opt),
        (Some(_), Some(_)) => Err(unknown(format!(
            "{program}: option `{}' is ambiguous",
            String::from_utf8_lossy(arg)
        ))),
        _ => Err(unknown(format!(
            "{program}: unrecognized option `{}'",
            String::from_utf8_lossy(arg)
        ))),
    }
}

fn unknown(line: String) -> Refused {
    let mut refused = refused("ERROR: Unknown option passed".to_owned());
    refused.0.insert(0, line);
    refused
}

fn missing(table: &Table, opt: &Opt) -> Refused {
    let mut refused = refused("ERROR: Incomplete option passed (missing argument)".to_owned());
    refused.0.insert(0, format!("{}: option `--{}' requires an argument", table.program, opt.name));
    refused
}

fn refused(line: String) -> Refused {
    Refused(vec![line, "ERROR: Can't parse command line options".to_owned()])
}

fn truth(value: &[u8]) -> Option<bool> {
    match value.to_ascii_lowercase().as_slice() {
        b"yes" | b"true" | b"1" => Some(true),
        b"no" | b"false" | b"0" => Some(false),
        _ => None,
    }
}

/// Returns a number with an optional `K`, `M` or `G` in bytes; the highest one for more than that.
fn size(value: &[u8]) -> Option<u64> {
    let (digits, factor) = match value.split_last()? {
        (b'k' | b'K', digits) => (digits, 1u64 << 10),
        (b'm' | b'M', digits) => (digits, 1 << 20),
        (b'g' | b'G', digits) => (digits, 1 << 30),
        _ => (value, 1),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse::<u64>().unwrap_or(u64::MAX);
    Some(number.saturating_mul(factor))
}

/// The highest size that ClamAV takes.
const SIZE_MAX: u64 = u64::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Parsed, Refused> {
        parse(&crate::clamscan::TABLE, args.iter().map(OsString::from))
    }

    #[test]
    fn values() {
        let p = parsed(&["-ri", "-dA", "-d", "B", "--max-filesize=5M", "--scan-pe=no", "f", "-"])
            .unwrap();
        assert!(p.on("recursive") && p.on("infected") && !p.on("scan-pe") && p.on("scan-elf"));
        assert_eq!(p.texts("database"), ["A", "B"]);
        assert_eq!((p.number("max-filesize"), p.number("max-files")), (5 << 20, 10_000));
        assert_eq!(p.paths, ["f", "-"]);
    }

    #[test]
    fn prefixes_aliases_and_the_end_of_options() {
        let p = parsed(&["--recurs", "--block-enc", "--", "-x"]).unwrap();
        assert!(p.on("recursive") && p.on("alert-encrypted"));
        assert_eq!(p.paths, ["-x"]);
    }

    #[track_caller]
    fn refuses(args: &[&str], first: &str) {
        let Refused(lines) = parsed(args).unwrap_err();
        assert_eq!(lines.first().map(String::as_str), Some(first));
        assert_eq!(
            lines.last().map(String::as_str),
            Some("ERROR: Can't parse command line options")
        );
    }

    #[test]
    fn refusals() {
        refuses(&["--bogus"], "clamscan: unrecognized option `--bogus'");
        refuses(&["--scan"], "clamscan: option `--scan' is ambiguous");
        refuses(&["--max-scansize"], "clamscan: option `--max-scansize' requires an argument");
        refuses(
            &["--max-filesize=x"],
            "ERROR: Incorrect argument format for option --max-filesize",
        );
        refuses(&["--help=3"], "ERROR: Incorrect argument format for option --help (-h)");
        refuses(&["-Q"], "clamscan: illegal option -- Q");
    }

    #[test]
    fn what_is_not_honoured_is_said() {
        let p = parsed(&["--no-archive", "--gen-mdb"]).unwrap();
        assert_eq!(p.warnings[0], "WARNING: Ignoring deprecated option --no-archive");
        assert!(p.warnings[1].starts_with("WARNING: Option --gen-mdb is not honoured"));
    }
}
