//! The built-in message test `token_dead`: does a message say that our token is expired, invalid,
//! missing or wrong, in English or Chinese?
//!
//! A wrong yes spends a refresh and sends a call, which may move money, once more. A wrong no leaves
//! an outage to the renewal by schedule. Both are bad, so words alone do not count: a name for the
//! credential and a word for its death must meet in one phrase, with only known words between them.
//! An unknown word there means no.
//!
//! - A bare `token` counts where nothing else claims it: `token expired`, `your token is invalid`, but
//!   not `device_token`, `push token`, `coupon token`, `verification token`, 推送token: those belong
//!   to a business call, and a new access token would not cure them.
//! - `refresh_token expired` is no: no call through the gateway carries one, so it is about someone
//!   else's; and where it is ours after all, another refresh is no cure.
//! - `csrf token` is no: it guards a form, and an access token cannot replace it.
//! - A parser's words (`invalid token in JSON at position 4`) and those of a limit (`token quota
//!   exceeded`, `token bucket`) are no, wherever they stand in the message.
//! - A missing right (`no permission`, `insufficient scope`, a bare `unauthorized`, 未授权) is no: the
//!   token was understood. So is advice (`check that your token is valid`) and a condition (`if the
//!   token is expired …`, 请检查token是否过期).
//! - 授权 (authorization), 凭证 (credential, but voucher too) and 登录 (login) count only where no one
//!   else owns them: not 公众号授权已过期, 支付凭证无效, 该用户未登录过.

mod grammar;
mod lexicon;
mod words;

use self::grammar::Phrases;
use self::words::Words;

/// Whether `message` says that the token it was sent with is dead. Only about the first hundred
/// words are read; time is linear in those.
pub fn token_dead(message: &str) -> bool {
    Phrases(Words::read(message).classes()).token_dead()
}

#[cfg(test)]
mod tests;
