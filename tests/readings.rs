//! Path patterns against servers: what is on an allow-list is so in every way in which they read the
//! path, and what they might read as forbidden is found (p23, p24).

use std::process::Stdio;

use proptest::prelude::*;
use tokenward::app::Address;
use tokenward::vendor::path::PathPattern;
use tokio::process::Command;

use crate::support::servers::{means, readings};
use crate::support::{Caller, until};

const PATTERNS: [&str; 22] = [
    "/a/b",
    "/a/*",
    "/oauth2/token",
    "/a*b",
    "/a/*/b",
    "/*",
    "/a/",
    "*/b",
    "/a/b*",
    "/v1/*/pay",
    "/a*41",
    "/a/*/",
    "*a*",
    "/a*/b",
    "/a/*b",
    "/oauth2/*",
    "/a",
    "/a:b",
    "/*.json",
    "/你/*",
    "/*a/*b/*",
    "/a+b",
];

/// Pieces of paths that mean something to somebody.
const PIECES: [&str; 66] = [
    "/",
    "/",
    "/",
    "/",
    "a",
    "b",
    "A",
    "oauth2",
    "token",
    "v1",
    "pay",
    "你",
    "ō",
    "..",
    ".",
    "..",
    "%2e",
    "%2E",
    "%252e",
    "%25",
    "%",
    "2e",
    "2f",
    "41",
    "%61",
    "%2561",
    "%u0061",
    "%2f",
    "%252f",
    "%u002f",
    "%u002e",
    "%5c",
    "\\",
    ";",
    "..;",
    "%3b",
    "%3f",
    "%23",
    "%00",
    "%09",
    "%0a",
    "%20",
    "+",
    "%7f",
    "%ff",
    "%c0%ae",
    "%c0%af",
    "%c0%2f",
    "%c1%9c",
    "%e0%80%ae",
    "%e0%80%af",
    "%e4%bd",
    "%e4%bd%a0",
    "%c5%8d",
    "%ef%bc%8f",
    "%ef%bc%8e",
    "．",
    "／",
    "‥",
    "%ef%bc%85",
    "%E2%80%8B",
    "(S(x))",
    ".json",
    "index.php",
    "::$DATA",
    "&",
];

/// A pattern with a path, and a server that reads it so that the matcher is wrong.
fn check(path: &str) -> Result<(), String> {
    let (strict, loose) = (readings(path, false), readings(path, true));
    for text in PATTERNS {
        let pattern = PathPattern::new(text).expect("a pattern");
        let show = |who: &str, reading: &[u8]| {
            format!("{text} on {path:?}: to {who} it is {:?}", String::from_utf8_lossy(reading))
        };
        if pattern.surely_matches(path)
            && let Some((who, reading)) = strict.iter().find(|(_, it)| !means(text, it, false))
        {
            return Err(format!("allowed: {}", show(who, reading)));
        }
        if !pattern.could_match(path)
            && let Some((who, reading)) = loose.iter().find(|(_, it)| means(text, it, true))
        {
            return Err(format!("not forbidden: {}", show(who, reading)));
        }
    }
    Ok(())
}

fn path() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(&PIECES[..]);
    proptest::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn p23_p24_no_server_reads_a_path_in_a_way_that_is_not_reckoned_with(path in path()) {
        check(&path).map_err(TestCaseError::fail)?;
    }
}

/// What fuzzing has found, and what it began with.
#[test]
fn p24_no_spelling_of_the_fuzzers_corpus_is_misjudged() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/path");
    let files: Vec<_> = std::fs::read_dir(folder).expect("the corpus").collect();
    assert!(files.len() > 20);
    for file in files {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        let path = String::from_utf8_lossy(&bytes).into_owned();
        check(&path).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

/// nginx itself says what it acts on.
#[tokio::test]
async fn p24_what_nginx_acts_on_is_among_the_readings() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("nginx.sock");
    let place = folder.path().display();
    let config = format!(
        "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n\
         events {{}}\n\
         http {{ access_log off; client_body_temp_path {place}/1; proxy_temp_path {place}/2;\n\
         fastcgi_temp_path {place}/3; uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;\n\
         server {{ listen unix:{}; merge_slashes on; location / {{ return 200 $uri; }} }} }}",
        socket.display()
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config).expect("written");
    let mut nginx = Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nginx, of tests/packages.txt");
    until("nginx listens", || socket.exists()).await;
    let mut acted = 0;
    for path in [
        "/a/b",
        "/a//b",
        "/a/./b",
        "/a/../b",
        "/a/%2e%2e/b",
        "/a%2fb",
        "/%61",
        "/%2561",
        "/a;b/..;/c",
        "/a%3f/../b",
        "/a%23b",
        "/a%5c..%5cb",
        "/a\\..\\b",
        "/../a",
        "/a/..",
        "/a/.",
        "/a/...",
        "/a%00",
        "/a%0ab",
        "/%c0%ae%c0%ae/a",
        "/%ff",
        "/%e4%bd%a0",
        "/a%",
        "/%zz",
        "/%u0061",
        "//a/b",
        "/a/",
        "/a+b",
        "/a%20",
        "/.%2e/a",
        "/%252e%252e/a",
    ] {
        let mut caller = Caller::to(&Address::Unix(socket.clone())).await;
        caller.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        let answer = caller.answer().await;
        if answer.status() == 200 {
            acted += 1;
            let found = readings(path, false);
            assert!(
                found.iter().any(|(_, reading)| *reading == answer.body),
                "{path}: nginx acts on {:?}, which is none of {found:?}",
                String::from_utf8_lossy(&answer.body)
            );
        }
    }
    assert!(acted > 20, "{acted}");
    nginx.kill().await.expect("it ends");
}
