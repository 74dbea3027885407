//! How a name for the credential and a word for its death make a phrase.

use super::lexicon::Class::{self, *};
use super::words::Word;

/// The words of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phrases<'w>(pub(super) &'w [Word]);

/// A name of the credential within a message.
#[derive(Clone, Copy, Debug)]
struct Name {
    /// With what belongs to it before: `your` not, `access` so.
    start: usize,
    /// After its last word.
    end: usize,
    kind: Kind,
    /// The name alone tells that it is ours: `access_token`, not `token`.
    sure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Token,
    Grant,
    Login,
}

impl Phrases<'_> {
    pub(super) fn token_dead(self) -> bool {
        let places = 0..self.0.len();
        !places.clone().any(|at| self.class(at) == Veto)
            && places.into_iter().any(|at| {
                self.name_then_death(at) || self.death_then_name(at) || self.logged_out(at)
            })
    }

    /// `token is invalid`, `access_token 不存在`; `at` is the last word of the name.
    fn name_then_death(self, at: usize) -> bool {
        let Some(name) = self.name_ending(at) else {
            return false;
        };
        if !self.nobody_elses(name) {
            return false;
        }
        if self.class(at) == DeadToken {
            return true;
        }
        let mut header = false;
        for next in name.end..name.end + MAX_BETWEEN {
            if self.death(next, name.kind, header) {
                return true;
            }
            match self.class(next) {
                Is | Colon | Part | Given => {}
                User if self.class(next + 1) == Given => {}
                Header => header = true,
                Param if name.sure => {}
                Quote | Bracket => {
                    // A value, as in `access_token [abc] is invalid`.
                    if let Some(close) = (next + 1..next + 5).find(|at| self.is_mark(*at))
                        && !self.is_mark(next + 1)
                        && self.death_after_links(close + 1, name.kind)
                    {
                        return true;
                    }
                }
                _ => return false,
            }
        }
        false
    }

    /// `invalid access token`, 缺少token; `at` is the word for the death.
    fn death_then_name(self, at: usize) -> bool {
        let failed_check = self.class(at) == Check
            && (matches!(self.before(at), Error | Fail)
                || self.before(at) == For && at > 1 && self.class(at - 2) == Fail);
        if !matches!(self.class(at), Expired | Invalid | Wrong | Missing | Lack) && !failed_check {
            return false;
        }
        if matches!(self.before(at), Not | Lack | If | Cannot) {
            return false;
        }
        let mut next = at + 1;
        let mut vague = false;
        for _ in 0..MAX_BETWEEN {
            match self.class(next) {
                Or | Slash | Of | The | Given | Good | Expired | Invalid | Missing | User
                | Request | Header | Absent | Quote | Bracket | In => {}
                Param | Colon => vague = true,
                _ => break,
            }
            next += 1;
        }
        let Some(name) = self.name_starting(next) else {
            return false;
        };
        let only_sent = matches!(self.class(at), Wrong | Missing | Lack);
        let header = self.class(name.end) == Header;
        match name.kind {
            Kind::Token => (name.sure || !vague) && self.ends_well(name),
            Kind::Grant => (!only_sent || header) && !vague && self.ends_well(name),
            Kind::Login => false,
        }
    }

    /// 未登录 as all that is said, 请重新登录, `please log in again`.
    fn logged_out(self, at: usize) -> bool {
        let over = |at| matches!(self.class(at), Stop | Or | Bracket | Quote | Please | Is);
        let opening = |at: usize| {
            let first = (0..at).rev().find(|at| self.class(*at) == Stop).map_or(0, |stop| stop + 1);
            (first..at).all(|at| {
                matches!(
                    self.class(at),
                    User | The | Is | Number | Colon | Lead | Error | Bracket | Not
                )
            })
        };
        match self.class(at) {
            LoggedOut => over(at + 1) && opening(at),
            Relogin => matches!(self.before(at), Please | User),
            // "not logged in"
            Log => {
                let again = |at| self.class(at) == Again;
                let asked = self.before(at) == Please;
                self.class(at + 1) == In
                    && (asked && again(at + 2)
                        || self.before(at) == Not && over(at + 2) && opening(at))
            }
            Login => match self.before(at) {
                Please => self.class(at + 1) == Again,
                // "please re-login"
                Again => self.before(at - 1) == Please,
                _ => false,
            },
            _ => false,
        }
    }

    /// The name whose last word is at `at`.
    fn name_ending(self, at: usize) -> Option<Name> {
        let kind = match self.class(at) {
            Token | AccessToken | DeadToken | Credential | Voucher => Kind::Token,
            Grant => Kind::Grant,
            Login => Kind::Login,
            _ => return None,
        };
        let mut start = at;
        while start > 0 && matches!(self.class(start - 1), Access | Grant | Login | AccessToken) {
            start -= 1;
        }
        let qualified = start < at;
        let sure = qualified || self.class(at) == AccessToken;
        if self.class(at) == Voucher && !qualified {
            return None;
        }
        if sure
            && kind == Kind::Token
            && start > 0
            && self.0[start].glued
            && self.before(start) == Unknown
        {
            // A vendor's own name for it: `ACME_ACCESS_TOKEN`.
            start -= 1;
        }
        Some(Name { start, end: at + 1, kind, sure })
    }

    /// The name whose first word is at `at`.
    fn name_starting(self, at: usize) -> Option<Name> {
        let mut last = at;
        let own = self.class(at) == Unknown && self.0.get(at + 1).is_some_and(|word| word.glued);
        if own {
            last += 1;
        }
        while matches!(self.class(last), Access | Grant | Login | AccessToken)
            && matches!(
                self.class(last + 1),
                Access | Grant | Login | AccessToken | Token | Credential | Voucher
            )
        {
            last += 1;
        }
        self.name_ending(last).filter(|name| name.start == at)
    }

    /// What stands before the name leaves it ours.
    fn nobody_elses(self, name: Name) -> bool {
        let mut at = name.start;
        // In `field "token" is empty` the quotes hide the owner.
        if self.is_mark(name.end) && at > 0 && self.is_mark(at - 1) {
            at -= 1;
        }
        if at == 0 {
            return true;
        }
        let before_that = if at > 1 { self.class(at - 2) } else { Stop };
        match self.class(at - 1) {
            Stop | Colon | Quote | Bracket | Number | Or | Lead | Fail => true,
            Expired | Invalid | Wrong | Error | Missing | Lack | Absent => true,
            The | Given => !matches!(before_that, If | In | For | Of),
            User => name.kind != Kind::Grant && before_that != If,
            Request | Header => name.kind == Kind::Token,
            In => matches!(before_that, Header | Request),
            Of => matches!(before_that, The | User | Request | Header | Expired | Invalid),
            Param => name.kind == Kind::Token && name.sure,
            _ => false,
        }
    }

    /// At `at` is a word for the death, and what follows does not give it another meaning.
    fn death(self, at: usize, kind: Kind, header: bool) -> bool {
        let token = kind == Kind::Token;
        let next = self.skip_is(at + 1);
        match self.class(at) {
            Expired | Invalid => self.is_said(at + 1),
            Wrong if token => self.is_said(at + 1),
            Error if token => self.is_all_said(at + 1),
            Missing | Absent | Empty if token || header => self.is_all_said(at + 1),
            Timeout => kind == Kind::Login && self.is_said(at + 1),
            Not => self.is_good(next) && self.is_said(next + 1),
            Lack => self.class(at + 1) == Longer && self.is_good(at + 2) && self.is_said(at + 3),
            Must if token && self.class(next) == Not => self.class(self.skip_is(next + 1)) == Empty,
            Must => token && self.is_good(next) && self.is_all_said(next + 1),
            Cannot => token && self.class(next) == Empty,
            Check | Grant | Access if token => {
                let failed = matches!(self.class(next), Fail | Error | Invalid | Wrong | Expired);
                failed && self.is_said(next + 1)
            }
            _ => false,
        }
    }

    fn death_after_links(self, at: usize, kind: Kind) -> bool {
        self.death(self.skip_is(at), kind, false)
    }

    /// A predicate may end here, or go on with words that are not its object.
    fn is_said(self, at: usize) -> bool {
        !matches!(self.class(at), Thing | UnknownHan | For | Part | Param)
    }

    /// A predicate ends here; `token missing scope` goes on.
    fn is_all_said(self, at: usize) -> bool {
        match self.class(at) {
            Stop | Colon | Quote | Bracket | Number | Or | Please | Is | Lead => true,
            In => self.in_the_request(at),
            _ => false,
        }
    }

    /// What follows `invalid token` leaves it at that; `invalid token length` does not.
    fn ends_well(self, name: Name) -> bool {
        let mut at = name.end;
        if matches!(self.class(at), Header | Part) || self.class(at) == Param && name.sure {
            at += 1;
        }
        match self.class(at) {
            Stop | Colon | Bracket | Number | Or | Please | Error | Fail | Good | Given | Lead => {
                true
            }
            Is => self.is_good(self.skip_is(at)),
            Quote => name.sure || matches!(self.class(at + 1), Stop | Colon),
            In => self.in_the_request(at),
            For => name.sure,
            _ => false,
        }
    }

    /// `in the request headers`.
    fn in_the_request(self, at: usize) -> bool {
        (at + 1..at + 4).any(|at| matches!(self.class(at), Header | Request))
    }

    fn is_good(self, at: usize) -> bool {
        matches!(self.class(at), Good | Given)
    }

    fn skip_is(self, from: usize) -> usize {
        (from..from + 3).find(|at| self.class(*at) != Is).unwrap_or(from + 3)
    }

    fn is_mark(self, at: usize) -> bool {
        matches!(self.class(at), Quote | Bracket)
    }

    fn before(self, at: usize) -> Class {
        if at == 0 { Stop } else { self.class(at - 1) }
    }

    /// The end of the message is a stop.
    fn class(self, at: usize) -> Class {
        self.0.get(at).map_or(Stop, |word| word.class)
    }
}

/// Words between a name and its predicate.
const MAX_BETWEEN: usize = 6;
