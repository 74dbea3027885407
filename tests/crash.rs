//! `kill -9` at any instant, and what the next start makes of it.

use std::time::Duration;

use tokenward::sandbox::{Counts, Fault, FaultKind, Sandbox, Scope, Settings, Vendor};
use tokenward::secret::Secret;
use tokenward::token::page::Page;
use tokenward::token::store::file::FileStore;
use tokenward::token::store::{Pages, Store};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::process::{Process, gateway, run};
use crate::support::vendors::{Answered, Home, Vendors, client, get, get_until, send};

mod kill_loop;

/// The gateway before aiclk alone, whose refresh token is lost for good when it is lost.
const CONFIG: &str = r#"
workers = 1

[admin]
listen = "127.0.0.1:0"

[store]
path = "store/tokens.json"

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1"
credentials.client_id = "sandbox-client-id"
credentials.refresh_token = "sandbox-aiclk-refresh-first"
refresh.per_minute = 1000000
refresh.daily_limit = 0
"#;

const CALL: &str = "/openapi/v1/account/info?account_id=1";

fn home() -> Home {
    let home = Home::with(CONFIG);
    std::fs::create_dir(home.path().join("store")).expect("a folder");
    home
}

/// aiclk with refresh tokens for a single use.
fn rotating(life: Duration) -> Settings {
    let mut settings = Settings::default().with_access_life(life);
    settings.aiclk.tokens.rotate = true;
    settings
}

fn before(vendors: &Vendors, home: &Home) -> Command {
    let mut command = gateway(&home.config());
    let at = format!("http://{}", vendors.address);
    command.env("TOKENWARD__UPSTREAM__AICLK__BASE_URL", at);
    command
}

/// The page of aiclk as a restart finds it.
async fn stored(home: &Home) -> Page {
    let store = FileStore::open(home.path().join("store/tokens.json")).expect("the store loads");
    let account = Secret::new("sandbox-client-id").fingerprint();
    let page = Store::from(store).load(&format!("aiclk-{account}")).await;
    page.expect("a page").page
}

fn refresh_token(page: &Page) -> Option<String> {
    page.tokens.refresh.as_ref().map(|secret| secret.expose().to_owned())
}

async fn counted(sandbox: &Sandbox, done: impl Fn(&Counts) -> bool) -> Counts {
    let counted = timeout(Duration::from_secs(30), sandbox.until(Vendor::Aiclk, done)).await;
    counted.expect("the vendor counts on")
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn p20_a_living_stored_token_serves_at_once_while_the_token_endpoint_is_dead() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    let first = Process::start(before(&vendors, &home));
    assert_eq!(get(first.upstream("aiclk").await + CALL).await.status, 200);
    first.kill().await;

    vendors.sandbox.fault(Vendor::Aiclk, Fault::new(FaultKind::Silent).on(Scope::Token));
    let second = Process::start(before(&vendors, &home));
    let ready = get_until(second.admin().await + "/readyz", |it| it.status == 200).await;
    assert_eq!(ready.json()["upstreams"]["aiclk"]["ready"], true);
    assert_eq!(get(second.upstream("aiclk").await + CALL).await.status, 200);
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, 1, "only the first start's");
}

/// The store then holds an intent whose answer never came; that must not make the next start wait
/// for the silent endpoint.
#[tokio::test]
async fn p20_a_refresh_that_was_cut_off_does_not_delay_the_next_start() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    let first = Process::start(before(&vendors, &home));
    let (at, admin) = (first.upstream("aiclk").await, first.admin().await);
    assert_eq!(get(at.clone() + CALL).await.status, 200);
    vendors.sandbox.fault(Vendor::Aiclk, Fault::new(FaultKind::Silent).on(Scope::Token));
    let asked = tokio::spawn(send(client().post(admin + "/-/refresh/aiclk")));
    counted(&vendors.sandbox, |counts| counts.refreshes == 2).await;
    first.kill().await;
    assert!(asked.await.expect("no panic").is_err(), "nobody is there to answer");
    assert!(stored(&home).await.intent.is_some(), "the journal tells of it");

    let second = Process::start(before(&vendors, &home));
    let cut_off = |message: &str| message.contains("cut off");
    let told = second.logged(|it| it["message"].as_str().is_some_and(cut_off)).await;
    assert_eq!(told["level"], "WARN");
    let admin = second.admin().await;
    let ready = get_until(admin.clone() + "/readyz", |it| it.status == 200);
    // The endpoint is silent for as long as a call of it may take: ten seconds.
    timeout(Duration::from_secs(5), ready).await.expect("ready before the endpoint is given up");
    assert_eq!(get(second.upstream("aiclk").await + CALL).await.status, 200);
}

