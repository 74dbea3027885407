//! The store and each upstream as `/status` shows them. No secret is in it.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::token::store::Store;
use crate::token::{Account, Tokens};

#[derive(Debug)]
pub struct Upstream {
    pub name: String,
    pub vendor: String,
    pub base_url: String,
    pub tokens: Tokens,
    pub in_flight: prometheus::IntGauge,
}

impl Upstream {
    /// `waits_for`: why it is not ready.
    pub fn to_json(&self, waits_for: Option<&str>) -> Value {
        let status = self.tokens.status();
        let token = status.expires_at.map(|expires_at| {
            json!({
                "generation": status.generation,
                "obtained_at": status.obtained_at.map(rfc3339),
                "expires_at": rfc3339(expires_at),
                "seconds_left": status.over_at.map_or(0, |end| end.left().as_secs()),
            })
        });
        let last = status.last.map(|last| {
            json!({
                "at": rfc3339(last.at),
                "reason": last.reason.as_str(),
                "outcome": last.outcome.as_str(),
                "detail": last.detail.as_ref(),
            })
        });
        json!({
            "ready": waits_for.is_none(),
            "reason": waits_for,
            "vendor": self.vendor,
            "base_url": self.base_url,
            "token": token,
            "last_refresh": last,
            "budget": {
                "used": status.budget.used,
                "limit": status.budget.limit,
                "resets_at": status.budget.resets_at.map(rfc3339),
            },
            "account": account(&status.account),
            "in_flight": self.in_flight.get(),
            "warnings": status.warnings,
        })
    }
}

/// What all who use the same account share, as it was last read.
fn account(account: &Account) -> Value {
    json!({
        "page": account.page,
        "lease": account.lease,
        "answer_missing_since": account.answer_missing_since.map(rfc3339),
        "early_deaths": account.early_deaths,
        "seeded_by_hand": account.seeded_by_hand,
        "plea": account.plea.as_deref(),
    })
}

pub(super) fn store(store: &Store) -> Value {
    let condition = store.condition();
    json!({
        "kind": condition.kind,
        "up": condition.up,
        "since": rfc3339(condition.since),
        "detail": condition.detail,
        // The id of the key, as the log names it.
        "sealed_with": store.vault().key().map(|key| key.to_string()),
    })
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
