//! What a vendor's API is like: a description in TOML, and what follows from it.

pub mod description;
pub mod emulation;
pub mod injection;
pub mod operation;
pub mod path;
pub mod phrases;
pub mod pointer;
pub mod rules;
pub mod scan;
pub mod template;
