//! A store that goes away and comes back, as operators see it.

use serde_json::Value;
use tokenward::sandbox::Settings;

use crate::support::metrics::Samples;
use crate::support::process::{Process, gateway};
use crate::support::vendors::{Answered, Home, Vendors, get, get_until};

const CONFIG: &str = r#"
workers = 1
admin.listen = "127.0.0.1:0"
store.path = "store/tokens.json"

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1"
credentials = { client_id = "sandbox-client-id", refresh_token = "sandbox-aiclk-refresh-first" }
"#;

const CALL: &str = "/openapi/v1/account/info?account_id=1";

fn is_up(status: &Answered, up: bool) -> bool {
    status.status == 200 && status.json()["store"]["up"] == up
}

async fn metric(admin: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    Samples::read(&get(format!("{admin}/metrics")).await.body).sum(name, labels)
}

#[tokio::test]
async fn p17_a_store_that_goes_and_comes_back_is_told_once_each_and_tokens_serve_on() {
    let (home, vendors) = (Home::with(CONFIG), Vendors::start(Settings::default()).await);
    let (here, away) = (home.path().join("store"), home.path().join("away"));
    std::fs::create_dir(&here).expect("a folder");
    let mut command = gateway(&home.config());
    let at = format!("http://{}", vendors.address);
    let process = Process::start({
        command.env("TOKENWARD__UPSTREAM__AICLK__BASE_URL", at);
        command
    });
    let admin = process.admin().await;
    let (status, upstream) = (format!("{admin}/status"), process.upstream("aiclk").await);
    get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
    assert_eq!(metric(&admin, "tokenward_store_up", &[]).await, 1.0);
    let shown = get(status.clone()).await.json()["store"].clone();
    assert_eq!((&shown["kind"], &shown["up"]), (&Value::from("file"), &Value::from(true)));
    assert_eq!((&shown["detail"], &shown["sealed_with"]), (&Value::Null, &Value::Null));

    // A folder that is gone stops root as well.
    std::fs::rename(&here, &away).expect("moved away");
    let down = get_until(status.clone(), |it| is_up(it, false)).await.json()["store"].clone();
    assert!(down["detail"].as_str().is_some_and(|it| it.contains("/store")), "{down}");
    assert!(down["since"].as_str() >= shown["since"].as_str(), "{down}");
    assert_eq!(metric(&admin, "tokenward_store_up", &[]).await, 0.0);
    let failed = [("outcome", "failed")];
    assert!(metric(&admin, "tokenward_store_operations_total", &failed).await >= 1.0);
    assert_eq!(get(upstream.clone() + CALL).await.status, 200, "served from memory");
    assert_eq!(get(format!("{admin}/readyz")).await.status, 200);

    std::fs::rename(&away, &here).expect("moved back");
    get_until(status.clone(), |it| is_up(it, true)).await;
    assert_eq!(metric(&admin, "tokenward_store_up", &[]).await, 1.0);
    process.signal("TERM").await;
    let log = process.ended().await.stderr;
    for (message, level) in [("the token store fails", "WARN"), ("the token store is back", "INFO")]
    {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(message)).collect();
        assert!(lines.len() == 1 && lines[0].contains(level), "{message}: {log}");
    }
    assert!(!log.contains("sandbox-aiclk-"), "a secret is in the log: {log}");
}

#[tokio::test]
async fn p31_status_shows_what_the_accounts_page_says() {
    let (home, vendors) = (Home::with(CONFIG), Vendors::start(Settings::default()).await);
    std::fs::create_dir(home.path().join("store")).expect("a folder");
    let mut command = gateway(&home.config());
    let at = format!("http://{}", vendors.address);
    command.env("TOKENWARD__UPSTREAM__AICLK__BASE_URL", at);
    let process = Process::start(command);
    let admin = process.admin().await;
    get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
    let status = get(format!("{admin}/status")).await.json();
    let account = &status["upstreams"]["aiclk"]["account"];
    let page = account["page"].as_str().expect("a name");
    let id = page.strip_prefix("aiclk-").expect("the vendor's name first");
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{page}");
    for key in ["lease", "answer_missing_since", "plea"] {
        assert_eq!(account.get(key), Some(&Value::Null), "{account}");
    }
    assert_eq!(account["early_deaths"], 0);
    assert_eq!(account["seeded_by_hand"], false);
    assert_eq!(
        metric(&admin, "tokenward_token_lock_wait_seconds", &[("upstream", "aiclk")]).await,
        0.0
    );
}
