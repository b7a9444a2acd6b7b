//! Logical expressions over sub-signatures.
//!
//! ```text
//! expr  := term (('&'|'|') expr)?            equal precedence, grouped to the right
//! term  := index [mod] | '(' block ')' [mod]
//! block := term | expr ('&'|'|') term        split at its last operator
//! mod  := ('='|'<'|'>') X [',' Y]
//! ```
//! Promises: at most [`TERMS_MAX`] terms and [`DEPTH_MAX`] levels, so that nobody's recursion over it runs deep.
//! Sources: ClamAV's documentation of logical signatures; clamscan 1.4.6: of several comparisons behind an index the
//! last counts, other characters there are read over (here with a warning), and parentheses with a comparison
//! need an operator inside. How chains group was read off 8,000 random expressions.
//!
//! Off-spec: negative numbers and numbers of 2^32 and more are refused; clamscan cuts them to 32 bits.

use hf_core::signature::{Compare, CompareOp, Expr};

use crate::{
    diagnostic::{Fault, codes},
    text::Text,
};

/// Most terms; ours.
const TERMS_MAX: usize = 1024;
/// Most levels of parentheses; ours.
const DEPTH_MAX: usize = 64;
/// Most sub-signatures; ClamAV's.
pub(crate) const SUBS_MAX: usize = 64;

/// Reads an expression; returns it and its largest index.
pub(crate) fn parse(text: Text<'_>, notes: &mut Vec<Fault>) -> Result<(Expr, u8), Fault> {
    let mut parser = Parser { text, pos: 0, terms: 0, largest: 0, notes };
    let chain = parser.chain(0)?;
    if parser.pos < text.len() {
        let place = text.from(parser.pos);
        return Err(place.fault(&codes::EXPRESSION, "nothing is open that `)` could close"));
    }
    Ok((chain.expr, parser.largest))
}

struct Parser<'a, 'n> {
    text: Text<'a>,
    pos: usize,
    terms: usize,
    largest: u8,
    notes: &'n mut Vec<Fault>,
}

struct Chain {
    expr: Expr,
    has_operator: bool,
}

