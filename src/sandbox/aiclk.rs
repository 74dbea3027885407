//! How aiclk reads requests: a multipart form at its token endpoint, one header on its calls.

use http::{HeaderMap, Method, header};
use mime::Mime;

use super::{
    endpoint::{Endpoint, Grant, GrantRefused},
    form,
    received::Received,
    settings::AiclkSettings,
    strict::{Mistake, at_most_once},
};

pub(super) fn endpoint(method: &Method, path: &str) -> Endpoint {
    let call = match (method.as_str(), path) {
        ("POST", "/oauth2/token") => return Endpoint::Refresh,
        (_, "/openapi/-/stream") => return Endpoint::Stream,
        (_, "/openapi/-/websocket") => return Endpoint::WebSocket,
        ("GET", "/openapi/v1/account/info") => "account_info",
        ("GET", "/openapi/v1/account_fund/list") => "account_fund_list",
        ("GET", "/openapi/v1/creative/get") => "creative_get",
        ("GET", "/openapi/v1/material/get") => "material_get",
        ("GET", "/openapi/v1/conv/targeturl_monitor/list") => "targeturl_monitor_list",
        ("GET", "/openapi/oss/sts") => "oss_sts",
        ("POST", "/openapi/v1/adaccount/customer/create") => "customer_create",
        ("POST", "/openapi/v1/adaccount/customer/update") => "customer_update",
        ("POST", "/openapi/v1/material/upload") => "material_upload",
        (
            "POST",
            "/openapi/v1/charge/agent"
            | "/openapi/v1/charge/agent-coupon"
            | "/openapi/v1/charge/sub-agent-v2",
        ) => "charge",
        _ if path.starts_with("/oauth2/") => return Endpoint::Unknown,
        _ => "echo",
    };
    Endpoint::Call(call)
}

/// `client_id` and `refresh_token` as multipart/form-data.
pub(super) fn read_refresh(
    received: &Received,
    ours: &AiclkSettings,
) -> Result<Grant, GrantRefused> {
    let (client_id, refresh_token) = read_form(received)?;
    if client_id != ours.client_id {
        return Err(GrantRefused::Credentials("refresh_refused"));
    }
    Ok(Grant::Refresh(refresh_token))
}

/// The access token that a call carries; `None` without one.
pub(super) fn carried(headers: &HeaderMap) -> Result<Option<&str>, Mistake> {
    at_most_once(headers, "ogw_access_token")
}

fn read_form(received: &Received) -> Result<(String, String), Mistake> {
    let content_type = received.headers.get(header::CONTENT_TYPE);
    let mime: Option<Mime> = content_type.and_then(|value| value.to_str().ok()?.parse().ok());
    let mime = mime.filter(|mime| mime.essence_str() == mime::MULTIPART_FORM_DATA.essence_str());
    let boundary = mime.as_ref().and_then(|mime| mime.get_param(mime::BOUNDARY));
    let boundary =
        boundary.ok_or_else(|| Mistake::new("the content type is not multipart/form-data"))?;
    let body = received.body.whole().ok_or_else(|| Mistake::new("the form is too long"))?;

    let mut fields = form::fields(body, boundary.as_str())?;
    fields.sort();
    match <[_; 2]>::try_from(fields) {
        Ok([("client_id", client_id), ("refresh_token", refresh_token)]) => {
            Ok((client_id.to_owned(), refresh_token.to_owned()))
        }
        _ => {
            Err(Mistake::new("the form is not of client_id and refresh_token: each once, no other"))
        }
    }
}
