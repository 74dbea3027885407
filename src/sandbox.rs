//! Simulated vendors: jing and aiclk as they document themselves, with faults on demand.
//!
//! For the demo, for tests and for trying things out. The sandbox reads what it is sent as
//! strictly as the vendor would and answers from recorded answers (`tests/vendors`); it knows
//! nothing of the gateway's vendor descriptions. All credentials in it are invented.
//!
//! One listener serves both, told apart by path: `/v1/…` is jing, `/oauth2/token` and
//! `/openapi/…` are aiclk, `/-/…` is the sandbox itself.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use tokenward::sandbox::{FaultKind, Sandbox, Settings, Vendor};
//! use tokio_util::sync::CancellationToken;
//!
//! let sandbox = Sandbox::new(Settings::default());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let shutdown = CancellationToken::new();
//! tokio::spawn(sandbox.clone().serve(listener, shutdown.clone()));
//!
//! sandbox.fault(Vendor::Aiclk, FaultKind::Expire);
//! # Ok(())
//! # }
//! ```
//!
//! A request's way: `serve` → `exchange` → (`strict`, `jing` or `aiclk` read it; `desk` decides;
//! `recorded` has the words) → `answer`.

use std::{fmt, sync::Arc, time::Duration};

mod aiclk;
mod answer;
mod answer_body;
mod control;
mod desk;
mod endpoint;
mod exchange;
mod fault;
mod form;
mod history;
mod jing;
mod received;
mod recorded;
mod replies;
mod serve;
mod settings;
mod strict;
mod tokens;
pub mod tour;
mod websocket;

pub use self::{
    fault::{Encoding, Fault, FaultKind, Rejection, Scope},
    history::{Counts, Outcome, Seen},
    settings::{AiclkSettings, JingHeader, JingSettings, Settings, TokenSettings},
};

use self::desk::Desk;

/// Both simulated vendors.
#[derive(Debug)]
pub struct Sandbox {
    jing: Desk,
    aiclk: Desk,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    Jing,
    Aiclk,
}

/// The tokens that live at a vendor now.
#[derive(Clone, PartialEq, Eq)]
pub struct Current {
    /// Counts the access tokens handed out; 0: none yet.
    pub generation: u64,
    pub access_token: Option<String>,
    /// What is left of the access token's life.
    pub access_left: Option<Duration>,
    pub refresh_token: Option<String>,
}

impl Sandbox {
    pub fn new(settings: Settings) -> Arc<Self> {
        let jing = Desk::new(Vendor::Jing, &settings);
        let aiclk = Desk::new(Vendor::Aiclk, &settings);
        Arc::new(Self { jing, aiclk })
    }

    /// Switches a fault on; one of the same kind and scope gives way to it.
    ///
    /// # Panics
    ///
    /// If the fault names a recorded answer that the vendor does not have.
    pub fn fault(&self, vendor: Vendor, fault: impl Into<Fault>) {
        let fault = fault.into();
        if let FaultKind::Answer(name)
        | FaultKind::Rejection(Rejection { recording: Some(name), .. }) = &fault.kind
        {
            assert!(recorded::find(vendor, name).is_some(), "{vendor} has no recording {name}");
        }
        self.desk(vendor).set(fault);
    }

    /// Switches all faults of a vendor off.
    pub fn clear_faults(&self, vendor: Vendor) {
        self.desk(vendor).clear_faults();
    }

    /// Ends the life of every access token now, as [`FaultKind::Expire`] does.
    pub fn expire(&self, vendor: Vendor) {
        self.fault(vendor, FaultKind::Expire);
    }

    /// Hands out new tokens past the token endpoint, as to another holder of the app id or to a
    /// person at the console. The refresh token before them ends.
    pub fn issue(&self, vendor: Vendor) -> Current {
        self.desk(vendor).issue();
        self.current(vendor)
    }

    /// The living tokens.
    pub fn current(&self, vendor: Vendor) -> Current {
        self.desk(vendor).with_ledger(|ledger, now| Current {
            generation: ledger.generation(),
            access_token: ledger.live_access(now).map(|(token, _)| token.to_owned()),
            access_left: ledger.live_access(now).map(|(_, left)| left),
            refresh_token: ledger.live_refresh(now).map(str::to_owned),
        })
    }

    pub fn counts(&self, vendor: Vendor) -> Counts {
        self.desk(vendor).with_history(|history| history.counts)
    }

    /// Waits until `done` holds for the vendor's counts, and returns them. Bound it with a
    /// time-out.
    pub async fn until(&self, vendor: Vendor, done: impl Fn(&Counts) -> bool) -> Counts {
        self.desk(vendor).until(done).await
    }

    /// What was wrong with requests: the latest 100 reasons, oldest first. They name headers and
    /// members, never values.
    pub fn mistakes(&self, vendor: Vendor) -> Vec<String> {
        self.desk(vendor).with_history(|history| history.mistakes())
    }

    /// The latest requests, oldest first: at most 4,096, and 64 MiB of bodies. A request enters
    /// when its body has been read, before it is answered.
    pub fn log(&self, vendor: Vendor) -> Vec<Seen> {
        self.desk(vendor).with_history(|history| history.seen())
    }

    fn desk(&self, vendor: Vendor) -> &Desk {
        match vendor {
            Vendor::Jing => &self.jing,
            Vendor::Aiclk => &self.aiclk,
        }
    }
}

impl Vendor {
    pub const ALL: [Self; 2] = [Self::Jing, Self::Aiclk];

    pub fn name(self) -> &'static str {
        match self {
            Self::Jing => "jing",
            Self::Aiclk => "aiclk",
        }
    }

    fn of_path(path: &str) -> Option<Self> {
        let begins = |prefix| path.starts_with(prefix);
        if begins("/v1/") {
            Some(Self::Jing)
        } else if begins("/oauth2/") || begins("/openapi/") {
            Some(Self::Aiclk)
        } else {
            None
        }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("generation", &self.generation)
            .field("access_left", &self.access_left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
