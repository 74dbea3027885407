//! What the operator has changed, and what becomes of a token that is no longer wanted.

use std::pin::Pin;

use tokio::sync::mpsc;
use tracing::info;

use crate::clock::BootTime;

use super::super::Reason;
use super::super::provider::TokenEndpoint;
use super::super::renewal::Rules;
use super::super::store::Pages;
use super::{Config, Refresher};

/// Told to a refresher that runs.
#[derive(Debug)]
pub(super) enum Order<E> {
    /// Goes on with these settings, for the same page of the store.
    Change(Box<Change<E>>),
    /// Renews nothing more, but for requests that began before.
    Retire,
}

#[derive(Debug)]
pub(super) struct Change<E> {
    config: Config,
    endpoint: E,
}

/// By which a refresher is told.
#[derive(Debug)]
pub struct Remote<E>(mpsc::Sender<Order<E>>);

impl<E> Remote<E> {
    /// The refresher hears of it when the renewal that is under way has ended; whoever tells it does not
    /// wait for that, unless it has not even heard the last.
    pub async fn change(&self, config: Config, endpoint: E) {
        self.tell(Order::Change(Box::new(Change { config, endpoint }))).await;
    }

    pub async fn retire(&self) {
        self.tell(Order::Retire).await;
    }

    async fn tell(&self, order: Order<E>) {
        // One that has ended needs no orders.
        let _ = self.0.send(order).await;
    }
}

impl Config {
    pub(super) fn rules(&self, endpoint: &impl TokenEndpoint) -> Rules {
        Rules {
            upstream: self.upstream.clone(),
            holder: self.holder.clone(),
            can_refresh: endpoint.can_refresh(),
            can_mint: endpoint.can_mint(),
            seed: self.seed.clone(),
            limits: self.limits,
            vendor_interval: self.vendor_interval,
        }
    }
}

impl<E: TokenEndpoint, S: Pages> Refresher<E, S> {
    /// The way to tell it what has changed.
    pub fn remote(&mut self) -> Remote<E> {
        let (orders, to_hear) = mpsc::channel(MOST_UNHEARD);
        self.orders = to_hear;
        Remote(orders)
    }

    /// The token in hand stays, with what is injected beside it made anew; what a start would renew is
    /// renewed: no token, or another seed. What had failed is tried again, for it may have been mended.
    pub(super) async fn change(&mut self, change: Change<E>) {
        let Change { config, endpoint } = change;
        self.rules = config.rules(&endpoint);
        (self.config, self.endpoint) = (config, endpoint);
        self.first = true;
        let has_failed = self.failure.take().is_some();
        self.backoff.reset();
        let page = self.known.clone();
        let worked = self.cache.has_worked(self.cache.generation());
        let living =
            page.as_ref().is_some_and(|page| self.is_living(page) && self.publish(page).is_ok());
        if worked && living {
            // It is the same token.
            self.cache.living(BootTime::now()).iter().for_each(|live| live.note_worked());
        }
        let seed_is_new = page.as_ref().is_some_and(|page| self.rules.seed_is_new(page));
        info!(upstream = %self.config.upstream, "the token's settings are others now");
        if !living || seed_is_new {
            let _ = self.renew(Reason::Start, self.generation()).await;
        } else {
            if has_failed {
                (self.renew_at, self.renew_reason) = (BootTime::now(), Reason::Schedule);
            }
            self.report(None);
        }
    }

    /// Requests that began with this token may still meet its rejection; they shall fare as before. When
    /// the last of them has gone, nobody can ask any more.
    pub(super) async fn serve_the_last(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) {
        self.is_retired = true;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return,
                demand = self.demands.recv() => match demand {
                    Some(demand) => self.meet(demand).await,
                    None => return,
                },
            }
        }
    }
}

/// A renewal may take a while, and an operator may change the config more than once meanwhile.
const MOST_UNHEARD: usize = 64;
