//! Connections to one vendor: how they are made, kept and given back.

mod answer;
pub mod connect;
mod hearing;
pub mod http1;
pub mod pool;
mod request;
pub mod tls;

pub use answer::{AnswerBody, BrokenOff};
pub use request::RequestHead;
