//! The commands that ask a gateway that runs: `wait` and `status`.

use serde_json::Value;
use tokenward::sandbox::Settings;
use tokio::process::Command;

use crate::support::process::{Ended, Process, gateway, run, tokenward};
use crate::support::vendors::{Home, Vendors, get, get_until};

const NO_REFRESH_TOKEN: &str = r#"
admin.listen = "127.0.0.1:0"
store.kind = "memory"
[upstream.aiclk]
vendor = "aiclk"
listen = "127.0.0.1:0"
base_url = "http://127.0.0.1:1"
credentials.client_id = "sandbox-client-id"
"#;

fn command(words: &[&str]) -> Command {
    let mut command = tokenward();
    command.args(words).env_remove("NO_COLOR");
    command
}

async fn told(words: &[&str]) -> Ended {
    run(command(words)).await
}

/// The same on a terminal, of which everything that it shows comes back as standard output.
async fn told_on_a_terminal(words: &[&str], no_color: bool) -> Ended {
    let program = command(words);
    let program = program.as_std();
    let words = [program.get_program()].into_iter().chain(program.get_args());
    let line: Vec<_> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).env("TERM", "xterm");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOKENWARD") {
            script.env_remove(name);
        }
    }
    match no_color {
        true => script.env("NO_COLOR", "1"),
        false => script.env_remove("NO_COLOR"),
    };
    run(script).await
}

async fn running() -> (Vendors, Process, Home) {
    let settings = Settings::default();
    let vendors = Vendors::start(settings.clone()).await;
    let home = Home::with(&vendors.config(&settings));
    let process = Process::start(gateway(&home.config()));
    (vendors, process, home)
}

async fn unready() -> (Process, Home) {
    let home = Home::with(NO_REFRESH_TOKEN);
    (Process::start(gateway(&home.config())), home)
}

#[tokio::test]
async fn p29_wait_returns_when_the_gateway_is_ready() {
    let (_vendors, process, _home) = running().await;
    let admin = process.admin().await;
    // Perhaps before there is a token, which is what it is for.
    let ended = told(&["wait", "--admin", &admin]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.stdout, "ready: aiclk, jing\n");
    assert_eq!(get(format!("{admin}/readyz")).await.status, 200);
    let once = told(&["wait", "--timeout", "0s", "--admin", &admin]).await;
    assert_eq!(once.code, Some(0), "{}", once.stderr);
}

