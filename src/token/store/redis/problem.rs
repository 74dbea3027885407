//! What an error of a Redis server means, in words that say what to do.
//!
//! The server's own words are not repeated: it quotes the arguments of commands that it does not
//! know, and a password or a token may be among them.

use std::io;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::causes::network;

/// Why something could not be done: a clause about the server. Cheap enough to be handed to all who
/// wait for one connection.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) then: Then,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Keep,
    /// It is of no use; the next one may be good.
    Drop,
    /// The same, and the failure is its own: another is worth a second try at once.
    Anew,
}

impl Problem {
    pub(super) fn keep(text: impl Into<String>) -> Self {
        Self { text: text.into(), then: Then::Keep }
    }

    pub(super) fn drop(text: impl Into<String>) -> Self {
        Self { text: text.into(), then: Then::Drop }
    }

    pub(super) fn silent(within: Duration) -> Self {
        let within = humantime::format_duration(within);
        Self::drop(format!("did not answer within {within}; is it paused, or overloaded?"))
    }

    pub(super) fn connect(error: &io::Error) -> Self {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "is not there".to_owned(),
            io::ErrorKind::PermissionDenied => "is not for this user to open".to_owned(),
            _ => network::explain(error),
        };
        Self::drop(format!("{what}; does it run, and is its address right?"))
    }

    pub(super) fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => Self::silent(super::connection::RESPONSE),
            ErrorKind::Io => Self { text: "hung up".to_owned(), then: Then::Anew },
            ErrorKind::AuthenticationFailed => Self::drop(WRONG_PASSWORD),
            ErrorKind::RESP3NotSupported => Self::drop("is older than Redis 6"),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
                Self::drop("does not answer as Redis does; is the port another's?")
            }
            kind => Self::told(kind, error.code().unwrap_or("ERR"), error.detail().unwrap_or("")),
        }
    }

    /// An error that the server has told. A script's keep the first one's code in their text, on
    /// servers before Redis 7.
    fn told(kind: ErrorKind, code: &str, detail: &str) -> Self {
        let inner = ["READONLY", "MISCONF", "OOM", "NOREPLICAS", "NOPERM"];
        let inner = inner.into_iter().find(|inner| detail.contains(&format!("-{inner} ")));
        let code = inner.unwrap_or(code);
        match code {
            "READONLY" => Self {
                text: "is a read-only replica; give the master's address, or `store.sentinels`"
                    .to_owned(),
                then: Then::Anew,
            },
            "LOADING" => Self::drop("has just started, and still loads its data"),
            "MASTERDOWN" => Self::drop("is a replica that has lost its master"),
            "NOREPLICAS" => {
                Self::drop("has too few replicas to take a write (`min-replicas-to-write`)")
            }
            "MISCONF" => Self::drop(
                "cannot save to its disk, and so takes no writes; see its log and its disk",
            ),
            "OOM" => Self::keep("has no memory left; raise its `maxmemory`"),
            "BUSY" => Self::drop("is busy with somebody's script"),
            "DENIED" => Self::drop("is in its protected mode: give it a password"),
            _ if detail.contains("max number of clients") => {
                Self::drop("has as many clients as it takes (`maxclients`)")
            }
            "NOAUTH" => Self::drop("wants a password: give `store.password`"),
            "WRONGPASS" => Self::drop(WRONG_PASSWORD),
            "NOPERM" => {
                Self::drop("permits this user too little; config/stores.md says what a user needs")
            }
            "WRONGTYPE" => Self::keep(
                "has something else than a page in the page's key; give another `store.key_prefix`",
            ),
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => Self::drop(
                "is part of a cluster, which is not spoken; give a server, or `store.sentinels`",
            ),
            _ if kind == ErrorKind::Server(ServerErrorKind::ResponseError) => {
                Self::drop("refused a command; is it Redis 5 or newer, with scripts?")
            }
            _ => {
                let code: String = code.chars().filter(char::is_ascii_uppercase).take(20).collect();
                Self::drop(format!("answered with the error {code}"))
            }
        }
    }
}

const WRONG_PASSWORD: &str =
    "did not accept the password; check `store.username` and `store.password`";
