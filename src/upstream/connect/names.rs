//! The look-up of a name, once for all who want it at one time: each takes a thread of the system's
//! resolver, and a hundred callers who come at once would take a hundred.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::net::lookup_host;
use tokio::sync::OnceCell;

type Found = OnceCell<Result<Vec<SocketAddr>, Arc<io::Error>>>;

/// Look-ups of one name.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The one that is under way.
    current: Mutex<Weak<Found>>,
}

impl Names {
    /// Whoever comes while others wait gets what they get. Nothing is kept after that: names move.
    pub(super) async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let current = self.current();
        let found = current
            .get_or_init(async || Ok(lookup_host((host, port)).await.map_err(Arc::new)?.collect()));
        found.await.clone().map_err(|error| io::Error::new(error.kind(), error))
    }

    fn current(&self) -> Arc<Found> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *current = Arc::downgrade(&new);
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn p27_those_who_wait_share_a_look_up_and_it_is_not_kept() {
        let names = Names::default();
        let held = names.current();
        let address: SocketAddr = ([192, 0, 2, 1], 80).into();
        held.set(Ok(vec![address])).expect("nobody else");
        // No such name: it would fail if it were asked for.
        let found = names.look_up("name.invalid", 1).await.expect("the one under way");
        assert_eq!(found, [address]);
        drop(held);
        assert!(names.look_up("name.invalid", 1).await.is_err());
        let found = names.look_up("127.0.0.1", 1).await.expect("an address");
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 1))]);
    }

    #[tokio::test]
    async fn p27_those_who_wait_share_a_failure_and_it_is_not_kept() {
        let names = Names::default();
        let held = names.current();
        // The address could be had: only the look-up that is under way fails.
        let (one, other) = (names.look_up("127.0.0.1", 1), names.look_up("127.0.0.1", 1));
        let failure = Arc::new(io::Error::new(io::ErrorKind::TimedOut, "the resolver is silent"));
        held.set(Err(failure)).expect("nobody else");
        for failed in [one.await, other.await] {
            let error = failed.expect_err("the failure");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(error.to_string(), "the resolver is silent");
        }
        drop(held);
        names.look_up("127.0.0.1", 1).await.expect("an address");
    }
}
