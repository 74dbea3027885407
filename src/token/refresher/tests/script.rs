//! A token endpoint that answers from a script.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::vendor::template::Values;

/// A token endpoint that answers from a script, and then goes on with fresh tokens.
#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    pub(super) answers: VecDeque<Result<Grant, Denied>>,
    pub(super) presented: Vec<String>,
    pub(super) mints: usize,
    pub(super) called_at: Vec<Instant>,
    pub(super) issued: usize,
    pub(super) can_mint: bool,
    pub(super) life: Duration,
    /// Of refresh tokens, where the vendor tells.
    pub(super) refresh_life: Option<Duration>,
    pub(super) delay: Duration,
}

impl Script {
    pub(super) fn new(life: Duration) -> Self {
        let script = Self::default();
        script.state().life = life;
        script
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test thread panics with it")
    }

    pub(super) fn then(self, answer: Result<Grant, Denied>) -> Self {
        self.state().answers.push_back(answer);
        self
    }

    pub(super) fn calls(&self) -> usize {
        let state = self.state();
        state.presented.len() + state.mints
    }

    async fn answer(&self) -> Result<Grant, Denied> {
        self.state().called_at.push(Instant::now());
        let delay = self.state().delay;
        tokio::time::sleep(delay).await;
        let mut state = self.state();
        let life = state.life;
        if let Some(answer) = state.answers.pop_front() {
            return answer;
        }
        state.issued += 1;
        let number = state.issued;
        let grant = grant(&format!("access-{number}"), Some(&format!("r{number}")), life);
        let refresh_expires_at = state.refresh_life.map(|life| clock::wall() + life);
        Ok(Grant { refresh_expires_at, ..grant })
    }
}

impl TokenEndpoint for Script {
    fn can_refresh(&self) -> bool {
        true
    }

    fn can_mint(&self) -> bool {
        self.state().can_mint
    }

    fn credentials(&self) -> &Values {
        static NONE: Values = Values::new();
        &NONE
    }

    async fn refresh(&self, token: &Secret) -> Result<Grant, Denied> {
        self.state().presented.push(token.expose().to_owned());
        self.answer().await
    }

    async fn mint(&self) -> Result<Grant, Denied> {
        self.state().mints += 1;
        self.answer().await
    }
}
