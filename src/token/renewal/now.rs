//! The circumstances in which something is heard.

use std::time::{Duration, SystemTime};

use super::super::page::{Page, Rest};

#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For what is written down.
    pub wall: SystemTime,
    /// The lease in the page that is heard of has stood still for as long as a lease lasts.
    pub lease_is_over: bool,
    /// Of the token that this process has seen come. The wall clock, which may have been set since,
    /// tells of others.
    pub rest: Option<Rest>,
}

impl Now {
    /// How long the page's access token lives yet.
    pub fn left(&self, page: &Page) -> Duration {
        match self.rest {
            Some(rest) if page.life == Some(rest.life) => rest.left,
            _ => page.left(self.wall),
        }
    }

    pub fn is_living(&self, page: &Page) -> bool {
        page.tokens.access.is_some() && self.left(page) > Duration::ZERO
    }
}
