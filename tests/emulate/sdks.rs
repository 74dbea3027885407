//! SDKs that insist on an OAuth of their own, unchanged but for the base URL (p24).

use std::net::SocketAddr;
use std::sync::Arc;

use tokenward::app::Address;
use tokenward::sandbox::{Outcome, Sandbox, Settings, Vendor};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::{ACCESS, EMULATE, REFRESH, assert_emulated};
use crate::support::clients::{BILLING, REPORTS};
use crate::support::process::run;
use crate::support::{Answer, RawVendor, Stage, recording};

/// The simulated vendors at two hosts that are not the gateway's, and the gateway before them.
#[cfg(target_os = "linux")]
struct Hosts {
    sandbox: Arc<Sandbox>,
    jing: SocketAddr,
    aiclk: SocketAddr,
    stage: Stage,
}

#[cfg(target_os = "linux")]
impl Hosts {
    async fn start() -> Self {
        Self::with("").await
    }

    async fn with(config: &str) -> Self {
        let sandbox = Sandbox::new(Settings::default());
        let jing = serve(&sandbox, "127.0.0.2:0").await;
        let aiclk = serve(&sandbox, "127.0.0.3:0").await;
        let config = format!(
            "{EMULATE}gateway.listen = '127.0.0.1:0'\nupstream.jing.base_url = 'http://{jing}'\n\
             upstream.aiclk.base_url = 'http://{aiclk}'\n{config}"
        );
        let stage = Stage::plan().config(&config).start().await;
        Self { sandbox, jing, aiclk, stage }
    }

    async fn jing(&self, base: &str, proxy: Option<&str>) {
        let sandbox = format!("http://{}", self.jing);
        let said = sdk("/usr/bin/python3", "sdk_jing.py", &[base, &sandbox], proxy).await;
        let grants = said.as_array().expect("a list");
        assert_eq!(grants.len(), 3, "{said}");
        for granted in grants {
            assert_eq!(granted["access_token"], ACCESS);
            assert_eq!(granted["refresh_token"], REFRESH);
        }
        // One mint at the start, and one refresh for each token that died.
        let counts = self.assert_only_the_gateways_credentials(Vendor::Jing);
        assert_eq!((counts.mints, counts.refreshes, counts.rejected), (1, 2, 2), "{counts:?}");
    }

    async fn aiclk(&self, base: &str, proxy: Option<&str>) {
        let sandbox = format!("http://{}", self.aiclk);
        let said = sdk("/usr/bin/python3", "sdk_aiclk.py", &[base, &sandbox], proxy).await;
        let grants = said.as_array().expect("a list");
        assert_eq!(grants.len(), 2, "{said}");
        assert!(grants.iter().all(|granted| granted["access_token"] == ACCESS), "{said}");
        let counts = self.assert_only_the_gateways_credentials(Vendor::Aiclk);
        assert_eq!((counts.mints, counts.refreshes, counts.rejected), (0, 3, 2), "{counts:?}");
    }

    #[track_caller]
    fn assert_only_the_gateways_credentials(&self, vendor: Vendor) -> tokenward::sandbox::Counts {
        assert_eq!(self.sandbox.mistakes(vendor), Vec::<String>::new());
        let counts = self.sandbox.counts(vendor);
        assert_eq!((counts.granted, counts.refused), (counts.token_calls(), 0), "{counts:?}");
        assert!(counts.accepted >= 3, "{counts:?}");
        for seen in self.sandbox.log(vendor) {
            let is_call = matches!(seen.outcome, Outcome::Accepted | Outcome::Rejected);
            assert_eq!(seen.generation.is_some(), is_call, "{seen:?}");
            let values = seen.headers.values().map(|value| value.as_bytes());
            let all: Vec<&[u8]> = values.chain([seen.target.as_bytes(), &seen.body[..]]).collect();
            let all = String::from_utf8_lossy(&all.join(&b'\n')).into_owned();
            for own in ["sdk-own", "placeholder"] {
                assert!(!all.contains(own), "{own} arrived in {seen:?}");
            }
        }
        counts
    }
}

#[cfg(target_os = "linux")]
async fn serve(sandbox: &Arc<Sandbox>, address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(sandbox.clone().serve(listener, CancellationToken::new()));
    address
}

