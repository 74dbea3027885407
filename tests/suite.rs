//! The whole gateway over real sockets: one file for each group of promises.

mod support;

mod pass_through;
