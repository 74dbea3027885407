//! A description as it stands in its file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::rules::RawRule;
use super::{Encoding, OldToken};
use crate::units::{BaseUrl, Span};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) name: Option<String>,
    pub(super) base_url: Option<BaseUrl>,
    pub(super) credentials: Option<Vec<String>>,
    pub(super) account: Option<String>,
    pub(super) inject: Option<Vec<Inject>>,
    pub(super) strip: Option<Vec<String>>,
    pub(super) refresh: Option<Call>,
    pub(super) mint: Option<Call>,
    pub(super) answer: Option<Answer>,
    pub(super) reject: Option<Vec<RawRule>>,
    pub(super) token_endpoints: Option<Vec<String>>,
    pub(super) never_resend: Option<Vec<String>>,
    pub(super) presets: Option<BTreeMap<String, Vec<String>>>,
    pub(super) old_access_token: Option<OldToken>,
    pub(super) limits: Option<Limits>,
    pub(super) envelope: Option<Envelope>,
    pub(super) emulate: Option<Emulate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inject {
    pub(super) header: Option<String>,
    pub(super) query: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) encoding: Option<Encoding>,
    pub(super) fields: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) success: Option<Success>,
    pub(super) access_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    pub(super) expires_in: Option<String>,
    pub(super) default_life: Option<Span>,
    pub(super) refresh_expires_in: Option<String>,
    pub(super) refresh_token_life: Option<Span>,
    pub(super) error: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Success {
    pub(super) pointer: Option<String>,
    #[serde(rename = "in")]
    pub(super) values: Option<Vec<toml::Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) refreshes_per_day: Option<u32>,
    pub(super) day_begins: Option<String>,
    pub(super) min_interval: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope {
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Emulate {
    pub(super) body: Option<Map<String, Value>>,
    /// Where a mint is answered in another form.
    pub(super) mint_body: Option<Map<String, Value>>,
}
