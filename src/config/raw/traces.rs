//! Spans for a collector.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::telemetry::traces::Propagate;
use crate::units::BaseUrl;

/// Spans for a collector, by OTLP over HTTP. Only a program that was built with the feature `otlp`
/// takes these keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTraces {
    /// The collector's, by `http://`; `/v1/traces` is added. Left out: a mistake.
    pub endpoint: Option<BaseUrl>,
    /// Of the traces that no caller has decided about: from 0 for none to 1 for all.
    #[schemars(extend("default" = 1.0))]
    pub sample: Option<f64>,
    /// What the vendor is told of a trace by `traceparent`: what the caller has begun, any trace, or
    /// none.
    #[schemars(extend("default" = "incoming"))]
    pub propagate: Option<Propagate>,
}
