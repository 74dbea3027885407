//! Who makes room when there is no place for another connection: of those without a request under way,
//! the ones that have waited longest.
//!
//! A flood of connections that say nothing, or half of a head, would otherwise keep everybody out for as
//! long as `limits.head` or `limits.keep_alive`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The connections of one worker.
#[derive(Debug, Default)]
pub struct Seats {
    taken: RefCell<Vec<Rc<Place>>>,
    /// Counts the times that a connection came to wait.
    turns: Cell<u64>,
    /// Those that must leave and are still there.
    leaving: Cell<usize>,
    /// For how long whoever comes may stay.
    stay: Cell<Stay>,
}

/// A connection's.
#[derive(Debug)]
pub struct Seat {
    of: Rc<Seats>,
    place: Rc<Place>,
}

/// A request is under way for as long as this lives.
#[derive(Debug)]
pub struct Busy {
    of: Rc<Seats>,
    place: Rc<Place>,
}

#[derive(Debug)]
struct Place {
    /// In [`Seats::taken`].
    index: Cell<usize>,
    requests: Cell<usize>,
    /// The turn at which it came to wait.
    since: Cell<u64>,
    must_leave: Cell<bool>,
    stay: Cell<Stay>,
    /// By which it came.
    socket: u64,
    waker: RefCell<Waker>,
}

/// For how long a connection may stay that nobody needs the place of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stay {
    #[default]
    AsItLikes,
    /// To its next answer, which says so. Until it asks, it may wait.
    ToItsNextAnswer,
    /// No longer than its answers.
    ToItsAnswers,
}

impl Seats {
    pub fn take(self: &Rc<Self>, socket: u64) -> Seat {
        let mut taken = self.taken.borrow_mut();
        let place = Rc::new(Place {
            index: Cell::new(taken.len()),
            requests: Cell::new(0),
            since: Cell::new(self.turn()),
            must_leave: Cell::new(false),
            stay: Cell::new(self.stay.get()),
            socket,
            waker: RefCell::new(Waker::noop().clone()),
        });
        taken.push(place.clone());
        Seat { of: self.clone(), place }
    }

    /// Sends some of those away that wait. Whether as many leave as there are too many, which is `over`:
    /// they are gone in a moment, or when they have read their last answer.
    pub fn make_room(&self, over: usize) -> bool {
        let leaving = self.leaving.get();
        if leaving < over {
            self.leaving.set(leaving + self.send_away(over - leaving, MOST_LEAVING - leaving));
        }
        self.leaving.get() >= over
    }

    /// Several at once, so that a flood does not have them all looked at for each newcomer.
    fn send_away(&self, least: usize, most: usize) -> usize {
        let taken = self.taken.borrow();
        let waits = |place: &&Rc<Place>| place.requests.get() == 0 && !place.must_leave.get();
        let mut waiting: Vec<_> = taken.iter().filter(waits).collect();
        let count = (waiting.len() / 8).max(least).min(most).min(waiting.len());
        if let Some(last) = count.checked_sub(1) {
            waiting.select_nth_unstable_by_key(last, |place| place.since.get());
        }
        for place in &waiting[..count] {
            place.must_leave.set(true);
            place.waker.borrow().wake_by_ref();
        }
        count
    }

    /// Everybody leaves after their next answer. Who does not ask may wait for it.
    pub fn part(&self) {
        self.stay.set(Stay::ToItsNextAnswer);
        self.taken.borrow().iter().for_each(|place| place.part());
    }

    /// Everybody leaves when what they have asked for is answered.
    pub fn close(&self) {
        self.stay.set(Stay::ToItsAnswers);
        self.taken.borrow().iter().for_each(|place| place.close());
    }

    /// The same for those that came by one socket.
    pub fn close_those_by(&self, socket: u64) {
        let taken = self.taken.borrow();
        taken.iter().filter(|place| place.socket == socket).for_each(|place| place.close());
    }

    fn turn(&self) -> u64 {
        self.turns.set(self.turns.get() + 1);
        self.turns.get()
    }
}

impl Seat {
    pub fn busy(&self) -> Busy {
        self.place.requests.set(self.place.requests.get() + 1);
        Busy { of: self.of.clone(), place: self.place.clone() }
    }

    /// Completes when somebody else needs the place.
    pub async fn must_leave(&self) {
        poll_fn(|cx| self.poll(self.place.must_leave.get(), cx)).await;
    }

    /// Ready when somebody else needs the place, or nobody is to stay.
    pub fn poll_leave(&self, cx: &mut Context<'_>) -> Poll<()> {
        let is_over = self.place.stay.get() == Stay::ToItsAnswers;
        self.poll(self.place.must_leave.get() || is_over, cx)
    }

    /// Ready when the answer that is being made shall be the last.
    pub fn poll_last(&self, cx: &mut Context<'_>) -> Poll<()> {
        let is_last = self.place.stay.get() != Stay::AsItLikes;
        self.poll(self.place.must_leave.get() || is_last, cx)
    }

