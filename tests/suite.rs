//! All integration tests, as one program: it links once.

mod clients;
mod commands;
mod crash;
mod house;
mod shutdown;
mod support;
mod tls;