#[tokio::test]
async fn p15_an_answer_that_was_lost_is_told_and_a_changed_seed_wins() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    let sandbox = vendors.sandbox.clone();
    let first = Process::start(before(&vendors, &home));
    let at = first.upstream("aiclk").await;
    assert_eq!(get(at.clone() + CALL).await.status, 200);
    let kept = refresh_token_after_kill(first, &home).await;

    // The vendor rotates, and nobody hears of it.
    let lost = Fault::new(FaultKind::DropAnswer).on(Scope::Token).times(1);
    sandbox.fault(Vendor::Aiclk, lost);
    sandbox.expire(Vendor::Aiclk);
    let second = Process::start(before(&vendors, &home));
    let answer = get(second.upstream("aiclk").await + CALL).await;
    assert_eq!(answer.json()["code"], 401, "the vendor's own answer: {answer:?}");
    assert_eq!(answer.header("tokenward-retry"), Some("skipped; reason=no-token"));
    let still = refresh_token_after_kill(second, &home).await;
    assert_eq!(still, kept, "p14: a credential was deleted because a call failed");

    let third = Process::start(before(&vendors, &home));
    let refused = |it: &Answered| it.body.contains("refused");
    let status = get_until(third.admin().await + "/status", refused).await.json();
    let detail = &status["upstreams"]["aiclk"]["last_refresh"]["detail"];
    let detail = detail.as_str().expect("a detail");
    assert!(detail.contains("the answer to that was lost"), "{detail}");
    assert!(detail.contains("tokenward seed aiclk"), "{detail}");
    third.kill().await;

    let seed = sandbox.issue(Vendor::Aiclk).refresh_token.expect("from the console");
    let mut command = before(&vendors, &home);
    command.env("TOKENWARD__UPSTREAM__AICLK__CREDENTIALS__REFRESH_TOKEN", seed);
    let fourth = Process::start(command);
    let answer = get(fourth.upstream("aiclk").await + CALL).await;
    assert_eq!(answer.json()["code"], 200, "{answer:?}");
}

async fn refresh_token_after_kill(process: Process, home: &Home) -> String {
    process.kill().await;
    refresh_token(&stored(home).await).expect("a refresh token")
}

#[tokio::test]
async fn p14_a_refusal_deletes_no_credential() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    let first = Process::start(before(&vendors, &home));
    assert_eq!(get(first.upstream("aiclk").await + CALL).await.status, 200);
    vendors.sandbox.fault(Vendor::Aiclk, FaultKind::RefuseRefresh);
    vendors.sandbox.expire(Vendor::Aiclk);
    let refused = get(first.upstream("aiclk").await + CALL).await;
    assert_eq!(refused.header("tokenward-retry"), Some("skipped; reason=no-token"));
    let current = vendors.sandbox.current(Vendor::Aiclk).refresh_token;
    first.kill().await;
    let entry = stored(&home).await;
    assert_eq!(refresh_token(&entry), current);

    vendors.sandbox.clear_faults(Vendor::Aiclk);
    let second = Process::start(before(&vendors, &home));
    assert_eq!(get(second.upstream("aiclk").await + CALL).await.json()["code"], 200);
}

/// An answered refusal lost nothing, so a restart must not say that something may be lost.
#[tokio::test]
async fn p15_a_refusal_leaves_no_intent_behind() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    vendors.sandbox.fault(Vendor::Aiclk, FaultKind::RefuseRefresh);
    let process = Process::start(before(&vendors, &home));
    process.logged(|it| it["outcome"] == "refused").await;
    process.kill().await;
    assert_eq!(stored(&home).await.intent, None);
}

#[tokio::test]
async fn p15_nothing_is_presented_while_the_store_cannot_be_written() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    let sandbox = vendors.sandbox.clone();
    let process = Process::start(before(&vendors, &home));
    let at = process.upstream("aiclk").await;
    assert_eq!(get(at.clone() + CALL).await.status, 200);

    let away = lose_folder(&home);
    sandbox.expire(Vendor::Aiclk);
    let answer = get(at.clone() + CALL).await;
    assert_eq!(answer.json()["code"], 401, "the vendor's own answer: {answer:?}");
    assert_eq!(answer.header("tokenward-retry"), Some("skipped; reason=no-token"));
    let failed = process.logged(|it| it["outcome"] == "store").await;
    assert!(failed["detail"].as_str().is_some_and(|it| it.contains("store")), "{failed}");
    assert_eq!(sandbox.counts(Vendor::Aiclk).refreshes, 1, "a refresh token was risked");

    std::fs::rename(away, home.path().join("store")).expect("moved back");
    let recovered = get_until(at + CALL, |it| it.body.contains("\"code\":200")).await;
    assert_eq!(recovered.status, 200);
}

