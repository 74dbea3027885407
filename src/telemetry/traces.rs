//! Traces: what took how long, as spans that a collector gets by OTLP. Only a program with the feature
//! `otlp` makes any; in all others nothing of this is left.

#[cfg_attr(feature = "otlp", path = "traces/made.rs")]
#[cfg_attr(not(feature = "otlp"), path = "traces/none.rs")]
mod made;
#[cfg(feature = "otlp")]
mod post;

pub use made::{Context, Span, child, is_on, refresh, request, start, stop, within};

/// Which traces, and where they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The collector's, by `http://`, with what its spans' path begins with.
    pub endpoint: String,
    /// Of those that nobody else has decided about: from 0 for none to 1 for all.
    pub sample: f64,
    pub propagate: Propagate,
}

/// What the vendor is told of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Propagate {
    #[default]
    Incoming,
    Always,
    Never,
}

/// Whose side of a call a span shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Client,
    Internal,
}

#[derive(Debug, thiserror::Error)]
#[error("traces: {0}")]
pub struct StartError(String);
