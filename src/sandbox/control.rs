//! The control side over HTTP: faults on and off, and the state of both vendors.

use std::{fmt::Write as _, str::FromStr, time::Duration};

use http::{Method, Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use tracing::info;
use url::form_urlencoded;

use super::{
    Sandbox, Vendor,
    answer::{Answer, JSON, TEXT},
    answer_body::AnswerBody,
    desk::Report,
    fault::{Encoding, Fault, FaultKind, Rejection, Scope},
    recorded,
};

/// Answers `/-/…`. The request's body is not looked at: everything is in the query.
pub(super) fn control(
    sandbox: &Sandbox,
    method: &Method,
    path: &str,
    query: &str,
) -> Response<AnswerBody> {
    let answer = match (method.as_str(), path) {
        ("POST", "/-/fault") => set_fault(sandbox, &Query::parse(query)),
        ("DELETE", "/-/fault") => clear_faults(sandbox, &Query::parse(query)),
        ("GET", "/-/state") => state(sandbox),
        _ => Err(HELP.to_owned()),
    };
    match answer {
        Ok(json) => Answer::new(StatusCode::OK, JSON, format!("{json}\n")),
        Err(help) if path != "/-/fault" => Answer::new(StatusCode::NOT_FOUND, TEXT, help),
        Err(help) => Answer::new(StatusCode::BAD_REQUEST, TEXT, help),
    }
    .into_response()
}

/// In the order of the fields, for people.
#[derive(Serialize)]
struct State {
    jing: Report,
    aiclk: Report,
}

fn state(sandbox: &Sandbox) -> Result<String, String> {
    let report = |vendor| sandbox.desk(vendor).report();
    let state = State { jing: report(Vendor::Jing), aiclk: report(Vendor::Aiclk) };
    serde_json::to_string_pretty(&state).map_err(|error| error.to_string())
}

fn set_fault(sandbox: &Sandbox, query: &Query) -> Result<String, String> {
    let vendors = query.vendors()?;
    let fault = query.fault(&vendors)?;
    query.nothing_else()?;
    for vendor in vendors {
        info!(vendor = vendor.name(), %fault, "vendor: fault switched on");
        sandbox.fault(vendor, fault.clone());
    }
    Ok(json!({ "fault": fault.to_string() }).to_string())
}

fn clear_faults(sandbox: &Sandbox, query: &Query) -> Result<String, String> {
    let vendors = query.vendors()?;
    query.nothing_else()?;
    for vendor in vendors {
        info!(vendor = vendor.name(), "vendor: faults switched off");
        sandbox.clear_faults(vendor);
    }
    Ok(json!({ "fault": null }).to_string())
}

/// The query of a control request.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn need(&self, key: &str, what: &str) -> Result<&str, String> {
        self.get(key).ok_or_else(|| format!("{key}=… is missing: {what}\n"))
    }

    fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, String> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| format!("{key}: a number was expected\n"))
    }

    fn vendors(&self) -> Result<Vec<Vendor>, String> {
        let Some(name) = self.get("vendor") else {
            return Ok(Vendor::ALL.to_vec());
        };
        let vendor = Vendor::ALL.into_iter().find(|vendor| vendor.name() == name);
        vendor.map(|vendor| vec![vendor]).ok_or_else(|| "vendor: jing or aiclk\n".to_owned())
    }

    fn fault(&self, vendors: &[Vendor]) -> Result<Fault, String> {
        let mut fault = Fault::new(self.kind(vendors)?);
        fault.left = self.number("times")?;
        if let Some(scope) = self.get("on") {
            fault.scope = match scope {
                "token" => Scope::Token,
                "calls" => Scope::Calls,
                "rejections" => Scope::Rejections,
                "all" => Scope::All,
                _ => return Err("on: token, calls, rejections or all\n".to_owned()),
            };
        }
        Ok(fault)
    }

    fn kind(&self, vendors: &[Vendor]) -> Result<FaultKind, String> {
        Ok(match self.need("kind", HELP)? {
            "expire" => FaultKind::Expire,
            "refuse-all" => FaultKind::RefuseAll,
            "rejection" => FaultKind::Rejection(Rejection {
                recording: self.recording(vendors)?,
                code: self.number("code")?,
                message: self.get("message").map(str::to_owned),
                status: self.status("status")?,
            }),
            "refuse-refresh" => FaultKind::RefuseRefresh,
            "same-token" => FaultKind::SameToken,
            "rotate" => FaultKind::Rotate(match self.need("value", "on or off")? {
                "on" => true,
                "off" => false,
                _ => return Err("value: on or off\n".to_owned()),
            }),
            "drop-answer" => FaultKind::DropAnswer,
            "slow" => {
                let delay = self.number("delay_ms")?.ok_or("delay_ms=… is missing\n")?;
                FaultKind::Slow(Duration::from_millis(delay))
            }
            "silent" => FaultKind::Silent,
            "server-error" => FaultKind::ServerError(self.status("status")?.unwrap_or(502)),
            "garbage" => FaultKind::Garbage,
            "answer" => {
                self.need("recording", "the name of a recorded answer")?;
                FaultKind::Answer(self.recording(vendors)?.unwrap_or_default())
            }
            "cut" => FaultKind::Cut,
            "split" => FaultKind::Split,
            "encoding" => FaultKind::Encoding(match self.need("value", "gzip or deflate")? {
                "gzip" => Encoding::Gzip,
                "deflate" => Encoding::Deflate,
                _ => return Err("value: gzip or deflate\n".to_owned()),
            }),
            "content-type" => {
                FaultKind::ContentType(self.need("value", "a content type")?.to_owned())
            }
            "padding" => match self.number("kib")? {
                Some(kib) if kib <= MOST_PADDING_KIB => FaultKind::Padding(kib),
                _ => return Err(format!("kib: a number up to {MOST_PADDING_KIB}\n")),
            },
            _ => return Err(HELP.to_owned()),
        })
    }

    fn status(&self, key: &str) -> Result<Option<u16>, String> {
        let status = self.number(key)?;
        match status {
            Some(status) if !(200..600).contains(&status) => {
                Err(format!("{key}: an HTTP status from 200 to 599\n"))
            }
            status => Ok(status),
        }
    }

    fn recording(&self, vendors: &[Vendor]) -> Result<Option<String>, String> {
        let Some(name) = self.get("recording") else {
            return Ok(None);
        };
        for vendor in vendors {
            if recorded::find(*vendor, name).is_none() {
                let mut known = format!("{vendor} has no such recording; it has:\n");
                for recording in recorded::all(*vendor) {
                    // Writing into a string cannot fail.
                    let _ = writeln!(known, "  {}", recording.name);
                }
                return Err(known);
            }
        }
        Ok(Some(name.to_owned()))
    }

    /// Refuses a misspelt key, which would otherwise be a fault that was not asked for.
    fn nothing_else(&self) -> Result<(), String> {
        match self.0.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
            Some((key, _)) => Err(format!("{key}: unknown; there are {}\n", KEYS.join(", "))),
            None => Ok(()),
        }
    }
}

