//! Connections to one vendor: how they are made, kept and given back.

pub mod connect;
pub mod pool;
pub mod tls;
