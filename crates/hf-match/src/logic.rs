//! Logical expressions in the form in which they are stored and evaluated.
//!
//! Chains of one operator are one node; the stored form is a list of operations in postfix order, so
//! that neither writing nor reading it recurses and a damaged pack cannot exhaust the stack.
//! Semantics (read off clamscan 1.4.6): a block counts the matches of its members that hold, zero
//! when it does not hold, then compares; a comparison of distinct members counts those whose own
//! comparison holds, also with no match, and does not look into blocks that compare for themselves.

use hf_core::Stop;
use hf_core::signature::{Compare, CompareOp, Expr};
use serde::{Deserialize, Serialize};

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Logic {
    Sub { idx: u8, cmp: Option<Compare> },
    All(Vec<Logic>),
    Some(Vec<Logic>),
    Block { inner: Box<Logic>, cmp: Compare },
}

/// An operation of the stored form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    Sub { idx: u8, cmp: Option<Compare> },
    All(u32),
    Some(u32),
    Block(Compare),
}

/// What an expression came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    pub(crate) holds: bool,
    total: u64,
    distinct: u64,
}

impl Logic {
    /// Reads an expression; none when it is nested too deeply.
    pub(crate) fn of(expr: &Expr) -> Option<Self> {
        Self::at_depth(expr, 0)
    }

    fn at_depth(expr: &Expr, depth: usize) -> Option<Self> {
        if depth > DEPTH_MAX {
            return None;
        }
        // The right spine is walked in a loop: it is as long as the expression has terms.
        let mut terms = Vec::new();
        let mut rest = expr;
        let last = loop {
            let (left, right, and) = match rest {
                Expr::And(left, right) => (left, right, true),
                Expr::Or(left, right) => (left, right, false),
                Expr::Sub { idx, cmp } => break Self::Sub { idx: *idx, cmp: *cmp },
                Expr::Block { inner, cmp: None } => break Self::at_depth(inner, depth + 1)?,
                Expr::Block { inner, cmp: Some(cmp) } => {
                    let inner = Box::new(Self::at_depth(inner, depth + 1)?);
                    break Self::Block { inner, cmp: *cmp };
                }
            };
            terms.push((Self::at_depth(left, depth + 1)?, and));
            rest = right;
        };
        let mut joins = 0;
        let mut logic = last;
        while let Some((left, and)) = terms.pop() {
            logic = match logic {
                Self::All(mut all) if and => {
                    all.insert(0, left);
                    Self::All(all)
                }
                Self::Some(mut some) if !and => {
                    some.insert(0, left);
                    Self::Some(some)
                }
                right if and => Self::All(vec![left, right]),
                right => Self::Some(vec![left, right]),
            };
            joins += 1;
            if joins > TERMS_MAX {
                return None;
            }
        }
        (logic.depth() <= DEPTH_MAX).then_some(logic)
    }

    fn depth(&self) -> usize {
        // Iterative: before the check the tree may be as deep as the expression is long.
        let mut deepest = 0;
        let mut todo = vec![(self, 1usize)];
        while let Some((logic, depth)) = todo.pop() {
            deepest = deepest.max(depth);
            match logic {
                Self::Sub { .. } => {}
                Self::All(all) | Self::Some(all) => {
                    todo.extend(all.iter().map(|inner| (inner, depth + 1)));
                }
                Self::Block { inner, .. } => todo.push((inner, depth + 1)),
            }
        }
        deepest
    }

    /// Returns the stored form.
    pub(crate) fn ops(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        self.write(&mut ops);
        ops
    }

    fn write(&self, ops: &mut Vec<Op>) {
        let count = |all: &Vec<Self>| u32::try_from(all.len()).unwrap_or(u32::MAX);
        match self {
            Self::Sub { idx, cmp } => ops.push(Op::Sub { idx: *idx, cmp: *cmp }),
            Self::All(all) => {
                all.iter().for_each(|inner| inner.write(ops));
                ops.push(Op::All(count(all)));
            }
            Self::Some(all) => {
                all.iter().for_each(|inner| inner.write(ops));
                ops.push(Op::Some(count(all)));
            }
            Self::Block { inner, cmp } => {
                inner.write(ops);
                ops.push(Op::Block(*cmp));
            }
        }
    }

