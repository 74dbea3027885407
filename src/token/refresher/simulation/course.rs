//! The course of a run: trouble for as long as its plan says, then none, and everybody must find back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::audit::Counts;
use super::plan::{Event, Plan};
use super::shaky::Outage;
use super::vendor::Trouble;
use super::world::{Replica, Running, Shared, World, access_of};
use super::{chance, gap, one_of, span};
use crate::telemetry::metrics::Metrics;

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) violation: Option<String>,
    pub(super) trace: Vec<String>,
    pub(super) counts: Counts,
    pub(super) plan: String,
    /// From the end of all trouble to the last replica's token.
    pub(super) healed_in: Duration,
}

struct Course {
    shared: Shared,
    places: Vec<Place>,
    seed: Option<usize>,
}

/// Where a replica runs, or is about to again.
struct Place {
    running: Option<Running>,
    lives: u32,
    /// When whoever is down starts, or whoever is paused goes on.
    again_at: Option<Instant>,
}

pub(super) async fn run(metrics: Arc<Metrics>, traced: bool) -> Report {
    let plan = Plan::draw();
    let told = format!("{plan:?}");
    let shared = World::new(plan.clone(), metrics, traced);
    let seed = plan.terms.refreshes.then_some(0);
    let mut course = Course { shared: shared.clone(), places: Vec::new(), seed };
    let callers: Vec<_> = course.start(&plan).await;
    course.trouble(&plan).await;
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    let healed_in = if shared.is_over() { Duration::ZERO } else { course.heal().await };
    let mut state = shared.state();
    Report {
        violation: state.books.violation.take(),
        trace: state.books.take_trace(),
        counts: state.books.counts,
        plan: told,
        healed_in,
    }
}

impl Course {
    async fn start(&mut self, plan: &Plan) -> Vec<tokio::task::JoinHandle<()>> {
        for place in 0..plan.replicas {
            self.places.push(Place { running: None, lives: 0, again_at: None });
            self.start_at(place);
            sleep(one_of(&[Duration::from_millis(1), SECOND])).await;
        }
        let calls = |place| tokio::spawn(self.shared.clone().calls_of(place));
        (0..plan.replicas).map(calls).collect()
    }

    fn start_at(&mut self, place: usize) {
        let at = &mut self.places[place];
        at.lives += 1;
        let who = Replica { place, life: at.lives };
        (at.running, at.again_at) = (Some(self.shared.start(who, self.seed)), None);
    }

    async fn trouble(&mut self, plan: &Plan) {
        let end = Instant::now() + plan.horizon;
        // The ends of the outages: of the store, of the vendor.
        let mut ends = [None, None];
        while Instant::now() < end && !self.shared.is_over() {
            let until_next = gap(plan.between_events).min(end - Instant::now());
            self.pass(until_next, &mut ends).await;
            if !plan.events.is_empty() {
                self.happen(one_of(&plan.events), plan, &mut ends).await;
            }
        }
    }

    /// Time passes; whoever is down or paused comes back, and outages end.
    async fn pass(&mut self, time: Duration, ends: &mut [Option<Instant>; 2]) {
        let until = Instant::now() + time;
        loop {
            let again = self.places.iter().filter_map(|place| place.again_at);
            let next = again.chain(ends.iter().flatten().copied()).min();
            let next = next.map_or(until, |next| next.min(until));
            tokio::time::sleep_until(next).await;
            let now = Instant::now();
            for place in 0..self.places.len() {
                if let Some(running) = &self.places[place].running {
                    running.check(&self.shared);
                }
                if self.places[place].again_at.is_some_and(|at| at <= now) {
                    self.again(place);
                }
            }
            if ends[0].take_if(|end| *end <= now).is_some() {
                let mut state = self.shared.state();
                state.shelf.outage = None;
                state.say(|| "store: outage over".to_owned());
                state.disturb();
            }
            if ends[1].take_if(|end| *end <= now).is_some() {
                self.shared.state().outage(None);
            }
            if now >= until || self.shared.is_over() {
                return;
            }
        }
    }

