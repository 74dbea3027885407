//! `[log]`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::causes::causes;
use crate::config::LogConfig;
use crate::config::raw::{RawAccess, RawLog};
use crate::proxy::access;
use crate::telemetry::log;

use super::Parser;

impl Parser<'_> {
    pub(super) fn log(&mut self, raw: RawLog) -> LogConfig {
        let level = raw.level.unwrap_or_else(|| "info".to_owned());
        if let Err(error) = log::check_level(&level) {
            self.note(&["log", "level"], causes(&error));
        }
        let slow = raw.access_slow.map_or(SLOW, Duration::from);
        let of = |one_of| Some(access::Config { one_of, slow });
        let access = match raw.access.unwrap_or(RawAccess::Off) {
            RawAccess::Off => None,
            RawAccess::Sampled => of(raw.access_sample.unwrap_or(SAMPLE)),
            RawAccess::All => of(NonZeroU32::MIN),
        };
        LogConfig { format: raw.format.unwrap_or_default(), level, access }
    }
}

const SAMPLE: NonZeroU32 = NonZeroU32::new(100).expect("it is not 0");
const SLOW: Duration = Duration::from_secs(1);
