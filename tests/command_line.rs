//! The program as a script meets it: what it says, and its exit code.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

const UPSTREAM: &str = "[upstream.ads]\nvendor = \"aiclk\"\nlisten = \"127.0.0.1:0\"\n\
                        credentials.client_id = \"c\"\n";

/// A folder with a config and whatever else a command needs.
struct Place(TempDir);

impl Place {
    fn with(config: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        place.file("tokenward.toml", config);
        place
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokenward"));
        command.current_dir(&self.0).args(arguments);
        command.env("TOKENWARD_CONFIG", "tokenward.toml");
        command
    }

    /// The exit code, and everything that was said.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        said(self.command(arguments).output().expect("the program starts"))
    }
}

fn said(Output { status, stdout, stderr }: Output) -> (Option<i32>, String) {
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn p32_check_shows_every_mistake_in_its_place_and_exits_with_2() {
    assert_eq!(Place::with(UPSTREAM).run(&["check"]).0, Some(0));
    let place = Place::with(&UPSTREAM.replace("listen", "lisen"));
    let (code, text) = place.run(&["check"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("tokenward.toml:3:1: error: unknown key `lisen`"), "{text}");
    assert!(text.contains("2 mistakes"), "{text}");
}

#[test]
fn wrong_use_exits_with_2_and_failure_with_1() {
    let place = Place::with(UPSTREAM);
    for arguments in [
        &["check", "--nope"][..],
        &["run", "--config", "none.toml"],
        &["run", "--log-level", "inof"],
        &["seed", "nobody", "--refresh-token-file", "none"],
        &["classify", "--vendor", "aiclk", "--status", "99"],
    ] {
        let (code, text) = place.run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, text) =
        Place::with(&format!("admin.listen = \"{address}\"\n{UPSTREAM}")).run(&["run"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&address) && text.contains("admin.listen"), "{text}");
}

#[test]
fn an_environment_that_is_not_text_is_no_obstacle() {
    let place = Place::with(UPSTREAM);
    let bytes = OsStr::from_bytes(b"\xff");
    let output = place.command(&["check"]).env("STRANGE", bytes).env(bytes, "x").output();
    let (code, text) = said(output.expect("the program starts"));
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_seed_is_put_into_the_store_and_replaced_only_by_force() {
    let place = Place::with(UPSTREAM);
    let seed = |token: &str, force: bool| {
        place.file("token", token);
        let mut arguments = vec!["seed", "ads", "--refresh-token-file", "token"];
        arguments.extend(force.then_some("--force"));
        let (code, text) = place.run(&arguments);
        assert!(!text.contains(token), "{text}");
        let store = std::fs::read_to_string(place.0.path().join("tokens.json")).expect("a store");
        (code, store.contains(token))
    };
    assert_eq!(seed("first-token\n", false), (Some(0), false), "without its line end");
    assert_eq!(seed("first-token", false), (Some(0), true));
    assert_eq!(seed("other-token", false), (Some(2), false));
    assert_eq!(seed("other-token", true), (Some(0), true));
}

#[test]
fn classify_names_the_rule_that_fires_and_why_others_do_not() {
    let place = Place::with("");
    place.file("answer.json", "{\"code\":401,\"message\":\"access token expired\"}");
    let answer = ["classify", "--vendor", "aiclk", "--body", "answer.json", "--status"];
    for (status, verdict) in
        [("200", "=> expired, by the rule code-401"), ("503", "=> no rejection: ")]
    {
        let (code, text) = place.run(&[&answer[..], &[status]].concat());
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(verdict) && text.contains("http-401: does not fire"), "{text}");
    }
}
