//! `probe`: what a vendor says to a wrong token, and the rule that would take it for a rejection.

use tokenward::sandbox::{FaultKind, Rejection, Settings, Vendor};
use tokio::process::Command;

use crate::support::process::{Ended, run, tokenward};
use crate::support::vendors::{Home, Vendors};

const PATH: &str = "/openapi/v1/account/info?account_id=1";

fn probe(home: &Home, words: &[&str]) -> Command {
    let mut command = tokenward();
    command.arg("probe").args(words).arg("--config").arg(home.config());
    command
}

async fn vendors() -> (Vendors, Settings, Home) {
    let settings = Settings::default();
    let vendors = Vendors::start(settings.clone()).await;
    let home = Home::with(&vendors.config(&settings));
    (vendors, settings, home)
}

#[tokio::test]
async fn p07_probe_shows_the_answer_to_a_wrong_token_and_the_rule_that_fires() {
    let (vendors, settings, home) = vendors().await;
    let words = ["aiclk", "--path", PATH, "--header", "X-Asked: yes"];
    let Ended { code, stdout, stderr } = run(probe(&home, &words)).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    for says in [
        &format!("GET http://{}{PATH}\n", vendors.address),
        "HTTP 200 OK\n",
        "content-type: ",
        "\"code\"",
        ": fires\n",
        "=> expired, by the rule ",
    ] {
        assert!(stdout.contains(says), "{says}: {stdout}");
    }
    assert!(!stdout.contains("[[upstream"), "no rule is missing: {stdout}");

    let seen = vendors.sandbox.log(Vendor::Aiclk);
    let [call] = &seen[..] else { panic!("one call, and none of the token endpoint") };
    assert_eq!((call.target.as_str(), call.generation), (PATH, None));
    assert_eq!(call.headers["x-asked"], "yes");
    let sent = format!("{:?}{}", call.headers, stdout);
    assert!(!sent.contains(&settings.aiclk.first_refresh_token), "p26: {sent}");
    assert!(vendors.sandbox.mistakes(Vendor::Aiclk).is_empty());

    let words = ["jing", "--path", "/v1/user/create", "--method", "POST"];
    let ended = run(probe(&home, &words)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("=> expired, by the rule "), "{}", ended.stdout);
    assert!(!ended.stdout.contains(&settings.jing.app_secret), "p26");
}

#[tokio::test]
async fn p07_probe_ends_with_the_rule_to_paste_which_then_fires() {
    let (vendors, settings, home) = vendors().await;
    let rejection = Rejection {
        code: Some(40_102),
        message: Some("no such \"credential\"".to_owned()),
        ..Rejection::default()
    };
    vendors.sandbox.fault(Vendor::Aiclk, FaultKind::Rejection(rejection));
    let words = ["aiclk", "--path", PATH];
    let first = run(probe(&home, &words)).await;
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stdout.contains("=> no rejection"), "{}", first.stdout);
    let at = first.stdout.find("[[upstream.aiclk.reject]]").expect("a rule");
    let rule = &first.stdout[at..];
    assert!(rule.contains("pointer = \"/code\"\nin = [40102]\n"), "{rule}");
    for rule in [rule.to_owned(), rule.replace("\n#t", "\nt").replace("\n#p", "\np")] {
        let home = Home::with(&format!("{}\n{rule}", vendors.config(&settings)));
        let pasted = run(probe(&home, &words)).await;
        let says = "=> expired, by the rule code-40102\n";
        assert!(pasted.stdout.ends_with(says), "{rule}: {}{}", pasted.stdout, pasted.stderr);
    }
}

#[tokio::test]
async fn p07_probe_says_when_an_answer_tells_nothing() {
    let (vendors, _, home) = vendors().await;
    vendors.sandbox.fault(Vendor::Aiclk, FaultKind::Answer("account_info".to_owned()));
    let ended = run(probe(&home, &["aiclk", "--path", PATH])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("The vendor has accepted the call"), "{}", ended.stdout);
    vendors.sandbox.clear_faults(Vendor::Aiclk);
    vendors.sandbox.fault(Vendor::Aiclk, FaultKind::Garbage);
    let ended = run(probe(&home, &["aiclk", "--path", PATH])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("no code in this answer"), "{}", ended.stdout);
}

#[tokio::test]
async fn p28_probe_says_whose_fault_it_is_that_there_is_no_answer() {
    let (vendors, _, home) = vendors().await;
    drop(vendors.hang_up().await);
    let ended = run(probe(&home, &["aiclk", "--path", PATH])).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("no connection to "), "{}", ended.stderr);
    for (words, says) in [
        (&["nobody", "--path", "/x"][..], "there is no upstream"),
        (&["aiclk"], "--path"),
        (&["aiclk", "--path", "x"], "begins with `/`"),
        (&["aiclk", "--path", "/x", "--method", "GE T"], "--method"),
        (&["aiclk", "--path", "/x", "--header", "x"], "Name: value"),
    ] {
        let ended = run(probe(&home, words)).await;
        assert_eq!(ended.code, Some(2), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{words:?}: {}", ended.stderr);
    }
}