impl<'a> Parser<'a, '_> {
    fn chain(&mut self, depth: usize) -> Result<Chain, Fault> {
        let mut terms = vec![self.term(depth)?];
        let mut operators = Vec::new();
        while let Some(operator @ (b'&' | b'|')) = self.text.get(self.pos) {
            self.pos += 1;
            operators.push(operator);
            terms.push(self.term(depth)?);
        }
        let has_operator = !operators.is_empty();
        let last = if depth > 0 { operators.pop() } else { None };
        let last = last.and_then(|operator| Some((operator, terms.pop()?)));
        let expr = grouped_right(terms, operators);
        let expr = match (expr, last) {
            (Some(left), Some((operator, right))) => Some(joined(operator, left, right)),
            (expr, _) => expr,
        };
        let expr = expr.ok_or_else(|| self.fault_here("the expression is empty"))?;
        Ok(Chain { expr, has_operator })
    }

    fn term(&mut self, depth: usize) -> Result<Expr, Fault> {
        self.terms += 1;
        if self.terms > TERMS_MAX || depth > DEPTH_MAX {
            let reason = "the expression has too many terms or levels";
            return Err(self.text.fault(&codes::SUB_MANY, reason));
        }
        self.blanks();
        match self.text.get(self.pos) {
            Some(b'(') => self.block(depth),
            Some(digit) if digit.is_ascii_digit() => self.index(),
            _ => Err(self.fault_here("an index or `(` is missing here")),
        }
    }

    fn block(&mut self, depth: usize) -> Result<Expr, Fault> {
        let open = self.text.cut(self.pos..self.pos + 1);
        self.pos += 1;
        let inner = self.chain(depth + 1)?;
        if self.text.get(self.pos) != Some(b')') {
            return Err(open.fault(&codes::EXPRESSION, "the parenthesis is not closed"));
        }
        self.pos += 1;
        let start = self.pos;
        let cmp = self.compare()?;
        if cmp.is_some() && !inner.has_operator {
            let place = self.text.cut(start..self.pos);
            let reason = "a comparison stands behind parentheses without `&` or `|` inside";
            return Err(place.fault(&codes::EXPRESSION, reason));
        }
        match self.text.get(self.pos) {
            None | Some(b'&' | b'|' | b')') => Ok(Expr::Block { inner: Box::new(inner.expr), cmp }),
            Some(_) => Err(self.fault_here("an operator is missing here")),
        }
    }

    fn index(&mut self) -> Result<Expr, Fault> {
        let digits = self.digits();
        let idx = digits.number(u64::MAX)?;
        let Some(idx) = u8::try_from(idx).ok().filter(|idx| usize::from(*idx) < SUBS_MAX) else {
            let reason = format!("index {} is above {}", digits.lossy(), SUBS_MAX - 1);
            return Err(digits.fault(&codes::SUB_MANY, reason));
        };
        self.largest = self.largest.max(idx);
        let mut cmp = None;
        loop {
            if let Some(found) = self.compare()? {
                // The number of distinct sub-signatures has no meaning for one.
                cmp = Some(Compare { distinct: None, ..found });
                continue;
            }
            match self.text.get(self.pos) {
                None | Some(b'&' | b'|' | b')') => break,
                Some(b'(') => return Err(self.fault_here("an operator is missing here")),
                Some(_) => self.skip_junk(),
            }
        }
        Ok(Expr::Sub { idx, cmp })
    }

    /// Reads `=X`, `<X`, `>X`, each with `,Y`.
    fn compare(&mut self) -> Result<Option<Compare>, Fault> {
        let Some(op) = self.text.get(self.pos).and_then(operator) else { return Ok(None) };
        let start = self.pos;
        self.pos += 1;
        let digits = self.digits();
        if digits.is_empty() {
            // `>=1` and `==1`: clamscan takes the last operator.
            if self.text.get(self.pos).and_then(operator).is_some() && self.in_index(start) {
                let place = self.text.cut(start..self.pos);
                self.note(place);
                return self.compare();
            }
            let place = self.text.cut(start..self.pos);
            return Err(
                place.fault(&codes::EXPRESSION, "a number is missing behind the comparison")
            );
        }
        let count = digits.number_u32()?;
        let mut distinct = None;
        if self.text.get(self.pos) == Some(b',') {
            self.pos += 1;
            let digits = self.digits();
            distinct = Some(digits.number_u32()?).filter(|_| !digits.is_empty());
            while self.text.get(self.pos) == Some(b',') {
                let start = self.pos;
                self.pos += 1;
                self.digits();
                let place = self.text.cut(start..self.pos);
                self.note(place);
            }
        }
        Ok(Some(Compare { op, count, distinct }))
    }

    /// True when the comparison at `start` stands behind an index, not behind parentheses.
    fn in_index(&self, start: usize) -> bool {
        start > 0 && self.text.get(start - 1) != Some(b')')
    }

    fn skip_junk(&mut self) {
        let start = self.pos;
        while let Some(byte) = self.text.get(self.pos) {
            if matches!(byte, b'&' | b'|' | b'(' | b')') || operator(byte).is_some() {
                break;
            }
            self.pos += 1;
        }
        let place = self.text.cut(start..self.pos);
        if !place.bytes().iter().all(|b| *b == b' ') {
            self.note(place);
        }
    }

    fn note(&mut self, place: Text<'_>) {
        let reason = format!("`{}` has no meaning in an expression", place.lossy());
        self.notes.push(place.fault(&codes::IGNORED_TEXT, reason));
    }

    fn digits(&mut self) -> Text<'a> {
        let start = self.pos;
        while self.text.get(self.pos).is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
        }
        self.text.cut(start..self.pos)
    }

    fn blanks(&mut self) {
        while self.text.get(self.pos) == Some(b' ') {
            self.pos += 1;
        }
    }

    fn fault_here(&self, reason: &str) -> Fault {
        self.text.cut(self.pos..self.pos + 1).fault(&codes::EXPRESSION, reason)
    }
}

