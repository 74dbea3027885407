//! The token file under real processes: shared by several, written while the disk is full, left by
//! the dead.

use std::path::Path;
use std::time::Duration;

use tokenward::sandbox::{Counts, Fault, FaultKind, Sandbox, Scope, Settings, Vendor};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::support::process::{Process, after, gateway, run};
use crate::support::vendors::{Answered, Home, Vendors, get, get_until, try_get};

mod fleet;

/// The gateway before aiclk, whose refresh tokens are for a single use here.
const CONFIG: &str = r#"
workers = 1

[admin]
listen = "127.0.0.1:0"

[store]
path = "store/tokens.json"
lease = "1s"

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1"
credentials.client_id = "sandbox-client-id"
credentials.refresh_token = "sandbox-aiclk-refresh-first"
refresh.per_minute = 1000000
refresh.daily_limit = 0
"#;

pub(crate) const CALL: &str = "/openapi/v1/account/info?account_id=1";

pub(crate) fn home() -> Home {
    home_with("")
}

fn home_with(more: &str) -> Home {
    let home = Home::with(&format!("{CONFIG}{more}"));
    std::fs::create_dir(home.path().join("store")).expect("a folder");
    home
}

/// aiclk with refresh tokens for a single use.
pub(crate) fn rotating() -> Settings {
    let mut settings = Settings::default().with_access_life(Duration::from_secs(3600));
    settings.aiclk.tokens.rotate = true;
    settings
}

pub(crate) fn before(vendors: &Vendors, home: &Home) -> Command {
    let mut command = gateway(&home.config());
    let at = format!("http://{}", vendors.address);
    command.env("TOKENWARD__UPSTREAM__AICLK__BASE_URL", at);
    command
}

pub(crate) fn sharing(vendors: &Vendors, home: &Home) -> Command {
    let mut command = before(vendors, home);
    command.env("TOKENWARD__STORE__SHARE", "true");
    command
}

pub(crate) async fn counted(sandbox: &Sandbox, done: impl Fn(&Counts) -> bool) -> Counts {
    let counted = timeout(DEADLINE, sandbox.until(Vendor::Aiclk, done)).await;
    counted.expect("the vendor counts on")
}

pub(crate) async fn is_served(at: &str) {
    let answer = get(format!("{at}{CALL}")).await;
    assert_eq!((answer.status, &answer.json()["code"]), (200, &200.into()), "{answer:?}");
}

async fn generation(process: &Process) -> u64 {
    let status = get(process.admin().await + "/status").await.json();
    status["upstreams"]["aiclk"]["token"]["generation"].as_u64().unwrap_or(0)
}

pub(crate) async fn has_generation(process: &Process, generation: u64) {
    let wanted = |it: &Answered| {
        it.json()["upstreams"]["aiclk"]["token"]["generation"].as_u64() == Some(generation)
    };
    get_until(process.admin().await + "/status", wanted).await;
}

pub(crate) fn seed(vendors: &Vendors, home: &Home, file: &Path, more: &[&str]) -> Command {
    let run = before(vendors, home);
    let mut command = crate::support::process::tokenward();
    for (name, value) in run.as_std().get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.args(["seed", "aiclk", "--config"]).arg(home.config());
    command.arg("--refresh-token-file").arg(file).args(more);
    command
}

#[tokio::test]
async fn p17_a_gateway_that_would_have_the_file_alone_and_one_that_shares_it_do_not_mix() {
    let (home, vendors) = (home(), Vendors::start(rotating()).await);
    let first = Process::start(sharing(&vendors, &home));
    is_served(&first.upstream("aiclk").await).await;
    let alone = run(before(&vendors, &home)).await;
    assert_eq!(alone.code, Some(1), "{}", alone.stderr);
    assert!(alone.stderr.contains(&format!("pid {}", first.pid())), "{}", alone.stderr);
    assert!(alone.stderr.contains("store.share = true"), "{}", alone.stderr);
    is_served(&first.upstream("aiclk").await).await;
    first.kill().await;

    let first = Process::start(before(&vendors, &home));
    is_served(&first.upstream("aiclk").await).await;
    let sharing = run(sharing(&vendors, &home)).await;
    assert_eq!(sharing.code, Some(1), "{}", sharing.stderr);
    assert!(sharing.stderr.contains("has the file alone"), "{}", sharing.stderr);
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).token_calls(), 1);
}

/// Nobody else can have the file, so nobody waits for the lease of a process that was killed.
#[tokio::test]
async fn p15_a_restart_does_not_wait_for_the_lease_of_the_dead() {
    let (home, vendors) = (home(), Vendors::start(rotating()).await);
    let with_a_long_lease = || {
        let mut command = before(&vendors, &home);
        command.env("TOKENWARD__STORE__LEASE", "5m");
        Process::start(command)
    };
    let first = with_a_long_lease();
    let at = first.upstream("aiclk").await;
    is_served(&at).await;
    let silent = Fault::new(FaultKind::Silent).on(Scope::Token).times(1);
    vendors.sandbox.fault(Vendor::Aiclk, silent);
    vendors.sandbox.expire(Vendor::Aiclk);
    let call = tokio::spawn(try_get(at + CALL));
    counted(&vendors.sandbox, |counts| counts.refreshes == 2).await;
    first.kill().await;
    let _ = call.await;

    let second = with_a_long_lease();
    let began = Instant::now();
    is_served(&second.upstream("aiclk").await).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refused, 0);
}

