//! YARA rules behind our words; the only crate that names the library behind them.
//!
//! Promises: every file is compiled by itself in a namespace of its own; a rule that cannot be compiled is
//! left out with a warning and the others of its file stay; nothing here touches files or the clock. No
//! time-out is set inside (its helper thread could not start in a locked-down process): the caller keeps
//! an outer deadline.
//! Leaves out: `include`, which would read files.
//! Sources: the YARA manual; the documentation of yara-x 1.22.
#![forbid(unsafe_code)]

mod depth;

use std::fmt;

use yara_x::{Compiler, PatternKind, Rules, Scanner, SourceCode};

/// One YARA file.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Base name of the file, for messages and origins.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// A rule or a file that was left out, as text for people (with the place and a caret).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Base name of the file.
    pub file: String,
    /// What is wrong.
    pub text: String,
}

/// Compiled rules.
pub struct RuleSet {
    rules: Rules,
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSet").field("rules", &self.len()).finish()
    }
}

impl RuleSet {
    /// Compiles files; returns the rules that could be compiled and what was left out.
    #[must_use]
    pub fn compile<'a>(sources: impl IntoIterator<Item = Source<'a>>) -> (Self, Vec<Warning>) {
        let mut compiler = Compiler::new();
        compiler.enable_includes(false).relaxed_re_syntax(true).condition_optimization(true);
        let mut warnings = Vec::new();
        for (idx, source) in sources.into_iter().enumerate() {
            if let Some(text) = depth::too_deep(source.text) {
                warnings.push(Warning { file: source.file.to_owned(), text });
                continue;
            }
            compiler.new_namespace(&format!("{idx}:{}", source.file));
            let errors_before = compiler.errors().len();
            let code = SourceCode::from(source.text).with_origin(source.file);
            if compiler.add_source(code).is_err() {
                warnings.extend(compiler.errors().iter().skip(errors_before).map(|error| {
                    Warning { file: source.file.to_owned(), text: error.to_string() }
                }));
            }
        }
        (Self { rules: compiler.build() }, warnings)
    }

    /// Returns the number of rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.iter().len()
    }

    /// True when there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleHit {
    /// Identifier of the rule.
    pub rule: String,
    /// File it came from.
    pub file: String,
    /// Where its patterns matched: pattern, offset, length; at most [`SPANS_MAX`].
    pub spans: Vec<(String, usize, usize)>,
}

/// Places told for one rule.
pub const SPANS_MAX: usize = 64;

/// Matches recorded for one pattern of one object, which bounds memory on repetitive objects.
const MATCHES_MAX: usize = 1_000_000;

/// Scans objects with one set of rules; keeps its memory between objects.
pub struct RuleScanner<'r> {
    scanner: Scanner<'r>,
}

impl fmt::Debug for RuleScanner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuleScanner")
    }
}

impl<'r> RuleScanner<'r> {
    /// Returns a scanner for a set of rules.
    #[must_use]
    pub fn new(rules: &'r RuleSet) -> Self {
        let mut scanner = Scanner::new(&rules.rules);
        scanner.max_matches_per_pattern(MATCHES_MAX);
        Self { scanner }
    }

    /// Scans one object.
    ///
    /// # Errors
    /// The library's message when it could not evaluate the rules on this object.
    pub fn scan(&mut self, object: &[u8], spans: bool) -> Result<Vec<RuleHit>, String> {
        let results = self.scanner.scan(object).map_err(|error| error.to_string())?;
        let mut hits = Vec::new();
        for rule in results.matching_rules() {
            let mut places = Vec::new();
            if spans {
                for pattern in rule.patterns() {
                    if !matches!(
                        pattern.kind(),
                        PatternKind::Text | PatternKind::Hex | PatternKind::Regexp
                    ) {
                        continue;
                    }
                    for found in pattern.matches().take(SPANS_MAX.saturating_sub(places.len())) {
                        let range = found.range();
                        places.push((
                            pattern.identifier().to_owned(),
                            range.start,
                            range.end.saturating_sub(range.start),
                        ));
                    }
                }
            }
            let file = rule.namespace().split_once(':').map_or("", |(_, file)| file);
            hits.push(RuleHit {
                rule: rule.identifier().to_owned(),
                file: file.to_owned(),
                spans: places,
            });
        }
        Ok(hits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(texts: &[&str], object: &[u8]) -> (Vec<String>, usize) {
        let sources: Vec<_> = texts.iter().map(|text| Source { file: "t.yar", text }).collect();
        let (rules, warnings) = RuleSet::compile(sources);
        let found = RuleScanner::new(&rules).scan(object, true).unwrap();
        (found.into_iter().map(|hit| hit.rule).collect(), warnings.len())
    }

    #[test]
    fn matches_and_tells_where() {
        let (rules, warnings) = RuleSet::compile([Source {
            file: "one.yar",
            text: "rule one { strings: $a = \"needle\" condition: $a }",
        }]);
        assert!(warnings.is_empty());
        let mut scanner = RuleScanner::new(&rules);
        let found = scanner.scan(b"a needle here", true).unwrap();
        assert_eq!(found[0].file, "one.yar");
        assert_eq!(found[0].spans, [("$a".to_owned(), 2, 6)]);
        assert!(scanner.scan(b"nothing", true).unwrap().is_empty());
    }

    #[test]
    fn same_name_in_two_files() {
        let rule = "rule r { condition: filesize > 2 }";
        assert_eq!(hits(&[rule, rule], b"abc").0, ["r", "r"]);
    }

    #[test]
    fn a_bad_rule_leaves_the_others() {
        let text = "rule good { condition: true } rule bad { condition: $x } rule last { condition: true }";
        let (names, warnings) = hits(&[text], b"abc");
        assert_eq!(names, ["good", "last"]);
        assert_eq!(warnings, 1);
    }

    #[test]
    fn a_tower_of_brackets_is_left_out() {
        let (open, close) = ("(".repeat(100_000), ")".repeat(100_000));
        let tower = format!("rule a {{ condition: {open}true{close} }}");
        let nots = format!("rule a {{ condition: {} true }}", "not ".repeat(100_000));
        let good = "rule good { condition: true }";
        assert_eq!(hits(&[&tower, good, &nots], b"abc"), (vec!["good".to_owned()], 2));
    }

    #[test]
    fn private_rules_are_not_told() {
        let text = "private rule p { condition: true } rule q { condition: p }";
        assert_eq!(hits(&[text], b"abc").0, ["q"]);
    }

    #[test]
    fn modules_and_old_operators() {
        let text = "import \"math\" rule e { condition: math.entropy(0, filesize) < 1.0 and uint16(0) == 0x6161 }";
        assert_eq!(hits(&[text], b"aaaaaaaa").0, ["e"]);
    }
}
