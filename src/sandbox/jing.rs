//! How jing reads requests: JSON at its token endpoints, three headers on its calls.

use http::{HeaderMap, Method, header};
use serde::Deserialize;

use super::{
    endpoint::{Endpoint, Grant, GrantRefused},
    received::Received,
    settings::{JingHeader, JingSettings},
    strict::{Mistake, at_most_once},
};

pub(super) fn endpoint(method: &Method, path: &str) -> Endpoint {
    match path {
        "/v1/oauth2/token" if method == Method::POST => Endpoint::Mint,
        "/v1/oauth2/token/refresh" if method == Method::POST => Endpoint::Refresh,
        "/v1/-/stream" => Endpoint::Stream,
        "/v1/-/websocket" => Endpoint::WebSocket,
        "/v1/user/create" if method == Method::POST => Endpoint::Call("user_create"),
        _ if path.starts_with("/v1/oauth2/") => Endpoint::Unknown,
        _ => Endpoint::Call("echo"),
    }
}

/// `{app_id, app_secret}` to mint.
pub(super) fn read_mint(received: &Received, ours: &JingSettings) -> Result<Grant, GrantRefused> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        app_id: String,
        app_secret: String,
    }
    let body: Body = read_json(received, "app_id, app_secret")?;
    if body.app_id != ours.app_id || body.app_secret != ours.app_secret {
        return Err(GrantRefused::Credentials("mint_refused"));
    }
    Ok(Grant::Mint)
}

/// `{app_id, app_secret, refresh_token}` to refresh.
pub(super) fn read_refresh(
    received: &Received,
    ours: &JingSettings,
) -> Result<Grant, GrantRefused> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        app_id: String,
        app_secret: String,
        refresh_token: String,
    }
    let body: Body = read_json(received, "app_id, app_secret, refresh_token")?;
    if body.app_id != ours.app_id || body.app_secret != ours.app_secret {
        return Err(GrantRefused::Credentials("mint_refused"));
    }
    Ok(Grant::Refresh(body.refresh_token))
}

/// The access token that a call carries, the same wherever it carries it; `None` if nowhere.
pub(super) fn carried<'a>(
    headers: &'a HeaderMap,
    ours: &JingSettings,
) -> Result<Option<&'a str>, Mistake> {
    let authorization = at_most_once(headers, header::AUTHORIZATION.as_str())?;
    let app_id = at_most_once(headers, "app_id")?;
    let access_token = at_most_once(headers, "access_token")?;
    if authorization.is_none() && access_token.is_none() {
        return Ok(None);
    }

    for (header, name, value) in [
        (JingHeader::Authorization, "authorization", authorization),
        (JingHeader::AppId, "app_id", app_id),
        (JingHeader::AccessToken, "access_token", access_token),
    ] {
        if value.is_none() && ours.required.contains(&header) {
            return Err(Mistake::new(format!("header {name} is missing beside the others")));
        }
    }
    if app_id.is_some_and(|id| id != ours.app_id) {
        return Err(Mistake::new("header app_id names another app"));
    }
    let bearer = match authorization.map(|value| value.strip_prefix("Bearer ")) {
        Some(None) => return Err(Mistake::new("authorization is not of the Bearer scheme")),
        Some(token) => token,
        None => None,
    };
    match (bearer, access_token) {
        (Some(bearer), Some(token)) if bearer != token => {
            Err(Mistake::new("authorization and access_token carry different tokens"))
        }
        (bearer, token) => Ok(bearer.or(token)),
    }
}

fn read_json<'a, T: Deserialize<'a>>(
    received: &'a Received,
    members: &str,
) -> Result<T, GrantRefused> {
    let content_type = received.headers.get(header::CONTENT_TYPE);
    let mime: Option<mime::Mime> = content_type.and_then(|value| value.to_str().ok()?.parse().ok());
    if mime.is_none_or(|mime| mime.essence_str() != mime::APPLICATION_JSON.essence_str()) {
        return Err(Mistake::new("the content type is not application/json").into());
    }
    let body = received.body.whole().map(|body| serde_json::from_slice(body));
    // The reason that serde gives may quote the body, which holds secrets.
    let Some(Ok(read)) = body else {
        let rule = format!("the body is no JSON object of {members}: each once, text, no other");
        return Err(Mistake(rule).into());
    };
    Ok(read)
}
