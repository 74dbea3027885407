//! No request that two parsers could read in two ways goes on (p25): the cases beside this file,
//! sent as raw bytes, with a vendor behind the gateway that reads strictly.

mod corpus;
mod frames;
mod vendor;

use std::time::Duration;

use tokenward::app::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::message::Side;
use crate::support::{Message, Stage};
use corpus::{Case, Verdict};
use frames::Outcome;
use vendor::{LAST, Notes, StrictVendor};

#[tokio::test]
async fn p25_attempts_at_framing_are_refused_or_mean_one_thing() {
    all("framing").await;
}

#[tokio::test]
async fn p25_attempts_at_chunks_are_refused_or_mean_one_thing() {
    all("chunks").await;
}

#[tokio::test]
async fn p25_attempts_at_lines_are_refused_or_mean_one_thing() {
    all("lines").await;
}

#[tokio::test]
async fn p25_attempts_at_fields_are_refused_or_mean_one_thing() {
    all("fields").await;
}

#[tokio::test]
async fn p25_attempts_over_http_2_are_refused_or_mean_one_thing() {
    let scene = Scene::start().await;
    let mut wrong = Vec::new();
    for case in corpus::cases("h2c") {
        let outcome = timeout(GIVE_UP, frames::ask(scene.connect().await, &case)).await;
        scene.settle().await;
        let judged = scene.judge(&case).and_then(|()| over_http_2(&case, outcome.ok()));
        wrong.extend(judged.err().map(|error| format!("{}: {error}", case.name)));
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every case of a file of HTTP/1, at once and byte by byte.
async fn all(file: &str) {
    let scene = Scene::start().await;
    let mut wrong = Vec::new();
    for case in corpus::cases(file) {
        for (how, step) in [("at once", usize::MAX), ("byte by byte", 1)] {
            // Long ones would take their time, and show nothing more.
            if step == 1 && case.send().len() > 4096 {
                continue;
            }
            let answers = timeout(GIVE_UP, scene.ask(&case, step)).await;
            scene.settle().await;
            let judged = scene.judge(&case).and_then(|()| over_http_1(&case, answers.ok()));
            wrong.extend(judged.err().map(|error| format!("{}, {how}: {error}", case.name)));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// A gateway and the vendor behind it.
struct Scene {
    vendor: StrictVendor,
    stage: Stage,
}

impl Scene {
    async fn start() -> Self {
        let vendor = StrictVendor::start().await;
        let stage = Stage::plan().before(vendor.address).start().await;
        Self { vendor, stage }
    }

    async fn connect(&self) -> TcpStream {
        let Address::Tcp(address) = self.stage.address("jing") else { panic!("not TCP") };
        let stream = TcpStream::connect(address).await.expect("the gateway accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream
    }

    /// Sends a case, then one more request where the connection goes on; returns all final answers
    /// before that one's.
    async fn ask(&self, case: &Case, step: usize) -> Vec<Message> {
        let mut stream = self.connect().await;
        let bytes = case.send();
        for piece in bytes.chunks(step.min(bytes.len())) {
            if stream.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        if case.ends() {
            let _ = stream.shutdown().await;
        }
        let goes_on = matches!(case.verdict(), Verdict::Forwarded | Verdict::Answered(_));
        let expected = case.forwarded().len() + usize::from(case.has("answered"));
        let mut read = Vec::new();
        let mut answers = Vec::new();
        loop {
            let closed = matches!(stream.read_buf(&mut read).await, Ok(0) | Err(_));
            while let Some(answer) = next_answer(&mut read, closed) {
                if answer.body == LAST.as_bytes() {
                    return answers;
                }
                answers.push(answer);
                if goes_on && answers.len() == expected {
                    let last = format!("GET {LAST} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                    let _ = stream.write_all(last.as_bytes()).await;
                }
            }
            if closed {
                return answers;
            }
        }
    }

    /// Waits until the vendor has read what the gateway may have written before it gave up: a call
    /// on a connection of its own comes after that.
    async fn settle(&self) {
        let answer = self.stage.get("jing", LAST).await;
        assert_eq!(answer.body, LAST.as_bytes());
    }

    /// What came to the vendor.
    fn judge(&self, case: &Case) -> Result<(), String> {
        let Notes { requests, faults, bytes } = self.vendor.take();
        if !faults.is_empty() {
            return Err(format!("the vendor says {faults:?}"));
        }
        if requests != case.forwarded() {
            return Err(format!("the vendor got {requests:?}"));
        }
        let nothing = requests.is_empty() && case.verdict() != Verdict::Cut;
        if nothing && bytes > 0 {
            return Err(format!("the vendor got {bytes} bytes"));
        }
        Ok(())
    }
}

/// What came to the caller.
fn over_http_1(case: &Case, answers: Option<Vec<Message>>) -> Result<(), String> {
    let Some(answers) = answers else { return Err(OPEN.into()) };
    let forwarded = case.forwarded();
    let statuses: Vec<u16> = answers.iter().map(Message::status).collect();
    let got = || Err(format!("the caller got {answers:?}"));
    let (vendors, ours) = statuses.split_at(forwarded.len().min(statuses.len()));
    if vendors.iter().any(|status| *status != 200) {
        return got();
    }
    if answers[vendors.len()..].iter().any(|answer| answer.one("tokenward-error").is_none()) {
        return got();
    }
    let fits = match case.verdict() {
        _ if vendors.len() < forwarded.len() => false,
        Verdict::Forwarded => ours.is_empty(),
        Verdict::Refused(of) | Verdict::Answered(of) => ours.len() == 1 && of.contains(&ours[0]),
        Verdict::Cut => ours.is_empty() || ours == [400],
    };
    if fits { Ok(()) } else { got() }
}

fn over_http_2(case: &Case, outcome: Option<Outcome>) -> Result<(), String> {
    let Some(outcome) = outcome else { return Err(OPEN.into()) };
    let is_error = !matches!(outcome, Outcome::Answered(..400 | 500..) | Outcome::Gone(Some(0)));
    let fits = match case.verdict() {
        Verdict::Forwarded => outcome == Outcome::Answered(200),
        _ => is_error,
    };
    if fits { Ok(()) } else { Err(format!("the caller got {outcome:?}")) }
}

/// Takes the next final answer off.
fn next_answer(read: &mut Vec<u8>, closed: bool) -> Option<Message> {
    loop {
        let answer = Message::read(read, Side::Answer { to_head: false }, closed)?;
        if !answer.complete {
            return None;
        }
        read.drain(..answer.raw.len());
        if answer.status() >= 200 {
            return Some(answer);
        }
    }
}

const OPEN: &str = "the gateway neither answers as it should nor closes";
/// Long enough for a busy machine; one case of many shall not end the test.
const GIVE_UP: Duration = Duration::from_secs(5);
