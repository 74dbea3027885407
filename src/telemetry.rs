//! What the gateway says of itself: logs, metrics and traces.

#[cfg(test)]
pub mod kept;
pub mod log;
pub mod metrics;
pub mod traces;