#[tokio::test]
async fn p15_a_pair_that_cannot_be_saved_is_held_back_until_it_can() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    let sandbox = vendors.sandbox.clone();
    let process = Process::start(before(&vendors, &home));
    let at = process.upstream("aiclk").await;
    assert_eq!(get(at.clone() + CALL).await.status, 200);

    // The store goes away between the note of intent and the save of the new pair.
    let slow = Fault::new(FaultKind::Slow(Duration::from_millis(300))).on(Scope::Token).times(1);
    sandbox.fault(Vendor::Aiclk, slow);
    sandbox.expire(Vendor::Aiclk);
    let call = tokio::spawn(get(at.clone() + CALL));
    counted(&sandbox, |counts| counts.refreshes == 2).await;
    let away = lose_folder(&home);
    let answer = call.await.expect("no panic");
    assert_eq!(answer.json()["code"], 401, "the vendor's own answer: {answer:?}");
    process.logged(|it| it["outcome"] == "unsaved").await;
    assert_eq!(sandbox.counts(Vendor::Aiclk).granted, 2);
    let used = || sandbox.log(Vendor::Aiclk).iter().filter_map(|seen| seen.generation).max();
    assert_eq!(used(), Some(1), "the new token was used before it was saved");

    std::fs::rename(away, home.path().join("store")).expect("moved back");
    get_until(at + CALL, |it| it.body.contains("\"code\":200")).await;
    assert_eq!(used(), Some(2));
    process.kill().await;
    assert_eq!(sandbox.counts(Vendor::Aiclk).granted, 2, "the pair was fetched anew");
    let current = sandbox.current(Vendor::Aiclk).refresh_token;
    assert_eq!(refresh_token(&stored(&home).await), current);
}

/// A folder that is gone stops root as well, which a read-only one does not.
fn lose_folder(home: &Home) -> std::path::PathBuf {
    let away = home.path().join("away");
    std::fs::rename(home.path().join("store"), &away).expect("moved away");
    away
}

#[tokio::test]
async fn p16_the_daily_cap_survives_kill_9() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    vendors.sandbox.fault(Vendor::Aiclk, FaultKind::RefuseRefresh);
    let capped = || {
        let mut command = before(&vendors, &home);
        command.env("TOKENWARD__UPSTREAM__AICLK__REFRESH__DAILY_LIMIT", "2");
        Process::start(command)
    };
    for calls in 1..=2 {
        let process = capped();
        counted(&vendors.sandbox, |counts| counts.refreshes >= calls).await;
        process.kill().await;
    }
    let process = capped();
    process.logged(|it| it["outcome"] == "budget").await;
    let answer = get(process.upstream("aiclk").await + CALL).await;
    assert_eq!((answer.status, answer.header("tokenward-error")), (503, Some("budget-spent")));
    let opens_in: u64 = answer.header("retry-after").expect("when").parse().expect("seconds");
    assert!((1..=86_400).contains(&opens_in), "{opens_in}");
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, 2, "the cap was exceeded");
    let status = get(process.admin().await + "/status").await.json();
    assert_eq!(status["upstreams"]["aiclk"]["budget"]["used"], 2, "{status}");
}

#[tokio::test]
async fn p15_a_second_process_on_one_store_is_refused_with_the_firsts_pid() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    let first = Process::start(before(&vendors, &home));
    assert_eq!(get(first.upstream("aiclk").await + CALL).await.status, 200);
    let second = run(before(&vendors, &home)).await;
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    let pid = format!("pid {}", first.pid());
    assert!(second.stderr.contains(&pid), "{}", second.stderr);
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).token_calls(), 1);
    assert_eq!(get(first.upstream("aiclk").await + CALL).await.status, 200, "undisturbed");
}

#[tokio::test]
async fn p15_a_damaged_store_is_refused_and_left_as_it_is() {
    let (home, vendors) = (home(), Vendors::start(rotating(HOUR)).await);
    let first = Process::start(before(&vendors, &home));
    assert_eq!(get(first.upstream("aiclk").await + CALL).await.status, 200);
    first.kill().await;
    let path = home.path().join("store/tokens.json");
    let whole = std::fs::read_to_string(&path).expect("the store");
    let damages = [
        whole[..whole.len() / 2].to_owned(),
        whole.replacen("sandbox-aiclk-refresh-", "sandbox-aiclk-refresh_", 1),
        String::new(),
    ];
    for damaged in damages {
        assert_ne!(damaged, whole);
        std::fs::write(&path, &damaged).expect("written");
        let ended = run(before(&vendors, &home)).await;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("tokens.json"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("sandbox-aiclk-"), "a secret: {}", ended.stderr);
        assert_eq!(std::fs::read_to_string(&path).expect("the store"), damaged);
    }
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).token_calls(), 1);
}