#[tokio::test]
async fn p29_wait_waits_for_a_gateway_that_is_not_there_yet() {
    // Nobody else takes the port meanwhile: it is of an address that no other test uses.
    let listener = std::net::TcpListener::bind("127.77.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let waiting = Process::start(command(&["wait", "--admin", &address.to_string()]));
    let settings = Settings::default();
    let vendors = Vendors::start(settings.clone()).await;
    let config = vendors.config(&settings).replacen("127.0.0.1:0", &address.to_string(), 1);
    let home = Home::with(&config);
    let _gateway = Process::start(gateway(&home.config()));
    let ended = waiting.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    // The same address, as the gateway's own config has it.
    for (given, name, value) in [
        (&["--config"][..], "UNUSED", String::new()),
        (&[], "TOKENWARD_CONFIG", home.config().display().to_string()),
        (&[], "TOKENWARD_ADMIN", format!("http://{address}/")),
    ] {
        let mut wait = command(&["wait"]);
        wait.args(given).env(name, value);
        if !given.is_empty() {
            wait.arg(home.config());
        }
        let ended = run(wait).await;
        assert_eq!(ended.code, Some(0), "{given:?} {name}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn p29_wait_says_at_its_time_out_who_is_not_ready_and_why() {
    let (process, _home) = unready().await;
    let admin = process.admin().await;
    get_until(format!("{admin}/readyz"), |it| it.body.contains("cannot mint")).await;
    let ended = told(&["wait", "--timeout", "100ms", "--admin", &admin]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    for says in ["not ready within 100ms", "aiclk: ", "there is no refresh token", "seed aiclk"] {
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
    assert_eq!(ended.stderr.lines().count(), 1, "no progress in a log: {}", ended.stderr);
    let words = ["wait", "--timeout", "300ms", "--admin", &admin];
    let on_terminal = told_on_a_terminal(&words, false).await;
    assert_eq!(on_terminal.code, Some(1));
    let shown = &on_terminal.stdout;
    assert!(shown.contains("waiting, ") && shown.contains("aiclk: there is no"), "{shown:?}");

    process.kill().await;
    let ended = told(&["wait", "--timeout", "100ms", "--admin", &admin]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("refused"), "{}", ended.stderr);
    let ended = told(&["status", "--admin", &admin]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("refused"), "{}", ended.stderr);
}

#[tokio::test]
async fn p29_status_shows_each_token_and_hands_the_json_on_as_it_is() {
    let (vendors, process, _home) = running().await;
    let admin = process.admin().await;
    get_until(format!("{admin}/readyz"), |it| it.status == 200).await;
    let ended = told(&["status", "--admin", &admin]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.starts_with(concat!("tokenward ", env!("CARGO_PKG_VERSION"), ", up ")));
    assert!(ended.stdout.contains(": ready; store: memory\n"), "{}", ended.stdout);
    for name in ["jing", "aiclk"] {
        let line = ended.stdout.lines().find(|line| line.starts_with(name)).expect("a line");
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[1..5], ["yes", "no.", "1", "in"], "{line}");
        assert!(line.contains(" ok (start), ") && line.ends_with(" ago"), "{line}");
    }
    assert!(ended.stdout.contains(" 1 of 300 "), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\x1b'), "colours are for terminals: {:?}", ended.stdout);
    assert!(
        !ended.stdout.contains(
            vendors
                .sandbox
                .current(tokenward::sandbox::Vendor::Jing)
                .access_token
                .as_deref()
                .expect("a token")
        )
    );

    let json = told(&["status", "--json", "--admin", &admin]).await;
    assert_eq!(json.code, Some(0), "{}", json.stderr);
    let mut handed_on: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let mut said = get(format!("{admin}/status")).await.json();
    for one in [&mut handed_on, &mut said] {
        one["uptime_seconds"].take();
        for name in ["jing", "aiclk"] {
            one["upstreams"][name]["token"]["seconds_left"].take();
        }
    }
    assert_eq!(handed_on, said);
    assert_eq!((&said["ready"], &said["stopping"]), (&Value::Bool(true), &Value::Bool(false)));
}

#[tokio::test]
async fn p29_status_ends_with_1_when_not_ready_and_colours_what_is_wrong() {
    let (process, _home) = unready().await;
    let admin = process.admin().await;
    get_until(format!("{admin}/readyz"), |it| it.body.contains("cannot mint")).await;
    for json in [None, Some("--json")] {
        let mut status = command(&["status", "--admin", &admin]);
        status.args(json);
        let ended = run(status).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "{json:?}");
        assert!(ended.stdout.contains("there is no refresh token"), "{}", ended.stdout);
    }
    for no_color in [false, true] {
        let ended = told_on_a_terminal(&["status", "--admin", &admin], no_color).await;
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert_eq!(ended.stdout.contains("\x1b[31mno\x1b[0m"), !no_color, "{:?}", ended.stdout);
        assert_eq!(ended.stdout.contains('\x1b'), !no_color, "{:?}", ended.stdout);
    }
}

#[tokio::test]
async fn p32_an_admin_address_that_cannot_be_one_is_wrong_usage() {
    let free = Home::with(NO_REFRESH_TOKEN);
    let free = free.config().display().to_string();
    for command in ["wait", "status"] {
        for (words, says) in [
            (&["--admin", "https://127.0.0.1:9464"][..], "speaks http://"),
            (&["--admin", "ftp://x"], "--admin: "),
            (&["--admin", "127.0.0.1:1", "--config", "x"], "cannot be used with"),
            (&["--config", "no/such/file"], "cannot be read"),
            (&["--config", &free], "give --admin"),
        ] {
            let ended = told(&[&[command], words].concat()).await;
            assert_eq!(ended.code, Some(2), "{command} {words:?}: {}", ended.stderr);
            assert!(ended.stderr.contains(says), "{command} {words:?}: {}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn p29_what_is_no_gateway_is_not_ready() {
    let (_vendors, process, _home) = running().await;
    let upstream = process.upstream("jing").await;
    let ended = told(&["wait", "--timeout", "0s", "--admin", &upstream]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("no answer of a gateway"), "{}", ended.stderr);
    let ended = told(&["status", "--admin", &upstream]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("no gateway's status"), "{}", ended.stderr);
}
