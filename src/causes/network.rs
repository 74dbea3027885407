//! Why a peer was not reached, in words that say what to do.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::chain;

/// Whom a connection is for, and where it is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The name that it is called by, as a URL has it.
    pub name: String,
    /// Where connections go: a name or an address, without brackets.
    pub host: String,
    pub port: u16,
}

/// None of a peer's addresses took a connection.
#[derive(Debug, Default)]
pub struct Unconnected {
    /// In the order of their failures.
    pub failed: Vec<(SocketAddr, io::Error)>,
    /// Those that had said nothing when the time was over.
    pub silent: Vec<SocketAddr>,
}

/// What a failed attempt of TCP means.
pub fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused the connection".to_owned(),
        ErrorKind::TimedOut => "did not answer".to_owned(),
        ErrorKind::NetworkUnreachable => "is on a network that cannot be reached".to_owned(),
        ErrorKind::HostUnreachable => "cannot be reached".to_owned(),
        _ => format!("cannot be connected to ({error})"),
    }
}

/// The innermost `io::Error` of a chain: the one that the system gave.
pub fn find_io<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    chain(error).filter_map(|error| error.downcast_ref()).last()
}

/// Whether time that ran out is among the causes.
pub fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == ErrorKind::TimedOut)
}

// === impl Peer ===

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, host, port } = self;
        write!(f, "{name}:{port}")?;
        if name.trim_matches(['[', ']']) == host { Ok(()) } else { write!(f, " (at {host})") }
    }
}

// === impl Unconnected ===

impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.failed.len() + self.silent.len();
        if total == 0 {
            return f.write_str("the name has no address");
        }
        let failed = self.failed.iter().map(|(address, error)| (address, explain(error)));
        let silent = self.silent.iter().map(|address| (address, "did not answer".to_owned()));
        for (index, (address, what)) in failed.chain(silent).take(MOST_SHOWN).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {what}", address.ip())?;
        }
        if total > MOST_SHOWN {
            write!(f, ", and {} more", total - MOST_SHOWN)?;
        }
        Ok(())
    }
}

/// Addresses of one name that an error lists.
const MOST_SHOWN: usize = 4;

/// What helps when no address takes a connection.
pub const ADVICE: &str =
    "is `base_url` right, and do the network and its firewalls let the gateway through?";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_found_wherever_it_is() {
        let inner = io::Error::from(ErrorKind::TimedOut);
        let wrapped = io::Error::other(io::Error::new(ErrorKind::InvalidData, inner));
        assert!(is_timeout(&wrapped));
        assert!(is_timeout(&io::Error::new(ErrorKind::TimedOut, "said in words")));
        assert!(!is_timeout(&io::Error::other(io::Error::from(ErrorKind::BrokenPipe))));
    }

    #[test]
    fn a_peer_is_shown_with_the_way_to_it_where_that_is_another() {
        for (name, host, shown) in [
            ("api.test", "api.test", "api.test:443"),
            ("[::1]", "::1", "[::1]:443"),
            ("api.test", "10.0.0.1", "api.test:443 (at 10.0.0.1)"),
        ] {
            let peer = Peer { name: name.into(), host: host.into(), port: 443 };
            assert_eq!(peer.to_string(), shown);
        }
    }

    #[test]
    fn p28_each_address_is_shown_with_what_became_of_it() {
        let address = |last| SocketAddr::from(([192, 0, 2, last], 443));
        let refused = || io::Error::from(ErrorKind::ConnectionRefused);
        let mut unconnected = Unconnected::default();
        assert_eq!(unconnected.to_string(), "the name has no address");
        unconnected.failed.push((address(1), refused()));
        unconnected.silent.push(address(2));
        let both = "192.0.2.1 refused the connection, 192.0.2.2 did not answer";
        assert_eq!(unconnected.to_string(), both);
        unconnected.silent.extend([3, 4, 5, 6].map(address));
        let many = unconnected.to_string();
        assert!(many.ends_with("192.0.2.4 did not answer, and 2 more"), "{many}");
    }
}
