//! The commands that read and replace a page, and what the server answers to them.

use std::sync::LazyLock;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind, Value, cmd};

use crate::clock;
use crate::secret::Secret;

use super::super::{Revision, Written};

/// What is asked of the server.
pub(super) enum Order<'a> {
    Read { key: &'a str },
    Save(Save<'a>),
}

/// A page that shall take the place of the one that was seen.
pub(super) struct Save<'a> {
    pub(super) key: &'a str,
    pub(super) channel: &'a str,
    pub(super) name: &'a str,
    pub(super) seen: Revision,
    pub(super) next: &'a Written,
}

/// How the script is named: by its hash, or, where the server has forgotten it, in full.
#[derive(Clone, Copy)]
enum Form {
    Hash,
    Text,
}

impl Order<'_> {
    /// # Errors
    /// As the server or the connection has them.
    pub(super) async fn carry_out(&self, link: &mut MultiplexedConnection) -> RedisResult<Value> {
        match self {
            Self::Read { key } => cmd("HMGET").arg(key).arg(&FIELDS).query_async(link).await,
            Self::Save(save) => match save.command(Form::Hash).query_async(link).await {
                Err(error) if error.kind() == NO_SCRIPT => {
                    save.command(Form::Text).query_async(link).await
                }
                answer => answer,
            },
        }
    }
}

impl Save<'_> {
    fn command(&self, form: Form) -> Cmd {
        let mut command = match form {
            Form::Hash => cmd("EVALSHA"),
            Form::Text => cmd("EVAL"),
        };
        match form {
            Form::Hash => command.arg(SCRIPT.get_hash()),
            Form::Text => command.arg(SAVE),
        };
        let Written { revision, generation, fence, ref open, ref tokens, keep_until } = *self.next;
        let kept = keep_until.map_or(String::new(), |until| {
            // A span and not a time: the server's clock may be another.
            clock::until(until).max(SHORTEST_LIFE).as_millis().to_string()
        });
        command.arg(1).arg(self.key);
        command.arg(self.seen.to_string()).arg(revision.to_string()).arg(generation).arg(fence);
        command.arg(open).arg(tokens.expose()).arg(kept);
        command.arg(self.channel).arg(format!("{revision} {}", self.name));
        command
    }
}

/// The page in the fields of a hash; none when there is no hash.
///
/// # Errors
/// What stands there instead.
pub(super) fn page(fields: Value) -> Result<Option<Written>, &'static str> {
    let fields = Vec::<Option<String>>::from_redis_value(fields).map_err(|_| NO_PAGE)?;
    let [revision, generation, fence, open, tokens] =
        <[Option<String>; 5]>::try_from(fields).map_err(|_| NO_PAGE)?;
    let (revision, generation, fence) = match (revision, generation, fence) {
        (None, None, None) => return Ok(None),
        (Some(revision), Some(generation), Some(fence)) => (revision, generation, fence),
        _ => return Err(NO_PAGE),
    };
    let (open, tokens) = open.zip(tokens).ok_or(NO_PAGE)?;
    Ok(Some(Written {
        revision: revision.parse().map_err(|_| NO_PAGE)?,
        generation: generation.parse().map_err(|_| NO_PAGE)?,
        fence: fence.parse().map_err(|_| NO_PAGE)?,
        open,
        // What tokens stand in it is known to the log filter when they are read.
        tokens: Secret::compound(tokens, Vec::new()),
        keep_until: None,
    }))
}

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SAVE));

/// Numbers are compared as texts: Lua's own are floating. Nobody may be allowed to publish; that is
/// no reason to report a failure of what has been written already.
const SAVE: &str = r"local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end
local fields = {'revision', 'generation', 'fence', 'open', 'tokens'}
local stored = redis.call('HMGET', KEYS[1], unpack(fields))
if (stored[1] or '0') ~= ARGV[1]
  or less(ARGV[3], stored[2] or '0') or less(ARGV[4], stored[3] or '0') then
  return stored
end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'generation', ARGV[3], 'fence', ARGV[4],
  'open', ARGV[5], 'tokens', ARGV[6])
if ARGV[7] == '' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
end
redis.pcall('PUBLISH', ARGV[8], ARGV[9])
return 1
";

const NO_SCRIPT: ErrorKind = ErrorKind::Server(ServerErrorKind::NoScript);
const FIELDS: [&str; 5] = ["revision", "generation", "fence", "open", "tokens"];
const NO_PAGE: &str = "something that is no page; move it away, or give another `store.key_prefix`";
/// A clock that is wrong must not delete a page at once.
const SHORTEST_LIFE: Duration = Duration::from_secs(86_400);
