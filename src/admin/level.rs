//! What is logged: shown, and changed while the gateway runs.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json as object;
use tokio::time::timeout;
use url::form_urlencoded;

use crate::causes::causes;
use crate::telemetry::log::{LevelNow, LogError, level_now, set_level};
use crate::units::Span;

use super::answer::{Answer, allow, json, text};

/// What is wanted; said in the query or in a form.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// `None`: the usual one.
    level: Option<String>,
    longest: Option<Duration>,
}

/// Whoever asks for a change has been let through.
pub(super) async fn answer(request: Request<Incoming>) -> Answer {
    match *request.method() {
        Method::GET | Method::HEAD => match level_now() {
            Some(now) => shown(&now),
            None => text(StatusCode::CONFLICT, NOT_OURS),
        },
        Method::POST | Method::PUT => match change(request).await {
            Ok(now) => shown(&now),
            Err(answer) => *answer,
        },
        _ => allow("GET, HEAD, POST, PUT"),
    }
}

async fn change(request: Request<Incoming>) -> Result<LevelNow, Box<Answer>> {
    let no = |status, why: &str| Box::new(text(status, &format!("{why}\n")));
    let bad = |why: &str| no(StatusCode::BAD_REQUEST, why);
    let (head, body) = request.into_parts();
    let body = timeout(BODY_TIME, Limited::new(body, LONGEST_BODY).collect()).await;
    let body =
        body.map_err(|_| no(StatusCode::REQUEST_TIMEOUT, "the form did not come in time"))?;
    let body = body.map_err(|error| bad(&format!("the form cannot be read: {error}")))?.to_bytes();
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let pairs = form_urlencoded::parse(query).chain(form_urlencoded::parse(&body));
    let wanted = Wanted::read(pairs).map_err(|why| bad(&why))?;
    set_level(wanted.level.as_deref(), wanted.longest).map_err(|error| match error {
        LogError::Level { .. } => bad(&causes(&error)),
        _ => Box::new(text(StatusCode::CONFLICT, NOT_OURS)),
    })
}

fn shown(now: &LevelNow) -> Answer {
    let left = now.left.map(|left| left.as_secs());
    let body = object!({ "level": now.level, "usual": now.usual, "seconds_left": left });
    json(StatusCode::OK, &body)
}

impl Wanted {
    /// # Errors
    /// What is wrong with it.
    fn read<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl Iterator<Item = (N, V)>,
    ) -> Result<Self, String> {
        let mut wanted = Self::default();
        for (name, value) in pairs {
            let value = value.as_ref().trim();
            match name.as_ref() {
                "level" if wanted.level.is_some() => {
                    return Err("`level` stands there twice".into());
                }
                "level" if value.is_empty() => {}
                "level" => wanted.level = Some(value.to_owned()),
                "for" => {
                    let span = value.parse::<Span>().map_err(|error| format!("`for`: {error}"))?;
                    let span = Duration::from(span);
                    if span.is_zero() || span > LONGEST {
                        return Err("`for` is more than nothing, and a week at the most".into());
                    }
                    wanted.longest = Some(span);
                }
                other => {
                    let problem = "means nothing here: say `level`, and perhaps `for`";
                    return Err(format!("{other:?} {problem}"));
                }
            }
        }
        match wanted {
            Self { level: None, longest: Some(_) } => {
                Err("`for` needs a `level` that is to stand so long".into())
            }
            wanted => Ok(wanted),
        }
    }
}

const NOT_OURS: &str = "this process does not log by itself\n";
const LONGEST_BODY: usize = 4096;
const BODY_TIME: Duration = Duration::from_secs(5);
/// Beyond this, the config is the place for it.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wanted, String> {
        Wanted::read(form_urlencoded::parse(text.as_bytes()))
    }

    #[test]
    fn p31_a_level_is_asked_for_with_or_without_an_end() {
        let debug = |longest| Wanted { level: Some("info,tokenward::proxy=debug".into()), longest };
        assert_eq!(read("level=info,tokenward::proxy=debug"), Ok(debug(None)));
        let for_a_while = read("level=info%2Ctokenward%3A%3Aproxy%3Ddebug&for=10m");
        assert_eq!(for_a_while, Ok(debug(Some(Duration::from_secs(600)))));
        assert_eq!((read(""), read("level=")), (Ok(Wanted::default()), Ok(Wanted::default())));
        for (text, expected) in [
            ("debug", "\"debug\" means nothing here"),
            ("level=debug&for=10", "`for`: "),
            ("level=debug&for=0s", "more than nothing"),
            ("level=debug&for=8d", "a week"),
            ("for=10m", "needs a `level`"),
            ("level=debug&level=info", "twice"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
