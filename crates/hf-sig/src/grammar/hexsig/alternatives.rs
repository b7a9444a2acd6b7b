//! What stands in parentheses: boundaries, plain alternatives, and alternatives of any lengths.

use hf_core::signature::{Edge, EdgeKind, Item};

use super::{Parser, Range, WILDCARDS_MAX};
use crate::diagnostic::{Fault, codes};

/// Levels of parentheses; ClamAV's.
const DEPTH_MAX: usize = 16;
/// Alternatives among which duplicates are looked for; ours, so that the work stays linear.
const COMPARED_MAX: usize = 64;

impl Parser<'_> {
    /// Reads `( … )` at the top of a part.
    pub(super) fn special(&mut self, negated: bool) -> Result<Item, Fault> {
        let kind = match self.text.cut(self.pos..self.pos + 3).bytes() {
            b"(B)" => Some(EdgeKind::Word),
            b"(L)" => Some(EdgeKind::Line),
            b"(W)" => Some(EdgeKind::NonAlphanumeric),
            _ => None,
        };
        if let Some(kind) = kind {
            self.pos += 3;
            self.count_item()?;
            return Ok(Item::Edge(Edge { kind, negated }));
        }
        let open = self.pos;
        let item = self.alternatives(1)?;
        match item {
            Item::Set { alternatives, .. } if negated && !self.modified => {
                Ok(Item::Set { alternatives, negated })
            }
            _ if negated => {
                let place = self.text.cut(open..self.pos);
                let reason = "only plain bytes of equal length, without modifiers, can be negated";
                Err(place.fault(&codes::ALT_NEGATED, reason))
            }
            item => Ok(item),
        }
    }

    fn alternatives(&mut self, depth: usize) -> Result<Item, Fault> {
        let open = self.text.cut(self.pos..self.pos + 1);
        if depth > DEPTH_MAX {
            let reason = format!("parentheses are nested more than {DEPTH_MAX} deep");
            return Err(open.fault(&codes::ALT_DEEP, reason));
        }
        self.pos += 1;
        let mut found: Vec<Vec<Item>> = Vec::new();
        let mut run: Vec<Item> = Vec::new();
        loop {
            let here = self.text.cut(self.pos..self.pos + 1);
            match here.get(0) {
                None => return Err(open.fault(&codes::PAREN, "the parenthesis is not closed")),
                Some(end @ (b'|' | b')')) => {
                    self.pos += 1;
                    let run = std::mem::take(&mut run);
                    // As clamscan has it, an empty alternative is none.
                    let known = found.len() < COMPARED_MAX && found.contains(&run);
                    if !run.is_empty() && !known {
                        found.push(run);
                    }
                    if end == b')' {
                        break;
                    }
                }
                Some(b'(') => run.push(self.alternatives(depth + 1)?),
                Some(b'!') => {
                    let reason = "negation inside of alternatives";
                    return Err(here.fault(&codes::ALT_NEGATED, reason));
                }
                Some(b'*') => {
                    let reason = "`*` inside of alternatives";
                    return Err(here.fault(&codes::ALT_WILDCARD, reason));
                }
                Some(b'{') => self.alternative_range(&mut run)?,
                Some(b'[') => {
                    let reason = "an anchored byte inside of alternatives";
                    return Err(here.fault(&codes::ANCHOR, reason));
                }
                Some(_) => self.byte(&mut run)?,
            }
        }
        if found.is_empty() {
            return Err(open.fault(&codes::ALT_EMPTY, "there is nothing between the parentheses"));
        }
        Ok(match plain(&found) {
            Some(alternatives) => Item::Set { alternatives, negated: false },
            None => Item::Any { alternatives: found },
        })
    }

    fn alternative_range(&mut self, run: &mut Vec<Item>) -> Result<(), Fault> {
        let start = self.pos;
        let range = self.range(b'}')?;
        let Range::Wildcards(count) = range else {
            let place = self.text.cut(start..self.pos);
            let reason =
                format!("inside of alternatives only `{{n}}` with 0 < n < {WILDCARDS_MAX}");
            return Err(place.fault(&codes::ALT_WILDCARD, reason));
        };
        self.wildcards(count, run)
    }
}

/// Returns the alternatives as strings when all are plain bytes of one length.
fn plain(found: &[Vec<Item>]) -> Option<Vec<Vec<u8>>> {
    let len = found.first()?.len();
    found
        .iter()
        .map(|run| {
            if run.len() != len {
                return None;
            }
            run.iter()
                .map(|item| match item {
                    Item::Byte { value, mask: 0xff } => Some(*value),
                    _ => None,
                })
                .collect()
        })
        .collect()
}
