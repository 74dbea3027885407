//! The manifests of `config/kubernetes`: each overlay is rendered, and its container's arguments,
//! variables and mounts bring up a gateway that is ready and passes calls on (p29). Its probes, ports and
//! labels fit one another.

#[path = "manifests/container.rs"]
mod container;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde_json::Value;
use tokenward::config::parse::GRACE;
use tokenward::sandbox::Settings;
use toml::Table;

use crate::support::authority::Authority;
use crate::support::kubernetes::TOKEN;
use crate::support::pod::Pod;
use crate::support::process::Process;
use crate::support::redis::Redis;
use crate::support::vendors::{Vendors, client, get, get_until, send};

use container::{Filled, Overlay, keep_secret};

const ACCOUNT: &str = "/openapi/v1/account/info?account_id=1";
/// A pod's address as the kubelet and Prometheus write it, whichever that is.
const POD: &str = "10.244.3.7";
const SERVICE: &str = "tokenward.tokenward.svc";
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn p29_the_sidecar_is_ready_as_its_manifest_starts_it() {
    let overlay = Overlay::render("sidecar");
    let (vendors, filled) = vendors().await;
    let container = overlay.mount(&filled);
    let gateway = container.start(&here(&overlay, &vendors));
    is_ready(&overlay, &gateway).await;
    for upstream in ["jing", "aiclk"] {
        let target = if upstream == "jing" { "/v1/user/list?page=1" } else { ACCOUNT };
        let answered = get(gateway.upstream(upstream).await + target).await;
        assert_eq!(answered.status, 200, "{}", answered.body);
    }
    assert_neighbours_fit(&overlay);
    let store = container.place("/var/lib/tokenward/tokens.json");
    assert_eq!(store.metadata().expect("a store").mode() & 0o777, 0o600);
    ends_well(gateway).await;
}

#[tokio::test]
async fn p29_the_sidecar_of_a_job_is_ready_and_ends_when_it_is_told_to() {
    let overlay = Overlay::render("job");
    assert_eq!(overlay.pod()["spec"]["restartPolicy"], "Never");
    let cluster = Pod::new().await;
    let (vendors, mut filled) = vendors().await;
    let authority =
        std::fs::read_to_string(cluster.folder().join("ca.crt")).expect("a certificate");
    filled.insert("ca.crt", authority);
    filled.insert("token", TOKEN.to_owned());
    filled.insert(
        "namespace",
        overlay.one("Job")["metadata"]["namespace"].as_str().expect("a name").to_owned(),
    );
    // The cluster permits what the Role grants, and has the Secret that is made by hand.
    let granted = &overlay.one("Role")["rules"][0];
    let verbs = granted["verbs"].as_array().expect("verbs");
    let all = ["create", "get", "list", "patch", "watch"].into_iter();
    let permitted: Vec<_> = all.filter(|verb| verbs.contains(&Value::from(*verb))).collect();
    cluster.cluster.allow(&permitted);
    let name = granted["resourceNames"][0].as_str().expect("a name");
    cluster.cluster.put(name, overlay.by_hand(name).clone());
    let mut here = here(&overlay, &vendors);
    // Every container finds these in its environment.
    here.push(("KUBERNETES_SERVICE_HOST", "localhost".to_owned()));
    here.push(("KUBERNETES_SERVICE_PORT", cluster.cluster.address.port().to_string()));
    let container = overlay.mount(&filled);
    let gateway = container.start(&here);
    is_ready(&overlay, &gateway).await;
    assert_eq!(get(gateway.upstream("aiclk").await + ACCOUNT).await.status, 200);
    assert_neighbours_fit(&overlay);
    assert!(cluster.cluster.secret(name)["data"].is_object(), "the tokens are there");
    ends_well(gateway).await;
}

#[tokio::test]
async fn p29_the_shared_gateway_is_ready_and_asks_for_keys_as_its_manifest_starts_it() {
    let overlay = Overlay::render("gateway");
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("the cluster's");
    let redis = redis(folder.path(), &authority).await;
    let (vendors, mut filled) = vendors().await;
    let (certificate, key) = authority.server_pem(&[SERVICE]);
    filled.extend([("redis_ca.crt", authority.pem()), ("tls.crt", certificate), ("tls.key", key)]);
    let mut here = here(&overlay, &vendors);
    here.push(("TOKENWARD__STORE__URL", format!("rediss://localhost:{}/0", redis.port)));
    let container = overlay.mount(&filled);
    let gateway = container.start(&here);
    is_ready(&overlay, &gateway).await;

    let record = gateway.logged(|record| record["message"] == "the gateway address listens").await;
    let address: SocketAddr = record["address"]
        .as_str()
        .and_then(|address| address.rsplit_once(':')?.1.parse().ok())
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .expect("an address");
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate");
    let caller = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
    let caller = caller.resolve(SERVICE, address).build().expect("a client");
    let url = format!("https://{SERVICE}:{}/aiclk{ACCOUNT}", address.port());
    let with_key =
        send(caller.get(&url).bearer_auth(&filled["billing_key"])).await.expect("an answer");
    assert_eq!(with_key.status, 200, "{}", with_key.body);
    let without = send(caller.get(&url)).await.expect("an answer");
    assert_eq!(without.header("tokenward-error"), Some("client-refused"));
    ends_well(gateway).await;
}

