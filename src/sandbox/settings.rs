//! How the simulated vendors behave: lives, rotation, and the credentials that they accept.

use std::{fmt, time::Duration};

/// Both vendors' settings; the default is what the vendors document, where they do.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub jing: JingSettings,
    pub aiclk: AiclkSettings,
}

/// What both vendors have in common.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// Life of an access token.
    pub access_life: Duration,
    /// Life of a refresh token, begun again by every renewal.
    pub refresh_life: Duration,
    /// Every renewal spends the refresh token and hands out another.
    pub rotate: bool,
    /// A renewal ends the access token before it at once.
    pub refresh_ends_access: bool,
    /// How long the token endpoint thinks.
    pub token_latency: Duration,
    /// How long a business call takes.
    pub call_latency: Duration,
    /// What `Host` has to say; `None` accepts any, but one there must be.
    pub host: Option<String>,
}

/// jing mints from a secret, so it needs no first refresh token.
#[derive(Clone)]
pub struct JingSettings {
    pub app_id: String,
    pub app_secret: String,
    /// The headers that a call has to carry, each once. One that is left out here may be
    /// missing; one that is there has to be right all the same.
    pub required: Vec<JingHeader>,
    pub tokens: TokenSettings,
}

/// aiclk renews only: its first refresh token comes from a person at the vendor's console.
#[derive(Clone)]
pub struct AiclkSettings {
    pub client_id: String,
    pub first_refresh_token: String,
    pub tokens: TokenSettings,
}

/// A header in which a jing call carries who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JingHeader {
    /// `Authorization: Bearer <access token>`
    Authorization,
    /// `app_id: <app id>`
    AppId,
    /// `access_token: <access token>`
    AccessToken,
}

impl Settings {
    /// The same life for the access tokens of both vendors.
    pub fn with_access_life(mut self, life: Duration) -> Self {
        self.jing.tokens.access_life = life;
        self.aiclk.tokens.access_life = life;
        self
    }
}

impl Default for JingSettings {
    fn default() -> Self {
        Self {
            app_id: "sandbox-app-id".to_owned(),
            app_secret: "sandbox-app-secret".to_owned(),
            required: vec![JingHeader::Authorization, JingHeader::AppId, JingHeader::AccessToken],
            tokens: TokenSettings {
                access_life: 2 * HOUR,
                refresh_life: 30 * DAY,
                rotate: true,
                ..TokenSettings::DOCUMENTED
            },
        }
    }
}

impl Default for AiclkSettings {
    fn default() -> Self {
        Self {
            client_id: "sandbox-client-id".to_owned(),
            first_refresh_token: "sandbox-aiclk-refresh-first".to_owned(),
            tokens: TokenSettings::DOCUMENTED,
        }
    }
}

impl TokenSettings {
    /// As aiclk documents it; how long a refresh token lasts it only calls "longer".
    const DOCUMENTED: Self = Self {
        access_life: DAY.saturating_mul(90),
        refresh_life: DAY.saturating_mul(180),
        rotate: false,
        refresh_ends_access: true,
        token_latency: Duration::ZERO,
        call_latency: Duration::ZERO,
        host: None,
    };
}

impl fmt::Debug for JingSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JingSettings")
            .field("app_id", &self.app_id)
            .field("required", &self.required)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AiclkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AiclkSettings")
            .field("client_id", &self.client_id)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
