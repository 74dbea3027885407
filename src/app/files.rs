//! How many files the process may have open, and how many callers that is enough for.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Takes all the files that the system lets it have, as the usual 1,024 are few. Returns their number.
pub(super) fn raise_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => before.unwrap_or(u64::MAX),
    }
}

/// As many of the `wanted` callers as there are files for, while `in_flight` of their requests at the
/// most hold a connection to a vendor. Without files nobody could be refused, and no token renewed.
pub(super) fn callers_within(wanted: usize, in_flight: usize, files: u64) -> usize {
    let files = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OWN_FILES);
    // Who waits for an answer holds two.
    let most = files.saturating_sub(in_flight).max(files / 2).max(1);
    if most >= wanted {
        return wanted;
    }
    warn!(
        "limits.connections is {wanted}, and {most} from now on: this process may open too few files \
         (`ulimit -n`, `LimitNOFILE=`)"
    );
    most
}

/// The program's own: sockets, store, logs, the admin address, callers who are refused.
const OWN_FILES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p27_callers_are_no_more_than_there_are_files_for() {
        for (wanted, in_flight, files, expected) in [
            (10_000, 2000, u64::MAX, 10_000),
            (10_000, 2000, 20_000, 10_000),
            (10_000, 2000, 12_256, 10_000),
            (10_000, 2000, 12_255, 9_999),
            (10_000, 2000, 1024, 384),
            (100, 2000, 1024, 100),
            (100, 2000, 10, 1),
        ] {
            assert_eq!(callers_within(wanted, in_flight, files), expected, "{files} files");
        }
    }

    #[test]
    fn p27_all_files_that_may_be_had_are_had() {
        let files = raise_limit();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), files);
    }
}
