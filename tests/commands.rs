//! The command line as a person meets it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokenward::sandbox::{Settings, Vendor};
use tokio::process::Command;

use crate::support::process::{Ended, Process, gateway, run, tokenward};
use crate::support::until;
use crate::support::vendors::{Home, Vendors, get, get_until};

/// A dozen mistakes, each of another kind.
const MISTAKEN: &str = r#"[admin]
listen = "127.0.0.1"
lisen = "127.0.0.1:9464"

[store]
kind = "sqlite"
path = "nowhere/tokens.json"

[upstream.jing]
vendor = "jign"
listen = "127.0.0.1:0"

[upstream.aiclk]
vendor = "aiclk"
listen = "0.0.0.0:8082"
base_url = "ftp://openapi.example.com"
credentials.client_id = { env = "NOT_SET_ANYWHERE" }
credentials.refresh_tokn = "very-hidden-refresh-token"
refresh.margin = "5 parsecs"
guard.methods = ["GE T"]

[[upstream.aiclk.reject]]
pointer = "code"
in = [40102]
verdict = "expired"
"#;

/// Where each of them is, what is said of it, and what was expected.
const MISTAKES: [(&str, &str, &str); 12] = [
    ("2:10", "the address lacks its port", "expected an address such as"),
    ("3:1", "unknown key `lisen`", "did you mean `listen`?"),
    ("6:8", "`kind` cannot be `sqlite`", "expected `file`, `redis`, `kubernetes` or `memory`"),
    ("7:8", "there is no folder", "nowhere/tokens.json"),
    ("10:10", "there is no built-in vendor \"jign\"", "did you mean \"jing\"?"),
    ("15:10", "other machines can reach this address", "listen on 127.0.0.1"),
    ("16:12", "the scheme is neither https nor http", "expected a URL such as"),
    ("17:13", "the environment variable NOT_SET_ANYWHERE is not set", "credentials.client_id"),
    ("18:13", "vendor aiclk has no credential `refresh_tokn`", "expected client_id, refresh_token"),
    ("19:18", "unknown unit of time", "expected a time such as"),
    ("20:18", "this is not a method", "GE T"),
    ("23:11", "a JSON pointer begins with `/`", "\"code\""),
];

const AICLK: &str = r#"
[admin]
listen = "127.0.0.1:0"

[store]
path = "tokens.json"

[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1"
credentials.client_id = { env = "TEST_CLIENT_ID" }
"#;

fn command(words: &[&str]) -> Command {
    let mut command = tokenward();
    command.args(words).env("TEST_CLIENT_ID", "sandbox-client-id");
    command
}

fn with_config(words: &[&str], home: &Home) -> Command {
    let mut command = command(words);
    command.arg("--config").arg(home.config());
    command
}

#[tokio::test]
async fn p32_check_shows_every_mistake_in_its_place_at_once() {
    let home = Home::with(MISTAKEN);
    let Ended { code, stdout, stderr } = run(with_config(&["check"], &home)).await;
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    let file = home.config().display().to_string();
    let mut told: Vec<&str> = stderr.split("\n\n").collect();
    let sum = told.pop().expect("a last line");
    for (told, (place, problem, expected)) in told.iter().zip(MISTAKES) {
        assert!(told.starts_with(&format!("{file}:{place}: error: ")), "{place}: {told}");
        assert!(told.contains(problem) && told.contains(expected), "{place}: {told}");
        let line: usize = place.split(':').next().and_then(|it| it.parse().ok()).expect("a line");
        let key = MISTAKEN.lines().nth(line - 1).and_then(|it| it.split(' ').next());
        assert!(told.contains(key.expect("a key")) && told.contains('^'), "no snippet: {told}");
    }
    assert_eq!((told.len(), sum.trim()), (12, "12 mistakes"), "{stderr}");
    assert!(!stderr.contains("very-hidden"), "a secret is shown: {stderr}");

    let refused = run(with_config(&["run"], &home)).await;
    assert_eq!((refused.code, refused.stderr), (Some(2), stderr), "run says the same");
}

#[tokio::test]
async fn p32_a_good_config_is_called_good_and_secrets_come_from_anywhere() {
    let variable = "TOKENWARD__UPSTREAM__AICLK__CREDENTIALS__CLIENT_ID";
    let by_file = format!("{variable}__FILE");
    for (written, name, value) in [
        ("{ env = \"TEST_CLIENT_ID\" }", "TEST_CLIENT_ID", "hidden-in-a-variable"),
        ("{ file = \"secret-file\" }", "UNUSED", ""),
        ("\"hidden-in-the-config\"", "UNUSED", ""),
        ("\"\"", variable, "hidden-in-the-overlay"),
        ("\"\"", &by_file, "secret-file"),
    ] {
        let home = Home::with(&AICLK.replace("{ env = \"TEST_CLIENT_ID\" }", written));
        home.put("secret-file", "hidden-in-a-file\n");
        let mut command = with_config(&["check"], &home);
        command.env_remove("TEST_CLIENT_ID").env(name, value);
        let ended = run(command).await;
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(0), "{written} {name}: {told}");
        assert!(told.contains("good") && !told.contains("hidden-in"), "{written} {name}: {told}");
    }
    let home = Home::with(AICLK);
    let mut by_variable = command(&["check"]);
    by_variable.env("TOKENWARD_CONFIG", home.config());
    assert_eq!(run(by_variable).await.code, Some(0));
}

