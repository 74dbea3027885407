//! What the gateway says of itself.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::telemetry::log::Format;
use crate::units::Span;

/// Lines on standard error.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// `text` for people or `json` for machines.
    #[schemars(extend("default" = "text"))]
    pub format: Option<Format>,
    /// `error`, `warn`, `info`, `debug` or `trace`; or a filter such as
    /// `info,tokenward::proxy=debug`. `/-/log` of the admin address changes it for a while.
    #[schemars(extend("default" = "info"))]
    pub level: Option<String>,
    /// A record for each request, for none, or `sampled`: for failures, retries and slow ones
    /// always, and of others for one in `access_sample`.
    #[schemars(extend("default" = "off"))]
    pub access: Option<RawAccess>,
    /// With `sampled`: of requests with which all went well, one in so many.
    #[schemars(extend("default" = 100))]
    pub access_sample: Option<NonZeroU32>,
    /// With `sampled`: what takes longer is told of in any case.
    #[schemars(extend("default" = "1s"))]
    pub access_slow: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RawAccess {
    Off,
    Sampled,
    All,
}
