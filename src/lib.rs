//! tokenward: an authenticating egress gateway.
//!
//! It stands between programs on this machine and a vendor's API, puts the access token into what
//! they send, and renews it. A request whose token the vendor calls dead is sent a second time,
//! with another token.
//!
//! # How a request travels
//!
//! ```text
//! caller ─▶ proxy::caller ───▶ route ─▶ guard ─▶ strip ─▶ inject ─▶ upstream::pool ─▶ vendor
//!                                                           ▲  ▲                        │
//!            body::replay (keeps the body for a second try) ┘  │ token::cache           ▼
//! caller ◀─ proxy::reply ◀──────────────────────── proxy::inspect (looks at the head) ◀─┘
//!                                                     │ "this token is dead"
//!                                                     ▼
//!             token::refresher ─▶ wire ─▶ provider ─▶ store (saved) ─▶ cache (published)
//! ```
//!
//! What a caller says in HTTP/1 passes through [`framing`] first, which is strict; HTTP/2 is put into
//! the form of HTTP/1 before it is routed, and out of it again if the vendor speaks HTTP/2.
//!
//! # The floors of the house
//!
//! Imports go down the floors, never up or sideways; `tests/house.rs` sees to it.
//!
//! | floor | modules | question |
//! |---|---|---|
//! | 7 | [`cli`] | what can be asked for? |
//! | 6 | [`app`] | how is it put together? |
//! | 5 | [`worker`], [`config`] | who carries requests, and what has the operator said? |
//! | 4 | [`proxy`], [`admin`] | what happens to a request? |
//! | 3 | [`token`], [`upstream`] | where do tokens and connections come from? |
//! | 2 | [`vendor`], [`body`], [`framing`], [`browsers`] | what is an API like, what is HTTP like? |
//! | 1 | [`telemetry`], [`document`], [`units`], [`pem`], [`clock`], [`backoff`], [`drain`], [`readiness`], [`signal`], [`causes`], [`turn`], [`headers`], [`systemd`] | what does everybody need? |
//! | 0 | [`secret`] | what must nobody see? |
//!
//! Beside the house stands the [`sandbox`]: both vendors, simulated from recorded answers.
//!
//! # Threads
//!
//! Every worker is one thread with its own runtime, its own connections and no locks: a request
//! stays on the thread that accepted it. Tokens, the admin address and signals live on a runtime of
//! their own; workers see a token through one atomic load, and ask for a newer one over a channel.
//!
//! Another config is read, checked and bound as a whole before any of it is published. Each worker then takes it
//! over between two turns; a request keeps what it began with to its end.

pub mod admin;
pub mod app;
pub mod backoff;
pub mod body;
pub mod browsers;
pub mod causes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod document;
pub mod drain;
pub mod framing;
pub mod headers;
pub mod pem;
pub mod proxy;
pub mod readiness;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod secret;
pub mod signal;
pub mod systemd;
pub mod telemetry;
pub mod token;
pub mod turn;
pub mod units;
pub mod upstream;
pub mod vendor;
pub mod worker;
