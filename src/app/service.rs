//! What systemd is told of a gateway: that it serves, that it takes another config, that it stops, how things
//! stand, and that it is alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::error;

use crate::drain::Drain;
use crate::readiness::Readiness;
use crate::systemd::{Say, Systemd};
use crate::worker::Pulse;

#[derive(Clone, Debug)]
pub(super) struct Service {
    systemd: Systemd,
    readiness: Readiness,
    /// The config that is there now was refused.
    is_refused: Arc<AtomicBool>,
}

impl Service {
    pub(super) fn new(systemd: Systemd, readiness: Readiness) -> Self {
        Self { systemd, readiness, is_refused: Arc::default() }
    }

    /// It serves. That tokens are there is not asked: a vendor that is down is no reason to be killed.
    pub(super) async fn ready(&self) {
        self.tell_with_status(Say::Ready).await;
    }

    pub(super) async fn reloading(&self) {
        self.systemd.tell(&[Say::Reloading]).await;
    }

    pub(super) async fn reloaded(&self, is_refused: bool) {
        self.is_refused.store(is_refused, Relaxed);
        // It may have been told of the end meanwhile, which comes after everything else.
        if !self.readiness.is_stopping() {
            self.ready().await;
        }
    }

    pub(super) async fn stopping(&self) {
        self.tell_with_status(Say::Stopping).await;
    }

    async fn tell_with_status(&self, what: Say<'_>) {
        if self.systemd.is_there() {
            self.systemd.tell(&[what, Say::Status(&self.status())]).await;
        }
    }

    /// Tells what changes, and that all threads turn, until the drain ends.
    pub(super) async fn keep_told(self, pulses: Vec<Pulse>, drain: Drain) {
        if !self.systemd.is_there() {
            return;
        }
        let watchdog = self.systemd.watchdog();
        tokio::select! {
            // First: workers that end by it do not hang.
            biased;
            () = drain.ended() => {}
            () = self.keep_status() => {}
            () = self.keep_alive(&pulses, watchdog.unwrap_or_default()), if watchdog.is_some() => {}
        }
    }

    async fn keep_status(&self) {
        let mut changes = self.readiness.changes();
        let mut told = String::new();
        loop {
            let status = self.status();
            if status != told {
                self.systemd.tell(&[Say::Status(&status)]).await;
                told = status;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// On the runtime of everything but requests, which turns if this does.
    async fn keep_alive(&self, pulses: &[Pulse], within: Duration) {
        let every = (within / 2).max(LEAST_PAUSE);
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Late answers must not make the next sign of life late.
            match all_beat(pulses, Instant::now() + every / 2).await {
                true => self.systemd.tell(&[Say::Watchdog]).await,
                false => error!("a worker hangs or has ended: systemd gets no sign of life"),
            }
        }
    }

    fn status(&self) -> String {
        if self.readiness.is_stopping() {
            return "stopping: what has begun comes to its end".to_owned();
        }
        let parts = self.readiness.parts();
        let waits = |(name, reason): &(Arc<str>, Option<String>)| {
            reason.as_ref().map(|reason| format!("{name} ({reason})"))
        };
        let waiting: Vec<String> = parts.iter().filter_map(waits).collect();
        let all = match parts.len() {
            1 => "1 upstream".to_owned(),
            count => format!("{count} upstreams"),
        };
        let tokens = match waiting.as_slice() {
            [] => "ready".to_owned(),
            [one] => format!("1 waits for a token: {one}"),
            many => format!("{} wait for tokens: {}", many.len(), many.join("; ")),
        };
        match self.is_refused.load(Relaxed) {
            true => {
                format!("the config that is there now was refused, see the log; {all}, {tokens}")
            }
            false => format!("{all}, {tokens}"),
        }
    }
}

async fn all_beat(pulses: &[Pulse], until: Instant) -> bool {
    for pulse in pulses {
        if timeout_at(until, pulse.beats()).await.is_err() {
            return false;
        }
    }
    true
}

const LEAST_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p29_the_status_says_who_waits_for_what() {
        let readiness = Readiness::default();
        let service = Service::new(Systemd::default(), readiness.clone());
        let one = readiness.register("one");
        one.ready();
        assert_eq!(service.status(), "1 upstream, ready");
        let two = readiness.register("two");
        two.not_ready("no token");
        assert_eq!(service.status(), "2 upstreams, 1 waits for a token: two (no token)");
        one.not_ready("the vendor is down");
        let status = "2 upstreams, 2 wait for tokens: one (the vendor is down); two (no token)";
        assert_eq!(service.status(), status);
        service.is_refused.store(true, Relaxed);
        assert!(service.status().starts_with("the config that is there now was refused"));
        readiness.stop();
        assert!(service.status().starts_with("stopping"));
    }
}
