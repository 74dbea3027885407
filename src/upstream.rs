//! Connections to one vendor: how they are made, kept and given back.

pub mod connect;
mod hearing;
pub mod pool;
pub mod tls;

/// The body of a vendor's answer.
pub type AnswerBody = hyper::body::Incoming;
