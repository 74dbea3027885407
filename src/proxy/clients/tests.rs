use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::*;
use crate::proxy::guard;
use crate::vendor::operation::Operation;

const BILLING: &str = "Billing-key-of-32-characters-001";
const REPORTS: &str = "Reports-key-of-32-characters-001";
const REPORTS_NEXT: &str = "Reports-key-of-32-characters-002";

fn roster() -> Roster {
    let metrics = Metrics::new("0", "test").expect("metrics");
    let get = Operation::parse("GET /v1/*").expect("an operation");
    let reading = Some(AllowList::default().to(&[get]));
    let everything = || Some(AllowList::default());
    let config = |name: &str, keys: &[&str], certificates: &[&str], upstreams| Config {
        name: name.to_owned(),
        keys: keys.iter().map(|key| KeyHash::of(key.as_bytes())).collect(),
        certificates: certificates.iter().map(|name| certificate_name(name)).collect(),
        admin: name == "billing",
        upstreams,
    };
    let configs = vec![
        config("billing", &[BILLING], &["Billing.internal"], vec![everything(), everything()]),
        config(
            "reports",
            &[REPORTS, REPORTS_NEXT],
            &["spiffe://prod/Reports"],
            vec![reading, None],
        ),
    ];
    Roster::new(Clients::new(configs, &["x".to_owned(), "y".to_owned()], &metrics))
}

fn tcp() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

fn certified(names: &[&str]) -> Peer {
    Peer::Certified(tcp(), names.iter().map(|name| (*name).to_owned()).collect())
}