/// Two upstreams of one process with the same credentials have one page: one refresh for a death,
/// one budget.
#[tokio::test]
async fn p16_two_upstreams_of_one_account_share_token_and_budget() {
    let home = home_with(
        r#"
[upstream.second]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1"
credentials.client_id = "sandbox-client-id"
credentials.refresh_token = "sandbox-aiclk-refresh-first"
refresh.per_minute = 1000000
refresh.daily_limit = 4
"#,
    );
    let vendors = Vendors::start(rotating()).await;
    let mut command = before(&vendors, &home);
    command.env("TOKENWARD__UPSTREAM__AICLK__REFRESH__DAILY_LIMIT", "4");
    let at = format!("http://{}", vendors.address);
    command.env("TOKENWARD__UPSTREAM__SECOND__BASE_URL", at);
    let process = Process::start(command);
    let both = [process.upstream("aiclk").await, process.upstream("second").await];
    let counts = || vendors.sandbox.counts(Vendor::Aiclk);
    for calls in 1..=4 {
        let (one, two) = (is_served(&both[0]), is_served(&both[1]));
        tokio::join!(one, two);
        assert_eq!((counts().refreshes, counts().refused), (calls, 0));
        let status = get(process.admin().await + "/status").await.json();
        let used = |name: &str| status["upstreams"][name]["budget"]["used"].as_u64();
        assert_eq!(used("aiclk").max(used("second")), Some(calls), "{status}");
        vendors.sandbox.expire(Vendor::Aiclk);
    }
    for at in &both {
        let answer = get(format!("{at}{CALL}")).await;
        assert_eq!(answer.json()["code"], 401, "the vendor's own answer: {answer:?}");
    }
    assert_eq!(counts().refreshes, 4, "the one budget is spent");
}

/// What a process may write is cut down to nothing, which is what a full disk is like.
#[tokio::test]
async fn p15_a_full_disk_costs_no_token_and_no_call_that_can_be_served() {
    let (home, vendors) = (home(), Vendors::start(rotating()).await);
    let process = Process::start(limited(&vendors, &home, ""));
    let at = process.upstream("aiclk").await;
    is_served(&at).await;
    let path = home.path().join("store/tokens.json");
    let whole = std::fs::read(&path).expect("the store");

    limit_files(&process, "1").await;
    is_served(&at).await;
    vendors.sandbox.expire(Vendor::Aiclk);
    let answer = get(at.clone() + CALL).await;
    assert_eq!(answer.json()["code"], 401, "the vendor's own answer: {answer:?}");
    let told = process.logged(|it| it["outcome"] == "store" || it["outcome"] == "unsaved").await;
    let detail = told["detail"].as_str().expect("a detail");
    assert!(detail.contains("tokens.json.new") && detail.contains("large"), "{detail}");
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, 1, "a refresh token was risked");
    assert_eq!(std::fs::read(&path).expect("the store"), whole);
    assert!(!home.path().join("store/tokens.json.new").exists(), "it takes room, and holds tokens");

    limit_files(&process, "unlimited").await;
    get_until(at + CALL, |it| it.body.contains("\"code\":200")).await;
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refused, 0);
}

/// The gateway under a limit of its own for the files that it writes. The limit's signal would end
/// it; an error is what a full disk gives.
fn limited(vendors: &Vendors, home: &Home, limit: &str) -> Command {
    after(&format!("trap '' XFSZ; {limit}"), &before(vendors, home))
}

async fn limit_files(process: &Process, bytes: &str) {
    let mut command = Command::new("prlimit");
    command.arg("--pid").arg(process.pid().to_string()).arg(format!("--fsize={bytes}:"));
    assert!(command.status().await.expect("prlimit of util-linux").success());
}

/// A gateway that starts on a full disk serves with the token that it finds.
#[tokio::test]
async fn p20_a_full_disk_does_not_keep_a_stored_token_from_serving() {
    let (home, vendors) = (home(), Vendors::start(rotating()).await);
    let first = Process::start(before(&vendors, &home));
    is_served(&first.upstream("aiclk").await).await;
    first.kill().await;
    let second = Process::start(limited(&vendors, &home, "ulimit -f 0;"));
    is_served(&second.upstream("aiclk").await).await;
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refreshes, 1);
}

#[tokio::test]
async fn p26_a_store_that_others_may_read_is_told_and_the_next_save_closes_it() {
    use std::os::unix::fs::PermissionsExt;
    let (home, vendors) = (home(), Vendors::start(rotating()).await);
    let first = Process::start(before(&vendors, &home));
    is_served(&first.upstream("aiclk").await).await;
    first.kill().await;
    let path = home.path().join("store/tokens.json");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("chmod");
    let second = Process::start(before(&vendors, &home));
    second.logged(|it| it["level"] == "WARN" && it["mode"] == "644").await;
    vendors.sandbox.expire(Vendor::Aiclk);
    is_served(&second.upstream("aiclk").await).await;
    let mode = std::fs::metadata(&path).expect("the store").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

const DEADLINE: Duration = Duration::from_secs(30);
