//! The whole gateway over real sockets: one file for each group of promises.

mod support;

mod injection;
mod pass_through;
mod streaming;
mod third_vendor;
