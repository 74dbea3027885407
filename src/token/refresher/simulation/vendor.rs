//! A vendor that issues tokens, as strict or as odd as its terms say, and knows the truth about them.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::super::super::provider::TokenEndpoint;
use super::super::super::wire::{Denied, Grant};
use super::world::{Replica, Shared};
use super::{chance, moment, one_of, span};
use crate::clock;
use crate::secret::Secret;
use crate::vendor::template::Values;

/// How this vendor deals with refresh tokens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rotation {
    /// One that was presented is spent.
    Strict,
    /// And whoever presents it again loses everything.
    Theft,
    /// It can be presented for a while yet.
    Grace(Duration),
    /// It can, and what it brings then ends what it has brought before.
    Latest(Duration),
    /// It stays good.
    Keeps,
}

#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) rotation: Rotation,
    pub(super) refreshes: bool,
    pub(super) mints: bool,
    /// A new access token ends those before it.
    pub(super) dies: bool,
    pub(super) life: Duration,
    /// Lives are told wrongly now and then.
    pub(super) odd: bool,
    /// Asked early, it answers with the same token.
    pub(super) same_again: bool,
    pub(super) refresh_life: Option<Duration>,
    /// The longest that a client waits for it.
    pub(super) timeout: Duration,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    NotSent,
    /// An answer that says so; nothing was done.
    Busy,
    /// Nothing is done, and no answer comes.
    Silent,
    /// It was done, and the answer is lost.
    AnswerLost,
    /// It was done, and the answer cannot be read.
    Garbled,
    /// Later than anybody waits, or nearly.
    Slow,
    /// A refusal though the token is good.
    Refused,
}

#[derive(Debug)]
pub(super) struct Vendor {
    pub(super) terms: Terms,
    /// While it lasts, every call meets this.
    pub(super) outage: Option<Trouble>,
    /// How many of the calls meet any.
    pub(super) faults: f64,
    refresh: Vec<RefreshToken>,
    access: Vec<AccessToken>,
    current: Option<usize>,
}

/// Its number is its place in the list, and its text `r` and that number.
#[derive(Debug)]
pub(super) struct RefreshToken {
    ends: Option<Instant>,
    pub(super) spent: bool,
    /// The answer that brought it has reached this replica.
    pub(super) reached: Option<Replica>,
    /// What presenting it brought.
    pub(super) brought: Vec<usize>,
    /// Refusals that have been heard, as long as nothing excuses another try.
    pub(super) refusals: u32,
}

#[derive(Debug)]
struct AccessToken {
    ends: Instant,
    came_with: Option<usize>,
}

/// A grant, and what is new in it.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) grant: Grant,
    pub(super) access: Option<usize>,
    pub(super) refresh: Option<usize>,
}

// === impl Vendor ===

impl Vendor {
    /// The first refresh token is the operator's.
    pub(super) fn new(terms: Terms, faults: f64) -> Self {
        let mut vendor = Self {
            terms,
            outage: None,
            faults,
            refresh: Vec::new(),
            access: Vec::new(),
            current: None,
        };
        vendor.new_refresh();
        vendor
    }

