//! Why a caller is refused for who it is.

/// Texts tell a caller what to do, and a stranger nothing of the clients that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "this gateway asks who calls: give a client's key, as `Proxy-Authorization: Bearer KEY` or \
         as name and password of the proxy's address"
    )]
    Absent,
    #[error("no client has this key, or not by this name")]
    Unknown,
    #[error("who calls is said twice")]
    Twice,
    #[error("no client has a certificate with these names")]
    Certificate,
    #[error("the names of this certificate are those of several clients")]
    Ambiguous,
    #[error("this client may not call this upstream (`upstream` in the list of clients)")]
    Upstream,
    #[error("this client may not call this method and path (`upstream` in the list of clients)")]
    Rule,
}

impl Refusal {
    /// The label of the metric.
    pub fn reason(self) -> &'static str {
        if self.is_of_known() { "client_rule" } else { "client" }
    }

    /// The value of the header `tokenward-error`.
    pub fn kind(self) -> &'static str {
        if self.is_of_known() { "client-forbidden" } else { "client-refused" }
    }

    fn is_of_known(self) -> bool {
        matches!(self, Self::Upstream | Self::Rule)
    }
}