    fn poll(&self, is_ready: bool, cx: &mut Context<'_>) -> Poll<()> {
        if is_ready {
            return Poll::Ready(());
        }
        self.place.waker.borrow_mut().clone_from(cx.waker());
        Poll::Pending
    }
}

impl Place {
    fn part(&self) {
        if self.stay.get() == Stay::AsItLikes {
            self.stay.set(Stay::ToItsNextAnswer);
        }
        self.waker.borrow().wake_by_ref();
    }

    fn close(&self) {
        self.stay.set(Stay::ToItsAnswers);
        self.waker.borrow().wake_by_ref();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.place.must_leave.get() {
            self.of.leaving.set(self.of.leaving.get() - 1);
        }
        let mut taken = self.of.taken.borrow_mut();
        let index = self.place.index.get();
        taken.swap_remove(index);
        if let Some(moved) = taken.get(index) {
            moved.index.set(index);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.place.requests.set(self.place.requests.get() - 1);
        if self.place.requests.get() == 0 {
            self.place.since.set(self.of.turn());
        }
    }
}

/// As many may be beyond the limit for a moment.
const MOST_LEAVING: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn leaving(seats: &[Seat]) -> Vec<usize> {
        (0..seats.len()).filter(|at| seats[*at].place.must_leave.get()).collect()
    }

    #[test]
    fn p27_who_has_waited_longest_makes_room() {
        let all = Rc::new(Seats::default());
        assert!(!all.make_room(1), "nobody is there");
        let mut seats: Vec<_> = (0..4).map(|_| all.take(0)).collect();
        // The first has asked since; the second is being answered; the last has gone.
        drop(seats[0].busy());
        let busy = seats[1].busy();
        seats.pop();
        assert!(all.make_room(1));
        assert_eq!(leaving(&seats), [2]);
        assert!(all.make_room(1), "it is still on its way");
        assert_eq!(leaving(&seats), [2]);
        assert!(all.make_room(2));
        assert_eq!(leaving(&seats), [0, 2]);
        assert!(!all.make_room(3), "who is answered stays");
        drop(busy);
        assert!(all.make_room(3));
        assert_eq!(leaving(&seats), [0, 1, 2]);
        seats.clear();
        assert!(!all.make_room(1), "they have left");
    }

    #[test]
    fn p30_those_by_a_socket_that_goes_leave_and_no_others() {
        let all = Rc::new(Seats::default());
        let seats: Vec<_> = (0..4).map(|socket| all.take(socket % 2)).collect();
        all.close_those_by(1);
        let leaving =
            |seat: &Seat| seat.poll_leave(&mut Context::from_waker(Waker::noop())).is_ready();
        assert_eq!(seats.iter().map(leaving).collect::<Vec<_>>(), [false, true, false, true]);
        // At the end of all, whoever comes still leaves at once too.
        all.close();
        assert!(seats.iter().chain([&all.take(2)]).all(leaving));
    }

    #[test]
    fn p29_first_answers_are_the_last_and_then_nobody_may_wait() {
        let all = Rc::new(Seats::default());
        let here = all.take(0);
        let cx = &mut Context::from_waker(Waker::noop());
        let polled = |seat: &Seat, cx: &mut Context<'_>| {
            [seat.poll_last(cx).is_ready(), seat.poll_leave(cx).is_ready()]
        };
        assert_eq!(polled(&here, cx), [false, false]);
        all.part();
        for seat in [&here, &all.take(0)] {
            assert_eq!(polled(seat, cx), [true, false]);
        }
        all.close_those_by(0);
        all.part();
        assert_eq!(polled(&here, cx), [true, true], "it had to leave before");
        all.close();
        assert_eq!(polled(&all.take(1), cx), [true, true]);
    }

    #[test]
    fn p27_of_many_an_eighth_makes_room_at_once() {
        let all = Rc::new(Seats::default());
        let mut seats: Vec<_> = (0..80).map(|_| all.take(0)).collect();
        assert!(all.make_room(1));
        assert_eq!(leaving(&seats), (0..10).collect::<Vec<_>>());
        // Whoever goes leaves the others where they are.
        seats.drain(..10);
        assert!(all.make_room(1));
        assert_eq!(leaving(&seats), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn p27_no_more_leave_at_one_time_than_there_is_slack_for() {
        let all = Rc::new(Seats::default());
        let seats: Vec<_> = (0..4000).map(|_| all.take(0)).collect();
        assert!(all.make_room(1));
        assert_eq!(leaving(&seats).len(), MOST_LEAVING);
        assert!(all.make_room(MOST_LEAVING));
        assert!(!all.make_room(MOST_LEAVING + 1));
        assert_eq!(leaving(&seats).len(), MOST_LEAVING);
    }
}
