//! The whole gateway over real sockets, as one program that links once: a file for each group of
//! promises.

mod support;

mod clients;
mod commands;
mod crash;
mod drain;
mod gateway_address;
mod guard;
mod house;
mod injection;
mod metrics;
mod outage;
mod own_answers;
mod pass_through;
mod rejection;
mod retry;
mod secrets;
mod shutdown;
mod single_flight;
mod streaming;
mod third_vendor;
mod tls;
mod tls_faults;
mod tls_names;