/// Who it is, and which fields of its head are left.
fn identify(
    peer: &Peer,
    fields: &[(&'static str, String)],
) -> (Result<Option<String>, Refusal>, Vec<String>) {
    let mut headers = HeaderMap::new();
    headers.append("x-before", HeaderValue::from_static("1"));
    for (name, value) in fields {
        headers.append(*name, value.parse().expect("a value"));
    }
    headers.append("x-after", HeaderValue::from_static("1"));
    let found = roster().identify(peer, &mut headers);
    let found = found.map(|client| client.map(|client| client.name.clone()));
    (found, headers.keys().map(|name| name.as_str().to_owned()).collect())
}

fn named(name: &str) -> Result<Option<String>, Refusal> {
    Ok(Some(name.to_owned()))
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

const OURS: &str = "proxy-authorization";
const EITHERS: &str = "authorization";

#[test]
fn p21_a_key_names_its_client_and_is_taken_out() {
    let peer = Peer::Tcp(tcp());
    for key in [REPORTS, REPORTS_NEXT] {
        let (found, left) = identify(&peer, &[(EITHERS, bearer(key))]);
        assert_eq!((found, left), (named("reports"), vec!["x-before".into(), "x-after".into()]));
    }
    let (found, left) =
        identify(&peer, &[(OURS, bearer(BILLING)), (EITHERS, "Bearer the-vendors".into())]);
    assert_eq!(found, named("billing"));
    assert_eq!(left, ["x-before", OURS, EITHERS, "x-after"], "its end is the next hop's");
}

#[test]
fn p21_no_key_goes_on_beside_another_credential() {
    for peer in [Peer::Tcp(tcp()), certified(&["billing.internal"]), Peer::Unix] {
        let (found, left) = identify(&peer, &[(OURS, bearer(BILLING)), (EITHERS, bearer(REPORTS))]);
        assert_eq!(found, named("billing"), "{peer:?}");
        assert!(!left.iter().any(|name| name == EITHERS), "{peer:?}: {left:?}");
        // A good key by a wrong name.
        let pair = BASE64.encode(format!("billing:{REPORTS}"));
        let (found, _) = identify(&peer, &[(EITHERS, format!("Basic {pair}"))]);
        assert_eq!(found, Err(Refusal::Unknown), "{peer:?}");
    }
}

#[test]
fn p21_who_shows_nothing_known_is_refused() {
    let peer = Peer::Tcp(tcp());
    let near = format!("{}2", &REPORTS[..REPORTS.len() - 1]);
    for (fields, refusal) in [
        (vec![], Refusal::Absent),
        (vec![(EITHERS, bearer(&near.replace('2', "3")))], Refusal::Unknown),
        (vec![(EITHERS, BILLING.to_owned())], Refusal::Unknown),
        (vec![(EITHERS, bearer(""))], Refusal::Unknown),
        (vec![(EITHERS, bearer(&BILLING[1..]))], Refusal::Unknown),
        (vec![(EITHERS, bearer(&BILLING.to_lowercase()))], Refusal::Unknown),
        // The field for us decides alone.
        (vec![(OURS, bearer("wrong")), (EITHERS, bearer(BILLING))], Refusal::Unknown),
        (vec![(OURS, bearer(BILLING)), (OURS, bearer(BILLING))], Refusal::Twice),
        (vec![(EITHERS, bearer(BILLING)), (EITHERS, bearer(BILLING))], Refusal::Twice),
        (vec![(EITHERS, bearer("a")), (EITHERS, bearer(BILLING))], Refusal::Twice),
        (vec![(EITHERS, bearer("a")), (EITHERS, bearer("b"))], Refusal::Unknown),
        (vec![("proxy_authorization", bearer(BILLING))], Refusal::Absent),
    ] {
        assert_eq!(identify(&peer, &fields).0, Err(refusal), "{fields:?}");
    }
}

#[test]
fn p21_a_certificate_names_its_client() {
    for (names, found) in [
        (vec!["billing.INTERNAL"], named("billing")),
        (vec!["other.internal", "spiffe://prod/Reports"], named("reports")),
        (vec!["spiffe://prod/reports"], Err(Refusal::Certificate)),
        (vec!["billing.internal.evil.example"], Err(Refusal::Certificate)),
        (vec![], Err(Refusal::Certificate)),
        (vec!["billing.internal", "spiffe://prod/Reports"], Err(Refusal::Ambiguous)),
    ] {
        assert_eq!(identify(&certified(&names), &[]).0, found, "{names:?}");
    }
}

#[test]
fn p21_a_key_counts_for_more_than_a_certificate() {
    let peer = certified(&["billing.internal"]);
    for (fields, found) in [
        (vec![(OURS, bearer(REPORTS))], named("reports")),
        (vec![(EITHERS, bearer(REPORTS))], named("reports")),
        (vec![(OURS, bearer("wrong"))], Err(Refusal::Unknown)),
        // Without a key of ours in it, this is the vendor's.
        (vec![(EITHERS, bearer("wrong"))], named("billing")),
        (vec![(EITHERS, bearer("a")), (EITHERS, bearer("b"))], named("billing")),
        (vec![(EITHERS, bearer("a")), (EITHERS, bearer(REPORTS))], Err(Refusal::Twice)),
    ] {
        assert_eq!(identify(&peer, &fields).0, found, "{fields:?}");
    }
}

#[test]
fn p21_a_unix_socket_asks_nobody() {
    assert_eq!(identify(&Peer::Unix, &[]).0, Ok(None));
    let (found, left) = identify(&Peer::Unix, &[(EITHERS, bearer("the-vendors"))]);
    assert_eq!((found, left.len()), (Ok(None), 3));
    assert_eq!(identify(&Peer::Unix, &[(OURS, bearer(REPORTS))]).0, named("reports"));
}

#[test]
fn p23_a_client_may_call_what_the_operator_says() {
    let roster = roster();
    let mut headers = HeaderMap::new();
    headers.insert(EITHERS, bearer(REPORTS).parse().expect("a value"));
    let reports = roster.by_authorization(&headers).expect("a client");
    let metrics = Metrics::new("0", "test").expect("metrics");
    let guard = Guard::new(guard::Config::default(), &metrics);
    let admit = |upstream, method: &Method, path| {
        reports.admit(upstream, &guard, &Admission::ToVendor, (method, path, &headers))
    };
    assert_eq!(admit(0, &Method::GET, "/v1/x"), Ok(()));
    assert_eq!(admit(0, &Method::POST, "/v1/x"), Err(Refusal::Rule));
    assert_eq!(admit(0, &Method::GET, "/v1/../v2"), Err(Refusal::Rule));
    assert_eq!(admit(1, &Method::GET, "/v1/x"), Err(Refusal::Upstream));
    assert_eq!(admit(2, &Method::GET, "/v1/x"), Err(Refusal::Upstream));
    assert!(!reports.admin);
}

#[test]
fn p21_what_was_replaced_is_not_known_any_more() {
    let roster = roster();
    let mut headers = HeaderMap::new();
    headers.insert(EITHERS, bearer(BILLING).parse().expect("a value"));
    assert!(roster.by_authorization(&headers).is_some_and(|client| client.admin));
    let metrics = Metrics::new("0", "test").expect("metrics");
    roster.replace(Clients::new(Vec::new(), &[], &metrics));
    assert!(roster.by_authorization(&headers).is_none());
}
