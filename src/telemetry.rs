//! What the gateway says of itself: logs and metrics.

#[cfg(test)]
pub mod kept;
pub mod log;
pub mod metrics;