    pub(super) fn new_refresh(&mut self) -> usize {
        let ends = self.terms.refresh_life.map(|life| Instant::now() + life);
        let (reached, brought) = (None, Vec::new());
        self.refresh.push(RefreshToken { ends, spent: false, reached, brought, refusals: 0 });
        self.refresh.len() - 1
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = (usize, &RefreshToken)> {
        self.refresh.iter().enumerate()
    }

    pub(super) fn of(&self, number: usize) -> &RefreshToken {
        &self.refresh[number]
    }

    pub(super) fn token(&mut self, number: usize) -> &mut RefreshToken {
        &mut self.refresh[number]
    }

    pub(super) fn is_good(&self, refresh: usize) -> bool {
        let token = &self.refresh[refresh];
        !token.spent && token.ends.is_none_or(|end| end > Instant::now())
    }

    pub(super) fn is_alive(&self, access: usize) -> bool {
        self.access[access].ends > Instant::now()
    }

    /// The refresh token that came with an access token.
    pub(super) fn pair_of(&self, access: usize) -> Option<usize> {
        self.access[access].came_with
    }

    pub(super) fn kill_access(&mut self) {
        let now = Instant::now();
        self.access.iter_mut().for_each(|token| token.ends = token.ends.min(now));
    }

    pub(super) fn revoke(&mut self) {
        self.kill_access();
        self.refresh.iter_mut().for_each(|token| token.spent = true);
    }

    /// Acts on a call.
    pub(super) fn act(&mut self, presented: Option<usize>) -> Result<Issued, Denied> {
        let now = Instant::now();
        match presented {
            Some(number) if !self.is_good(number) => {
                let used = !self.refresh[number].brought.is_empty();
                if used && matches!(self.terms.rotation, Rotation::Theft) {
                    self.revoke();
                }
                return Err(Denied::Refused(format!("HTTP 400, r{number} is not good")));
            }
            _ => {}
        }
        if let Some(same) = self.current.filter(|_| self.terms.same_again) {
            let left = self.access[same].ends.saturating_duration_since(now);
            if left > self.terms.life / 10 {
                let refresh = self.pair_of(same).filter(|pair| self.is_good(*pair));
                let grant = grant(same, refresh, left, None);
                return Ok(Issued { grant, access: None, refresh });
            }
        }
        if self.terms.dies {
            self.kill_access();
        }
        let refresh = self.rotate(presented, now);
        self.access.push(AccessToken { ends: now + self.terms.life, came_with: refresh });
        let access = self.access.len() - 1;
        self.current = Some(access);
        let told = match self.terms.odd && chance(0.2) {
            true => one_of(&[
                self.terms.life.mul_f64(0.3),
                self.terms.life * 3,
                Duration::from_millis(1),
                Duration::from_secs(1),
            ]),
            false => self.terms.life,
        };
        let grant = grant(access, refresh, told, self.terms.refresh_life);
        Ok(Issued { grant, access: Some(access), refresh })
    }

    fn rotate(&mut self, presented: Option<usize>, now: Instant) -> Option<usize> {
        let Some(presented) = presented else {
            return self.terms.refreshes.then(|| self.new_refresh());
        };
        match self.terms.rotation {
            Rotation::Strict | Rotation::Theft => self.refresh[presented].spent = true,
            Rotation::Grace(grace) | Rotation::Latest(grace) => {
                if matches!(self.terms.rotation, Rotation::Latest(_)) {
                    let before = self.refresh[presented].brought.clone();
                    before.into_iter().for_each(|number| self.refresh[number].spent = true);
                }
                let ends = &mut self.refresh[presented].ends;
                *ends = Some(ends.map_or(now + grace, |end| end.min(now + grace)));
            }
            Rotation::Keeps => {
                self.refresh[presented].brought.push(presented);
                return chance(0.5).then_some(presented);
            }
        }
        let new = self.new_refresh();
        self.refresh[presented].brought.push(new);
        Some(new)
    }

    fn trouble(&self) -> Option<Trouble> {
        self.outage.or_else(|| {
            chance(self.faults).then(|| {
                one_of(&[
                    Trouble::NotSent,
                    Trouble::Busy,
                    Trouble::Silent,
                    Trouble::AnswerLost,
                    Trouble::Garbled,
                    Trouble::Slow,
                    Trouble::Slow,
                ])
            })
        })
    }
}

fn grant(
    access: usize,
    refresh: Option<usize>,
    life: Duration,
    refresh_life: Option<Duration>,
) -> Grant {
    let now = clock::wall();
    Grant {
        access_token: Secret::new(format!("a{access}")),
        refresh_token: refresh.map(text),
        expires_at: now + life,
        refresh_expires_at: refresh_life.filter(|_| refresh.is_some()).map(|life| now + life),
    }
}

pub(super) fn text(refresh: usize) -> Secret {
    Secret::new(format!("r{refresh}"))
}

/// The number of a token of either kind.
pub(super) fn number(token: &Secret) -> usize {
    token.expose()[1..].parse().expect("the simulated vendor's tokens are numbered")
}

/// The vendor as one replica calls it.
pub(super) struct Endpoint {
    pub(super) shared: Shared,
    pub(super) who: Replica,
}

impl TokenEndpoint for Endpoint {
    fn can_refresh(&self) -> bool {
        self.shared.state().vendor.terms.refreshes
    }

    fn can_mint(&self) -> bool {
        self.shared.state().vendor.terms.mints
    }

    fn credentials(&self) -> &Values {
        static NONE: Values = Values::new();
        &NONE
    }

    async fn refresh(&self, token: &Secret) -> Result<Grant, Denied> {
        self.call(Some(number(token))).await
    }

    async fn mint(&self) -> Result<Grant, Denied> {
        self.call(None).await
    }
}

impl Endpoint {
    async fn call(&self, presented: Option<usize>) -> Result<Grant, Denied> {
        let (trouble, longest) = {
            let mut state = self.shared.state();
            let trouble = state.vendor.trouble();
            state.call_begins(self.who, presented, trouble);
            (trouble, state.vendor.terms.timeout)
        };
        // However the call ends, and be it by the end of its process.
        let _under_way = UnderWay(self);
        if trouble == Some(Trouble::NotSent) {
            sleep(moment()).await;
            self.shared.state().heard(self.who, presented, "could not send");
            return Err(Denied::NotSent("connection refused".into()));
        }
        let answer = match timeout(longest, self.send(presented, trouble)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Denied::Unreachable("the connection was reset".into())),
            Err(_) => Err(Denied::Unreachable("no answer in time".into())),
        };
        self.shared.state().answered(self.who, presented, answer)
    }

    /// What happens at the vendor's goes on though the caller may be gone.
    fn send(
        &self,
        presented: Option<usize>,
        trouble: Option<Trouble>,
    ) -> oneshot::Receiver<Result<Issued, Denied>> {
        let (reply, answer) = oneshot::channel();
        let (shared, who) = (self.shared.clone(), self.who);
        let longest = shared.state().vendor.terms.timeout;
        let (mut there, mut back) = (moment(), moment());
        if trouble == Some(Trouble::Slow) {
            there += span(Duration::from_millis(100), longest);
            back += span(Duration::from_millis(100), longest);
        }
        tokio::spawn(async move {
            sleep(there).await;
            let answer = match trouble {
                Some(Trouble::Busy) => Err(Denied::Unreachable("HTTP 503".into())),
                Some(Trouble::Refused) => Err(Denied::Refused("HTTP 400, by mistake".into())),
                Some(Trouble::Silent) => {
                    sleep(longest).await;
                    return;
                }
                _ => shared.state().act(who, presented),
            };
            sleep(back).await;
            let answer = match (trouble, answer) {
                (Some(Trouble::AnswerLost), _) => return,
                (Some(Trouble::Garbled), Ok(_)) => Err(Denied::Malformed("no JSON".into())),
                (_, answer) => answer,
            };
            // Nobody may be waiting for it any more.
            let _ = reply.send(answer);
        });
        answer
    }
}

struct UnderWay<'a>(&'a Endpoint);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.shared.state().call_ends(self.0.who);
    }
}
