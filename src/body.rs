//! Bodies on their way through: kept for a replay, looked into, decoded for the look.

pub mod decode;
pub mod peek;
pub mod replay;
