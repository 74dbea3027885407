//! Which of a name's addresses gets the connection (RFC 8305, "happy eyeballs").
//!
//! Attempts start a quarter of a second apart, or at once when one has failed. None is given up for
//! a later one: the first that connects wins, and the others are dropped.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::causes::network::Unconnected;

type Attempt<F> = (SocketAddr, Pin<Box<F>>);

/// Both families in turn, each in the resolver's order, beginning with the one that it put first:
/// a family that leads nowhere costs one attempt.
pub(super) fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses: Vec<_> = addresses.into_iter().collect();
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else {
        return addresses;
    };
    let of = |family: bool| addresses.iter().copied().filter(move |it| it.is_ipv6() == family);
    let (mut own, mut other) = (of(first), of(!first));
    let mut mixed = Vec::with_capacity(addresses.len());
    while mixed.len() < addresses.len() {
        mixed.extend(own.next());
        mixed.extend(other.next());
    }
    mixed
}

/// Connects to one of these addresses.
///
/// # Errors
/// When all have failed, or the deadline has come.
pub(super) async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Unconnected> {
    let mut untried = addresses.into_iter();
    let mut attempts: Vec<Attempt<F>> = Vec::new();
    let mut failed = Vec::new();
    loop {
        match untried.next() {
            Some(address) => attempts.push((address, Box::pin(connect(address)))),
            None if attempts.is_empty() => return Err(Unconnected { failed, silent: Vec::new() }),
            None => {}
        }
        let more = untried.len() > 0;
        let next_is_due = async { if more { sleep(ATTEMPT_DELAY).await } else { pending().await } };
        tokio::select! {
            biased;
            (address, outcome) = first_to_end(&mut attempts) => match outcome {
                Ok(connected) => return Ok(connected),
                Err(error) => failed.push((address, error)),
            },
            () = sleep_until(deadline) => {
                let silent = attempts.into_iter().map(|(address, _)| address).collect();
                return Err(Unconnected { failed, silent });
            }
            () = next_is_due => {}
        }
    }
}

/// Takes the attempt that ends next out of the list.
async fn first_to_end<T, F: Future<Output = io::Result<T>>>(
    attempts: &mut Vec<Attempt<F>>,
) -> (SocketAddr, io::Result<T>) {
    poll_fn(|cx| {
        for index in 0..attempts.len() {
            let (address, attempt) = &mut attempts[index];
            if let Poll::Ready(outcome) = attempt.as_mut().poll(cx) {
                let address = *address;
                attempts.remove(index);
                return Poll::Ready((address, outcome));
            }
        }
        Poll::Pending
    })
    .await
}

/// The "Connection Attempt Delay", as the RFC recommends it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
