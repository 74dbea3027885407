//! Killed again and again while single-use refresh tokens rotate.
//!
//! `TOKENWARD_TEST_KILLS` makes a longer run of it.

use std::sync::Arc;
use std::time::Duration;

use tokenward::sandbox::{Current, Sandbox, Vendor};
use tokenward::secret::Secret;
use tokenward::token::page::Page;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{CALL, CONFIG, before, counted, home, refresh_token, rotating, stored};
use crate::support::process::Process;
use crate::support::redis::Redis;
use crate::support::vendors::{Home, Vendors, client, get, send, try_get};

/// When the process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// While it starts.
    Starting,
    /// While it serves.
    Serving,
    /// The vendor has rotated, and its answer is on the way.
    Granted,
    /// A little later: the answer is read, saved, published.
    AfterGrant,
    /// The vendor has just seen a new token.
    Used,
}

struct Stage {
    home: Home,
    /// Where the tokens are, if not in a file.
    redis: Option<Redis>,
    vendors: Vendors,
    /// The operator's seed: changed when the pair was lost with an answer.
    seed: String,
    /// The vendor's number of the newest access token that it has seen on a call.
    used: u64,
    /// The gateway's own number of the newest token in the store.
    generation: u64,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    /// Pairs that the vendor handed out.
    granted: u64,
    /// Kills after which the store's pair was the vendor's newest.
    whole: usize,
    /// Kills between the vendor's rotation and the save of what it answered.
    lost_in_flight: usize,
    calls: u64,
}

#[tokio::test]
async fn p15_kill_9_loses_no_token_that_was_ever_used() {
    kill_again_and_again(Stage::new(None).await, KILLS).await;
}

#[tokio::test]
async fn p15_kill_9_loses_no_token_that_redis_has() {
    let redis = Redis::start().await;
    kill_again_and_again(Stage::new(Some(redis)).await, KILLS_WITH_REDIS).await;
}

async fn kill_again_and_again(mut stage: Stage, usual: usize) {
    let kills = std::env::var("TOKENWARD_TEST_KILLS").ok();
    let kills = kills.map_or(usual, |kills| kills.parse().expect("a number of kills"));
    let seed = fastrand::u64(..);
    eprintln!("random seed {seed}");
    fastrand::seed(seed);
    for round in 0..kills {
        stage = stage.round(MOMENTS[round % MOMENTS.len()]).await;
    }
    let tally = &stage.tally;
    eprintln!("{tally:?}");
    assert!(tally.whole > kills / 3, "hardly anything was shown: {tally:?}");
    assert!(tally.granted as usize > kills, "tokens hardly rotated: {tally:?}");
    // After all that it serves as if nothing had been.
    let process = stage.start();
    assert_eq!(get(process.upstream("aiclk").await + CALL).await.json()["code"], 200);
}

impl Stage {
    async fn new(redis: Option<Redis>) -> Self {
        let settings = rotating(ACCESS_LIFE);
        let seed = settings.aiclk.first_refresh_token.clone();
        let vendors = Vendors::start(settings).await;
        let tally = Tally::default();
        let home = match &redis {
            None => home(),
            Some(redis) => {
                let store = format!("{}\nstore.lease = '1s'", redis.store());
                let config = CONFIG.replace("[store]\npath = \"store/tokens.json\"\n", "");
                Home::with(&(store + &config))
            }
        };
        Self { home, redis, vendors, seed, used: 0, generation: 0, tally }
    }

    fn start(&self) -> Process {
        let mut command = before(&self.vendors, &self.home);
        command.env("TOKENWARD__UPSTREAM__AICLK__CREDENTIALS__REFRESH_TOKEN", &self.seed);
        Process::start(command)
    }

    async fn round(mut self, moment: Moment) -> Self {
        let process = self.start();
        match moment {
            Moment::Starting => sleep(random(80)).await,
            _ => self.serve_until(moment, &process).await,
        }
        process.kill().await;
        // What the process had sent and the vendor not read must not count in the next round.
        let sandbox = self.vendors.hang_up().await;
        self.vendors = Vendors::serve(sandbox).await;
        self.tally.kills += 1;
        self.audit(moment).await;
        self
    }

    /// Back in service after whatever the last kill did; then calls, and tokens that die all the
    /// time, until the moment has come.
    async fn serve_until(&mut self, moment: Moment, process: &Process) {
        let at = process.upstream("aiclk").await;
        let first = get(at.clone() + CALL).await;
        assert_eq!(first.json()["code"], 200, "not back in service: {first:?}");

        let sandbox = self.vendors.sandbox.clone();
        let mut traffic = JoinSet::new();
        for _ in 0..CALLERS {
            traffic.spawn(call_on_and_on(at.clone() + CALL));
        }
        traffic.spawn(let_tokens_die(sandbox.clone()));
        let granted = sandbox.counts(Vendor::Aiclk).granted;
        match moment {
            Moment::Starting => {}
            Moment::Serving => sleep(random(150)).await,
            Moment::Granted => {
                counted(&sandbox, |counts| counts.granted > granted).await;
            }
            Moment::AfterGrant => {
                counted(&sandbox, |counts| counts.granted > granted).await;
                sleep(random(12)).await;
            }
            Moment::Used => {
                let counts = counted(&sandbox, |counts| counts.granted > granted).await;
                // The grant has ended every token before it.
                counted(&sandbox, |now| now.accepted > counts.accepted).await;
            }
        }
    }