#[tokio::test]
async fn p32_a_mistake_in_the_environment_is_told_by_its_variable() {
    let home = Home::with(AICLK);
    let mut command = with_config(&["check"], &home);
    command.env("TOKENWARD__UPSTREAM__AICLK__TIMEOUTS__CONNECT", "very-hidden");
    command.env("TOKENWARD__UPSTREAM__AICLK__LISEN", "127.0.0.1:0");
    let ended = run(command).await;
    assert_eq!(ended.code, Some(2));
    let variable = "environment: TOKENWARD__UPSTREAM__AICLK__TIMEOUTS__CONNECT: error: ";
    assert!(ended.stderr.contains(variable), "{}", ended.stderr);
    assert!(ended.stderr.contains("expected a time such as"), "{}", ended.stderr);
    assert!(ended.stderr.contains("AICLK__LISEN: error: unknown key"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("very-hidden"), "{}", ended.stderr);
}

#[tokio::test]
async fn an_environment_that_is_not_text_is_no_obstacle() {
    let home = Home::with(AICLK);
    let bytes = OsStr::from_bytes(b"\xff");
    let mut check = with_config(&["check"], &home);
    check.env("STRANGE", bytes).env(bytes, "x");
    let ended = run(check).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn a_stored_refresh_token_is_replaced_only_by_force() {
    let home = Home::with(AICLK);
    for (token, force, code) in [
        ("first-token", None, 0),
        ("first-token", None, 0),
        ("other-token", None, 2),
        ("other-token", Some("--force"), 0),
    ] {
        let file = home.put("seed", token);
        let mut seed = with_config(&["seed", "aiclk"], &home);
        seed.arg("--refresh-token-file").arg(file).args(force);
        let ended = run(seed).await;
        assert_eq!(ended.code, Some(code), "{token} {force:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains(token) && !ended.stdout.contains(token));
    }
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2_and_says_what_is_right() {
    let home = Home::with(AICLK);
    let there = home.put("there", "");
    let there = there.to_str().expect("a path");
    for (words, says) in [
        (&["serve"][..], "unrecognized subcommand"),
        (&[], "Usage"),
        (&["run"], "--config"),
        (&["run", "--config", "no/such/file.toml"], "cannot be read"),
        (&["check", "--config", there], "there is no upstream"),
        (&["check", "--log-format", "xml", "--config", there], "text or json"),
        (&["sandbox", "--listen", "nowhere"], "--listen"),
        (&["classify", "--vendor", "nobody", "--status", "200"], "nobody"),
        (&["classify", "--vendor", "jing", "--status", "99"], "99 is no HTTP status"),
        (&["classify", "--vendor", "jing", "--status", "200", "--header", "x"], "Name: value"),
        (&["classify", "--vendor", "jing", "--status", "200", "--body", "no/file"], "no/file"),
    ] {
        let ended = run(command(words)).await;
        assert_eq!(ended.code, Some(2), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{words:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{words:?}");
    }
    let mut level = with_config(&["run", "--log-level", "tokenward=loud"], &home);
    level.env("TOKENWARD__STORE__KIND", "memory");
    let ended = run(level).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("tokenward=loud"), "{}", ended.stderr);
}

#[tokio::test]
async fn p07_classify_fires_on_recorded_rejections_alone_and_says_why() {
    let recordings = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vendors");
    let mut rejections = 0;
    for vendor in Vendor::ALL {
        let folder = std::fs::read_dir(format!("{recordings}/{vendor}")).expect("recordings");
        for entry in folder {
            let path = entry.expect("a recording").path();
            let name = path.file_stem().and_then(|it| it.to_str()).expect("a name");
            let status = if name.contains("http_401") { "401" } else { "200" };
            let mut command = command(&["classify", "--status", status, "--vendor"]);
            command.args([vendor.name(), "--header", "content-type: text/html", "--body"]);
            command.arg(&path);
            let Ended { code, stdout, stderr } = run(command).await;
            assert_eq!(code, Some(0), "{vendor} {name}: {stderr}");
            let (reasons, sum) = stdout.trim_end().rsplit_once('\n').expect("reasons and a sum");
            if name.starts_with("rejected_") {
                rejections += 1;
                let rule = sum.strip_prefix("=> expired, by the rule ");
                let rule = rule.unwrap_or_else(|| panic!("{vendor} {name}: {stdout}"));
                assert!(reasons.contains(&format!("{rule}: fires")), "{vendor} {name}: {stdout}");
            } else {
                assert!(sum.starts_with("=> no rejection"), "{vendor} {name}: {stdout}");
                let whys = reasons.lines().filter(|it| it.contains(": does not fire: "));
                assert_eq!(whys.count(), reasons.lines().count(), "{vendor} {name}: {stdout}");
            }
        }
    }
    assert_eq!(rejections, 14, "recordings are missing");
}

#[tokio::test]
async fn p07_classify_looks_no_further_than_the_gateway() {
    let home = Home::with(AICLK);
    let padding = "x".repeat(64 * 1024);
    let body = format!("{{\"padding\":\"{padding}\",\"code\":401}}");
    let file = home.put("answer", &body);
    let mut classify = command(&["classify", "--vendor", "aiclk", "--status", "200", "--body"]);
    classify.arg(file);
    let ended = run(classify).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("only the first 65536 bytes"), "{}", ended.stdout);
    assert!(ended.stdout.contains("=> no rejection"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_seed_from_the_command_line_is_what_the_gateway_begins_with() {
    let vendors = Vendors::start(Settings::default()).await;
    let home = Home::with(AICLK);
    let token = home.put("token", "sandbox-aiclk-refresh-first\n");
    let seed = |file: &Path, more: &[&str]| {
        let mut command = with_config(&["seed", "aiclk"], &home);
        command.arg("--refresh-token-file").arg(file).args(more);
        command
    };
    let ended = run(seed(&token, &[])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("sandbox-aiclk"));

    let other = home.put("other", "another-refresh-token");
    let refused = run(seed(&other, &[])).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);

    let mut command = gateway(&home.config());
    command.env("TEST_CLIENT_ID", "sandbox-client-id");
    command.env("TOKENWARD__UPSTREAM__AICLK__BASE_URL", format!("http://{}", vendors.address));
    let process = Process::start(command);
    let answer = get(process.upstream("aiclk").await + "/openapi/v1/account/info").await;
    assert_eq!(answer.json()["code"], 200, "{answer:?}");
    assert_eq!(vendors.sandbox.counts(Vendor::Aiclk).refused, 0);

    let refused = run(seed(&token, &["--force"])).await;
    assert_eq!(refused.code, Some(0), "it is there already: {}", refused.stderr);
    let by_hand = run(seed(&other, &["--force"])).await;
    assert_eq!(by_hand.code, Some(0), "while the gateway runs: {}", by_hand.stderr);
}

#[tokio::test]
async fn the_sandbox_stands_alone_and_ctrl_c_ends_it() {
    let process = Process::start(command(&["sandbox", "--listen", "127.0.0.1:0"]));
    let said = process.said(|text| text.contains("Ctrl-C")).await;
    for word in ["sandbox-app-id", "sandbox-client-id", "sandbox-aiclk-refresh-first"] {
        assert!(said.contains(word), "{said}");
    }
    let at = said.split_whitespace().find(|it| it.starts_with("http://")).expect("an address");
    let state = get(format!("{}/-/state", at.trim_end_matches(','))).await;
    assert_eq!(state.json()["aiclk"]["counts"]["calls"], 0);
    process.signal("INT").await;
    assert_eq!(process.ended().await.code, Some(0));
}

#[tokio::test]
async fn the_demos_three_curl_lines_work_as_they_are_printed() {
    let process = Process::start(command(&["demo"]));
    let said = process.said(|text| text.contains("Ctrl-C")).await;
    let lines: Vec<&str> =
        said.lines().map(str::trim).filter(|it| it.starts_with("curl")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    let mut answers = Vec::new();
    for line in &lines {
        let mut bash = Command::new("bash");
        bash.args(["-c", line]);
        let ended = run(bash).await;
        assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
        answers.push(ended.stdout);
    }
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert_eq!(json(&answers[0])["code"], 0, "{answers:?}");
    assert_eq!(json(&answers[1])["code"], 200, "{answers:?}");
    let head = answers[2].to_lowercase();
    assert!(head.contains("\ntokenward-retry: recovered\n"), "{answers:?}");
    assert!(head.contains("http/1.1 200 ok") && head.contains("\"code\":200"), "{answers:?}");

    process.signal("INT").await;
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for word in ["access token handed out", "call refused", "token renewed"] {
        assert!(ended.stderr.contains(word), "a newcomer is not told {word:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn p26_log_lines_are_json_when_asked_for_and_hold_no_secret() {
    let settings = Settings::default().with_access_life(Duration::from_secs(60));
    let vendors = Vendors::start(settings.clone()).await;
    let home = Home::with(&vendors.config(&settings));
    let mut command = gateway(&home.config());
    command.args(["--log-level", "trace"]);
    let process = Process::start(command);
    get_until(process.admin().await + "/readyz", |it| it.status == 200).await;
    vendors.sandbox.expire(Vendor::Jing);
    let answer = get(process.upstream("jing").await + "/v1/user/list").await;
    assert_eq!(answer.header("tokenward-retry"), Some("recovered"));
    process.signal("TERM").await;
    let ended = process.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    let mut secrets = vec![settings.jing.app_secret, settings.aiclk.first_refresh_token];
    for vendor in Vendor::ALL {
        let current = vendors.sandbox.current(vendor);
        secrets.extend(current.access_token.into_iter().chain(current.refresh_token));
    }
    for line in ended.stderr.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(record["message"].is_string() && record["level"].is_string(), "{line}");
        assert!(record["timestamp"].is_string(), "{line}");
        assert!(!secrets.iter().any(|it| line.contains(it)), "p26: a secret in a log line: {line}");
    }
}

/// The limits of a cgroup count as well: the standard library knows both, and rounds down.
#[tokio::test]
async fn there_is_a_worker_for_each_core_that_may_be_used() {
    let home = Home::with(AICLK);
    let own = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let allowed = own.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = allowed.expect("a list").trim().split(['-', ',']).next().expect("a core");
    let program = gateway(&home.config());
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", first]).arg(program.as_std().get_program());
    pinned.args(program.as_std().get_args()).env("TEST_CLIENT_ID", "sandbox-client-id");
    let process = Process::start(pinned);
    process.upstream("aiclk").await;
    let workers = || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("/proc");
        let name = |it: std::fs::DirEntry| std::fs::read_to_string(it.path().join("comm")).ok();
        let names = threads.filter_map(|it| name(it.ok()?));
        names.filter(|name| name.starts_with("worker-")).collect::<Vec<_>>()
    };
    // A thread takes its name when it begins to run, of which nobody is told.
    until("a worker has its name", || !workers().is_empty()).await;
    assert_eq!(workers(), ["worker-0\n"]);
    process.kill().await;
}
