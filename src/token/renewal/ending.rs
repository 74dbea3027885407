//! How a renewal ends: with a last write that gives the lease back, where it was held.

use crate::clock;
use crate::secret::Fingerprint;

use super::super::Outcome;
use super::super::page::Page;
use super::setback::{Cost, Trouble};
use super::{End, Now, Renewal, Rules, Setback, Stage, Step};

impl Renewal {
    pub(super) fn note(&mut self, token: Fingerprint, fence: u64, page: Page, now: Now) -> Step {
        let next = page.refused(token, fence, clock::whole_millis(now.wall));
        self.swap(page, next, |next| Stage::Noting { token, fence, next })
    }

    /// Ends without a token: the others are told why, and the lease is given back.
    pub(super) fn close(
        &mut self,
        rules: &Rules,
        result: Result<Outcome, Setback>,
        trouble: Option<Trouble>,
        page: Page,
        now: Now,
    ) -> Step {
        let mut result = result;
        let mut next = page.clone();
        if let (Err(setback), Some(Trouble { cost, fence })) = (&mut result, trouble) {
            if cost == Cost::None {
                next = next.unsent(fence, self.task.reason);
            }
            let failure = self.failure(rules, setback, cost, &page, now.wall);
            setback.wait = failure.until.duration_since(now.wall).ok();
            if next.holds_lease(&rules.holder) {
                next.failure = Some(failure);
            }
        }
        let next = next.released(&rules.holder);
        if next == page {
            self.seen = page;
            return self.end(result);
        }
        let end = Box::new(self.ended(result, &next));
        self.swap(page, next, |next| Stage::Ending { end, trouble, next })
    }

    pub(super) fn release(
        &mut self,
        rules: &Rules,
        result: Result<Outcome, Setback>,
        page: Page,
    ) -> Step {
        let next = page.clone().released(&rules.holder);
        if next == page {
            self.seen = page;
            return self.end(result);
        }
        let end = Box::new(self.ended(result, &next));
        self.swap(page, next, |next| Stage::Ending { end, trouble: None, next })
    }

    pub(super) fn swap(
        &mut self,
        seen: Page,
        next: Page,
        stage: impl FnOnce(Page) -> Stage,
    ) -> Step {
        self.seen = seen;
        self.stage = stage(next.clone());
        Step::Swap(Box::new(next))
    }

    pub(super) fn end(&mut self, result: Result<Outcome, Setback>) -> Step {
        let page = self.seen.clone();
        Step::End(Box::new(self.ended(result, &page)))
    }

    fn ended(&mut self, result: Result<Outcome, Setback>, page: &Page) -> End {
        End {
            result,
            page: page.clone(),
            unsaved: self.task.unsaved.take(),
            unanswered: self.task.unanswered.take(),
            death: self.death,
            refusals: self.refusals.clone(),
        }
    }
}