    /// What must hold after every kill.
    async fn audit(&mut self, moment: Moment) {
        let sandbox = self.vendors.sandbox.clone();
        let counts = sandbox.counts(Vendor::Aiclk);
        (self.tally.granted, self.tally.calls) = (counts.granted, counts.calls);
        let used = self.used.max(newest_used(&sandbox));
        self.used = used;

        let entry = match &self.redis {
            None => stored(&self.home).await,
            Some(redis) => redis.page("aiclk").await,
        };
        let context = format!("{moment:?} {entry:?} {:?} used {used}", self.tally);
        assert!(entry.generation >= self.generation, "an older page is back: {context}");
        self.generation = entry.generation;
        let kept = self.vendor_generation(&entry).await;
        assert!(kept >= used, "used before it was saved: store {kept}, {context}");
        if self.redis.is_none() {
            self.expect_few_files();
        }

        let Current { generation, refresh_token: current, .. } = sandbox.current(Vendor::Aiclk);
        let current = current.expect("rotation leaves one");
        if refresh_token(&entry).as_ref() == Some(&current) {
            self.tally.whole += 1;
        } else if current == self.seed && !descends_from(&entry, &self.seed) {
            // Not presented yet: nothing is lost.
        } else {
            assert!(used < generation, "a pair in use is lost: {context}");
            assert!(entry.intent.is_some(), "the journal does not tell of it: {context}");
            self.tally.lost_in_flight += 1;
            // What a person would do.
            let issued = sandbox.issue(Vendor::Aiclk);
            self.seed = issued.refresh_token.expect("one from the console");
        }
    }

    /// How the vendor numbers the stored access token; 0: there is none.
    async fn vendor_generation(&self, entry: &Page) -> u64 {
        let token = entry.tokens.access.as_ref();
        let Some(token) = token.map(Secret::expose) else {
            return 0;
        };
        let url = format!("http://{}{PROBE}", self.vendors.address);
        let probe = client().get(url).header("OGW_ACCESS_TOKEN", token);
        send(probe).await.expect("an answer");
        let log = self.vendors.sandbox.log(Vendor::Aiclk);
        let probe = log.iter().rfind(|seen| seen.target == PROBE).expect("it was seen");
        probe.generation.expect("the vendor knows the stored token")
    }

    fn expect_few_files(&self) {
        let folder = std::fs::read_dir(self.home.path().join("store")).expect("a folder");
        let names: Vec<_> = folder.map(|entry| entry.expect("an entry").file_name()).collect();
        assert!(names.len() <= MOST_FILES, "temporary files pile up: {names:?}");
    }
}

fn newest_used(sandbox: &Sandbox) -> u64 {
    let log = sandbox.log(Vendor::Aiclk);
    let calls = log.iter().filter(|seen| seen.target != PROBE);
    calls.filter_map(|seen| seen.generation).max().unwrap_or(0)
}

fn descends_from(page: &Page, seed: &str) -> bool {
    page.seeds.contains(&Secret::new(seed).fingerprint())
}

async fn call_on_and_on(url: String) {
    loop {
        // Errors are the killed process's.
        let _ = try_get(url.clone()).await;
    }
}

/// Every token is used, and then it dies.
async fn let_tokens_die(sandbox: Arc<Sandbox>) {
    loop {
        let accepted = sandbox.counts(Vendor::Aiclk).accepted;
        sandbox.until(Vendor::Aiclk, |counts| counts.accepted > accepted).await;
        sandbox.expire(Vendor::Aiclk);
    }
}

fn random(most_ms: u64) -> Duration {
    Duration::from_micros(fastrand::u64(..most_ms * 1000))
}

const KILLS: usize = 60;
/// Fewer: whoever comes after one that was killed in a renewal waits for its lease.
const KILLS_WITH_REDIS: usize = 20;
const MOMENTS: [Moment; 5] =
    [Moment::Starting, Moment::Serving, Moment::Granted, Moment::AfterGrant, Moment::Used];
const CALLERS: usize = 12;
/// The vendor tells lives in whole seconds.
const ACCESS_LIFE: Duration = Duration::from_secs(2);
/// The test's own call, which is no use of a token by the gateway.
const PROBE: &str = "/openapi/v1/account/info?probe=1";
/// The store, its two locks, and one file that a kill left half written.
const MOST_FILES: usize = 4;
