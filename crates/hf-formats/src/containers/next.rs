//! The place of the next header, remembered, so that looking for it again costs nothing.

/// What the last search found.
#[derive(Debug, Default)]
pub(super) struct Next(Option<(usize, Option<usize>)>);

impl Next {
    /// Returns the first place at or behind `from`, which `search` finds unless it is known from a search
    /// that started before.
    pub(super) fn find(
        &mut self,
        from: usize,
        search: impl FnOnce() -> Option<usize>,
    ) -> Option<usize> {
        if let Some((start, found)) = self.0
            && start <= from
            && found.is_none_or(|found| found >= from)
        {
            return found;
        }
        let found = search();
        self.0 = Some((from, found));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_only_what_is_not_known() {
        let mut next = Next::default();
        assert_eq!(next.find(5, || Some(20)), Some(20));
        assert_eq!(next.find(20, || panic!("known")), Some(20));
        assert_eq!(next.find(21, || None), None);
        assert_eq!(next.find(30, || panic!("known")), None);
        assert_eq!(next.find(4, || Some(4)), Some(4));
    }
}
