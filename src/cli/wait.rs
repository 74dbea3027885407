//! `tokenward wait`: returns when a gateway is ready.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::causes::causes;

use super::admin::{self, Admin, Answer};
use super::people::{plain, span};
use super::progress::Progress;
use super::{Failure, block_on, say};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How long to wait at the most; 0s looks once.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    admin: admin::Whereabouts,
}

pub(super) fn wait(arguments: &Arguments) -> Result<(), Failure> {
    let admin = arguments.admin.admin()?;
    let ready = block_on(until_ready(&admin, arguments.timeout));
    ready.map(|names| say(io::stdout(), &format!("ready: {names}")))
}

/// The names of the upstreams that are ready.
async fn until_ready(admin: &Admin, limit: Duration) -> Result<String, Failure> {
    let began = Instant::now();
    let mut progress = Progress::new();
    let mut pause = FIRST_PAUSE;
    let mut why: Option<String> = None;
    loop {
        let left = limit.saturating_sub(began.elapsed());
        // One look is always taken, and a gateway on this machine answers at once.
        let time = if why.is_none() { left.max(FIRST_LOOK) } else { left };
        let cut_short = time < LONGEST_LOOK;
        match admin.get("/readyz", time.min(LONGEST_LOOK)).await {
            Ok(answer) => match judge(&answer) {
                Ok(names) => return Ok(names),
                Err(reason) => why = Some(format!("{admin}: {reason}")),
            },
            // What an earlier look has found says more than that there was no time for the last.
            Err(admin::Unanswered::Silent { .. }) if cut_short && why.is_some() => {}
            Err(error) => why = Some(causes(&error)),
        }
        let reason = plain(why.as_deref().unwrap_or_default());
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() {
            let limit = humantime::format_duration(limit);
            return Err(Failure::Failed(format!("not ready within {limit}: {reason}").into()));
        }
        progress.show(&format!("waiting, {} left: {reason}", span(left)));
        sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Who is ready, or why not everybody is.
fn judge(answer: &Answer) -> Result<String, String> {
    let not_ours = || format!("HTTP {}, which is no answer of a gateway", answer.status);
    let said: Value = serde_json::from_slice(&answer.body).map_err(|_| not_ours())?;
    let upstreams = said["upstreams"].as_object().ok_or_else(not_ours)?;
    if answer.status == 200 && said["ready"] == true {
        return Ok(upstreams.keys().cloned().collect::<Vec<_>>().join(", "));
    }
    let waiting = upstreams.iter().filter(|(_, one)| one["ready"] != true);
    let reasons = waiting.map(|(name, one)| {
        let reason = one["reason"].as_str().unwrap_or("it does not say why");
        format!("{name}: {reason}")
    });
    let stopping = (said["stopping"] == true).then(|| "it is stopping".to_owned());
    Err(stopping.into_iter().chain(reasons).collect::<Vec<_>>().join("; "))
}

const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Result<String, String> {
        judge(&Answer { status, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn p29_who_is_not_ready_is_named_with_the_reason() {
        let body = r#"{"ready":false,"stopping":true,"upstreams":{
            "a":{"ready":false,"reason":"no token"},"b":{"ready":true,"reason":null}}}"#;
        assert_eq!(judged(503, body), Err("it is stopping; a: no token".to_owned()));
        let body = r#"{"ready":true,"stopping":false,"upstreams":{"a":{"ready":true}}}"#;
        assert_eq!(judged(200, body), Ok("a".to_owned()));
    }

    #[test]
    fn p29_a_stranger_at_that_address_is_not_ready() {
        for body in ["", "ok", "{}", "[]", "{\"ready\":true}"] {
            let told = judged(200, body).expect_err(body);
            assert_eq!(told, "HTTP 200, which is no answer of a gateway", "{body}");
        }
    }
}
