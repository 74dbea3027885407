//! tokenward: an authenticating egress gateway.
