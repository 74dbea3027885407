//! Connections to one vendor: how they are made, kept and given back.

mod answer;
pub mod connect;
mod hearing;
pub mod http1;
pub mod pool;
pub mod tls;

use std::sync::Arc;

use tokio::sync::Notify;

pub use answer::{AnswerBody, BrokenOff};

/// Goes with a request whose body waits for it: told when the vendor says `100 Continue`.
#[derive(Clone, Debug)]
pub struct OnContinue(pub Arc<Notify>);
