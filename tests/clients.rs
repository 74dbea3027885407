//! Real clients, unchanged but for the base URL, with a token that dies while they work.

use std::process::Stdio;

use serde_json::{Value, json};
use tokenward::sandbox::{Seen, Settings, Vendor};
use tokio::process::Command;

use crate::support::process::{Ended, Process, gateway, run};
use crate::support::vendors::{Home, Vendors, get, get_until};

/// A gateway before both vendors, and the base URLs that a client would be given.
struct Stage {
    vendors: Vendors,
    home: Home,
    process: Process,
    jing: String,
    aiclk: String,
}

impl Stage {
    async fn start() -> Self {
        let settings = Settings::default();
        let vendors = Vendors::start(settings.clone()).await;
        let home = Home::with(&vendors.config(&settings));
        let process = Process::start(gateway(&home.config()));
        let (jing, aiclk) = (process.upstream("jing").await, process.upstream("aiclk").await);
        get_until(process.admin().await + "/readyz", |it| it.status == 200).await;
        Self { vendors, home, process, jing, aiclk }
    }

    /// Every token is dead from now on, and the gateway does not know.
    fn expire(&self) {
        Vendor::ALL.into_iter().for_each(|vendor| self.vendors.sandbox.expire(vendor));
    }

    /// The last call that a vendor has carried out.
    fn last(&self, vendor: Vendor) -> Seen {
        let mut log = self.vendors.sandbox.log(vendor);
        log.retain(|seen| seen.generation.is_some());
        log.pop().expect("a call")
    }

    fn expect_clean(&self) {
        for vendor in Vendor::ALL {
            let mistakes = self.vendors.sandbox.mistakes(vendor);
            assert!(mistakes.is_empty(), "{vendor}: {mistakes:?}");
        }
    }
}

/// A program of the system's, which `tests/packages.txt` names.
async fn installed(name: &str, check: &[&str]) {
    let mut command = Command::new(name);
    command.args(check).stdout(Stdio::null()).stderr(Stdio::null());
    let found = command.status().await.is_ok_and(|status| status.success());
    assert!(found, "`{name} {}` fails: {INSTALL}", check.join(" "));
}

/// The answer's body, and what the gateway says of a retry.
async fn curl(words: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    // `-q`: no ~/.curlrc; nor are the environment's proxies meant.
    command.args(["-q", "--noproxy", "*", "-sS", "--max-time", "20"]);
    command.args(["-w", "\nretry: %header{tokenward-retry}"]).args(words);
    let Ended { code, stdout, stderr } = run(command).await;
    assert_eq!(code, Some(0), "curl {words:?}: {stderr}");
    let (body, retry) = stdout.rsplit_once("\nretry:").expect("it is asked for");
    (body.to_owned(), retry.trim().to_owned())
}

#[tokio::test]
async fn curl_gets_posts_and_uploads_while_tokens_die() {
    installed("curl", &["--version"]).await;
    let stage = Stage::start().await;
    let (jing, aiclk) = (&stage.jing, &stage.aiclk);
    let info = format!("{aiclk}/openapi/v1/account/info?account_id=1");
    let create = format!("{jing}/v1/user/create?returnFull=true");
    let upload = format!("{aiclk}/openapi/v1/material/upload?account_id=1");
    let user = json!({ "name": "张三", "tags": ["a", "b"] }).to_string();
    let picture = stage.home.put("picture.png", PICTURE);
    let picture = format!("file=@{};type=image/png", picture.display());
    let post = ["-H", "content-type: application/json", "-d", &user, &create];
    let chunked = ["-H", "transfer-encoding: chunked", "-H", "expect: 100-continue"];

    // An answer to HEAD has no body that could tell of a rejection: with a living token only.
    assert!(curl(&["-I", &info]).await.0.starts_with("HTTP/1.1 200"));
    for retry in ["", "recovered"] {
        for (words, says) in [
            (&["-X", "GET", &info][..], "\"code\":200"),
            (&post, "\"code\":0"),
            (&["-F", &picture, &upload], "\"code\":200"),
            (&["-0", &info], "\"code\":200"),
            (&[&chunked[..], &post].concat(), "\"code\":0"),
        ] {
            if !retry.is_empty() {
                stage.expire();
            }
            let (body, retried) = curl(words).await;
            assert!(body.contains(says), "curl {words:?}: {body}");
            assert_eq!(retried, retry, "curl {words:?}");
            if words.contains(&user.as_str()) {
                assert_eq!(stage.last(Vendor::Jing).body, user.as_bytes(), "curl {words:?}");
            }
        }
    }
    stage.expect_clean();
}

