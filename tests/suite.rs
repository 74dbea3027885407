//! The whole gateway over real sockets, as one program that links once: a file for each group of
//! promises.

mod support;

mod back_pressure;
mod clients;
mod commands;
mod crash;
mod drain;
mod early_answers;
mod expect;
mod fidelity;
mod gateway_address;
mod gigabyte;
mod gone_callers;
mod guard;
mod house;
mod injection;
mod limits;
mod metrics;
mod outage;
mod own_answers;
mod pass_through;
mod pipelining;
mod rejection;
mod retry;
mod secrets;
mod shutdown;
mod single_flight;
mod smuggling;
mod streaming;
mod third_vendor;
mod tls;
mod tls_faults;
mod tls_names;
mod trailers;
mod vendor_answers;
