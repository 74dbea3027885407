//! Asks for the config to be read again, and hears what came of it.

use http::StatusCode;
use tokio::sync::{mpsc, oneshot};

/// By which reloads are asked for, and where they are made. Clones ask the same.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<Asked>);

/// Somebody wants a reload; told how it ended, if there is anybody to be told.
pub type Asked = Option<oneshot::Sender<Result<(), NotReloaded>>>;

/// Why what was there before goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReloaded {
    /// The mistakes, each in its place.
    #[error("{0}")]
    Refused(String),
    #[error("this gateway was started without a file that could be read again")]
    NoFile,
    #[error("the gateway is stopping")]
    Stopping,
}

impl Reloads {
    pub fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (ask, asked) = mpsc::channel(MOST_WAITING);
        (Self(ask), asked)
    }

    /// A reload now; it has ended when this returns.
    ///
    /// # Errors
    /// When nothing has changed.
    pub async fn ask(&self) -> Result<(), NotReloaded> {
        let (ended, end) = oneshot::channel();
        self.0.send(Some(ended)).await.map_err(|_| NotReloaded::Stopping)?;
        end.await.map_err(|_| NotReloaded::Stopping)?
    }

    /// The same, for whoever does not wait for it.
    pub fn ask_soon(&self) {
        // So many wait already that one of them comes after this.
        let _ = self.0.try_send(None);
    }
}

impl NotReloaded {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoFile => StatusCode::CONFLICT,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

const MOST_WAITING: usize = 16;
