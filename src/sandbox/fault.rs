//! Faults: what a vendor can be told to get wrong, on which of its answers, and how often.

use std::{fmt, mem, time::Duration};

/// A switched-on fault. [`Fault::new`] gives it the scope that its kind is mostly meant for and
/// leaves it on until it is cleared.
///
/// ```
/// use tokenward::sandbox::{Fault, FaultKind, Scope};
///
/// let fault = Fault::new(FaultKind::Silent).on(Scope::Token).times(1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub scope: Scope,
    /// Requests that still meet the fault; `None` goes on until cleared.
    pub left: Option<u32>,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Every access token that lives now is dead. Happens once, when the fault is set.
    Expire,
    /// No access token is good enough, not even a new one.
    RefuseAll,
    /// How a rejected token is answered; it rejects nothing by itself.
    Rejection(Rejection),
    /// A refresh token is refused as if it were spent.
    RefuseRefresh,
    /// The token endpoint hands out the token that still lives, with what is left of its life.
    SameToken,
    /// Rotation on or off, whatever the settings say.
    Rotate(bool),
    /// The request is carried out, then the connection is closed without an answer. On the
    /// token endpoint a rotated refresh token is lost that way.
    DropAnswer,
    /// The answer comes later by this much.
    Slow(Duration),
    /// The request is read and never answered.
    Silent,
    /// A 5xx of a load balancer, in HTML; nothing is carried out.
    ServerError(u16),
    /// 200 with something that is not JSON; nothing is carried out.
    Garbage,
    /// The recorded answer of this name; nothing is carried out.
    Answer(String),
    /// The connection is closed after half of the body.
    Cut,
    /// The body comes byte by byte, each byte a chunk of its own.
    Split,
    /// The body is compressed.
    Encoding(Encoding),
    /// Another content type than the body's.
    ContentType(String),
    /// So many KiB of data before the first member of the envelope.
    Padding(usize),
}

/// What a fault applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The token endpoints.
    Token,
    /// Business calls.
    Calls,
    /// Business calls whose token is rejected; only for what changes the look of an answer.
    Rejections,
    /// All of these.
    All,
}

/// How a rejected token is answered. What is `None` stays as the vendor has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// The recorded answer of this name, such as `rejected_expired_zh`.
    pub recording: Option<String>,
    /// Instead of a recording: the vendor's failure envelope with this code …
    pub code: Option<i64>,
    /// … and this text.
    pub message: Option<String>,
    /// HTTP status.
    pub status: Option<u16>,
}

/// A content encoding that the sandbox can produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    Deflate,
}

impl Fault {
    pub fn new(kind: FaultKind) -> Self {
        let scope = kind.usual_scope();
        Self { kind, scope, left: None }
    }

    #[must_use]
    pub fn on(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self::new(kind)
    }
}

impl FaultKind {
    /// The word for it in `POST /-/fault?kind=…`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::RefuseAll => "refuse-all",
            Self::Rejection(_) => "rejection",
            Self::RefuseRefresh => "refuse-refresh",
            Self::SameToken => "same-token",
            Self::Rotate(_) => "rotate",
            Self::DropAnswer => "drop-answer",
            Self::Slow(_) => "slow",
            Self::Silent => "silent",
            Self::ServerError(_) => "server-error",
            Self::Garbage => "garbage",
            Self::Answer(_) => "answer",
            Self::Cut => "cut",
            Self::Split => "split",
            Self::Encoding(_) => "encoding",
            Self::ContentType(_) => "content-type",
            Self::Padding(_) => "padding",
        }
    }

    fn usual_scope(&self) -> Scope {
        match self {
            Self::RefuseAll => Scope::Calls,
            Self::RefuseRefresh | Self::SameToken | Self::Rotate(_) | Self::DropAnswer => {
                Scope::Token
            }
            Self::Rejection(_)
            | Self::Split
            | Self::Encoding(_)
            | Self::ContentType(_)
            | Self::Padding(_) => Scope::Rejections,
            Self::Expire
            | Self::Slow(_)
            | Self::Silent
            | Self::ServerError(_)
            | Self::Garbage
            | Self::Answer(_)
            | Self::Cut => Scope::All,
        }
    }
}

/// The faults that are switched on, of one vendor.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Switches `fault` on, in place of one of its kind and scope.
    pub(super) fn set(&mut self, fault: Fault) {
        let same = |other: &Fault| {
            mem::discriminant(&other.kind) == mem::discriminant(&fault.kind)
                && other.scope == fault.scope
        };
        self.0.retain(|other| !same(other));
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The first fault within `scope` that `pick` wants; it has then been met once more.
    pub(super) fn take<T>(
        &mut self,
        scope: Scope,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<T> {
        let (index, picked) = self.0.iter().enumerate().find_map(|(index, fault)| {
            let meant = fault.left != Some(0) && fault.scope.covers(scope);
            meant.then(|| pick(&fault.kind)).flatten().map(|picked| (index, picked))
        })?;
        if let Some(left) = &mut self.0[index].left {
            *left -= 1;
            if *left == 0 {
                self.0.remove(index);
            }
        }
        Some(picked)
    }

    /// One line each, for people.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().map(Fault::to_string).collect()
    }
}

impl Scope {
    fn covers(self, scope: Scope) -> bool {
        self == scope || self == Scope::All || (self, scope) == (Scope::Calls, Scope::Rejections)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == FaultKind::Expire {
            return f.write_str("expire, at once");
        }
        write!(f, "{} on {}, ", self.kind.name(), self.scope)?;
        match self.left {
            Some(left) => write!(f, "{left} more"),
            None => f.write_str("until cleared"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Calls => "calls",
            Self::Rejections => "rejections",
            Self::All => "all",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_cut(kind: &FaultKind) -> Option<()> {
        (*kind == FaultKind::Cut).then_some(())
    }

    #[test]
    fn a_fault_is_met_as_often_as_told() {
        let mut faults = Faults::default();
        faults.set(Fault::new(FaultKind::Cut).times(2));
        assert!(faults.take(Scope::Token, is_cut).is_some());
        assert!(faults.take(Scope::Calls, is_cut).is_some());
        assert!(faults.take(Scope::Calls, is_cut).is_none());
    }

    #[test]
    fn zero_times_is_never() {
        let mut faults = Faults::default();
        faults.set(Fault::new(FaultKind::Cut).times(0));
        assert!(faults.take(Scope::Calls, is_cut).is_none());
    }

    #[test]
    fn a_fault_keeps_to_its_scope() {
        for (set, met, missed) in [
            (Scope::Token, vec![Scope::Token], vec![Scope::Calls, Scope::Rejections]),
            (Scope::Calls, vec![Scope::Calls, Scope::Rejections], vec![Scope::Token]),
            (Scope::Rejections, vec![Scope::Rejections], vec![Scope::Calls, Scope::Token]),
            (Scope::All, vec![Scope::Calls, Scope::Rejections, Scope::Token], vec![]),
        ] {
            let mut faults = Faults::default();
            faults.set(Fault::new(FaultKind::Cut).on(set));
            assert!(met.iter().all(|scope| faults.take(*scope, is_cut).is_some()), "{set}");
            assert!(missed.iter().all(|scope| faults.take(*scope, is_cut).is_none()), "{set}");
        }
    }

    #[test]
    fn setting_a_fault_again_replaces_it() {
        let mut faults = Faults::default();
        faults.set(FaultKind::ServerError(500).into());
        faults.set(FaultKind::ServerError(503).into());
        assert_eq!(faults.lines(), ["server-error on all, until cleared"]);
    }
}
