//! Real clients, unchanged but for the base URL, with tokens that die while they work.

use std::process::Stdio;
use std::time::Duration;

use tokenward::sandbox::{Settings, Vendor};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::process::{Ended, Process, gateway, run};
use crate::support::vendors::{Home, Vendors, get, get_until};

/// The table that the script prints is what a failure shows.
#[tokio::test]
async fn p04_real_clients_work_unchanged_while_their_tokens_die() {
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/run"));
    script.env("TOKENWARD", env!("CARGO_BIN_EXE_tokenward"));
    script.stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(PATIENCE, script.output()).await.expect("the clients come to an end");
    let ended = ended.expect("python3 runs tests/clients/run");
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{INSTALL}\n\n{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn p31_promtool_finds_no_fault_with_the_metrics() {
    let settings = Settings::default();
    let vendors = Vendors::start(settings.clone()).await;
    let home = Home::with(&vendors.config(&settings));
    let process = Process::start(gateway(&home.config()));
    let (jing, aiclk) = (process.upstream("jing").await, process.upstream("aiclk").await);
    let admin = process.admin().await;
    get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
    // Something of everything is counted: a recovery, a refusal of the guard, an echo.
    vendors.sandbox.expire(Vendor::Jing);
    get(format!("{jing}/v1/user/list")).await;
    get(format!("{aiclk}/oauth2/token")).await;
    get(format!("{aiclk}/nowhere")).await;
    let metrics = get(format!("{admin}/metrics")).await.body;
    assert!(metrics.contains("tokenward_retries_total{outcome=\"recovered\",upstream=\"jing\"} 1"));
    let file = home.put("metrics", &metrics);
    let mut promtool = Command::new("sh");
    promtool.args(["-c", "promtool check metrics < \"$0\""]).arg(file);
    let Ended { code, stdout, stderr } = run(promtool).await;
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "", ""), "{INSTALL}");
}

/// The script has shorter deadlines of its own.
const PATIENCE: Duration = Duration::from_secs(120);
const INSTALL: &str =
    "`bash tests/run` installs what tests/packages.txt names, or install it by hand";