fn grouped_right(mut terms: Vec<Expr>, mut operators: Vec<u8>) -> Option<Expr> {
    let mut expr = terms.pop();
    while let (Some(operator), Some(left)) = (operators.pop(), terms.pop()) {
        expr = expr.map(|right| joined(operator, left, right));
    }
    expr
}

fn joined(operator: u8, left: Expr, right: Expr) -> Expr {
    let (left, right) = (Box::new(left), Box::new(right));
    if operator == b'&' { Expr::And(left, right) } else { Expr::Or(left, right) }
}

fn operator(byte: u8) -> Option<CompareOp> {
    Some(match byte {
        b'=' => CompareOp::Equal,
        b'<' => CompareOp::Less,
        b'>' => CompareOp::Greater,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(expr: &Expr) -> String {
        let cmp = |cmp: &Option<Compare>| {
            cmp.map_or(String::new(), |cmp| {
                let op = match cmp.op {
                    CompareOp::Equal => '=',
                    CompareOp::Less => '<',
                    CompareOp::Greater => '>',
                };
                let distinct = cmp.distinct.map_or(String::new(), |n| format!(",{n}"));
                format!("{op}{}{distinct}", cmp.count)
            })
        };
        match expr {
            Expr::Sub { idx, cmp: c } => format!("{idx}{}", cmp(c)),
            Expr::And(a, b) => format!("[{} & {}]", told(a), told(b)),
            Expr::Or(a, b) => format!("[{} | {}]", told(a), told(b)),
            Expr::Block { inner, cmp: c } => format!("({}){}", told(inner), cmp(c)),
        }
    }

    #[track_caller]
    fn good(text: &str, want: &str, notes: usize) {
        let mut found = Vec::new();
        let (expr, _) = parse(Text::line(text.as_bytes()), &mut found).unwrap();
        assert_eq!((told(&expr).as_str(), found.len()), (want, notes), "{text}");
    }

    #[track_caller]
    fn bad(text: &str, code: &str) {
        let got = parse(Text::line(text.as_bytes()), &mut Vec::new()).unwrap_err();
        assert_eq!(got.code.id, code, "{text}: {}", got.reason);
    }

    #[test]
    fn expressions() {
        good("0", "0", 0);
        good("0&1|2", "[0 & [1 | 2]]", 0);
        good("(0&1)|2", "[([0 & 1]) | 2]", 0);
        good("0=1&1<2|2>3", "[0=1 & [1<2 | 2>3]]", 0);
        good("0>1,2", "0>1", 0);
        good("(0|1)>1,2&((2|3)=1)", "[([0 | 1])>1,2 & (([2 | 3])=1)]", 0);
        good("1&(0|1)>1,", "[1 & ([0 | 1])>1]", 0);
        good("(0&1|2)", "([[0 & 1] | 2])", 0);
        good("(0&1|2&3)=1", "([[0 & [1 | 2]] & 3])=1", 0);
        good("3|(0&1|2)|(0|1&2)", "[3 | [([[0 & 1] | 2]) | ([[0 | 1] & 2])]]", 0);
        good(" 0 & 0", "[0 & 0]", 0);
        good("00", "0", 0);
        good("0==1", "0=1", 1);
        good("0>=1", "0=1", 1);
        good("0=1=2", "0=2", 0);
        good("0x", "0", 1);
        good("0=1,x", "0=1", 1);
        good("0>1,2,3", "0>1", 1);
    }

    #[test]
    fn mistakes() {
        for text in ["", "x", "()", "(0", "0)", "0&", "&0", "0&&0", "0=", "0=x", "0>", "0(0)"] {
            bad(text, "HF0306");
        }
        for text in
            ["(0)=1", "1&(0)>1", "((0|1)=1)=1", "(0)x", "(0)(0)", "(0|1)=", "(0|1)==1", "(0) "]
        {
            bad(text, "HF0306");
        }
        bad("64", "HF0308");
        bad("0=4294967296", "HF0104");
        bad(&"(".repeat(70), "HF0308");
        bad(&"0&".repeat(2000), "HF0308");
    }
}