/// Runs an SDK of `tests/clients`, and returns what it printed.
async fn sdk(
    program: &str,
    script: &str,
    arguments: &[&str],
    proxy: Option<&str>,
) -> serde_json::Value {
    let mut command = Command::new(program);
    command.arg(format!("{}/tests/clients/{script}", env!("CARGO_MANIFEST_DIR"))).args(arguments);
    for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(variable).env_remove(variable.to_uppercase());
    }
    command.envs(proxy.map(|proxy| ("http_proxy", proxy)));
    let ended = run(command).await;
    assert_eq!(ended.code, Some(0), "{INSTALL}\n{}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

fn url(address: &Address) -> String {
    let Address::Tcp(address) = address else { panic!("a TCP listener") };
    format!("http://{address}")
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn p24_sdks_with_an_oauth_of_their_own_work_unchanged() {
    let hosts = Hosts::start().await;
    hosts.jing(&url(hosts.stage.address("jing")), None).await;
    hosts.aiclk(&url(hosts.stage.address("aiclk")), None).await;
    let emulated = hosts.stage.metric("tokenward_token_endpoint_emulated_total", &[]).await;
    assert_eq!(emulated, 5.0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn p24_sdks_work_at_the_one_address_of_all_upstreams() {
    let hosts = Hosts::start().await;
    let gateway = url(hosts.stage.gateway.addresses.gateway.as_ref().expect("an address"));
    hosts.jing(&format!("{gateway}/jing"), None).await;
    hosts.aiclk(&format!("{gateway}/aiclk"), None).await;
}

/// Not even the base URL is changed.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn p24_sdks_work_through_http_proxy() {
    let hosts = Hosts::start().await;
    let gateway = url(hosts.stage.gateway.addresses.gateway.as_ref().expect("an address"));
    hosts.jing(&format!("http://{}", hosts.jing), Some(&gateway)).await;
    hosts.aiclk(&format!("http://{}", hosts.aiclk), Some(&gateway)).await;
}

/// What a client may call of the vendor says nothing about a call that does not reach it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn p24_sdks_of_known_clients_work_and_nobody_elses() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clients.toml");
    let list = format!(
        "[billing]\nkey = '{BILLING}'\n[billing.upstream.jing]\npaths = ['/v1/user/*', '/v1/picture']\n\
         [billing.upstream.aiclk]\npaths = ['/openapi/v1/*']\n\
         [reports]\nkey = '{REPORTS}'\n[reports.upstream.aiclk]\n"
    );
    std::fs::write(&file, list).expect("written");
    let hosts = Hosts::with(&format!("clients.file = '{}'", file.display())).await;
    let gateway = hosts.stage.gateway.addresses.gateway.as_ref().expect("an address");
    let proxy = url(gateway).replace("http://", &format!("http://billing:{BILLING}@"));
    hosts.jing(&format!("http://{}", hosts.jing), Some(&proxy)).await;
    hosts.aiclk(&format!("http://{}", hosts.aiclk), Some(&proxy)).await;

    for (field, kind) in [
        ("X-None: 1".to_owned(), "client-refused"),
        ("Proxy-Authorization: Bearer wrong-key-wrong-key-wrong-key".to_owned(), "client-refused"),
        (format!("Authorization: Bearer {ACCESS}"), "client-refused"),
        (format!("Proxy-Authorization: Bearer {REPORTS}"), "client-forbidden"),
    ] {
        let line = "POST /v1/oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n";
        let answer = hosts.stage.call("jing", format!("{line}{field}\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.one("tokenward-error")), (403, Some(kind)), "{field}");
        assert_eq!(answer.one("tokenward-emulated"), None);
    }
}

/// Its token goes into the query, and its token call is a GET.
#[tokio::test]
async fn p24_an_sdk_of_a_third_vendor_works_by_its_description_alone() {
    let vendor = RawVendor::start().await;
    let config = super::WECHAT.replace("127.0.0.1:9", &vendor.address.to_string());
    let stage = Stage::plan().before(vendor.address).config(&config).start().await;
    let sent = || Answer::json(200, &recording("wechat/message_sent", &[]));
    let dead = Answer::json(200, &recording("wechat/rejected_42001", &[]));
    vendor.will(sent()).will(dead).will(sent()).will(sent());
    let base = url(stage.address("wechat"));
    let said = sdk("node", "sdk_wechat.mjs", &[&base], None).await;
    let granted = &said[1];
    assert_eq!(
        (said.as_array().map(Vec::len), &granted["access_token"]),
        (Some(2), &ACCESS.into())
    );

    let calls = vendor.calls();
    let targets: Vec<_> = calls.iter().map(|call| call.request.target()).collect();
    let with = |number| {
        let token = vendor.token("wechat", number);
        format!("/cgi-bin/message/custom/send?access_token={token}")
    };
    assert_eq!(targets, [with(1), with(1), with(2), with(2)]);
    let token_calls = vendor.token_calls("wechat");
    assert_eq!(token_calls.len(), 2, "the gateway's own");
    assert!(token_calls.iter().all(|call| call.target().contains("appid=wx-app-1")));
    assert_eq!(
        stage.metric("tokenward_token_endpoint_emulated_total", &[("upstream", "wechat")]).await,
        2.0
    );

    let mut caller = stage.caller("wechat").await;
    caller.send("HEAD /cgi-bin/token?appid=mine HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_emulated(&caller.answer_to_head().await);
    for (method, path) in [("POST", "/cgi-bin/token"), ("GET", "/cgi-bin/stable_token")] {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        let refused = stage.call("wechat", head).await;
        assert_eq!(refused.one("tokenward-error"), Some("token-endpoint-refused"), "{method}");
    }
    assert_eq!(vendor.token_calls("wechat").len(), 2);
}

const INSTALL: &str =
    "`bash tests/run` installs what tests/packages.txt names, or install it by hand";
