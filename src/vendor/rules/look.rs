//! A look at the body of an answer, as far as the byte that decides.

use super::{RuleIndex, RuleSet, Rules};
use crate::vendor::scan::{Event, PointerSet, Scanner, Value};

/// What the head of an answer says.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a look must not allocate")]
pub enum Look<'r> {
    /// Nothing in the body matters.
    Decided(Option<RuleIndex>),
    Body(BodyLook<'r>),
}

/// A look at one body, in decoded form, under way.
#[derive(Debug)]
pub struct BodyLook<'r> {
    scanner: Scanner<'r>,
    standing: Standing<'r>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// Undecided: feed the next bytes, or finish.
    More,
    /// The first rule that matches, if one does.
    Decided(Option<RuleIndex>),
}

/// How the rules stand after what has been read.
#[derive(Debug)]
struct Standing<'r> {
    rules: &'r Rules,
    /// Undecided, and before `matched`.
    open: RuleSet,
    matched: Option<RuleIndex>,
    /// Rules whose condition on a value holds, or that have none; likewise for the text.
    value_held: RuleSet,
    text_held: RuleSet,
    /// Pointers that may still be found.
    pending: PointerSet,
}

impl<'r> BodyLook<'r> {
    pub(super) fn new(rules: &'r Rules, open: RuleSet, matched: Option<RuleIndex>) -> Self {
        let mut standing =
            Standing { rules, open, matched, value_held: 0, text_held: 0, pending: 0 };
        for rule in bits(open) {
            let places = &rules.places[rule];
            standing.pending |= places.value | places.text;
            standing.value_held |= RuleSet::from(places.value == 0) << rule;
            standing.text_held |= RuleSet::from(places.text == 0) << rule;
        }
        BodyLook { scanner: Scanner::new(&rules.pointers, standing.pending), standing }
    }

    /// The next bytes of the body, in any slices.
    pub fn feed(&mut self, bytes: &[u8]) -> Progress {
        let mut input = bytes;
        while self.standing.open != 0 {
            match self.scanner.next(&mut input) {
                Some(Event::Found { pointer, value }) => self.standing.found(pointer, &value),
                Some(Event::Gone(pointers)) => self.standing.gone(pointers),
                None => return Progress::More,
            }
        }
        Progress::Decided(self.standing.matched)
    }

    /// The body is over, or as much of it is read as may be: what is undecided does not match.
    pub fn finish(&mut self) -> Option<RuleIndex> {
        self.standing.open = 0;
        self.standing.matched
    }
}

impl Standing<'_> {
    fn found(&mut self, pointer: usize, value: &Value<'_>) {
        let here: PointerSet = 1 << pointer;
        self.pending &= !here;
        for index in bits(self.open & self.rules.users[pointer]) {
            let (rule, places) = (&self.rules.rules[index], &self.rules.places[index]);
            let this: RuleSet = 1 << index;
            if places.value == here
                && rule.value.as_ref().is_some_and(|value_is| value_is.holds(value))
            {
                self.value_held |= this;
            }
            if places.text & here != 0 && rule.text.as_ref().is_some_and(|text| text.holds(value)) {
                self.text_held |= this;
            }
            self.decide(index);
        }
    }

    fn gone(&mut self, pointers: PointerSet) {
        self.pending &= !pointers;
        for index in bits(self.open) {
            self.decide(index);
        }
    }

    fn decide(&mut self, index: usize) {
        let places = &self.rules.places[index];
        let this: RuleSet = 1 << index;
        if self.open & this == 0 {
            return;
        }
        let (value_held, text_held) = (self.value_held & this != 0, self.text_held & this != 0);
        if value_held && text_held {
            self.matched = Some(RuleIndex(index));
            self.open &= this - 1;
        } else if !value_held && self.pending & places.value == 0
            || !text_held && self.pending & places.text == 0
        {
            self.open &= !this;
        }
    }
}

/// The places of the bits that are set, from the lowest.
fn bits(set: u32) -> impl Iterator<Item = usize> {
    let mut rest = set;
    std::iter::from_fn(move || {
        let lowest = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
        rest &= rest - 1;
        Some(lowest)
    })
}
