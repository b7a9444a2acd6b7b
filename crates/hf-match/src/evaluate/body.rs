//! The matches of a sub-signature in one object: all its forms, where its offset allows.

use hf_core::Stop;

use crate::pattern::{Chain, Found, Pattern, Work};
use crate::place::Place;

/// Matches in the order of the last part's start, each start once whatever the form.
#[derive(Debug)]
pub(crate) struct BodyMatches<'a> {
    forms: Vec<Form<'a>>,
    previous: Option<usize>,
}

#[derive(Debug)]
struct Form<'a> {
    chain: Chain<'a>,
    peeked: Option<Option<Found>>,
}

impl<'a> BodyMatches<'a> {
    pub(crate) fn new(data: &'a [u8], forms: &'a [Pattern], place: &Place, quirks: bool) -> Self {
        let form = |pattern| Form { chain: Chain::new(pattern, data, place, quirks), peeked: None };
        Self { forms: forms.iter().map(form).collect(), previous: None }
    }

    /// Returns the next match.
    pub(crate) fn next(&mut self, work: &mut Work<'_>) -> Result<Option<Found>, Stop> {
        loop {
            let mut best: Option<(usize, usize)> = None;
            for (idx, form) in self.forms.iter_mut().enumerate() {
                if let Some(found) = form.peek(work)?
                    && best.is_none_or(|(last, _)| found.last < last)
                {
                    best = Some((found.last, idx));
                }
            }
            let Some((last, idx)) = best else { return Ok(None) };
            let found = self.forms.get_mut(idx).and_then(|form| form.peeked.take()).flatten();
            if self.previous.is_none_or(|previous| previous < last) {
                self.previous = Some(last);
                return Ok(found);
            }
        }
    }
}

impl Form<'_> {
    fn peek(&mut self, work: &mut Work<'_>) -> Result<Option<Found>, Stop> {
        if self.peeked.is_none() {
            self.peeked = Some(self.chain.next(work)?);
        }
        Ok(self.peeked.flatten())
    }
}