    fn again(&mut self, place: usize) {
        self.places[place].again_at = None;
        match &self.places[place].running {
            Some(running) => {
                let mut state = self.shared.state();
                state.say(|| format!("{} goes on", running.who));
                state.disturb();
                drop(state);
                running.go_on();
            }
            None => self.start_at(place),
        }
    }

    async fn happen(&mut self, event: Event, plan: &Plan, ends: &mut [Option<Instant>; 2]) {
        let place = fastrand::usize(..self.places.len());
        let lasts = span(SECOND, plan.horizon / 6);
        match event {
            Event::Kill | Event::Stop => self.end(place, event == Event::Kill).await,
            Event::Pause => {
                if let Some(running) = &self.places[place].running {
                    let mut state = self.shared.state();
                    state.say(|| format!("{} is paused", running.who));
                    state.disturb();
                    drop(state);
                    running.pause();
                    let again = Instant::now() + span(Duration::from_millis(100), MINUTE);
                    self.places[place].again_at = Some(again);
                }
            }
            Event::StoreOutage => {
                let kinds = [Outage::Refuses, Outage::Hangs, Outage::ReadOnly, Outage::Slow];
                let kind = one_of(&kinds);
                let mut state = self.shared.state();
                state.say(|| format!("store: outage {kind:?}"));
                state.disturb();
                state.shelf.outage = Some(kind);
                ends[0] = Some(Instant::now() + lasts);
            }
            Event::StoreForgets => self.shared.forget(fastrand::usize(1..8)),
            Event::StoreEmptied => self.shared.forget_all(),
            Event::VendorOutage => {
                let kinds = [
                    Trouble::NotSent,
                    Trouble::Busy,
                    Trouble::Silent,
                    Trouble::AnswerLost,
                    Trouble::Slow,
                    Trouble::Refused,
                ];
                self.shared.state().outage(Some(one_of(&kinds)));
                ends[1] = Some(Instant::now() + lasts);
            }
            Event::AccessTokensDie => {
                let mut state = self.shared.state();
                state.say(|| "vendor: all access tokens die".to_owned());
                state.vendor.kill_access();
            }
            Event::Revoked => {
                let mut state = self.shared.state();
                state.say(|| "vendor: everything is revoked".to_owned());
                state.vendor.revoke();
            }
            Event::Crowd => {
                for _ in 0..20 {
                    let shared = self.shared.clone();
                    let place = fastrand::usize(..self.places.len());
                    tokio::spawn(async move { shared.request(place, false).await });
                }
            }
            Event::Wish => {
                let mut state = self.shared.state();
                state.books.counts.wishes += 1;
                state.say(|| format!("an operator wants a refresh at {place}"));
                drop(state);
                if let Some(tokens) = self.shared.tokens(place) {
                    tokio::spawn(async move { tokens.refresh_now().await });
                }
            }
        }
    }

    async fn end(&mut self, place: usize, at_once: bool) {
        let Some(mut running) = self.places[place].running.take() else { return };
        match at_once {
            true => running.kill(&self.shared).await,
            false => running.stop(&self.shared).await,
        }
        let again = if chance(0.5) { Duration::ZERO } else { span(SECOND, MINUTE) };
        self.places[place].again_at = Some(Instant::now() + again);
    }

