//! Links of mails against the lists of phishing addresses (`pdb gdb wdb`).
//!
//! A link shows one address and leads to another. Three things are asked of it: is its target on a list of digests;
//! does it show an address that is protected (`pdb`) while it leads to another domain; and, only when the options
//! ask for it, does it hide its target whatever it shows. `wdb` takes pairs back.
//! Promises: expressions run in linear time; an address is read up to [`ADDRESS_LEN_MAX`] bytes; expressions are
//! compiled when the first link asks for them.
//! Leaves out: what a page's scripts make of a link; addresses in other alphabets that look alike.
//! Off-spec: `:P:` prefixes of digests only spared look-ups, so they are not asked.
//! Sources: ClamAV's documentation of phishing signatures; Google Safe Browsing v2 for canonical addresses;
//! clamscan 1.4.6 as an oracle (`crates/holdfast/tests/phishing`).

mod address;
mod digest;

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use hf_core::signature::{PhishingList, PhishingSig};
use regex_automata::meta;

use crate::member;
use crate::small::Named;
pub(crate) use address::ADDRESS_LEN_MAX;
use address::Address;

/// Which checks of a link run on addresses that are on no list, and how findings are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkChecks {
    /// It shows `https` and leads to something else.
    pub ssl: bool,
    /// Its target has a byte that ends what some programs show of it.
    pub cloak: bool,
    /// Call what is found as `clamscan` does, which never says `NumericIP` and `Username`.
    pub clamav_names: bool,
}

/// The lists, in the form in which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Phishing {
    sigs: Vec<PhishingSig>,
    lists: OnceLock<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    listed: Patterns,
    allowed: Patterns,
    blocked: HashMap<[u8; 32], &'static str>,
    /// Digests that are good, with the list they are from.
    good: HashMap<[u8; 32], PhishingList>,
}

impl Phishing {
    pub(crate) fn new(sigs: &[Named<PhishingSig>]) -> Self {
        let sigs = sigs.iter().map(|named| named.sig.clone()).collect();
        Self { sigs, lists: OnceLock::new() }
    }

    /// True when there is a list.
    pub(crate) fn has_lists(&self) -> bool {
        !self.sigs.is_empty()
    }

    /// Returns the name of what is wrong with a link.
    pub(crate) fn check(
        &self,
        real: &[u8],
        displayed: &[u8],
        checks: LinkChecks,
    ) -> Option<&'static str> {
        let lists = self.lists.get_or_init(|| Lists::new(&self.sigs));
        let cut = |text: &[u8]| text.get(..ADDRESS_LEN_MAX).unwrap_or(text).trim_ascii().to_vec();
        let (real, displayed) = (cut(real), cut(displayed));
        lists.blocked_name(&real, checks).or_else(|| lists.pair(&real, &displayed, checks))
    }
}

impl Lists {
    fn new(sigs: &[PhishingSig]) -> Self {
        let mut lists = Self::default();
        let (mut listed, mut allowed) = (Collected::default(), Collected::default());
        for sig in sigs {
            let patterns = match sig.list {
                PhishingList::Allowed => &mut allowed,
                PhishingList::Protected | PhishingList::Google => &mut listed,
            };
            let text = sig.fields.join(":");
            match sig.kind.as_bytes().first() {
                Some(b'R' | b'X' | b'Y') => patterns.expression(&text),
                Some(b'H' | b'M') => patterns.address(text.into_bytes()),
                Some(b'S') => lists.digest(sig),
                _ => {}
            }
        }
        lists.listed = listed.compiled();
        lists.allowed = allowed.compiled();
        lists
    }

    fn digest(&mut self, sig: &PhishingSig) {
        let [kind, digits] = sig.fields.as_slice() else { return };
        let Some(digest) = digest::parse(digits) else { return };
        match kind.as_str() {
            "W" => {
                self.good.insert(digest, sig.list);
            }
            "F" => {
                let name = match sig.kind.as_bytes().get(1) {
                    Some(b'1') => BLOCKED,
                    Some(b'2') => SAFE_BROWSING_PHISHING,
                    _ => SAFE_BROWSING_MALWARE,
                };
                self.blocked.entry(digest).or_insert(name);
            }
            _ => {}
        }
    }

