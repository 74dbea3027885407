//! The transitions, one by one.