    /// Vendor and store are well, everybody runs: now a token must come, or a plea.
    async fn heal(&mut self) -> Duration {
        {
            let mut state = self.shared.state();
            state.say(|| "--- from here on all is well".to_owned());
            state.outage(None);
            (state.shelf.outage, state.shelf.faults, state.vendor.faults) = (None, 0.0, 0.0);
            state.disturb();
            let terms = &mut state.vendor.terms;
            (terms.odd, terms.same_again, terms.refresh_life) = (false, false, None);
            terms.life = terms.life.max(2 * HOUR);
        }
        (0..self.places.len()).for_each(|place| self.again(place));
        let began = Instant::now();
        let mut all_well = self.find_back(31 * HOUR).await;
        let healed_in = began.elapsed();
        if !all_well && !self.shared.is_over() {
            self.hear_plea().await;
            self.do_as_it_says().await;
            all_well = self.find_back(HOUR).await;
            if !all_well {
                self.fail("what the plea asked for was done, and did not help".to_owned());
            }
        }
        if all_well {
            self.agree().await;
        }
        healed_in
    }

    /// Whether every replica has come to a token that the vendor takes.
    async fn find_back(&mut self, longest: Duration) -> bool {
        let began = Instant::now();
        // A spent budget hides what there is to plead until the day turns.
        let capped = self.shared.plan.limits.per_day > 0;
        let (patience, longest) = if capped { (25 * HOUR, 31 * HOUR) } else { (HOUR, longest) };
        let mut step = SECOND;
        while began.elapsed() < longest && !self.shared.is_over() {
            sleep(step).await;
            step = (step.mul_f64(1.3)).min(20 * MINUTE);
            let mut well = true;
            for place in 0..self.places.len() {
                let got = self.shared.request(place, false).await;
                let state = self.shared.state();
                well &= match got {
                    Some(Ok(live)) => state.vendor.is_alive(access_of(&live)),
                    _ => false,
                };
            }
            self.places.iter().filter_map(|place| place.running.as_ref()).for_each(|running| {
                running.check(&self.shared);
            });
            if well {
                return true;
            }
            if step > MINUTE {
                self.shared.state().shelf.poll = 10 * MINUTE;
            }
            if began.elapsed() > patience && !self.has_hope() {
                return false;
            }
        }
        if self.has_hope() {
            self.fail(format!("no token after {longest:?} of health, though there is a way"));
        }
        false
    }

    fn has_hope(&self) -> bool {
        let page = self.shared.page();
        self.shared.state().has_hope(&page, self.seed)
    }

    /// There is no token, so nothing may have been thrown away, and everybody must say why.
    async fn hear_plea(&mut self) {
        let page = self.shared.page();
        let gone = self.shared.state().thrown_away(&page);
        if !gone.is_empty() {
            self.fail(format!("r{gone:?} had been received, are good, and are gone"));
        }
        let lost = self.shared.state().is_spent_by_loss(&page);
        let counts = self.shared.state().books.counts;
        self.shared.state().books.counts.pleas += 1;
        for place in 0..self.places.len() {
            let Some(Err(error)) = self.shared.request(place, false).await else { continue };
            let says = |part: &str| error.detail.contains(part);
            let exact = says("tokenward seed vendor") && (says("refused") || says("there is no"));
            let of_loss = !lost || counts.losses > 0 || says("was lost");
            let of_none = counts.lost_answers > 0 || counts.disturbances > 0 || !says("was lost");
            if !exact || !of_loss || !of_none {
                self.fail(format!("{place} pleads inexactly (lost: {lost}): {error}"));
            }
        }
    }

    async fn do_as_it_says(&mut self) {
        let seed = self.shared.state().vendor.new_refresh();
        self.seed = Some(seed);
        for place in 0..self.places.len() {
            self.end(place, false).await;
            self.start_at(place);
        }
    }

    async fn agree(&mut self) {
        let poll = self.shared.state().shelf.poll;
        for _ in 0..3 {
            sleep(poll + 3 * SECOND).await;
            let state = self.shared.state();
            let running = self.places.iter().filter_map(|place| place.running.as_ref());
            let mut served = running.map(|running| state.books.served(running.who));
            let first = served.next().flatten();
            if served.all(|other| other == first) {
                return;
            }
        }
        self.fail("the replicas do not come to serve the same token".to_owned());
    }

    fn fail(&self, what: String) {
        self.shared.state().fail(what);
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
