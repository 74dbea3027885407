//! What a request is after, and what one for a token asks.

use http::{HeaderMap, Method};

use super::{
    Vendor, aiclk, fault::Scope, jing, received::Received, settings::Settings, strict::Mistake,
};

/// What a path of a vendor is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Mint,
    Refresh,
    /// A business call, answered by the recording of this name.
    Call(&'static str),
    /// A business call that is answered by a stream of chunks.
    Stream,
    /// A business call that becomes a WebSocket.
    WebSocket,
    /// Beside the token endpoints: nothing.
    Unknown,
}

/// A well-formed request for a token, of a client whose credentials are right.
pub(super) enum Grant {
    Mint,
    Refresh(String),
}

/// A request for a token that gets none.
pub(super) enum GrantRefused {
    Mistake(Mistake),
    /// Wrong credentials, answered by the recording of this name.
    Credentials(&'static str),
}

impl Endpoint {
    pub(super) fn of(vendor: Vendor, method: &Method, path: &str) -> Self {
        match vendor {
            Vendor::Jing => jing::endpoint(method, path),
            Vendor::Aiclk => aiclk::endpoint(method, path),
        }
    }

    pub(super) fn scope(self) -> Scope {
        match self {
            Self::Mint | Self::Refresh | Self::Unknown => Scope::Token,
            Self::Call(_) | Self::Stream | Self::WebSocket => Scope::Calls,
        }
    }
}

/// Reads a request for a token as strictly as the vendor would.
pub(super) fn read_grant(
    vendor: Vendor,
    endpoint: Endpoint,
    received: &Received,
    settings: &Settings,
) -> Result<Grant, GrantRefused> {
    if received.uri.query().is_some() {
        return Err(Mistake::new("the token endpoint takes no query").into());
    }
    match (vendor, endpoint) {
        (Vendor::Jing, Endpoint::Mint) => jing::read_mint(received, &settings.jing),
        (Vendor::Jing, _) => jing::read_refresh(received, &settings.jing),
        (Vendor::Aiclk, _) => aiclk::read_refresh(received, &settings.aiclk),
    }
}

/// The access token that a call carries, if it carries one.
pub(super) fn carried<'a>(
    vendor: Vendor,
    headers: &'a HeaderMap,
    settings: &Settings,
) -> Result<Option<&'a str>, Mistake> {
    match vendor {
        Vendor::Jing => jing::carried(headers, &settings.jing),
        Vendor::Aiclk => aiclk::carried(headers),
    }
}

impl From<Mistake> for GrantRefused {
    fn from(mistake: Mistake) -> Self {
        Self::Mistake(mistake)
    }
}