/// What a client's script prints: a line of JSON for each call, `[status, code, retry]`.
async fn expect_script(command: Command) {
    let ended = run(command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    let expected = [
        json!([200, 200, null]),
        json!([200, 0, null]),
        json!([200, 200, "recovered"]),
        json!([200, 0, "recovered"]),
        json!([200, 200, "recovered"]),
    ];
    assert_eq!(lines, expected, "{}", ended.stdout);
}

/// Tells a script where the base URLs are, and where it can let the tokens die.
fn script(program: &str, words: &[&str], stage: &Stage) -> Command {
    let mut command = Command::new(program);
    command.args(words).env("JING", &stage.jing).env("AICLK", &stage.aiclk);
    command.env("EXPIRE", format!("http://{}/-/fault?kind=expire", stage.vendors.address));
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

#[tokio::test]
async fn python_requests_works_unchanged_while_tokens_die() {
    installed("/usr/bin/python3", &["-c", "import requests"]).await;
    let stage = Stage::start().await;
    expect_script(script("/usr/bin/python3", &["-c", PYTHON], &stage)).await;
    assert!(stage.last(Vendor::Aiclk).body_length > 200_000);
    stage.expect_clean();
}

#[tokio::test]
async fn node_fetch_works_unchanged_while_tokens_die() {
    installed("node", &["-e", "fetch"]).await;
    let stage = Stage::start().await;
    expect_script(script("node", &["--input-type=module", "-e", NODE], &stage)).await;
    assert!(stage.last(Vendor::Aiclk).body_length > 200_000);
    stage.expect_clean();
}

#[tokio::test]
async fn p31_promtool_finds_no_fault_with_the_metrics() {
    installed("promtool", &["--version"]).await;
    let stage = Stage::start().await;
    // Something of everything is counted: a recovery, a skipped one, a refusal of the guard.
    stage.expire();
    get(format!("{}/v1/user/list", stage.jing)).await;
    get(format!("{}/oauth2/token", stage.aiclk)).await;
    get(format!("{}/nowhere", stage.aiclk)).await;
    let metrics = get(stage.process.admin().await + "/metrics").await.body;
    assert!(metrics.contains("tokenward_retries_total{outcome=\"recovered\",upstream=\"jing\"} 1"));
    let file = stage.home.put("metrics", &metrics);
    let mut promtool = Command::new("sh");
    promtool.args(["-c", "promtool check metrics < \"$0\""]).arg(file);
    let Ended { code, stdout, stderr } = run(promtool).await;
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
}

const PYTHON: &str = r#"
import io, json, os, requests

def show(answer):
    print(json.dumps([answer.status_code, answer.json()["code"], answer.headers.get("tokenward-retry")]))

def expire():
    requests.post(os.environ["EXPIRE"]).raise_for_status()

jing, aiclk = requests.Session(), requests.Session()
info = os.environ["AICLK"] + "/openapi/v1/account/info"
create = os.environ["JING"] + "/v1/user/create"
upload = os.environ["AICLK"] + "/openapi/v1/material/upload"
user = {"name": "\u5f20\u4e09", "tags": ["a", "b"]}

show(aiclk.get(info, params={"account_id": 1}))
show(jing.post(create, json=user))
expire()
show(aiclk.get(info, params={"account_id": 1}))
show(jing.post(create, json=user))
expire()
picture = io.BytesIO(b"not really a picture\n" * 10_000)
show(aiclk.post(upload, params={"account_id": 1}, files={"file": ("a.png", picture, "image/png")}))
"#;

const NODE: &str = r#"
const { JING, AICLK, EXPIRE } = process.env;

async function show(answer) {
  const { code } = await answer.json();
  console.log(JSON.stringify([answer.status, code, answer.headers.get("tokenward-retry")]));
}

const info = () => fetch(`${AICLK}/openapi/v1/account/info?account_id=1`);
const create = () => fetch(`${JING}/v1/user/create`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ name: "\u5f20\u4e09", tags: ["a", "b"] }),
});

await show(await info());
await show(await create());
await fetch(EXPIRE, { method: "POST" });
await show(await info());
await show(await create());
await fetch(EXPIRE, { method: "POST" });
const form = new FormData();
form.append("file", new Blob(["not really a picture\n".repeat(10_000)], { type: "image/png" }), "a.png");
await show(await fetch(`${AICLK}/openapi/v1/material/upload?account_id=1`, { method: "POST", body: form }));
"#;

const PICTURE: &str = "not really a picture";
const INSTALL: &str =
    "`bash tests/run` installs what tests/packages.txt names, or install it by hand";