    /// Reads the stored form; none when it is damaged.
    pub(crate) fn read(ops: &[Op]) -> Option<Self> {
        let mut stack: Vec<(Self, usize)> = Vec::new();
        for op in ops {
            let (logic, depth) = match op {
                Op::Sub { idx, cmp } => (Self::Sub { idx: *idx, cmp: *cmp }, 0),
                Op::All(count) | Op::Some(count) => {
                    let from = stack.len().checked_sub(usize::try_from(*count).ok()?)?;
                    let depth = stack.iter().skip(from).map(|(_, depth)| *depth).max();
                    let all = stack.drain(from..).map(|(logic, _)| logic).collect();
                    let all =
                        if matches!(op, Op::All(_)) { Self::All(all) } else { Self::Some(all) };
                    (all, depth.unwrap_or(0))
                }
                Op::Block(cmp) => {
                    let (inner, depth) = stack.pop()?;
                    (Self::Block { inner: Box::new(inner), cmp: *cmp }, depth)
                }
            };
            if depth > DEPTH_MAX {
                return None;
            }
            stack.push((logic, depth + 1));
        }
        let (logic, _) = stack.pop()?;
        stack.is_empty().then_some(logic)
    }

    /// Evaluates an expression in a count up to `cap`, 0 for none, with `count(idx, cap)`, which returns
    /// the number of matches, or any number not below `cap` when there are so many.
    pub(crate) fn eval(
        &self,
        cap: u64,
        count: &mut dyn FnMut(u8, u64) -> Result<u64, Stop>,
    ) -> Result<Outcome, Stop> {
        match self {
            Self::Sub { idx, cmp } => {
                let own = cmp.map_or(1, |cmp| u64::from(cmp.count) + 1);
                let found = count(*idx, own.max(cap))?;
                let holds = cmp.map_or(found > 0, |cmp| compares(cmp.op, found, cmp.count));
                let distinct = bit(*idx);
                Ok(if holds { Outcome { holds, total: found, distinct } } else { NOT })
            }
            Self::All(all) => {
                let mut sum = Outcome { holds: true, ..NOT };
                for inner in all {
                    let found = inner.eval(cap, count)?;
                    if !found.holds {
                        return Ok(NOT);
                    }
                    sum.add(found);
                }
                Ok(sum)
            }
            Self::Some(some) => {
                let mut sum = NOT;
                for inner in some {
                    let found = inner.eval(cap, count)?;
                    if found.holds {
                        sum.add(found);
                        // Without a count around it, one is enough; in a count, one may hold and add nothing.
                        if cap == 0 {
                            break;
                        }
                    }
                }
                Ok(sum)
            }
            Self::Block { inner, cmp } => {
                let distinct_cap = if cmp.distinct.is_some() { 2 } else { 0 };
                let own = (u64::from(cmp.count) + 1).max(distinct_cap);
                let found = inner.eval(own.max(cap), count)?;
                let distinct =
                    cmp.distinct.is_none_or(|distinct| found.distinct.count_ones() >= distinct);
                let holds = compares(cmp.op, found.total, cmp.count) && distinct;
                Ok(if holds { Outcome { holds, total: found.total, distinct: 0 } } else { NOT })
            }
        }
    }

    /// Returns the sub-signatures that must each match for the expression to hold.
    pub(crate) fn required(&self) -> Vec<u8> {
        match self {
            Self::Sub { idx, cmp } if needs_match(*cmp) => vec![*idx],
            Self::All(all) => all.iter().flat_map(Self::required).collect(),
            Self::Block { inner, cmp } if needs_match(Some(*cmp)) => inner.required(),
            _ => Vec::new(),
        }
    }
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.holds = true;
        self.total = self.total.saturating_add(other.total);
        self.distinct |= other.distinct;
    }
}

/// True when a comparison can hold only with at least one match.
pub(crate) fn needs_match(cmp: Option<Compare>) -> bool {
    cmp.is_none_or(|cmp| match cmp.op {
        CompareOp::Greater => true,
        CompareOp::Equal => cmp.count > 0,
        CompareOp::Less => false,
    })
}

fn compares(op: CompareOp, found: u64, wanted: u32) -> bool {
    let wanted = u64::from(wanted);
    match op {
        CompareOp::Equal => found == wanted,
        CompareOp::Less => found < wanted,
        CompareOp::Greater => found > wanted,
    }
}

fn bit(idx: u8) -> u64 {
    1u64.checked_shl(u32::from(idx)).unwrap_or(0)
}

const NOT: Outcome = Outcome { holds: false, total: 0, distinct: 0 };
/// Ours: nesting of parentheses and of alternating operators.
const DEPTH_MAX: usize = 128;
/// Ours: terms of one expression; a line of 32 KiB has no more than half as many.
const TERMS_MAX: usize = 16_384;

#[cfg(test)]
mod tests;