/// Ports, labels and selectors of the shared gateway say the same.
#[test]
fn p29_what_selects_the_shared_gateway_finds_it() {
    let overlay = Overlay::render("gateway");
    let labels = overlay.pod()["metadata"]["labels"].as_object().expect("labels");
    let selectors = [
        &overlay.one("Service")["spec"]["selector"],
        &overlay.one("Deployment")["spec"]["selector"]["matchLabels"],
        &overlay.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &overlay.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        &overlay.one("PodMonitor")["spec"]["selector"]["matchLabels"],
    ];
    for selector in selectors {
        for (label, value) in selector.as_object().expect("labels") {
            assert_eq!(labels.get(label), Some(value), "{label}");
        }
    }
    let ports = ports(&overlay);
    let config = overlay.config("tokenward.toml");
    assert_eq!(ports["https"], port_of(&config["gateway"]["listen"]));
    assert_eq!(overlay.one("Service")["spec"]["ports"][0]["targetPort"], "https");
    let ingress = overlay.one("NetworkPolicy")["spec"]["ingress"].as_array().expect("rules");
    let permitted: Vec<_> = ingress.iter().map(|rule| &rule["ports"][0]["port"]).collect();
    assert_eq!(permitted, ["https", "admin"]);
}

/// All that a gateway does after its signal fits into what the kubelet grants.
#[test]
fn p29_every_gateway_ends_before_it_is_killed() {
    for (name, least) in [("gateway", 5), ("sidecar", 0), ("job", 0)] {
        let overlay = Overlay::render(name);
        let config = overlay.config("tokenward.toml");
        let own = |key: &str, usual: Duration| {
            let written = config.get("shutdown").and_then(|table| table.get(key)?.as_str());
            written.map_or(usual, |text| humantime::parse_duration(text).expect("a time"))
        };
        let (minimum, grace) = (own("minimum", Duration::ZERO), own("grace", GRACE));
        assert!(Duration::from_secs(least) <= minimum && minimum < grace, "{name}");
        let granted = overlay.pod()["spec"]["terminationGracePeriodSeconds"].as_u64();
        let granted = Duration::from_secs(granted.unwrap_or(30));
        assert!(grace + AFTER_THE_GRACE <= granted, "{name}: {grace:?} of {granted:?}");
        // It would come out of the same time.
        assert!(overlay.container()["lifecycle"].is_null(), "{name}");
    }
}

/// As the README has it.
const AFTER_THE_GRACE: Duration = Duration::from_secs(4);

