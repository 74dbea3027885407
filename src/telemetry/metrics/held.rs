//! What is counted for as long as it lasts.

use prometheus::IntGauge;

/// Adds one to a gauge for as long as it lives.
#[derive(Debug)]
pub struct Held(IntGauge);

impl Held {
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
