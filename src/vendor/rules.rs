//! Rejection rules: which answers of a vendor mean that the token is dead, or that we call too often.
//!
//! Rules are tried in their order; the first that matches gives the verdict. A look at an answer
//! starts with its head and goes on to its body only where a rule still depends on it, and only to
//! the byte that decides.

mod explain;
mod look;
mod media;
mod raw;
mod rule;

use std::fmt;

use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use thiserror::Error;

pub use self::explain::{Miss, Outcome};
pub use self::look::{BodyLook, Look, Progress};
pub use self::raw::{OneOrMany, RawRule, RawValue, RuleError, Says};
pub use self::rule::Rule;
use super::scan::{PointerError, PointerSet, Pointers};

/// The rules of one upstream, in order of priority.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    pointers: Pointers,
    /// For each rule, where its conditions look.
    places: Vec<Places>,
    /// For each pointer, the rules that use it.
    users: Vec<RuleSet>,
}

/// What a rejection calls for.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The token is dead: get another and send once more.
    Expired,
    /// The vendor wants fewer calls: hand the answer on, and leave the token alone.
    RateLimited,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Expired => "expired",
            Verdict::RateLimited => "rate_limited",
        })
    }
}

/// The place of a rule among its [`Rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleIndex(usize);

#[derive(Debug, Error, PartialEq)]
pub enum RulesError {
    #[error("there are more than {MAX_RULES} rules")]
    TooManyRules,
    #[error("rule {}: {source}", rule + 1)]
    Pointers {
        /// Counted from 0.
        rule: usize,
        source: PointerError,
    },
}

/// Bit n is rule n.
type RuleSet = u32;

const MAX_RULES: usize = RuleSet::BITS as usize;

#[derive(Debug)]
struct Places {
    /// At most one.
    value: PointerSet,
    text: PointerSet,
}

impl Rules {
    pub fn new(mut rules: Vec<Rule>) -> Result<Rules, RulesError> {
        if rules.len() > MAX_RULES {
            return Err(RulesError::TooManyRules);
        }
        let mut pointers = Pointers::default();
        let mut places = Vec::with_capacity(rules.len());
        for (place, rule) in rules.iter_mut().enumerate() {
            rule.name.get_or_insert_with(|| format!("rule-{}", place + 1));
            let mut add = |pointer: &String| match pointers.add(pointer) {
                Ok(at) => Ok(1 << at),
                Err(source) => Err(RulesError::Pointers { rule: place, source }),
            };
            let value = rule.value_pointer().map_or(Ok(0), &mut add)?;
            let text = rule.text_pointers().try_fold(0, |set, one| Ok(set | add(one)?))?;
            places.push(Places { value, text });
        }
        let uses = |pointer: usize| {
            let used = places.iter().map(|at| (at.value | at.text) >> pointer & 1);
            used.enumerate().fold(0, |set, (rule, used)| set | used << rule)
        };
        let users = (0..pointers.len()).map(uses).collect();
        Ok(Rules { rules, pointers, places, users })
    }

    /// What the head of an answer says. A body that is encoded is the caller's to decode.
    pub fn look(&self, status: StatusCode, headers: &HeaderMap) -> Look<'_> {
        let content_type = media::essence(headers);
        let mut open: RuleSet = 0;
        let mut matched = None;
        for (place, rule) in self.rules.iter().enumerate() {
            if !rule.status_holds(status) || !rule.content_type_holds(content_type) {
                continue;
            }
            if !rule.needs_body() {
                matched = Some(RuleIndex(place));
                break;
            }
            open |= 1 << place;
        }
        if open == 0 || content_type.is_some_and(media::never_looked_into) {
            return Look::Decided(matched);
        }
        Look::Body(BodyLook::new(self, open, matched))
    }

    /// The rule that a whole answer matches; see [`Rule::matches`].
    pub fn matches(
        &self,
        status: StatusCode,
        content_type: Option<&str>,
        body: &Json,
    ) -> Option<RuleIndex> {
        let mut rules = self.rules.iter();
        rules.position(|rule| rule.matches(status, content_type, body)).map(RuleIndex)
    }

    /// # Panics
    /// When `index` comes from other rules.
    pub fn get(&self, index: RuleIndex) -> &Rule {
        &self.rules[index.0]
    }

    pub fn iter(&self) -> impl Iterator<Item = (RuleIndex, &Rule)> {
        self.rules.iter().enumerate().map(|(place, rule)| (RuleIndex(place), rule))
    }
}

impl RuleIndex {
    /// Counted from 0.
    pub fn place(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests;