#[test]
fn p21_no_container_may_more_than_it_needs() {
    for name in ["sidecar", "job", "gateway"] {
        let overlay = Overlay::render(name);
        let (pod, container) = (&overlay.pod()["spec"], overlay.container());
        let own = &container["securityContext"];
        let of_either = |key: &str| match &own[key] {
            Value::Null => &pod["securityContext"][key],
            value => value,
        };
        assert_eq!(of_either("runAsUser"), 65532, "{name}");
        assert_eq!(of_either("runAsNonRoot"), true, "{name}");
        assert_eq!(of_either("seccompProfile")["type"], "RuntimeDefault", "{name}");
        assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(own["capabilities"]["drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(pod["securityContext"]["fsGroup"], 65532, "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        // Files, and no variables: what a variable holds cannot be zeroed, nor changed.
        for variable in container["env"].as_array().expect("variables") {
            let key = variable["valueFrom"]["secretKeyRef"]["key"].as_str();
            assert!(
                key.is_none_or(|key| key.ends_with("_id")),
                "{name}: {key:?} in the environment"
            );
        }
    }
}

/// The simulated vendors, and what they accept.
async fn vendors() -> (Vendors, Filled) {
    let settings = Settings::default();
    let filled = Filled::from([
        ("jing_app_id", settings.jing.app_id.clone()),
        ("jing_app_secret", settings.jing.app_secret.clone()),
        ("aiclk_client_id", settings.aiclk.client_id.clone()),
        ("aiclk_refresh_token", settings.aiclk.first_refresh_token.clone()),
        ("store_key", KEY.to_owned()),
        ("billing_key", KEY.replace('0', "b")),
        ("operator_key", KEY.replace('0', "a")),
        ("redis_password", "very-secret-redis-password".to_owned()),
    ]);
    keep_secret(&filled);
    (Vendors::start(settings).await, filled)
}

/// What differs here from a cluster: the vendors' addresses and free ports.
fn here(overlay: &Overlay, vendors: &Vendors) -> Vec<(&'static str, String)> {
    let config = overlay.config("tokenward.toml");
    let any_port = |table: &Table| {
        let listen = table.get("listen")?.as_str()?;
        Some(format!("{}:0", listen.rsplit_once(':')?.0))
    };
    let tables = [
        ("TOKENWARD__ADMIN__LISTEN", config.get("admin")),
        ("TOKENWARD__GATEWAY__LISTEN", config.get("gateway")),
        ("TOKENWARD__UPSTREAM__JING__LISTEN", config["upstream"].get("jing")),
        ("TOKENWARD__UPSTREAM__AICLK__LISTEN", config["upstream"].get("aiclk")),
    ];
    let listeners = tables
        .into_iter()
        .filter_map(|(variable, table)| Some((variable, any_port(table?.as_table()?)?)));
    let vendors = format!("http://{}", vendors.address);
    let places = ["TOKENWARD__UPSTREAM__JING__BASE_URL", "TOKENWARD__UPSTREAM__AICLK__BASE_URL"];
    listeners.chain(places.map(|place| (place, vendors.clone()))).collect()
}

/// Every probe of the container finds what it looks for, asked as the kubelet asks.
async fn is_ready(overlay: &Overlay, gateway: &Process) {
    let admin = gateway.admin().await.replace("0.0.0.0", "127.0.0.1");
    get_until(format!("{admin}/readyz"), |answered| answered.status == 200).await;
    let (ports, container) = (ports(overlay), overlay.container());
    assert_eq!(ports["admin"], port_of(&overlay.config("tokenward.toml")["admin"]["listen"]));
    let probes = ["startupProbe", "readinessProbe", "livenessProbe"].map(|probe| &container[probe]);
    for probe in probes.into_iter().filter(|probe| probe.is_object()) {
        assert_eq!(probe["httpGet"]["port"], "admin");
        let url = admin.clone() + probe["httpGet"]["path"].as_str().expect("a path");
        let asked = client().get(url).header("host", format!("{POD}:{}", ports["admin"]));
        let answered =
            send(asked.header("user-agent", "kube-probe/1.34")).await.expect("an answer");
        assert_eq!(answered.status, 200, "{probe}: {}", answered.body);
    }
}

/// A sidecar ends after the program beside it, which calls it where it listens.
fn assert_neighbours_fit(overlay: &Overlay) {
    let container = overlay.container();
    assert_eq!(container["restartPolicy"], "Always", "{} is a sidecar", overlay.name);
    assert_eq!(
        overlay.pod()["spec"]["initContainers"][0]["name"],
        "tokenward",
        "the first to start"
    );
    let program = &overlay.pod()["spec"]["containers"][0];
    let config = overlay.config("tokenward.toml");
    for variable in program["env"].as_array().expect("variables") {
        let name = variable["name"].as_str().expect("a name").trim_end_matches("_URL");
        let listen = &config["upstream"][&name.to_lowercase()]["listen"];
        let listen = format!("http://{}", listen.as_str().expect("an address"));
        assert_eq!(variable["value"], listen.as_str(), "{name}");
    }
}

async fn ends_well(gateway: Process) {
    gateway.signal("TERM").await;
    let ended = gateway.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// The container's ports by name.
fn ports(overlay: &Overlay) -> BTreeMap<String, u64> {
    let ports = overlay.container()["ports"].as_array().expect("ports");
    let named = |port: &Value| {
        (
            port["name"].as_str().expect("a name").to_owned(),
            port["containerPort"].as_u64().expect("a port"),
        )
    };
    ports.iter().map(named).collect()
}

fn port_of(listen: &toml::Value) -> u64 {
    let port = listen.as_str().and_then(|listen| listen.rsplit_once(':')).expect("an address").1;
    port.parse().expect("a port")
}

/// A server that speaks TLS, and knows the user that the config names.
async fn redis(folder: &std::path::Path, authority: &Authority) -> Redis {
    let (certificate, key) = authority.server_pem(&["localhost"]);
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    Redis::with(&[
        &format!("tls-cert-file {}", put("server.pem", &certificate)),
        &format!("tls-key-file {}", put("server.key", &key)),
        &format!("tls-ca-cert-file {}", put("ca.pem", &authority.pem())),
        "tls-auth-clients no",
        "user tokenward on >very-secret-redis-password ~tokenward:* &tokenward:* +@all",
    ])
    .await
}
