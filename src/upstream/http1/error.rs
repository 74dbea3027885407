//! How an exchange over HTTP/1 fails.

use std::error::Error as StdError;
use std::io;

use crate::framing::Fault;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the connection was closed before the whole answer had come")]
    Incomplete,
    #[error("the head of the answer cannot be read")]
    Head(#[from] httparse::Error),
    #[error("the head of the answer is larger than what is taken")]
    HeadSize,
    #[error("the status of the answer is none")]
    Status,
    #[error("the answer is in a transfer coding, which its version does not know")]
    Coding,
    #[error("the answer's `Content-Length` is not one number")]
    Length,
    /// The fault is no cause: it would be taken for the caller's.
    #[error("the answer's body is framed wrongly: {0}")]
    Framing(Fault),
    #[error("the body of the request could not be read")]
    Request(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the body of the request is not as long as its head says")]
    RequestLength,
    #[error("the request broke off, and its answer with it")]
    RequestBrokeOff,
}
