//! Calls of the vendor: noted before they are made, one at a time, one grant for a death, and no storm.

use std::time::Duration;

use tokio::time::Instant;

use super::super::super::super::wire::{Denied, Grant};
use super::super::shaky::since;
use super::super::vendor::{Issued, Trouble, text};
use super::super::world::Replica;
use super::{Call, State};
use crate::clock;

impl State {
    pub(in super::super) fn call_begins(
        &mut self,
        who: Replica,
        presented: Option<usize>,
        trouble: Option<Trouble>,
    ) {
        self.say(|| format!("{who} calls with {presented:?}, meets {trouble:?}"));
        let noted = self.books.wrote.get(&who).copied().unwrap_or_default();
        let print = presented.map(|number| text(number).fingerprint());
        if !noted.1 || (print.is_some() && noted.0 != print) {
            self.fail(format!("{who} calls with {presented:?} and has not noted it before"));
        }
        let other = self.books.under_way.iter().find(|(_, call)| self.books.calm_since(call.began));
        if let Some((other, _)) = other {
            self.fail(format!("{who} calls while {other} does, and nothing has gone wrong"));
        }
        let (began, base) = (Instant::now(), self.books.generation);
        self.books.under_way.insert(who, Call { began, base, granted: false });
        self.books.counts.calls += 1;
        self.count_recent();
        if trouble != Some(Trouble::NotSent) {
            self.count_of_day();
        }
    }

    fn count_recent(&mut self) {
        let (now, books) = (Instant::now(), &mut self.books);
        books.calls.push_back(now);
        let recent = |at: &Instant| now - *at <= TEN_MINUTES;
        while books.calls.front().is_some_and(|at| !recent(at)) {
            books.calls.pop_front();
        }
        while books.disturbances.front().is_some_and(|at| !recent(at)) {
            books.disturbances.pop_front();
        }
        let disturbed = 10 * books.disturbances.len();
        let natural = books.caps.natural + 10 * books.caps.per_minute;
        let bound = MOST_TRIES + natural as usize + disturbed;
        let calls = books.calls.len();
        let of_outage =
            books.outage_at.map_or(0, |began| books.calls.iter().filter(|at| **at > began).count());
        if calls > bound {
            self.fail(format!("{calls} calls in ten minutes, and {bound} are explained"));
        }
        let bound = MOST_TRIES + disturbed;
        if of_outage > bound {
            self.fail(format!("{of_outage} calls in ten minutes of an outage"));
        }
    }

    fn count_of_day(&mut self) {
        let books = &mut self.books;
        let today = (clock::unix_seconds(clock::wall()) + books.caps.day_offset) / DAY;
        let (day, used) = books.day;
        books.day = if day == today { (day, used + 1) } else { (today, 1) };
        let (used, cap) = (books.day.1, books.caps.per_day);
        // A call that was booked before midnight may be made after it.
        if cap > 0 && used > cap + 2 && books.counts.losses == 0 {
            self.fail(format!("{used} calls in a day that has {cap}"));
        }
    }

    pub(in super::super) fn call_ends(&mut self, who: Replica) {
        self.books.under_way.remove(&who);
    }

    pub(in super::super) fn act(
        &mut self,
        who: Replica,
        presented: Option<usize>,
    ) -> Result<Issued, Denied> {
        let answer = self.vendor.act(presented);
        self.say(|| match &answer {
            Ok(issued) => format!("vendor: {who} gets a{:?} r{:?}", issued.access, issued.refresh),
            Err(denied) => format!("vendor: {who} gets {denied}"),
        });
        let Ok(Issued { access: Some(_), .. }) = answer else { return answer };
        self.books.counts.grants += 1;
        let Some(call) = self.books.under_way.get_mut(&who) else {
            self.lose_answer();
            return answer;
        };
        call.granted = true;
        let (base, began) = (call.base, call.began);
        if let Some((of, at)) = self.books.granted
            && of == base
            && self.books.calm_since(at)
        {
            self.fail(format!("a second grant for generation {base}, and nothing has gone wrong"));
        }
        self.books.granted = Some((base, began));
        answer
    }

    fn lose_answer(&mut self) {
        self.books.counts.lost_answers += 1;
        self.excuse();
    }

    pub(in super::super) fn heard(&mut self, who: Replica, presented: Option<usize>, what: &str) {
        self.say(|| format!("{who} hears of {presented:?}: {what}"));
    }

    /// An answer has reached a replica, or its call has failed.
    pub(in super::super) fn answered(
        &mut self,
        who: Replica,
        presented: Option<usize>,
        answer: Result<Issued, Denied>,
    ) -> Result<Grant, Denied> {
        let granted = self.books.under_way.get(&who).is_some_and(|call| call.granted);
        match answer {
            Ok(Issued { grant, refresh, .. }) => {
                self.heard(who, presented, "granted");
                if let Some(refresh) = refresh {
                    self.vendor.token(refresh).reached = Some(who);
                }
                Ok(grant)
            }
            Err(denied) => {
                self.heard(who, presented, &denied.to_string());
                if granted {
                    self.lose_answer();
                }
                if let (Denied::Refused(_), Some(number)) = (&denied, presented) {
                    self.count_refusals(number);
                }
                Err(denied)
            }
        }
    }

    fn count_refusals(&mut self, presented: usize) {
        let days = u32::try_from(since(self.books.began).as_secs() / DAY).unwrap_or(u32::MAX);
        let (counts, is_good) = (self.books.counts, self.vendor.is_good(presented));
        let is_lost = self.is_lost(presented);
        let token = self.vendor.token(presented);
        token.refusals += 1;
        let refusals = token.refusals;
        let patience = if is_lost { 3 } else { 12 + 5 * days };
        if !is_good && refusals > patience + counts.disturbances + 2 * counts.wishes {
            self.fail(format!("r{presented} was presented though it was refused {refusals} times"));
        }
    }

    /// It was presented, the vendor has acted, and nothing that came of it was ever saved.
    pub(super) fn is_lost(&self, presented: usize) -> bool {
        let brought = &self.vendor.of(presented).brought;
        !brought.is_empty() && !brought.iter().any(|number| self.books.saved.contains(number))
    }
}

const TEN_MINUTES: Duration = Duration::from_secs(600);
const DAY: u64 = 86_400;
/// Tries in ten minutes that backoff with full jitter explains: about 25, and never 45.
const MOST_TRIES: usize = 45;
