//! Which lines there are: as the operator has written it down, or for a while otherwise.

use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{Subscriber, info, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::reload;

use super::LogError;

/// The level of this process.
pub(super) struct Level {
    /// As it was written down, and where.
    usual: String,
    origin: Origin,
    /// Set by hand.
    other: Option<Other>,
    /// How often it was set by hand: whoever waits for an end knows by it whether it is still its own.
    turns: u64,
    /// Puts a filter into force. `None`: it is not that of the process yet.
    apply: Option<Apply>,
}

/// Where a level was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line, which no config overrules.
    CommandLine,
    Config,
}

/// What is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelNow {
    pub level: String,
    pub usual: String,
    /// How long it is not the usual one; `None`: until somebody says otherwise.
    pub left: Option<Duration>,
}

struct Other {
    level: String,
    until: Option<Instant>,
}

type Apply = Box<dyn Fn(Targets) -> Result<(), reload::Error> + Send>;

/// Whether `level` is a level or a filter.
///
/// # Errors
/// When it is not.
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(drop)
}

/// `None`: this process does not log by itself.
pub fn level_now() -> Option<LevelNow> {
    Some(kept()?.now())
}

/// Logs by this level from now on: for so long, or until somebody says otherwise. `None`: by the usual
/// one again. The end is waited for on the current runtime.
///
/// # Errors
/// When it is no level, or this process does not log by itself.
pub fn set_level(level: Option<&str>, longest: Option<Duration>) -> Result<LevelNow, LogError> {
    level.map(check_level).transpose()?;
    // By the level before it: after it, no more may be written.
    let seconds = longest.map(|longest| longest.as_secs());
    warn!(level = level.unwrap_or("the usual one"), seconds, "the log level is set by hand");
    let mut kept = kept().ok_or(LogError::NotOurs)?;
    let until = longest.map(|longest| Instant::now() + longest);
    kept.set(level, until)?;
    let now = kept.now();
    let turn = kept.turns;
    drop(kept);
    if let (Some(_), Some(until)) = (level, until) {
        tokio::spawn(async move {
            sleep_until(until).await;
            come_back(turn);
        });
    }
    Ok(now)
}

/// The config has been read again, and says this. What was said on the command line stands.
pub fn configured_level(level: &str) {
    let Some(mut kept) = kept() else { return };
    if kept.origin == Origin::Config && kept.usual != level {
        // The config has been checked.
        let _ = kept.set_usual(level);
    }
}

fn come_back(turn: u64) {
    let Some(mut kept) = kept() else { return };
    if kept.turns == turn && kept.set(None, None).is_ok() {
        let level = kept.usual.clone();
        drop(kept);
        info!(level, "the log level is the usual one again");
    }
}

fn kept() -> Option<MutexGuard<'static, Level>> {
    Some(KEPT.get()?.lock().unwrap_or_else(PoisonError::into_inner))
}

fn filter(level: &str) -> Result<Targets, LogError> {
    let bad = |source| LogError::Level { level: level.to_owned(), source };
    // The library takes a word that is no level for a module: `inof` would silence everything.
    let is_word = |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut words = level.split(',').map(str::trim).filter(is_word);
    if words.any(|word| word.parse::<LevelFilter>().is_err()) {
        return Err(bad(None));
    }
    level.parse::<Targets>().map_err(|source| bad(Some(source)))
}

// === impl Level ===

impl Level {
    /// # Errors
    /// When it is no level.
    pub(super) fn read(level: &str, origin: Origin) -> Result<Self, LogError> {
        check_level(level)?;
        Ok(Self { usual: level.to_owned(), origin, other: None, turns: 0, apply: None })
    }

    /// What lets records pass, for a subscriber.
    pub(super) fn filter<S: Subscriber + 'static>(mut self) -> (reload::Layer<Targets, S>, Self) {
        // Checked when it was read.
        let targets = filter(&self.usual).unwrap_or_default();
        let (layer, handle) = reload::Layer::new(targets);
        self.apply = Some(Box::new(move |targets| handle.reload(targets)));
        (layer, self)
    }

    /// From now on it is that of the process.
    pub(super) fn keep(self) {
        let _ = KEPT.set(Mutex::new(self));
    }

    fn now(&self) -> LevelNow {
        let (level, until) = match &self.other {
            Some(other) => (&other.level, other.until),
            None => (&self.usual, None),
        };
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        LevelNow { level: level.clone(), usual: self.usual.clone(), left }
    }

    fn set(&mut self, level: Option<&str>, until: Option<Instant>) -> Result<(), LogError> {
        self.apply(level.unwrap_or(&self.usual))?;
        self.other = level.map(|level| Other { level: level.to_owned(), until });
        self.turns += 1;
        Ok(())
    }

    /// What was set by hand stays.
    fn set_usual(&mut self, level: &str) -> Result<(), LogError> {
        match self.other {
            None => self.apply(level)?,
            Some(_) => check_level(level)?,
        }
        self.usual = level.to_owned();
        Ok(())
    }

    fn apply(&self, level: &str) -> Result<(), LogError> {
        let filter = filter(level)?;
        let apply = self.apply.as_ref().ok_or(LogError::NotOurs)?;
        apply(filter).map_err(|_| LogError::NotOurs)
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Level").field("usual", &self.usual).finish_non_exhaustive()
    }
}

static KEPT: OnceLock<Mutex<Level>> = OnceLock::new();

#[cfg(test)]
mod tests {
    use tracing_subscriber::Registry;

    use super::*;

    #[test]
    fn a_level_is_one_or_a_filter_and_no_misspelt_word() {
        for good in ["info", "WARN", "off", "info,tokenward::proxy=debug", "tokenward=trace,warn"] {
            assert!(check_level(good).is_ok(), "{good}");
        }
        for bad in ["inof", "verbose", "info,tokenward", "a=b=c", "tokenward=loud"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p31_a_level_set_by_hand_outlives_a_reload_and_the_usual_one_comes_back() {
        let level = Level::read("info", Origin::Config).expect("a level");
        let (_layer, mut level) = level.filter::<Registry>();
        let until = Instant::now() + Duration::from_secs(600);
        level.set(Some("debug"), Some(until)).expect("set");
        let now = level.now();
        assert_eq!((now.level.as_str(), now.usual.as_str()), ("debug", "info"));
        assert_eq!(now.left, Some(Duration::from_secs(600)));
        level.set_usual("warn").expect("set");
        assert_eq!(level.now().level, "debug");
        assert!(level.set(Some("inof"), None).is_err());
        assert_eq!((level.now().level.as_str(), level.turns), ("debug", 1), "nothing has changed");
        level.set(None, None).expect("set");
        let usual = LevelNow { level: "warn".into(), usual: "warn".into(), left: None };
        assert_eq!(level.now(), usual);
        level.set_usual("error").expect("set");
        assert_eq!(level.now().level, "error");
    }
}
