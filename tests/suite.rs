//! The whole gateway over real sockets, as one program that links once: a file for each group of
//! promises.

mod support;

mod command_line;
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