const KEYS: &[&str] = &[
    "vendor",
    "kind",
    "on",
    "times",
    "delay_ms",
    "status",
    "recording",
    "code",
    "message",
    "value",
    "kib",
];

const MOST_PADDING_KIB: usize = 16 * 1024;

const HELP: &str = "\
GET    /-/state                      counts, faults and mistakes of both vendors
DELETE /-/fault                      all faults off (&vendor=jing|aiclk: of one vendor)
POST   /-/fault?kind=KIND            a fault on, at both vendors unless &vendor= says which
         &on=token|calls|rejections|all    what meets it
         &times=N                          for the next N requests; else until cleared

KIND                                 usual scope
  expire                             at once      every living access token is dead
  refuse-all                         calls        no access token is good enough
  rejection [&recording=NAME] [&code=N&message=TEXT] [&status=N]
                                     rejections   how a rejected token is answered
  refuse-refresh                     token        refresh tokens are refused as spent
  same-token                         token        the token that still lives is handed out again
  rotate&value=on|off                token        refresh tokens are single-use, or not
  drop-answer                        token        carried out, then closed without an answer
  slow&delay_ms=N                    all          the answer comes later
  silent                             all          the answer never comes
  server-error [&status=N]           all          a 5xx in HTML
  garbage                            all          200 with something that is not JSON
  answer&recording=NAME              all          a recorded answer, whatever was asked
  cut                                all          closed after half of the body
  split                              rejections   the body byte by byte
  encoding&value=gzip|deflate        rejections   the body compressed
  content-type&value=TEXT            rejections   another content type than the body's
  padding&kib=N                      rejections   so much data before the first member

Two paths are the sandbox's own additions, at jing below /v1, at aiclk below /openapi. They want
the token like any call:
  …/-/stream?chunks=N&delay_ms=N&size=N    chunk by chunk; without a size, server-sent events
  …/-/websocket                            a WebSocket that echoes
";