    /// Looks up the digests of a target.
    fn blocked_name(&self, real: &[u8], checks: LinkChecks) -> Option<&'static str> {
        if self.blocked.is_empty() {
            return None;
        }
        // clamscan asks only the good digests that stand beside the others.
        let is_good = |digest: &[u8; 32]| match self.good.get(digest) {
            Some(PhishingList::Allowed) => !checks.clamav_names,
            Some(_) => true,
            None => false,
        };
        digest::of_address(real)
            .into_iter()
            .filter(|digest| !is_good(digest))
            .find_map(|digest| self.blocked.get(&digest).copied())
    }

    /// Compares what a link shows with where it leads.
    fn pair(&self, real: &[u8], displayed: &[u8], checks: LinkChecks) -> Option<&'static str> {
        if displayed.is_empty() || !address::leads_somewhere(real) {
            return None;
        }
        let (real, displayed) = (Address::target(real), Address::shown(displayed));
        if real.text == displayed.text || !displayed.is_like_an_address() {
            return None;
        }
        let whole = [real.text.as_slice(), b":", &displayed.text, b"/"].concat();
        if self.allowed.matches(&whole, &[]) {
            return None;
        }
        let hosts = [real.host(), b":", displayed.host(), b"/"].concat();
        if self.allowed.matches(&hosts, &[]) {
            return None;
        }
        let host = [displayed.host(), b"/"].concat();
        let is_listed = self.listed.matches(&whole, &[])
            || self.listed.matches(&host, &displayed.gaps_in_host());
        if (is_listed || checks.cloak) && real.text.contains(&1) {
            return Some(CLOAKED_NULL);
        }
        if (is_listed || checks.ssl) && displayed.is_https() && !real.is_https() {
            return Some(SSL_SPOOF);
        }
        if !is_listed || address::domain(real.host()) == address::domain(displayed.host()) {
            return None;
        }
        Some(match () {
            () if checks.clamav_names => SPOOFED_DOMAIN,
            () if real.is_number() => CLOAKED_NUMERIC_IP,
            () if real.has_user() => CLOAKED_USERNAME,
            () => SPOOFED_DOMAIN,
        })
    }
}

/// Patterns as they come.
#[derive(Debug, Default)]
struct Collected {
    literals: HashSet<Vec<u8>>,
    expressions: Vec<String>,
}

impl Collected {
    fn address(&mut self, mut text: Vec<u8>) {
        text.push(b'/');
        self.literals.insert(text);
    }

    /// An expression that says only one thing is that address.
    fn expression(&mut self, text: &str) {
        let mut literal = Vec::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            let kept = match char {
                '\\' => chars.next().filter(|next| !next.is_ascii_alphanumeric()),
                _ if ".[](){}*+?|^$".contains(char) => None,
                _ => Some(char),
            };
            let Some(kept) = kept else {
                return self.expressions.push(format!("(?:{})/\\z", member::translate(text)));
            };
            literal.extend_from_slice(kept.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.address(literal);
    }

    fn compiled(self) -> Patterns {
        let good: Vec<String> =
            self.expressions.into_iter().filter(|text| compile(&[text]).is_some()).collect();
        let all: Vec<&str> = good.iter().map(String::as_str).collect();
        let expressions = match compile(&all) {
            Some(joined) => vec![joined],
            None => all.iter().filter_map(|text| compile(&[text])).collect(),
        };
        Patterns { literals: self.literals, expressions }
    }
}

fn compile<T: AsRef<str>>(patterns: &[T]) -> Option<meta::Regex> {
    let syntax = regex_automata::util::syntax::Config::new().unicode(false).utf8(false);
    let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(NFA_MAX));
    meta::Builder::new().configure(config).syntax(syntax).build_many(patterns).ok()
}

/// Patterns of one list.
#[derive(Debug, Default)]
struct Patterns {
    literals: HashSet<Vec<u8>>,
    /// One for all expressions, or one for each when they are too large together.
    expressions: Vec<meta::Regex>,
}

impl Patterns {
    /// True when a pattern matches the end of `text`: an address from its start, behind a full stop, or from
    /// where a space was taken out.
    fn matches(&self, text: &[u8], gaps: &[usize]) -> bool {
        let behind_stops = memchr::memchr_iter(b'.', text).map(|at| at + 1).take(STARTS_MAX);
        let starts = std::iter::once(0).chain(behind_stops).chain(gaps.iter().copied());
        let at = |start: usize| text.get(start..).is_some_and(|rest| self.literals.contains(rest));
        !self.literals.is_empty() && starts.into_iter().any(at)
            || self.expressions.iter().any(|expression| expression.is_match(text))
    }
}

const BLOCKED: &str = "Heuristics.Phishing.URL.Blocked";
const SAFE_BROWSING_MALWARE: &str =
    "Heuristics.Safebrowsing.Suspected-malware_safebrowsing.clamav.net";
const SAFE_BROWSING_PHISHING: &str =
    "Heuristics.Safebrowsing.Suspected-phishing_safebrowsing.clamav.net";
const SPOOFED_DOMAIN: &str = "Heuristics.Phishing.Email.SpoofedDomain";
const SSL_SPOOF: &str = "Heuristics.Phishing.Email.SSL-Spoof";
const CLOAKED_NULL: &str = "Heuristics.Phishing.Email.Cloaked.Null";
const CLOAKED_NUMERIC_IP: &str = "Heuristics.Phishing.Email.Cloaked.NumericIP";
const CLOAKED_USERNAME: &str = "Heuristics.Phishing.Email.Cloaked.Username";

/// Ours: memory of the expressions of a list.
const NFA_MAX: usize = 16 << 20;
/// Ours: labels of an address that are tried as the start of a listed one.
const STARTS_MAX: usize = 64;

#[cfg(test)]
mod tests;
